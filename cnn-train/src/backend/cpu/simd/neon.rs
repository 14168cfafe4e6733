//! NEON: 4 lanes, 32 registers. Every 64-bit Arm processor that runs an operating system has it.

use std::arch::aarch64::*;

use super::Simd;

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
