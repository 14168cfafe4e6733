// Backward, the convolutions: one sample's gradients from pool2's gradient, by one block.
//
// Only a window's winner has a gradient, so every sum is sparse: a warp lists its terms in their order, then adds them.
// - conv2's weights: one warp an output channel; 16 lanes an input channel each, twice, for half of the nine taps.
//   Start +0.0, terms in raster order of the pooled places; the bias likewise.
// - conv2's input: one warp a 2 × 2 tile of pool1; 16 lanes an input channel each, twice, for one column of the tile.
//   Start +0.0, terms in the order output channel, then pooled place in raster order.
// - conv1's weights: one warp an output channel, one lane a tap or the bias. Start +0.0, terms in raster order.
#pragma once
#include "block.cuh"
#include "classifier.cuh"
#include "forward.cuh"

struct BackwardMemory {
    Term terms[WARPS][WARP];  // every warp's list
};

// Where conv2's weight gradients stand in a sample's gradients: [output channel][tap][input channel], so that the lanes
// of a warp write neighbours. All others stand in the order of the parameters.
__device__ __forceinline__ int conv2_gradient_place(int output, int input, int tap) {
    return network::CONV2_WEIGHT + (output * network::KERNEL_LEN + tap) * network::CONV1_CHANNELS + input;
}

// conv2's weight and bias gradients of this sample.
__device__ __forceinline__ void convolve2_backward_parameters(const ConvolutionMemory &convolution,
                                                              const ClassifierMemory &classifier,
                                                              const unsigned char *winners, BackwardMemory &memory,
                                                              float *gradient) {
    using namespace network;
    constexpr int TAPS = (KERNEL_LEN + 1) / 2;
    Term *terms = memory.terms[warp_index()];
    const int lane = lane_index(), input = lane % CONV1_CHANNELS, first_tap = lane / CONV1_CHANNELS * TAPS;
    const float *inputs[TAPS];
#pragma unroll
    for (int j = 0; j < TAPS; j++) {
        const int tap = min(first_tap + j, KERNEL_LEN - 1);
        inputs[j] = convolution.pool1 + input * POOL1_PLANE + tap / 3 * POOL1_ROW + tap % 3;
    }
    for (int output = warp_index(); output < CONV2_CHANNELS; output += WARPS) {
        const int place = min(lane, POOL2_AREA - 1), index = output * POOL2_AREA + place, winner = winners[index];
        const int row = 2 * (place / POOL2_SIDE) + winner / 2, column = 2 * (place % POOL2_SIDE) + winner % 2;
        const bool keep = lane < POOL2_AREA && winner != NO_WINNER;
        const int count = list_terms(terms, keep, {classifier.pool2_gradient[index], row * POOL1_ROW + column});
        float sums[TAPS] = {}, bias = 0.0f;
#pragma unroll 4
        for (int k = 0; k < count; k++) {
            const Term term = terms[k];
            bias = add(bias, term.factor);
#pragma unroll
            for (int j = 0; j < TAPS; j++) sums[j] = add_product(sums[j], term.factor, inputs[j][term.place]);
        }
#pragma unroll
        for (int j = 0; j < TAPS; j++) {
            if (first_tap + j < KERNEL_LEN) gradient[conv2_gradient_place(output, input, first_tap + j)] = sums[j];
        }
        if (lane == 0) gradient[CONV2_BIAS + output] = bias;
    }
}

// Places of pool1 that conv2 reads: its rows and columns 0 to 11, since pooling drops the eleventh of its output.
constexpr int CONV2_REACH = 2 * network::POOL2_SIDE + 2;
constexpr int TILE_SIDE = CONV2_REACH / 2;

// The tiles in an order that gives every warp its share: the inner ones, which four windows reach, then those at the
// edges (two windows), then the corners (one).
__device__ __forceinline__ int2 tile_at(int index) {
    constexpr int INNER = TILE_SIDE - 2, LAST = TILE_SIDE - 1;
    if (index < INNER * INNER) return {1 + index / INNER, 1 + index % INNER};
    index -= INNER * INNER;
    if (index < 4 * INNER) {
        const int along = 1 + index % INNER, across = index / INNER % 2 * LAST;
        return index / INNER < 2 ? int2{across, along} : int2{along, across};
    }
    index -= 4 * INNER;
    return {index / 2 * LAST, index % 2 * LAST};
}

// The gradient of pool1, [channel][row][column] over CONV2_REACH rows and columns; all others are 0.
__device__ __forceinline__ void convolve2_backward_input(const ConvolutionMemory &convolution,
                                                         const ClassifierMemory &classifier,
                                                         const unsigned char *winners, BackwardMemory &memory,
                                                         float *pool1_gradient) {
    using namespace network;
    Term *terms = memory.terms[warp_index()];
    const int lane = lane_index(), input = lane % CONV1_CHANNELS, x = lane / CONV1_CHANNELS;
    for (int index = warp_index(); index < TILE_SIDE * TILE_SIDE; index += WARPS) {
        const int2 tile = tile_at(index);
        float sums[2] = {0.0f, 0.0f};
        // Each lane finds one of the terms: 8 output channels × the 4 windows that reach the tile.
        for (int first = 0; first < CONV2_CHANNELS; first += WARP / 4) {
            const int output = first + lane / 4, above = 1 - lane / 2 % 2, left = 1 - lane % 2;
            const int row = tile.x - above, column = tile.y - left;
            const bool inside = row >= 0 && row < POOL2_SIDE && column >= 0 && column < POOL2_SIDE;
            const int window = inside ? output * POOL2_AREA + row * POOL2_SIDE + column : 0;
            const int winner = winners[window];
            // The tap that the tile's first place has under the winner; −1 and 2 concern half of the tile only.
            const int tap_row = 2 * above - winner / 2, tap_column = 2 * left - winner % 2;
            const int weight = (3 * tap_row + tap_column) * CONV2_TAP + output;
            const int count = list_terms(terms, inside && winner != NO_WINNER,
                                         {classifier.pool2_gradient[window],
                                          weight * 16 + (tap_row + 1) * 4 + (tap_column + 1)});
#pragma unroll 4
            for (int k = 0; k < count; k++) {
                const Term term = terms[k];
                const int first_row = (term.place >> 2 & 3) - 1, lane_column = (term.place & 3) - 1 + x;
                const float *weights =
                    convolution.conv2_weight + (input * CONV2_INPUT + x * CONV2_TAP + (term.place >> 4));
                if (lane_column >= 0 && lane_column < 3) {
                    if (first_row >= 0) sums[0] = add_product(sums[0], term.factor, weights[0]);
                    if (first_row < 2) sums[1] = add_product(sums[1], term.factor, weights[3 * CONV2_TAP]);
                }
            }
        }
        float *out = pool1_gradient + (input * CONV2_REACH + 2 * tile.x) * CONV2_REACH + 2 * tile.y + x;
        out[0] = sums[0];
        out[CONV2_REACH] = sums[1];
    }
}

// conv1's weight and bias gradients of this sample.
__device__ __forceinline__ void convolve1_backward_parameters(const ConvolutionMemory &convolution,
                                                              const unsigned char *winners,
                                                              const float *pool1_gradient, BackwardMemory &memory,
                                                              float *gradient) {
    using namespace network;
    constexpr int AREA = CONV2_REACH * CONV2_REACH;
    Term *terms = memory.terms[warp_index()];
    const int lane = lane_index(), tap = min(lane, KERNEL_LEN - 1), offset = tap / 3 * IMAGE_SIDE + tap % 3;
    for (int output = warp_index(); output < CONV1_CHANNELS; output += WARPS) {
        float sum = 0.0f;
        for (int first = 0; first < AREA; first += WARP) {
            const int place = min(first + lane, AREA - 1), row = place / CONV2_REACH, column = place % CONV2_REACH;
            const int winner = winners[(output * POOL1_SIDE + row) * POOL1_SIDE + column];
            const bool keep = first + lane < AREA && winner != NO_WINNER;
            const int count = list_terms(terms, keep,
                                         {pool1_gradient[output * AREA + place],
                                          (2 * row + winner / 2) * IMAGE_SIDE + 2 * column + winner % 2});
#pragma unroll 4
            for (int k = 0; k < count; k++) {
                const Term term = terms[k];
                const float value = lane < KERNEL_LEN ? convolution.image[term.place + offset] : 1.0f;
                sum = add_product(sum, term.factor, value);
            }
        }
        if (lane < KERNEL_LEN) gradient[CONV1_WEIGHT + output * KERNEL_LEN + lane] = sum;
        if (lane == KERNEL_LEN) gradient[CONV1_BIAS + output] = sum;
    }
}
