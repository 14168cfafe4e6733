//! Which flags an error is about. The library says what to do and knows no flag; the program names it.

use anyhow::Error;
use host_trainer::backend::{CudaError, NoBackend};
use host_trainer::checkpoint::ResumeError;
use host_trainer::dataset::download::DownloadError;
use host_trainer::dataset::{DatasetError, NamedSource, Origin};
use host_trainer::lock::LockError;

/// Where a run leaves its files.
const OUT: &[&str] = &["--out"];
/// Where a run leaves its files, and that what is there is replaced.
const ANOTHER_RUN: &[&str] = &["--out", "--overwrite"];
/// Where the data is.
const DATA: &[&str] = &["--data"];

/// The flags by which one does what an error advises.
pub fn of(error: &Error) -> Vec<&'static str> {
    let flags: &[&str] = if let Some(error) = error.downcast_ref() {
        return of_dataset(error);
    } else if let Some(error) = error.downcast_ref::<LockError>() {
        match error {
            LockError::Held { .. } | LockError::HeldElsewhere { .. } => OUT,
            LockError::Io { .. } => &[],
        }
    } else if let Some(error) = error.downcast_ref::<ResumeError>() {
        match error {
            ResumeError::OtherRun(_) | ResumeError::Damaged(_) => ANOTHER_RUN,
            ResumeError::Beyond { .. } => &["--epochs", "--out"],
            ResumeError::File(_) | ResumeError::Unreadable(_) => &[],
        }
    } else if let Some(NoBackend::Cuda(CudaError::Device { .. })) = error.downcast_ref() {
        &["--device"]
    } else {
        &[]
    };
    flags.to_vec()
}

fn of_dataset(error: &DatasetError) -> Vec<&'static str> {
    match error {
        DatasetError::TwoSources(one, other) => [one, other].map(|source| of_source(*source)).to_vec(),
        DatasetError::NotMnist { .. } => vec!["--data", "--dataset"],
        DatasetError::Download(DownloadError::Mirror(_)) => vec!["--mirror"],
        DatasetError::Download(_) => vec!["--data", "--dataset synthetic"],
        DatasetError::Folder { origin, .. }
        | DatasetError::Missing { origin, .. }
        | DatasetError::File { origin, .. }
        | DatasetError::Counts { origin, .. } => {
            if *origin == Origin::Download {
                Vec::new()
            } else {
                DATA.to_vec()
            }
        }
        DatasetError::Ambiguous { .. } | DatasetError::NotOriginal { .. } => DATA.to_vec(),
        DatasetError::Unreadable(_) => Vec::new(),
    }
}

fn of_source(source: NamedSource) -> &'static str {
    match source {
        NamedSource::Path => "--data",
        NamedSource::Mirror => "--mirror",
        NamedSource::Synthetic => "--dataset synthetic",
    }
}
