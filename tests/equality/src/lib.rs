//! Shared by the tests of equality: cases, values, the obvious loops, and how bits are compared.

pub mod bits;
pub mod cases;
pub mod divergence;
pub mod golden;
pub mod oracle;
pub mod values;

use std::env;
use std::path::PathBuf;

/// The folder of real MNIST, or none, which counts as skipped.
pub fn mnist_dir() -> Option<PathBuf> {
    let folder = env::var_os("MNIST_DIR").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    if folder.is_none() {
        skipped::skip("MNIST_DIR is not set");
    }
    folder
}

/// So many threads, or the one that a target without threads has.
pub const fn threads(wanted: usize) -> usize {
    if cfg!(target_family = "wasm") { 1 } else { wanted }
}

/// Whether a second elsewhere takes minutes here (the variable SLOW is set): under an emulator, under a tool that watches
/// memory, or without optimisation. Tests then take fewer and smaller cases, but leave out no dimension.
pub fn is_slow() -> bool {
    env::var_os("SLOW").is_some()
}
