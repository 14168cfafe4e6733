//! Shared by the cross-crate tests.

pub mod board;
pub mod hostile;
pub mod pictures;
pub mod vectors;
