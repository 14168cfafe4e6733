//! Shared by the cross-crate tests.

pub mod bits;
pub mod cases;
pub mod oracle;
pub mod values;
pub mod vectors;
