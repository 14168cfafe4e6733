//! Where the arithmetic runs. Every backend gives the same bits; they differ in speed alone.

pub mod cpu;
mod reference;

use std::ops::ControlFlow;

use cnn_core::network::{FlatParameters, PARAMETER_COUNT};
use cnn_core::sgd::Sgd;
use cnn_core::shapes::Layers;

pub use cpu::{Cpu, CpuError, CpuOptions, FewerThreads, SimdLevel};
pub use reference::Reference;

use crate::dataset::Split;
use crate::float_environment::FloatEnvironmentError;

/// The parameters and the optimiser's momentum: all that a run carries from epoch to epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingState {
    /// The parameters in PyTorch's order.
    pub parameters: Box<FlatParameters>,
    /// The momentum v of each parameter, in the same order.
    pub momentum: Box<FlatParameters>,
}

impl TrainingState {
    /// A state at the start of training: no momentum yet.
    pub fn new(parameters: Box<FlatParameters>) -> Self {
        Self { parameters, momentum: boxed_zeros() }
    }
}

/// Zeroed parameters on the heap, without a copy on the stack.
pub fn boxed_zeros() -> Box<FlatParameters> {
    vec![0.0; PARAMETER_COUNT].into_boxed_slice().try_into().expect("the length is PARAMETER_COUNT")
}

/// What evaluation says of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Outcome {
    /// Cross-entropy of the sample.
    pub loss: f32,
    /// The first class with the largest logit.
    pub prediction: u8,
}

/// Why a backend stopped.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// After a step a parameter is out of range ([`cnn_core::range`]). Steps count from 0 within the epoch.
    #[error("the training has diverged in step {step}")]
    Diverged {
        /// The step within the epoch, from 0.
        step: usize,
    },
    /// This thread's arithmetic is not the contract's, and could not be made so.
    #[error(transparent)]
    Environment(#[from] FloatEnvironmentError),
    /// The progress callback asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The device that the backend runs on failed: nothing more can be had of it.
    #[error("{message}")]
    Device {
        /// What failed and what the driver says.
        message: String,
    },
}

/// How an epoch walks through the training split.
#[derive(Debug, Clone, Copy)]
pub struct Epoch<'a> {
    /// Indices into the training split, in the order of training.
    pub order: &'a [u32],
    /// Images of a step, at least 1; the last step takes what is left.
    pub batch_length: usize,
    /// The optimiser's settings.
    pub sgd: Sgd,
    /// The layers that are trained: parameters and momentum of the others stay as they are, bit for bit.
    pub layers: Layers,
}

/// Told now and then how many samples are done; may ask to stop.
pub type Progress<'a> = &'a mut dyn FnMut(usize) -> ControlFlow<()>;

/// A place where training and evaluation run. It holds the data set and a [`TrainingState`].
pub trait Backend {
    /// What it is and what it runs on, for people and the run record.
    fn description(&self) -> String;

    /// Replaces the training state. Its parameters are in range ([`cnn_core::range`]).
    ///
    /// # Errors
    /// If a device fails.
    fn load(&mut self, state: &TrainingState) -> Result<(), BackendError>;

    /// A copy of the training state.
    ///
    /// # Errors
    /// If a device fails.
    fn state(&mut self) -> Result<TrainingState, BackendError>;

    /// Trains one epoch. `progress` hears how many samples of the epoch are done.
    ///
    /// # Errors
    /// If a step takes a parameter out of range: every backend ends at the same step, with a state that is of no use. If
    /// `progress` asked to stop or a device fails; the state is then that of some step of the epoch.
    ///
    /// # Panics
    /// If an index of the order lies outside the training split or the batch length is 0.
    fn train_epoch(&mut self, epoch: Epoch<'_>, progress: Progress<'_>) -> Result<(), BackendError>;

    /// Runs the network forward over a whole split: the outcome of each sample, in the split's order.
    ///
    /// # Errors
    /// If `progress` asked to stop or a device fails.
    ///
    /// # Panics
    /// If `outcomes` is not as long as the split.
    fn evaluate(&mut self, split: Split, outcomes: &mut [Outcome], progress: Progress<'_>) -> Result<(), BackendError>;
}
