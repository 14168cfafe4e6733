//! Opens the data set that the flags ask for, and says what it is when it is not what one expects.

use std::path::PathBuf;

use anstream::eprintln;
use host_trainer::dataset::{self, Dataset, DatasetError, Options, Samples, Split};

use super::RED;
use crate::cli::DataArgs;

/// Both splits.
pub fn open(args: &DataArgs) -> Result<Dataset, DatasetError> {
    let opened = dataset::open(&options(args))?;
    warn(opened.warning.as_deref());
    Ok(opened.dataset)
}

/// One split and the data set's name.
pub fn open_split(args: &DataArgs, split: Split) -> Result<(String, Samples), DatasetError> {
    let opened = dataset::open_split(&options(args), split)?;
    warn(opened.warning.as_deref());
    Ok((opened.name, opened.samples))
}

fn options(args: &DataArgs) -> Options {
    Options {
        source: args.dataset,
        data: args.data.clone(),
        mnist_dir: std::env::var_os("MNIST_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from),
        mirrors: args.mirror.clone().into_iter().collect(),
        ..Options::default()
    }
}

/// Frames a warning so that it cannot be missed between lines of output.
fn warn(warning: Option<&str>) {
    let Some(warning) = warning else { return };
    let rule = "!".repeat(80);
    eprintln!("{RED}{rule}\n{warning}\n{rule}{RED:#}");
}
