//! AVX-512: 16 lanes, 32 registers. Vectors of f32 need AVX-512F alone, products of pairs BW; DQ, VL and BMI, which every processor has that is
//! fast with it, are for what the compiler makes of the code around them.

use std::arch::asm;
use std::arch::x86_64::*;

use super::{Integers, Simd};

/// Exists only where the machine has AVX-512F, BW, DQ and VL, and BMI.
#[derive(Debug, Clone, Copy)]
pub struct Avx512(());

impl Avx512 {
    /// The level, if the machine has it.
    pub fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2");
        found.then_some(Self(()))
    }
}

// In the blocks below that call intrinsics on values alone, the one requirement is that the machine has AVX-512F.
impl Simd for Avx512 {
    type Vector = __m512;
    type Mask = __mmask16;

    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: `self` exists, so the machine has AVX-512F.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, values: &[f32], index: usize) -> __m512 {
        let values = &values.as_chunks::<{ Self::LANES }>().0[index];
        // SAFETY: `self` exists, so the machine has AVX-512F; `values` are 16 readable values, any alignment will do.
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, values: &mut [f32], index: usize, vector: __m512) {
        let values = &mut values.as_chunks_mut::<{ Self::LANES }>().0[index];
        // SAFETY: `self` exists, so the machine has AVX-512F; `values` are 16 writable values, any alignment will do.
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists, so the machine has AVX-512F.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists, so the machine has AVX-512F.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists, so the machine has AVX-512F.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn larger(self, a: __m512, b: __m512) -> __m512 {
        // VMAXPS gives its second operand unless the first is greater.
        // SAFETY: `self` exists, so the machine has AVX-512F.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn greater(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: `self` exists, so the machine has AVX-512F.
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) }
    }

    #[inline(always)]
    fn equal(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: `self` exists, so the machine has AVX-512F.
        unsafe { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b) }
    }

    #[inline(always)]
    fn bits(self, mask: __mmask16) -> u32 {
        mask.into()
    }

    #[inline(always)]
    fn select(self, mask: __mmask16, yes: __m512, no: __m512) -> __m512 {
        // SAFETY: `self` exists, so the machine has AVX-512F.
        unsafe { _mm512_mask_blend_ps(mask, no, yes) }
    }

    #[inline(always)]
    fn pick(self, first: &[f32; 4], last: &[f32; 4], index: __m512) -> __m512 {
        // SAFETY: `self` exists, so the machine has AVX-512F and with it AVX; `first` and `last` are 4 readable values
        // each.
        unsafe {
            let values = _mm256_loadu2_m128(last.as_ptr(), first.as_ptr());
            _mm512_permutexvar_ps(_mm512_castps_si512(index), _mm512_zextps256_ps512(values))
        }
    }

    /// A chain of dependent integer multiplications of three cycles each: they take the one unit that vectors of 16 lanes
    /// leave idle.
    #[inline(always)]
    fn pace<const CYCLES: usize>(self, beat: &mut u64) {
        const { assert!(CYCLES.is_multiple_of(3)) };
        let mut factor = *beat;
        for _ in 0..CYCLES / 3 {
            // SAFETY: it multiplies an integer. Assembly, because the compiler would leave out what nobody reads.
            unsafe { asm!("imul {0}, {0}", inout(reg) factor, options(nomem, nostack)) };
        }
        *beat = factor;
    }
}

// As above.
impl Integers for Avx512 {
    type Integers = __m512i;

    #[inline(always)]
    fn splat_integer(self, value: i32) -> __m512i {
        // SAFETY: `self` exists, so the machine has AVX-512F.
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    fn load_integers(self, values: &[i32], index: usize) -> __m512i {
        let values = &values.as_chunks::<{ Self::LANES }>().0[index];
        // SAFETY: `self` exists, so the machine has AVX-512F; `values` are 16 readable values, any alignment will do.
        unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_integers(self, values: &mut [i32], index: usize, vector: __m512i) {
        let values = &mut values.as_chunks_mut::<{ Self::LANES }>().0[index];
        // SAFETY: `self` exists, so the machine has AVX-512F; `values` are 16 writable values, any alignment will do.
        unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), vector) }
    }

    #[inline(always)]
    fn add_pair_products(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` exists, so the machine has AVX-512BW.
        unsafe { _mm512_add_epi32(sum, _mm512_madd_epi16(a, b)) }
    }

    #[inline(always)]
    fn larger_integer(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` exists, so the machine has AVX-512F.
        unsafe { _mm512_max_epi32(a, b) }
    }

    #[inline(always)]
    fn scale(self, sum: __m512i, multiplier: i32, half: i32, shift: u8) -> __m512i {
        // SAFETY: `self` exists, so the machine has AVX-512F.
        unsafe {
            let multiplier = _mm512_set1_epi32(multiplier);
            let even = _mm512_srli_epi64::<32>(_mm512_mul_epu32(sum, multiplier));
            let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(sum), multiplier);
            let upper = _mm512_mask_blend_epi32(0b1010_1010_1010_1010, even, odd);
            let rounded = _mm512_add_epi32(upper, _mm512_set1_epi32(half));
            let scaled = _mm512_srl_epi32(rounded, _mm_cvtsi32_si128(shift.into()));
            _mm512_min_epu32(scaled, _mm512_set1_epi32(255))
        }
    }

    #[inline(always)]
    fn pair(self, low: __m512i, high: __m512i) -> __m512i {
        // SAFETY: `self` exists, so the machine has AVX-512F.
        unsafe { _mm512_or_si512(low, _mm512_slli_epi32::<16>(high)) }
    }
}
