//! A checkpoint: what a run needs to go on exactly, in one file.
//!
//! A run is a pure function of data and settings, and its state after an epoch is the same on every backend. So a
//! checkpoint with the settings and the data of a run is a valid point of it, whoever wrote it and wherever.

mod format;
mod identity;

pub use format::{CheckpointError, MAGIC, MAX_BYTES, MAX_EPOCHS, VERSION};
pub use identity::Identity;

use cnn_core::model::Training;

use crate::backend::TrainingState;
use crate::consistency::as_line;
use crate::dataset::DatasetRecord;
use crate::fingerprint::Fingerprint;
use crate::recipe::Recipe;
use crate::trainer::{EpochReport, Run};

/// The most descriptions of backends that a checkpoint keeps.
pub const MAX_BACKENDS: usize = 64;
/// The longest description of a backend, in bytes; a longer one is cut.
const MAX_BACKEND_LEN: usize = 1000;

/// Adds a backend that trains from here on to those that trained so far, if it is not among them.
pub fn add_backend(backends: &mut Vec<String>, description: &str) {
    let mut description = as_line(description);
    description.truncate(description.floor_char_boundary(MAX_BACKEND_LEN));
    if backends.len() < MAX_BACKENDS && !backends.contains(&description) {
        backends.push(description);
    }
}

/// A run after one of its epochs.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The recipe; its number of epochs is the plan of the run that wrote the checkpoint.
    pub settings: Recipe,
    /// The data.
    pub dataset: DatasetRecord,
    /// The name of the file that the initial parameters came from, if they are not the seed's own.
    pub initial_file: Option<String>,
    /// The initial parameters.
    pub initial_fingerprint: Fingerprint,
    /// Descriptions of the backends that trained so far, each once, in the order of first use; at least one.
    pub backends: Vec<String>,
    /// Every complete epoch, from epoch 1 on without a gap; at least one.
    pub epochs: Vec<EpochReport>,
    /// Parameters and momentum after the last of them.
    pub state: TrainingState,
}

impl From<Checkpoint> for Run {
    /// The run, to go on.
    fn from(checkpoint: Checkpoint) -> Self {
        let Checkpoint { initial_fingerprint, epochs, state, .. } = checkpoint;
        Self { initial_fingerprint, epochs, state, stopped: None }
    }
}

impl Checkpoint {
    /// What a model file says of the run so far.
    pub fn training(&self) -> Training<'_> {
        let last = self.epochs.last().expect("a checkpoint has an epoch");
        self.settings.training(&self.dataset.name, self.dataset.sha256, &last.metrics)
    }

    /// The epoch after which it was taken.
    pub fn epoch(&self) -> u32 {
        self.epochs.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use crate::backend::boxed_zeros;
    use crate::metrics::{EpochMetrics, Metrics};

    use super::*;

    /// A run of three epochs after its second one.
    pub(super) fn checkpoint() -> Checkpoint {
        let mut state = TrainingState::new(boxed_zeros());
        (0..).zip(state.parameters.iter_mut()).for_each(|(i, value)| *value = f32::from_bits(i * 9_973));
        (0..).zip(state.momentum.iter_mut()).for_each(|(i, value)| *value = -(i as f32 - 1.0) / 1024.0);
        let epoch = |epoch, fingerprint| EpochReport {
            metrics: EpochMetrics {
                epoch,
                train: Metrics { loss: 0.1 + 0.2, correct: 9, count: 10 },
                test: Metrics { loss: f64::MIN_POSITIVE, correct: 5, count: 5 },
            },
            fingerprint,
            training_seconds: 1.5,
            evaluation_seconds: 0.25,
        };
        Checkpoint {
            settings: Recipe {
                epochs: 3,
                batch_size: 2,
                learning_rate: 1e-4,
                momentum: 0.9,
                weight_decay: 5e-3,
                seed: u64::MAX,
                ..Recipe::TUTORIAL
            },
            dataset: DatasetRecord { name: "ten".into(), sha256: [0xab; 32], train_count: 10, test_count: 5 },
            initial_file: None,
            initial_fingerprint: Fingerprint::from([1; 32]),
            backends: vec!["reference".into(), "cpu".into()],
            epochs: vec![epoch(1, Fingerprint::from([2; 32])), epoch(2, Fingerprint::of(&state.parameters))],
            state,
        }
    }

    #[test]
    fn a_backend_is_noted_once_and_cut_to_a_bounded_length() {
        let mut backends = Vec::new();
        for description in ["cpu", "reference", "cpu", &"é".repeat(MAX_BACKEND_LEN)] {
            add_backend(&mut backends, description);
        }
        assert_eq!(backends[..2], ["cpu", "reference"]);
        assert_eq!((backends.len(), backends[2].len()), (3, MAX_BACKEND_LEN));
        add_backend(&mut backends, "cuda (a\nb\u{202e})");
        assert_eq!(backends.pop().as_deref(), Some("cuda (a\u{fffd}b\u{fffd})"));
        (0..100).for_each(|number| add_backend(&mut backends, &number.to_string()));
        assert_eq!(backends.len(), MAX_BACKENDS);
    }
}
