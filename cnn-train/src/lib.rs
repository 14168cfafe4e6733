//! Trains the network of [`cnn_core`]: data sets in memory, backends, and the epoch loop above them.
//!
//! It knows no files, no terminal, no network, no GPU, and no clock but its caller's, so that it runs wherever `std` is:
//! also in a browser, on one thread. Everything that decides a bit of the result lives in [`cnn_core`], in [`random`] and
//! in the [backends](backend).

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod backend;
pub mod checkpoint;
pub mod consistency;
pub mod dataset;
pub mod fingerprint;
pub mod float_environment;
pub mod int8;
pub mod metrics;
pub mod ordinary;
pub mod random;
pub mod recipe;
pub mod schedule;
pub mod threads;
pub mod trainer;
