//! The simulated GPU that executes PTX.

use std::sync::{Mutex, MutexGuard, PoisonError};

use cuda_sim::{Setting, ptx};

/// The simulated GPU, held by one test at a time; none, said on the standard error, where no C++ compiler was found.
pub fn gpu() -> Option<MutexGuard<'static, ()>> {
    gpu_with(4)
}

/// [`gpu`] with another number of multiprocessors.
pub fn gpu_with(multiprocessors: u32) -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(library) = cuda_sim::LIBRARY else {
        eprintln!("skipped: no C++ compiler was found to build the simulated driver");
        return None;
    };
    cuda_loader::use_library(library);
    cuda_sim::reset();
    cuda_sim::set(Setting::Multiprocessors, multiprocessors);
    ptx::execute();
    Some(turn)
}
