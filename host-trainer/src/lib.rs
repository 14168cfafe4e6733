//! What the program adds to [`cnn_train`]: files of data sets, models, checkpoints and reports, the GPU, boards.
//!
//! No bit of a result is decided here but in [the GPU's backend](backend::cuda); the rest reads, shows and saves.

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod backend;
pub mod board;
pub mod checkpoint;
pub mod classifier;
pub mod dataset;
pub mod doubt;
pub mod exchange;
pub mod files;
pub mod init;
pub mod live;
pub mod lock;
pub mod model_file;
pub mod picture;
pub mod report;
pub mod serve;
pub mod text;
pub mod verify;
