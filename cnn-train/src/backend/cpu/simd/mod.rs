//! Vectors of f32, and of integers ([`integers`]): a small trait each, one file for each instruction set.
//!
//! The kernels are written once over [`Simd`]; a level only says how wide its vectors are and how each operation is
//! spelt. There is no fused multiply-add and no sum across lanes, so a kernel gives the same bits at every level.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod dispatch;
pub mod integers;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
pub mod prefetch;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;
#[cfg(target_arch = "x86_64")]
mod sse2;

pub use integers::Integers;

/// An instruction set for vectors of f32.
///
/// A value of the implementing type is the proof that this machine has the instructions: [`dispatch`] creates one
/// only where it found them. Therefore all methods are safe. They must be inlined into a function that is compiled for
/// the instruction set, which is what [`dispatch::Dispatch::run`] is for.
pub trait Simd: Integers + Send + Sync {
    /// [`Simd::LANES`] values.
    type Vector: Copy;
    /// One truth value for each lane.
    type Mask: Copy;

    /// Values of a vector; a divisor of 16.
    const LANES: usize;
    /// Vector registers: the size of the tiles that the kernels keep in them depends on it.
    const REGISTERS: usize;

    /// `value` in every lane.
    fn splat(self, value: f32) -> Self::Vector;

    /// Vector number `index` of `values`: those from `index · LANES`.
    ///
    /// # Panics
    /// If it does not lie within `values`.
    fn load(self, values: &[f32], index: usize) -> Self::Vector;

    /// Writes vector number `index` of `values`.
    ///
    /// # Panics
    /// If it does not lie within `values`.
    fn store(self, values: &mut [f32], index: usize, vector: Self::Vector);

    /// `a + b`
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a − b`
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a · b`
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `if a > b { a } else { b }`, for zeros of either sign too.
    fn larger(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a > b`
    fn greater(self, a: Self::Vector, b: Self::Vector) -> Self::Mask;

    /// `a == b`
    fn equal(self, a: Self::Vector, b: Self::Vector) -> Self::Mask;

    /// The mask as an integer: lane i is bit i.
    fn bits(self, mask: Self::Mask) -> u32;

    /// `if mask { yes } else { no }`
    fn select(self, mask: Self::Mask, yes: Self::Vector, no: Self::Vector) -> Self::Vector;

    /// The `N` vectors of `values` from number `first` on.
    ///
    /// # Panics
    /// If they do not lie within `values`.
    #[inline(always)]
    fn load_all<const N: usize>(self, values: &[f32], first: usize) -> [Self::Vector; N] {
        let mut vectors = [self.splat(0.0); N];
        for (v, vector) in vectors.iter_mut().enumerate() {
            *vector = self.load(values, first + v);
        }
        vectors
    }

    /// For each lane, one of eight values, the first four and the last four: the one whose number, below 8, the lowest
    /// four bits of `index` are.
    fn pick(self, first: &[f32; 4], last: &[f32; 4], index: Self::Vector) -> Self::Vector;

    /// Keeps a loop that calls it once a turn from running faster than a turn in `CYCLES` cycles, at the levels where the
    /// processor would lower its clock for it; see `docs/performance-cpu.md`. `beat` goes from turn to turn.
    #[inline(always)]
    fn pace<const CYCLES: usize>(self, _beat: &mut u64) {}

    /// How often a loop turns: `count`, which a level hides from the compiler where an unrolled loop would need more
    /// registers than there are.
    #[inline(always)]
    fn turns(self, count: usize) -> usize {
        count
    }

    /// `sum + a · b`, the product rounded before it is added.
    #[inline(always)]
    fn add_product(self, sum: Self::Vector, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        self.add(sum, self.mul(a, b))
    }
}
