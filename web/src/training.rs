//! A run in steps: between two of them a worker reports how far it is, and may pause for as long as it likes.
//!
//! What comes out is what [`cnn_train::trainer::train`] gives for the same data set and recipe, bit for bit.

use std::ops::ControlFlow;
use std::sync::Arc;

use cnn_core::image::Pixels;
use cnn_core::model::{Golden, MAX_DATASET_NAME, MAX_LEN, Metadata, SHAPES, Training, encode};
use cnn_core::network::{Activations, Parameters, logits};
use cnn_train::backend::{Backend, BackendError, Cpu, CpuOptions, Outcome, TrainingState};
use cnn_train::checkpoint::{Checkpoint, Identity, add_backend};
use cnn_train::consistency::Inconsistent;
use cnn_train::dataset::{Dataset, DatasetRecord, Samples, Split, synthetic};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::metrics::{EpochMetrics, Metrics};
use cnn_train::recipe::Recipe;
use cnn_train::schedule::ScheduleError;
use cnn_train::trainer::{self, EpochReport, Stop};

use crate::idx::{self, Contents};

/// Test images that the curve follows within an epoch.
pub const PROBED: usize = 1000;

/// [`Dataset::hash`] of MNIST, as `firmware/model/run.json` has it.
const MNIST: &str = "e9914cff2ade526da2ab1ac60c072f9173cc53e35b9411692de8207cb1b9009d";

/// Images and labels that are being gathered.
#[derive(Default)]
pub struct Gathered {
    splits: [(Vec<Pixels>, Vec<u8>); 2],
}

/// Why there is no run, or why it ended.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A file is not what it should be.
    #[error("the file {0}")]
    File(#[from] idx::Fault),
    /// Images and labels do not belong together.
    #[error("the {split} split has {images} images and {labels} labels; give the four files of one data set")]
    Split {
        /// Which part of the data set.
        split: Split,
        /// Number of images.
        images: usize,
        /// Number of labels.
        labels: usize,
    },
    /// A setting that no run has.
    #[error(transparent)]
    Setting(#[from] Inconsistent),
    /// The checkpoint to go on from is of another run.
    #[error("the checkpoint is of another run: {0}")]
    OtherRun(String),
    /// It is further than this run is to go.
    #[error("the checkpoint was taken after epoch {0}: the run has to have more epochs")]
    NoEpochLeft(u32),
    /// The run diverged.
    #[error(transparent)]
    Stopped(#[from] Stop),
    /// A schedule of the learning rate that there is not.
    #[error("the schedule of the learning rate: {0}")]
    Schedule(#[from] ScheduleError),
    /// Layers that there are not.
    #[error("the layers to train: {0}")]
    Layers(String),
    /// The run has all epochs of its recipe.
    #[error("the run is over")]
    Over,
    /// There is no run, or no complete epoch of it.
    #[error("there is no trained model yet")]
    NoModel,
}

impl Gathered {
    /// Draws `count` built-in digits more of a split; as many as the program's data set has are enough.
    pub fn draw(&mut self, split: Split, count: usize) {
        let (images, labels) = &mut self.splits[split as usize];
        for index in images.len()..images.len() + count {
            let (pixels, label) = synthetic::sample(synthetic::DEFAULT_SEED, split, index as u64);
            images.push(pixels);
            labels.push(label);
        }
    }

    /// Takes an unpacked IDX file, images or labels of a split.
    ///
    /// # Errors
    /// If it is not exactly such a file.
    pub fn take(&mut self, split: Split, file: &[u8]) -> Result<(), Refusal> {
        let (images, labels) = &mut self.splits[split as usize];
        match idx::parse(file)? {
            Contents::Images(taken) => *images = taken,
            Contents::Labels(taken) => *labels = taken,
        }
        Ok(())
    }

    fn check(&self, split: Split) -> Result<(), Refusal> {
        let (images, labels) = &self.splits[split as usize];
        if images.is_empty() || images.len() != labels.len() {
            return Err(Refusal::Split { split, images: images.len(), labels: labels.len() });
        }
        Ok(())
    }

    /// Images and labels of the training split alone.
    ///
    /// # Errors
    /// If it is empty, or has not one label for each image.
    pub fn training(self) -> Result<(Vec<Pixels>, Vec<u8>), Refusal> {
        self.check(Split::Train)?;
        let [training, _] = self.splits;
        Ok(training)
    }

    /// The data set; `name` is what it is called unless it is MNIST.
    ///
    /// # Errors
    /// If a split is empty, or has not one label for each image.
    pub fn dataset(self, name: String) -> Result<Dataset, Refusal> {
        self.check(Split::Train)?;
        self.check(Split::Test)?;
        let [train, test] = self.splits.map(|(images, labels)| Samples::new(images, labels));
        let dataset = Dataset::new(name, train, test);
        let is_mnist = hex::encode(dataset.hash) == MNIST;
        Ok(if is_mnist { Dataset { name: "MNIST".into(), ..dataset } } else { dataset })
    }
}

/// A run.
pub struct Run {
    dataset: Arc<Dataset>,
    recipe: Recipe,
    backend: Cpu,
    /// Evaluates the first test images within an epoch.
    probe: Cpu,
    outcomes: Vec<Outcome>,
    /// The epoch in work, from 1.
    epoch: u32,
    order: Vec<u32>,
    /// Images of the epoch that are done.
    done: usize,
    /// The complete epochs, and the state after the last of them.
    complete: trainer::Run,
    /// The file that the initial parameters came from; the page has none, a checkpoint's run may have one.
    initial_file: Option<String>,
    /// Who trained so far.
    backends: Vec<String>,
}

impl Run {
    /// A run before its first step.
    ///
    /// # Errors
    /// If no run has such a recipe.
    pub fn new(dataset: Dataset, recipe: Recipe) -> Result<Self, Refusal> {
        recipe.check()?;
        Self::starting(dataset, recipe, trainer::Run::new(&recipe), None, Vec::new())
    }

    /// A run after the epoch of a checkpoint, which the program or this page wrote.
    ///
    /// # Errors
    /// If the checkpoint is of another run, or has all epochs of this one.
    pub fn go_on(dataset: Dataset, recipe: Recipe, checkpoint: Checkpoint) -> Result<Self, Refusal> {
        recipe.check()?;
        let own = Identity {
            settings: &recipe,
            dataset: &DatasetRecord::from(&dataset),
            initial_file: checkpoint.initial_file.as_deref(),
            initial_fingerprint: match checkpoint.initial_file {
                Some(_) => checkpoint.initial_fingerprint,
                None => trainer::Run::new(&recipe).initial_fingerprint,
            },
        };
        if let Some(difference) = Identity::from(&checkpoint).difference(&own, "here") {
            return Err(Refusal::OtherRun(difference));
        }
        if checkpoint.epoch() >= recipe.epochs {
            return Err(Refusal::NoEpochLeft(checkpoint.epoch()));
        }
        let (initial_file, backends) = (checkpoint.initial_file.clone(), checkpoint.backends.clone());
        Self::starting(dataset, recipe, checkpoint.into(), initial_file, backends)
    }

    fn starting(
        dataset: Dataset,
        recipe: Recipe,
        complete: trainer::Run,
        initial_file: Option<String>,
        mut backends: Vec<String>,
    ) -> Result<Self, Refusal> {
        let dataset = Arc::new(dataset);
        let first = |samples: &Samples| {
            let count = samples.len().min(PROBED);
            Samples::new(samples.images()[..count].to_vec(), samples.labels()[..count].to_vec())
        };
        let probed = first(&dataset.test);
        let probed = Dataset { name: dataset.name.clone(), hash: dataset.hash, train: probed.clone(), test: probed };
        let mut backend = on_one_thread(Arc::clone(&dataset));
        let epoch = complete.epochs.len() as u32;
        backend.load(&complete.state).map_err(|error| Stop::from_backend(epoch + 1, error))?;
        add_backend(&mut backends, &backend.description());
        let longest = dataset.train.len().max(dataset.test.len());
        let mut run = Self {
            backend,
            probe: on_one_thread(Arc::new(probed)),
            outcomes: vec![Outcome::default(); longest],
            dataset,
            recipe,
            epoch,
            order: Vec::new(),
            done: 0,
            complete,
            initial_file,
            backends,
        };
        run.begin_epoch();
        Ok(run)
    }

    fn begin_epoch(&mut self) {
        self.epoch += 1;
        self.order = self.recipe.order(self.epoch, self.dataset.train.len());
        self.done = 0;
    }

    /// The data set.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Images of the epoch that are done.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Trains the epoch's next `steps` steps, or what is left of them. Returns whether the epoch's training is over.
    ///
    /// # Errors
    /// If the training diverges, or all epochs are complete.
    pub fn train(&mut self, steps: usize) -> Result<bool, Refusal> {
        if self.epoch > self.recipe.epochs {
            return Err(Refusal::Over);
        }
        let batch_length = self.recipe.batch_size as usize;
        let end = steps.saturating_mul(batch_length).saturating_add(self.done).min(self.order.len());
        if self.done < end {
            let epoch = self.recipe.epoch(self.epoch, &self.order[self.done..end]);
            let steps_before = self.done / batch_length;
            self.backend.train_epoch(epoch, &mut |_| ControlFlow::Continue(())).map_err(|error| {
                let error = match error {
                    BackendError::Diverged { step } => BackendError::Diverged { step: steps_before + step },
                    other => other,
                };
                Stop::from_backend(self.epoch, error)
            })?;
            self.done = end;
        }
        Ok(self.done == self.order.len())
    }

    /// The state as it is now, and how it reads the first test images.
    ///
    /// # Errors
    /// If this machine's arithmetic is not the contract's.
    pub fn probe(&mut self) -> Result<(Metrics, TrainingState), Refusal> {
        let failed = |error| Stop::from_backend(self.epoch, error);
        let state = self.backend.state().map_err(failed)?;
        self.probe.load(&state).map_err(failed)?;
        let samples = self.dataset.test.len().min(PROBED);
        let outcomes = &mut self.outcomes[..samples];
        self.probe.evaluate(Split::Test, outcomes, &mut |_| ControlFlow::Continue(())).map_err(failed)?;
        Ok((Metrics::of(outcomes, &self.dataset.test.labels()[..samples]), state))
    }

    /// Ends the epoch, once its training is over: evaluates both splits. The next one begins.
    ///
    /// # Errors
    /// If this machine's arithmetic is not the contract's.
    pub fn finish_epoch(&mut self) -> Result<(EpochMetrics, Fingerprint), Refusal> {
        let epoch = self.epoch;
        let failed = |error| Stop::from_backend(epoch, error);
        let state = self.backend.state().map_err(failed)?;
        let mut measure = |split| {
            let samples = self.dataset.split(split);
            let outcomes = &mut self.outcomes[..samples.len()];
            self.backend.evaluate(split, outcomes, &mut |_| ControlFlow::Continue(())).map_err(failed)?;
            Ok::<_, Stop>(Metrics::of(outcomes, samples.labels()))
        };
        let metrics = EpochMetrics { epoch, train: measure(Split::Train)?, test: measure(Split::Test)? };
        let fingerprint = Fingerprint::of(&state.parameters);
        let (training_seconds, evaluation_seconds) = (0.0, 0.0);
        self.complete.epochs.push(EpochReport { metrics, fingerprint, training_seconds, evaluation_seconds });
        self.complete.state = state;
        self.begin_epoch();
        Ok((metrics, fingerprint))
    }

    /// Notes how long the last complete epoch took, which the caller's clock knows.
    pub fn timed(&mut self, training_seconds: f64, evaluation_seconds: f64) {
        if let Some(last) = self.complete.epochs.last_mut() {
            (last.training_seconds, last.evaluation_seconds) = (training_seconds, evaluation_seconds);
        }
    }

    /// The run so far: its complete epochs, and the state after the last of them.
    pub fn complete(&self) -> &trainer::Run {
        &self.complete
    }

    /// Who trains.
    pub fn backend(&self) -> String {
        self.backend.description()
    }

    /// The checkpoint after the last complete epoch, byte for byte that of the program but for the times.
    ///
    /// # Errors
    /// If no epoch is complete.
    pub fn checkpoint(&self) -> Result<Vec<u8>, Refusal> {
        if self.complete.epochs.is_empty() {
            return Err(Refusal::NoModel);
        }
        let checkpoint = Checkpoint {
            settings: self.recipe,
            dataset: DatasetRecord::from(&*self.dataset),
            initial_file: self.initial_file.clone(),
            initial_fingerprint: self.complete.initial_fingerprint,
            backends: self.backends.clone(),
            epochs: self.complete.epochs.clone(),
            state: self.complete.state.clone(),
        };
        Ok(checkpoint.to_bytes())
    }

    /// The model file after the last complete epoch, byte for byte that of the program.
    ///
    /// # Errors
    /// If no epoch is complete.
    pub fn model(&self) -> Result<Vec<u8>, Refusal> {
        let last = self.complete.epochs.last().ok_or(Refusal::NoModel)?;
        let state = &self.complete.state;
        let name = &self.dataset.name[..self.dataset.name.floor_char_boundary(MAX_DATASET_NAME)];
        let training: Training<'_> = self.recipe.training(name, self.dataset.hash, &last.metrics);
        let golden = &self.dataset.test.images()[0];
        let mut activations = Box::new(Activations::new());
        let logits = logits(golden, &Parameters::of(&state.parameters), &mut activations);
        let metadata = Metadata {
            shapes: SHAPES,
            training: Some(training),
            fingerprint: *last.fingerprint.as_bytes(),
            golden: Golden { pixels: golden, logits },
        };
        let mut file = vec![0; MAX_LEN];
        // Only a parameter out of range or a name that no data set has could fail, and both were checked.
        let length = encode(&metadata, &state.parameters, &mut file).map_err(|_| Refusal::NoModel)?;
        file.truncate(length);
        Ok(file)
    }
}

fn on_one_thread(dataset: Arc<Dataset>) -> Cpu {
    Cpu::new(dataset, CpuOptions { threads: Some(1), simd: None }).expect("one thread is always there")
}

#[cfg(test)]
mod tests {
    use cnn_core::shapes::Layers;
    use cnn_train::schedule::RateSchedule;
    use cnn_train::trainer::{Observer, train};

    use super::*;

    struct Silent;

    impl Observer for Silent {
        fn advance(&mut self, _samples: usize) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }

        fn epoch(&mut self, _report: &EpochReport) {}
    }

    const RECIPE: Recipe = Recipe { epochs: 2, batch_size: 7, learning_rate: 0.03, ..Recipe::TUTORIAL };

    fn gathered(train: usize, test: usize) -> Gathered {
        let mut gathered = Gathered::default();
        gathered.draw(Split::Train, train);
        gathered.draw(Split::Test, test);
        gathered
    }

    #[test]
    fn a_run_in_steps_gives_the_bits_of_the_epoch_loop() {
        let layers = Layers::parse("conv1,fc2").unwrap();
        let schedule = RateSchedule::Cosine { minimum: 0.001 };
        for recipe in [RECIPE, Recipe { schedule, ..RECIPE }, Recipe { layers, ..RECIPE }] {
            assert_same_as_the_epoch_loop(recipe);
        }
    }

    fn assert_same_as_the_epoch_loop(recipe: Recipe) {
        let dataset = gathered(100, 20).dataset(synthetic::name(0)).unwrap();
        assert_eq!(dataset, synthetic::synthetic(0, 100, 20));
        let dataset = Arc::new(dataset);
        let expected = train(&mut on_one_thread(Arc::clone(&dataset)), &dataset, &recipe, &mut Silent);
        let mut run = Run::new(Dataset::clone(&dataset), recipe).unwrap();
        for report in &expected.epochs {
            let mut calls = 0;
            while !run.train(4).unwrap() {
                run.probe().unwrap();
                calls += 1;
            }
            assert_eq!((calls, run.done()), (3, 100));
            assert_eq!(run.finish_epoch().unwrap(), (report.metrics, report.fingerprint));
        }
        assert!(matches!(run.train(1), Err(Refusal::Over)));
        assert_eq!(run.complete.state, expected.state);
    }

    #[test]
    fn what_no_run_has_is_refused() {
        let refused = |recipe| Run::new(gathered(3, 2).dataset("few".into()).unwrap(), recipe).is_err();
        assert!(!refused(RECIPE));
        assert!(refused(Recipe { batch_size: 0, ..RECIPE }));
        assert!(refused(Recipe { epochs: 0, ..RECIPE }));
        assert!(refused(Recipe { schedule: RateSchedule::Cosine { minimum: 0.04 }, ..RECIPE }));
        for rate in [f32::NAN, f32::INFINITY, -1.0] {
            assert!(refused(Recipe { learning_rate: rate, ..RECIPE }));
            assert!(refused(Recipe { momentum: rate, ..RECIPE }));
            assert!(refused(Recipe { weight_decay: rate, ..RECIPE }));
        }
        assert!(gathered(0, 2).dataset("none".into()).is_err());
        assert!(gathered(2, 0).dataset("none".into()).is_err());
        let run = Run::new(gathered(3, 2).dataset("few".into()).unwrap(), RECIPE).unwrap();
        assert!(matches!(run.model(), Err(Refusal::NoModel)));
        assert!(matches!(run.checkpoint(), Err(Refusal::NoModel)));
    }

    fn few() -> Dataset {
        gathered(20, 5).dataset("few".into()).unwrap()
    }

    /// Trains the run's next epoch.
    fn train_an_epoch(run: &mut Run) -> (EpochMetrics, Fingerprint) {
        assert!(run.train(usize::MAX).unwrap());
        let epoch = run.finish_epoch().unwrap();
        run.timed(1.5, 0.25);
        epoch
    }

    #[test]
    fn a_run_that_goes_on_from_a_checkpoint_is_one_that_never_paused() {
        let mut whole = Run::new(few(), RECIPE).unwrap();
        train_an_epoch(&mut whole);
        let file = whole.checkpoint().unwrap();
        let checkpoint = Checkpoint::parse(&file).unwrap();
        assert_eq!((checkpoint.epoch(), checkpoint.settings), (1, RECIPE));
        assert_eq!(checkpoint.backends, [whole.backend()]);
        assert_eq!((checkpoint.epochs[0].training_seconds, checkpoint.epochs[0].evaluation_seconds), (1.5, 0.25));

        let mut resumed = Run::go_on(few(), RECIPE, checkpoint).unwrap();
        assert_eq!(train_an_epoch(&mut resumed), train_an_epoch(&mut whole));
        assert_eq!(resumed.checkpoint().unwrap(), whole.checkpoint().unwrap());
        assert_eq!(resumed.model().unwrap(), whole.model().unwrap());
    }

    #[test]
    fn a_checkpoint_of_another_run_or_of_no_fewer_epochs_is_refused() {
        let mut run = Run::new(few(), RECIPE).unwrap();
        train_an_epoch(&mut run);
        let checkpoint = Checkpoint::parse(&run.checkpoint().unwrap()).unwrap();
        let refusal = |dataset, recipe, change: fn(&mut Checkpoint)| {
            let mut checkpoint = checkpoint.clone();
            change(&mut checkpoint);
            Run::go_on(dataset, recipe, checkpoint).map(|_| ()).unwrap_err().to_string()
        };
        let other = gathered(21, 5).dataset("few".into()).unwrap();
        assert!(refusal(other, RECIPE, |_| {}).contains("the data set is few"));
        let recipe = Recipe { learning_rate: RECIPE.learning_rate.next_up(), ..RECIPE };
        assert!(refusal(few(), recipe, |_| {}).contains("the learning rate is 0.03 there"));
        assert!(refusal(few(), Recipe { epochs: 1, ..RECIPE }, |_| {}).contains("taken after epoch 1"));
        let other_start = |it: &mut Checkpoint| it.initial_fingerprint = Fingerprint::from([9; 32]);
        assert!(refusal(few(), RECIPE, other_start).contains("its initial parameters"));
        // A run of more epochs is the same run, and so is one from parameters that only its first host had.
        let mut given = checkpoint.clone();
        (given.initial_file, given.initial_fingerprint) = (Some("given".into()), Fingerprint::from([9; 32]));
        let mut longer = Run::go_on(few(), Recipe { epochs: 9, ..RECIPE }, given).unwrap();
        train_an_epoch(&mut longer);
        let taken = Checkpoint::parse(&longer.checkpoint().unwrap()).unwrap();
        assert_eq!((taken.epoch(), taken.settings.epochs, taken.initial_file.as_deref()), (2, 9, Some("given")));
    }

    #[test]
    fn a_run_that_diverges_names_the_step_of_the_epoch() {
        let recipe = Recipe { learning_rate: 1.0e6, batch_size: 10, ..RECIPE };
        let dataset = Arc::new(synthetic::synthetic(0, 100, 20));
        let expected = train(&mut on_one_thread(Arc::clone(&dataset)), &dataset, &recipe, &mut Silent);
        let mut run = Run::new(Dataset::clone(&dataset), recipe).unwrap();
        let found = loop {
            match run.train(1) {
                Ok(false) => {}
                other => break other,
            }
        };
        assert_eq!(found.unwrap_err().to_string(), expected.stopped.expect("it diverges").to_string());
    }

    #[test]
    fn a_split_needs_a_label_for_each_image() {
        let (images, labels) = (synthetic::samples(0, Split::Test, 3), [1, 2]);
        let mut gathered = gathered(3, 0);
        let header = cnn_train::dataset::digest::header;
        let file = [header(idx_images(), 3, &[28, 28]), images.images().as_flattened().to_vec()].concat();
        gathered.take(Split::Test, &file).unwrap();
        gathered.take(Split::Test, &[header(idx_labels(), 2, &[]), labels.to_vec()].concat()).unwrap();
        let refusal = gathered.dataset("few".into()).unwrap_err().to_string();
        assert!(refusal.contains("test split has 3 images and 2 labels"), "{refusal}");
    }

    fn idx_images() -> u32 {
        cnn_train::dataset::digest::IMAGES_MAGIC
    }

    fn idx_labels() -> u32 {
        cnn_train::dataset::digest::LABELS_MAGIC
    }
}
