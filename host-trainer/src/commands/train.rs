//! `train`: the recipe from the data set to the files that a run leaves.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anstream::{eprintln, println};
use anyhow::Context;
use host_trainer::dataset::Dataset;
use host_trainer::report::{self, RunContext};
use host_trainer::trainer::{self, EpochReport, Observer, Run, Settings, Stop};
use indicatif::{ProgressBar, ProgressStyle};

use super::interrupt::{self, INTERRUPTED};
use super::{data, open_backend, table};
use crate::cli::TrainArgs;

/// Trains, shows how it goes, leaves the files.
pub fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    prepare_folder(&args.out)?;
    let settings = args.settings();
    let dataset = Arc::new(data::open(&args.data)?);
    let (mut backend, backend_title) = open_backend(&args.backend, &dataset)?;
    print_start(&settings, &dataset, &backend_title, args);

    let mut observer = Terminal::new(&settings, &dataset)?;
    let run = trainer::train(&mut *backend, &dataset, &settings, &mut observer);
    observer.bar.finish_and_clear();

    if !run.epochs.is_empty() {
        let context = RunContext {
            settings: &settings,
            dataset: &dataset,
            backend: backend.description(),
            seconds: start.elapsed().as_secs_f64(),
        };
        report::write(&args.out, &run, &context)?;
    }
    finish(run, args, start.elapsed())
}

/// Makes sure, before hours are spent, that the run's files can be written.
fn prepare_folder(folder: &Path) -> anyhow::Result<()> {
    let cannot = || format!("{}: the output folder (--out) cannot be written", folder.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    tempfile::tempfile_in(folder).with_context(cannot)?;
    Ok(())
}

fn print_start(settings: &Settings, dataset: &Dataset, backend: &str, args: &TrainArgs) {
    let sgd = settings.sgd;
    println!("{}", table::network());
    println!(
        "data     {}: {} training and {} test images",
        dataset.name,
        table::thousands(dataset.train.len()),
        table::thousands(dataset.test.len())
    );
    println!("backend  {backend}");
    println!(
        "recipe   {} epochs, batches of {}{}, SGD lr {} momentum {} weight decay {}, seed {}",
        settings.epochs,
        settings.batch_length,
        if settings.shuffle { ", shuffled" } else { ", not shuffled" },
        sgd.learning_rate,
        sgd.momentum,
        sgd.weight_decay,
        settings.seed
    );
    println!("output   {}\n", args.out.display());
}

fn finish(run: Run, args: &TrainArgs, elapsed: Duration) -> anyhow::Result<ExitCode> {
    let complete = run.epochs.len();
    let saved = match run.epochs.last() {
        Some(last) => {
            println!("fingerprint {}", last.fingerprint);
            format!("the {complete} complete {} are saved in {}", epochs(complete), args.out.display())
        }
        None => "no epoch was completed, nothing is saved".into(),
    };
    match run.stopped {
        None => {
            println!(
                "{complete} {} in {:.1} s; model, plots, metrics and record are in {}",
                epochs(complete),
                elapsed.as_secs_f64(),
                args.out.display()
            );
            Ok(ExitCode::SUCCESS)
        }
        Some(Stop::Interrupted { epoch }) => {
            eprintln!("interrupted in epoch {epoch}: {saved}");
            Ok(ExitCode::from(INTERRUPTED))
        }
        Some(stop) => Err(anyhow::anyhow!("{stop} ({saved})")),
    }
}

fn epochs(count: usize) -> &'static str {
    if count == 1 { "epoch" } else { "epochs" }
}

/// Epoch lines on stdout, a progress bar on stderr, an ear for Ctrl-C.
struct Terminal {
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
    epochs: u32,
}

impl Terminal {
    /// The first Ctrl-C ends the run after the current step, the second one the program.
    fn new(settings: &Settings, dataset: &Dataset) -> anyhow::Result<Self> {
        let interrupted = interrupt::listen()?;
        let samples_per_epoch = 2 * dataset.train.len() + dataset.test.len();
        let bar = ProgressBar::new(u64::from(settings.epochs) * samples_per_epoch as u64);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}%, {eta} left");
        bar.set_style(style.expect("the template is well-formed").progress_chars("━╸ "));
        bar.enable_steady_tick(Duration::from_millis(200));
        let terminal = Self { bar, interrupted, epochs: settings.epochs };
        terminal.show_epoch(1);
        Ok(terminal)
    }

    fn show_epoch(&self, epoch: u32) {
        self.bar.set_message(format!("epoch {epoch}/{}", self.epochs));
    }
}

impl Observer for Terminal {
    fn advance(&mut self, samples: usize) -> ControlFlow<()> {
        self.bar.inc(samples as u64);
        if self.interrupted.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn epoch(&mut self, report: &EpochReport) {
        let metrics = &report.metrics;
        let lines = || {
            println!("epoch {}", metrics.epoch);
            println!("train mean loss={:.6}, accuracy={:.5}", metrics.train.loss, metrics.train.accuracy());
            println!("test  mean loss={:.6}, accuracy={:.5}", metrics.test.loss, metrics.test.accuracy());
        };
        if std::io::stderr().is_terminal() {
            self.bar.suspend(lines)
        } else {
            lines()
        }
        self.show_epoch((metrics.epoch + 1).min(self.epochs));
    }
}
