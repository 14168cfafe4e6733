//! Plain arrays, which the compiler turns into whatever vectors the target has without being asked.

use super::{Integers, Simd};

/// Any machine.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

impl Simd for Portable {
    type Vector = [f32; 4];
    type Mask = [bool; 4];

    const LANES: usize = 4;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 4] {
        [value; 4]
    }

    #[inline(always)]
    fn load(self, values: &[f32], index: usize) -> [f32; 4] {
        values.as_chunks().0[index]
    }

    #[inline(always)]
    fn store(self, values: &mut [f32], index: usize, vector: [f32; 4]) {
        values.as_chunks_mut().0[index] = vector;
    }

    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]]
    }

    #[inline(always)]
    fn sub(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        [a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]]
    }

    #[inline(always)]
    fn mul(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        [a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]]
    }

    #[inline(always)]
    fn larger(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        self.select(self.greater(a, b), a, b)
    }

    #[inline(always)]
    fn greater(self, a: [f32; 4], b: [f32; 4]) -> [bool; 4] {
        [a[0] > b[0], a[1] > b[1], a[2] > b[2], a[3] > b[3]]
    }

    #[inline(always)]
    fn equal(self, a: [f32; 4], b: [f32; 4]) -> [bool; 4] {
        [a[0] == b[0], a[1] == b[1], a[2] == b[2], a[3] == b[3]]
    }

    #[inline(always)]
    fn bits(self, mask: [bool; 4]) -> u32 {
        u32::from(mask[0]) | u32::from(mask[1]) << 1 | u32::from(mask[2]) << 2 | u32::from(mask[3]) << 3
    }

    #[inline(always)]
    fn select(self, mask: [bool; 4], yes: [f32; 4], no: [f32; 4]) -> [f32; 4] {
        let pick = |lane: usize| if mask[lane] { yes[lane] } else { no[lane] };
        [pick(0), pick(1), pick(2), pick(3)]
    }

    #[inline(always)]
    fn pick(self, first: &[f32; 4], last: &[f32; 4], index: [f32; 4]) -> [f32; 4] {
        index.map(|index| {
            let number = index.to_bits() as usize & 0b111;
            if number < 4 { first[number] } else { last[number - 4] }
        })
    }
}

impl Integers for Portable {
    type Integers = [i32; 4];

    #[inline(always)]
    fn splat_integer(self, value: i32) -> [i32; 4] {
        [value; 4]
    }

    #[inline(always)]
    fn load_integers(self, values: &[i32], index: usize) -> [i32; 4] {
        values.as_chunks().0[index]
    }

    #[inline(always)]
    fn store_integers(self, values: &mut [i32], index: usize, vector: [i32; 4]) {
        values.as_chunks_mut().0[index] = vector;
    }

    #[inline(always)]
    fn add_pair_products(self, mut sum: [i32; 4], a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        for lane in 0..4 {
            let low = i32::from(a[lane] as i16) * i32::from(b[lane] as i16);
            sum[lane] = sum[lane].wrapping_add(low).wrapping_add((a[lane] >> 16) * (b[lane] >> 16));
        }
        sum
    }

    #[inline(always)]
    fn larger_integer(self, a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        [a[0].max(b[0]), a[1].max(b[1]), a[2].max(b[2]), a[3].max(b[3])]
    }

    #[inline(always)]
    fn scale(self, sum: [i32; 4], multiplier: i32, half: i32, shift: u8) -> [i32; 4] {
        sum.map(|sum| {
            let upper = ((i64::from(sum) * i64::from(multiplier)) >> 32) as i32;
            ((upper + half) >> shift).min(255)
        })
    }

    #[inline(always)]
    fn pair(self, low: [i32; 4], high: [i32; 4]) -> [i32; 4] {
        [low[0] | high[0] << 16, low[1] | high[1] << 16, low[2] | high[2] << 16, low[3] | high[3] << 16]
    }
}
