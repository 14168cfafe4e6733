//! The processor at its full speed: vectors, threads and memory layouts, and the bits of `cnn_core`.
//!
//! | file | subject |
//! |---|---|
//! | `simd` | what a vector is at each level; `simd/dispatch.rs` chooses the level at run time |
//! | `kernels` | the hot loops, each written once |
//! | `layout` | parameters and activations in the order the loops read them |
//! | `forward` | evaluation of a block of images |
//! | `pieces` | the pieces of the network's state |
//! | `network` | all of them, as threads share them |
//! | `step` | training steps in their two parallel phases |
//! | `team` | how threads share work, meet, and take turns |
//!
//! Threads share a batch by images first and by parameters second. Sums over the batch are formed in batch order, by
//! turns in the first phase and per parameter in the second: the number of threads cannot change a bit.

pub mod forward;
pub mod kernels;
pub mod layout;
pub mod network;
pub mod pieces;
pub mod simd;
pub mod step;
pub mod team;

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use self::forward::{EvaluationScratch, IMAGES_OF_EVALUATION};
use self::network::SharedNetwork;
use self::pieces::Panels;
use self::simd::dispatch::Dispatch;
pub use self::simd::dispatch::SimdLevel;
use self::step::{BatchSums, Scratch, SharedEpoch};
use self::team::{Member, Team};
use super::{Backend, BackendError, Epoch, Outcome, Progress, TrainingState};
use crate::dataset::{Dataset, Split};
use crate::float_environment;
use crate::threads;

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
    #[error("the system does not start {threads} threads: {cause}; ask for fewer")]
    Threads {
        /// What was asked for.
        threads: usize,
        /// The reason that the system gives.
        cause: ThreadPoolBuildError,
    },
}

/// The vectorised, threaded backend.
pub struct Cpu {
    dataset: Arc<Dataset>,
    level: SimdLevel,
    /// Kept alive over the run; none for one thread, which is the calling one.
    pool: Option<ThreadPool>,
    fewer_threads: Option<FewerThreads>,
    network: SharedNetwork,
    sums: RwLock<BatchSums>,
    /// One for each thread.
    scratch: Vec<Mutex<ThreadScratch>>,
}

/// What a thread needs beside the network.
struct ThreadScratch {
    panels: Box<Panels>,
    training: Scratch,
    evaluation: EvaluationScratch,
}

impl Default for ThreadScratch {
    fn default() -> Self {
        // The panels are too large to be made on the stack first, as an unoptimised build would.
        Self { panels: bytemuck::zeroed_box(), training: Scratch::default(), evaluation: EvaluationScratch::default() }
    }
}

impl Cpu {
    /// A backend over `dataset`, its parameters all 0 until [`Backend::load`].
    ///
    /// # Errors
    /// If the options ask for what the machine does not have.
    pub fn new(dataset: Arc<Dataset>, options: CpuOptions) -> Result<Self, CpuError> {
        let (level, dispatch) = level(options.simd)?;
        let (pool, fewer_threads) = match options.threads {
            Some(0) => return Err(CpuError::NoThreads),
            Some(threads) => (pool_of(threads).map_err(|cause| CpuError::Threads { threads, cause })?, None),
            None => pool_of_at_most(physical_cores()),
        };
        let threads = pool.as_ref().map_or(1, ThreadPool::current_num_threads);
        Ok(Self {
            dataset,
            level,
            fewer_threads,
            network: SharedNetwork::new(dispatch),
            sums: RwLock::default(),
            scratch: (0..threads).map(|_| Mutex::default()).collect(),
            pool,
        })
    }
}

/// The level asked for, or the widest of the machine.
///
/// # Errors
/// If the machine does not have it.
pub(crate) fn level(asked: Option<SimdLevel>) -> Result<(SimdLevel, Dispatch), CpuError> {
    let level = match asked {
        Some(level) => level,
        None => SimdLevel::available().next().expect("every machine has the portable level"),
    };
    let dispatch = Dispatch::new(level).ok_or_else(|| CpuError::UnavailableLevel {
        level,
        available: SimdLevel::available().map(SimdLevel::name).collect::<Vec<_>>().join(", "),
    })?;
    Ok((level, dispatch))
}

/// The threads that work beside the calling one; none for one thread, which is the calling one itself.
fn pool_of(threads: usize) -> Result<Option<ThreadPool>, ThreadPoolBuildError> {
    if threads == 1 {
        return Ok(None);
    }
    ThreadPoolBuilder::new().num_threads(threads).thread_name(|index| format!("cpu-{index}")).build().map(Some)
}

/// [`pool_of`] so many threads, or of those that the system starts.
fn pool_of_at_most(wanted: usize) -> (Option<ThreadPool>, Option<FewerThreads>) {
    let mut threads = wanted;
    while threads > 1 {
        match threads::startable(threads) {
            enough if enough == threads => match pool_of(threads) {
                Ok(pool) => return (pool, (threads < wanted).then_some(FewerThreads { wanted, started: threads })),
                Err(_) => threads /= 2,
            },
            // One is left for the checkpoints.
            fewer => threads = fewer.saturating_sub(1),
        }
    }
    (None, (wanted > 1).then_some(FewerThreads { wanted, started: 1 }))
}

/// The system starts fewer threads than there are cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the system starts no more than {started} of {wanted} threads (a limit on processes?); the CPU backend is slower"
)]
pub struct FewerThreads {
    /// Threads that there would be otherwise.
    pub wanted: usize,
    /// Threads that there are.
    pub started: usize,
}

/// The physical cores that this process may use: two threads of one core would share its vector units.
pub(crate) fn physical_cores() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    num_cpus::get_physical().clamp(1, allowed)
}

impl Cpu {
    /// That there are fewer threads than cores, if it is so and no number was asked for.
    pub fn fewer_threads(&self) -> Option<FewerThreads> {
        self.fewer_threads
    }
}

impl Backend for Cpu {
    fn description(&self) -> String {
        let threads = self.scratch.len();
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
        let batch_length = epoch.batch_length.min(epoch.order.len());
        self.sums.get_mut().unwrap_or_else(PoisonError::into_inner).reserve(batch_length);
        let training = SharedEpoch::new(&self.network, &self.dataset.train, epoch, &self.sums);
        self.run_reporting(progress, |member, scratch, done| {
            let ThreadScratch { panels, training: scratch, .. } = scratch;
            training.run(member, scratch, panels, done)
        })
    }

    fn evaluate(&mut self, split: Split, outcomes: &mut [Outcome], progress: Progress<'_>) -> Result<(), BackendError> {
        let samples = self.dataset.split(split);
        assert_eq!(outcomes.len(), samples.len(), "one outcome for each sample");
        let images = samples.images().chunks(IMAGES_OF_EVALUATION);
        let labels = samples.labels().chunks(IMAGES_OF_EVALUATION);
        let work = Mutex::new(images.zip(labels).zip(outcomes.chunks_mut(IMAGES_OF_EVALUATION)));
        let network = self.network.read();
        self.run_reporting(progress, |_, scratch, done| {
            let forward = self.network.forward(&network, &mut scratch.panels);
            loop {
                let next = lock(&work).next();
                let Some(((images, labels), outcomes)) = next else { return Ok(()) };
                forward.evaluate(&mut scratch.evaluation, images, labels, outcomes);
                done(images.len())?;
            }
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic of the past ended what was going on then, and left nothing behind that anyone reads.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the number of samples that are done since it was last called; an error ends the work.
type Done<'a> = &'a dyn Fn(usize) -> Result<(), BackendError>;

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

impl Cpu {
    /// Runs `work` on every thread, and tells `progress` now and then how far it is, at least once at the end. The work
    /// says how many samples are done, and ends if that is an error.
    fn run_reporting(
        &self,
        progress: Progress<'_>,
        work: impl Fn(&Member<'_>, &mut ThreadScratch, Done<'_>) -> Result<(), BackendError> + Sync,
    ) -> Result<(), BackendError> {
        let done = match &self.pool {
            Some(pool) => self.run_on(pool, progress, work),
            None => self.run_here(progress, work),
        }?;
        match progress(done) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(BackendError::Interrupted),
        }
    }

    /// One thread does: the calling one works, and reports between two steps. Returns the samples done.
    fn run_here(
        &self,
        progress: Progress<'_>,
        work: impl Fn(&Member<'_>, &mut ThreadScratch, Done<'_>) -> Result<(), BackendError>,
    ) -> Result<usize, BackendError> {
        float_environment::establish()?;
        let reported = RefCell::new((0, progress));
        let report = |samples| {
            let (done, progress) = &mut *reported.borrow_mut();
            *done += samples;
            if progress(*done).is_break() { Err(BackendError::Interrupted) } else { Ok(()) }
        };
        work(&Team::new(1).join(0), &mut lock(&self.scratch[0]), &report)?;
        Ok(reported.into_inner().0)
    }

    /// The threads of the pool work, the calling one reports. Returns the samples done.
    fn run_on(
        &self,
        pool: &ThreadPool,
        progress: Progress<'_>,
        work: impl Fn(&Member<'_>, &mut ThreadScratch, Done<'_>) -> Result<(), BackendError> + Sync,
    ) -> Result<usize, BackendError> {
        let watch = Watch::default();
        let result = Mutex::new(Ok(()));
        let team = Team::new(pool.current_num_threads());
        pool.in_place_scope(|scope| {
            let (finished, wait) = sync_channel::<()>(1);
            let (watch, result, team, work) = (&watch, &result, &team, &work);
            scope.spawn_broadcast(move |_, context| {
                // Dropped at the end, by a panic too: that is what ends the wait below.
                let _finished = &finished;
                let scratch = &mut lock(&self.scratch[context.index()]);
                let member = team.join(context.index());
                let established = float_environment::establish().map_err(BackendError::from);
                let done = |samples| watch.add(samples);
                if let Err(error) = established.and_then(|()| work(&member, scratch, &done)) {
                    *lock(result) = Err(error);
                }
            });
            while wait.recv_timeout(REPORT_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if progress(watch.done.load(Ordering::Relaxed)).is_break() {
                    watch.stop.store(true, Ordering::Relaxed);
                }
            }
        });
        result.into_inner().unwrap_or_else(PoisonError::into_inner)?;
        Ok(watch.done.into_inner())
    }
}
