//! Runs with rates at which training may diverge: every backend must end at the same step with the same words, or go on
//! with the same bits.

use std::ops::ControlFlow;
use std::sync::Arc;

use cnn_train::backend::Backend;
use cnn_train::dataset::{Dataset, Samples, synthetic};
use cnn_train::recipe::Recipe;
use cnn_train::trainer::{EpochReport, Observer, train};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Data sets of so many images, to try settings on.
const LENGTHS: [usize; 4] = [9, 17, 26, 33];

/// Small data sets: the built-in digits, and noise for every other one.
pub fn datasets() -> Vec<Arc<Dataset>> {
    let noise = |length: usize| {
        let mut generator = ChaCha8Rng::seed_from_u64(length as u64);
        let images = (0..length).map(|_| std::array::from_fn(|_| (generator.next_u32() >> 24) as u8)).collect();
        Samples::new(images, (0..length).map(|i| (i % 10) as u8).collect())
    };
    let of_length = |(number, length): (usize, usize)| {
        let digits = synthetic::synthetic(number as u64, length, 9);
        let noisy = number % 2 == 1;
        Arc::new(if noisy { Dataset { train: noise(length), ..digits } } else { digits })
    };
    LENGTHS.into_iter().enumerate().map(of_length).collect()
}

/// The recipe of number `number`: learning rates from 10⁻³ to 10⁶, everything else drawn too.
pub fn settings(number: u32) -> Recipe {
    let mut generator = ChaCha8Rng::seed_from_u64(u64::from(number));
    let mut pick = |from: &[f32]| from[generator.next_u32() as usize % from.len()];
    let momentum = pick(&[0.0, 0.5, 0.9, 0.9, 0.99, 1.5]);
    let weight_decay = pick(&[0.0, 0.005, 0.005, 0.1, 1.0, 1000.0]);
    let batch_size = pick(&[1.0, 2.0, 3.0, 5.0, 7.0, 8.0, 16.0, 33.0]) as u32;
    let exponent = f64::from(generator.next_u32()) / 2f64.powi(32) * 9.0 - 3.0;
    let learning_rate = 10f64.powf(exponent) as f32;
    Recipe {
        epochs: 3,
        batch_size,
        learning_rate,
        momentum,
        weight_decay,
        seed: generator.next_u64(),
        shuffle: !number.is_multiple_of(5),
        ..Recipe::TUTORIAL
    }
}

struct Silent;

impl Observer for Silent {
    fn advance(&mut self, _samples: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn epoch(&mut self, _report: &EpochReport) {}
}

/// How a run ended.
#[derive(Debug, PartialEq)]
pub struct Ending {
    /// Of every complete epoch the fingerprint, and the bits of both losses.
    epochs: Vec<(String, [u64; 2])>,
    /// Why there are no more, in the program's words.
    stopped: Option<String>,
}

impl Ending {
    /// Whether the training diverged.
    ///
    /// # Panics
    /// If the run ended for any other reason.
    pub fn has_diverged(&self) -> bool {
        let stopped = self.stopped.as_deref();
        assert!(stopped.is_none_or(|words| words.contains("the training has diverged")), "{stopped:?}");
        stopped.is_some()
    }
}

/// Trains until the settings' last epoch or until training diverges.
///
/// # Panics
/// If a complete epoch's loss is not finite.
pub fn ending(backend: &mut dyn Backend, dataset: &Dataset, settings: &Recipe) -> Ending {
    let run = train(backend, dataset, settings, &mut Silent);
    let of_epoch = |epoch: &EpochReport| {
        let losses = [epoch.metrics.train.loss, epoch.metrics.test.loss];
        assert!(losses.iter().all(|loss| loss.is_finite()), "{losses:?} with {settings:?}");
        (epoch.fingerprint.to_string(), losses.map(f64::to_bits))
    };
    Ending { epochs: run.epochs.iter().map(of_epoch).collect(), stopped: run.stopped.map(|stop| stop.to_string()) }
}
