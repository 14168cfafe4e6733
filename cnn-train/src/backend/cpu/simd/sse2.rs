//! SSE2: 4 lanes, 16 registers. Every x86-64 processor has it.

use std::arch::x86_64::*;

use super::{Integers, Simd};

/// Exists only where the machine has SSE2.
#[derive(Debug, Clone, Copy)]
pub struct Sse2(());

impl Sse2 {
    /// The level, if the machine has it.
    pub fn detect() -> Option<Self> {
        is_x86_feature_detected!("sse2").then_some(Self(()))
    }
}

// In the blocks below that call intrinsics on values alone, the one requirement is that the machine has SSE2.
impl Simd for Sse2 {
    type Vector = __m128;
    type Mask = __m128;

    const LANES: usize = 4;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat(self, value: f32) -> __m128 {
        // SAFETY: `self` exists, so the machine has SSE2.
        unsafe { _mm_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, values: &[f32], index: usize) -> __m128 {
        let values = &values.as_chunks::<{ Self::LANES }>().0[index];
        // SAFETY: `self` exists, so the machine has SSE2; `values` are 4 readable values, any alignment will do.
        unsafe { _mm_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, values: &mut [f32], index: usize, vector: __m128) {
        let values = &mut values.as_chunks_mut::<{ Self::LANES }>().0[index];
        // SAFETY: `self` exists, so the machine has SSE2; `values` are 4 writable values, any alignment will do.
        unsafe { _mm_storeu_ps(values.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn add(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: `self` exists, so the machine has SSE2.
        unsafe { _mm_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: `self` exists, so the machine has SSE2.
        unsafe { _mm_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: `self` exists, so the machine has SSE2.
        unsafe { _mm_mul_ps(a, b) }
    }

    #[inline(always)]
    fn larger(self, a: __m128, b: __m128) -> __m128 {
        // MAXPS gives its second operand unless the first is greater.
        // SAFETY: `self` exists, so the machine has SSE2.
        unsafe { _mm_max_ps(a, b) }
    }

    #[inline(always)]
    fn greater(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: `self` exists, so the machine has SSE2.
        unsafe { _mm_cmpgt_ps(a, b) }
    }

    #[inline(always)]
    fn equal(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: `self` exists, so the machine has SSE2.
        unsafe { _mm_cmpeq_ps(a, b) }
    }

    #[inline(always)]
    fn bits(self, mask: __m128) -> u32 {
        // SAFETY: `self` exists, so the machine has SSE2.
        unsafe { _mm_movemask_ps(mask) as u32 }
    }

    #[inline(always)]
    fn select(self, mask: __m128, yes: __m128, no: __m128) -> __m128 {
        // SAFETY: `self` exists, so the machine has SSE2.
        unsafe { _mm_or_ps(_mm_and_ps(mask, yes), _mm_andnot_ps(mask, no)) }
    }

    #[inline(always)]
    fn pick(self, first: &[f32; 4], last: &[f32; 4], index: __m128) -> __m128 {
        let mut values = [0.0; 8];
        values[..4].copy_from_slice(first);
        values[4..].copy_from_slice(last);
        // SAFETY: `self` exists, so the machine has SSE2.
        unsafe {
            let numbers = _mm_castps_si128(index);
            let value = |number| values[_mm_cvtsi128_si32(number) as usize % 8];
            _mm_setr_ps(
                value(numbers),
                value(_mm_shuffle_epi32::<1>(numbers)),
                value(_mm_shuffle_epi32::<2>(numbers)),
                value(_mm_shuffle_epi32::<3>(numbers)),
            )
        }
    }
}

// As above.
impl Integers for Sse2 {
    type Integers = __m128i;

    #[inline(always)]
    fn splat_integer(self, value: i32) -> __m128i {
        // SAFETY: `self` exists, so the machine has SSE2.
        unsafe { _mm_set1_epi32(value) }
    }

    #[inline(always)]
    fn load_integers(self, values: &[i32], index: usize) -> __m128i {
        let values = &values.as_chunks::<{ Self::LANES }>().0[index];
        // SAFETY: `self` exists, so the machine has SSE2; `values` are 4 readable values, any alignment will do.
        unsafe { _mm_loadu_si128(values.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_integers(self, values: &mut [i32], index: usize, vector: __m128i) {
        let values = &mut values.as_chunks_mut::<{ Self::LANES }>().0[index];
        // SAFETY: `self` exists, so the machine has SSE2; `values` are 4 writable values, any alignment will do.
        unsafe { _mm_storeu_si128(values.as_mut_ptr().cast(), vector) }
    }

    #[inline(always)]
    fn add_pair_products(self, sum: __m128i, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: `self` exists, so the machine has SSE2.
        unsafe { _mm_add_epi32(sum, _mm_madd_epi16(a, b)) }
    }

    #[inline(always)]
    fn larger_integer(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: `self` exists, so the machine has SSE2.
        unsafe {
            let greater = _mm_cmpgt_epi32(a, b);
            _mm_or_si128(_mm_and_si128(greater, a), _mm_andnot_si128(greater, b))
        }
    }

    #[inline(always)]
    fn scale(self, sum: __m128i, multiplier: i32, half: i32, shift: u8) -> __m128i {
        // SAFETY: `self` exists, so the machine has SSE2.
        unsafe {
            let multiplier = _mm_set1_epi32(multiplier);
            let even = _mm_srli_epi64::<32>(_mm_mul_epu32(sum, multiplier));
            let odd = _mm_mul_epu32(_mm_srli_epi64::<32>(sum), multiplier);
            let upper = _mm_or_si128(even, _mm_and_si128(odd, _mm_setr_epi32(0, -1, 0, -1)));
            let rounded = _mm_add_epi32(upper, _mm_set1_epi32(half));
            let scaled = _mm_srl_epi32(rounded, _mm_cvtsi32_si128(shift.into()));
            // The smaller is 255 less how far the number is below it.
            let limit = _mm_set1_epi32(255);
            let below = _mm_and_si128(_mm_cmpgt_epi32(limit, scaled), _mm_sub_epi32(limit, scaled));
            _mm_sub_epi32(limit, below)
        }
    }

    #[inline(always)]
    fn pair(self, low: __m128i, high: __m128i) -> __m128i {
        // SAFETY: `self` exists, so the machine has SSE2.
        unsafe { _mm_or_si128(low, _mm_slli_epi32::<16>(high)) }
    }
}
