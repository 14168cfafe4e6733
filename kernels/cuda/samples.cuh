// First phase of a step: every sample forward and backward, one sample by one block. What the second phase needs of it
// goes to device memory: activations and gradients of the fully connected layers, sums of the convolutions' gradients.
#pragma once
#include "backward.cuh"
#include "classifier.cuh"
#include "forward.cuh"
#include "training.cuh"

struct SampleMemory {
    ConvolutionMemory convolution;
    ClassifierMemory classifier;
    Term windows[network::POOL2_LEN];  // window_gradient of every window of conv2's output
    // The classifier is done when pool1's gradient is formed.
    union {
        ClassifierScratch scratch;
        float pool1_gradient[network::CONV1_CHANNELS * CONV2_REACH * CONV2_REACH];
    };
    unsigned char winners1[network::POOL1_LEN];  // places in the image, from the window's corner
    unsigned char winners2[network::POOL2_LEN];  // as relu_pool has them
};

__device__ __forceinline__ void copy(float *to, const float *from, int length) {
    for (int i = thread_index(); i < length; i += THREADS) to[i] = from[i];
}

// pool2 and the winners of the image, which is ready.
__device__ __forceinline__ void forward_convolutions(SampleMemory &memory) {
    convolve1(memory.convolution, [&](int index, int winner) {
        memory.winners1[index] = (unsigned char)winner_place<network::IMAGE_SIDE>(winner);
    });
    __syncthreads();
    convolve2(memory.convolution, [&](int index, Pooled pooled) {
        memory.classifier.pool2[index] = pooled.value;
        memory.winners2[index] = (unsigned char)pooled.winner;
    });
    __syncthreads();
}

// The classifier forward and back to pool2's gradient.
__device__ __forceinline__ void run_classifier(SampleMemory &memory, const Training &training, int label,
                                               int batch_length) {
    ClassifierMemory &classifier = memory.classifier;
    fc1_forward(classifier, memory.scratch, training.parameters, training.fc1_transposed);
    __syncthreads();
    fc2_forward(classifier, memory.scratch, training.parameters);
    if (warp_index() == 0) loss_backward(classifier, label, batch_length);
    __syncthreads();
    fc2_backward_input(classifier, training.parameters);
    __syncthreads();
    fc1_backward_input(classifier, memory.scratch, training.parameters, memory.winners2, memory.windows);
    __syncthreads();
}

__device__ __forceinline__ void backward_convolutions(SampleMemory &memory, float *gradient) {
    convolve2_backward(memory.convolution, memory.windows, gradient, memory.pool1_gradient);
    __syncthreads();
    convolve1_backward_parameters(memory.convolution, memory.winners1, memory.pool1_gradient, gradient);
}

// The image of the batch's sample `n`, on its way to shared memory.
__device__ __forceinline__ Pixels fetch_sample(const Training &training, const Batch &batch, int n) {
    return fetch_pixels(training.images + (size_t)batch.samples[n] * network::IMAGE_PIXELS);
}

// The samples of `step` that fall to this block.
__device__ __forceinline__ void run_samples(SampleMemory &memory, const Training &training, unsigned step) {
    using namespace network;
    const Batch batch = batch_of(training, step);
    const ClassifierMemory &classifier = memory.classifier;
    int n = (int)blockIdx.x;
    if (n >= batch.length) return;
    Pixels pixels = fetch_sample(training, batch, n);
    load_convolutions(memory.convolution, training.parameters);
    for (;;) {
        load_image(memory.convolution, pixels);
        __syncthreads();
        forward_convolutions(memory);
        run_classifier(memory, training, training.labels[batch.samples[n]], batch.length);
        copy(training.pool2 + (size_t)n * POOL2_LEN, classifier.pool2, POOL2_LEN);
        copy(training.hidden + (size_t)n * HIDDEN, classifier.hidden, HIDDEN);
        copy(training.hidden_gradient + (size_t)n * HIDDEN, classifier.hidden_gradient, HIDDEN);
        copy(training.logits_gradient + (size_t)n * CLASSES, classifier.logits_gradient, CLASSES);
        backward_convolutions(memory, training.conv_gradient + (size_t)n * CONV_LEN);
        n += (int)gridDim.x;
        if (n >= batch.length) return;
        pixels = fetch_sample(training, batch, n);
        __syncthreads();
    }
}
