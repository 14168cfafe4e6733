//! The integer network over many images: their sums side by side in vectors, blocks of them on all cores.
//!
//! Sums are exact in any order, so the logits are those of [`cnn_core::int8::forward`].

use std::sync::{Mutex, PoisonError};
use std::thread;

use cnn_core::image::Pixels;
use cnn_core::int8::conv::largest;
use cnn_core::int8::parameters::{Kernels, Rescale};
use cnn_core::int8::{Logits, OwnedParameters, Parameters};
use cnn_core::shapes::{
    CLASSES, CONV1_CHANNELS, CONV2_CHANNELS, HIDDEN, IMAGE_PIXELS, IMAGE_SIDE, POOL1_LEN, POOL1_SIDE, POOL2_LEN,
    POOL2_SIDE,
};

use crate::backend::cpu::simd::Simd;
use crate::backend::cpu::simd::dispatch::{Dispatch, Kernel};
use crate::backend::cpu::{self, CpuError, CpuOptions, SimdLevel};

/// Images computed side by side.
const LANES: usize = 16;

/// A value of every image of a block. i16, so that vectors multiply pairs of them into 32 bits at once.
type Lanes = [i16; LANES];
/// A sum of every image of a block.
type Sums = [i32; LANES];

/// A block's activations.
#[derive(bytemuck::Zeroable)]
struct Scratch {
    image: [Lanes; IMAGE_PIXELS],
    pool1: [Lanes; POOL1_LEN],
    pool2: [Lanes; POOL2_LEN],
    hidden: [Lanes; HIDDEN],
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
        let work = Mutex::new(images.chunks(LANES).zip(logits.chunks_mut(LANES)));
        let run = || {
            let mut scratch: Box<Scratch> = bytemuck::zeroed_box();
            loop {
                let next = work.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((images, logits)) = next else { return };
                self.dispatch.run(Block { parameters: &parameters, images, scratch: &mut scratch, logits });
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.threads.min(images.len().div_ceil(LANES)) {
                // A thread that the system does not start is done without.
                let _ = thread::Builder::new().name("int8".into()).spawn_scoped(scope, run);
            }
            run();
        });
    }
}

/// At most [`LANES`] images.
struct Block<'a> {
    parameters: &'a Parameters<'a>,
    images: &'a [Pixels],
    scratch: &'a mut Scratch,
    logits: &'a mut [Logits],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { parameters, images, scratch, logits } = self;
        let Scratch { image, pool1, pool2, hidden } = scratch;
        for (lane, pixels) in images.iter().enumerate() {
            for (values, &pixel) in image.iter_mut().zip(pixels) {
                values[lane] = pixel.into();
            }
        }
        convolve_pool::<1, IMAGE_SIDE, CONV1_CHANNELS, POOL1_SIDE>(
            image,
            parameters.conv1_weight,
            &parameters.conv1,
            pool1,
        );
        convolve_pool::<CONV1_CHANNELS, POOL1_SIDE, CONV2_CHANNELS, POOL2_SIDE>(
            pool1,
            parameters.conv2_weight,
            &parameters.conv2,
            pool2,
        );
        linear(pool2, parameters.fc1_weight, parameters.fc1.bias, |output, sums| {
            hidden[output] = sums.map(|sum| parameters.fc1.activation(output, sum).into());
        });
        let mut all = [[0; LANES]; CLASSES];
        linear(hidden, parameters.fc2_weight, parameters.fc2_bias, |class, sums| all[class] = sums);
        for (lane, logits) in logits.iter_mut().enumerate() {
            *logits = all.map(|sums| sums[lane]);
        }
    }
}

/// Adds a product to every sum.
#[inline(always)]
fn add(sums: &mut Sums, values: &Lanes, weight: i8) {
    let weight = i16::from(weight);
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum += i32::from(value) * i32::from(weight);
    }
}

#[inline(always)]
fn convolve_pool<const INPUT: usize, const SIDE: usize, const OUTPUT: usize, const POOLED: usize>(
    input: &[Lanes],
    weight: &Kernels<OUTPUT, INPUT>,
    rescale: &Rescale<'_, OUTPUT>,
    output: &mut [Lanes],
) {
    assert!(input.len() == INPUT * SIDE * SIDE && output.len() == OUTPUT * POOLED * POOLED);
    for (channel, (kernels, map)) in weight.iter().zip(output.chunks_exact_mut(POOLED * POOLED)).enumerate() {
        for (place, value) in map.iter_mut().enumerate() {
            let (row, column) = (2 * (place / POOLED), 2 * (place % POOLED));
            let mut sums = [[rescale.bias[channel]; LANES]; 4];
            for (plane, kernel) in input.chunks_exact(SIDE * SIDE).zip(kernels) {
                let patch = &plane[row * SIDE + column..][..3 * SIDE + 4];
                for kernel_row in 0..3 {
                    for kernel_column in 0..3 {
                        let weight = kernel[3 * kernel_row + kernel_column];
                        let at = kernel_row * SIDE + kernel_column;
                        add(&mut sums[0], &patch[at], weight);
                        add(&mut sums[1], &patch[at + 1], weight);
                        add(&mut sums[2], &patch[at + SIDE], weight);
                        add(&mut sums[3], &patch[at + SIDE + 1], weight);
                    }
                }
            }
            for (lane, value) in value.iter_mut().enumerate() {
                *value = rescale.activation(channel, largest(sums.map(|sums| sums[lane]))).into();
            }
        }
    }
}

#[inline(always)]
fn linear<const INPUT: usize, const OUTPUT: usize>(
    input: &[Lanes; INPUT],
    weight: &[[i8; INPUT]; OUTPUT],
    bias: &[i32; OUTPUT],
    mut emit: impl FnMut(usize, Sums),
) {
    const OUTPUT_BLOCK: usize = 5;
    const { assert!(OUTPUT.is_multiple_of(OUTPUT_BLOCK)) };
    for (block, weights) in weight.as_chunks::<OUTPUT_BLOCK>().0.iter().enumerate() {
        let mut sums: [Sums; OUTPUT_BLOCK] = std::array::from_fn(|o| [bias[OUTPUT_BLOCK * block + o]; LANES]);
        for (i, values) in input.iter().enumerate() {
            for (sums, weights) in sums.iter_mut().zip(weights) {
                add(sums, values, weights[i]);
            }
        }
        for (o, sums) in sums.into_iter().enumerate() {
            emit(OUTPUT_BLOCK * block + o, sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use cnn_core::int8::{self, Activations};

    use super::*;
    use crate::dataset::{Split, synthetic};
    use crate::int8::{calibrate, quantize};
    use crate::random::initial_parameters;

    #[test]
    fn every_level_and_number_of_threads_gives_the_logits_of_one_image_after_the_other() {
        let parameters = initial_parameters(9);
        // A last block that is not full.
        let images = synthetic::samples(1, Split::Test, 3 * LANES + 5).images().to_vec();
        let (parameters, _) = quantize(&parameters, calibrate(&parameters, &images));
        let mut activations = Activations::new();
        let expected: Vec<_> =
            images.iter().map(|pixels| int8::forward(pixels, &parameters.view(), &mut activations)).collect();
        for level in SimdLevel::available() {
            for threads in [1, 2, 7] {
                let options = CpuOptions { threads: Some(threads), simd: Some(level) };
                let mut logits = vec![[0; CLASSES]; images.len()];
                Evaluator::new(options).expect("the level is there").run(&parameters, &images, &mut logits);
                assert_eq!(logits, expected, "{level}, {threads} threads");
            }
        }
        let nobody = Evaluator::new(CpuOptions { threads: Some(0), simd: None });
        assert!(matches!(nobody, Err(CpuError::NoThreads)));
    }
}
