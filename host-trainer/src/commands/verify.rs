//! `verify`: two backends side by side, or a run against its record, compared bit for bit.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::{eprintln, println};
use anyhow::Context;
use host_trainer::dataset::Dataset;
use host_trainer::files::read_limited;
use host_trainer::report::RunRecord;
use host_trainer::report::record::MAX_RECORD_BYTES;
use host_trainer::trainer::{EpochReport, Observer, Stop};
use host_trainer::verify::{VerifyError, compare, compare_with_record};

use super::interrupt::{self, INTERRUPTED};
use super::{data, open_backend};
use crate::cli::{BackendArgs, VerifyArgs};

/// Compares, epoch by epoch.
pub fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let dataset = Arc::new(data::open(&args.data)?);
    println!("data     {}", dataset.name);
    let interrupted = interrupt::listen()?;
    let result = match &args.record {
        Some(path) => with_record(args, path, &dataset, &interrupted)?,
        None => with_backend(args, &dataset, &interrupted)?,
    };
    match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(VerifyError::Stopped(Stop::Interrupted { epoch })) => {
            eprintln!("interrupted in epoch {epoch}");
            Ok(ExitCode::from(INTERRUPTED))
        }
        Err(error) => Err(error.into()),
    }
}

fn with_backend(
    args: &VerifyArgs,
    dataset: &Arc<Dataset>,
    interrupted: &AtomicBool,
) -> anyhow::Result<Result<(), VerifyError>> {
    let (mut first, title) = open_backend(&args.backend, dataset)?;
    println!("first    {title}");
    let against = BackendArgs { backend: args.against, ..args.backend.clone() };
    let (mut second, title) = open_backend(&against, dataset)?;
    println!("second   {title}\n");
    let settings = args.recipe.settings(args.epochs);
    let mut progress = |_| proceed(interrupted);
    let result = compare([&mut *first, &mut *second], dataset, &settings, &mut progress, &mut |verified| {
        let [first, second] = verified.training_seconds;
        println!(
            "epoch {:>3}  the same  {}  trained in {first:.2} s and {second:.2} s",
            verified.epoch,
            verified.fingerprint.short()
        );
    });
    if result.is_ok() {
        println!("\nparameters, momentum, losses and predictions are the same, bit for bit");
    }
    Ok(result)
}

fn with_record(
    args: &VerifyArgs,
    path: &Path,
    dataset: &Arc<Dataset>,
    interrupted: &AtomicBool,
) -> anyhow::Result<Result<(), VerifyError>> {
    let bytes = read_limited(path, MAX_RECORD_BYTES)?;
    let record = RunRecord::parse(&bytes).with_context(|| path.display().to_string())?;
    let (mut backend, title) = open_backend(&args.backend, dataset)?;
    println!("backend  {title}");
    println!("record   {}, {} epochs on {}\n", path.display(), record.epochs.len(), record.backend);
    let result = compare_with_record(&mut *backend, dataset, &record, &mut Repeated { interrupted });
    if result.is_ok() {
        println!("\nfingerprints, losses and accuracies are those of the record, bit for bit");
    }
    Ok(result)
}

fn proceed(interrupted: &AtomicBool) -> ControlFlow<()> {
    if interrupted.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Shows the epochs of a repeated run.
struct Repeated<'a> {
    interrupted: &'a AtomicBool,
}

impl Observer for Repeated<'_> {
    fn advance(&mut self, _samples: usize) -> ControlFlow<()> {
        proceed(self.interrupted)
    }

    fn epoch(&mut self, report: &EpochReport) {
        println!("epoch {:>3}  {}", report.metrics.epoch, report.fingerprint.short());
    }
}
