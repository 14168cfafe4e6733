//! What a model file says of the run behind its parameters.

use serde::{Deserialize, Serialize};

use super::Impossible;
use crate::sgd::Sgd;
use crate::text::is_one_line;

/// The run that trained the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Training<'a> {
    /// The data set's name, [one line](crate::text) of at most [`MAX_DATASET_NAME`](super::MAX_DATASET_NAME) bytes.
    pub dataset: &'a str,
    /// The data set's hash, as the run record has it.
    pub dataset_hash: [u8; 32],
    /// The seed of the initial parameters and of the shuffles.
    pub seed: u64,
    /// Epochs that were trained, at least 1.
    pub epochs: u32,
    /// Images of a step, at least 1.
    pub batch_length: u32,
    /// Whether each epoch had an order of its own.
    pub shuffle: bool,
    /// Learning rate; like momentum and weight decay finite and not negative.
    pub learning_rate: f32,
    /// Momentum.
    pub momentum: f32,
    /// Weight decay.
    pub weight_decay: f32,
    /// Images of the test split that these parameters classify correctly, at most all of them.
    pub test_correct: u32,
    /// Images of the test split, at least 1.
    pub test_count: u32,
}

impl Training<'_> {
    /// The optimiser's settings.
    pub fn sgd(&self) -> Sgd {
        Sgd { learning_rate: self.learning_rate, momentum: self.momentum, weight_decay: self.weight_decay }
    }

    /// Whether a run can have been so.
    pub(super) fn check(&self) -> Result<(), Impossible> {
        let is_rate = |rate: f32| rate.is_finite() && rate >= 0.0;
        if !is_one_line(self.dataset) {
            Err(Impossible::DatasetName)
        } else if self.epochs == 0 {
            Err(Impossible::Epochs)
        } else if self.batch_length == 0 {
            Err(Impossible::BatchLength)
        } else if !is_rate(self.learning_rate) {
            Err(Impossible::LearningRate)
        } else if !is_rate(self.momentum) {
            Err(Impossible::Momentum)
        } else if !is_rate(self.weight_decay) {
            Err(Impossible::WeightDecay)
        } else if self.test_count == 0 {
            Err(Impossible::TestCount)
        } else if self.test_correct > self.test_count {
            Err(Impossible::TestCorrect)
        } else {
            Ok(())
        }
    }
}
