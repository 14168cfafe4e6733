//! WebAssembly's vectors of 128 bits: 4 lanes. What an engine has of registers it does not say; 16 are those of x86-64 and
//! half of Arm's. Nothing of relaxed SIMD, whose results differ from machine to machine.

use std::arch::wasm32::*;
use std::hint::black_box;

use super::{Integers, Simd};

/// Exists only in a module that is compiled for these vectors: an engine without them refuses the module as a whole.
#[derive(Debug, Clone, Copy)]
pub struct Simd128(());

impl Simd128 {
    /// The level, which a module that is compiled for it always has.
    pub fn detect() -> Option<Self> {
        Some(Self(()))
    }
}

impl Simd for Simd128 {
    type Vector = v128;
    type Mask = v128;

    const LANES: usize = 4;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat(self, value: f32) -> v128 {
        f32x4_splat(value)
    }

    #[inline(always)]
    fn load(self, values: &[f32], index: usize) -> v128 {
        let values = &values.as_chunks::<{ Self::LANES }>().0[index];
        // SAFETY: `values` are 4 readable values, any alignment will do.
        unsafe { v128_load(values.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, values: &mut [f32], index: usize, vector: v128) {
        let values = &mut values.as_chunks_mut::<{ Self::LANES }>().0[index];
        // SAFETY: `values` are 4 writable values, any alignment will do.
        unsafe { v128_store(values.as_mut_ptr().cast(), vector) }
    }

    #[inline(always)]
    fn add(self, a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }

    #[inline(always)]
    fn sub(self, a: v128, b: v128) -> v128 {
        f32x4_sub(a, b)
    }

    #[inline(always)]
    fn mul(self, a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }

    #[inline(always)]
    fn larger(self, a: v128, b: v128) -> v128 {
        // The pseudo-maximum of (b, a) is `if b < a { a } else { b }`.
        f32x4_pmax(b, a)
    }

    #[inline(always)]
    fn greater(self, a: v128, b: v128) -> v128 {
        f32x4_gt(a, b)
    }

    #[inline(always)]
    fn equal(self, a: v128, b: v128) -> v128 {
        f32x4_eq(a, b)
    }

    #[inline(always)]
    fn bits(self, mask: v128) -> u32 {
        u32::from(i32x4_bitmask(mask))
    }

    #[inline(always)]
    fn select(self, mask: v128, yes: v128, no: v128) -> v128 {
        v128_bitselect(yes, no, mask)
    }

    /// V8 does all loads of a block before the block's arithmetic.
    #[inline(always)]
    fn turns(self, count: usize) -> usize {
        black_box(count)
    }

    #[inline(always)]
    fn pick(self, first: &[f32; 4], last: &[f32; 4], index: v128) -> v128 {
        // The places of each lane's four bytes among the 32 of both; a place that 16 bytes do not have gives 0.
        let number = v128_and(index, i32x4_splat(0b111));
        let places = i8x16_add(
            i32x4_mul(number, i32x4_splat(0x0404_0404)),
            i8x16(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3),
        );
        v128_or(
            i8x16_swizzle(self.load(first, 0), places),
            i8x16_swizzle(self.load(last, 0), i8x16_sub(places, i8x16_splat(16))),
        )
    }
}

impl Integers for Simd128 {
    type Integers = v128;

    #[inline(always)]
    fn splat_integer(self, value: i32) -> v128 {
        i32x4_splat(value)
    }

    #[inline(always)]
    fn load_integers(self, values: &[i32], index: usize) -> v128 {
        let values = &values.as_chunks::<{ Self::LANES }>().0[index];
        // SAFETY: `values` are 16 readable bytes, any alignment will do.
        unsafe { v128_load(values.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_integers(self, values: &mut [i32], index: usize, vector: v128) {
        let values = &mut values.as_chunks_mut::<{ Self::LANES }>().0[index];
        // SAFETY: `values` are 16 writable bytes, any alignment will do.
        unsafe { v128_store(values.as_mut_ptr().cast(), vector) }
    }

    #[inline(always)]
    fn add_pair_products(self, sum: v128, a: v128, b: v128) -> v128 {
        i32x4_add(sum, i32x4_dot_i16x8(a, b))
    }

    #[inline(always)]
    fn larger_integer(self, a: v128, b: v128) -> v128 {
        i32x4_max(a, b)
    }

    #[inline(always)]
    fn scale(self, sum: v128, multiplier: i32, half: i32, shift: u8) -> v128 {
        let multiplier = i32x4_splat(multiplier);
        let products = [i64x2_extmul_low_i32x4(sum, multiplier), i64x2_extmul_high_i32x4(sum, multiplier)];
        let upper = i32x4_shuffle::<1, 3, 5, 7>(products[0], products[1]);
        i32x4_min(i32x4_shr(i32x4_add(upper, i32x4_splat(half)), shift.into()), i32x4_splat(255))
    }

    #[inline(always)]
    fn pair(self, low: v128, high: v128) -> v128 {
        v128_or(low, i32x4_shl(high, 16))
    }
}
