// One step's two phases and the shared memory they take turns in.
#pragma once
#include "samples.cuh"
#include "update.cuh"

union StepMemory {
    SampleMemory samples;
    UpdateMemory update;
};
// kernels/src/lib.rs launches with this size; 64 KB is what a block can have on every GPU from Volta on.
constexpr int STEP_SHARED_BYTES = 64 << 10;
static_assert(sizeof(StepMemory) <= STEP_SHARED_BYTES, "the shared memory of one block");
