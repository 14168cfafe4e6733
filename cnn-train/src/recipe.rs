//! What decides a run besides its data set.

use std::fmt;

use cnn_core::model::Training;
use cnn_core::sgd::Sgd;
use cnn_core::shapes::Layers;
use serde::{Deserialize, Serialize};

use crate::backend::Epoch;
use crate::consistency::{Inconsistent, at_least_one, not_negative, require};
use crate::metrics::EpochMetrics;
use crate::random::{in_sequence, shuffled};
use crate::schedule::RateSchedule;

/// What decides a run besides its data set and parameters that it is given to start from. Its fields are also how
/// records save it; the last two stand there only if they are not those of the tutorial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Epochs to train, at least 1.
    pub epochs: u32,
    /// Images of a step, at least 1; the last step of an epoch takes what is left.
    pub batch_size: u32,
    /// Learning rate of SGD in the first epoch, finite and not negative.
    pub learning_rate: f32,
    /// Momentum of SGD, finite and not negative.
    pub momentum: f32,
    /// Weight decay of SGD, finite and not negative.
    pub weight_decay: f32,
    /// Seed of the initial parameters and of the shuffles.
    pub seed: u64,
    /// Whether every epoch has an order of its own.
    pub shuffle: bool,
    /// How the learning rate changes with the epoch.
    #[serde(rename = "learning_rate_schedule", default, skip_serializing_if = "RateSchedule::is_constant")]
    pub schedule: RateSchedule,
    /// The layers that are trained; the others keep their initial parameters.
    #[serde(
        rename = "trained_layers",
        with = "layers_as_text",
        default = "all_layers",
        skip_serializing_if = "is_all"
    )]
    pub layers: Layers,
}

fn all_layers() -> Layers {
    Layers::ALL
}

fn is_all(layers: &Layers) -> bool {
    *layers == Layers::ALL
}

/// Layers as their names.
mod layers_as_text {
    use cnn_core::shapes::Layers;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(layers: &Layers, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(layers)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Layers, D::Error> {
        let text = String::deserialize(deserializer)?;
        let layers = Layers::parse(&text).map_err(D::Error::custom)?;
        // One form alone.
        if layers.to_string() == text { Ok(layers) } else { Err(D::Error::custom("layers in another order")) }
    }
}

impl Recipe {
    /// The tutorial's: 100 epochs, batches of 100, shuffled.
    pub const TUTORIAL: Recipe = Recipe {
        epochs: 100,
        batch_size: 100,
        learning_rate: Sgd::RECIPE.learning_rate,
        momentum: Sgd::RECIPE.momentum,
        weight_decay: Sgd::RECIPE.weight_decay,
        seed: 0,
        shuffle: true,
        schedule: RateSchedule::Constant,
        layers: Layers::ALL,
    };

    /// Whether a run can have it.
    ///
    /// # Errors
    /// Names the first setting that no run has.
    pub fn check(&self) -> Result<(), Inconsistent> {
        at_least_one("settings.epochs", self.epochs)?;
        at_least_one("settings.batch_size", self.batch_size)?;
        not_negative("settings.learning_rate", self.learning_rate)?;
        not_negative("settings.momentum", self.momentum)?;
        not_negative("settings.weight_decay", self.weight_decay)?;
        let RateSchedule::Cosine { minimum } = self.schedule else { return Ok(()) };
        let expected = format_args!("at most the learning rate {}", self.learning_rate);
        require(minimum <= self.learning_rate, "the minimum of settings.learning_rate_schedule", minimum, expected)
    }

    /// The learning rate of epoch `epoch`, counted from 1.
    pub fn rate(&self, epoch: u32) -> f32 {
        self.schedule.rate(self.learning_rate, epoch, self.epochs)
    }

    /// What backends train epoch `epoch` with, counted from 1, over samples in this order.
    pub fn epoch<'a>(&self, epoch: u32, order: &'a [u32]) -> Epoch<'a> {
        let Self { momentum, weight_decay, layers, .. } = *self;
        let sgd = Sgd { learning_rate: self.rate(epoch), momentum, weight_decay };
        Epoch { order, batch_length: self.batch_size as usize, sgd, layers }
    }

    /// The order of epoch `epoch`, counted from 1, over `length` samples.
    pub fn order(&self, epoch: u32, length: usize) -> Vec<u32> {
        if self.shuffle { shuffled(self.seed, epoch, length) } else { in_sequence(length) }
    }

    /// Whether runs of both are the same as long as both go on: bits of rates count, the number of epochs does only if
    /// the rates depend on it.
    pub fn trains_as(&self, other: &Self) -> bool {
        let rates = |it: &Self| [it.learning_rate, it.momentum, it.weight_decay].map(f32::to_bits);
        (rates(self), self.batch_size, self.seed, self.shuffle, self.layers)
            == (rates(other), other.batch_size, other.seed, other.shuffle, other.layers)
            && self.schedule == other.schedule
            && (self.epochs == other.epochs || !self.depends_on_its_epochs())
    }

    /// Whether another number of epochs makes it another run from the first epochs on.
    pub fn depends_on_its_epochs(&self) -> bool {
        matches!(self.schedule, RateSchedule::Cosine { .. })
    }

    /// What a model file says of it, which has no words for schedules and layers: the rate is that of the first epoch.
    pub fn in_model_file(&self) -> Self {
        Self { schedule: RateSchedule::Constant, layers: Layers::ALL, ..*self }
    }

    /// What a model file says of a run of this recipe over a data set after the epoch `last`.
    pub fn training<'a>(&self, dataset: &'a str, dataset_hash: [u8; 32], last: &EpochMetrics) -> Training<'a> {
        // A data set has fewer than 2³² images; whoever wrote more into a checkpoint gets the largest number.
        let [test_correct, test_count] =
            [last.test.correct, last.test.count].map(|count| count.try_into().unwrap_or(u32::MAX));
        Training {
            dataset,
            dataset_hash,
            seed: self.seed,
            epochs: last.epoch,
            batch_length: self.batch_size,
            shuffle: self.shuffle,
            learning_rate: self.learning_rate,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            test_correct,
            test_count,
        }
    }
}

impl From<&Training<'_>> for Recipe {
    /// What a model file says of its run, up to the epoch that the model is of.
    fn from(training: &Training<'_>) -> Self {
        Self {
            epochs: training.epochs,
            batch_size: training.batch_length,
            learning_rate: training.learning_rate,
            momentum: training.momentum,
            weight_decay: training.weight_decay,
            seed: training.seed,
            shuffle: training.shuffle,
            ..Self::TUTORIAL
        }
    }
}

impl fmt::Display for Recipe {
    /// One line for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epochs, batch_size, learning_rate, momentum, weight_decay, seed, shuffle, schedule, layers } = self;
        let (epoch, not) = (if *epochs == 1 { "epoch" } else { "epochs" }, if *shuffle { "" } else { "not " });
        write!(f, "{epochs} {epoch}, batches of {batch_size}, {not}shuffled, SGD lr {learning_rate}")?;
        if !schedule.is_constant() {
            write!(f, " {schedule}")?;
        }
        write!(f, " momentum {momentum} weight decay {weight_decay}, seed {seed}")?;
        if is_all(layers) { Ok(()) } else { write!(f, ", trains {layers} alone") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    const OTHER: Recipe = Recipe { epochs: 1, shuffle: false, seed: 7, ..Recipe::TUTORIAL };

    #[test]
    fn a_recipe_is_one_line() {
        let line = "100 epochs, batches of 100, shuffled, SGD lr 0.0001 momentum 0.9 weight decay 0.005, seed 0";
        assert_eq!(Recipe::TUTORIAL.to_string(), line);
        let line = "1 epoch, batches of 100, not shuffled, SGD lr 0.0001 momentum 0.9 weight decay 0.005, seed 7";
        assert_eq!(OTHER.to_string(), line);
        let schedule = RateSchedule::Step { every: 30, factor: 0.1 };
        let fine = Recipe { schedule, layers: Layers::parse("fc1,fc2").unwrap(), ..OTHER };
        let line = "1 epoch, batches of 100, not shuffled, SGD lr 0.0001 step:30:0.1 momentum 0.9 weight decay 0.005, \
                    seed 7, trains fc1,fc2 alone";
        assert_eq!(fine.to_string(), line);
    }

    #[test]
    fn a_model_files_words_give_the_recipe_back() {
        let split = Metrics { loss: 0.5, correct: u64::MAX, count: 5 };
        let training = OTHER.training("five", [1; 32], &EpochMetrics { epoch: 1, train: split, test: split });
        assert_eq!(Recipe::from(&training), OTHER);
        assert_eq!((training.test_correct, training.test_count), (u32::MAX, 5));
    }

    #[test]
    fn all_but_the_number_of_epochs_decides_how_it_trains() {
        let recipe = Recipe { weight_decay: 0.0, ..Recipe::TUTORIAL };
        assert!(recipe.trains_as(&Recipe { epochs: 7, ..recipe }));
        for other in [
            Recipe { batch_size: 7, ..recipe },
            Recipe { learning_rate: recipe.learning_rate.next_up(), ..recipe },
            Recipe { momentum: 0.5, ..recipe },
            Recipe { weight_decay: -0.0, ..recipe },
            Recipe { seed: 7, ..recipe },
            Recipe { shuffle: false, ..recipe },
            Recipe { schedule: RateSchedule::Step { every: 1, factor: 1.0 }, ..recipe },
            Recipe { layers: Layers::parse("fc2").unwrap(), ..recipe },
        ] {
            assert!(!recipe.trains_as(&other), "{other}");
        }
        let cosine = Recipe { schedule: RateSchedule::Cosine { minimum: 0.0 }, ..recipe };
        assert!(cosine.trains_as(&cosine) && !cosine.trains_as(&Recipe { epochs: 7, ..cosine }));
    }
}
