// The kernels of training: many steps behind one cooperative launch, or the two phases of a step as kernels of their
// own, for a graph. Both run the same code, hence give the same bits.
#include "samples.cuh"
#include "update.cuh"

// The phases take turns.
union TrainMemory {
    SampleMemory samples;
    UpdateMemory update;
};
// kernels/src/lib.rs launches with this size; 64 KB is what a block can have on every GPU from Volta on.
constexpr int TRAIN_SHARED_BYTES = 64 << 10;
static_assert(sizeof(TrainMemory) <= TRAIN_SHARED_BYTES, "the shared memory of one block");

// Steps `first` to `first + count − 1`. Needs a cooperative launch.
extern "C" __global__ void __launch_bounds__(THREADS, 1) train_steps(Training training, unsigned first, unsigned count) {
    DYNAMIC_SHARED(TrainMemory, memory);
    for (unsigned step = first; step < first + count; step++) {
        run_samples(memory.samples, training, step);
        grid_barrier(training.arrived);
        if (has_failed(training)) return;
        update_parameters(memory.update, training, step);
        grid_barrier(training.arrived);
    }
}

// The first phase of one step.
extern "C" __global__ void __launch_bounds__(THREADS, 1) train_samples(Training training, unsigned step) {
    DYNAMIC_SHARED(TrainMemory, memory);
    run_samples(memory.samples, training, step);
}

// The second phase of one step, unless a step has failed.
extern "C" __global__ void __launch_bounds__(THREADS, 1) train_update(Training training, unsigned step) {
    DYNAMIC_SHARED(TrainMemory, memory);
    if (!has_failed(training)) update_parameters(memory.update, training, step);
}
