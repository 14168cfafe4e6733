//! What this processor's arithmetic allows at best: `cargo bench -p host-trainer --bench bound -- MNIST`, where MNIST is the
//! folder of the data (`data/mnist` by default).
//!
//! For every SIMD level: how many multiply-adds, each a product that is rounded and an addition, a core makes in registers;
//! and how long an epoch of training (60,000 images) and the evaluation of both splits (70,000) would take if there were
//! nothing else to do. Products that the contract lets the trainer leave out do not count: their number is that of MNIST's
//! first thousand training images and the network of seed 0 before its first step.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, error::Error};

use cnn_core::image::Pixels;
use cnn_core::network::{Activations, CLASSES, CONV1_CHANNELS, CONV2_CHANNELS, HIDDEN, KERNEL_LEN, POOL2_LEN};
use cnn_core::network::{PARAMETER_COUNT, POOL2_SIDE, Parameters, Pool1, logits};
use cnn_train::backend::cpu::SimdLevel;
use cnn_train::backend::cpu::simd::Simd;
use cnn_train::backend::cpu::simd::dispatch::{Dispatch, Kernel};
use cnn_train::random::initial_parameters;
use host_trainer::dataset::idx;

const SAMPLES: usize = 1000;
const BATCH: usize = 100;
/// What conv2's pooled map reads of conv1's: all but its last row and column.
const READ_SIDE: usize = 12;
/// Multiply-adds of one SGD update of a parameter: weight decay, momentum, learning rate.
const SGD: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = PathBuf::from(folder.unwrap_or_else(|| "data/mnist".into()));
    let plain = folder.join("train-images-idx3-ubyte");
    let images = idx::read_images(&if plain.exists() { plain } else { plain.with_extension("gz") })?;
    let count = products(&images[..SAMPLES.min(images.len())]);
    println!(
        "multiply-adds an image that count: forward {:.0}, backward and update {:.0}",
        count.forward, count.backward
    );
    println!("{:>10} {:>22} {:>14} {:>14}", "level", "G multiply-adds/s", "training, s", "evaluation, s");
    for level in SimdLevel::available() {
        let dispatch = Dispatch::new(level).ok_or("a level that is available")?;
        let rate = peak(dispatch);
        let training = 60_000.0 * (count.forward + count.backward) / rate;
        let evaluation = 70_000.0 * count.forward / rate;
        println!("{:>10} {:>22.1} {training:>14.3} {evaluation:>14.3}", level.name(), rate / 1e9);
    }
    Ok(())
}

/// Multiply-adds an image.
#[derive(Default)]
struct Products {
    forward: f64,
    backward: f64,
}

/// The means over `images`.
fn products(images: &[Pixels]) -> Products {
    let parameters = initial_parameters(0);
    let mut activations = Activations::new();
    let (mut forward, mut backward) = (0, 0);
    for pixels in images {
        logits(pixels, &Parameters::of(&parameters), &mut activations);
        let Activations { pool1, pool2, hidden, .. } = &activations;
        forward += 4 * KERNEL_LEN * CONV1_CHANNELS * inked_windows(pixels);
        forward += 4 * KERNEL_LEN * CONV2_CHANNELS * inputs_that_count(pixels, pool1);
        forward += HIDDEN * POOL2_LEN + CLASSES * HIDDEN;

        let on = hidden.iter().filter(|&&value| value > 0.0).count();
        let windows2 = pool2.as_flattened().as_flattened().iter().filter(|&&value| value > 0.0).count();
        let read = pool1.iter().flat_map(|map| &map[..READ_SIDE]).flat_map(|row| &row[..READ_SIDE]);
        let windows1 = read.filter(|&&value| value > 0.0).count();
        // Of each layer the gradients of its weights, and of its input where there is a layer before it.
        backward += 2 * CLASSES * HIDDEN + 2 * on * POOL2_LEN;
        backward += 2 * windows2 * KERNEL_LEN * CONV1_CHANNELS + windows1 * KERNEL_LEN;
    }
    let mean = |sum: usize| sum as f64 / images.len() as f64;
    Products { forward: mean(forward), backward: mean(backward) + (SGD * PARAMETER_COUNT) as f64 / BATCH as f64 }
}

/// Whether conv1's pooling window at this place reads nothing but background.
fn is_blank(pixels: &Pixels, row: usize, column: usize) -> bool {
    (2 * row..2 * row + 4).all(|r| pixels[28 * r + 2 * column..][..4].iter().all(|&pixel| pixel == 0))
}

/// conv1's pooling windows that read ink, of those that conv2 reads.
fn inked_windows(pixels: &Pixels) -> usize {
    let places = (0..READ_SIDE).flat_map(|row| (0..READ_SIDE).map(move |column| (row, column)));
    places.filter(|&(row, column)| !is_blank(pixels, row, column)).count()
}

/// Input channels that are not 0 all over what a pooling window of conv2 reads, over all windows that are not blank.
fn inputs_that_count(pixels: &Pixels, pool1: &Pool1) -> usize {
    let mut count = 0;
    for place in 0..POOL2_SIDE * POOL2_SIDE {
        let (row, column) = (2 * (place / POOL2_SIDE), 2 * (place % POOL2_SIDE));
        let patch = (row..row + 4).flat_map(|r| (column..column + 4).map(move |c| (r, c)));
        if patch.clone().all(|(r, c)| is_blank(pixels, r, c)) {
            continue;
        }
        count += pool1.iter().filter(|map| patch.clone().any(|(r, c)| map[r][c] != 0.0)).count();
    }
    count
}

/// Chains of multiply-adds in registers alone, as many as hide the latency of each; returns how many there were.
struct Chains<'a> {
    turns: usize,
    values: &'a mut [f32],
}

impl Kernel for Chains<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> usize {
        if S::REGISTERS >= 32 { self.run_chains::<S, 24>(simd) } else { self.run_chains::<S, 12>(simd) }
    }
}

impl Chains<'_> {
    /// Each value goes from product to sum and on: no product is the same as one before, so none can be kept.
    #[inline(always)]
    fn run_chains<S: Simd, const CHAINS: usize>(self, simd: S) -> usize {
        let mut sums: [_; CHAINS] = simd.load_all(self.values, 0);
        let (factor, addend) = (simd.load(self.values, CHAINS), simd.load(self.values, CHAINS + 1));
        for _ in 0..self.turns {
            for sum in &mut sums {
                *sum = simd.add(simd.mul(*sum, factor), addend);
            }
        }
        for (index, &sum) in sums.iter().enumerate() {
            simd.store(self.values, index, sum);
        }
        self.turns * CHAINS * S::LANES
    }
}

/// Multiply-adds a second: the fastest of many short runs, which nothing else interrupted.
fn peak(dispatch: Dispatch) -> f64 {
    // With 0.5 as factor and addend every value goes to 1.
    let mut values = vec![0.5; 26 * 16];
    let mut peak = 0.0f64;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        values.fill(0.5);
        let start = Instant::now();
        let products = dispatch.run(Chains { turns: 4000, values: &mut values });
        peak = peak.max(products as f64 / start.elapsed().as_secs_f64());
    }
    assert!(values[0].is_finite());
    peak
}
