//! The epoch loop: written once, above any backend.

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Duration;

use cnn_core::range::PARAMETER_LIMIT;
use cnn_core::shapes::FlatParameters;
use serde::{Deserialize, Serialize};

use crate::backend::{Backend, BackendError, Outcome, TrainingState};
use crate::dataset::{Dataset, Split};
use crate::fingerprint::Fingerprint;
use crate::float_environment::{self, FloatEnvironmentError};
use crate::metrics::{EpochMetrics, Metrics};
use crate::random::initial_parameters;
use crate::recipe::Recipe;
use crate::threads;

/// One trained and evaluated epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Loss and accuracy over both splits.
    pub metrics: EpochMetrics,
    /// The parameters after the epoch.
    pub fingerprint: Fingerprint,
    /// Time of the training steps, in seconds.
    pub training_seconds: f64,
    /// Time of both evaluations, in seconds.
    pub evaluation_seconds: f64,
}

/// Hears how a run goes.
pub trait Observer {
    /// `samples` more images went through training or evaluation; may ask to stop.
    fn advance(&mut self, samples: usize) -> ControlFlow<()>;

    /// How an epoch's parameters read every image of the test split; [`Observer::epoch`] follows.
    fn tested(&mut self, _outcomes: &[Outcome]) {}

    /// An epoch is complete.
    fn epoch(&mut self, report: &EpochReport);

    /// May keep the state after that epoch.
    ///
    /// # Errors
    /// If it, or that of an earlier epoch, cannot be kept: that ends the run.
    fn keep(&mut self, _report: &EpochReport, _state: &TrainingState) -> Result<(), KeepError> {
        Ok(())
    }

    /// The time since any fixed moment: what a report's seconds are measured with. They are 0 without a clock.
    fn now(&mut self) -> Duration {
        Duration::ZERO
    }
}

/// What an observer could not keep, and why, in its own words.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct KeepError(#[from] pub Box<dyn Error + Send + Sync>);

/// Why a run ended before its last epoch. Epochs and steps count from 1.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The observer asked for it.
    #[error("epoch {epoch}: interrupted")]
    Interrupted {
        /// The epoch that was not completed.
        epoch: u32,
    },
    /// A training step took a parameter out of range ([`cnn_core::range`]).
    #[error(
        "epoch {epoch}, step {step}: the training has diverged, a parameter is no longer below {PARAMETER_LIMIT} in \
         magnitude; try a smaller learning rate"
    )]
    Diverged {
        /// The epoch.
        epoch: u32,
        /// The step within the epoch.
        step: usize,
    },
    /// This machine's arithmetic is not the contract's.
    #[error(transparent)]
    Environment(#[from] FloatEnvironmentError),
    /// The device that the backend runs on failed.
    #[error("epoch {epoch}: {message}")]
    Device {
        /// The epoch that was not completed.
        epoch: u32,
        /// What failed.
        message: String,
    },
    /// The observer could not keep a state.
    #[error("after epoch {epoch}: {error}")]
    NotKept {
        /// The last complete epoch.
        epoch: u32,
        /// What could not be kept, and why.
        error: KeepError,
    },
}

impl Stop {
    /// Of a backend's error in that epoch.
    pub fn from_backend(epoch: u32, error: BackendError) -> Self {
        match error {
            BackendError::Interrupted => Stop::Interrupted { epoch },
            BackendError::Diverged { step } => Stop::Diverged { epoch, step: step + 1 },
            BackendError::Environment(error) => Stop::Environment(error),
            BackendError::Device { message } => Stop::Device { epoch, message },
        }
    }
}

/// A run, complete or not: its complete epochs and the state after the last of them.
#[derive(Debug)]
pub struct Run {
    /// The initial parameters.
    pub initial_fingerprint: Fingerprint,
    /// Every complete epoch.
    pub epochs: Vec<EpochReport>,
    /// The state after the last complete epoch; the initial one if there is none.
    pub state: TrainingState,
    /// Why there are no more epochs, if they are not all there.
    pub stopped: Option<Stop>,
}

/// Trains from the seed's initial parameters and evaluates both splits after every epoch.
///
/// The result depends on the data set and the recipe alone, not on the backend.
pub fn train(backend: &mut dyn Backend, dataset: &Dataset, recipe: &Recipe, observer: &mut dyn Observer) -> Run {
    Run::new(recipe).go_on(backend, dataset, recipe, observer)
}

impl Run {
    /// A run before its first epoch.
    pub fn new(recipe: &Recipe) -> Self {
        Self::starting_from(initial_parameters(recipe.seed))
    }

    /// A run before its first epoch, with initial parameters that are not the seed's. They are in range
    /// ([`cnn_core::range`]).
    pub fn starting_from(parameters: Box<FlatParameters>) -> Self {
        let state = TrainingState::new(parameters);
        let initial_fingerprint = Fingerprint::of(&state.parameters);
        Self { initial_fingerprint, epochs: Vec::new(), state, stopped: None }
    }

    /// Trains what is left of the epochs: the run becomes what it would be if it had never paused. Nothing is left if
    /// it has all of them.
    pub fn go_on(
        self,
        backend: &mut dyn Backend,
        dataset: &Dataset,
        recipe: &Recipe,
        observer: &mut dyn Observer,
    ) -> Self {
        self.go_on_to(recipe.epochs, backend, dataset, recipe, observer)
    }

    /// As [`Run::go_on`], but up to epoch `last` alone, which the recipe has.
    pub fn go_on_to(
        mut self,
        last: u32,
        backend: &mut dyn Backend,
        dataset: &Dataset,
        recipe: &Recipe,
        observer: &mut dyn Observer,
    ) -> Self {
        assert!(last <= recipe.epochs, "the recipe has no epoch {last}");
        self.stopped = self.train_epochs(last, backend, dataset, recipe, observer).err();
        self
    }

    fn train_epochs(
        &mut self,
        last: u32,
        backend: &mut dyn Backend,
        dataset: &Dataset,
        recipe: &Recipe,
        observer: &mut dyn Observer,
    ) -> Result<(), Stop> {
        let first = self.epochs.len() as u32 + 1;
        if first > last {
            return Ok(());
        }
        float_environment::establish()?;
        backend.load(&self.state).map_err(|error| Stop::from_backend(first, error))?;
        let mut outcomes = vec![Outcome::default(); dataset.train.len().max(dataset.test.len())];
        let length = dataset.train.len();
        let mut order = recipe.order(first, length);
        for epoch in first..=last {
            let start = observer.now();
            // A device trains; meanwhile the host shuffles for the epoch after this one.
            let (next_order, trained) = threads::join(
                || if epoch < last { recipe.order(epoch + 1, length) } else { Vec::new() },
                || backend.train_epoch(recipe.epoch(epoch, &order), &mut increments(observer)),
            );
            trained.map_err(|error| Stop::from_backend(epoch, error))?;
            let state = backend.state().map_err(|error| Stop::from_backend(epoch, error))?;
            let training_seconds = seconds_since(start, observer);

            let start = observer.now();
            let mut measure = |split| {
                evaluate(backend, dataset, split, &mut outcomes, observer)
                    .map_err(|error| Stop::from_backend(epoch, error))
            };
            let (train, test) = (measure(Split::Train)?, measure(Split::Test)?);
            let evaluation_seconds = seconds_since(start, observer);
            observer.tested(&outcomes[..dataset.test.len()]);

            let fingerprint = Fingerprint::of(&state.parameters);
            let metrics = EpochMetrics { epoch, train, test };
            let report = EpochReport { metrics, fingerprint, training_seconds, evaluation_seconds };
            self.epochs.push(report);
            self.state = state;
            observer.epoch(&report);
            observer.keep(&report, &self.state).map_err(|error| Stop::NotKept { epoch, error })?;
            order = next_order;
        }
        Ok(())
    }
}

fn seconds_since(start: Duration, observer: &mut dyn Observer) -> f64 {
    observer.now().saturating_sub(start).as_secs_f64()
}

/// Loss and accuracy over a whole split. `outcomes` is at least as long as the split and holds its outcomes afterwards.
///
/// # Errors
/// As [`Backend::evaluate`].
pub fn evaluate(
    backend: &mut dyn Backend,
    dataset: &Dataset,
    split: Split,
    outcomes: &mut [Outcome],
    observer: &mut dyn Observer,
) -> Result<Metrics, BackendError> {
    float_environment::establish()?;
    let samples = dataset.split(split);
    let outcomes = &mut outcomes[..samples.len()];
    backend.evaluate(split, outcomes, &mut increments(observer))?;
    Ok(Metrics::of(outcomes, samples.labels()))
}

/// Turns a backend's count of samples done into the observer's steps forward.
fn increments(observer: &mut dyn Observer) -> impl FnMut(usize) -> ControlFlow<()> + '_ {
    let mut before = 0;
    move |done| {
        let step = done - before;
        before = done;
        observer.advance(step)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::{Epoch, Reference};
    use crate::dataset::Samples;

    const RECIPE: Recipe = Recipe { epochs: 3, batch_size: 2, ..Recipe::TUTORIAL };

    fn dataset() -> Dataset {
        let samples = Samples::new(vec![[0; 784]; 5], vec![1; 5]);
        Dataset { name: "five".into(), hash: [0; 32], train: samples.clone(), test: samples }
    }

    /// Adds 1 to every parameter in an epoch; may fail in the second one.
    struct Fake {
        state: TrainingState,
        epochs: u32,
        failure: Option<fn() -> BackendError>,
    }

    impl Fake {
        fn new() -> Self {
            let state = TrainingState::new(crate::backend::boxed_zeros());
            Self { state, epochs: 0, failure: None }
        }
    }

    impl Backend for Fake {
        fn description(&self) -> String {
            "fake".into()
        }

        fn load(&mut self, state: &TrainingState) -> Result<(), BackendError> {
            self.state = state.clone();
            Ok(())
        }

        fn state(&mut self) -> Result<TrainingState, BackendError> {
            Ok(self.state.clone())
        }

        fn train_epoch(
            &mut self,
            epoch: Epoch<'_>,
            progress: crate::backend::Progress<'_>,
        ) -> Result<(), BackendError> {
            self.epochs += 1;
            self.state.parameters.fill(self.epochs as f32);
            assert_eq!((epoch.order.len(), epoch.batch_length), (5, 2));
            if self.epochs == 2
                && let Some(failure) = self.failure
            {
                return Err(failure());
            }
            for done in [2, 4, 5] {
                if progress(done).is_break() {
                    return Err(BackendError::Interrupted);
                }
            }
            Ok(())
        }

        fn evaluate(
            &mut self,
            _split: Split,
            outcomes: &mut [Outcome],
            progress: crate::backend::Progress<'_>,
        ) -> Result<(), BackendError> {
            outcomes.fill(Outcome { loss: 0.5, prediction: 1 });
            if progress(outcomes.len()).is_break() { Err(BackendError::Interrupted) } else { Ok(()) }
        }
    }

    /// Counts samples and asks to stop once it has seen `limit` of them.
    struct Counter {
        samples: usize,
        limit: usize,
        epochs: usize,
    }

    impl Counter {
        fn until(limit: usize) -> Self {
            Self { samples: 0, limit, epochs: 0 }
        }
    }

    impl Observer for Counter {
        fn advance(&mut self, samples: usize) -> ControlFlow<()> {
            self.samples += samples;
            if self.samples >= self.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }

        fn epoch(&mut self, _report: &EpochReport) {
            self.epochs += 1;
        }
    }

    #[test]
    fn the_observer_hears_of_every_sample_and_epoch() {
        let mut counter = Counter::until(usize::MAX);
        let run = train(&mut Fake::new(), &dataset(), &RECIPE, &mut counter);
        assert!(run.stopped.is_none(), "{:?}", run.stopped);
        // Five trained, five and five evaluated in each of three epochs.
        assert_eq!((counter.samples, counter.epochs), (3 * 15, 3));
        assert_eq!(run.epochs.iter().map(|report| report.metrics.epoch).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(run.state.parameters[0], 3.0);
    }

    #[test]
    fn an_interrupted_run_keeps_its_last_complete_epoch() {
        // In the middle of the second epoch's training, and of its evaluation.
        for limit in [15 + 2, 15 + 10] {
            let run = train(&mut Fake::new(), &dataset(), &RECIPE, &mut Counter::until(limit));
            assert!(matches!(run.stopped, Some(Stop::Interrupted { epoch: 2 })), "{:?}", run.stopped);
            assert_eq!((run.epochs.len(), run.state.parameters[0]), (1, 1.0));
            assert_eq!(run.epochs[0].fingerprint, Fingerprint::of(&run.state.parameters));
        }
    }

    /// Keeps the state of every epoch until `limit` of them are kept.
    struct Keeper {
        kept: Vec<(u32, TrainingState)>,
        limit: usize,
    }

    impl Observer for Keeper {
        fn advance(&mut self, _samples: usize) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }

        fn epoch(&mut self, _report: &EpochReport) {}

        fn keep(&mut self, report: &EpochReport, state: &TrainingState) -> Result<(), KeepError> {
            if self.kept.len() == self.limit {
                return Err(KeepError("the disk is full".into()));
            }
            self.kept.push((report.metrics.epoch, state.clone()));
            Ok(())
        }
    }

    #[test]
    fn a_run_that_goes_on_is_one_that_never_paused() {
        let images = (0..5u8).map(|i| std::array::from_fn(|pixel| (pixel as u8).wrapping_mul(i + 1))).collect();
        let samples = Samples::new(images, (0..5).collect());
        let dataset = Arc::new(Dataset { train: samples.clone(), test: samples, ..dataset() });
        let backend = || Reference::new(dataset.clone());
        let mut keeper = Keeper { kept: Vec::new(), limit: 3 };
        let whole = train(&mut backend(), &dataset, &RECIPE, &mut keeper);
        assert_eq!(keeper.kept.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(), [1, 2, 3]);
        for (epoch, state) in keeper.kept {
            let epochs = whole.epochs[..epoch as usize].to_vec();
            assert_eq!(epochs[epochs.len() - 1].fingerprint, Fingerprint::of(&state.parameters));
            let part = Run { epochs, state, ..Run::new(&RECIPE) };
            let part = part.go_on(&mut backend(), &dataset, &RECIPE, &mut Counter::until(usize::MAX));
            assert!(part.stopped.is_none(), "{:?}", part.stopped);
            assert_eq!(part.state, whole.state);
            let results = |run: &Run| run.epochs.iter().map(|it| (it.metrics, it.fingerprint)).collect::<Vec<_>>();
            assert_eq!(results(&part), results(&whole));
        }
    }

    #[test]
    fn a_state_that_cannot_be_kept_ends_the_run_after_its_epoch() {
        let mut keeper = Keeper { kept: Vec::new(), limit: 1 };
        let run = train(&mut Fake::new(), &dataset(), &RECIPE, &mut keeper);
        assert_eq!(run.epochs.len(), 2);
        let message = run.stopped.expect("it stops").to_string();
        assert!(message.starts_with("after epoch 2: the disk is full"), "{message}");
    }

    #[test]
    fn a_run_that_diverges_keeps_its_last_complete_epoch_and_names_the_step() {
        let failure: Option<fn() -> BackendError> = Some(|| BackendError::Diverged { step: 0 });
        let mut fake = Fake { failure, ..Fake::new() };
        let run = train(&mut fake, &dataset(), &RECIPE, &mut Counter::until(usize::MAX));
        let message = run.stopped.expect("it stops").to_string();
        assert!(message.starts_with("epoch 2, step 1: the training has diverged"), "{message}");
        assert!(message.contains("below 16777216 in magnitude"), "{message}");
        assert_eq!((run.epochs.len(), run.state.parameters[0]), (1, 1.0));
    }
}
