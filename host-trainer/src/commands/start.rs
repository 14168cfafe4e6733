//! Where a run starts: at the beginning, or after a checkpoint.

use std::num::NonZeroU32;
use std::path::PathBuf;

use anyhow::ensure;
use host_trainer::checkpoint::{self, Checkpoint, MAX_EPOCHS, Plan, Search, Writer};
use host_trainer::dataset::Dataset;
use host_trainer::trainer::{Run, Settings};

use super::warn_of_skipped;
use crate::cli::TrainArgs;

/// A run that is about to train.
pub struct Start {
    /// The run so far.
    pub run: Run,
    /// What trained it.
    pub backends: Vec<String>,
    /// What to say of it, unless it is a first run from the beginning.
    pub note: Option<String>,
    /// The checkpoint files that are not needed once there is a new one.
    replaced: Vec<PathBuf>,
}

impl Start {
    /// Finds out where the run starts. The output folder is locked.
    pub fn find(args: &TrainArgs, settings: &Settings, dataset: &Dataset) -> anyhow::Result<Self> {
        ensure!(
            args.checkpoint_every == 0 || settings.epochs <= MAX_EPOCHS,
            "a checkpoint holds at most {MAX_EPOCHS} epochs: use a smaller --epochs, or --checkpoint-every 0"
        );
        let folder = args.out.join(checkpoint::FOLDER);
        let run = Run::new(settings);
        let mut replaced: Vec<PathBuf> = checkpoint::list(&folder)?.into_iter().map(|(_, path)| path).collect();
        if !args.resume {
            let replaces = args.checkpoint_every > 0 && !replaced.is_empty();
            let note = replaces.then(|| {
                format!("from the beginning; the checkpoints of an earlier run in {} are replaced", folder.display())
            });
            return Ok(Self { run, backends: Vec::new(), note, replaced });
        }
        let Search { found, skipped } = checkpoint::find_to_resume(&folder, &settings.into(), &dataset.into(), &run)?;
        warn_of_skipped(&skipped);
        let Some((path, checkpoint)) = found else {
            let note = Some(format!("nothing to resume in {}: from the beginning", folder.display()));
            return Ok(Self { run, backends: Vec::new(), note, replaced });
        };
        let mut note = format!("resuming after epoch {} of {}", checkpoint.epoch(), path.display());
        if checkpoint.epoch() == settings.epochs {
            note += ": nothing is left to train";
        }
        replaced.retain(|replaced| !args.keep_checkpoints && *replaced != path);
        Ok(Self { backends: checkpoint.backends.clone(), run: checkpoint.into(), note: Some(note), replaced })
    }

    /// The writer of the run's checkpoints, if they are wanted. `backends` are those that train it, this one included.
    pub fn writer(
        &mut self,
        args: &TrainArgs,
        settings: &Settings,
        dataset: &Dataset,
        backends: Vec<String>,
    ) -> Option<Writer> {
        let plan = Plan {
            folder: args.out.join(checkpoint::FOLDER),
            every: NonZeroU32::new(args.checkpoint_every)?,
            keep_all: args.keep_checkpoints,
            replaced: std::mem::take(&mut self.replaced),
        };
        let start = Checkpoint {
            settings: settings.into(),
            dataset: dataset.into(),
            initial_fingerprint: self.run.initial_fingerprint,
            backends,
            epochs: self.run.epochs.clone(),
            state: self.run.state.clone(),
        };
        Some(Writer::start(plan, start))
    }
}
