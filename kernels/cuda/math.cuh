// The project's one exp and one ln: the same operations in the same order as cnn-core's `math`.
#pragma once

__device__ __forceinline__ float add(float a, float b) { return __fadd_rn(a, b); }
__device__ __forceinline__ float subtract(float a, float b) { return __fsub_rn(a, b); }
__device__ __forceinline__ float multiply(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ float divide(float a, float b) { return __fdiv_rn(a, b); }
// sum + a * b, the product rounded before it is added: never one fused operation.
__device__ __forceinline__ float add_product(float sum, float a, float b) { return add(sum, multiply(a, b)); }

// cnn-core's `range`: inside it nothing overflows.
constexpr float PARAMETER_LIMIT = 16777216.0f;
__device__ __forceinline__ bool in_range(float parameter) { return fabsf(parameter) < PARAMETER_LIMIT; }

// ln 2 in two parts, and 1.5 · 2²³: a float of magnitude below 2²² plus this has its nearest integer in its lowest bits.
constexpr float LN_2_HIGH = 0.69314575f;
constexpr float LN_2_LOW = 1.4286068e-6f;
constexpr float ROUND = 12582912.0f;
constexpr float EXP_UNDERFLOW = -104.0f;

// 2ⁿ for −127 < n < 128.
__device__ __forceinline__ float power_of_two(int n) { return __uint_as_float((unsigned)(n + 127) << 23); }

// e^x for x ≤ 0; NaN gives NaN.
__device__ __forceinline__ float network_exp(float x) {
    x = x < EXP_UNDERFLOW ? EXP_UNDERFLOW : x;

    const float shifted = add(multiply(x, 1.44269504088896340736f), ROUND);
    const float n = subtract(shifted, ROUND);
    const float high = subtract(x, multiply(n, LN_2_HIGH));
    const float low = multiply(n, LN_2_LOW);
    const float r = subtract(high, low);

    float q = 0.0013920908f;
    q = add_product(0.008369324f, r, q);
    q = add_product(0.041666586f, r, q);
    q = add_product(0.16666515f, r, q);
    q = add_product(0.5f, r, q);
    const float power = add(1.0f, subtract(high, subtract(low, multiply(multiply(r, r), q))));

    const int exponent = (int)(__float_as_uint(shifted) - __float_as_uint(ROUND));
    const int half = exponent >> 1;
    return multiply(multiply(power, power_of_two(half)), power_of_two(exponent - half));
}

// ln x for 1 ≤ x ≤ 10; NaN and ∞ give NaN.
__device__ __forceinline__ float network_ln(float x) {
    constexpr unsigned ONE = 0x3f800000u, SQRT_HALF = 0x3f3504f3u, MANTISSA = (1u << 23) - 1u;

    const unsigned bits = __float_as_uint(x) + (ONE - SQRT_HALF);
    const float k = __int2float_rn((int)(bits >> 23) - 127);
    const float f = subtract(__uint_as_float((bits & MANTISSA) + SQRT_HALF), 1.0f);

    const float s = divide(f, add(2.0f, f));
    const float z = multiply(s, s);
    const float r = multiply(z, add_product(0.66666776f, z, add_product(0.39977583f, z, 0.29870796f)));
    const float half_square = multiply(multiply(0.5f, f), f);
    float result = add(multiply(s, add(half_square, r)), multiply(k, LN_2_LOW));
    result = add(add(subtract(result, half_square), f), multiply(k, LN_2_HIGH));
    return x < __uint_as_float(0x7f800000u) ? result : __uint_as_float(0x7fc00000u);
}
