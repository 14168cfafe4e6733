//! The simulated GPU that executes PTX.

use std::sync::MutexGuard;

use cuda_sim::{Setting, ptx};

/// The simulated GPU, held by one test at a time; none, which counts as skipped, where no C++ compiler was found.
pub fn gpu() -> Option<MutexGuard<'static, ()>> {
    gpu_with(4)
}

/// [`gpu`] with another number of multiprocessors.
pub fn gpu_with(multiprocessors: u32) -> Option<MutexGuard<'static, ()>> {
    let turn = cuda_sim::hold()?;
    cuda_loader::use_library(cuda_sim::LIBRARY?);
    cuda_sim::set(Setting::Multiprocessors, multiprocessors);
    ptx::execute();
    Some(turn)
}
