//! Stands in for the published `find_cuda_helper`, which the build scripts of `cust` and `cust_raw` call.
//!
//! The published one panics where no CUDA toolkit is installed and links `libcuda` where one is. This project's binary
//! builds on any machine and finds the driver when it runs (see the crate `cuda-loader`), so nothing is left to do.

/// Does nothing.
pub fn include_cuda() {}
