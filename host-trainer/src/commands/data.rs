//! Opens the data set that the flags ask for, and says what it is when it is not what one expects.

use std::path::PathBuf;

use cnn_train::dataset::{Dataset, Samples, Split, synthetic};
use host_trainer::dataset;
use host_trainer::dataset::download::{DownloadOptions, Watch};
use host_trainer::dataset::{DatasetError, Notice, Options};
use host_trainer::report::RunRecord;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use super::output;
use crate::cli::{DataArgs, SourceArg};

/// Both splits.
pub fn open(args: &DataArgs) -> Result<Dataset, DatasetError> {
    let opened = dataset::open(&options(args))?;
    tell(opened.notice);
    Ok(opened.dataset)
}

/// The data set of a recorded run. Where the flags leave it open the record decides, so that nothing stands in for it.
pub fn open_recorded(args: &DataArgs, record: &RunRecord) -> Result<Dataset, DatasetError> {
    open_named(args, Some(&record.dataset.name))
}

/// The data set that a model says it was trained on, MNIST if it says nothing. Where the flags leave it open the name
/// decides, so that nothing stands in for it.
pub fn open_named(args: &DataArgs, name: Option<&str>) -> Result<Dataset, DatasetError> {
    let drawn = name == Some(&*synthetic::name(synthetic::DEFAULT_SEED));
    let named = args.data.is_some() || args.mirror.is_some() || mnist_dir().is_some();
    let dataset = match args.dataset {
        SourceArg::Auto if drawn && !named => SourceArg::Synthetic,
        SourceArg::Auto if !named => SourceArg::Mnist,
        given => given,
    };
    open(&DataArgs { dataset, ..args.clone() })
}

/// One split and the data set's name.
pub fn open_split(args: &DataArgs, split: Split) -> Result<(String, Samples), DatasetError> {
    let opened = dataset::open_split(&options(args), split)?;
    tell(opened.notice);
    Ok((opened.name, opened.samples))
}

fn options(args: &DataArgs) -> Options {
    Options {
        source: args.dataset.into(),
        data: args.data.clone(),
        mnist_dir: mnist_dir(),
        mirrors: args.mirror.clone().into_iter().collect(),
        download: DownloadOptions {
            watch: output::shows_progress().then_some(bar as Watch),
            ..DownloadOptions::default()
        },
        ..Options::default()
    }
}

/// A bar that shows how a download goes, and vanishes at its end.
fn bar(name: &'static str, length: Option<u64>) -> Box<dyn FnMut(u64)> {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{msg} {wide_bar} {bytes}/{total_bytes}, {eta} left"),
        None => (ProgressBar::no_length(), "{msg} {spinner} {bytes}"),
    };
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    let bar = bar.with_style(style).with_message(format!("downloading {name}")).with_finish(ProgressFinish::AndClear);
    Box::new(move |bytes| bar.inc(bytes))
}

fn mnist_dir() -> Option<PathBuf> {
    std::env::var_os("MNIST_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

/// Says where the data comes from, if that must be said.
fn tell(notice: Option<Notice>) {
    match notice {
        None => {}
        Some(Notice::Remark(remark)) => output::note(remark),
        Some(Notice::StandIn(warning)) => output::framed_warning(format_args!(
            "{warning} --dataset mnist refuses instead, --dataset synthetic draws digits without asking."
        )),
    }
}
