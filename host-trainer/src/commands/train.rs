//! `train`: the recipe from the data set to the files that a run leaves.

use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use cnn_train::backend::{Outcome, TrainingState};
use cnn_train::checkpoint::add_backend;
use cnn_train::dataset::Dataset;
use cnn_train::recipe::Recipe;
use cnn_train::schedule::RateSchedule;
use cnn_train::trainer::{EpochReport, KeepError, Observer, Run, Stop};
use host_trainer::checkpoint::{self, WriteError, Writer};
use host_trainer::files::{create_folder, remove_temporary};
use host_trainer::live::Feed;
use host_trainer::lock::FolderLock;
use host_trainer::report::tensorboard::EventFile;
use host_trainer::report::{self, ReportError, RunContext};
use indicatif::ProgressBar;

use super::interrupt::{self, Interruption};
use super::output::{self, result, say};
use super::start::{self, Start};
use super::{data, open_backend, serve, table};
use crate::cli::TrainArgs;

/// Trains, shows how it goes, leaves the files.
pub fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    let begin = Instant::now();
    start::check_free(args)?;
    let init = start::init(args)?;
    prepare_folder(&args.out)?;
    let settings = args.settings();
    let dataset = Arc::new(data::open(&args.data)?);
    let lock = Arc::new(FolderLock::acquire(&args.out)?);
    if let Some(warning) = lock.warning() {
        output::warning(warning);
    }
    remove_temporary(&args.out)?;
    let checkpoints = args.out.join(checkpoint::FOLDER);
    remove_temporary(&checkpoints)?;
    if args.checkpoint_every > 0 && checkpoints.exists() {
        check_writable(&checkpoints, "the checkpoints of the output folder (--out)")?;
    }
    let mut start = Start::find(args, &settings, init, &dataset)?;
    let (mut backend, backend_title) = open_backend(&args.backend, &dataset)?;
    print_start(&settings, &dataset, &backend_title, &start, args);

    let resumed = start.run.epochs.len();
    let earlier: f64 = start.run.epochs.iter().map(|epoch| epoch.training_seconds + epoch.evaluation_seconds).sum();
    let mut backends = start.backends.clone();
    if resumed < settings.epochs as usize {
        add_backend(&mut backends, &backend.description());
    }
    let writer = start.writer(args, &settings, &dataset, backends.clone(), &lock, (begin, earlier));
    let first = resumed as u32 + 1;
    let events = args.tensorboard.as_deref().map(|folder| EventFile::create(folder, first)).transpose()?;
    let live = args.live.and_then(|port| {
        let run = &start.run;
        let (epochs, initial) = (run.epochs.clone(), run.initial_fingerprint);
        let feed = Feed::new(&settings, Arc::clone(&dataset), &backend_title, initial, epochs, &run.state.parameters);
        show_live(port, args.no_open, Arc::new(feed))
    });
    let live = live.map(|feed| Live { feed, outcomes: Vec::new() });
    let terminal = Terminal::new(&settings, &dataset, resumed)?;
    let mut observer = Attended { begin, terminal, writer, events, live };
    let run = start.run.go_on(&mut *backend, &dataset, &settings, &mut observer);
    observer.terminal.bar.finish_and_clear();
    if let Some(live) = observer.live {
        live.feed.end(&how_it_ended(&run));
    }

    let interruption = observer.terminal.interruption;
    let kept = observer.writer.finish(&run);
    let context = RunContext {
        settings: &settings,
        init: start.init.as_deref(),
        dataset: &dataset,
        backend: if run.epochs.len() > resumed { backends } else { start.backends }.join("; "),
        seconds: earlier + begin.elapsed().as_secs_f64(),
    };
    // A run that is ended early may have fewer epochs than one before it that went on from the same checkpoint.
    let reported = if run.epochs.is_empty() || run.epochs.len() < start.recorded as usize {
        Ok(())
    } else {
        lock.prepare().map_err(Into::into).and_then(|()| report::write(&args.out, (&run).into(), &context))
    };
    if reported.is_ok() && args.overwrite && args.checkpoint_every == 0 {
        checkpoint::remove_replaced(&checkpoints)?;
    }
    finish(&Ended { run, resumed, interruption, kept, reported }, args, begin.elapsed())
}

/// Serves the run to browsers of this machine; if that cannot be, says so, and the run is not shown.
fn show_live(port: u16, no_open: bool, feed: Arc<Feed>) -> Option<Arc<Feed>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match host_trainer::serve::in_background(address, Arc::clone(&feed)) {
        Ok(url) => {
            result!("live     {url}");
            if !no_open {
                serve::open(&url);
            }
            Some(feed)
        }
        Err(error) => {
            output::warning(format_args!(
                "{address} cannot be listened on ({error}): the run goes on and is not shown; --live 0 takes a free port"
            ));
            None
        }
    }
}

fn how_it_ended(run: &Run) -> String {
    match &run.stopped {
        None => format!("the run is complete after {} {}", run.epochs.len(), epochs(run.epochs.len())),
        Some(stop) => stop.to_string(),
    }
}

/// Makes sure, before hours are spent, that the run's files can be written.
fn prepare_folder(folder: &Path) -> anyhow::Result<()> {
    let what = "the output folder (--out)";
    create_folder(folder).with_context(|| cannot_be_written(folder, what))?;
    check_writable(folder, what)
}

fn check_writable(folder: &Path, what: &str) -> anyhow::Result<()> {
    tempfile::tempfile_in(folder).with_context(|| cannot_be_written(folder, what))?;
    Ok(())
}

fn cannot_be_written(folder: &Path, what: &str) -> String {
    format!("{}: {what} cannot be written", folder.display())
}

fn print_start(settings: &Recipe, dataset: &Dataset, backend: &str, start: &Start, args: &TrainArgs) {
    output::block(&table::network(output::width()));
    say!(
        "data     {}: {} training and {} test images",
        dataset.name,
        table::thousands(dataset.train.len()),
        table::thousands(dataset.test.len())
    );
    say!("backend  {backend}");
    say!("recipe   {settings}");
    if let Some(init) = &start.init {
        say!("initial  {} ({})", init.name, init.fingerprint);
    }
    say!("output   {}", args.out.display());
    if let Some(note) = &start.note {
        say!("start    {note}");
    }
    say!();
}

/// How a run ended.
struct Ended {
    run: Run,
    /// Its epochs that an earlier run had trained.
    resumed: usize,
    /// What may have interrupted it.
    interruption: Interruption,
    /// Whether its checkpoints are written.
    kept: Result<(), WriteError>,
    /// Whether its other files are written.
    reported: Result<(), ReportError>,
}

fn finish(ended: &Ended, args: &TrainArgs, elapsed: Duration) -> anyhow::Result<ExitCode> {
    let Ended { run, resumed, interruption, kept, reported } = ended;
    let complete = run.epochs.len();
    let saved = match run.epochs.last() {
        Some(last) => {
            say!("fingerprint {}", last.fingerprint);
            format!("the {} saved in {}", complete_epochs(complete), args.out.display())
        }
        None => "no epoch was completed, nothing is saved".into(),
    };
    let stopped = run.stopped.as_ref().filter(|stop| !matches!(stop, Stop::Interrupted { .. }));
    let failures =
        [stopped.map(cause), kept.as_ref().err().map(not_kept), reported.as_ref().err().map(ToString::to_string)];
    let failures: Vec<String> = failures.into_iter().flatten().collect();
    if !failures.is_empty() {
        let saved = match (reported, kept) {
            (Ok(()), _) => format!(" ({saved})"),
            (Err(_), Ok(())) if args.checkpoint_every > 0 => {
                format!(
                    " (the {} saved in a checkpoint: when that is mended, the same command with --resume writes the \
                     files again)",
                    complete_epochs(complete)
                )
            }
            (Err(_), _) => String::new(),
        };
        anyhow::bail!("{}{saved}", failures.join("; "));
    }
    if let Some(Stop::Interrupted { epoch }) = run.stopped {
        let next = if complete > 0 && args.checkpoint_every > 0 { "; --resume goes on from there" } else { "" };
        output::note(format_args!("interrupted in epoch {epoch}: {saved}{next}"));
        return Ok(interruption.exit_code());
    }
    let now = if *resumed > 0 { format!(", {} of them now,", complete - resumed) } else { String::new() };
    say!(
        "{complete} {}{now} in {:.1} s; model, plots, metrics and record are in {}",
        epochs(complete),
        elapsed.as_secs_f64(),
        args.out.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Why a run stopped, and the flag that helps.
fn cause(stop: &Stop) -> String {
    match stop {
        Stop::Diverged { .. } => format!("{stop} (--lr)"),
        Stop::NotKept { error: KeepError(error), .. } if error.downcast_ref().is_some_and(goes_on) => {
            format!("{stop} (--resume)")
        }
        _ => stop.to_string(),
    }
}

/// Why a checkpoint was not written, and the flag that goes on from the one before it.
fn not_kept(error: &WriteError) -> String {
    if goes_on(error) { format!("{error} (--resume)") } else { error.to_string() }
}

fn goes_on(error: &WriteError) -> bool {
    error.saved.is_some()
}

fn complete_epochs(count: usize) -> String {
    format!("{count} complete {} {}", epochs(count), if count == 1 { "is" } else { "are" })
}

pub fn epochs(count: usize) -> &'static str {
    if count == 1 { "epoch" } else { "epochs" }
}

/// A run that is shown, and whose files are written.
struct Attended {
    begin: Instant,
    terminal: Terminal,
    writer: Writer,
    /// For TensorBoard, until it cannot be written.
    events: Option<EventFile>,
    live: Option<Live>,
}

/// Browsers that look on.
struct Live {
    feed: Arc<Feed>,
    /// Of the test split, in the last epoch.
    outcomes: Vec<Outcome>,
}

impl Observer for Attended {
    fn advance(&mut self, samples: usize) -> ControlFlow<()> {
        self.terminal.advance(samples)
    }

    fn tested(&mut self, outcomes: &[Outcome]) {
        if let Some(live) = &mut self.live {
            live.outcomes.clear();
            live.outcomes.extend_from_slice(outcomes);
        }
    }

    fn epoch(&mut self, report: &EpochReport) {
        self.terminal.epoch(report);
        let rate = self.terminal.settings.rate(report.metrics.epoch);
        if let Some(Err(error)) = self.events.as_mut().map(|events| events.epoch(&report.metrics, rate)) {
            output::warning(format_args!("{error}; no more is written for TensorBoard"));
            self.events = None;
        }
    }

    fn keep(&mut self, report: &EpochReport, state: &TrainingState) -> Result<(), KeepError> {
        if let Some(live) = &self.live {
            live.feed.epoch(report, &live.outcomes, &state.parameters);
        }
        self.writer.keep(report, state).map_err(|error| KeepError(error.into()))
    }

    fn now(&mut self) -> Duration {
        self.begin.elapsed()
    }
}

/// Epoch lines on stdout, a progress bar on stderr, an ear for Ctrl-C, SIGTERM and SIGHUP.
struct Terminal {
    bar: ProgressBar,
    interruption: Interruption,
    settings: Recipe,
}

impl Terminal {
    /// The first Ctrl-C or SIGTERM ends the run after the current step, the second one the program.
    fn new(settings: &Recipe, dataset: &Dataset, resumed: usize) -> anyhow::Result<Self> {
        let interruption = interrupt::listen()?;
        let samples_per_epoch = (2 * dataset.train.len() + dataset.test.len()) as u64;
        let bar =
            output::progress(u64::from(settings.epochs) * samples_per_epoch, "{msg} {wide_bar} {percent}%, {eta} left");
        bar.set_position(resumed as u64 * samples_per_epoch);
        bar.reset_eta();
        let terminal = Self { bar, interruption, settings: *settings };
        terminal.show_epoch(resumed as u32 + 1);
        Ok(terminal)
    }

    fn show_epoch(&self, epoch: u32) {
        let epochs = self.settings.epochs;
        self.bar.set_message(format!("epoch {}/{epochs}", epoch.min(epochs)));
    }
}

impl Terminal {
    fn advance(&mut self, samples: usize) -> ControlFlow<()> {
        self.bar.inc(samples as u64);
        if self.interruption.flag.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn epoch(&mut self, report: &EpochReport) {
        let metrics = &report.metrics;
        let lines = || {
            match self.settings.schedule {
                RateSchedule::Constant => say!("epoch {}", metrics.epoch),
                _ => say!("epoch {}, lr {}", metrics.epoch, self.settings.rate(metrics.epoch)),
            }
            say!("train mean loss={:.6}, accuracy={:.5}", metrics.train.loss, metrics.train.accuracy());
            say!("test  mean loss={:.6}, accuracy={:.5}", metrics.test.loss, metrics.test.accuracy());
        };
        if std::io::stderr().is_terminal() {
            self.bar.suspend(lines)
        } else {
            lines()
        }
        self.show_epoch(metrics.epoch + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_epoch_is_and_two_are() {
        assert_eq!(complete_epochs(1), "1 complete epoch is");
        assert_eq!(complete_epochs(2), "2 complete epochs are");
    }
}
