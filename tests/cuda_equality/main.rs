//! The CUDA backend equals the reference, bit for bit, and says clearly what is wrong with a GPU.
//!
//! On a machine with an NVIDIA GPU the tests run on it; elsewhere on a simulated one, which runs the kernels' own
//! sources on the CPU behind the same driver functions, for several orders of its threads. Without a C++ compiler there
//! is no simulated GPU either, and the tests count as ignored.

mod divergence;
mod equality;
mod faults;
mod gpu;
mod math;
