// What a training step reads and writes in device memory.
#pragma once

// kernels/src/lib.rs has the same struct.
struct Training {
    const unsigned char *images;  // [sample][784]
    const unsigned char *labels;
    const unsigned *order;  // the epoch's samples
    float *parameters;      // in PyTorch's order
    float *momentum;
    float *fc1_transposed;  // fc1.weight once more, [input][output]
    // Of each sample of the batch:
    float *pool2;            // [n][800]
    float *hidden;           // [n][120]
    float *hidden_gradient;  // [n][120]
    float *logits_gradient;  // [n][10]
    float *conv_gradient;    // [n][4800], see conv2_gradient_place
    unsigned *failed_step;   // NO_STEP, or the first step that took a parameter out of range: it is the last
    unsigned *arrived;       // the grid barrier's counter
    unsigned length;         // of the order
    unsigned batch_length;
    float learning_rate, momentum_factor, weight_decay;
    unsigned layers;  // those that are trained, LAYER_…; the parameters of the others stay as they are
};

constexpr unsigned LAYER_CONV1 = 1, LAYER_CONV2 = 2, LAYER_FC1 = 4, LAYER_FC2 = 8;

constexpr unsigned NO_STEP = 0xffffffffu;

// Whether a layer is trained.
__device__ __forceinline__ bool trains(const Training &training, unsigned layer) {
    return (training.layers & layer) != 0;
}

// The samples of one step.
struct Batch {
    const unsigned *samples;
    int length;
};

__device__ __forceinline__ Batch batch_of(const Training &training, unsigned step) {
    const unsigned first = step * training.batch_length;
    return {training.order + first, (int)min(training.batch_length, training.length - first)};
}

// Whether a step before `step` failed.
__device__ __forceinline__ bool has_failed_before(const Training &training, unsigned step) {
    return *reinterpret_cast<volatile unsigned *>(training.failed_step) < step;
}
