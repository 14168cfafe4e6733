//! The integer parameters: how they lie in a model file, the range of each, and that no sum of theirs overflows.

use core::fmt;
use core::ops::RangeInclusive;

use bytemuck::try_cast_slice;

use crate::shapes::{CLASSES, CONV1_CHANNELS, CONV2_CHANNELS, HIDDEN, KERNEL_LEN, POOL2_LEN};

/// Convolution weights: `[output channel][input channel][3·row + column]`.
pub type Kernels<const OUTPUT: usize, const INPUT: usize> = [[[i8; KERNEL_LEN]; INPUT]; OUTPUT];

/// The largest magnitude of a weight: −128 is none.
pub const WEIGHT_LIMIT: i8 = 127;
/// The largest magnitude of a bias: 2³⁰.
pub const BIAS_LIMIT: i32 = 1 << 30;
/// What a multiplier can be: 31 bits, the highest of them set.
pub const MULTIPLIERS: RangeInclusive<i32> = 1 << 30..=i32::MAX;
/// What a shift can be.
pub const SHIFTS: RangeInclusive<u8> = 1..=62;

/// The largest magnitude of a sum, of its parts and of its partial sums in any order, of so many terms.
pub const fn largest_sum(terms: usize) -> i64 {
    BIAS_LIMIT as i64 + terms as i64 * WEIGHT_LIMIT as i64 * u8::MAX as i64
}

/// The largest magnitude of any sum of the network: that of fc1, which has the most terms.
pub const SUM_LIMIT: i64 = largest_sum(POOL2_LEN);
const _: () = {
    assert!(SUM_LIMIT <= i32::MAX as i64, "no sum overflows i32");
    let terms = [KERNEL_LEN, CONV1_CHANNELS * KERNEL_LEN, POOL2_LEN, HIDDEN];
    let mut layer = 0;
    while layer < terms.len() {
        assert!(largest_sum(terms[layer]) <= SUM_LIMIT);
        layer += 1;
    }
    // Rescaling: the product and the half that is added to it.
    let product = SUM_LIMIT as i128 * *MULTIPLIERS.end() as i128 + (1 << (*SHIFTS.end() - 1));
    assert!(product <= i64::MAX as i128, "no rescaled sum overflows i64");
};

const CONV1_WEIGHTS: usize = CONV1_CHANNELS * KERNEL_LEN;
const CONV2_WEIGHTS: usize = CONV2_CHANNELS * CONV1_CHANNELS * KERNEL_LEN;
const FC1_WEIGHTS: usize = HIDDEN * POOL2_LEN;
const FC2_WEIGHTS: usize = CLASSES * HIDDEN;

/// Number of weights: 101,952.
pub const WEIGHT_COUNT: usize = CONV1_WEIGHTS + CONV2_WEIGHTS + FC1_WEIGHTS + FC2_WEIGHTS;
/// Number of multipliers and of shifts: one for each output channel of all layers but the last.
pub const RESCALE_COUNT: usize = CONV1_CHANNELS + CONV2_CHANNELS + HIDDEN;
/// Number of biases: one for each output channel.
pub const BIAS_COUNT: usize = RESCALE_COUNT + CLASSES;

/// Where in the block the biases begin.
pub const BIASES_AT: usize = WEIGHT_COUNT;
/// Where in the block the multipliers begin.
pub const MULTIPLIERS_AT: usize = BIASES_AT + 4 * BIAS_COUNT;
/// Where in the block the shifts begin.
pub const SHIFTS_AT: usize = MULTIPLIERS_AT + 4 * RESCALE_COUNT;
/// Bytes of the block: 103,504.
pub const BLOCK_LEN: usize = SHIFTS_AT + RESCALE_COUNT;
const _: () = assert!(BLOCK_LEN == 103_504 && BIASES_AT.is_multiple_of(4) && MULTIPLIERS_AT.is_multiple_of(4));

/// The parameters as a model file has them: all weights i8, all biases i32, all multipliers i32, all shifts u8, each in
/// the order conv1, conv2, fc1, fc2 and within a layer in PyTorch's; numbers little-endian.
pub type Block = [u8; BLOCK_LEN];

/// What a layer makes of its sums: an input of the next one.
#[derive(Debug, Clone, Copy)]
pub struct Rescale<'a, const OUTPUT: usize> {
    /// Where each sum starts.
    pub bias: &'a [i32; OUTPUT],
    /// One of [`MULTIPLIERS`] for each output.
    pub multiplier: &'a [i32; OUTPUT],
    /// One of [`SHIFTS`] for each output.
    pub shift: &'a [u8; OUTPUT],
}

impl<const OUTPUT: usize> Rescale<'_, OUTPUT> {
    /// The activation of a sum of output channel `output`: `(sum · multiplier + 2^(shift − 1)) >> shift` in i64, clamped
    /// to 0..=255.
    #[inline(always)]
    pub fn activation(&self, output: usize, sum: i32) -> u8 {
        // What is not greater than 0 does not become so: it saves a product of 64 bits where the processor has none.
        if sum <= 0 {
            return 0;
        }
        let shift = u32::from(self.shift[output]);
        let product = u64::from(sum as u32) * u64::from(self.multiplier[output] as u32);
        // Most scales are small: then the lower word decides nothing, and a shift of 64 bits takes many instructions where
        // registers have 32. The product is below 2⁶², the half at most 2⁶¹.
        if shift > 32 {
            let upper = (product >> 32) as u32;
            return ((upper + (1 << (shift - 33))) >> (shift - 32)).min(255) as u8;
        }
        ((product + (1 << (shift - 1))) >> shift).min(255) as u8
    }
}

/// The parameters by name and shape, borrowed (from flash or from RAM).
#[derive(Debug, Clone, Copy)]
pub struct Parameters<'a> {
    /// conv1's weights.
    pub conv1_weight: &'a Kernels<CONV1_CHANNELS, 1>,
    /// conv1's biases, which have the −1 of normalised pixels in them, and scales.
    pub conv1: Rescale<'a, CONV1_CHANNELS>,
    /// conv2's weights.
    pub conv2_weight: &'a Kernels<CONV2_CHANNELS, CONV1_CHANNELS>,
    /// conv2's biases and scales.
    pub conv2: Rescale<'a, CONV2_CHANNELS>,
    /// fc1's weights.
    pub fc1_weight: &'a [[i8; POOL2_LEN]; HIDDEN],
    /// fc1's biases and scales.
    pub fc1: Rescale<'a, HIDDEN>,
    /// fc2's weights.
    pub fc2_weight: &'a [[i8; HIDDEN]; CLASSES],
    /// fc2's biases.
    pub fc2_bias: &'a [i32; CLASSES],
}

// The lengths are constants that add up to the arrays', so no conversion below can fail.
const FITS: &str = "the layers' lengths add up";

/// The first `N` values, and the rest in their place.
fn split<'a, T, const N: usize>(values: &mut &'a [T]) -> &'a [T; N] {
    let (first, rest) = values.split_first_chunk().expect(FITS);
    *values = rest;
    first
}

impl<'a> Parameters<'a> {
    /// Gives the parameters of a block their names where they lie, without a copy; nothing if it does not lie on a 4-byte
    /// border or the machine is big-endian.
    pub fn borrow(block: &'a Block) -> Option<Self> {
        if cfg!(target_endian = "big") {
            return None;
        }
        let (weights, rest) = block.split_at(BIASES_AT);
        let (words, shifts) = rest.split_at(SHIFTS_AT - BIASES_AT);
        let (biases, multipliers) = try_cast_slice(words).ok()?.split_at(BIAS_COUNT);
        Some(Self::of(try_cast_slice(weights).ok()?, biases, multipliers, shifts))
    }

    fn of(mut weights: &'a [i8], mut biases: &'a [i32], mut multipliers: &'a [i32], mut shifts: &'a [u8]) -> Self {
        let conv1_weight: &[i8; CONV1_WEIGHTS] = split(&mut weights);
        let conv2_weight: &[i8; CONV2_WEIGHTS] = split(&mut weights);
        let fc1_weight: &[i8; FC1_WEIGHTS] = split(&mut weights);
        let fc2_weight: &[i8; FC2_WEIGHTS] = split(&mut weights);
        Self {
            conv1_weight: conv1_weight.as_chunks().0.as_chunks().0.try_into().expect(FITS),
            conv1: rescale(&mut biases, &mut multipliers, &mut shifts),
            conv2_weight: conv2_weight.as_chunks().0.as_chunks().0.try_into().expect(FITS),
            conv2: rescale(&mut biases, &mut multipliers, &mut shifts),
            fc1_weight: fc1_weight.as_chunks().0.try_into().expect(FITS),
            fc1: rescale(&mut biases, &mut multipliers, &mut shifts),
            fc2_weight: fc2_weight.as_chunks().0.try_into().expect(FITS),
            fc2_bias: split(&mut biases),
        }
    }
}

fn rescale<'a, const OUTPUT: usize>(
    biases: &mut &'a [i32],
    multipliers: &mut &'a [i32],
    shifts: &mut &'a [u8],
) -> Rescale<'a, OUTPUT> {
    Rescale { bias: split(biases), multiplier: split(multipliers), shift: split(shifts) }
}

/// The parameters in memory of their own: for machines and places where [`Parameters::borrow`] is not possible, and for
/// making them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedParameters {
    /// All weights, in the order of the block.
    pub weights: [i8; WEIGHT_COUNT],
    /// All biases.
    pub biases: [i32; BIAS_COUNT],
    /// All multipliers.
    pub multipliers: [i32; RESCALE_COUNT],
    /// All shifts.
    pub shifts: [u8; RESCALE_COUNT],
}

impl OwnedParameters {
    /// A network whose every sum and logit is 0.
    pub const ZERO: Self = Self {
        weights: [0; WEIGHT_COUNT],
        biases: [0; BIAS_COUNT],
        multipliers: [*MULTIPLIERS.start(); RESCALE_COUNT],
        shifts: [*SHIFTS.start(); RESCALE_COUNT],
    };

    /// Their names and shapes.
    pub fn view(&self) -> Parameters<'_> {
        Parameters::of(&self.weights, &self.biases, &self.multipliers, &self.shifts)
    }

    /// Copies a block, on any machine and from any place.
    pub fn copy_from(&mut self, block: &Block) {
        let (weights, rest) = block.split_at(BIASES_AT);
        let (biases, rest) = rest.split_at(MULTIPLIERS_AT - BIASES_AT);
        let (multipliers, shifts) = rest.split_at(SHIFTS_AT - MULTIPLIERS_AT);
        for (weight, &byte) in self.weights.iter_mut().zip(weights) {
            *weight = byte as i8;
        }
        for (bias, word) in self.biases.iter_mut().zip(words(biases)) {
            *bias = word;
        }
        for (multiplier, word) in self.multipliers.iter_mut().zip(words(multipliers)) {
            *multiplier = word;
        }
        self.shifts.copy_from_slice(shifts);
    }

    /// Writes the block.
    pub fn copy_to(&self, block: &mut Block) {
        let (weights, rest) = block.split_at_mut(BIASES_AT);
        let (numbers, shifts) = rest.split_at_mut(SHIFTS_AT - BIASES_AT);
        for (byte, &weight) in weights.iter_mut().zip(&self.weights) {
            *byte = weight as u8;
        }
        let values = self.biases.iter().chain(&self.multipliers);
        for (bytes, value) in numbers.as_chunks_mut().0.iter_mut().zip(values) {
            *bytes = value.to_le_bytes();
        }
        shifts.copy_from_slice(&self.shifts);
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = i32> + '_ {
    bytes.as_chunks().0.iter().map(|&bytes| i32::from_le_bytes(bytes))
}

/// What a number of the block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(serde::Serialize, serde::Deserialize))]
pub enum Part {
    /// A weight.
    Weight,
    /// A bias.
    Bias,
    /// A multiplier.
    Multiplier,
    /// A shift.
    Shift,
}

/// A number of the block that is not in its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(serde::Serialize, serde::Deserialize))]
pub struct OutOfRange {
    /// What it is.
    pub part: Part,
    /// Its place among its kind.
    pub index: u32,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, index } = self;
        match part {
            Part::Weight => write!(f, "weight {index} is not one of -{WEIGHT_LIMIT} to {WEIGHT_LIMIT}"),
            Part::Bias => write!(f, "bias {index} is above 2^30 in magnitude"),
            Part::Multiplier => write!(f, "multiplier {index} is not one of 2^30 to 2^31 - 1"),
            Part::Shift => write!(f, "shift {index} is not one of {} to {}", SHIFTS.start(), SHIFTS.end()),
        }
    }
}

/// The first number of a block that is not in its range, in the order of the block.
pub fn first_out_of_range(block: &Block) -> Option<OutOfRange> {
    let (weights, rest) = block.split_at(BIASES_AT);
    let (biases, rest) = rest.split_at(MULTIPLIERS_AT - BIASES_AT);
    let (multipliers, shifts) = rest.split_at(SHIFTS_AT - MULTIPLIERS_AT);
    let found = |part, index: usize| OutOfRange { part, index: index as u32 };
    let weight = weights.iter().position(|&byte| byte as i8 == i8::MIN).map(|at| found(Part::Weight, at));
    let bias =
        || words(biases).position(|bias| bias.unsigned_abs() > BIAS_LIMIT as u32).map(|at| found(Part::Bias, at));
    let multiplier =
        || words(multipliers).position(|m| !MULTIPLIERS.contains(&m)).map(|at| found(Part::Multiplier, at));
    let shift = || shifts.iter().position(|shift| !SHIFTS.contains(shift)).map(|at| found(Part::Shift, at));
    weight.or_else(bias).or_else(multiplier).or_else(shift)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::boxed::Box;
    use std::vec;

    use super::*;

    fn block() -> Box<Block> {
        let mut block: Box<Block> = vec![0; BLOCK_LEN].into_boxed_slice().try_into().expect("the length is right");
        OwnedParameters::ZERO.copy_to(&mut block);
        block
    }

    #[test]
    fn the_extremes_of_every_part_are_in_range_and_what_lies_beyond_is_not() {
        let set = |at: usize, bytes: &[u8]| {
            let mut block = block();
            block[at..at + bytes.len()].copy_from_slice(bytes);
            first_out_of_range(&block)
        };
        for weight in [-127i8, 0, 127] {
            assert_eq!(set(WEIGHT_COUNT - 1, &weight.to_le_bytes()), None);
        }
        let last = |part, count: usize| Some(OutOfRange { part, index: count as u32 - 1 });
        assert_eq!(set(WEIGHT_COUNT - 1, &[0x80]), last(Part::Weight, WEIGHT_COUNT));
        for (bias, good) in [(BIAS_LIMIT, true), (-BIAS_LIMIT, true), (BIAS_LIMIT + 1, false), (i32::MIN, false)] {
            let found = set(MULTIPLIERS_AT - 4, &bias.to_le_bytes());
            assert_eq!(found, if good { None } else { last(Part::Bias, BIAS_COUNT) }, "{bias}");
        }
        for (multiplier, good) in [(i32::MAX, true), (1 << 30, true), ((1 << 30) - 1, false), (0, false), (-1, false)] {
            let found = set(SHIFTS_AT - 4, &i32::to_le_bytes(multiplier));
            assert_eq!(found, if good { None } else { last(Part::Multiplier, RESCALE_COUNT) }, "{multiplier}");
        }
        for (shift, good) in [(1, true), (62, true), (0, false), (63, false), (255, false)] {
            let found = set(BLOCK_LEN - 1, &[shift]);
            assert_eq!(found, if good { None } else { last(Part::Shift, RESCALE_COUNT) }, "{shift}");
        }
    }

    #[test]
    fn a_block_is_read_as_it_was_written_and_borrowed_where_it_lies() {
        let mut parameters = Box::new(OwnedParameters::ZERO);
        parameters.weights.iter_mut().enumerate().for_each(|(i, weight)| *weight = (i % 255) as i8);
        parameters.biases.iter_mut().enumerate().for_each(|(i, bias)| *bias = 1_000_003 * (i as i32 - 80));
        parameters.multipliers.iter_mut().enumerate().for_each(|(i, m)| *m = i32::MAX - i as i32);
        parameters.shifts.iter_mut().enumerate().for_each(|(i, shift)| *shift = (i % 62 + 1) as u8);
        let mut words = vec![0u128; BLOCK_LEN.div_ceil(16) + 1];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        parameters.copy_to(bytes.first_chunk_mut().expect("room"));
        let block: &Block = bytes.first_chunk().expect("room");
        let mut copy = Box::new(OwnedParameters::ZERO);
        copy.copy_from(block);
        assert_eq!(copy, parameters);
        let view = parameters.view();
        assert_eq!(view.conv2_weight[7][2][8], parameters.weights[144 + (7 * 16 + 2) * 9 + 8]);
        assert_eq!(view.fc2_weight[1][4], parameters.weights[WEIGHT_COUNT - 1200 + 124]);
        assert_eq!((view.fc1.bias[1], view.fc1.multiplier[1], view.fc1.shift[1]), {
            (parameters.biases[49], parameters.multipliers[49], parameters.shifts[49])
        });
        assert_eq!(view.fc2_bias[9], parameters.biases[BIAS_COUNT - 1]);
        #[cfg(target_endian = "little")]
        {
            let borrowed = Parameters::borrow(block).expect("it is aligned");
            assert_eq!(borrowed.conv1_weight.as_ptr().addr(), block.as_ptr().addr());
            assert_eq!((borrowed.fc1_weight, borrowed.fc2_bias), (view.fc1_weight, view.fc2_bias));
            assert_eq!(borrowed.conv2.shift, view.conv2.shift);
        }
        bytes.copy_within(0..BLOCK_LEN, 1);
        assert!(Parameters::borrow(bytes[1..].first_chunk().expect("room")).is_none());
    }

    /// The proof that no sum overflows is the compile-time check of [`SUM_LIMIT`]; here the worst cases themselves.
    #[test]
    fn the_largest_sums_there_can_be_fit_their_types() {
        for (sign, bias) in [(1, BIAS_LIMIT), (-1, -BIAS_LIMIT)] {
            let term = i32::from(u8::MAX) * i32::from(WEIGHT_LIMIT) * sign;
            let sum = (0..POOL2_LEN).try_fold(bias, |sum, _| sum.checked_add(term)).expect("it fits");
            assert_eq!(i64::from(sum), SUM_LIMIT * i64::from(sign));
            for shift in SHIFTS {
                let product = i64::from(sum) * i64::from(i32::MAX);
                let expected = product.checked_add(1 << (shift - 1)).expect("it fits") >> shift;
                let rescale = Rescale { bias: &[0], multiplier: &[i32::MAX], shift: &[shift] };
                assert_eq!(i64::from(rescale.activation(0, sum)), expected.clamp(0, 255), "{sum} >> {shift}");
            }
        }
    }

    #[test]
    fn halves_are_rounded_upwards() {
        // A factor of one half: 2^30 / 2^31.
        let rescale = Rescale { bias: &[0], multiplier: &[1 << 30], shift: &[31] };
        let rounded = [-3, -1, 0, 1, 2, 3, 509, 510, 511].map(|sum| rescale.activation(0, sum));
        assert_eq!(rounded, [0, 0, 0, 1, 1, 2, 255, 255, 255]);
    }
}
