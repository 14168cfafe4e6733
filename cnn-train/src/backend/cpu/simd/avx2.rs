//! AVX2: 8 lanes, 16 registers.

use std::arch::x86_64::*;

use super::Simd;

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
