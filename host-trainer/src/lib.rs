//! The trainer that runs on a host: data sets, backends, the epoch loop, reports and commands.
//!
//! Everything that decides a bit of the result lives in [`cnn_core`], in [`random`] and in the backends; the rest of
//! this crate reads, shows and saves.

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod backend;
pub mod board;
pub mod checkpoint;
pub mod dataset;
pub mod doubt;
pub mod exchange;
pub mod files;
pub mod fingerprint;
pub mod float_environment;
pub mod lock;
pub mod model_file;
pub mod picture;
pub mod random;
pub mod report;
pub mod text;
pub mod threads;
pub mod trainer;
pub mod verify;
