//! A data set as records and checkpoints name it.

use serde::{Deserialize, Serialize};

use super::Dataset;
use crate::consistency::{Inconsistent, as_line, at_least_one, one_line};

/// The data set of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetRecord {
    /// What people call it, [one line](cnn_core::text).
    pub name: String,
    /// SHA-256 of its contents (see [`Dataset`]), 64 hexadecimal digits.
    #[serde(with = "crate::fingerprint::sha256")]
    pub sha256: [u8; 32],
    /// Images of the training split, at least 1.
    pub train_count: u64,
    /// Images of the test split, at least 1.
    pub test_count: u64,
}

impl DatasetRecord {
    /// Whether a run can have it.
    ///
    /// # Errors
    /// Names the first field that no data set has.
    pub fn check(&self) -> Result<(), Inconsistent> {
        one_line("dataset.name", &self.name)?;
        at_least_one("dataset.train_count", self.train_count)?;
        at_least_one("dataset.test_count", self.test_count)
    }
}

impl From<&Dataset> for DatasetRecord {
    fn from(dataset: &Dataset) -> Self {
        Self {
            name: as_line(&dataset.name),
            sha256: dataset.hash,
            train_count: dataset.train.len() as u64,
            test_count: dataset.test.len() as u64,
        }
    }
}
