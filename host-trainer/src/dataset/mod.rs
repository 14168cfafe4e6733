//! Finding, reading, downloading and verifying data sets.

pub mod download;
mod fault;
pub mod idx;
mod locate;
pub mod mnist;
pub mod npz;
mod proxy;

pub use locate::{
    DOWNLOAD_FOLDER, DatasetError, NamedSource, Notice, OpenedDataset, OpenedSplit, Options, Origin, Source, open,
    open_split,
};
