// Training, many steps behind one cooperative launch.
#include "step.cuh"

// Steps `first` to `first + count − 1`. The blocks wait for each other after every phase.
extern "C" __global__ void __launch_bounds__(THREADS, 1) train_steps(Training training, unsigned first, unsigned count) {
    DYNAMIC_SHARED(StepMemory, memory);
    for (unsigned step = first; step < first + count; step++) {
        if (has_failed_before(training, step)) return;
        run_samples(memory.samples, training, step);
        grid_barrier(training.arrived);
        update_parameters(memory.update, training, step);
        grid_barrier(training.arrived);
    }
}
