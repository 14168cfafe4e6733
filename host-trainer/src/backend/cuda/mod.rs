//! Training and evaluation on an NVIDIA GPU, through `cust` and the kernels of the crate `kernels`.
//!
//! The data set, the parameters and everything of a step live on the device. An epoch costs the host one upload of the
//! order and a launch for every 100 steps: either a cooperative kernel that runs them all behind a barrier of its own,
//! or a captured graph of two small kernels a step ([`Schedule`]). Launches are enqueued one ahead, so that the device
//! never waits for the host; progress is told, and an interrupt heard, when one ends.

mod device;
mod error;
mod memory;
mod module;

use std::collections::VecDeque;
use std::sync::Arc;

use cnn_train::backend::{Backend, BackendError, Epoch, Outcome, Progress, TrainingState, boxed_zeros};
use cnn_train::dataset::{Dataset, Split};
use cust::context::{Context, CurrentContext};
use cust::event::{Event, EventFlags};
use cust::memory::{AsyncCopyDestination, CopyDestination, DeviceBuffer, LockedBuffer};
use cust::stream::{Stream, StreamFlags};
use kernels::{DeviceAddress, NO_STEP, TrainingArguments};

pub use device::{DeviceInfo, Probe, ProbedDevice, probe};
use error::ANOTHER_GPU;
pub use error::CudaError;

use memory::{BatchMemory, DeviceSamples, DeviceState, EvaluationMemory, address, allocate};
use module::{Graph, LoadedKernel, Module, arguments};

/// Steps of a launch: about 3 ms on a large GPU, so that an interrupt is heard at once.
const STEPS_PER_LAUNCH: usize = 100;
/// Launches that are enqueued before the first of them is awaited.
const LAUNCHES_AHEAD: usize = 2;

/// How the steps of an epoch reach the device. The bits are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// Many steps behind one cooperative launch, whose blocks wait for each other.
    Cooperative,
    /// A captured graph of two kernels a step.
    Graph,
}

/// The kernels of a schedule.
enum TrainKernels {
    Steps { steps: LoadedKernel },
    Phases { samples: LoadedKernel, update: LoadedKernel },
}

/// The loaded kernels.
struct Kernels {
    train: TrainKernels,
    convolutions: LoadedKernel,
    classifier: LoadedKernel,
    /// Keeps the kernels' code on the device.
    _modules: [Module; 2],
}

impl Kernels {
    /// Loads what a schedule needs and nothing else: translating PTX takes a driver its time.
    fn load(schedule: Schedule) -> Result<Self, CudaError> {
        let (train_module, train) = match schedule {
            Schedule::Cooperative => {
                let module = Module::load(kernels::STEPS)?;
                let steps = module.kernel(kernels::TRAIN_STEPS, kernels::TRAIN_SHARED_BYTES)?;
                (module, TrainKernels::Steps { steps })
            }
            Schedule::Graph => {
                let module = Module::load(kernels::PHASES)?;
                let samples = module.kernel(kernels::TRAIN_SAMPLES, kernels::TRAIN_SHARED_BYTES)?;
                let update = module.kernel(kernels::TRAIN_UPDATE, kernels::TRAIN_SHARED_BYTES)?;
                (module, TrainKernels::Phases { samples, update })
            }
        };
        let evaluate = Module::load(kernels::EVALUATE)?;
        Ok(Self {
            train,
            convolutions: evaluate.kernel(kernels::EVALUATE_CONVOLUTIONS, kernels::EVALUATE_SHARED_BYTES)?,
            classifier: evaluate.kernel(kernels::EVALUATE_CLASSIFIER, kernels::EVALUATE_SHARED_BYTES)?,
            _modules: [train_module, evaluate],
        })
    }
}

/// The order of an epoch on the device, and its way there through page-locked memory.
struct Order {
    staging: LockedBuffer<u32>,
    device: DeviceBuffer<u32>,
}

impl Order {
    fn new(capacity: usize) -> Result<Self, CudaError> {
        let staging = LockedBuffer::new(&0, capacity).map_err(CudaError::failed("allocating page-locked memory"))?;
        Ok(Self { staging, device: allocate("the order of an epoch", capacity)? })
    }

    /// Enqueues the upload of `order`; the last upload is done.
    fn enqueue(&mut self, order: &[u32], stream: &Stream) -> cust::error::CudaResult<()> {
        let staged = &mut self.staging.as_mut_slice()[..order.len()];
        staged.copy_from_slice(order);
        // SAFETY: the staging buffer is not written before the stream has been awaited, at the end of the epoch.
        unsafe { self.device.index(..order.len()).async_copy_from(staged, stream) }
    }
}

/// A backend on a GPU.
///
/// Fields are dropped in their order: the context last.
pub struct Cuda {
    /// The captured graphs of an epoch, and for which arguments.
    graphs: Option<(TrainingArguments, Vec<Graph>)>,
    kernels: Kernels,
    train: DeviceSamples,
    test: DeviceSamples,
    state: DeviceState,
    order: Order,
    batch: BatchMemory,
    evaluation: EvaluationMemory,
    failed_step: DeviceBuffer<u32>,
    arrived: DeviceBuffer<u32>,
    stream: Stream,
    info: DeviceInfo,
    context: Context,
}

impl Cuda {
    /// A backend over `dataset` on the first device that can be used, its parameters all 0 until [`Backend::load`].
    ///
    /// # Errors
    /// If there is no driver or device that serves, if the device's memory does not suffice, or if the kernels do not
    /// load.
    pub fn new(dataset: Arc<Dataset>) -> Result<Self, CudaError> {
        Self::with_schedule(dataset, Schedule::Cooperative)
    }

    /// [`Cuda::new`] with a schedule of choice. A device without cooperative launches takes [`Schedule::Graph`] anyway.
    ///
    /// # Errors
    /// As for [`Cuda::new`].
    pub fn with_schedule(dataset: Arc<Dataset>, schedule: Schedule) -> Result<Self, CudaError> {
        Self::on_device(dataset, schedule, None)
    }

    /// [`Cuda::with_schedule`] on the device of this number, in the driver's order.
    ///
    /// # Errors
    /// As for [`Cuda::new`]; also if there is no such device.
    pub fn on_device(dataset: Arc<Dataset>, schedule: Schedule, ordinal: Option<u32>) -> Result<Self, CudaError> {
        let (context, info) = device::open(ordinal)?;
        let device = info.to_string();
        Self::in_context(dataset, schedule, context, info)
            .map_err(|cause| CudaError::Device { device, cause: Box::new(cause) })
    }

    fn in_context(
        dataset: Arc<Dataset>,
        schedule: Schedule,
        context: Context,
        info: DeviceInfo,
    ) -> Result<Self, CudaError> {
        let schedule = if info.cooperative_launch { schedule } else { Schedule::Graph };
        let stream = Stream::new(StreamFlags::DEFAULT, None).map_err(CudaError::failed("creating a stream"))?;
        let chunk = kernels::evaluation_chunk(info.multiprocessors) as usize;
        Ok(Self {
            graphs: None,
            kernels: Kernels::load(schedule)?,
            train: DeviceSamples::new(&dataset.train)?,
            test: DeviceSamples::new(&dataset.test)?,
            state: DeviceState::new(&TrainingState::new(boxed_zeros()))?,
            order: Order::new(dataset.train.len())?,
            batch: BatchMemory::new(0)?,
            evaluation: EvaluationMemory::new(dataset.train.len().max(dataset.test.len()), chunk)?,
            failed_step: allocate("a flag", 1)?,
            arrived: allocate("a counter", 1)?,
            stream,
            info,
            context,
        })
    }

    /// Makes the device's context that of this thread, which need not be the one that created the backend.
    fn enter(&self) -> Result<(), CudaError> {
        CurrentContext::set_current(&self.context).map_err(CudaError::failed("entering the device's context"))
    }

    /// Grows the buffers that depend on the epoch.
    fn fit(&mut self, epoch: &Epoch<'_>) -> Result<(), CudaError> {
        let batch_length = epoch.batch_length.min(epoch.order.len());
        if batch_length > self.batch.batch_length {
            self.graphs = None;
            self.batch = BatchMemory::new(batch_length)?;
        }
        if epoch.order.len() > self.order.device.len() {
            self.graphs = None;
            self.order = Order::new(epoch.order.len())?;
        }
        Ok(())
    }

    /// The argument of the training kernels.
    fn training(&self, epoch: &Epoch<'_>) -> TrainingArguments {
        let [pool2, hidden, hidden_gradient, logits_gradient, conv_gradient] = self.batch.addresses();
        TrainingArguments {
            images: address(&self.train.images),
            labels: address(&self.train.labels),
            order: address(&self.order.device),
            parameters: address(&self.state.parameters),
            momentum: address(&self.state.momentum),
            fc1_transposed: address(&self.state.fc1_transposed),
            pool2,
            hidden,
            hidden_gradient,
            logits_gradient,
            conv_gradient,
            failed_step: address(&self.failed_step),
            arrived: address(&self.arrived),
            length: u32_of(epoch.order.len()),
            batch_length: u32_of(epoch.batch_length.min(epoch.order.len())),
            learning_rate: epoch.sgd.learning_rate,
            momentum_factor: epoch.sgd.momentum,
            weight_decay: epoch.sgd.weight_decay,
            layers: epoch.layers.bits().into(),
        }
    }

    /// Captures the graphs of an epoch, one for every launch, unless those of the last epoch serve.
    fn capture(
        &mut self,
        training: &TrainingArguments,
        samples: LoadedKernel,
        update: LoadedKernel,
    ) -> cust::error::CudaResult<()> {
        if self.graphs.as_ref().is_some_and(|(captured_for, _)| captured_for == training) {
            return Ok(());
        }
        self.graphs = None;
        let update_grid = kernels::update_grid(self.info.multiprocessors);
        let enqueue_step = |step: u32| {
            let mut arguments = arguments![*training, step];
            // SAFETY: the arguments are those of both kernels; the buffers live as long as the backend.
            unsafe {
                samples.launch(&self.stream, training.batch_length, &mut arguments)?;
                update.launch(&self.stream, update_grid, &mut arguments)
            }
        };
        let steps = training.length.div_ceil(training.batch_length);
        let graphs = (0..steps).step_by(STEPS_PER_LAUNCH).map(|first| {
            let end = steps.min(first + STEPS_PER_LAUNCH as u32);
            // SAFETY: `fit` drops the graphs before it replaces a buffer; all others live as long as the backend.
            unsafe { Graph::capture(&self.stream, || (first..end).try_for_each(enqueue_step)) }
        });
        self.graphs = Some((*training, graphs.collect::<Result<_, _>>()?));
        Ok(())
    }

    /// Enqueues a launch: steps `first` to `first + count − 1`.
    fn enqueue_steps(&mut self, training: &TrainingArguments, first: u32, count: u32) -> cust::error::CudaResult<()> {
        match self.kernels.train {
            TrainKernels::Phases { samples, update } => {
                self.capture(training, samples, update)?;
                let (_, graphs) = self.graphs.as_ref().expect("just captured");
                graphs[first as usize / STEPS_PER_LAUNCH].launch(&self.stream)
            }
            TrainKernels::Steps { steps } => {
                let multiprocessors = self.info.multiprocessors;
                let blocks = steps.blocks_per_multiprocessor;
                let grid = kernels::steps_grid(multiprocessors, blocks, training.batch_length);
                // SAFETY: the counter and all that `training` names live as long as the backend; the arguments are the
                // kernel's.
                unsafe {
                    self.arrived.set_32_async(0, &self.stream)?;
                    steps.launch_cooperative(&self.stream, grid, &mut arguments![*training, first, count])
                }
            }
        }
    }

    /// Enqueues everything of an epoch and awaits it, a few launches ahead.
    fn run_epoch(&mut self, epoch: &Epoch<'_>, progress: Progress<'_>) -> Result<(), BackendError> {
        const DURING: &str = "training";
        let training = self.training(epoch);
        let failed = CudaError::failed(DURING);
        self.order.enqueue(epoch.order, &self.stream).map_err(&failed)?;
        // SAFETY: the flag lives as long as the backend.
        unsafe { self.failed_step.set_32_async(NO_STEP, &self.stream) }.map_err(&failed)?;
        let steps = epoch.order.len().div_ceil(epoch.batch_length);
        let mut launches = Launches::new(DURING);
        for first in (0..steps).step_by(STEPS_PER_LAUNCH) {
            let end = (first + STEPS_PER_LAUNCH).min(steps);
            self.enqueue_steps(&training, u32_of(first), u32_of(end - first)).map_err(&failed)?;
            launches.enqueued(&self.stream, (end * epoch.batch_length).min(epoch.order.len()), progress)?;
        }
        launches.finish(progress)
    }

    /// The first step of the epoch that took a parameter out of range.
    fn failed_step(&self) -> Result<Option<usize>, CudaError> {
        let mut step = [NO_STEP];
        self.failed_step.copy_to(&mut step).map_err(CudaError::failed("training"))?;
        Ok((step[0] != NO_STEP).then_some(step[0] as usize))
    }

    /// Enqueues the evaluation of the samples from `first` on.
    fn enqueue_evaluation(&self, split: Split, first: u32, count: u32) -> cust::error::CudaResult<()> {
        let samples = self.samples(split);
        let memory = &self.evaluation;
        let images = address(&samples.images);
        let parameters = address(&self.state.parameters);
        let pool2 = address(&memory.pool2);
        let offset = DeviceAddress::from(first);
        let labels = address(&samples.labels) + offset;
        let losses = address(&memory.losses) + offset * size_of::<f32>() as DeviceAddress;
        let predictions = address(&memory.predictions) + offset;
        let fc1_transposed = address(&self.state.fc1_transposed);
        // SAFETY: the arguments are those of the kernels; `first + count` is at most the length of the split, for which
        // the buffers suffice, and `count` at most a chunk; the buffers live as long as the backend.
        unsafe {
            self.kernels.convolutions.launch(
                &self.stream,
                kernels::convolutions_grid(self.info.multiprocessors, count),
                &mut arguments![images, first, count, parameters, pool2],
            )?;
            self.kernels.classifier.launch(
                &self.stream,
                kernels::classifier_grid(count),
                &mut arguments![pool2, labels, count, parameters, fc1_transposed, losses, predictions],
            )
        }
    }

    fn samples(&self, split: Split) -> &DeviceSamples {
        match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        }
    }

    /// Copies the outcomes of a split from the device.
    fn read_outcomes(&self, outcomes: &mut [Outcome]) -> Result<(), CudaError> {
        let mut losses = vec![0.0f32; outcomes.len()];
        let mut predictions = vec![0u8; outcomes.len()];
        let memory = &self.evaluation;
        memory
            .losses
            .index(..outcomes.len())
            .copy_to(&mut losses[..])
            .and_then(|()| memory.predictions.index(..outcomes.len()).copy_to(&mut predictions[..]))
            .map_err(CudaError::failed("evaluating"))?;
        for ((outcome, loss), prediction) in outcomes.iter_mut().zip(losses).zip(predictions) {
            *outcome = Outcome { loss, prediction };
        }
        Ok(())
    }
}

impl Backend for Cuda {
    fn description(&self) -> String {
        let DeviceInfo { ordinal, name, compute_capability: (major, minor), multiprocessors, .. } = &self.info;
        let schedule = match self.kernels.train {
            TrainKernels::Steps { .. } => "cooperative launches",
            TrainKernels::Phases { .. } => "graphs",
        };
        format!(
            "cuda:{ordinal} ({name}, compute capability {major}.{minor}, {multiprocessors} multiprocessors, {schedule})"
        )
    }

    fn load(&mut self, state: &TrainingState) -> Result<(), BackendError> {
        self.try_load(state).map_err(|error| self.named(error))
    }

    fn state(&mut self) -> Result<TrainingState, BackendError> {
        self.try_state().map_err(|error| self.named(error))
    }

    fn train_epoch(&mut self, epoch: Epoch<'_>, progress: Progress<'_>) -> Result<(), BackendError> {
        self.try_train_epoch(epoch, progress).map_err(|error| self.named(error))
    }

    fn evaluate(&mut self, split: Split, outcomes: &mut [Outcome], progress: Progress<'_>) -> Result<(), BackendError> {
        self.try_evaluate(split, outcomes, progress).map_err(|error| self.named(error))
    }
}

/// What [`Backend`] asks for, without the device's name in the errors.
impl Cuda {
    /// The error with the device's name.
    fn named(&self, error: BackendError) -> BackendError {
        match error {
            BackendError::Device { message } => {
                BackendError::Device { message: format!("{}: {message}; {ANOTHER_GPU}", self.info) }
            }
            other => other,
        }
    }

    fn try_load(&mut self, state: &TrainingState) -> Result<(), BackendError> {
        self.enter()?;
        Ok(self.state.load(state)?)
    }

    fn try_state(&mut self) -> Result<TrainingState, BackendError> {
        self.enter()?;
        Ok(self.state.read()?)
    }

    fn try_train_epoch(&mut self, epoch: Epoch<'_>, progress: Progress<'_>) -> Result<(), BackendError> {
        assert!(epoch.batch_length > 0, "a step needs at least one image");
        let length = self.train.length;
        assert!(epoch.order.iter().all(|&index| (index as usize) < length), "an index lies outside the split");
        if epoch.order.is_empty() {
            return Ok(());
        }
        self.enter()?;
        self.fit(&epoch)?;
        let result = self.run_epoch(&epoch, progress);
        // However it ended, nothing of the epoch may still be under way when the caller goes on.
        self.stream.synchronize().map_err(CudaError::failed("training"))?;
        match self.failed_step()? {
            Some(step) => Err(BackendError::Diverged { step }),
            None => result,
        }
    }

    fn try_evaluate(
        &mut self,
        split: Split,
        outcomes: &mut [Outcome],
        progress: Progress<'_>,
    ) -> Result<(), BackendError> {
        const DURING: &str = "evaluating";
        let length = self.samples(split).length;
        assert_eq!(outcomes.len(), length, "one outcome for each sample");
        self.enter()?;
        let chunk = kernels::evaluation_chunk(self.info.multiprocessors) as usize;
        let mut launches = Launches::new(DURING);
        for first in (0..length).step_by(chunk) {
            let end = (first + chunk).min(length);
            self.enqueue_evaluation(split, u32_of(first), u32_of(end - first)).map_err(CudaError::failed(DURING))?;
            launches.enqueued(&self.stream, end, progress)?;
        }
        launches.finish(progress)?;
        Ok(self.read_outcomes(outcomes)?)
    }
}

/// Launches under way: how many samples are done when each has ended.
struct Launches {
    during: &'static str,
    under_way: VecDeque<(Event, usize)>,
}

impl Launches {
    fn new(during: &'static str) -> Self {
        Self { during, under_way: VecDeque::new() }
    }

    /// Notes a launch, then awaits the oldest if there are enough.
    fn enqueued(&mut self, stream: &Stream, done: usize, progress: Progress<'_>) -> Result<(), BackendError> {
        let event = Event::new(EventFlags::DISABLE_TIMING)
            .and_then(|event| event.record(stream).map(|()| event))
            .map_err(CudaError::failed(self.during))?;
        self.under_way.push_back((event, done));
        while self.under_way.len() > LAUNCHES_AHEAD {
            self.await_oldest(progress)?;
        }
        Ok(())
    }

    fn finish(mut self, progress: Progress<'_>) -> Result<(), BackendError> {
        while !self.under_way.is_empty() {
            self.await_oldest(progress)?;
        }
        Ok(())
    }

    fn await_oldest(&mut self, progress: Progress<'_>) -> Result<(), BackendError> {
        if let Some((event, done)) = self.under_way.pop_front() {
            event.synchronize().map_err(CudaError::failed(self.during))?;
            if progress(done).is_break() {
                return Err(BackendError::Interrupted);
            }
        }
        Ok(())
    }
}

/// A number of samples or steps as kernels count them.
///
/// # Panics
/// If it does not fit: data sets have far fewer than 2³² samples.
fn u32_of(count: usize) -> u32 {
    u32::try_from(count).expect("fewer than 2³² samples")
}
