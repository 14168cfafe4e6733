//! NEON: 4 lanes, 32 registers. Every 64-bit Arm processor that runs an operating system has it.

use std::arch::aarch64::*;

use super::{Integers, Simd};

/// Exists only where the machine has NEON.
#[derive(Debug, Clone, Copy)]
pub struct Neon(());

impl Neon {
    /// The level, if the machine has it.
    pub fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

// In the blocks below that call intrinsics on values alone, the one requirement is that the machine has NEON.
impl Simd for Neon {
    type Vector = float32x4_t;
    type Mask = uint32x4_t;

    const LANES: usize = 4;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn splat(self, value: f32) -> float32x4_t {
        // SAFETY: `self` exists, so the machine has NEON.
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    fn load(self, values: &[f32], index: usize) -> float32x4_t {
        let values = &values.as_chunks::<{ Self::LANES }>().0[index];
        // SAFETY: `self` exists, so the machine has NEON; `values` are 4 readable values, any alignment will do.
        unsafe { vld1q_f32(values.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, values: &mut [f32], index: usize, vector: float32x4_t) {
        let values = &mut values.as_chunks_mut::<{ Self::LANES }>().0[index];
        // SAFETY: `self` exists, so the machine has NEON; `values` are 4 writable values, any alignment will do.
        unsafe { vst1q_f32(values.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: `self` exists, so the machine has NEON.
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: `self` exists, so the machine has NEON.
        unsafe { vsubq_f32(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: `self` exists, so the machine has NEON.
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    fn larger(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // Not FMAX, which takes +0.0 for greater than −0.0.
        self.select(self.greater(a, b), a, b)
    }

    #[inline(always)]
    fn greater(self, a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        // SAFETY: `self` exists, so the machine has NEON.
        unsafe { vcgtq_f32(a, b) }
    }

    #[inline(always)]
    fn equal(self, a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        // SAFETY: `self` exists, so the machine has NEON.
        unsafe { vceqq_f32(a, b) }
    }

    #[inline(always)]
    fn bits(self, mask: uint32x4_t) -> u32 {
        // SAFETY: `self` exists, so the machine has NEON; the array has the four readable values.
        unsafe { vaddvq_u32(vandq_u32(mask, vld1q_u32([1, 2, 4, 8].as_ptr()))) }
    }

    #[inline(always)]
    fn select(self, mask: uint32x4_t, yes: float32x4_t, no: float32x4_t) -> float32x4_t {
        // SAFETY: `self` exists, so the machine has NEON.
        unsafe { vbslq_f32(mask, yes, no) }
    }

    #[inline(always)]
    fn pick(self, first: &[f32; 4], last: &[f32; 4], index: float32x4_t) -> float32x4_t {
        // SAFETY: `self` exists, so the machine has NEON; `first` and `last` are 4 readable values each.
        unsafe {
            let values = [first, last].map(|values| vreinterpretq_u8_f32(vld1q_f32(values.as_ptr())));
            // A value's four bytes from its number: 4 · number + 0, 1, 2 and 3.
            let numbers = vandq_u32(vreinterpretq_u32_f32(index), vdupq_n_u32(0b111));
            let bytes = vmlaq_u32(vdupq_n_u32(0x03_02_01_00), numbers, vdupq_n_u32(0x04_04_04_04));
            vreinterpretq_f32_u8(vqtbl2q_u8(uint8x16x2_t(values[0], values[1]), vreinterpretq_u8_u32(bytes)))
        }
    }
}

// As above.
impl Integers for Neon {
    type Integers = int32x4_t;

    #[inline(always)]
    fn splat_integer(self, value: i32) -> int32x4_t {
        // SAFETY: `self` exists, so the machine has NEON.
        unsafe { vdupq_n_s32(value) }
    }

    #[inline(always)]
    fn load_integers(self, values: &[i32], index: usize) -> int32x4_t {
        let values = &values.as_chunks::<{ Self::LANES }>().0[index];
        // SAFETY: `self` exists, so the machine has NEON; `values` are 4 readable values.
        unsafe { vld1q_s32(values.as_ptr()) }
    }

    #[inline(always)]
    fn store_integers(self, values: &mut [i32], index: usize, vector: int32x4_t) {
        let values = &mut values.as_chunks_mut::<{ Self::LANES }>().0[index];
        // SAFETY: `self` exists, so the machine has NEON; `values` are 4 writable values.
        unsafe { vst1q_s32(values.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn add_pair_products(self, sum: int32x4_t, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: `self` exists, so the machine has NEON.
        unsafe {
            let [a, b] = [vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b)];
            let products = [vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b)];
            vaddq_s32(sum, vpaddq_s32(products[0], products[1]))
        }
    }

    #[inline(always)]
    fn larger_integer(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: `self` exists, so the machine has NEON.
        unsafe { vmaxq_s32(a, b) }
    }

    #[inline(always)]
    fn scale(self, sum: int32x4_t, multiplier: i32, half: i32, shift: u8) -> int32x4_t {
        // SAFETY: `self` exists, so the machine has NEON.
        unsafe {
            let multiplier = vdupq_n_s32(multiplier);
            let first = vmull_s32(vget_low_s32(sum), vget_low_s32(multiplier));
            let upper = vshrn_high_n_s64::<32>(vshrn_n_s64::<32>(first), vmull_high_s32(sum, multiplier));
            let rounded = vaddq_s32(upper, vdupq_n_s32(half));
            // A shift to the left by a negative number is one to the right.
            vminq_s32(vshlq_s32(rounded, vdupq_n_s32(-i32::from(shift))), vdupq_n_s32(255))
        }
    }

    #[inline(always)]
    fn pair(self, low: int32x4_t, high: int32x4_t) -> int32x4_t {
        // SAFETY: `self` exists, so the machine has NEON.
        unsafe { vorrq_s32(low, vshlq_n_s32::<16>(high)) }
    }
}
