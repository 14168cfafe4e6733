//! Opens the data set that the flags ask for, and says what it is when it is not what one expects.

use std::path::PathBuf;

use host_trainer::dataset::{self, Dataset, DatasetError, Options, Samples, Split};

use super::output;
use crate::cli::DataArgs;

/// Both splits.
pub fn open(args: &DataArgs) -> Result<Dataset, DatasetError> {
    let opened = dataset::open(&options(args))?;
    opened.warning.iter().for_each(output::framed_warning);
    Ok(opened.dataset)
}

/// One split and the data set's name.
pub fn open_split(args: &DataArgs, split: Split) -> Result<(String, Samples), DatasetError> {
    let opened = dataset::open_split(&options(args), split)?;
    opened.warning.iter().for_each(output::framed_warning);
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
