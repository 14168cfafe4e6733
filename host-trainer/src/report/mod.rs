//! What a run says of itself: the model, the metrics table, the two plots and the run record.

pub mod metrics;
pub mod plot;
pub mod record;

use std::path::Path;

use cnn_core::model::Training;

pub use metrics::{EpochMetrics, Metrics};
pub use plot::PlotError;
pub use record::RunRecord;

use crate::dataset::Dataset;
use crate::files::{FileError, create_folder, remove, write_whole};
use crate::model_file::{self, ModelFileError};
use crate::trainer::{Run, Settings};
use record::{EpochRecord, Host, RecordError, Seconds, Status, Versions, as_line};

/// The model file's name.
pub const MODEL: &str = "weights.postcard";
/// The plot of both losses.
pub const LOSS_PLOT: &str = "loss_image.png";
/// The plot of both accuracies.
pub const ACCURACY_PLOT: &str = "accuracy_image.png";
/// The metrics table's name.
pub const METRICS: &str = "metrics.csv";
/// The run record's name.
pub const RECORD: &str = "run.json";

/// What a run was, beside what came out of it.
#[derive(Debug)]
pub struct RunContext<'a> {
    /// The recipe.
    pub settings: &'a Settings,
    /// The data.
    pub dataset: &'a Dataset,
    /// The backend's description.
    pub backend: String,
    /// Wall-clock time of the whole run so far, in seconds.
    pub seconds: f64,
}

/// Why a run's files could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The model file.
    #[error(transparent)]
    Model(#[from] ModelFileError),
    /// A plot.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Writes all that a run leaves, each file whole or not at all. At every moment the files that a record describes lie
/// beside it: that of an earlier run goes before the first of them is replaced, the new one comes last. The folder is
/// made again if somebody removed it.
///
/// # Errors
/// If a file cannot be written.
///
/// # Panics
/// If the run has no complete epoch.
pub fn write(folder: &Path, run: &Run, context: &RunContext<'_>) -> Result<(), ReportError> {
    let metrics: Vec<EpochMetrics> = run.epochs.iter().map(|report| report.metrics).collect();
    let last = metrics.last().expect("a run that is reported has a complete epoch");
    let named = plot::named(&context.dataset.name, context.settings.seed, &context.backend);
    let golden = &context.dataset.test.images()[0];
    let name = as_line(&context.dataset.name);
    create_folder(folder)?;
    let model =
        model_file::stage(&folder.join(MODEL), Some(training(context, &name, last)), &run.state.parameters, golden)?;
    remove(&folder.join(RECORD))?;
    model.publish()?;
    write_whole(&folder.join(LOSS_PLOT), &plot::loss_image(&metrics, &named)?)?;
    write_whole(&folder.join(ACCURACY_PLOT), &plot::accuracy_image(&metrics, &named)?)?;
    write_whole(&folder.join(METRICS), metrics::to_csv(&metrics).as_bytes())?;
    write_whole(&folder.join(RECORD), run_record(run, context).to_json()?.as_bytes())?;
    Ok(())
}

/// What the model file says of the run.
fn training<'a>(context: &RunContext<'_>, dataset: &'a str, last: &EpochMetrics) -> Training<'a> {
    let Settings { batch_length, sgd, seed, shuffle, .. } = *context.settings;
    Training {
        dataset,
        dataset_hash: context.dataset.hash,
        seed,
        epochs: last.epoch,
        batch_length,
        shuffle,
        learning_rate: sgd.learning_rate,
        momentum: sgd.momentum,
        weight_decay: sgd.weight_decay,
        // A data set has fewer than 2³² images.
        test_correct: last.test.correct as u32,
        test_count: last.test.count as u32,
    }
}

/// The record of a run, complete or not.
pub fn run_record(run: &Run, context: &RunContext<'_>) -> RunRecord {
    RunRecord {
        versions: Versions::current(),
        status: if run.stopped.is_none() { Status::Complete } else { Status::Interrupted },
        settings: context.settings.into(),
        dataset: context.dataset.into(),
        backend: context.backend.clone(),
        host: Host::current(),
        seconds: Seconds {
            training: run.epochs.iter().map(|report| report.training_seconds).sum(),
            evaluation: run.epochs.iter().map(|report| report.evaluation_seconds).sum(),
            total: context.seconds,
        },
        initial_fingerprint: run.initial_fingerprint,
        epochs: run.epochs.iter().map(EpochRecord::from).collect(),
    }
}
