//! `verify`: two backends side by side, or a run against its record, compared bit for bit.

use std::ops::{ControlFlow, RangeInclusive};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use clap::CommandFactory;
use clap::error::ErrorKind;
use cnn_core::network::FlatParameters;
use cnn_train::dataset::{Dataset, DatasetRecord};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::initial_parameters;
use cnn_train::trainer::{EpochReport, Observer, Stop};
use host_trainer::checkpoint;
use host_trainer::files::read_limited;
use host_trainer::report::record::MAX_RECORD_BYTES;
use host_trainer::report::{INITIAL, RunRecord};
use host_trainer::verify::{VerifyError, compare, compare_with_record};
use serde::Serialize;

use super::interrupt;
use super::output::{self, result, say};
use super::start;
use super::train::epochs as epochs_of;
use super::{data, open_backend, warn_of_skipped};
use crate::cli::{BackendArgs, Cli, EpochsArg, VerifyArgs};

/// Epochs that two backends are compared for, if no flag says it.
const EPOCHS: u32 = 3;

/// Compares, epoch by epoch.
pub fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let compared = match &args.record {
        Some(path) => Compared::Record(path, Box::new(read_record(path)?)),
        None => Compared::Backends { epochs: first_epochs(args.epochs.as_ref())? },
    };
    let dataset = Arc::new(match &compared {
        Compared::Record(_, record) => data::open_recorded(&args.data, record)?,
        Compared::Backends { .. } => data::open(&args.data)?,
    });
    say!("data     {}", dataset.name);
    let interruption = interrupt::listen()?;
    let mut answer = Answer { dataset: dataset.name.clone(), ..Answer::default() };
    let result = match compared {
        Compared::Record(path, record) => with_record(args, path, &record, &dataset, &interruption.flag, &mut answer)?,
        Compared::Backends { epochs } => with_backend(args, epochs, &dataset, &interruption.flag, &mut answer)?,
    };
    answer.equal = result.is_ok();
    answer.difference = result.as_ref().err().map(ToString::to_string);
    if !matches!(result, Err(VerifyError::Stopped(_))) {
        output::json(&answer)?;
    }
    match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(VerifyError::Stopped(Stop::Interrupted { epoch })) => {
            let same = match answer.epochs.as_slice() {
                [] => "no epoch was compared".into(),
                [only] => format!("epoch {} was the same", only.epoch),
                [first, .., last] => format!("epochs {} to {} were the same", first.epoch, last.epoch),
            };
            output::note(format_args!("interrupted in epoch {epoch}: {same}"));
            Ok(interruption.exit_code())
        }
        Err(error) => Err(error.into()),
    }
}

/// The answer of `--json`.
#[derive(Default, Serialize)]
struct Answer {
    dataset: String,
    /// What trained, one or two.
    backends: Vec<String>,
    /// The record that was repeated.
    record: Option<String>,
    /// The epochs that were compared and are the same.
    epochs: Vec<TrainedEpoch>,
    equal: bool,
    difference: Option<String>,
}

#[derive(Serialize)]
struct TrainedEpoch {
    epoch: u32,
    fingerprint: Fingerprint,
}

/// What is compared with the first backend.
enum Compared<'a> {
    Record(&'a Path, Box<RunRecord>),
    Backends { epochs: u32 },
}

/// The epochs of a comparison of two backends; they start from the beginning.
fn first_epochs(epochs: Option<&EpochsArg>) -> Result<u32, clap::Error> {
    Ok(match epochs {
        None => EPOCHS,
        Some(EpochsArg::First(count)) => *count,
        Some(EpochsArg::Range(_)) => {
            let told = "--epochs A..B needs a record; two backends start from the beginning";
            return Err(Cli::command().error(ErrorKind::ArgumentConflict, told));
        }
    })
}

fn with_backend(
    args: &VerifyArgs,
    epochs: u32,
    dataset: &Arc<Dataset>,
    interrupted: &AtomicBool,
    answer: &mut Answer,
) -> anyhow::Result<Result<(), VerifyError>> {
    let (mut first, title) = open_backend(&args.backend, dataset)?;
    say!("first    {title}");
    answer.backends.push(title);
    let against = BackendArgs { backend: args.against, ..args.backend.clone() };
    let (mut second, title) = open_backend(&against, dataset)?;
    say!("second   {title}");
    answer.backends.push(title);
    say!();
    let settings = args.recipe.settings(epochs);
    let initial = match &args.recipe.init {
        Some(path) => start::read_init(path)?.parameters,
        None => initial_parameters(settings.seed),
    };
    let mut progress = |_| proceed(interrupted);
    let result = compare([&mut *first, &mut *second], dataset, &settings, initial, &mut progress, &mut |verified| {
        let [first, second] = verified.training_seconds;
        answer.epochs.push(TrainedEpoch { epoch: verified.epoch, fingerprint: verified.fingerprint });
        say!(
            "epoch {:>3}  the same  {}  trained in {first:.2} s and {second:.2} s",
            verified.epoch,
            verified.fingerprint.short()
        );
    });
    if result.is_ok() {
        say!();
        result!("parameters, momentum, losses and predictions are the same, bit for bit");
    }
    Ok(result)
}

fn with_record(
    args: &VerifyArgs,
    path: &Path,
    record: &RunRecord,
    dataset: &Arc<Dataset>,
    interrupted: &AtomicBool,
    answer: &mut Answer,
) -> anyhow::Result<Result<(), VerifyError>> {
    let epochs = recorded_epochs(args.epochs.as_ref(), path, record)?;
    let (first, last) = (*epochs.start(), *epochs.end());
    let folder = checkpoint_folder(args, path)?;
    let initial = initial(args, path, record)?;
    let search = checkpoint::find_recorded(&folder, first - 1, record)?;
    warn_of_skipped(&search.skipped);
    let start = search.found;
    let before = start.as_ref().map_or(0, |(_, checkpoint)| checkpoint.epoch());
    if first > before + 1 {
        output::warning(format_args!(
            "{} holds no checkpoint of this run after epoch {}{}: epochs {} to {} are trained first",
            folder.display(),
            first - 1,
            if before > 0 { format!(", the newest before is that after epoch {before}") } else { String::new() },
            before + 1,
            first - 1
        ));
    }
    let (mut backend, title) = open_backend(&args.backend, dataset)?;
    say!("backend  {title}");
    let count = record.epochs.len();
    say!("record   {}, {count} {} on {}", path.display(), epochs_of(count), record.backend);
    match &start {
        Some((path, checkpoint)) => say!("start    after epoch {} of {}", checkpoint.epoch(), path.display()),
        None => say!("start    from the beginning"),
    }
    say!();
    let start = start.map(|(_, checkpoint)| checkpoint);
    answer.record = Some(path.to_string_lossy().into_owned());
    answer.backends.push(title);
    let mut repeated = Repeated { interrupted, answer };
    let result = compare_with_record(&mut *backend, dataset, record, initial, start, last, &mut repeated);
    if result.is_ok() {
        say!();
        report(record, dataset, before + 1, last);
    }
    Ok(result)
}

/// The parameters that the recorded run was given to start from, if it was: of the file beside the record, or of another
/// one with the same. That they are the same is checked with all else.
fn initial(args: &VerifyArgs, path: &Path, record: &RunRecord) -> anyhow::Result<Option<Box<FlatParameters>>> {
    let given = args.recipe.init.as_deref();
    let Some(name) = &record.initial_file else {
        ensure!(given.is_none(), "{}: that run started from its seed's own parameters, without --init", path.display());
        return Ok(None);
    };
    let beside = path.with_file_name(INITIAL);
    let init = start::read_init(given.unwrap_or(&beside))
        .with_context(|| format!("the run started from the parameters of {name}, which --init names"))?;
    say!("initial  {} ({})", given.unwrap_or(&beside).display(), init.fingerprint);
    Ok(Some(init.parameters))
}

fn read_record(path: &Path) -> anyhow::Result<RunRecord> {
    let bytes = read_limited(path, MAX_RECORD_BYTES)?;
    RunRecord::parse(&bytes).with_context(|| path.display().to_string())
}

fn recorded_epochs(epochs: Option<&EpochsArg>, path: &Path, record: &RunRecord) -> anyhow::Result<RangeInclusive<u32>> {
    let recorded = record.epochs.len() as u32;
    let epochs = match epochs {
        None => 1..=recorded,
        Some(EpochsArg::First(count)) => 1..=*count,
        Some(EpochsArg::Range(range)) => range.clone(),
    };
    let last = *epochs.end();
    ensure!(recorded > 0, "{}: {}", path.display(), VerifyError::Nothing);
    ensure!(last <= recorded, "{}: --epochs goes to epoch {last}, the record to epoch {recorded}", path.display());
    Ok(epochs)
}

/// Where the checkpoints of the recorded run lie.
fn checkpoint_folder(args: &VerifyArgs, record_path: &Path) -> anyhow::Result<PathBuf> {
    match &args.checkpoints {
        Some(folder) => {
            ensure!(folder.is_dir(), "{}: no such folder (--checkpoints)", folder.display());
            Ok(folder.clone())
        }
        None => Ok(record_path.with_file_name(checkpoint::FOLDER)),
    }
}

/// What is known after the epochs from `first` to `last` were the same, and what is not.
fn report(record: &RunRecord, dataset: &Dataset, first: u32, last: u32) {
    let epochs = if first == last { format!("epoch {last}") } else { format!("epochs {first} to {last}") };
    result!(
        "verified {epochs} of {}: fingerprints, losses and accuracies are those of the record, bit for bit",
        record.epochs.len()
    );
    let name = &record.dataset.name;
    if *name != DatasetRecord::from(dataset).name {
        result!("the record calls the data set {name}; its contents are those of {}", dataset.name);
    }
    result!(
        "not checked: that it ran on {} with version {} on {} {}, and its times",
        record.backend,
        record.versions.program,
        record.host.os,
        record.host.arch
    );
}

fn proceed(interrupted: &AtomicBool) -> ControlFlow<()> {
    if interrupted.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Shows the epochs of a repeated run.
struct Repeated<'a> {
    interrupted: &'a AtomicBool,
    answer: &'a mut Answer,
}

impl Observer for Repeated<'_> {
    fn advance(&mut self, _samples: usize) -> ControlFlow<()> {
        proceed(self.interrupted)
    }

    fn epoch(&mut self, report: &EpochReport) {
        let EpochReport { metrics, fingerprint, .. } = report;
        say!("epoch {:>3}  {}", metrics.epoch, fingerprint.short());
        self.answer.epochs.push(TrainedEpoch { epoch: metrics.epoch, fingerprint: *fingerprint });
    }
}
