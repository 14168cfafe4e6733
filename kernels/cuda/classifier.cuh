// fc1, ReLU, fc2, loss, and the way back to pool2: one sample by one block.
//
// - fc1: one thread an output. The sum starts from the bias, terms in the order of the inputs. Inputs that are 0 are
//   left out: their terms are ±0.0 and could change nothing but the sign of a sum that is zero, which ReLU takes away.
// - fc2: products by all threads; one lane an output adds them to the bias in the order of the inputs.
// - The logits' gradient: one lane a class, the sum of exponentials in the order of the classes.
// - hidden's gradient: one thread a value; starts from +0.0, terms in the order of the classes; 0 where ReLU is off.
// - pool2's gradient: one thread two values; starts from +0.0, terms in the order of fc1's outputs. Terms of outputs
//   without a gradient are ±0.0 and left out. It goes on as what conv2's backward pass adds up: see window_gradient.
#pragma once
#include "block.cuh"
#include "forward.cuh"
#include "loss.cuh"
#include "network.cuh"

struct ClassifierMemory {
    float pool2[network::POOL2_LEN];
    float hidden[network::HIDDEN];
    float hidden_gradient[network::HIDDEN];
    float logits[network::CLASSES];
    float exponentials[network::CLASSES];
    float logits_gradient[network::CLASSES];
    unsigned masks[(network::POOL2_LEN + WARP - 1) / WARP];
};

// Terms of fc1 whose weights are under way at once, and room for whole rounds of them.
constexpr int FC1_DEPTH = 32;
constexpr int FC1_ROOM = (network::POOL2_LEN + FC1_DEPTH - 1) / FC1_DEPTH * FC1_DEPTH;

// Needed only while the classifier works.
struct ClassifierScratch {
    // Rows of one odd length, so that the ten lanes that add them up read ten banks.
    static constexpr int PRODUCT_ROW = network::HIDDEN + 1;
    Terms<FC1_ROOM> active;
    float products[network::CLASSES * PRODUCT_ROW];
};

// The weights of the four terms from `rows` on, if `weights` points to the output's first.
__device__ __forceinline__ void load_weights(const float *weights, const unsigned *rows, float (&four)[4]) {
    const uint4 row = *reinterpret_cast<const uint4 *>(rows);
    four[0] = *at_place(weights, row.x);
    four[1] = *at_place(weights, row.y);
    four[2] = *at_place(weights, row.z);
    four[3] = *at_place(weights, row.w);
}

// hidden from pool2. `fc1_transposed` is fc1's weight as [input][output]: neighbouring threads read neighbouring
// weights. The weights of the next FC1_DEPTH terms are always under way.
__device__ __forceinline__ void fc1_forward(ClassifierMemory &memory, ClassifierScratch &scratch,
                                            const float *parameters, const float *fc1_transposed) {
    using namespace network;
    constexpr int ROW = HIDDEN * sizeof(float);
    const int count = list_nonzero<POOL2_LEN, FC1_DEPTH, ROW>(memory.pool2, scratch.active, memory.masks);
    const int output = thread_index();
    if (output >= HIDDEN) return;
    const float *weights = fc1_transposed + output;
    float sum = parameters[FC1_BIAS + output];
    float next[FC1_DEPTH / 4][4];
#pragma unroll
    for (int k = 0; k < FC1_DEPTH; k += 4) {
        if (count > 0) load_weights(weights, scratch.active.places + k, next[k / 4]);
    }
    for (int first = 0; first < count; first += FC1_DEPTH) {
        const bool more = first + FC1_DEPTH < count;
#pragma unroll
        for (int k = 0; k < FC1_DEPTH; k += 4) {
            const float4 factors = *reinterpret_cast<const float4 *>(scratch.active.factors + first + k);
            sum = add_product(sum, factors.x, next[k / 4][0]);
            sum = add_product(sum, factors.y, next[k / 4][1]);
            sum = add_product(sum, factors.z, next[k / 4][2]);
            sum = add_product(sum, factors.w, next[k / 4][3]);
            if (more) load_weights(weights, scratch.active.places + first + FC1_DEPTH + k, next[k / 4]);
        }
    }
    memory.hidden[output] = sum > 0.0f ? sum : 0.0f;
}

// logits from hidden.
__device__ __forceinline__ void fc2_forward(ClassifierMemory &memory, ClassifierScratch &scratch,
                                            const float *parameters) {
    using namespace network;
    for (int i = thread_index(); i < CLASSES * HIDDEN; i += THREADS) {
        scratch.products[i / HIDDEN * ClassifierScratch::PRODUCT_ROW + i % HIDDEN] =
            multiply(memory.hidden[i % HIDDEN], parameters[FC2_WEIGHT + i]);
    }
    __syncthreads();
    const int output = thread_index();
    if (output < CLASSES) {
        float sum = parameters[FC2_BIAS + output];
#pragma unroll 8
        for (int i = 0; i < HIDDEN; i++)
            sum = add(sum, scratch.products[output * ClassifierScratch::PRODUCT_ROW + i]);
        memory.logits[output] = sum;
    }
}

// The gradient of the logits: (p_j − [j = label]) / batch length. Called by the first warp alone, which has written the
// logits.
__device__ __forceinline__ void loss_backward(ClassifierMemory &memory, int label, int batch_length) {
    using namespace network;
    const int j = lane_index();
    __syncwarp();
    const float largest = largest_logit(memory.logits);
    if (j < CLASSES) memory.exponentials[j] = network_exp(subtract(memory.logits[j], largest));
    __syncwarp();
    const float sum = sum_exponentials(memory.exponentials);
    if (j < CLASSES) {
        float gradient = divide(memory.exponentials[j], sum);
        if (j == label) gradient = subtract(gradient, 1.0f);
        memory.logits_gradient[j] = divide(gradient, __int2float_rn(batch_length));
    }
}

// The gradient of hidden before its ReLU.
__device__ __forceinline__ void fc2_backward_input(ClassifierMemory &memory, const float *parameters) {
    using namespace network;
    const int i = thread_index();
    if (i >= HIDDEN) return;
    float sum = 0.0f;
#pragma unroll
    for (int o = 0; o < CLASSES; o++)
        sum = add_product(sum, memory.logits_gradient[o], parameters[FC2_WEIGHT + o * HIDDEN + i]);
    memory.hidden_gradient[i] = memory.hidden[i] == 0.0f ? 0.0f : sum;
}

// What a window of conv2's output passes back: the gradient, and the winner's place in pool1, in bytes from the window's
// corner. A window without a winner passes 0 back from its corner.
__device__ __forceinline__ Term window_gradient(float gradient, int winner) {
    if (winner == NO_WINNER) return {0.0f, 0};
    return {gradient, winner_place<POOL1_ROW>(winner) * (int)sizeof(float)};
}

// pool2's gradient, window by window.
__device__ __forceinline__ void fc1_backward_input(ClassifierMemory &memory, ClassifierScratch &scratch,
                                                   const float *parameters, const unsigned char *winners,
                                                   Term *windows) {
    using namespace network;
    constexpr int DEPTH = 8, ROW = POOL2_LEN * sizeof(float);
    const int count = list_nonzero<HIDDEN, DEPTH, ROW>(memory.hidden_gradient, scratch.active, memory.masks);
    const int i = 2 * thread_index();
    if (i >= POOL2_LEN) return;
    const float *weights = parameters + FC1_WEIGHT + i;
    float2 sum = {0.0f, 0.0f};
    for (int first = 0; first < count; first += DEPTH) {
#pragma unroll
        for (int k = first; k < first + DEPTH; k++) {
            const float factor = scratch.active.factors[k];
            const float2 weight = *reinterpret_cast<const float2 *>(at_place(weights, scratch.active.places[k]));
            sum.x = add_product(sum.x, factor, weight.x);
            sum.y = add_product(sum.y, factor, weight.y);
        }
    }
    windows[i] = window_gradient(sum.x, winners[i]);
    windows[i + 1] = window_gradient(sum.y, winners[i + 1]);
}
