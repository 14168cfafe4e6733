//! The GPU of the tests: a real one, the simulated one, or none.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cuda_sim::Setting;

/// A GPU, held by one test at a time.
pub struct Gpu {
    /// Whether it is the simulated one, whose settings can be changed; they are reset for the next test.
    pub simulated: bool,
    _turn: MutexGuard<'static, ()>,
}

impl Gpu {
    /// Changes a setting of a simulated GPU; a real one stays as it is.
    pub fn set(&self, setting: Setting, value: u32) {
        if self.simulated {
            cuda_sim::set(setting, value);
        }
    }

    /// Changes a setting of one device of a simulated GPU.
    pub fn set_for(&self, device: u32, setting: Setting, value: u32) {
        if self.simulated {
            cuda_sim::set_for(device, setting, value);
        }
    }

    /// Gives every setting of a simulated GPU its first value again.
    pub fn reset(&self) {
        if self.simulated {
            cuda_sim::reset();
        }
    }
}

/// The machine's GPU, or the simulated one; none, which counts as skipped, where neither is to be had.
pub fn gpu() -> Option<Gpu> {
    // The NVIDIA driver's control device; under WSL 2 there is another one.
    let real = ["/dev/nvidiactl", "/dev/dxg"].iter().any(|device| Path::new(device).exists());
    if real {
        static TURN: Mutex<()> = Mutex::new(());
        // A test that failed while it held the GPU leaves nothing behind that the next one minds.
        return Some(Gpu { simulated: false, _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner) });
    }
    let turn = cuda_sim::hold()?;
    cuda_loader::use_library(cuda_sim::LIBRARY?);
    Some(Gpu { simulated: true, _turn: turn })
}

/// The simulated GPU; none on a machine with a real one, or without a C++ compiler.
pub fn simulated_gpu() -> Option<Gpu> {
    let gpu = gpu()?;
    if !gpu.simulated {
        skipped::skip("this machine has a real GPU, whose faults cannot be ordered");
        return None;
    }
    Some(gpu)
}
