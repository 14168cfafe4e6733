//! Vectors of integers, for the integer network ([`crate::int8`]).
//!
//! Products are of pairs: a lane holds two numbers of 16 bits, the first in its lower half, and both products of two lanes
//! are added at once. Sums are exact, so all levels give the same.

/// The integer operations of an instruction set; [`super::Simd`] says what holds for all its methods. A vector has
/// [`super::Simd::LANES`] lanes.
pub trait Integers: Copy {
    /// One i32, or a pair of i16, in each lane.
    type Integers: Copy;

    /// `value` in every lane.
    fn splat_integer(self, value: i32) -> Self::Integers;

    /// Vector number `index` of `values`: those from `index · LANES`.
    ///
    /// # Panics
    /// If it does not lie within `values`.
    fn load_integers(self, values: &[i32], index: usize) -> Self::Integers;

    /// Writes vector number `index` of `values`.
    ///
    /// # Panics
    /// If it does not lie within `values`.
    fn store_integers(self, values: &mut [i32], index: usize, vector: Self::Integers);

    /// `sum + a₀ · b₀ + a₁ · b₁` of pairs `a` and `b`, which is in the range of i32.
    fn add_pair_products(self, sum: Self::Integers, a: Self::Integers, b: Self::Integers) -> Self::Integers;

    /// The larger number of each lane.
    fn larger_integer(self, a: Self::Integers, b: Self::Integers) -> Self::Integers;

    /// `(sum · multiplier / 2³² + half) >> shift`, rounded down, at most 255. No number is negative, and what is shifted
    /// is below 2³¹.
    fn scale(self, sum: Self::Integers, multiplier: i32, half: i32, shift: u8) -> Self::Integers;

    /// The pair of `low` and `high`, numbers of 0 to 255.
    fn pair(self, low: Self::Integers, high: Self::Integers) -> Self::Integers;
}

#[cfg(test)]
mod tests {
    use super::super::Simd;
    use super::super::dispatch::{Dispatch, Kernel, SimdLevel};

    /// Numbers of [`values`], a multiple of every level's lanes.
    const COUNT: usize = 256;

    /// Extremes, then numbers of a plain generator.
    fn values(seed: u32, largest: u32) -> Vec<i32> {
        let mut state = seed;
        let mut values = vec![0, 1, largest as i32, largest as i32 - 1];
        values.resize_with(COUNT, || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 4) % (largest + 1)) as i32
        });
        values
    }

    /// An input and a weight in each half.
    fn pairs(seed: u32, signed: bool) -> Vec<i32> {
        let half = |seed| {
            values(seed, if signed { 254 } else { 255 }).into_iter().map(move |x| if signed { x - 127 } else { x })
        };
        half(seed).zip(half(seed + 1)).map(|(low, high)| low & 0xffff | high << 16).collect()
    }

    fn halves(pair: i32) -> [i32; 2] {
        [i32::from(pair as i16), pair >> 16]
    }

    struct Operations<'a> {
        sums: &'a [i32],
        inputs: &'a [i32],
        weights: &'a [i32],
        activations: [&'a [i32]; 2],
        scales: &'a [(i32, u8)],
    }

    impl Kernel for Operations<'_> {
        type Output = Vec<Vec<i32>>;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Vec<Vec<i32>> {
            let mut results = vec![vec![0; COUNT]; 3 + self.scales.len()];
            for index in 0..COUNT / S::LANES {
                let sums = simd.load_integers(self.sums, index);
                let inputs = simd.load_integers(self.inputs, index);
                let weights = simd.load_integers(self.weights, index);
                let [low, high] = self.activations.map(|values| simd.load_integers(values, index));
                simd.store_integers(&mut results[0], index, simd.add_pair_products(sums, inputs, weights));
                let shifted = simd.add_pair_products(simd.splat_integer(-5), inputs, weights);
                simd.store_integers(&mut results[1], index, simd.larger_integer(sums, shifted));
                simd.store_integers(&mut results[2], index, simd.pair(low, high));
                for (&(multiplier, shift), results) in self.scales.iter().zip(&mut results[3..]) {
                    simd.store_integers(results, index, simd.scale(sums, multiplier, 1 << (shift - 1), shift));
                }
            }
            results
        }
    }

    #[test]
    fn every_level_gives_the_integers_of_plain_arithmetic() {
        let sums = values(1, (1 << 30) + 800 * 127 * 255);
        let (inputs, weights) = (pairs(2, false), pairs(4, true));
        let activations = [values(6, 255), values(7, 255)];
        let scales = [(1 << 30, 1), (i32::MAX, 1), (1 << 30, 30), (i32::MAX, 30), (1_518_500_250, 7), (1 << 30, 22)];
        let products: Vec<i32> = inputs
            .iter()
            .zip(&weights)
            .map(|(&a, &b)| {
                let ([a0, a1], [b0, b1]) = (halves(a), halves(b));
                a0 * b0 + a1 * b1
            })
            .collect();
        let mut expected = vec![
            sums.iter().zip(&products).map(|(sum, product)| sum.wrapping_add(*product)).collect::<Vec<_>>(),
            sums.iter().zip(&products).map(|(&sum, product)| sum.max(product - 5)).collect(),
            activations[0].iter().zip(&activations[1]).map(|(low, high)| low | high << 16).collect(),
        ];
        for &(multiplier, shift) in &scales {
            let rescaled = |&sum: &i32| {
                let product = i64::from(sum) * i64::from(multiplier);
                ((product + (1i64 << (shift + 31))) >> (shift + 32)).min(255) as i32
            };
            expected.push(sums.iter().map(rescaled).collect());
        }
        for level in SimdLevel::available() {
            let operations = Operations {
                sums: &sums,
                inputs: &inputs,
                weights: &weights,
                activations: [&activations[0], &activations[1]],
                scales: &scales,
            };
            let results = Dispatch::new(level).expect("it is there").run(operations);
            assert_eq!(results, expected, "{level}");
        }
    }
}
