// Second phase of a step: the gradients of the batch and the optimiser.
//
// Each gradient starts from +0.0 and takes its terms in the order of the samples; one thread forms it and updates its
// parameter. fc1's weight goes by tiles of outputs × inputs: half of a block's threads have three weights each, fed
// from shared memory. All other parameters are few: the other half takes them, a warp 32 neighbours at a time.
#pragma once
#include "backward.cuh"
#include "block.cuh"
#include "math.cuh"
#include "network.cuh"
#include "training.cuh"

constexpr int TILE_INPUTS = WARP;
constexpr int TILE_THREADS = THREADS / 2;
constexpr int TILE_WARPS = TILE_THREADS / WARP;
constexpr int TILE_OUTPUTS = 3 * TILE_WARPS;
constexpr int TILES_ACROSS = network::POOL2_LEN / TILE_INPUTS;
constexpr int TILES = network::HIDDEN / TILE_OUTPUTS * TILES_ACROSS;
static_assert(TILES * TILE_OUTPUTS * TILE_INPUTS == network::HIDDEN * network::POOL2_LEN, "tiles cover the weight");
// Samples whose factors shared memory holds at once.
constexpr int TILE_SAMPLES = 100;

struct UpdateMemory {
    float inputs[TILE_SAMPLES][TILE_INPUTS];
    float gradients[TILE_SAMPLES][TILE_OUTPUTS];
};

// A parameter and its momentum, loaded before they are needed: several at once, or while the gradient is formed.
struct Parameter {
    int index;
    float value, momentum;
};

__device__ __forceinline__ Parameter load_parameter(const Training &training, int index) {
    return {index, training.parameters[index], training.momentum[index]};
}

// PyTorch's SGD: g ← g + λ·w; v ← μ·v + g; w ← w − lr·v. Returns the new parameter; the step fails if that is out of
// range.
__device__ __forceinline__ float update_parameter(const Training &training, unsigned step, const Parameter &parameter,
                                                  float gradient) {
    gradient = add(gradient, multiply(training.weight_decay, parameter.value));
    const float momentum = add(multiply(training.momentum_factor, parameter.momentum), gradient);
    const float updated = subtract(parameter.value, multiply(training.learning_rate, momentum));
    training.momentum[parameter.index] = momentum;
    training.parameters[parameter.index] = updated;
    if (!in_range(updated)) atomicMin(training.failed_step, step);
    return updated;
}

// Σ_n a[n] · b[n], from +0.0. The strides are in values.
__device__ __forceinline__ float sum_products(const float *a, int a_stride, const float *b, int b_stride, int length) {
    float sum = 0.0f;
#pragma unroll 25
    for (int n = 0; n < length; n++) sum = add_product(sum, a[(size_t)n * a_stride], b[(size_t)n * b_stride]);
    return sum;
}

// Σ_n a[n], from +0.0.
__device__ __forceinline__ float sum_values(const float *a, int stride, int length) {
    float sum = 0.0f;
#pragma unroll 50
    for (int n = 0; n < length; n++) sum = add(sum, a[(size_t)n * stride]);
    return sum;
}

// A parameter of the convolutions, at its place among a sample's gradients.
__device__ __forceinline__ void update_convolution(const Training &training, unsigned step, int place, int batch_length) {
    using namespace network;
    if (!trains(training, place < CONV2_WEIGHT ? LAYER_CONV1 : LAYER_CONV2)) return;
    int index = place;
    if (place >= CONV2_WEIGHT && place < CONV2_BIAS) {
        const int input = (place - CONV2_WEIGHT) % CONV1_CHANNELS, rest = (place - CONV2_WEIGHT) / CONV1_CHANNELS;
        const int output = rest / KERNEL_LEN, tap = rest % KERNEL_LEN;
        index = CONV2_WEIGHT + (output * CONV1_CHANNELS + input) * KERNEL_LEN + tap;
    }
    const Parameter parameter = load_parameter(training, index);
    const float gradient = sum_values(training.conv_gradient + place, CONV_LEN, batch_length);
    update_parameter(training, step, parameter, gradient);
}

// One of fc1.bias, fc2.weight, fc2.bias, counted from fc1.bias.
__device__ __forceinline__ void update_classifier(const Training &training, unsigned step, int place,
                                                  int batch_length) {
    using namespace network;
    const int index = FC1_BIAS + place;
    if (!trains(training, index < FC2_WEIGHT ? LAYER_FC1 : LAYER_FC2)) return;
    const Parameter parameter = load_parameter(training, index);
    float gradient;
    if (index < FC2_WEIGHT) {
        gradient = sum_values(training.hidden_gradient + place, HIDDEN, batch_length);
    } else if (index < FC2_BIAS) {
        const int output = (index - FC2_WEIGHT) / HIDDEN, input = (index - FC2_WEIGHT) % HIDDEN;
        gradient = sum_products(training.logits_gradient + output, CLASSES, training.hidden + input, HIDDEN,
                                batch_length);
    } else {
        gradient = sum_values(training.logits_gradient + (index - FC2_BIAS), CLASSES, batch_length);
    }
    update_parameter(training, step, parameter, gradient);
}

// Everything but fc1's weight, by the warps of all blocks that have no tile.
__device__ __forceinline__ void update_small_tensors(const Training &training, unsigned step, int batch_length) {
    using namespace network;
    constexpr int COUNT = CONV_LEN + HIDDEN + CLASSES * HIDDEN + CLASSES;
    const int warp = warp_index() - TILE_WARPS;
    for (int first = (warp * (int)gridDim.x + (int)blockIdx.x) * WARP; first < COUNT;
         first += (WARPS - TILE_WARPS) * (int)gridDim.x * WARP) {
        const int place = first + lane_index();
        if (place < CONV_LEN) {
            update_convolution(training, step, place, batch_length);
        } else if (place < COUNT) {
            update_classifier(training, step, place - CONV_LEN, batch_length);
        }
    }
}

// Brings a tile's factors of the samples from `first` on to shared memory.
__device__ __forceinline__ void load_tile(UpdateMemory &memory, const Training &training, int tile, int first,
                                          int samples) {
    using namespace network;
    constexpr int INPUT_QUADS = TILE_INPUTS / 4, GRADIENT_QUADS = TILE_OUTPUTS / 4;
    const float *inputs = training.pool2 + tile % TILES_ACROSS * TILE_INPUTS;
    const float *gradients = training.hidden_gradient + tile / TILES_ACROSS * TILE_OUTPUTS;
    for (int i = thread_index(); i < samples * INPUT_QUADS; i += THREADS) {
        const int n = i / INPUT_QUADS, quad = i % INPUT_QUADS;
        reinterpret_cast<float4 *>(memory.inputs[n])[quad] =
            reinterpret_cast<const float4 *>(inputs + (size_t)(first + n) * POOL2_LEN)[quad];
    }
    for (int i = thread_index(); i < samples * GRADIENT_QUADS; i += THREADS) {
        const int n = i / GRADIENT_QUADS, quad = i % GRADIENT_QUADS;
        reinterpret_cast<float4 *>(memory.gradients[n])[quad] =
            reinterpret_cast<const float4 *>(gradients + (size_t)(first + n) * HIDDEN)[quad];
    }
}

// fc1's weight: a thread has one input of the tile and every TILE_WARPS-th of its outputs.
__device__ __forceinline__ void update_fc1_tile(UpdateMemory &memory, const Training &training, unsigned step,
                                                int tile, int batch_length) {
    using namespace network;
    const bool works = thread_index() < TILE_THREADS;
    const int lane = lane_index(), warp = warp_index();
    float sums[3] = {0.0f, 0.0f, 0.0f};
    for (int first = 0; first < batch_length; first += TILE_SAMPLES) {
        const int samples = min(TILE_SAMPLES, batch_length - first);
        __syncthreads();  // the last tile's readers are done
        load_tile(memory, training, tile, first, samples);
        __syncthreads();
        if (!works) continue;
#pragma unroll 4
        for (int n = 0; n < samples; n++) {
#pragma unroll
            for (int j = 0; j < 3; j++)
                sums[j] = add_product(sums[j], memory.gradients[n][warp + j * TILE_WARPS], memory.inputs[n][lane]);
        }
    }
    if (!works) return;
    const int input = tile % TILES_ACROSS * TILE_INPUTS + lane;
    Parameter parameters[3];
#pragma unroll
    for (int j = 0; j < 3; j++) {
        const int output = tile / TILES_ACROSS * TILE_OUTPUTS + warp + j * TILE_WARPS;
        parameters[j] = load_parameter(training, FC1_WEIGHT + output * POOL2_LEN + input);
    }
#pragma unroll
    for (int j = 0; j < 3; j++) {
        const int output = tile / TILES_ACROSS * TILE_OUTPUTS + warp + j * TILE_WARPS;
        training.fc1_transposed[input * HIDDEN + output] = update_parameter(training, step, parameters[j], sums[j]);
    }
}

// The parameters of `step` that fall to this block.
__device__ __forceinline__ void update_parameters(UpdateMemory &memory, const Training &training, unsigned step) {
    const int batch_length = batch_of(training, step).length;
    if (trains(training, LAYER_FC1)) {
        for (int tile = (int)blockIdx.x; tile < TILES; tile += (int)gridDim.x)
            update_fc1_tile(memory, training, step, tile, batch_length);
    }
    if (thread_index() >= TILE_THREADS) update_small_tensors(training, step, batch_length);
}
