//! Mean loss and accuracy of a split.

use serde::{Deserialize, Serialize};

use crate::backend::Outcome;

/// How well the network does on a split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Mean cross-entropy of a sample.
    pub loss: f64,
    /// Samples whose prediction is their label.
    pub correct: u64,
    /// Samples of the split, at least 1.
    pub count: u64,
}

impl Metrics {
    /// Sums up an evaluation: the losses are added in f64 in the order of the samples, then divided by their count.
    ///
    /// # Panics
    /// If there are no outcomes or not one label for each.
    pub fn of(outcomes: &[Outcome], labels: &[u8]) -> Self {
        assert!(!outcomes.is_empty(), "a split needs at least one sample");
        assert_eq!(outcomes.len(), labels.len(), "one label for each outcome");
        let mut loss = 0.0;
        let mut correct = 0;
        for (outcome, &label) in outcomes.iter().zip(labels) {
            loss += f64::from(outcome.loss);
            correct += u64::from(outcome.prediction == label);
        }
        let count = outcomes.len() as u64;
        Self { loss: loss / count as f64, correct, count }
    }

    /// The share of correct predictions, 0 to 1.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.count as f64
    }
}

/// Both splits after an epoch, evaluated without updating.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// The epoch, counted from 1.
    pub epoch: u32,
    /// The training split.
    pub train: Metrics,
    /// The test split.
    pub test: Metrics,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_summed_in_f64_in_sample_order() {
        // Beside 2⁵⁴ an f64 keeps multiples of 4: 1 + 2 counts when it comes first, not when it comes last.
        let large = (1u64 << 54) as f32;
        let losses = [1.0, 2.0, large];
        let outcomes = losses.map(|loss| Outcome { loss, prediction: 0 });
        let [first, second, third] = losses.map(f64::from);
        assert_ne!((first + second) + third, (third + second) + first);
        assert_eq!(Metrics::of(&outcomes, &[0; 3]).loss.to_bits(), (((first + second) + third) / 3.0).to_bits());
    }

    #[test]
    fn accuracy_is_the_share_of_predicted_labels() {
        let outcomes = [3, 1, 4, 1].map(|prediction| Outcome { loss: 0.5, prediction });
        let metrics = Metrics::of(&outcomes, &[3, 1, 4, 5]);
        assert_eq!(metrics, Metrics { loss: 0.5, correct: 3, count: 4 });
        assert_eq!(metrics.accuracy(), 0.75);
    }
}
