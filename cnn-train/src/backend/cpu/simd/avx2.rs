//! AVX2: 8 lanes, 16 registers.

use std::arch::x86_64::*;

use super::{Integers, Simd};

/// Exists only where the machine has AVX2 and BMI, which came with it.
#[derive(Debug, Clone, Copy)]
pub struct Avx2(());

impl Avx2 {
    /// The level, if the machine has it.
    pub fn detect() -> Option<Self> {
        let found =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2");
        found.then_some(Self(()))
    }
}

// In the blocks below that call intrinsics on values alone, the one requirement is that the machine has AVX2.
impl Simd for Avx2 {
    type Vector = __m256;
    type Mask = __m256;

    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: `self` exists, so the machine has AVX2.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, values: &[f32], index: usize) -> __m256 {
        let values = &values.as_chunks::<{ Self::LANES }>().0[index];
        // SAFETY: `self` exists, so the machine has AVX2; `values` are 8 readable values, any alignment will do.
        unsafe { _mm256_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, values: &mut [f32], index: usize, vector: __m256) {
        let values = &mut values.as_chunks_mut::<{ Self::LANES }>().0[index];
        // SAFETY: `self` exists, so the machine has AVX2; `values` are 8 writable values, any alignment will do.
        unsafe { _mm256_storeu_ps(values.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` exists, so the machine has AVX2.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` exists, so the machine has AVX2.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` exists, so the machine has AVX2.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn larger(self, a: __m256, b: __m256) -> __m256 {
        // VMAXPS gives its second operand unless the first is greater.
        // SAFETY: `self` exists, so the machine has AVX2.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn greater(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` exists, so the machine has AVX2.
        unsafe { _mm256_cmp_ps::<_CMP_GT_OQ>(a, b) }
    }

    #[inline(always)]
    fn equal(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` exists, so the machine has AVX2.
        unsafe { _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b) }
    }

    #[inline(always)]
    fn bits(self, mask: __m256) -> u32 {
        // SAFETY: `self` exists, so the machine has AVX2.
        unsafe { _mm256_movemask_ps(mask) as u32 }
    }

    #[inline(always)]
    fn select(self, mask: __m256, yes: __m256, no: __m256) -> __m256 {
        // SAFETY: `self` exists, so the machine has AVX2.
        unsafe { _mm256_blendv_ps(no, yes, mask) }
    }

    #[inline(always)]
    fn pick(self, first: &[f32; 4], last: &[f32; 4], index: __m256) -> __m256 {
        // SAFETY: `self` exists, so the machine has AVX2; `first` and `last` are 4 readable values each.
        unsafe {
            let values = _mm256_loadu2_m128(last.as_ptr(), first.as_ptr());
            _mm256_permutevar8x32_ps(values, _mm256_castps_si256(index))
        }
    }
}

// As above.
impl Integers for Avx2 {
    type Integers = __m256i;

    #[inline(always)]
    fn splat_integer(self, value: i32) -> __m256i {
        // SAFETY: `self` exists, so the machine has AVX2.
        unsafe { _mm256_set1_epi32(value) }
    }

    #[inline(always)]
    fn load_integers(self, values: &[i32], index: usize) -> __m256i {
        let values = &values.as_chunks::<{ Self::LANES }>().0[index];
        // SAFETY: `self` exists, so the machine has AVX2; `values` are 8 readable values, any alignment will do.
        unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_integers(self, values: &mut [i32], index: usize, vector: __m256i) {
        let values = &mut values.as_chunks_mut::<{ Self::LANES }>().0[index];
        // SAFETY: `self` exists, so the machine has AVX2; `values` are 8 writable values, any alignment will do.
        unsafe { _mm256_storeu_si256(values.as_mut_ptr().cast(), vector) }
    }

    #[inline(always)]
    fn add_pair_products(self, sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` exists, so the machine has AVX2.
        unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)) }
    }

    #[inline(always)]
    fn larger_integer(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` exists, so the machine has AVX2.
        unsafe { _mm256_max_epi32(a, b) }
    }

    #[inline(always)]
    fn scale(self, sum: __m256i, multiplier: i32, half: i32, shift: u8) -> __m256i {
        // SAFETY: `self` exists, so the machine has AVX2.
        unsafe {
            let multiplier = _mm256_set1_epi32(multiplier);
            let even = _mm256_srli_epi64::<32>(_mm256_mul_epu32(sum, multiplier));
            let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(sum), multiplier);
            let upper = _mm256_blend_epi32::<0b1010_1010>(even, odd);
            let rounded = _mm256_add_epi32(upper, _mm256_set1_epi32(half));
            let scaled = _mm256_srl_epi32(rounded, _mm_cvtsi32_si128(shift.into()));
            _mm256_min_epu32(scaled, _mm256_set1_epi32(255))
        }
    }

    #[inline(always)]
    fn pair(self, low: __m256i, high: __m256i) -> __m256i {
        // SAFETY: `self` exists, so the machine has AVX2.
        unsafe { _mm256_or_si256(low, _mm256_slli_epi32::<16>(high)) }
    }
}
