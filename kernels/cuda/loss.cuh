// Softmax cross-entropy of one sample: cnn-core's `loss`.
#pragma once
#include "math.cuh"
#include "network.cuh"

// The largest logit: a later one only if it is greater.
__device__ __forceinline__ float largest_logit(const float *logits) {
    float largest = logits[0];
    for (int j = 1; j < network::CLASSES; j++) {
        if (logits[j] > largest) largest = logits[j];
    }
    return largest;
}

// The sum of exp(z_j − m) in the order of the classes, from its terms.
__device__ __forceinline__ float sum_exponentials(const float *exponentials) {
    float sum = exponentials[0];
    for (int j = 1; j < network::CLASSES; j++) sum = add(sum, exponentials[j]);
    return sum;
}

// ln(Σ exp(z_j − m)) − (z_label − m).
__device__ __forceinline__ float sample_loss(float sum, float label_logit, float largest) {
    return subtract(network_ln(sum), subtract(label_logit, largest));
}
