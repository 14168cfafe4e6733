// CUDA C++ on the CPU, for tests: each CUDA thread is a fiber, each resident block an operating system's thread, so
// that barriers, warp votes and spinning grid barriers work as on a GPU. The kernels' sources compile unchanged.
//
// The threads of a block take turns in their order. What another order would show, a missing barrier, the machine that
// executes the PTX finds in any (`kernels/ptx-machine`). Shared memory is dynamic only and starts as NaNs.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include <sched.h>
#include <sys/mman.h>

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define DYNAMIC_SHARED(Type, name) Type &name = *static_cast<Type *>(sim_dynamic_shared(sizeof(Type)))

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};
struct int2 {
    int x, y;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
using std::min;

// Saves the callee-saved registers on this stack and `*save`, and continues on the stack `load`.
extern "C" void sim_switch(void **save, void *load);

// Threads that arrive wait until as many as expected have.
struct SimBarrier {
    unsigned arrived = 0, generation = 0;
};

struct SimThread {
    void *stack = nullptr;  // null once the thread has returned
    const SimBarrier *waits_at = nullptr;
    unsigned waits_for = 0;  // the barrier's generation that has passed when it opens
    uint32_t lane_value = 0;  // what it gives to its warp

    bool is_blocked() const { return waits_at && waits_at->generation == waits_for; }
};

// A block while it runs.
struct SimBlock {
    static constexpr unsigned WARP = 32;
    uint3 grid, block, index, thread{};
    const std::function<void()> *body;
    size_t shared_bytes;

    std::vector<SimThread> threads{};
    std::vector<SimBarrier> warps{};
    SimBarrier barrier{};
    std::vector<std::max_align_t> shared{};
    unsigned alive = 0, current = 0;
    bool spins = false;
    void *scheduler = nullptr;

    void yield() { sim_switch(&threads[current].stack, scheduler); }
    void wait(SimBarrier &at, unsigned expected) {
        SimThread &self = threads[current];
        self.waits_at = &at;
        self.waits_for = at.generation;
        if (++at.arrived == expected) {
            at.arrived = 0;
            at.generation++;
        }
        if (self.is_blocked()) yield();
        self.waits_at = nullptr;
    }
    void run();
    bool take_turns();
};

// The block of this operating system's thread.
extern thread_local SimBlock *sim __attribute__((tls_model("initial-exec")));

struct SimLaunch {
    dim3 grid, block;
    size_t shared_bytes;
    bool cooperative;  // all blocks are resident at once
};
// Runs `body` for every thread of a grid.
void sim_launch(const SimLaunch &launch, const std::function<void()> &body);

#define threadIdx (sim->thread)
#define blockIdx (sim->index)
#define blockDim (sim->block)
#define gridDim (sim->grid)

static inline void *sim_dynamic_shared(size_t bytes) {
    if (bytes > sim->shared_bytes) {
        fprintf(stderr, "cuda-sim: the kernel uses %zu bytes of shared memory, launched with %zu\n", bytes,
                sim->shared_bytes);
        abort();
    }
    return sim->shared.data();
}

static inline void __syncthreads() { sim->wait(sim->barrier, (unsigned)sim->threads.size()); }
static inline void __syncwarp(unsigned mask = ~0u) {
    sim->wait(sim->warps[sim->current / SimBlock::WARP], (unsigned)__builtin_popcount(mask));
}
static inline unsigned __ballot_sync(unsigned mask, int predicate) {
    SimBlock &block = *sim;
    const unsigned first = block.current / SimBlock::WARP * SimBlock::WARP;
    block.threads[block.current].lane_value = predicate != 0;
    __syncwarp(mask);
    unsigned votes = 0;
    for (unsigned lane = 0; lane < SimBlock::WARP; lane++) {
        if (mask >> lane & 1) votes |= block.threads[first + lane].lane_value << lane;
    }
    __syncwarp(mask);
    return votes;
}
// The value that lane `source` of this warp gives.
static inline int sim_shuffle(unsigned mask, int value, unsigned source) {
    SimBlock &block = *sim;
    const unsigned first = block.current / SimBlock::WARP * SimBlock::WARP;
    block.threads[block.current].lane_value = (uint32_t)value;
    __syncwarp(mask);
    const int given = (int)block.threads[first + source].lane_value;
    __syncwarp(mask);
    return given;
}
static inline int __shfl_sync(unsigned mask, int value, int source) {
    return sim_shuffle(mask, value, (unsigned)source % SimBlock::WARP);
}
static inline int __shfl_up_sync(unsigned mask, int value, unsigned distance) {
    const unsigned lane = sim->current % SimBlock::WARP;
    return sim_shuffle(mask, value, lane < distance ? lane : lane - distance);
}
static inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void __nanosleep(unsigned) {
    sim->spins = true;
    sim->yield();
}
static inline unsigned atomicAdd(unsigned *at, unsigned value) {
    return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);
}
static inline unsigned atomicMin(unsigned *at, unsigned value) {
    unsigned old = __atomic_load_n(at, __ATOMIC_SEQ_CST);
    while (value < old && !__atomic_compare_exchange_n(at, &old, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
    return old;
}

// Compiled with -ffp-contract=off, so each is one rounded operation.
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __int2float_rn(int a) { return (float)a; }
static inline unsigned __float_as_uint(float a) {
    unsigned bits;
    memcpy(&bits, &a, sizeof bits);
    return bits;
}
static inline float __uint_as_float(unsigned bits) {
    float a;
    memcpy(&a, &bits, sizeof a);
    return a;
}
static inline int __popc(unsigned a) { return __builtin_popcount(a); }
