//! Where a run starts: at the beginning, or after a checkpoint; and what it must not replace.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow, bail, ensure};
use cnn_train::checkpoint::{Checkpoint, Identity, MAX_EPOCHS};
use cnn_train::dataset::Dataset;
use cnn_train::recipe::Recipe;
use cnn_train::trainer::Run;
use host_trainer::checkpoint::{self, Follow, Plan, Search, Writer};
use host_trainer::files::{is_same_file, read_limited};
use host_trainer::init::Init;
use host_trainer::lock::FolderLock;
use host_trainer::model_file::LoadedModel;
use host_trainer::report::record::MAX_RECORD_BYTES;
use host_trainer::report::{self, INITIAL, MODEL, RECORD, RunRecord};

use super::{output, warn_of_skipped};
use crate::cli::TrainArgs;

/// Refuses an output folder that holds a run, unless that is to be replaced or gone on with. Nothing is changed there.
pub fn check_free(args: &TrainArgs) -> anyhow::Result<()> {
    match taken(args)? {
        None => Ok(()),
        // It may be of a run that has not ended.
        Some(refusal) => Err(FolderLock::holder(&args.out).map_or(refusal, Into::into)),
    }
}

fn taken(args: &TrainArgs) -> anyhow::Result<Option<anyhow::Error>> {
    // What is no folder is refused when it is prepared.
    if args.resume || args.overwrite || !args.out.is_dir() {
        return Ok(None);
    }
    let out = args.out.display();
    let found = found(&args.out)?;
    Ok(found.map(|found| {
        anyhow!(
            "{out}: the output folder holds a run ({}): go on with it (--resume), replace it (--overwrite), \
             or choose another --out",
            found.display()
        )
    }))
}

/// A file of a run in the folder, if there is one.
fn found(out: &Path) -> anyhow::Result<Option<PathBuf>> {
    let checkpoints = checkpoint::list(&out.join(checkpoint::FOLDER))?;
    Ok(report::found(out).pop().or(checkpoints.into_iter().map(|(_, path)| path).next()))
}

/// A run that is about to train.
pub struct Start {
    /// The run so far.
    pub run: Run,
    /// What it is given to start from, if it is.
    pub init: Option<Arc<Init>>,
    /// What trained it.
    pub backends: Vec<String>,
    /// What to say of it, unless it is a first run from the beginning.
    pub note: Option<String>,
    /// The epochs of which the output folder has the results.
    pub recorded: u32,
    /// The files that are not needed once there is a new checkpoint.
    replaced: Vec<PathBuf>,
}

impl Start {
    /// Finds out where the run starts. The output folder is locked.
    pub fn find(
        args: &TrainArgs,
        settings: &Recipe,
        init: Option<Arc<Init>>,
        dataset: &Dataset,
    ) -> anyhow::Result<Self> {
        ensure!(
            args.checkpoint_every == 0 || settings.epochs <= MAX_EPOCHS,
            "a checkpoint holds at most {MAX_EPOCHS} epochs: use a smaller --epochs, or --checkpoint-every 0"
        );
        // Another run may have ended since it was looked for first.
        taken(args)?.map_or(Ok(()), Err)?;
        let folder = args.out.join(checkpoint::FOLDER);
        let run = match &init {
            Some(init) => Run::starting_from(init.parameters.clone()),
            None => Run::new(settings),
        };
        let mut replaced: Vec<PathBuf> = checkpoint::list(&folder)?.into_iter().map(|(_, path)| path).collect();
        let from_the_beginning = |run, note, replaced| {
            let init = init.clone();
            Self { run, init, backends: Vec::new(), note, recorded: 0, replaced }
        };
        if !args.resume {
            replaced.extend(report::found(&args.out));
            let note = (!replaced.is_empty())
                .then(|| format!("from the beginning; the run in {} is replaced", args.out.display()));
            return Ok(from_the_beginning(run, note, replaced));
        }
        let here = Identity {
            settings,
            dataset: &dataset.into(),
            initial_file: init.as_ref().map(|init| &*init.name),
            initial_fingerprint: run.initial_fingerprint,
        };
        let Search { found, skipped } = checkpoint::find_to_resume(&folder, &here)?;
        let recorded = recorded(&args.out, &here, found.as_ref().map(|(_, checkpoint)| checkpoint))?;
        ensure!(
            recorded <= settings.epochs,
            "{} has the results of {recorded} epochs, beyond --epochs {}; use --epochs {recorded} or more, or another --out",
            args.out.display(),
            settings.epochs
        );
        warn_of_skipped(&skipped);
        let Some((path, checkpoint)) = found else {
            // Results of this very run stay until it has come further.
            if let (0, Some(results)) = (recorded, self::found(&args.out)?) {
                bail!(
                    "nothing to resume in {}: it has no checkpoint, and {} is not replaced without --overwrite",
                    folder.display(),
                    results.display()
                );
            }
            let note = format!("nothing to resume in {}: from the beginning", folder.display());
            return Ok(Self { recorded, ..from_the_beginning(run, Some(note), replaced) });
        };
        let mut note = format!("resuming after epoch {} of {}", checkpoint.epoch(), path.display());
        if checkpoint.epoch() == settings.epochs {
            note += ": nothing is left to train";
        }
        replaced.retain(|replaced| !args.keep_checkpoints && *replaced != path);
        let backends = checkpoint.backends.clone();
        Ok(Self { run: checkpoint.into(), init: init.clone(), backends, note: Some(note), recorded, replaced })
    }

    /// The writer of the run's checkpoints and of the files that follow it. `backends` are those that train it, this one
    /// included; it began at `begin`, after `earlier` seconds of a run before it.
    pub fn writer(
        &mut self,
        args: &TrainArgs,
        settings: &Recipe,
        dataset: &Arc<Dataset>,
        backends: Vec<String>,
        lock: &Arc<FolderLock>,
        (begin, earlier): (Instant, f64),
    ) -> Writer {
        let plan = Plan {
            out: args.out.clone(),
            every: NonZeroU32::new(args.checkpoint_every),
            keep_all: args.keep_checkpoints,
            replaced: std::mem::take(&mut self.replaced),
            overwrite: args.overwrite,
            lock: Some(Arc::clone(lock)),
            follow: Some(Follow {
                settings: *settings,
                init: self.init.clone(),
                dataset: Arc::clone(dataset),
                earlier,
                begin,
                beyond: self.recorded,
            }),
        };
        let start = Checkpoint {
            settings: *settings,
            dataset: (&**dataset).into(),
            initial_file: self.init.as_ref().map(|init| init.name.clone()),
            initial_fingerprint: self.run.initial_fingerprint,
            backends,
            epochs: self.run.epochs.clone(),
            state: self.run.state.clone(),
        };
        Writer::start(plan, start)
    }
}

/// The epochs of the results in the output folder, which must be those of the run `here`: they are about to be replaced.
/// `checkpoint` is the newest of that run.
fn recorded(out: &Path, here: &Identity<'_>, checkpoint: Option<&Checkpoint>) -> anyhow::Result<u32> {
    const ADVICE: &str = "--resume would replace it: move it away, or choose another --out";
    let [record, model] = [RECORD, MODEL].map(|name| out.join(name));
    let read = || -> anyhow::Result<(u32, Option<String>)> {
        if report::found(out).contains(&record) {
            let parsed = RunRecord::parse(&read_limited(&record, MAX_RECORD_BYTES)?);
            let found = parsed.with_context(|| record.display().to_string())?;
            let difference = Identity::from(&found).difference(here, "here");
            let difference =
                difference.map(|difference| format!("{} is of another run: {difference}", record.display()));
            return Ok((found.epochs.len() as u32, difference));
        }
        // A run that was killed while it wrote its files has left no record.
        if report::found(out).contains(&model) {
            let found = LoadedModel::read(&model)?;
            let training = found.training().filter(|_| is_of(&found, here, checkpoint));
            let difference = training.is_none().then(|| format!("{} is of another run", model.display()));
            return Ok((training.map_or(0, |training| training.epochs), difference));
        }
        Ok((0, None))
    };
    match read().map_err(|error| anyhow!("{error:#}; {ADVICE}"))? {
        (epochs, None) => Ok(epochs),
        (_, Some(difference)) => bail!("{difference}; {ADVICE}"),
    }
}

/// Whether a model says that it is of a run. It cannot say everything of a run with a schedule, with layers that are not
/// trained or with parameters that it was given: then it must be an epoch of the run's checkpoint.
fn is_of(model: &LoadedModel, here: &Identity<'_>, checkpoint: Option<&Checkpoint>) -> bool {
    let Some(training) = model.training() else { return false };
    let claimed = here.settings.in_model_file();
    let says_all = *here.settings == claimed && here.initial_file.is_none();
    let is_epoch = || checkpoint.is_some_and(|it| it.epochs.iter().any(|epoch| epoch.fingerprint == model.fingerprint));
    Recipe::from(&training).trains_as(&claimed)
        && training.dataset_hash == here.dataset.sha256
        && (says_all || is_epoch())
}

/// The parameters that the run is given to start from, if it is. Their file is not one that the run replaces.
pub fn init(args: &TrainArgs) -> anyhow::Result<Option<Arc<Init>>> {
    let Some(path) = &args.recipe.init else { return Ok(None) };
    let mut replaced = report::found(&args.out);
    // A run that goes on writes the parameters that it started from as they are.
    replaced.retain(|replaced| !(args.resume && *replaced == args.out.join(INITIAL)));
    replaced.extend(checkpoint::list(&args.out.join(checkpoint::FOLDER))?.into_iter().map(|(_, path)| path));
    ensure!(
        !replaced.iter().any(|replaced| is_same_file(replaced, path)),
        "{}: --init names a file of the output folder, which the run replaces: move it away, or choose another --out",
        path.display()
    );
    read_init(path).map(|init| Some(Arc::new(init)))
}

/// Reads the parameters of `--init`, and says what of their names is left out.
pub fn read_init(path: &Path) -> anyhow::Result<Init> {
    let init = Init::read(path)?;
    if !init.prefix.is_empty() {
        output::note(format_args!("the names' prefix '{}' is left out", init.prefix));
    }
    Ok(init)
}
