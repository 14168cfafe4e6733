//! What a run says of itself: the model, the metrics table, the two plots and the run record.

pub mod plot;
pub mod record;
pub mod sheet;
pub mod table;
pub mod tensorboard;

use std::path::{Path, PathBuf};

use cnn_core::network::FlatParameters;
use cnn_train::consistency::as_line;
use cnn_train::dataset::Dataset;
use cnn_train::fingerprint::Fingerprint;
use cnn_train::metrics::EpochMetrics;
use cnn_train::recipe::Recipe;
use cnn_train::trainer::{EpochReport, Run};

pub use plot::PlotError;
pub use record::RunRecord;

use crate::files::{FileError, create_folder, exists, remove, write_whole};
use crate::init::Init;
use crate::model_file::{self, ModelFileError};
use record::{EpochRecord, Host, RecordError, Seconds, Status, Versions};

/// The model file's name.
pub const MODEL: &str = "weights.postcard";
/// The name of the model file with the parameters that the run was given to start from, if it was.
pub const INITIAL: &str = "initial.postcard";
/// The plot of both losses.
pub const LOSS_PLOT: &str = "loss_image.png";
/// The plot of both accuracies.
pub const ACCURACY_PLOT: &str = "accuracy_image.png";
/// The metrics table's name.
pub const METRICS: &str = "metrics.csv";
/// The run record's name.
pub const RECORD: &str = "run.json";

/// The files that a run leaves beside its checkpoints.
pub const FILES: [&str; 6] = [MODEL, INITIAL, LOSS_PLOT, ACCURACY_PLOT, METRICS, RECORD];

/// Those of [`FILES`] that are in a folder.
pub fn found(folder: &Path) -> Vec<PathBuf> {
    FILES.iter().map(|name| folder.join(name)).filter(|path| exists(path)).collect()
}

/// What a run was, beside what came out of it.
#[derive(Debug)]
pub struct RunContext<'a> {
    /// The recipe.
    pub settings: &'a Recipe,
    /// What it was given to start from, if it was.
    pub init: Option<&'a Init>,
    /// The data.
    pub dataset: &'a Dataset,
    /// The backend's description.
    pub backend: String,
    /// Wall-clock time of the whole run so far, in seconds.
    pub seconds: f64,
}

/// What has come out of a run so far.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The initial parameters.
    pub initial_fingerprint: Fingerprint,
    /// Every complete epoch, at least one.
    pub epochs: &'a [EpochReport],
    /// The parameters after the last of them.
    pub parameters: &'a FlatParameters,
    /// How the run ended, if it did.
    pub status: Status,
}

impl<'a> From<&'a Run> for Snapshot<'a> {
    /// Of a run that has ended.
    fn from(run: &'a Run) -> Self {
        Self {
            initial_fingerprint: run.initial_fingerprint,
            epochs: &run.epochs,
            parameters: &run.state.parameters,
            status: if run.stopped.is_none() { Status::Complete } else { Status::Interrupted },
        }
    }
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
/// A file that cannot be written does not keep the others from it, except that without a model there is nothing to
/// describe, and without a table or the initial parameters no record.
///
/// # Errors
/// The first file that cannot be written.
///
/// # Panics
/// If the run has no complete epoch.
pub fn write(folder: &Path, run: Snapshot<'_>, context: &RunContext<'_>) -> Result<(), ReportError> {
    let metrics: Vec<EpochMetrics> = run.epochs.iter().map(|report| report.metrics).collect();
    let last = metrics.last().expect("a run that is reported has a complete epoch");
    let named = plot::named(&context.dataset.name, context.settings.seed, &context.backend);
    let golden = &context.dataset.test.images()[0];
    let name = as_line(&context.dataset.name);
    let training = context.settings.training(&name, context.dataset.hash, last);
    create_folder(folder)?;
    let model = model_file::stage(&folder.join(MODEL), Some(training), run.parameters, golden)?;
    if let Err(error) = remove(&folder.join(RECORD))
        && !error.is_done()
    {
        return Err(error.into());
    }
    let model = model.publish();
    if let Err(error) = &model
        && !error.is_done()
    {
        return Ok(model?);
    }
    // A run that was given none has none beside it either, whatever an earlier one left.
    let initial = folder.join(INITIAL);
    let initial = context.init.map_or_else(|| remove(&initial), |init| write_whole(&initial, init.file()));
    let loss = plot::loss_image(&metrics, &named).map(|bytes| write_whole(&folder.join(LOSS_PLOT), &bytes));
    let accuracy = plot::accuracy_image(&metrics, &named).map(|bytes| write_whole(&folder.join(ACCURACY_PLOT), &bytes));
    let table = write_whole(&folder.join(METRICS), table::to_csv(&metrics).as_bytes());
    let record = if [&table, &initial].iter().all(|written| written.as_ref().err().is_none_or(FileError::is_done)) {
        let json = run_record(run, context).to_json()?;
        write_whole(&folder.join(RECORD), json.as_bytes())
    } else {
        Ok(())
    };
    model?;
    initial?;
    loss??;
    accuracy??;
    table?;
    Ok(record?)
}

/// The record of a run, complete or not.
pub fn run_record(run: Snapshot<'_>, context: &RunContext<'_>) -> RunRecord {
    let initial_file = context.init.map(|init| init.name.clone());
    RunRecord {
        versions: Versions::current(context.settings, initial_file.as_deref()),
        status: run.status,
        settings: *context.settings,
        dataset: context.dataset.into(),
        backend: context.backend.clone(),
        host: Host::current(),
        seconds: Seconds {
            training: run.epochs.iter().map(|report| report.training_seconds).sum(),
            evaluation: run.epochs.iter().map(|report| report.evaluation_seconds).sum(),
            total: context.seconds,
        },
        initial_file,
        initial_fingerprint: run.initial_fingerprint,
        epochs: run.epochs.iter().map(EpochRecord::from).collect(),
    }
}
