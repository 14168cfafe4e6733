//! Plain arrays, which the compiler turns into whatever vectors the target has without being asked.

use super::Simd;

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
