//! Writes checkpoints on a thread of its own, while the next epoch trains.

use std::fs;
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::folder::file_name;
use super::{Checkpoint, EpochReport, TrainingState};
use crate::files::{FileError, create_folder, write_whole};
use crate::trainer::Run;

/// Checkpoints that may wait for the disk before the run waits too.
const WAITING: usize = 2;
/// How many of the newest checkpoints stay: should one be damaged on the disk, the one before it is there.
const KEPT: usize = 2;

/// What is written where.
#[derive(Debug)]
pub struct Plan {
    /// The folder of the checkpoints; it is made if it is not there.
    pub folder: PathBuf,
    /// A checkpoint follows every so many epochs, and the last epoch of the run.
    pub every: NonZeroU32,
    /// Whether older checkpoints of this run stay.
    pub keep_all: bool,
    /// Files that are removed as soon as the first checkpoint is safe.
    pub replaced: Vec<PathBuf>,
}

/// A checkpoint could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{cause}; {}", saved.as_ref().map_or_else(
    || "no checkpoint of this run is saved".into(),
    |(epoch, path)| format!("epochs 1 to {epoch} are saved in {}, go on from there with --resume", path.display())))]
pub struct WriteError {
    /// The file and what is wrong with it.
    pub cause: FileError,
    /// The last checkpoint that is safe.
    pub saved: Option<(u32, PathBuf)>,
}

/// What is new since the last checkpoint.
struct Progress {
    epochs: Vec<EpochReport>,
    state: TrainingState,
}

/// The run's side: hands over what is new.
#[derive(Debug)]
pub struct Writer {
    every: NonZeroU32,
    /// Epochs since the last one that was handed over.
    pending: Vec<EpochReport>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    sender: SyncSender<Progress>,
    thread: JoinHandle<Result<(), WriteError>>,
}

impl Writer {
    /// A writer for a run that goes on from `start`. If that has epochs, its last one is the newest checkpoint in the
    /// folder.
    pub fn start(plan: Plan, start: Checkpoint) -> Self {
        let (sender, receiver) = sync_channel(WAITING);
        let every = plan.every;
        let thread = std::thread::spawn(move || Files::new(plan, start).write_all(&receiver));
        Self { every, pending: Vec::new(), running: Some(Running { sender, thread }) }
    }

    /// Has the state after an epoch written, if its turn has come.
    ///
    /// # Errors
    /// If an earlier checkpoint could not be written.
    pub fn keep(&mut self, report: &EpochReport, state: &TrainingState) -> Result<(), WriteError> {
        self.pending.push(*report);
        if self.running.as_ref().is_some_and(|running| running.thread.is_finished()) {
            self.join()?;
        }
        if report.metrics.epoch.is_multiple_of(self.every.get()) { self.hand_over(state) } else { Ok(()) }
    }

    /// Has the last epoch written, if it was not, and waits until all is safe.
    ///
    /// # Errors
    /// If a checkpoint could not be written; one that [`Writer::keep`] told of is not told again.
    pub fn finish(mut self, run: &Run) -> Result<(), WriteError> {
        if !self.pending.is_empty() && self.running.is_some() {
            self.hand_over(&run.state)?;
        }
        self.join()
    }

    fn hand_over(&mut self, state: &TrainingState) -> Result<(), WriteError> {
        let Some(running) = &self.running else { return Ok(()) };
        let progress = Progress { epochs: std::mem::take(&mut self.pending), state: state.clone() };
        // The thread has gone only if it failed.
        if running.sender.send(progress).is_err() { self.join() } else { Ok(()) }
    }

    fn join(&mut self) -> Result<(), WriteError> {
        let Some(Running { sender, thread }) = self.running.take() else { return Ok(()) };
        drop(sender);
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// The thread's side: the files.
struct Files {
    plan: Plan,
    checkpoint: Checkpoint,
    /// The epochs of this run's checkpoints, oldest first.
    written: Vec<u32>,
}

impl Files {
    fn new(plan: Plan, start: Checkpoint) -> Self {
        let written = if start.epochs.is_empty() { Vec::new() } else { vec![start.epoch()] };
        Self { plan, checkpoint: start, written }
    }

    fn write_all(mut self, receiver: &Receiver<Progress>) -> Result<(), WriteError> {
        for Progress { epochs, state } in receiver {
            self.checkpoint.epochs.extend(epochs);
            self.checkpoint.state = state;
            self.write().map_err(|cause| {
                let saved = self.written.last().map(|&epoch| (epoch, self.path(epoch)));
                WriteError { cause, saved }
            })?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), FileError> {
        let epoch = self.checkpoint.epoch();
        let path = self.path(epoch);
        create_folder(&self.plan.folder)?;
        write_whole(&path, &self.checkpoint.to_bytes())?;
        self.written.push(epoch);
        self.plan.replaced.retain(|replaced| *replaced != path);
        self.remove_old();
        Ok(())
    }

    /// Removes what is no longer needed now that a newer checkpoint is safe. What cannot be removed does no harm: it is
    /// tried again next time.
    fn remove_old(&mut self) {
        self.plan.replaced.retain(|path| !removed(path));
        if self.plan.keep_all {
            return;
        }
        let mut newest = self.written.split_off(self.written.len().saturating_sub(KEPT));
        self.written.retain(|&epoch| !removed(&self.plan.folder.join(file_name(epoch))));
        self.written.append(&mut newest);
    }

    fn path(&self, epoch: u32) -> PathBuf {
        self.plan.folder.join(file_name(epoch))
    }
}

fn removed(path: &Path) -> bool {
    fs::remove_file(path).map_or_else(|error| error.kind() == ErrorKind::NotFound, |()| true)
}

#[cfg(test)]
mod tests {
    use super::super::folder::list;
    use super::super::tests::checkpoint;
    use super::*;
    use crate::fingerprint::Fingerprint;

    /// The start of a run of many epochs.
    fn start() -> Checkpoint {
        let mut start = checkpoint();
        start.settings.epochs = 100;
        start.epochs.clear();
        start
    }

    fn plan(folder: &Path, every: u32, keep_all: bool) -> Plan {
        let every = NonZeroU32::new(every).unwrap();
        Plan { folder: folder.join("checkpoints"), every, keep_all, replaced: Vec::new() }
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
        let folder = plan.folder.clone();
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
        fs::create_dir(&plan.folder).unwrap();
        // The first of them has the name of the first new one.
        plan.replaced = [1, 50].map(|epoch| plan.folder.join(file_name(epoch))).into();
        plan.replaced.iter().for_each(|path| fs::write(path, "old").unwrap());
        let old = plan.replaced[1].clone();
        let replaced = plan.replaced.clone();
        let writer = Writer::start(plan, start());
        writer.finish(&run_of(0)).unwrap();
        assert!(replaced.iter().all(|path| fs::read(path).unwrap() == b"old"), "nothing new was written");

        let plan = Plan { replaced, ..self::plan(folder.path(), 1, true) };
        assert_eq!(written(plan, 1), [1]);
        assert!(!old.exists());
    }

    #[test]
    fn a_write_that_fails_is_told_once_with_what_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(folder.path(), 1, false);
        // A folder stands where the second checkpoint is to be.
        fs::create_dir_all(plan.folder.join(file_name(2))).unwrap();
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
        assert!(message.contains("epochs 1 to 1 are saved in") && message.contains("--resume"), "{message}");
        assert!(folder.path().join("checkpoints").join(file_name(1)).exists());
    }
}
