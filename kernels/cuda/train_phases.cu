// Training, the two phases of a step as kernels of their own, for a graph: the code of train_steps.cu, hence its bits.
#include "step.cuh"

// The first phase of one step, unless one before it has failed.
extern "C" __global__ void __launch_bounds__(THREADS, 1) train_samples(Training training, unsigned step) {
    DYNAMIC_SHARED(StepMemory, memory);
    if (!has_failed_before(training, step)) run_samples(memory.samples, training, step);
}

// The second phase of one step, unless one before it has failed.
extern "C" __global__ void __launch_bounds__(THREADS, 1) train_update(Training training, unsigned step) {
    DYNAMIC_SHARED(StepMemory, memory);
    if (!has_failed_before(training, step)) update_parameters(memory.update, training, step);
}
