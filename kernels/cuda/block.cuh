// What the kernels share: the shape of a block, lists of terms, the barrier of a grid.
#pragma once

// Every block of every kernel has this many threads; kernels/src/lib.rs has the same number.
constexpr int THREADS = 512;
constexpr int WARP = 32;
constexpr int WARPS = THREADS / WARP;

// One term of a sum: a factor and where the other factor lies. Loaded at once.
struct alignas(8) Term {
    float factor;
    int place;
};

// The block's dynamic shared memory as one struct. The simulator brings its own form.
#ifndef DYNAMIC_SHARED
#define DYNAMIC_SHARED(Type, name)          \
    extern __shared__ uint4 name##_start[]; \
    Type &name = *reinterpret_cast<Type *>(name##_start)
#endif

__device__ __forceinline__ int thread_index() { return (int)threadIdx.x; }
__device__ __forceinline__ int warp_index() { return (int)threadIdx.x / WARP; }
__device__ __forceinline__ int lane_index() { return (int)threadIdx.x % WARP; }

// The sum of what the lanes up to and including this one have.
__device__ __forceinline__ int sum_up_to_lane(int value) {
#pragma unroll
    for (int distance = 1; distance < WARP; distance *= 2) {
        const int lower = __shfl_up_sync(0xffffffffu, value, distance);
        if (lane_index() >= distance) value += lower;
    }
    return value;
}

// The terms of a sparse sum, four of which are loaded at once.
template <int ROOM>
struct Terms {
    alignas(16) float factors[ROOM];
    alignas(16) unsigned places[ROOM];  // where the other factors lie
};

// The values from a place in bytes on.
__device__ __forceinline__ const float *at_place(const float *values, unsigned place) {
    return reinterpret_cast<const float *>(reinterpret_cast<const char *>(values) + place);
}

// Writes the terms `values[i] · (what lies at i)` of all values that are not zero to `list`, in the order of i, then
// terms of 0 up to a multiple of `MULTIPLE`; their places are i · `STRIDE`. Returns their number. Called by a whole block
// after a barrier; the list is ready on return.
template <int LENGTH, int MULTIPLE, int STRIDE, int ROOM>
__device__ __forceinline__ int list_nonzero(const float *values, Terms<ROOM> &list, unsigned *masks) {
    constexpr int WORDS = (LENGTH + WARP - 1) / WARP;
    static_assert(WORDS <= WARP, "a lane for every word");
    static_assert((LENGTH + MULTIPLE - 1) / MULTIPLE * MULTIPLE <= ROOM && MULTIPLE <= THREADS, "room for terms of 0");
    for (int word = warp_index(); word < WORDS; word += WARPS) {
        const int i = word * WARP + lane_index();
        const unsigned mask = __ballot_sync(0xffffffffu, i < LENGTH && values[i] != 0.0f);
        if (lane_index() == 0) masks[word] = mask;
    }
    __syncthreads();
    const int in_word = lane_index() < WORDS ? __popc(masks[lane_index()]) : 0;
    const int up_to_word = sum_up_to_lane(in_word);
    const int count = __shfl_sync(0xffffffffu, up_to_word, WARP - 1);
    for (int word = warp_index(); word < WORDS; word += WARPS) {
        const int before_word = __shfl_sync(0xffffffffu, up_to_word - in_word, word);
        const int i = word * WARP + lane_index();
        const unsigned mask = masks[word];
        if ((mask >> lane_index()) & 1u) {
            const int at = before_word + __popc(mask & ((1u << lane_index()) - 1u));
            list.factors[at] = values[i];
            list.places[at] = (unsigned)(i * STRIDE);
        }
    }
    const int padded = (count + MULTIPLE - 1) / MULTIPLE * MULTIPLE;
    if (thread_index() < padded - count) {
        list.factors[count + thread_index()] = 0.0f;
        list.places[count + thread_index()] = 0;
    }
    __syncthreads();
    return padded;
}

// Orders this thread's reads and writes of device memory against those of other blocks.
__device__ __forceinline__ void device_fence() {
#ifdef __CUDA_ARCH__
    // __threadfence() is the costlier, sequentially consistent fence.
    asm volatile("fence.acq_rel.gpu;" ::: "memory");
#else
    __threadfence();
#endif
}

// Waits for every block of a cooperative launch. `arrived` is 0 before the launch and only grows.
__device__ __forceinline__ void grid_barrier(unsigned *arrived) {
    __syncthreads();
    if (thread_index() == 0) {
        device_fence();
        const unsigned target = (atomicAdd(arrived, 1u) / gridDim.x + 1u) * gridDim.x;
        while (*reinterpret_cast<volatile unsigned *>(arrived) < target) __nanosleep(20);
        device_fence();
    }
    __syncthreads();
}
