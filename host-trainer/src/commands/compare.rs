//! `compare`: several runs side by side, as a table and as one picture.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use cnn_train::metrics::{EpochMetrics, Metrics};
use cnn_train::recipe::Recipe;
use host_trainer::files::read_limited;
use host_trainer::report::plot::{self, Curve};
use host_trainer::report::record::{EpochRecord, MAX_RECORD_BYTES, Status};
use host_trainer::report::{RECORD, RunRecord};
use host_trainer::text::one_line;
use serde::Serialize;

use super::output::{self, result, say};
use crate::cli::CompareArgs;

/// The accuracy whose first epoch the table has, in percent.
const GOAL: f64 = 97.0;

/// Prints what several runs reached.
pub fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let runs = args.runs.iter().map(|path| ComparedRun::read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let first = &runs[0].record.dataset;
    if let Some(other) = runs.iter().find(|run| run.record.dataset.sha256 != first.sha256) {
        output::warning(format_args!("{} and {} are runs on different data", runs[0].name, other.name));
    }
    let differing = differing(&runs);
    let width = runs.iter().map(|run| run.name.chars().count()).max().unwrap_or(0).max("run".len());
    result!("{:width$}  epochs  accuracy   loss    best at      {GOAL} %  {}", "run", differing.join(", "));
    for run in &runs {
        result!("{}", run.line(width, &differing));
    }
    let summary = Summary::of(&runs);
    result!("{}", summary.line(&runs));
    if let Some(file) = &args.picture {
        let records: Vec<PathBuf> = args.runs.iter().map(|path| record_of(path)).collect();
        let records: Vec<&Path> = records.iter().map(PathBuf::as_path).collect();
        output::check_picture(file, &records)?;
        let curves: Vec<Curve> = runs.iter().map(ComparedRun::curve).collect();
        let png = plot::comparison(&curves, &summary.line(&runs))?;
        output::picture(file, &records, &png)?;
        say!("{}: test accuracy over the epochs", file.display());
    }
    output::json(&Answer { runs: runs.iter().map(ComparedRun::facts).collect(), summary })?;
    Ok(ExitCode::SUCCESS)
}

/// A run's record: the file itself, or that of the folder.
fn record_of(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(RECORD) } else { path.into() }
}

/// A run with at least one epoch.
struct ComparedRun {
    name: String,
    record: RunRecord,
}

impl ComparedRun {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let file = record_of(path);
        let parsed = RunRecord::parse(&read_limited(&file, MAX_RECORD_BYTES)?);
        let record = parsed.with_context(|| file.display().to_string())?;
        ensure!(!record.epochs.is_empty(), "{}: the run has no complete epoch yet", file.display());
        Ok(Self { name: one_line(path.display()), record })
    }

    fn last(&self) -> &EpochRecord {
        self.record.epochs.last().expect("checked when it was read")
    }

    /// The epoch with the highest test accuracy, the first of equal ones.
    fn best(&self) -> &EpochRecord {
        let better = |best, epoch| {
            let (a, b): (&EpochRecord, &EpochRecord) = (best, epoch);
            if b.test_accuracy > a.test_accuracy { b } else { a }
        };
        self.record.epochs.iter().reduce(better).expect("checked when it was read")
    }

    fn reached(&self) -> Option<u32> {
        self.record.epochs.iter().find(|epoch| 100.0 * epoch.test_accuracy >= GOAL).map(|epoch| epoch.epoch)
    }

    fn line(&self, width: usize, differing: &[&str]) -> String {
        let (last, best) = (self.last(), self.best());
        let reached = self.reached().map_or("–".to_owned(), |epoch| format!("epoch {epoch}"));
        let settings: Vec<String> = differing.iter().map(|name| setting(&self.record.settings, name)).collect();
        let unfinished = if self.record.status == Status::Complete { "" } else { " (not complete)" };
        let line = format!(
            "{:width$}  {:>6}  {:>6.2} %  {:.4}  {:>6.2} % {:<5} {reached:<9}  {}{unfinished}",
            self.name,
            self.record.epochs.len(),
            100.0 * last.test_accuracy,
            last.test_loss,
            100.0 * best.test_accuracy,
            best.epoch,
            settings.join(", "),
        );
        line.trim_end().to_owned()
    }

    fn curve(&self) -> Curve {
        let count = self.record.dataset.test_count;
        let metrics = |epoch: &EpochRecord| {
            let correct = (epoch.test_accuracy * count as f64).round() as u64;
            let test = Metrics { loss: epoch.test_loss, correct, count };
            EpochMetrics { epoch: epoch.epoch, train: test, test }
        };
        Curve { name: self.name.clone(), epochs: self.record.epochs.iter().map(metrics).collect() }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            run: &self.name,
            settings: &self.record.settings,
            epochs: self.record.epochs.len(),
            complete: self.record.status == Status::Complete,
            test_accuracy: self.last().test_accuracy,
            test_loss: self.last().test_loss,
            best_test_accuracy: self.best().test_accuracy,
            best_epoch: self.best().epoch,
            first_epoch_of_97_percent: self.reached(),
        }
    }
}

/// The settings that can differ, as their flags are called.
const SETTINGS: [&str; 8] =
    ["seed", "lr", "lr-schedule", "momentum", "weight-decay", "batch-size", "shuffle", "train-layers"];

fn setting(recipe: &Recipe, name: &str) -> String {
    match name {
        "seed" => recipe.seed.to_string(),
        "lr" => recipe.learning_rate.to_string(),
        "lr-schedule" => recipe.schedule.to_string(),
        "momentum" => recipe.momentum.to_string(),
        "weight-decay" => recipe.weight_decay.to_string(),
        "batch-size" => recipe.batch_size.to_string(),
        "shuffle" => recipe.shuffle.to_string(),
        _ => recipe.layers.to_string(),
    }
}

/// The settings that are not the same in all runs.
fn differing(runs: &[ComparedRun]) -> Vec<&'static str> {
    let of_first = |name: &str| setting(&runs[0].record.settings, name);
    let differs = |name: &&str| runs.iter().any(|run| setting(&run.record.settings, name) != of_first(name));
    SETTINGS.into_iter().filter(differs).collect()
}

/// The answer of `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    runs: Vec<Facts<'a>>,
    summary: Summary,
}

/// A run; accuracies are shares, 0 to 1.
#[derive(Serialize)]
struct Facts<'a> {
    run: &'a str,
    settings: &'a Recipe,
    epochs: usize,
    complete: bool,
    test_accuracy: f64,
    test_loss: f64,
    best_test_accuracy: f64,
    best_epoch: u32,
    first_epoch_of_97_percent: Option<u32>,
}

/// The test accuracies after the last epochs of all runs.
#[derive(Debug, PartialEq, Serialize)]
struct Summary {
    mean: f64,
    /// That of the sample, with n − 1; nothing of a single run.
    standard_deviation: Option<f64>,
    best: f64,
    /// Number of the best run, from 0.
    best_run: usize,
    worst: f64,
    worst_run: usize,
}

impl Summary {
    fn of(runs: &[ComparedRun]) -> Self {
        Self::of_accuracies(&runs.iter().map(|run| run.last().test_accuracy).collect::<Vec<_>>())
    }

    fn of_accuracies(accuracies: &[f64]) -> Self {
        let count = accuracies.len() as f64;
        let mean = accuracies.iter().sum::<f64>() / count;
        let squares = accuracies.iter().map(|accuracy| (accuracy - mean).powi(2)).sum::<f64>();
        let first = |better: fn(f64, f64) -> bool| {
            (0..accuracies.len()).reduce(|best, run| if better(accuracies[run], accuracies[best]) { run } else { best })
        };
        let (best_run, worst_run) = (first(|a, b| a > b).unwrap_or(0), first(|a, b| a < b).unwrap_or(0));
        Self {
            mean,
            standard_deviation: (accuracies.len() > 1).then(|| (squares / (count - 1.0)).sqrt()),
            best: accuracies[best_run],
            best_run,
            worst: accuracies[worst_run],
            worst_run,
        }
    }

    fn line(&self, runs: &[ComparedRun]) -> String {
        let Self { mean, standard_deviation, best, best_run, worst, worst_run } = self;
        let deviation = standard_deviation
            .map_or(String::new(), |deviation| format!(", standard deviation {:.2} %", 100.0 * deviation));
        let [best, worst] = [(best, best_run), (worst, worst_run)]
            .map(|(accuracy, run)| format!("{:.2} % ({})", 100.0 * accuracy, runs[*run].name));
        let count = runs.len();
        let noun = if count == 1 { "run" } else { "runs" };
        format!("{count} {noun}: mean {:.2} %{deviation}, best {best}, worst {worst}", 100.0 * mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deviation_is_that_of_a_sample_and_the_first_of_equals_is_named() {
        let summary = Summary::of_accuracies(&[0.5, 0.75, 0.75, 0.5]);
        assert_eq!((summary.mean, summary.best_run, summary.worst_run), (0.625, 1, 0));
        let deviation = summary.standard_deviation.expect("of four");
        assert!((deviation - (0.0625_f64 / 3.0).sqrt()).abs() < 1e-15, "{deviation}");
        assert_eq!(Summary::of_accuracies(&[0.5]).standard_deviation, None);
    }
}
