//! The committed PTX, executed on the CPU: it gives the reference's bits, is free of races, and needs its barriers.
//!
//! The trainer loads the PTX through the simulated driver as it would through a real one; `kernels/ptx-machine` runs it
//! and refuses whatever a kernel must not do. Without a C++ compiler there is no simulated driver, and the tests say
//! that they skip.

mod barriers;
mod divergence;
mod equality;
mod gpu;
/// exp and ln, as on any GPU.
#[path = "../cuda_equality/math.rs"]
mod math;
