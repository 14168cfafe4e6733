//! The hot loops, each written once over [`Simd`](super::simd::Simd).
//!
//! Lanes, tiles and threads always run over different outputs; the terms of every sum follow each other in the order
//! that `cnn_core` documents. What a kernel skips are ±0.0 terms of sums that started from +0.0, which changes no bit.

#![expect(clippy::needless_range_loop, reason = "tiles of registers are plain to read as indices of all their arrays")]

pub mod conv1;
pub mod conv2;
pub mod linear;
pub mod pool;
pub mod update;
