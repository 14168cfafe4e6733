// The kernels of evaluation: many samples forward, their losses and predictions.
#include "block.cuh"
#include "forward.cuh"
#include "loss.cuh"
#include "network.cuh"

// kernels/src/lib.rs launches with this size; two blocks fit a multiprocessor of every GPU from Volta on but Turing's.
constexpr int EVALUATE_SHARED_BYTES = 37 << 10;
static_assert(sizeof(ConvolutionMemory) <= EVALUATE_SHARED_BYTES, "the shared memory of one block");

// Samples `first` to `first + count − 1`: pixels to pool2, [count][800]. A block takes one sample after another and
// keeps the parameters in shared memory.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    evaluate_convolutions(const unsigned char *images, unsigned first, unsigned count, const float *parameters,
                          float *pool2) {
    DYNAMIC_SHARED(ConvolutionMemory, memory);
    load_convolutions(memory, parameters);
    for (unsigned n = blockIdx.x; n < count; n += gridDim.x) {
        load_image(memory, fetch_pixels(images + (size_t)(first + n) * network::IMAGE_PIXELS));
        __syncthreads();
        convolve1(memory, [](int, int) {});
        __syncthreads();
        float *out = pool2 + (size_t)n * network::POOL2_LEN;
        convolve2(memory, [&](int index, Pooled pooled) { out[index] = pooled.value; });
        // No barrier here: the next image goes where convolve1 has read, and pool1 is written after the next barrier.
    }
}

// A block of evaluate_classifier has this many samples; kernels/src/lib.rs has the same number.
constexpr int CLASSIFIER_SAMPLES = 32;
// A thread has this many outputs of fc1, of two samples.
constexpr int THREAD_OUTPUTS = 4;
constexpr int OUTPUT_GROUPS = network::HIDDEN / THREAD_OUTPUTS;
static_assert(OUTPUT_GROUPS * CLASSIFIER_SAMPLES / 2 <= THREADS, "a thread for every pair of samples");
// Inputs of fc1 that shared memory holds at once.
constexpr int INPUT_CHUNK = 32;

struct alignas(16) ClassifierTile {
    float weight[INPUT_CHUNK][network::HIDDEN];
    float inputs[INPUT_CHUNK][CLASSIFIER_SAMPLES + 2];  // even rows, since samples are read in pairs
    float hidden[CLASSIFIER_SAMPLES][network::HIDDEN + 1];
    float logits[CLASSIFIER_SAMPLES][network::CLASSES + 1];
};
static_assert(sizeof(ClassifierTile) <= EVALUATE_SHARED_BYTES, "the shared memory of one block");

// The tile's share of fc1: INPUT_CHUNK terms of every output, in the order of the inputs.
__device__ __forceinline__ void add_fc1_terms(const ClassifierTile &tile, int outputs, int samples,
                                              float (&sums)[2][THREAD_OUTPUTS]) {
#pragma unroll 8
    for (int k = 0; k < INPUT_CHUNK; k++) {
        const float4 weight = *reinterpret_cast<const float4 *>(&tile.weight[k][outputs]);
        const float2 x = *reinterpret_cast<const float2 *>(&tile.inputs[k][samples]);
        sums[0][0] = add_product(sums[0][0], x.x, weight.x);
        sums[0][1] = add_product(sums[0][1], x.x, weight.y);
        sums[0][2] = add_product(sums[0][2], x.x, weight.z);
        sums[0][3] = add_product(sums[0][3], x.x, weight.w);
        sums[1][0] = add_product(sums[1][0], x.y, weight.x);
        sums[1][1] = add_product(sums[1][1], x.y, weight.y);
        sums[1][2] = add_product(sums[1][2], x.y, weight.z);
        sums[1][3] = add_product(sums[1][3], x.y, weight.w);
    }
}

// hidden of the block's samples: from the bias, terms in the order of the inputs, then ReLU.
__device__ __forceinline__ void hidden_of_tile(ClassifierTile &tile, const float *pool2, int samples_here,
                                               const float *parameters, const float *fc1_transposed) {
    using namespace network;
    const int outputs = thread_index() % OUTPUT_GROUPS * THREAD_OUTPUTS, pair = thread_index() / OUTPUT_GROUPS * 2;
    const bool works = pair < CLASSIFIER_SAMPLES;
    float sums[2][THREAD_OUTPUTS];
#pragma unroll
    for (int j = 0; j < THREAD_OUTPUTS; j++) sums[0][j] = sums[1][j] = parameters[FC1_BIAS + outputs + j];
    for (int first = 0; first < POOL2_LEN; first += INPUT_CHUNK) {
        __syncthreads();  // the last chunk's readers are done
        for (int i = thread_index(); i < INPUT_CHUNK * HIDDEN; i += THREADS)
            tile.weight[i / HIDDEN][i % HIDDEN] = fc1_transposed[first * HIDDEN + i];
        for (int i = thread_index(); i < CLASSIFIER_SAMPLES * INPUT_CHUNK; i += THREADS) {
            const int n = i / INPUT_CHUNK, k = i % INPUT_CHUNK;
            tile.inputs[k][n] = n < samples_here ? pool2[(size_t)n * POOL2_LEN + first + k] : 0.0f;
        }
        __syncthreads();
        if (works) add_fc1_terms(tile, outputs, pair, sums);
    }
    if (!works) return;
#pragma unroll
    for (int n = 0; n < 2; n++) {
#pragma unroll
        for (int j = 0; j < THREAD_OUTPUTS; j++) {
            tile.hidden[pair + n][outputs + j] = sums[n][j] > 0.0f ? sums[n][j] : 0.0f;
        }
    }
}

// The logits of the block's samples, one thread each: from the bias, terms in the order of the inputs.
__device__ __forceinline__ void logits_of_tile(ClassifierTile &tile, const float *parameters) {
    using namespace network;
    for (int i = thread_index(); i < CLASSIFIER_SAMPLES * CLASSES; i += THREADS) {
        const int n = i % CLASSIFIER_SAMPLES, output = i / CLASSIFIER_SAMPLES;
        const float *weight = parameters + FC2_WEIGHT + output * HIDDEN;
        float sum = parameters[FC2_BIAS + output];
#pragma unroll 8
        for (int k = 0; k < HIDDEN; k++) sum = add_product(sum, tile.hidden[n][k], weight[k]);
        tile.logits[n][output] = sum;
    }
}

// pool2 of `count` samples, [count][800], to their losses and predictions. `labels` starts at the first of them.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    evaluate_classifier(const float *pool2, const unsigned char *labels, unsigned count, const float *parameters,
                        const float *fc1_transposed, float *losses, unsigned char *predictions) {
    using namespace network;
    DYNAMIC_SHARED(ClassifierTile, tile);
    const int first = (int)blockIdx.x * CLASSIFIER_SAMPLES, samples_here = min(CLASSIFIER_SAMPLES, (int)count - first);
    hidden_of_tile(tile, pool2 + (size_t)first * POOL2_LEN, samples_here, parameters, fc1_transposed);
    __syncthreads();
    logits_of_tile(tile, parameters);
    __syncthreads();
    const int n = thread_index();
    if (n >= samples_here) return;
    const float *logits = tile.logits[n];
    const float largest = largest_logit(logits);
    float exponentials[CLASSES];
    int prediction = 0;
    for (int j = 0; j < CLASSES; j++) {
        exponentials[j] = network_exp(subtract(logits[j], largest));
        if (logits[j] > logits[prediction]) prediction = j;
    }
    losses[first + n] = sample_loss(sum_exponentials(exponentials), logits[labels[first + n]], largest);
    predictions[first + n] = (unsigned char)prediction;
}
