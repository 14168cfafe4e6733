// Backward, the convolutions: one sample's gradients from pool2's gradient, by one block.
//
// Only a window's winner has a gradient. What bounds these phases is the number of instructions and of reads of shared
// memory for each product, not the products.
// - conv2's weights: half a warp an output channel, one lane an input channel with all nine taps. Start +0.0, terms in
//   raster order of the pooled places; the bias likewise. A window without a gradient adds ±0.0, which changes nothing.
// - conv2's input: one warp two rows of pool1, half of it a row, one lane an input channel: its weights of an output
//   channel and its row's sums stay in registers. Start +0.0, terms in the order output channel, then pooled place in
//   raster order.
// - conv1's weights: half a warp an output channel, one lane a tap. Start +0.0, terms in raster order; the bias likewise.
#pragma once
#include "block.cuh"
#include "classifier.cuh"
#include "forward.cuh"

// Where conv2's weight gradients stand in a sample's gradients: [output channel][tap][input channel], so that the lanes
// of a warp write neighbours. All others stand in the order of the parameters.
__device__ __forceinline__ int conv2_gradient_place(int output, int input, int tap) {
    return network::CONV2_WEIGHT + (output * network::KERNEL_LEN + tap) * network::CONV1_CHANNELS + input;
}

// conv2's weight and bias gradients of two output channels, `pair` and the next.
__device__ __forceinline__ void convolve2_backward_parameters(const ConvolutionMemory &convolution,
                                                              const Term *windows, int pair, float *gradient) {
    using namespace network;
    const int input = lane_index() % CONV1_CHANNELS, output = pair + lane_index() / CONV1_CHANNELS;
    const float *inputs = convolution.pool1 + input * POOL1_PLANE;
    windows += output * POOL2_AREA;
    float sums[KERNEL_LEN] = {}, bias = 0.0f;
    for (int row = 0; row < POOL2_SIDE; row++) {
#pragma unroll
        for (int column = 0; column < POOL2_SIDE; column++) {
            const Term window = windows[row * POOL2_SIDE + column];
            const float *values = at_place(inputs + 2 * row * POOL1_ROW + 2 * column, (unsigned)window.place);
            bias = add(bias, window.factor);
#pragma unroll
            for (int tap = 0; tap < KERNEL_LEN; tap++)
                sums[tap] = add_product(sums[tap], window.factor, values[tap / 3 * POOL1_ROW + tap % 3]);
        }
    }
#pragma unroll
    for (int tap = 0; tap < KERNEL_LEN; tap++) gradient[conv2_gradient_place(output, input, tap)] = sums[tap];
    if (input == 0) gradient[CONV2_BIAS + output] = bias;
}

// Places of pool1 that conv2 reads: its rows and columns 0 to 11, since pooling drops the eleventh of its output.
constexpr int CONV2_REACH = 2 * network::POOL2_SIDE + 2;
constexpr int STRIPS = CONV2_REACH / 2;

// The weights of three taps in a row. A row that does not exist is 0: its terms are ±0.0 and change nothing.
__device__ __forceinline__ void load_taps(const float *weights, bool exist, float (&taps)[3]) {
#pragma unroll
    for (int column = 0; column < 3; column++) taps[column] = exist ? weights[column * CONV2_TAP] : 0.0f;
}

// What a window's place tells of its winner by single bits: whether it is one to the right, whether it is one below.
constexpr int RIGHT_BIT = 4, LOW_BIT = 32;
constexpr int ONE_RIGHT = (int)sizeof(float), ONE_BELOW = POOL1_ROW * (int)sizeof(float);
static_assert((ONE_RIGHT & RIGHT_BIT) != 0 && (ONE_RIGHT & LOW_BIT) == 0, "the right one's place has the first bit alone");
static_assert((ONE_BELOW & RIGHT_BIT) == 0 && (ONE_BELOW & LOW_BIT) != 0, "the one below, the second alone");
static_assert((ONE_RIGHT & ONE_BELOW) == 0, "the one below to the right has both");

// Adds what the five windows of a row pass back to the lane's row of a strip. The taps are `high` where a window's
// winner is in its upper row, else `low`.
__device__ __forceinline__ void add_windows(const Term *windows, const float (&high)[3], const float (&low)[3],
                                            float (&sums)[CONV2_REACH]) {
#pragma unroll
    for (int column = 0; column < network::POOL2_SIDE; column++) {
        const Term window = windows[column];
        const bool is_low = (window.place & LOW_BIT) != 0, is_right = (window.place & RIGHT_BIT) != 0;
        float terms[3];
#pragma unroll
        for (int tap = 0; tap < 3; tap++) terms[tap] = multiply(window.factor, is_low ? low[tap] : high[tap]);
        float *reached = sums + 2 * column;
        reached[0] = is_right ? reached[0] : add(reached[0], terms[0]);
        reached[1] = add(reached[1], is_right ? terms[0] : terms[1]);
        reached[2] = add(reached[2], is_right ? terms[1] : terms[2]);
        reached[3] = is_right ? add(reached[3], terms[2]) : reached[3];
    }
}

// Two rows of pool1's gradient, which is [channel][row][column] over CONV2_REACH rows and columns; all others are 0, as
// are windows of pool1 without a winner.
__device__ __forceinline__ void convolve2_backward_input(const ConvolutionMemory &convolution, const Term *windows,
                                                         int strip, float *pool1_gradient) {
    using namespace network;
    const int input = lane_index() % CONV1_CHANNELS, below = lane_index() / CONV1_CHANNELS;
    float sums[CONV2_REACH] = {};
#pragma unroll 1
    for (int output = 0; output < CONV2_CHANNELS; output++) {
        // The kernel's row under the lane's row of the strip, for winners two rows above the strip to one below its start.
        const float *weights = convolution.conv2_weight + input * CONV2_INPUT + output + below * 3 * CONV2_TAP;
        float taps[4][3];
        load_taps(weights + 2 * 3 * CONV2_TAP, below == 0, taps[0]);
        load_taps(weights + 3 * CONV2_TAP, true, taps[1]);
        load_taps(weights, true, taps[2]);
        load_taps(weights - 3 * CONV2_TAP, below == 1, taps[3]);
        const Term *rows = windows + output * POOL2_AREA;
        if (strip > 0) add_windows(rows + (strip - 1) * POOL2_SIDE, taps[0], taps[1], sums);
        if (strip < POOL2_SIDE) add_windows(rows + strip * POOL2_SIDE, taps[2], taps[3], sums);
    }
    const int row = 2 * strip + below;
    const float *pool1 = convolution.pool1 + input * POOL1_PLANE + row * POOL1_ROW;
    float *out = pool1_gradient + (input * CONV2_REACH + row) * CONV2_REACH;
#pragma unroll
    for (int column = 0; column < CONV2_REACH; column++) out[column] = pool1[column] > 0.0f ? sums[column] : 0.0f;
}

// conv2's backward pass. The warps of one scheduler are those of one index modulo 4, and a strip is as much work for it
// as eight pairs of output channels: two schedulers take two strips each, the others one and half of the pairs.
__device__ __forceinline__ void convolve2_backward(const ConvolutionMemory &convolution, const Term *windows,
                                                   float *gradient, float *pool1_gradient) {
    static_assert(WARPS == 16 && STRIPS == 6, "strips for warps 0 to 5, pairs for 6, 7, 10, 11, 14 and 15");
    const int warp = warp_index();
    if (warp < STRIPS) {
        convolve2_backward_input(convolution, windows, warp, pool1_gradient);
    } else if (warp % 4 >= 2) {
        const int index = warp / 4 * 2 + warp % 2 - 2;
#pragma unroll 1
        for (int pair = index; pair < network::CONV2_CHANNELS / 2; pair += 6)
            convolve2_backward_parameters(convolution, windows, 2 * pair, gradient);
    }
}

// conv1's weight and bias gradients of this sample. `winners` has the winners' places from their windows' corners.
__device__ __forceinline__ void convolve1_backward_parameters(const ConvolutionMemory &convolution,
                                                              const unsigned char *winners,
                                                              const float *pool1_gradient, float *gradient) {
    using namespace network;
    static_assert(CONV1_CHANNELS <= 2 * WARPS && KERNEL_LEN <= WARP / 2, "half a warp for every output channel");
    const int output = 2 * warp_index() + lane_index() / (WARP / 2), lane = lane_index() % (WARP / 2);
    if (output >= CONV1_CHANNELS) return;
    const int tap = min(lane, KERNEL_LEN - 1);
    float sum = 0.0f, bias = 0.0f;
    for (int row = 0; row < CONV2_REACH; row++) {
        const float *factors = pool1_gradient + (output * CONV2_REACH + row) * CONV2_REACH;
        const unsigned char *places = winners + (output * POOL1_SIDE + row) * POOL1_SIDE;
        const float *image = convolution.image + (2 * row + tap / 3) * IMAGE_SIDE + tap % 3;
#pragma unroll
        for (int column = 0; column < CONV2_REACH; column++) {
            bias = add(bias, factors[column]);
            sum = add_product(sum, factors[column], image[2 * column + places[column]]);
        }
    }
    if (lane < KERNEL_LEN) gradient[CONV1_WEIGHT + output * KERNEL_LEN + lane] = sum;
    if (lane == KERNEL_LEN) gradient[CONV1_BIAS + output] = bias;
}
