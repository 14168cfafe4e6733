//! Two runs compared bit for bit: two backends side by side, or a backend against a run record.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Instant;

use cnn_core::network::{FlatParameters, TENSORS};
use cnn_train::backend::{Backend, BackendError, Epoch, Outcome, Progress, TrainingState};
use cnn_train::checkpoint::Checkpoint;
use cnn_train::dataset::{Dataset, DatasetRecord, Split};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::recipe::Recipe;
use cnn_train::trainer::{EpochReport, Observer, Run, Stop};

use crate::report::RunRecord;
use crate::report::record::EpochRecord;

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A parameter, by its tensor and its place in the flattened tensor.
    Parameter(&'static str, usize),
    /// The momentum of a parameter.
    Momentum(&'static str, usize),
    /// The loss of a sample of a split.
    Loss(Split, usize),
    /// The predicted class of a sample of a split.
    Prediction(Split, usize),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Parameter(tensor, index) => write!(f, "{tensor}[{index}]"),
            Value::Momentum(tensor, index) => write!(f, "the momentum of {tensor}[{index}]"),
            Value::Loss(split, index) => write!(f, "the loss of {split} sample {index}"),
            Value::Prediction(split, index) => write!(f, "the prediction of {split} sample {index}"),
        }
    }
}

/// The first difference between two backends.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The epoch, counted from 1.
    pub epoch: u32,
    /// The step within the epoch, counted from 1, after which the states differ; none if they differ only when the
    /// epoch is trained as a whole, or if the states are equal and an evaluation differs.
    pub step: Option<usize>,
    /// What differs.
    pub value: Value,
    /// What the two backends have there.
    pub found: [f32; 2],
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}", self.epoch)?;
        match self.step {
            Some(step) => write!(f, ", step {step}")?,
            None => write!(f, ", after its last step")?,
        }
        let [first, second] = self.found;
        let bits = self.found.map(f32::to_bits);
        write!(f, ": {} is {first:e} ({:#010x}) and {second:e} ({:#010x})", self.value, bits[0], bits[1])
    }
}

/// Why two runs are not known to be the same.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// They are not the same.
    #[error("the backends differ: {0}")]
    Difference(Difference),
    /// One of them ended where the other went on, or they ended for different reasons.
    #[error("the backends differ in epoch {epoch}: {}; {}", ending(&endings[0]), ending(&endings[1]))]
    Ending {
        /// The epoch, counted from 1.
        epoch: u32,
        /// Why each of them ended, if it did.
        endings: [Option<String>; 2],
    },
    /// A run ended early: both for the same reason, or neither by its own fault.
    #[error(transparent)]
    Stopped(Stop),
    /// The record has no epoch.
    #[error("the record has no complete epoch: there is nothing to verify")]
    Nothing,
    /// What the run starts from is not what the record says.
    #[error("the record has {field} {recorded}, here it is {found}")]
    Start {
        /// What differs.
        field: &'static str,
        /// The record's.
        recorded: String,
        /// What it is.
        found: String,
    },
    /// The record is of another data set.
    #[error("the record is of data set {recorded}, this is {found}: their contents differ")]
    Dataset {
        /// The record's.
        recorded: String,
        /// The one at hand.
        found: String,
    },
    /// The run is not the recorded one.
    #[error("epoch {epoch}: the record has {field} {recorded}, this run gives {found}")]
    Recorded {
        /// The epoch, counted from 1.
        epoch: u32,
        /// What differs.
        field: &'static str,
        /// The record's.
        recorded: String,
        /// This run's.
        found: String,
    },
}

fn ending(reason: &Option<String>) -> &str {
    reason.as_deref().unwrap_or("the other went on")
}

/// An epoch after which two backends had the same bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VerifiedEpoch {
    /// The epoch, counted from 1.
    pub epoch: u32,
    /// The parameters of both.
    pub fingerprint: Fingerprint,
    /// Seconds of each backend for the training of the epoch.
    pub training_seconds: [f64; 2],
}

/// Trains on two backends side by side from the same initial parameters and compares parameters, momentum, losses and predictions after every epoch.
///
/// `progress` hears how many samples of an epoch are done, `verified` of every epoch that was the same. The step of a
/// difference is found by training the epoch once more, step by step.
///
/// # Errors
/// The first difference, or why a run ended early.
pub fn compare<'a>(
    backends: [&'a mut dyn Backend; 2],
    dataset: &'a Dataset,
    settings: &'a Recipe,
    initial: Box<FlatParameters>,
    progress: Progress<'_>,
    verified: &mut dyn FnMut(&VerifiedEpoch),
) -> Result<(), VerifyError> {
    let state = TrainingState::new(initial);
    let mut comparison = Comparison { backends, dataset, settings, state };
    comparison.load().map_err(|error| VerifyError::Stopped(Stop::from_backend(1, error)))?;
    for epoch in 1..=settings.epochs {
        let training_seconds = comparison.train_epoch(epoch, progress)?;
        comparison.evaluate(epoch, Split::Train, progress)?;
        comparison.evaluate(epoch, Split::Test, progress)?;
        verified(&VerifiedEpoch {
            epoch,
            fingerprint: Fingerprint::of(&comparison.state.parameters),
            training_seconds,
        });
    }
    Ok(())
}

/// Two backends that have been the same so far.
struct Comparison<'a> {
    backends: [&'a mut dyn Backend; 2],
    dataset: &'a Dataset,
    settings: &'a Recipe,
    /// The state of both after the last complete epoch.
    state: TrainingState,
}

impl Comparison<'_> {
    fn load(&mut self) -> Result<(), BackendError> {
        self.backends.iter_mut().try_for_each(|backend| backend.load(&self.state))
    }

    /// Trains an epoch on both and compares their states. Returns the seconds of each.
    fn train_epoch(&mut self, number: u32, progress: Progress<'_>) -> Result<[f64; 2], VerifyError> {
        let order = self.settings.order(number, self.dataset.train.len());
        let epoch = self.settings.epoch(number, &order);
        let mut seconds = [0.0; 2];
        let mut trained = |backend: &mut dyn Backend, seconds: &mut f64| {
            let start = Instant::now();
            backend.train_epoch(epoch, progress)?;
            *seconds = start.elapsed().as_secs_f64();
            backend.state()
        };
        let [first, second] = &mut self.backends;
        let results = [trained(*first, &mut seconds[0]), trained(*second, &mut seconds[1])];
        let [first, second] = both(number, results)?;
        if let Some((value, found)) = state_difference(&first, &second) {
            let by_step = self.first_step_that_differs(number, &epoch, progress)?;
            let (step, value, found) =
                by_step.map_or((None, value, found), |(step, value, found)| (Some(step), value, found));
            return Err(VerifyError::Difference(Difference { epoch: number, step, value, found }));
        }
        self.state = first;
        Ok(seconds)
    }

    /// Trains epoch `number` once more from its start, step by step: the first step, counted from 1, after which the
    /// states differ.
    fn first_step_that_differs(
        &mut self,
        number: u32,
        epoch: &Epoch<'_>,
        progress: Progress<'_>,
    ) -> Result<Option<(usize, Value, [f32; 2])>, VerifyError> {
        self.load().map_err(|error| VerifyError::Stopped(Stop::from_backend(number, error)))?;
        for (step, batch) in epoch.order.chunks(epoch.batch_length).enumerate() {
            let stopped = |error| {
                let error = match error {
                    BackendError::Diverged { .. } => BackendError::Diverged { step },
                    other => other,
                };
                VerifyError::Stopped(Stop::from_backend(number, error))
            };
            let step_alone = Epoch { order: batch, ..*epoch };
            let after = |backend: &mut dyn Backend, progress: Progress<'_>| {
                backend.train_epoch(step_alone, progress)?;
                backend.state()
            };
            let [first, second] = &mut self.backends;
            let first = after(*first, progress).map_err(stopped)?;
            let second = after(*second, progress).map_err(stopped)?;
            if let Some((value, found)) = state_difference(&first, &second) {
                return Ok(Some((step + 1, value, found)));
            }
        }
        Ok(None)
    }

    /// Evaluates a split on both and compares what they say of every sample.
    fn evaluate(&mut self, epoch: u32, split: Split, progress: Progress<'_>) -> Result<(), VerifyError> {
        let mut outcomes = [(); 2].map(|()| vec![Outcome::default(); self.dataset.split(split).len()]);
        let [first, second] = &mut self.backends;
        let [of_first, of_second] = &mut outcomes;
        let results = [first.evaluate(split, of_first, progress), second.evaluate(split, of_second, progress)];
        both(epoch, results)?;
        for (index, (first, second)) in of_first.iter().zip(of_second.iter()).enumerate() {
            let (value, found) = if first.loss.to_bits() != second.loss.to_bits() {
                (Value::Loss(split, index), [first.loss, second.loss])
            } else if first.prediction != second.prediction {
                (Value::Prediction(split, index), [first.prediction, second.prediction].map(f32::from))
            } else {
                continue;
            };
            return Err(VerifyError::Difference(Difference { epoch, step: None, value, found }));
        }
        Ok(())
    }
}

/// What both backends gave, or why they ended.
fn both<T>(epoch: u32, results: [Result<T, BackendError>; 2]) -> Result<[T; 2], VerifyError> {
    let endings = [&results[0], &results[1]].map(|result| result.as_ref().err().map(ToString::to_string));
    match results {
        [Ok(first), Ok(second)] => Ok([first, second]),
        // Whoever asked to stop, it was not the arithmetic; a device that fails says nothing about it either.
        [Err(error @ (BackendError::Interrupted | BackendError::Device { .. })), _]
        | [_, Err(error @ (BackendError::Interrupted | BackendError::Device { .. }))] => {
            Err(VerifyError::Stopped(Stop::from_backend(epoch, error)))
        }
        [Err(error), Err(_)] if endings[0] == endings[1] => Err(VerifyError::Stopped(Stop::from_backend(epoch, error))),
        _ => Err(VerifyError::Ending { epoch, endings }),
    }
}

/// The first parameter, or else the first momentum, that differs in a bit.
fn state_difference(first: &TrainingState, second: &TrainingState) -> Option<(Value, [f32; 2])> {
    let parameter = flat_difference(&first.parameters, &second.parameters, Value::Parameter);
    parameter.or_else(|| flat_difference(&first.momentum, &second.momentum, Value::Momentum))
}

fn flat_difference(
    first: &FlatParameters,
    second: &FlatParameters,
    value: fn(&'static str, usize) -> Value,
) -> Option<(Value, [f32; 2])> {
    let place = first.iter().zip(second).position(|(first, second)| first.to_bits() != second.to_bits())?;
    let tensor = TENSORS.iter().rev().find(|tensor| tensor.offset <= place).expect("the first tensor starts at 0");
    Some((value(tensor.name, place - tensor.offset), [first[place], second[place]]))
}

/// Repeats a recorded run on a backend up to epoch `last`, from the beginning or from a checkpoint of it, and compares
/// fingerprint, losses and accuracies of every epoch with the record; before that the contents and sizes of the data set
/// and the initial parameters, which are the seed's unless `initial` are given. `observer` hears of the epochs that are the same.
///
/// The recipe is what is repeated. What else a record says is its own word: names of data set, backend, program and
/// machine, and the times.
///
/// # Errors
/// The first difference, why the run ended early, or that there is nothing to compare.
///
/// # Panics
/// If the record does not have the epoch `last`.
pub fn compare_with_record(
    backend: &mut dyn Backend,
    dataset: &Dataset,
    record: &RunRecord,
    initial: Option<Box<FlatParameters>>,
    start: Option<Checkpoint>,
    last: u32,
    observer: &mut dyn Observer,
) -> Result<(), VerifyError> {
    assert!(last as usize <= record.epochs.len(), "the record has no epoch {last}");
    if last == 0 {
        return Err(VerifyError::Nothing);
    }
    if record.dataset.sha256 != dataset.hash {
        let (recorded, found) = (record.dataset.name.clone(), dataset.name.clone());
        return Err(VerifyError::Dataset { recorded, found });
    }
    let found = DatasetRecord::from(dataset);
    starts_with("training images", record.dataset.train_count, found.train_count)?;
    starts_with("test images", record.dataset.test_count, found.test_count)?;
    let settings = &record.settings;
    let beginning = initial.map_or_else(|| Run::new(settings), Run::starting_from);
    starts_with("the initial fingerprint", record.initial_fingerprint, beginning.initial_fingerprint)?;
    let start = start.map_or(beginning, Run::from);
    starts_with("the initial fingerprint", record.initial_fingerprint, start.initial_fingerprint)?;
    let mut checked = CheckedObserver { record, observer, difference: None };
    let run = start.go_on_to(last, backend, dataset, settings, &mut checked);
    if let Some(difference) = checked.difference {
        return Err(difference);
    }
    run.stopped.map_or(Ok(()), |stop| Err(VerifyError::Stopped(stop)))
}

/// Compares every epoch with the record and asks to stop after the first difference.
struct CheckedObserver<'a> {
    record: &'a RunRecord,
    observer: &'a mut dyn Observer,
    difference: Option<VerifyError>,
}

impl Observer for CheckedObserver<'_> {
    fn advance(&mut self, samples: usize) -> ControlFlow<()> {
        if self.difference.is_some() { ControlFlow::Break(()) } else { self.observer.advance(samples) }
    }

    fn epoch(&mut self, report: &EpochReport) {
        let found = EpochRecord::from(report);
        let recorded = &self.record.epochs[found.epoch as usize - 1];
        match epoch_difference(recorded, &found) {
            Ok(()) => self.observer.epoch(report),
            Err(difference) => self.difference = self.difference.take().or(Some(difference)),
        }
    }
}

fn epoch_difference(recorded: &EpochRecord, found: &EpochRecord) -> Result<(), VerifyError> {
    let epoch = found.epoch;
    let differs = |field, same, recorded: String, found: String| {
        if same { Ok(()) } else { Err(VerifyError::Recorded { epoch, field, recorded, found }) }
    };
    let (there, here) = (recorded.fingerprint, found.fingerprint);
    differs("the fingerprint", there == here, there.to_string(), here.to_string())?;
    for (field, there, here) in [
        ("the training loss", recorded.train_loss, found.train_loss),
        ("the training accuracy", recorded.train_accuracy, found.train_accuracy),
        ("the test loss", recorded.test_loss, found.test_loss),
        ("the test accuracy", recorded.test_accuracy, found.test_accuracy),
    ] {
        differs(field, there.to_bits() == here.to_bits(), there.to_string(), here.to_string())?;
    }
    Ok(())
}

/// An error if what a run starts from is not what the record has.
fn starts_with<T: PartialEq + ToString>(field: &'static str, recorded: T, found: T) -> Result<(), VerifyError> {
    if recorded == found {
        return Ok(());
    }
    Err(VerifyError::Start { field, recorded: recorded.to_string(), found: found.to_string() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cnn_train::backend::Reference;
    use cnn_train::dataset::Samples;
    use cnn_train::random::initial_parameters;

    use super::*;
    use crate::report::record::{Host, Seconds, Status, Versions};

    const SETTINGS: Recipe = Recipe { epochs: 2, batch_size: 3, ..Recipe::TUTORIAL };

    fn dataset() -> Arc<Dataset> {
        let images = (0..10u8).map(|i| std::array::from_fn(|pixel| (pixel as u8).wrapping_mul(i + 1))).collect();
        let samples = Samples::new(images, (0..10).collect());
        Arc::new(Dataset { name: "ten".into(), hash: [0; 32], train: samples.clone(), test: samples })
    }

    /// The reference, but for one bit.
    struct Tampered {
        reference: Reference,
        /// The step of which sample changes a parameter, if its batch starts with it.
        first_sample: Option<u32>,
        /// The place of that parameter in the flat array.
        place: usize,
        /// Which sample's prediction is another one.
        prediction: Option<usize>,
    }

    impl Tampered {
        fn new(dataset: &Arc<Dataset>) -> Self {
            Self { reference: Reference::new(dataset.clone()), first_sample: None, place: 0, prediction: None }
        }
    }

    impl Backend for Tampered {
        fn description(&self) -> String {
            "tampered".into()
        }

        fn load(&mut self, state: &TrainingState) -> Result<(), BackendError> {
            self.reference.load(state)
        }

        fn state(&mut self) -> Result<TrainingState, BackendError> {
            self.reference.state()
        }

        fn train_epoch(&mut self, epoch: Epoch<'_>, progress: Progress<'_>) -> Result<(), BackendError> {
            for batch in epoch.order.chunks(epoch.batch_length) {
                self.reference.train_epoch(Epoch { order: batch, ..epoch }, progress)?;
                if self.first_sample == Some(batch[0]) {
                    let mut state = self.reference.state()?;
                    state.parameters[self.place] = f32::from_bits(state.parameters[self.place].to_bits() ^ 1);
                    self.reference.load(&state)?;
                }
            }
            Ok(())
        }

        fn evaluate(
            &mut self,
            split: Split,
            outcomes: &mut [Outcome],
            progress: Progress<'_>,
        ) -> Result<(), BackendError> {
            self.reference.evaluate(split, outcomes, progress)?;
            if let (Some(sample), Split::Test) = (self.prediction, split) {
                outcomes[sample].prediction = (outcomes[sample].prediction + 1) % 10;
            }
            Ok(())
        }
    }

    fn compared(tampered: &mut Tampered, dataset: &Arc<Dataset>) -> (Result<(), VerifyError>, Vec<u32>) {
        let mut epochs = Vec::new();
        let backends: [&mut dyn Backend; 2] = [&mut Reference::new(dataset.clone()), tampered];
        let mut go_on = |_| ControlFlow::Continue(());
        let result =
            compare(backends, dataset, &SETTINGS, initial_parameters(SETTINGS.seed), &mut go_on, &mut |verified| {
                epochs.push(verified.epoch)
            });
        (result, epochs)
    }

    #[test]
    fn equal_backends_are_verified_epoch_by_epoch() {
        let dataset = dataset();
        let (result, epochs) = compared(&mut Tampered::new(&dataset), &dataset);
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(epochs, [1, 2]);
    }

    /// A backend that differs from a step of the second epoch on, and which step that is, counted from 0.
    fn tampered_in_the_second_epoch(dataset: &Arc<Dataset>) -> (Tampered, usize) {
        let [first, second] = [1, 2].map(|epoch| SETTINGS.order(epoch, 10));
        // A sample that starts a step of the second epoch, but none of the first.
        let step = (0..4).find(|step| !first.chunks(3).any(|batch| batch[0] == second[3 * step])).unwrap();
        let mut tampered = Tampered::new(dataset);
        tampered.first_sample = Some(second[3 * step]);
        (tampered, step)
    }

    #[test]
    fn the_first_difference_names_epoch_step_tensor_index_and_both_values() {
        let dataset = dataset();
        let (mut tampered, step) = tampered_in_the_second_epoch(&dataset);
        tampered.place = cnn_core::network::FC1_BIAS.offset + 7;
        let (result, epochs) = compared(&mut tampered, &dataset);
        assert_eq!(epochs, [1]);
        let Err(VerifyError::Difference(difference)) = result else { panic!("{result:?}") };
        assert_eq!((difference.epoch, difference.step), (2, Some(step + 1)));
        assert_eq!(difference.value, Value::Parameter("fc1.bias", 7));
        let [first, second] = difference.found.map(f32::to_bits);
        assert_eq!(first ^ second, 1);
        let text = difference.to_string();
        assert!(text.starts_with(&format!("epoch 2, step {}: fc1.bias[7] is ", step + 1)), "{text}");
        assert!(text.contains(&format!("{first:#010x}")) && text.contains(&format!("{second:#010x}")), "{text}");
    }

    #[test]
    fn a_difference_in_evaluation_names_split_and_sample() {
        let dataset = dataset();
        let mut tampered = Tampered::new(&dataset);
        tampered.prediction = Some(4);
        let (result, _) = compared(&mut tampered, &dataset);
        let Err(VerifyError::Difference(difference)) = result else { panic!("{result:?}") };
        assert_eq!((difference.epoch, difference.value), (1, Value::Prediction(Split::Test, 4)));
    }

    /// Hears nothing.
    struct Silent;

    impl Observer for Silent {
        fn advance(&mut self, _samples: usize) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }

        fn epoch(&mut self, _report: &EpochReport) {}
    }

    fn record(dataset: &Arc<Dataset>) -> RunRecord {
        let run = cnn_train::trainer::train(&mut Reference::new(dataset.clone()), dataset, &SETTINGS, &mut Silent);
        RunRecord {
            versions: Versions::current(&SETTINGS, None),
            status: Status::Complete,
            settings: SETTINGS,
            dataset: DatasetRecord::from(&**dataset),
            backend: "reference".into(),
            host: Host::current(),
            seconds: Seconds { training: 0.0, evaluation: 0.0, total: 0.0 },
            initial_file: None,
            initial_fingerprint: run.initial_fingerprint,
            epochs: run.epochs.iter().map(EpochRecord::from).collect(),
        }
    }

    fn repeated(dataset: &Arc<Dataset>, record: &RunRecord) -> Result<(), VerifyError> {
        compare_with_record(&mut Reference::new(dataset.clone()), dataset, record, None, None, 2, &mut Silent)
    }

    #[test]
    fn a_run_equals_its_record() {
        let dataset = dataset();
        let result = repeated(&dataset, &record(&dataset));
        assert!(result.is_ok(), "{result:?}");
    }

    #[test]
    fn a_run_that_differs_from_its_record_names_the_epoch_and_both_values() {
        let dataset = dataset();
        let mut record = record(&dataset);
        record.epochs[1].test_loss = record.epochs[1].test_loss.next_up();
        let result = repeated(&dataset, &record);
        assert!(
            matches!(&result, Err(VerifyError::Recorded { epoch: 2, field: "the test loss", recorded, found })
                if recorded != found),
            "{result:?}"
        );
    }

    #[test]
    fn a_record_of_another_data_set_is_refused() {
        let dataset = dataset();
        let mut record = record(&dataset);
        record.dataset.sha256[0] = 1;
        let result = repeated(&dataset, &record);
        assert!(matches!(result, Err(VerifyError::Dataset { .. })), "{result:?}");
    }

    #[test]
    fn a_record_without_an_epoch_is_no_success() {
        let dataset = dataset();
        let mut record = record(&dataset);
        (record.status, record.epochs) = (Status::Interrupted, Vec::new());
        let result =
            compare_with_record(&mut Reference::new(dataset.clone()), &dataset, &record, None, None, 0, &mut Silent);
        assert!(matches!(result, Err(VerifyError::Nothing)), "{result:?}");
    }

    #[test]
    fn every_field_that_decides_or_describes_an_epoch_is_compared_by_its_bits() {
        let dataset = dataset();
        type Change = fn(&mut RunRecord);
        let cases: [(Change, &str); 14] = [
            (|it| it.dataset.train_count = 11, "the record has training images 11, here it is 10"),
            (|it| it.dataset.test_count = 9, "the record has test images 9, here it is 10"),
            (|it| it.initial_fingerprint = Fingerprint::from([1; 32]), "the record has the initial fingerprint 0101"),
            (|it| it.settings.seed ^= 1, "the record has the initial fingerprint "),
            (|it| it.settings.batch_size = 4, "epoch 1: the record has the fingerprint "),
            (|it| it.settings.learning_rate *= 2.0, "epoch 1: the record has the fingerprint "),
            (|it| it.settings.momentum = 0.5, "epoch 1: the record has the fingerprint "),
            (|it| it.settings.weight_decay = 0.5, "epoch 1: the record has the fingerprint "),
            (|it| it.settings.shuffle = false, "epoch 1: the record has the fingerprint "),
            (|it| it.epochs[1].fingerprint = it.epochs[0].fingerprint, "epoch 2: the record has the fingerprint "),
            (
                |it| it.epochs[0].train_loss = it.epochs[0].train_loss.next_up(),
                "epoch 1: the record has the training loss",
            ),
            (|it| it.epochs[1].test_loss = it.epochs[1].test_loss.next_down(), "epoch 2: the record has the test loss"),
            (|it| it.epochs[0].train_accuracy = 0.7, "epoch 1: the record has the training accuracy 0.7"),
            (|it| it.epochs[1].test_accuracy = 0.9, "epoch 2: the record has the test accuracy 0.9"),
        ];
        let good = record(&dataset);
        for (change, expected) in cases {
            let mut record = good.clone();
            change(&mut record);
            let message = repeated(&dataset, &record).expect_err(expected).to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn a_search_for_the_step_names_the_epoch_it_is_in_and_can_be_interrupted() {
        let dataset = dataset();
        let (mut tampered, _) = tampered_in_the_second_epoch(&dataset);
        // Both have trained two epochs by the time that the search begins, and evaluated one.
        let mut heard = 0;
        let mut count = |_| {
            heard += 1;
            ControlFlow::Continue(())
        };
        let backends: [&mut dyn Backend; 2] = [&mut Reference::new(dataset.clone()), &mut tampered];
        compare(backends, &dataset, &SETTINGS, initial_parameters(SETTINGS.seed), &mut count, &mut |_| {})
            .expect_err("they differ");
        let last = heard;
        let mut heard = 0;
        let mut interrupt = |_| {
            heard += 1;
            if heard < last { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let backends: [&mut dyn Backend; 2] = [&mut Reference::new(dataset.clone()), &mut tampered];
        let result =
            compare(backends, &dataset, &SETTINGS, initial_parameters(SETTINGS.seed), &mut interrupt, &mut |_| {});
        assert!(matches!(result, Err(VerifyError::Stopped(Stop::Interrupted { epoch: 2 }))), "{result:?}");
    }
}
