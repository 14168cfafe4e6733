// For tests: exp and ln of single values.
#include "math.cuh"

extern "C" __global__ void probe_math(const float *x, float *exponentials, float *logarithms, unsigned count) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    exponentials[i] = network_exp(x[i]);
    logarithms[i] = network_ln(x[i]);
}
