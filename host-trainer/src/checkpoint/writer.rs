//! Writes checkpoints, and now and then the run's other files, on a thread of its own while the next epoch trains.

use std::fs;
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use cnn_train::backend::TrainingState;
use cnn_train::checkpoint::Checkpoint;
use cnn_train::dataset::Dataset;
use cnn_train::recipe::Recipe;
use cnn_train::trainer::{EpochReport, Run};

use super::folder::{FOLDER, file_name, may_replace, set_aside};
use crate::files::{FileError, create_folder, exists, write_whole};
use crate::init::Init;
use crate::lock::FolderLock;
use crate::report::record::Status;
use crate::report::{self, RunContext, Snapshot};

/// States that may wait for the disk before the run waits too.
const WAITING: usize = 2;
/// How many of the newest checkpoints stay: should one be damaged on the disk, the one before it is there.
const KEPT: usize = 2;
/// The run's other files are brought up to date no more often than this.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);
/// And no more than this share of the time is spent on it: another thread may want the core.
const FOLLOW_SHARE: u32 = 100;

/// What is written where.
#[derive(Debug)]
pub struct Plan {
    /// The output folder. It and the one of the checkpoints in it are made if they are not there.
    pub out: PathBuf,
    /// A checkpoint follows every so many epochs, and the last epoch of the run; none if there is no number.
    pub every: Option<NonZeroU32>,
    /// Whether older checkpoints of this run stay.
    pub keep_all: bool,
    /// Files that are removed as soon as the first checkpoint is safe. A checkpoint among them is removed if it is whole
    /// and of this run, or of any with [`Plan::overwrite`]; otherwise it gets another name.
    pub replaced: Vec<PathBuf>,
    /// Whether another run is to be replaced.
    pub overwrite: bool,
    /// What keeps other runs out of the output folder.
    pub lock: Option<Arc<FolderLock>>,
    /// How the model, the plots, the table and the record follow the run, if they do.
    pub follow: Option<Follow>,
}

/// What the files that follow a run need to know of it.
#[derive(Debug)]
pub struct Follow {
    /// The recipe.
    pub settings: Recipe,
    /// What the run was given to start from, if it was.
    pub init: Option<Arc<Init>>,
    /// The data.
    pub dataset: Arc<Dataset>,
    /// Seconds that the run took before it was resumed.
    pub earlier: f64,
    /// When it began or was resumed.
    pub begin: Instant,
    /// The epochs that the files there have, if they are of this run: they are not replaced by those of fewer.
    pub beyond: u32,
}

impl Plan {
    fn checkpoints(&self) -> PathBuf {
        self.out.join(FOLDER)
    }

    /// Makes the output folder, if somebody removed it, and keeps other runs out.
    fn prepare(&self) -> Result<(), FileError> {
        self.lock.as_ref().map_or_else(|| create_folder(&self.out), |lock| lock.prepare())
    }
}

/// A checkpoint could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{cause}; {}", saved.as_ref().map_or_else(
    || "no checkpoint of this run is saved".into(),
    |(epoch, path)| format!("epochs 1 to {epoch} are saved in {}, from where the run can go on", path.display())))]
pub struct WriteError {
    /// The file and what is wrong with it.
    pub cause: FileError,
    /// The last checkpoint that is safe.
    pub saved: Option<(u32, PathBuf)>,
}

/// What is new since the last state that was handed over.
struct Unwritten {
    epochs: Vec<EpochReport>,
    state: TrainingState,
    /// Whether it is to be a checkpoint.
    checkpoint: bool,
}

/// The run's side: hands over what is new.
#[derive(Debug)]
pub struct Writer {
    every: Option<NonZeroU32>,
    /// When a state was last handed over; nothing if no files follow the run.
    followed: Option<Instant>,
    /// Epochs since the last one that was handed over.
    pending: Vec<EpochReport>,
    /// The last epoch that is, or was handed over to become, a checkpoint.
    checkpoint: u32,
    side: Side,
}

/// Who writes.
#[derive(Debug)]
enum Side {
    Thread {
        sender: SyncSender<Unwritten>,
        thread: JoinHandle<Result<(), WriteError>>,
    },
    /// The run itself: the system starts no more threads.
    Here(Box<Files>),
    /// Nobody any more.
    Ended,
}

impl Writer {
    /// A writer for a run that goes on from `start`. If that has epochs, its last one is the newest checkpoint in the
    /// folder.
    pub fn start(plan: Plan, start: Checkpoint) -> Self {
        let (every, checkpoint) = (plan.every, start.epoch());
        let followed = plan.follow.as_ref().map(|_| Instant::now());
        // The thread that is refused does not give its work back, so it gets it when it runs.
        let (sender, receiver) = sync_channel(WAITING);
        let (give, take) = sync_channel::<Box<Files>>(1);
        let files = Box::new(Files::new(plan, start));
        let thread = Builder::new()
            .name("checkpoints".into())
            .spawn(move || take.recv().map_or(Ok(()), |files| files.write_all(&receiver)));
        let side = match thread {
            Ok(thread) => match give.send(files) {
                Ok(()) => Side::Thread { sender, thread },
                Err(unsent) => Side::Here(unsent.0),
            },
            Err(_) => Side::Here(files),
        };
        Self { every, followed, pending: Vec::new(), checkpoint, side }
    }

    /// Has the state after an epoch written, if its turn has come.
    ///
    /// # Errors
    /// If an earlier checkpoint could not be written.
    pub fn keep(&mut self, report: &EpochReport, state: &TrainingState) -> Result<(), WriteError> {
        self.pending.push(*report);
        if matches!(&self.side, Side::Thread { thread, .. } if thread.is_finished()) {
            self.join()?;
        }
        if self.every.is_some_and(|every| report.metrics.epoch.is_multiple_of(every.get())) {
            return self.hand_over(state);
        }
        if self.followed.is_some_and(|followed| followed.elapsed() >= FOLLOW_INTERVAL) {
            return self.offer(state);
        }
        Ok(())
    }

    /// Has the last epoch written, if it was not, and waits until all is safe.
    ///
    /// # Errors
    /// If a checkpoint could not be written; one that [`Writer::keep`] told of is not told again.
    pub fn finish(mut self, run: &Run) -> Result<(), WriteError> {
        if self.every.is_some() && self.checkpoint < run.epochs.len() as u32 {
            self.hand_over(&run.state)?;
        }
        self.join()
    }

    /// What is new since the last state that was handed over.
    fn unwritten(&mut self, state: &TrainingState, checkpoint: bool) -> Unwritten {
        Unwritten { epochs: std::mem::take(&mut self.pending), state: state.clone(), checkpoint }
    }

    /// Hands over a checkpoint; waits if the disk is slower than the run.
    fn hand_over(&mut self, state: &TrainingState) -> Result<(), WriteError> {
        if matches!(self.side, Side::Ended) {
            return Ok(());
        }
        let unwritten = self.unwritten(state, true);
        self.checkpoint = unwritten.epochs.last().map_or(self.checkpoint, |report| report.metrics.epoch);
        self.followed = self.followed.map(|_| Instant::now());
        match &mut self.side {
            // The thread has gone only if it failed.
            Side::Thread { sender, .. } => match sender.send(unwritten) {
                Ok(()) => Ok(()),
                Err(_) => self.join(),
            },
            Side::Here(files) => files.take(unwritten).inspect_err(|_| self.side = Side::Ended),
            Side::Ended => Ok(()),
        }
    }

    /// Hands over a state for the files that follow the run, unless others are waiting.
    fn offer(&mut self, state: &TrainingState) -> Result<(), WriteError> {
        let unwritten = self.unwritten(state, false);
        match &mut self.side {
            Side::Thread { sender, .. } => match sender.try_send(unwritten) {
                Ok(()) => self.followed = Some(Instant::now()),
                Err(TrySendError::Full(unwritten) | TrySendError::Disconnected(unwritten)) => {
                    self.pending = unwritten.epochs;
                }
            },
            Side::Here(files) => {
                files.take(unwritten)?;
                self.followed = Some(Instant::now());
            }
            Side::Ended => {}
        }
        Ok(())
    }

    fn join(&mut self) -> Result<(), WriteError> {
        let Side::Thread { sender, thread } = std::mem::replace(&mut self.side, Side::Ended) else { return Ok(()) };
        drop(sender);
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// The side of the files.
#[derive(Debug)]
struct Files {
    plan: Plan,
    checkpoint: Checkpoint,
    /// The epochs of this run's checkpoints, oldest first.
    written: Vec<u32>,
    /// When the other files may follow again.
    follow_from: Instant,
}

impl Files {
    fn new(plan: Plan, start: Checkpoint) -> Self {
        let written = if start.epochs.is_empty() { Vec::new() } else { vec![start.epoch()] };
        Self { plan, checkpoint: start, written, follow_from: Instant::now() + FOLLOW_INTERVAL }
    }

    fn write_all(mut self: Box<Self>, receiver: &Receiver<Unwritten>) -> Result<(), WriteError> {
        receiver.iter().try_for_each(|unwritten| self.take(unwritten))
    }

    fn take(&mut self, Unwritten { epochs, state, checkpoint }: Unwritten) -> Result<(), WriteError> {
        self.checkpoint.epochs.extend(epochs);
        self.checkpoint.state = state;
        if checkpoint {
            self.write().map_err(|cause| {
                let saved = self.written.last().map(|&epoch| (epoch, self.path(epoch)));
                WriteError { cause, saved }
            })?;
        }
        self.follow();
        Ok(())
    }

    fn write(&mut self) -> Result<(), FileError> {
        let epoch = self.checkpoint.epoch();
        let path = self.path(epoch);
        self.plan.prepare()?;
        create_folder(&self.plan.checkpoints())?;
        if self.plan.replaced.contains(&path) && exists(&path) && !self.may_replace(&path) {
            set_aside(&path)?;
        }
        write_whole(&path, &self.checkpoint.to_bytes())?;
        self.written.push(epoch);
        self.plan.replaced.retain(|replaced| *replaced != path);
        self.remove_old();
        Ok(())
    }

    /// Removes what is no longer needed now that a newer checkpoint is safe. What cannot be removed does no harm: it is
    /// tried again next time.
    fn remove_old(&mut self) {
        let folder = self.plan.checkpoints();
        let mut replaced = std::mem::take(&mut self.plan.replaced);
        replaced.retain(|path| {
            let aside = path.parent() == Some(&folder) && exists(path) && !self.may_replace(path);
            if aside { set_aside(path).is_err() } else { !removed(path) }
        });
        self.plan.replaced = replaced;
        if self.plan.keep_all {
            return;
        }
        let mut newest = self.written.split_off(self.written.len().saturating_sub(KEPT));
        self.written.retain(|&epoch| !removed(&folder.join(file_name(epoch))));
        self.written.append(&mut newest);
    }

    fn may_replace(&self, path: &Path) -> bool {
        may_replace(path, (!self.plan.overwrite).then_some(&self.checkpoint))
    }

    /// Brings the run's other files up to date. A file that cannot be written is no reason to end the run: its end says
    /// so, if it is still so then, and until then the checkpoints have all.
    fn follow(&mut self) {
        let Self { plan, checkpoint, .. } = self;
        let Some(Follow { settings, init, dataset, earlier, begin, beyond }) = &plan.follow else { return };
        let start = Instant::now();
        // The files of the end are the run's own to write.
        if start < self.follow_from || !(*beyond + 1..settings.epochs).contains(&checkpoint.epoch()) {
            return;
        }
        let run = Snapshot {
            initial_fingerprint: checkpoint.initial_fingerprint,
            epochs: &checkpoint.epochs,
            parameters: &checkpoint.state.parameters,
            status: Status::Unfinished,
        };
        let context = RunContext {
            settings,
            init: init.as_deref(),
            dataset,
            backend: checkpoint.backends.join("; "),
            seconds: earlier + begin.elapsed().as_secs_f64(),
        };
        if plan.prepare().is_ok() {
            let _ = report::write(&plan.out, run, &context);
        }
        self.follow_from = start + FOLLOW_INTERVAL.max(start.elapsed() * FOLLOW_SHARE);
    }

    fn path(&self, epoch: u32) -> PathBuf {
        self.plan.checkpoints().join(file_name(epoch))
    }
}

fn removed(path: &Path) -> bool {
    fs::remove_file(path).map_or_else(|error| error.kind() == ErrorKind::NotFound, |()| true)
}

#[cfg(test)]
mod tests {
    use cnn_train::fingerprint::Fingerprint;

    use super::super::folder::list;
    use super::super::tests::checkpoint;
    use super::*;

    /// The start of a run of many epochs.
    fn start() -> Checkpoint {
        let mut start = checkpoint();
        start.settings.epochs = 100;
        start.epochs.clear();
        start
    }

    fn plan(folder: &Path, every: u32, keep_all: bool) -> Plan {
        Plan {
            out: folder.into(),
            every: NonZeroU32::new(every),
            keep_all,
            replaced: Vec::new(),
            overwrite: true,
            lock: None,
            follow: None,
        }
    }

    fn report(epoch: u32, state: &TrainingState) -> EpochReport {
        let mut report = checkpoint().epochs[0];
        report.metrics.epoch = epoch;
        report.fingerprint = Fingerprint::of(&state.parameters);
        report
    }

    /// A run whose first parameter counts its epochs.
    fn run_of(epochs: u32) -> Run {
        let mut run = Run::from(start());
        for epoch in 1..=epochs {
            run.state.parameters[0] = epoch as f32;
            run.epochs.push(report(epoch, &run.state));
        }
        run
    }

    fn written(plan: Plan, epochs: u32) -> Vec<u32> {
        let folder = plan.checkpoints();
        let mut writer = Writer::start(plan, start());
        for epoch in 1..=epochs {
            let run = run_of(epoch);
            writer.keep(&run.epochs[epoch as usize - 1], &run.state).unwrap();
        }
        writer.finish(&run_of(epochs)).unwrap();
        let mut epochs: Vec<u32> = list(&folder).unwrap().into_iter().map(|(epoch, _)| epoch).collect();
        epochs.reverse();
        epochs
    }

    #[test]
    fn every_nth_epoch_and_the_last_are_written_and_the_newest_two_stay() {
        for (every, keep_all, expected) in [
            (1, false, &[6, 7][..]),
            (1, true, &[1, 2, 3, 4, 5, 6, 7]),
            (3, false, &[6, 7]),
            (3, true, &[3, 6, 7]),
            (7, true, &[7]),
            (100, false, &[7]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            assert_eq!(written(plan(folder.path(), every, keep_all), 7), expected, "every {every}, all: {keep_all}");
        }
    }

    #[test]
    fn a_checkpoint_holds_all_epochs_and_the_state_after_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(folder.path(), 2, true);
        written(plan, 5);
        for epoch in [2, 4, 5] {
            let bytes = fs::read(folder.path().join("checkpoints").join(file_name(epoch))).unwrap();
            let checkpoint = Checkpoint::parse(&bytes).unwrap();
            let run = run_of(epoch);
            assert_eq!(checkpoint.epochs, run.epochs);
            assert_eq!(checkpoint.state, run.state);
        }
    }

    #[test]
    fn what_is_replaced_stays_until_a_checkpoint_is_safe() {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = plan(folder.path(), 1, true);
        fs::create_dir(plan.checkpoints()).unwrap();
        // The first of them has the name of the first new one.
        plan.replaced = [1, 50].map(|epoch| plan.checkpoints().join(file_name(epoch))).into();
        plan.replaced.iter().for_each(|path| fs::write(path, "old").unwrap());
        let old = plan.replaced[1].clone();
        let replaced = plan.replaced.clone();
        let writer = Writer::start(plan, start());
        writer.finish(&run_of(0)).unwrap();
        assert!(replaced.iter().all(|path| fs::read(path).unwrap() == b"old"), "nothing new was written");

        let plan = Plan { replaced, ..self::plan(folder.path(), 1, true) };
        assert_eq!(written(plan, 1), [1]);
        assert!(!old.exists());
        // Neither of them was a whole checkpoint.
        for epoch in [1, 50] {
            let aside = folder.path().join(format!("checkpoints/{}.set-aside", file_name(epoch)));
            assert_eq!(fs::read(aside).unwrap(), b"old");
        }
    }

    #[test]
    fn a_write_that_fails_is_told_once_with_what_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(folder.path(), 1, false);
        // A folder stands where the second checkpoint is to be.
        fs::create_dir_all(plan.checkpoints().join(file_name(2))).unwrap();
        let mut writer = Writer::start(plan, start());
        let error = (1..=10).find_map(|epoch| {
            let run = run_of(epoch);
            writer.keep(&run.epochs[epoch as usize - 1], &run.state).err()
        });
        let message = match error {
            Some(error) => {
                writer.finish(&run_of(10)).expect("it is told once");
                error.to_string()
            }
            None => writer.finish(&run_of(10)).expect_err("the second one cannot be written").to_string(),
        };
        assert!(message.contains("epoch-000002.checkpoint is not a regular file"), "{message}");
        assert!(message.contains("epochs 1 to 1 are saved in") && message.contains("can go on"), "{message}");
        assert!(folder.path().join("checkpoints").join(file_name(1)).exists());
    }
}
