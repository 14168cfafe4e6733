//! The integer network over many images: their sums side by side in vectors, blocks of them on all cores.
//!
//! A lane is an image. Vectors multiply pairs of 16-bit numbers and add both products, so weights and activations are laid
//! out in pairs: of two neighbouring pixels for conv1, of two channels at one place for what follows. Sums are exact in any
//! order, so the logits are those of [`cnn_core::int8::forward`].

use std::sync::{Mutex, PoisonError};
use std::thread;

use cnn_core::image::Pixels;
use cnn_core::int8::parameters::Rescale;
use cnn_core::int8::{Logits, OwnedParameters, Parameters};
use cnn_core::shapes::{
    CLASSES, CONV1_CHANNELS, CONV2_CHANNELS, HIDDEN, IMAGE_PIXELS, IMAGE_SIDE, POOL1_LEN, POOL1_SIDE, POOL2_LEN,
    POOL2_SIDE,
};

use crate::backend::cpu::simd::Simd;
use crate::backend::cpu::simd::dispatch::{Dispatch, Kernel};
use crate::backend::cpu::{self, CpuError, CpuOptions, SimdLevel};

/// The most lanes of a vector; images that a thread takes at a time.
const BLOCK: usize = 16;
/// Outputs of a fully connected layer that are summed together.
const OUTPUT_BLOCK: usize = 10;
/// Pairs of weights of a row of conv1's kernel: the first two, and the last with 0.
const CONV1_COLUMNS: usize = 2;
/// Pairs of weights of a row of two input channels' kernels.
const CONV2_COLUMNS: usize = 3;
const POOL2_PLANE: usize = POOL2_SIDE * POOL2_SIDE;

/// Two numbers of 16 bits, the first in the lower half.
fn pair(first: i16, second: i16) -> i32 {
    i32::from(first) & 0xffff | i32::from(second) << 16
}

fn weights(first: i8, second: i8) -> i32 {
    pair(first.into(), second.into())
}

/// The weights in pairs, in the order in which they are needed.
struct Weights {
    /// `[pair of output channels][tap][output channel]`
    conv1: Vec<i32>,
    /// `[pair of output channels][pair of input channels][tap][output channel]`
    conv2: Vec<i32>,
    /// `[block of outputs][pair of inputs][output]`, the inputs of a pair two channels' at one place.
    fc1: Vec<i32>,
    /// The same, of neighbouring inputs.
    fc2: Vec<i32>,
}

impl Weights {
    fn of(parameters: &Parameters<'_>) -> Self {
        let mut conv1 = Vec::with_capacity(CONV1_CHANNELS * 3 * CONV1_COLUMNS);
        for [first, second] in parameters.conv1_weight.as_chunks().0 {
            for row in 0..3 {
                conv1.extend([first, second].map(|[kernel]| weights(kernel[3 * row], kernel[3 * row + 1])));
                conv1.extend([first, second].map(|[kernel]| weights(kernel[3 * row + 2], 0)));
            }
        }
        let mut conv2 = Vec::with_capacity(CONV2_CHANNELS * CONV1_CHANNELS / 2 * 3 * CONV2_COLUMNS);
        for outputs in parameters.conv2_weight.as_chunks::<2>().0 {
            for inputs in 0..CONV1_CHANNELS / 2 {
                for tap in 0..3 * CONV2_COLUMNS {
                    let of = |kernels: &[[i8; 9]]| weights(kernels[2 * inputs][tap], kernels[2 * inputs + 1][tap]);
                    conv2.extend(outputs.each_ref().map(|kernels| of(kernels)));
                }
            }
        }
        let channels_apart = |pair: usize| {
            let first = 2 * (pair / POOL2_PLANE) * POOL2_PLANE + pair % POOL2_PLANE;
            (first, first + POOL2_PLANE)
        };
        Self {
            conv1,
            conv2,
            fc1: linear_weights(parameters.fc1_weight, channels_apart),
            fc2: linear_weights(parameters.fc2_weight, |pair| (2 * pair, 2 * pair + 1)),
        }
    }
}

fn linear_weights<const INPUT: usize>(weight: &[[i8; INPUT]], inputs: impl Fn(usize) -> (usize, usize)) -> Vec<i32> {
    let mut pairs = Vec::with_capacity(weight.len() * INPUT / 2);
    for outputs in weight.as_chunks::<OUTPUT_BLOCK>().0 {
        for (first, second) in (0..INPUT / 2).map(&inputs) {
            pairs.extend(outputs.each_ref().map(|output| weights(output[first], output[second])));
        }
    }
    pairs
}

/// A block's activations, in pairs: `[place][lane]`.
#[derive(bytemuck::Zeroable)]
struct Scratch {
    /// Each pixel with its neighbour to the right.
    image: [i32; IMAGE_PIXELS * BLOCK],
    pool1: [i32; POOL1_LEN / 2 * BLOCK],
    pool2: [i32; POOL2_LEN / 2 * BLOCK],
    hidden: [i32; HIDDEN / 2 * BLOCK],
    logits: [i32; CLASSES * BLOCK],
}

/// The processor with its vectors and cores, for the integer network.
#[derive(Debug, Clone, Copy)]
pub struct Evaluator {
    dispatch: Dispatch,
    level: SimdLevel,
    threads: usize,
}

impl Evaluator {
    /// What the options ask for; by default all physical cores and the widest vectors of the machine.
    ///
    /// # Errors
    /// If they ask for what the machine does not have.
    pub fn new(options: CpuOptions) -> Result<Self, CpuError> {
        let (level, dispatch) = cpu::level(options.simd)?;
        let threads = options.threads.unwrap_or_else(cpu::physical_cores);
        if threads == 0 { Err(CpuError::NoThreads) } else { Ok(Self { dispatch, level, threads }) }
    }

    /// What it is and what it runs on, for people.
    pub fn description(&self) -> String {
        let Self { level, threads, .. } = self;
        format!("cpu, int8 ({level}, {threads} thread{})", if *threads == 1 { "" } else { "s" })
    }

    /// The logits of every image.
    ///
    /// # Panics
    /// If there are not as many logits as images.
    pub fn run(&self, parameters: &OwnedParameters, images: &[Pixels], logits: &mut [Logits]) {
        assert_eq!(images.len(), logits.len(), "logits for each image");
        let parameters = parameters.view();
        let weights = Weights::of(&parameters);
        let work = Mutex::new(images.chunks(BLOCK).zip(logits.chunks_mut(BLOCK)));
        let run = || {
            let mut scratch: Box<Scratch> = bytemuck::zeroed_box();
            loop {
                let next = work.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((images, logits)) = next else { return };
                self.dispatch.run(Block {
                    parameters: &parameters,
                    weights: &weights,
                    images,
                    scratch: &mut scratch,
                    logits,
                });
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.threads.min(images.len().div_ceil(BLOCK)) {
                // A thread that the system does not start is done without.
                let _ = thread::Builder::new().name("int8".into()).spawn_scoped(scope, run);
            }
            run();
        });
    }
}

/// At most [`BLOCK`] images.
struct Block<'a> {
    parameters: &'a Parameters<'a>,
    weights: &'a Weights,
    images: &'a [Pixels],
    scratch: &'a mut Scratch,
    logits: &'a mut [Logits],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { parameters, weights, images, scratch, logits } = self;
        for (images, logits) in images.chunks(S::LANES).zip(logits.chunks_mut(S::LANES)) {
            read_images::<S>(images, &mut scratch.image);
            forward(simd, parameters, weights, scratch);
            for (lane, logits) in logits.iter_mut().enumerate() {
                for (class, logit) in logits.iter_mut().enumerate() {
                    *logit = scratch.logits[class * S::LANES + lane];
                }
            }
        }
    }
}

/// Lanes without an image keep an older one, whose logits nobody reads.
#[inline(always)]
fn read_images<S: Simd>(images: &[Pixels], values: &mut [i32]) {
    for (lane, pixels) in images.iter().enumerate() {
        let neighbours = pixels.iter().zip(pixels[1..].iter().chain([&0]));
        // What the last pixel of a row has beside it meets a weight of 0.
        for (values, (&pixel, &right)) in values.chunks_exact_mut(S::LANES).zip(neighbours) {
            values[lane] = pair(pixel.into(), right.into());
        }
    }
}

#[inline(always)]
fn forward<S: Simd>(simd: S, parameters: &Parameters<'_>, weights: &Weights, scratch: &mut Scratch) {
    let Scratch { image, pool1, pool2, hidden, logits } = scratch;
    convolve_pool::<S, 1, IMAGE_SIDE, CONV1_CHANNELS, POOL1_SIDE, CONV1_COLUMNS>(
        simd,
        image,
        &weights.conv1,
        &parameters.conv1,
        pool1,
    );
    convolve_pool::<S, { CONV1_CHANNELS / 2 }, POOL1_SIDE, CONV2_CHANNELS, POOL2_SIDE, CONV2_COLUMNS>(
        simd,
        pool1,
        &weights.conv2,
        &parameters.conv2,
        pool2,
    );
    linear::<S, { POOL2_LEN / 2 }>(simd, pool2, &weights.fc1, parameters.fc1.bias, |block, sums| {
        for place in 0..OUTPUT_BLOCK / 2 {
            let output = OUTPUT_BLOCK * block + 2 * place;
            let low = activation(simd, &parameters.fc1, output, sums[2 * place]);
            let high = activation(simd, &parameters.fc1, output + 1, sums[2 * place + 1]);
            simd.store_integers(hidden, output / 2, simd.pair(low, high));
        }
    });
    linear::<S, { HIDDEN / 2 }>(simd, hidden, &weights.fc2, parameters.fc2_bias, |_, sums| {
        for (class, &sums) in sums.iter().enumerate() {
            simd.store_integers(logits, class, sums);
        }
    });
}

/// Convolution 3×3 and max-pooling, two output channels at a time: a pair of what follows.
///
/// `PLANES` are the input's, of pairs. Of a kernel's row `COLUMNS` pairs of weights meet the input: at columns 0, 1 and 2, or
/// at 0 and 2.
#[inline(always)]
fn convolve_pool<
    S: Simd,
    const PLANES: usize,
    const SIDE: usize,
    const OUTPUT: usize,
    const POOLED: usize,
    const COLUMNS: usize,
>(
    simd: S,
    input: &[i32],
    weight: &[i32],
    rescale: &Rescale<'_, OUTPUT>,
    output: &mut [i32],
) {
    for place in 0..POOLED * POOLED {
        let corner = 2 * (place / POOLED) * SIDE + 2 * (place % POOLED);
        for (channels, weight) in weight.chunks_exact(PLANES * 3 * COLUMNS * 2).enumerate() {
            let mut left = [simd.splat_integer(rescale.bias[2 * channels]); 4];
            let mut right = [simd.splat_integer(rescale.bias[2 * channels + 1]); 4];
            for (row, weight) in weight.as_chunks::<2>().0.as_chunks::<COLUMNS>().0.iter().enumerate() {
                let corner = row / 3 * SIDE * SIDE + row % 3 * SIDE + corner;
                let upper = &input[corner * S::LANES..][..4 * S::LANES];
                let lower = &input[(corner + SIDE) * S::LANES..][..4 * S::LANES];
                let inputs = [four(simd, upper), four(simd, lower)];
                for column in 0..COLUMNS {
                    let [first, second] = weight[column];
                    let (first, second) = (simd.splat_integer(first), simd.splat_integer(second));
                    for position in 0..4 {
                        let inputs = inputs[position / 2][(4 - COLUMNS) * column + position % 2];
                        left[position] = simd.add_pair_products(left[position], inputs, first);
                        right[position] = simd.add_pair_products(right[position], inputs, second);
                    }
                }
            }
            let low = activation(simd, rescale, 2 * channels, largest(simd, left));
            let high = activation(simd, rescale, 2 * channels + 1, largest(simd, right));
            simd.store_integers(output, channels * POOLED * POOLED + place, simd.pair(low, high));
        }
    }
}

#[inline(always)]
fn four<S: Simd>(simd: S, row: &[i32]) -> [S::Integers; 4] {
    let at = |index| simd.load_integers(row, index);
    [at(0), at(1), at(2), at(3)]
}

#[inline(always)]
fn largest<S: Simd>(simd: S, [a, b, c, d]: [S::Integers; 4]) -> S::Integers {
    simd.larger_integer(simd.larger_integer(a, b), simd.larger_integer(c, d))
}

/// [`Rescale::activation`] of every lane.
#[inline(always)]
fn activation<S: Simd, const OUTPUT: usize>(
    simd: S,
    rescale: &Rescale<'_, OUTPUT>,
    output: usize,
    sums: S::Integers,
) -> S::Integers {
    let shift = rescale.shift[output];
    if shift > 32 {
        let sums = simd.larger_integer(sums, simd.splat_integer(0));
        return simd.scale(sums, rescale.multiplier[output], 1 << (shift - 33), shift - 32);
    }
    // Factors above 1/4, which hardly exist.
    let mut values = [0; BLOCK];
    simd.store_integers(&mut values, 0, sums);
    for value in &mut values {
        *value = rescale.activation(output, *value).into();
    }
    simd.load_integers(&values, 0)
}

/// Calls `emit` with the sums of every [`OUTPUT_BLOCK`] outputs.
#[inline(always)]
fn linear<S: Simd, const PAIRS: usize>(
    simd: S,
    input: &[i32],
    weight: &[i32],
    bias: &[i32],
    mut emit: impl FnMut(usize, [S::Integers; OUTPUT_BLOCK]),
) {
    let blocks = weight.as_chunks::<OUTPUT_BLOCK>().0.as_chunks::<PAIRS>().0;
    for (block, (weight, bias)) in blocks.iter().zip(bias.as_chunks::<OUTPUT_BLOCK>().0).enumerate() {
        let mut sums = bias.map(|bias| simd.splat_integer(bias));
        for (index, weights) in weight.iter().enumerate() {
            let inputs = simd.load_integers(input, index);
            for (sum, &weights) in sums.iter_mut().zip(weights) {
                *sum = simd.add_pair_products(*sum, inputs, simd.splat_integer(weights));
            }
        }
        emit(block, sums);
    }
}

#[cfg(test)]
mod tests {
    use cnn_core::int8::parameters::{BIAS_LIMIT, WEIGHT_LIMIT};
    use cnn_core::int8::{self, Activations};

    use super::*;
    use crate::dataset::{Split, synthetic};
    use crate::int8::{calibrate, quantize};
    use crate::random::initial_parameters;

    #[test]
    fn every_level_and_number_of_threads_gives_the_logits_of_one_image_after_the_other() {
        let parameters = initial_parameters(9);
        // A last block that is not full.
        let images = synthetic::samples(1, Split::Test, 3 * BLOCK + 5).images().to_vec();
        let (mut parameters, _) = quantize(&parameters, calibrate(&parameters, &images));
        assert_equal_everywhere(&parameters, &images);
        // Numbers at the ends of their ranges, and factors that no trained model has.
        for (i, shift) in parameters.shifts.iter_mut().enumerate().filter(|(i, _)| i % 3 == 0) {
            *shift = [1, 22, 31, 32, 33, 62][i / 3 % 6];
        }
        for (i, bias) in parameters.biases.iter_mut().enumerate().filter(|(i, _)| i % 7 == 0) {
            *bias = if i % 2 == 0 { BIAS_LIMIT } else { -BIAS_LIMIT };
        }
        for (i, weight) in parameters.weights.iter_mut().enumerate().filter(|(i, _)| i % 5 == 0) {
            *weight = if i % 2 == 0 { WEIGHT_LIMIT } else { -WEIGHT_LIMIT };
        }
        assert_equal_everywhere(&parameters, &images);
        let nobody = Evaluator::new(CpuOptions { threads: Some(0), simd: None });
        assert!(matches!(nobody, Err(CpuError::NoThreads)));
    }

    fn assert_equal_everywhere(parameters: &OwnedParameters, images: &[Pixels]) {
        let mut activations = Activations::new();
        let expected: Vec<_> =
            images.iter().map(|pixels| int8::forward(pixels, &parameters.view(), &mut activations)).collect();
        for level in SimdLevel::available() {
            for threads in [1, 2, 7] {
                let options = CpuOptions { threads: Some(threads), simd: Some(level) };
                let mut logits = vec![[0; CLASSES]; images.len()];
                Evaluator::new(options).expect("the level is there").run(parameters, images, &mut logits);
                assert_eq!(logits, expected, "{level}, {threads} threads");
            }
        }
    }
}
