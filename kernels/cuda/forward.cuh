// Forward, the convolutions: pixels to pool2, one image by one block.
//
// Each thread computes the pooling windows of four output channels at one place: four convolution sums for each, which
// start from their bias and take their terms in the order input channel, kernel row, kernel column. ReLU and
// max-pooling pick the winner of the four. Neighbouring threads have neighbouring places and mostly the same channels,
// so that weights are broadcast from shared memory. The more channels a thread has, the fewer reads of shared memory
// there are for a product, and the fewer threads have work.
#pragma once
#include "block.cuh"
#include "math.cuh"
#include "network.cuh"

// pool1 in shared memory: rows padded to an even length, so that a window's inputs are loaded in pairs.
constexpr int POOL1_ROW = 14;
constexpr int POOL1_PLANE = network::POOL1_SIDE * POOL1_ROW;
// conv2's weights in shared memory, [input channel][tap][output channel], padded: strides of 2 modulo 32 for a channel
// and of 33 for a tap give the 16 input channels × 2 rows that the backward pass reads at once 32 different banks.
constexpr int CONV2_TAP = network::CONV2_CHANNELS + 1;
constexpr int CONV2_INPUT = 322;
static_assert(CONV2_INPUT >= network::KERNEL_LEN * CONV2_TAP && CONV2_INPUT % 32 == 2, "no bank twice");

// The input and the parameters of the convolutions, and conv1's output.
struct alignas(16) ConvolutionMemory {
    float image[network::IMAGE_PIXELS];
    float pool1[network::CONV1_CHANNELS * POOL1_PLANE];
    float conv1_weight[network::CONV1_CHANNELS * network::KERNEL_LEN];
    float conv1_bias[network::CONV1_CHANNELS];
    float conv2_weight[network::CONV1_CHANNELS * CONV2_INPUT];
    float conv2_bias[network::CONV2_CHANNELS];
};

// No value of a window is greater than 0: the output is 0 and nothing has a gradient.
constexpr int NO_WINNER = 4;

// Output channels of a thread.
constexpr int OUTPUTS = 4;

// A pooled value and which of the window's four values it was, in raster order.
struct Pooled {
    float value;
    int winner;
};

// A winner's place in rows of this length, from its window's corner.
template <int ROW>
__device__ __forceinline__ int winner_place(int winner) {
    return winner / 2 * ROW + winner % 2;
}

// ReLU and max-pooling: a later value wins only if it is strictly greater, and the winner only if greater than 0.
__device__ __forceinline__ Pooled relu_pool(const float (&window)[4]) {
    Pooled pooled = {window[0], 0};
#pragma unroll
    for (int position = 1; position < 4; position++) {
        if (window[position] > pooled.value) pooled = {window[position], position};
    }
    if (!(pooled.value > 0.0f)) pooled = {0.0f, NO_WINNER};
    return pooled;
}

// Adds the terms of `INPUTS` input channels to the sums of a thread's output channels, four of a window each. `input`
// points to the window's first value, `weight` to the first channel's first weights; the strides are in values.
template <int INPUTS, int PLANE, int ROW, int WEIGHT_INPUT, int WEIGHT_TAP, int WEIGHT_OUTPUT>
__device__ __forceinline__ void add_convolution_terms(const float *input, const float *weight,
                                                      float (&sums)[OUTPUTS][4]) {
    for (int channel = 0; channel < INPUTS; channel++) {
        float patch[4][4];
#pragma unroll
        for (int row = 0; row < 4; row++) {
#pragma unroll
            for (int column = 0; column < 4; column += 2) {
                const float2 pair = *reinterpret_cast<const float2 *>(input + channel * PLANE + row * ROW + column);
                patch[row][column] = pair.x;
                patch[row][column + 1] = pair.y;
            }
        }
#pragma unroll
        for (int tap = 0; tap < network::KERNEL_LEN; tap++) {
#pragma unroll
            for (int output = 0; output < OUTPUTS; output++) {
                const float w = weight[channel * WEIGHT_INPUT + tap * WEIGHT_TAP + output * WEIGHT_OUTPUT];
#pragma unroll
                for (int position = 0; position < 4; position++) {
                    const float x = patch[tap / 3 + position / 2][tap % 3 + position % 2];
                    sums[output][position] = add_product(sums[output][position], x, w);
                }
            }
        }
    }
}

// Brings the convolutions' parameters to shared memory.
__device__ __forceinline__ void load_convolutions(ConvolutionMemory &memory, const float *parameters) {
    using namespace network;
    for (int i = thread_index(); i < CONV1_CHANNELS * KERNEL_LEN; i += THREADS)
        memory.conv1_weight[i] = parameters[CONV1_WEIGHT + i];
    for (int i = thread_index(); i < CONV1_CHANNELS; i += THREADS) memory.conv1_bias[i] = parameters[CONV1_BIAS + i];
    for (int i = thread_index(); i < CONV2_CHANNELS; i += THREADS) memory.conv2_bias[i] = parameters[CONV2_BIAS + i];
    constexpr int OUTPUT = CONV1_CHANNELS * KERNEL_LEN;
    static_assert(CONV2_CHANNELS * OUTPUT % THREADS == 0, "all loads of a thread can be under way at once");
#pragma unroll
    for (int round = 0; round < CONV2_CHANNELS * OUTPUT / THREADS; round++) {
        const int i = round * THREADS + thread_index();
        const int output = i / OUTPUT, input = i % OUTPUT / KERNEL_LEN, tap = i % KERNEL_LEN;
        memory.conv2_weight[input * CONV2_INPUT + tap * CONV2_TAP + output] = parameters[CONV2_WEIGHT + i];
    }
}

// A thread's pixels of an image, on their way from device memory.
struct Pixels {
    static constexpr int COUNT = (network::IMAGE_PIXELS + THREADS - 1) / THREADS;
    unsigned char values[COUNT];
};

__device__ __forceinline__ Pixels fetch_pixels(const unsigned char *image) {
    Pixels pixels;
#pragma unroll
    for (int k = 0; k < Pixels::COUNT; k++)
        pixels.values[k] = image[min(k * THREADS + thread_index(), network::IMAGE_PIXELS - 1)];
    return pixels;
}

// Brings an image to shared memory: (pixel / 255 − 0.5) / 0.5.
__device__ __forceinline__ void load_image(ConvolutionMemory &memory, const Pixels &pixels) {
#pragma unroll
    for (int k = 0; k < Pixels::COUNT; k++) {
        const int i = k * THREADS + thread_index();
        if (i < network::IMAGE_PIXELS)
            memory.image[i] = divide(subtract(divide(__int2float_rn(pixels.values[k]), 255.0f), 0.5f), 0.5f);
    }
}

// conv1, ReLU, max-pool of the image; `emit(index in [channel][row][column], winner)` hears every winner.
// The image is ready; the caller puts a barrier before pool1's first use.
template <class Emit>
__device__ __forceinline__ void convolve1(ConvolutionMemory &memory, Emit emit) {
    using namespace network;
    constexpr int AREA = POOL1_SIDE * POOL1_SIDE;
    for (int item = thread_index(); item < CONV1_CHANNELS / OUTPUTS * AREA; item += THREADS) {
        const int channel = item / AREA * OUTPUTS, place = item % AREA;
        const int row = place / POOL1_SIDE, column = place % POOL1_SIDE;
        float sums[OUTPUTS][4];
#pragma unroll
        for (int output = 0; output < OUTPUTS; output++) {
#pragma unroll
            for (int position = 0; position < 4; position++) sums[output][position] = memory.conv1_bias[channel + output];
        }
        add_convolution_terms<1, IMAGE_PIXELS, IMAGE_SIDE, KERNEL_LEN, 1, KERNEL_LEN>(
            memory.image + 2 * row * IMAGE_SIDE + 2 * column, memory.conv1_weight + channel * KERNEL_LEN, sums);
#pragma unroll
        for (int output = 0; output < OUTPUTS; output++) {
            const Pooled pooled = relu_pool(sums[output]);
            memory.pool1[(channel + output) * POOL1_PLANE + row * POOL1_ROW + column] = pooled.value;
            emit((channel + output) * AREA + place, pooled.winner);
        }
    }
}

// conv2, ReLU, max-pool of pool1; `emit(index in [channel][row][column], pooled)` hears every output.
// pool1 is ready.
template <class Emit>
__device__ __forceinline__ void convolve2(const ConvolutionMemory &memory, Emit emit) {
    using namespace network;
    for (int item = thread_index(); item < CONV2_CHANNELS / OUTPUTS * POOL2_AREA; item += THREADS) {
        const int channel = item / POOL2_AREA * OUTPUTS, place = item % POOL2_AREA;
        const int row = place / POOL2_SIDE, column = place % POOL2_SIDE;
        float sums[OUTPUTS][4];
#pragma unroll
        for (int output = 0; output < OUTPUTS; output++) {
#pragma unroll
            for (int position = 0; position < 4; position++) sums[output][position] = memory.conv2_bias[channel + output];
        }
        add_convolution_terms<CONV1_CHANNELS, POOL1_PLANE, POOL1_ROW, CONV2_INPUT, CONV2_TAP, 1>(
            memory.pool1 + 2 * row * POOL1_ROW + 2 * column, memory.conv2_weight + channel, sums);
#pragma unroll
        for (int output = 0; output < OUTPUTS; output++)
            emit((channel + output) * POOL2_AREA + place, relu_pool(sums[output]));
    }
}
