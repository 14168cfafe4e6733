//! The processor at its full speed: vectors, threads and memory layouts, and the bits of `cnn_core`.
//!
//! | file | subject |
//! |---|---|
//! | `simd` | what a vector is at each level; `simd/dispatch.rs` chooses the level at run time |
//! | `kernels` | the hot loops, each written once |
//! | `layout` | parameters and activations in the order the loops read them |
//! | `forward` | evaluation of a block of images |
//! | `step` | a training step in its two parallel phases |
//!
//! Threads share a batch by images first and by parameters second. Each image's results have places of their own, and
//! the sums over the batch are formed per parameter in batch order: the number of threads cannot change a bit.

pub mod forward;
pub mod kernels;
pub mod layout;
pub mod simd;
pub mod step;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use self::forward::{EvaluationScratch, IMAGES_OF_EVALUATION};
use self::simd::dispatch::Dispatch;
pub use self::simd::dispatch::{SimdLevel, UnknownSimdLevel};
use self::step::Network;
use super::{Backend, BackendError, Epoch, Outcome, Progress, TrainingState};
use crate::dataset::{Dataset, Split};

/// How often the calling thread reports progress while the pool works.
const REPORT_INTERVAL: Duration = Duration::from_millis(20);

/// What to run on; by default all physical cores and the widest vectors of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuOptions {
    /// Number of threads, at least 1; more than images is not an error.
    pub threads: Option<usize>,
    /// The instruction set of the vector loops.
    pub simd: Option<SimdLevel>,
}

/// Why the backend cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    /// The level asked for is not one of this machine's.
    #[error("this processor cannot run the SIMD level '{level}'; it has {available}")]
    UnavailableLevel {
        /// What was asked for.
        level: SimdLevel,
        /// What there is, as a list for people.
        available: String,
    },
    /// Zero threads were asked for.
    #[error("0 threads cannot compute anything; ask for at least 1")]
    NoThreads,
    /// The system refuses the threads.
    #[error("the system does not start {threads} threads: {source}; ask for fewer")]
    Threads {
        /// What was asked for.
        threads: usize,
        /// The reason that the system gives.
        source: rayon::ThreadPoolBuildError,
    },
}

/// The vectorised, threaded backend.
pub struct Cpu {
    dataset: Arc<Dataset>,
    level: SimdLevel,
    /// Kept alive over the run.
    pool: ThreadPool,
    network: Network,
    /// One for each thread of the pool.
    evaluation_scratch: Vec<Mutex<EvaluationScratch>>,
}

impl Cpu {
    /// A backend over `dataset`, its parameters all 0 until [`Backend::load`].
    ///
    /// # Errors
    /// If the options ask for what the machine does not have.
    pub fn new(dataset: Arc<Dataset>, options: CpuOptions) -> Result<Self, CpuError> {
        let level = match options.simd {
            Some(level) => level,
            None => SimdLevel::available().next().expect("every machine has the portable level"),
        };
        let dispatch = Dispatch::new(level).ok_or_else(|| CpuError::UnavailableLevel {
            level,
            available: SimdLevel::available().map(SimdLevel::name).collect::<Vec<_>>().join(", "),
        })?;
        let threads = options.threads.unwrap_or_else(physical_cores);
        if threads == 0 {
            return Err(CpuError::NoThreads);
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("cpu-{index}"))
            .build()
            .map_err(|source| CpuError::Threads { threads, source })?;
        Ok(Self {
            dataset,
            level,
            network: Network::new(dispatch, threads),
            evaluation_scratch: (0..threads).map(|_| Mutex::default()).collect(),
            pool,
        })
    }
}

/// The physical cores that this process may use: two threads of one core would share its vector units.
fn physical_cores() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    num_cpus::get_physical().clamp(1, allowed)
}

impl Backend for Cpu {
    fn description(&self) -> String {
        let threads = self.pool.current_num_threads();
        format!("cpu ({}, {threads} thread{})", self.level, if threads == 1 { "" } else { "s" })
    }

    fn load(&mut self, state: &TrainingState) -> Result<(), BackendError> {
        self.network.load(state);
        Ok(())
    }

    fn state(&mut self) -> Result<TrainingState, BackendError> {
        Ok(self.network.state())
    }

    fn train_epoch(&mut self, epoch: Epoch<'_>, progress: Progress<'_>) -> Result<(), BackendError> {
        let Self { dataset, pool, network, .. } = self;
        let samples = &dataset.train;
        network.reserve(epoch.batch_length.min(epoch.order.len()));
        run_reporting(pool, progress, |watch| {
            for (step, batch) in epoch.order.chunks(epoch.batch_length).enumerate() {
                network.step(&epoch.sgd, samples, batch).map_err(|_| BackendError::NonFiniteLoss { step })?;
                watch.add(batch.len())?;
            }
            Ok(())
        })
    }

    fn evaluate(&mut self, split: Split, outcomes: &mut [Outcome], progress: Progress<'_>) -> Result<(), BackendError> {
        let Self { dataset, pool, network, evaluation_scratch, .. } = self;
        let samples = dataset.split(split);
        assert_eq!(outcomes.len(), samples.len(), "one outcome for each sample");
        run_reporting(pool, progress, |watch| {
            let images = samples.images().par_chunks(IMAGES_OF_EVALUATION);
            let labels = samples.labels().par_chunks(IMAGES_OF_EVALUATION);
            let outcomes = outcomes.par_chunks_mut(IMAGES_OF_EVALUATION);
            (images, labels, outcomes).into_par_iter().try_for_each(|(images, labels, outcomes)| {
                let scratch = &mut *scratch_of_thread(evaluation_scratch);
                forward::evaluate(network, scratch, images, labels, outcomes);
                watch.add(images.len())
            })
        })
    }
}

/// The scratch memory of the pool's thread that calls this. No two threads share one, so nobody ever waits.
fn scratch_of_thread<T>(scratch: &[Mutex<T>]) -> std::sync::MutexGuard<'_, T> {
    let index = rayon::current_thread_index().expect("work runs in the pool");
    // A panic of the past left nothing in it that anyone reads.
    scratch[index].lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Between the pool, which counts samples, and the calling thread, which reports them.
#[derive(Default)]
struct Watch {
    done: AtomicUsize,
    stop: AtomicBool,
}

impl Watch {
    /// Counts samples.
    ///
    /// # Errors
    /// [`BackendError::Interrupted`] if the work is to stop.
    fn add(&self, samples: usize) -> Result<(), BackendError> {
        self.done.fetch_add(samples, Ordering::Relaxed);
        if self.stop.load(Ordering::Relaxed) { Err(BackendError::Interrupted) } else { Ok(()) }
    }
}

/// Runs `work` in the pool while the calling thread tells `progress` now and then how far it is, at least once at the
/// end.
fn run_reporting(
    pool: &ThreadPool,
    progress: Progress<'_>,
    work: impl FnOnce(&Watch) -> Result<(), BackendError> + Send,
) -> Result<(), BackendError> {
    let watch = Watch::default();
    let mut result = Ok(());
    pool.in_place_scope(|scope| {
        let (finished, wait) = sync_channel::<()>(1);
        let (watch, result) = (&watch, &mut result);
        scope.spawn(move |_| {
            // Dropped at the end, by a panic too: that is what ends the wait below.
            let _finished = finished;
            *result = work(watch);
        });
        while wait.recv_timeout(REPORT_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            if progress(watch.done.load(Ordering::Relaxed)).is_break() {
                watch.stop.store(true, Ordering::Relaxed);
            }
        }
    });
    result?;
    match progress(watch.done.into_inner()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(BackendError::Interrupted),
    }
}
