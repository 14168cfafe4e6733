//! `cnn-core` as it is, on one thread: what every other backend must equal.

use std::sync::Arc;

use cnn_core::loss::cross_entropy;
use cnn_core::network::{self, Activations, Parameters, predict};
use cnn_core::train::{Diverged, Trainer};

use super::{Backend, BackendError, Epoch, Outcome, Progress, TrainingState, boxed_zeros};
use crate::dataset::{Dataset, Split};
use crate::float_environment;

/// Samples between two reports of progress while evaluating.
const EVALUATION_REPORT: usize = 100;

/// The plain form of the network.
pub struct Reference {
    dataset: Arc<Dataset>,
    state: TrainingState,
    trainer: Box<Trainer>,
    activations: Box<Activations>,
}

impl Reference {
    /// A backend over `dataset`, its parameters all 0 until [`Backend::load`].
    pub fn new(dataset: Arc<Dataset>) -> Self {
        Self { dataset, state: TrainingState::new(boxed_zeros()), trainer: Box::default(), activations: Box::default() }
    }
}

impl Backend for Reference {
    fn description(&self) -> String {
        "reference (cnn-core as it is, one thread)".into()
    }

    fn load(&mut self, state: &TrainingState) -> Result<(), BackendError> {
        self.state = state.clone();
        Ok(())
    }

    fn state(&mut self) -> Result<TrainingState, BackendError> {
        Ok(self.state.clone())
    }

    fn train_epoch(&mut self, epoch: Epoch<'_>, progress: Progress<'_>) -> Result<(), BackendError> {
        float_environment::establish()?;
        let samples = &self.dataset.train;
        let TrainingState { parameters, momentum } = &mut self.state;
        let mut done = 0;
        for (step, batch) in epoch.order.chunks(epoch.batch_length).enumerate() {
            let batch_samples =
                batch.iter().map(|&index| (&samples.images()[index as usize], samples.labels()[index as usize]));
            self.trainer
                .step_layers(epoch.layers, &epoch.sgd, parameters, momentum, batch_samples)
                .map_err(|Diverged| BackendError::Diverged { step })?;
            done += batch.len();
            if progress(done).is_break() {
                return Err(BackendError::Interrupted);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, split: Split, outcomes: &mut [Outcome], progress: Progress<'_>) -> Result<(), BackendError> {
        float_environment::establish()?;
        let samples = self.dataset.split(split);
        assert_eq!(outcomes.len(), samples.len(), "one outcome for each sample");
        let parameters = Parameters::of(&self.state.parameters);
        for (index, (pixels, &label)) in samples.images().iter().zip(samples.labels()).enumerate() {
            let logits = network::logits(pixels, &parameters, &mut self.activations);
            outcomes[index] = Outcome { loss: cross_entropy(&logits, label), prediction: predict(&logits) as u8 };
            let done = index + 1;
            if done % EVALUATION_REPORT == 0 && progress(done).is_break() {
                return Err(BackendError::Interrupted);
            }
        }
        Ok(())
    }
}
