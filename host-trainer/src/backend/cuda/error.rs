//! What can go wrong with a GPU, one clear line each.

use crate::backend::BackendError;

/// Why the GPU cannot be used, or stopped working.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// The driver's library is not there.
    #[error("no NVIDIA driver: {reason}; install the NVIDIA driver, version {needed} or newer")]
    NoDriver {
        /// What the system's loader says.
        reason: String,
        /// The first driver version that serves.
        needed: &'static str,
    },
    /// The driver is older than the PTX.
    #[error("the NVIDIA driver is too old: it supports CUDA {major}.{minor}; install driver {needed} or newer")]
    DriverTooOld {
        /// The CUDA version that the driver supports.
        major: i32,
        /// The CUDA version that the driver supports.
        minor: i32,
        /// The first driver version that serves.
        needed: &'static str,
    },
    /// The driver finds no device.
    #[error("the NVIDIA driver finds no GPU: {message}; check `nvidia-smi` and CUDA_VISIBLE_DEVICES")]
    NoDevice {
        /// What the driver says.
        message: String,
    },
    /// The device is older than the PTX's target.
    #[error(
        "the GPU {name} is too old: its compute capability is {}.{}, {}.{} (Volta) or newer is needed",
        found.0, found.1, needed.0, needed.1
    )]
    DeviceTooOld {
        /// The device's name.
        name: String,
        /// Its compute capability.
        found: (i32, i32),
        /// The first that serves.
        needed: (i32, i32),
    },
    /// The device has not enough free memory.
    #[error(
        "not enough GPU memory: {} MB more are needed for {purpose}, {} of {} MB are free; \
         end other programs on the GPU or choose a smaller batch",
        wanted.div_ceil(1_000_000), free / 1_000_000, total / 1_000_000
    )]
    OutOfMemory {
        /// What the memory was for.
        purpose: &'static str,
        /// Bytes asked for.
        wanted: usize,
        /// Bytes free.
        free: usize,
        /// Bytes the device has.
        total: usize,
    },
    /// The driver does not translate the kernels.
    #[error("the driver does not load the CUDA module `{module}`: {message}; its log: {log}")]
    Load {
        /// The module's name.
        module: &'static str,
        /// What the driver says.
        message: String,
        /// The log of the driver's compiler, on one line.
        log: String,
    },
    /// Any other refusal of the driver: a busy device, a device lost.
    #[error("the GPU failed while {during}: {message}")]
    Failed {
        /// What was being done.
        during: &'static str,
        /// What the driver says.
        message: String,
    },
}

impl CudaError {
    /// Makes an error of a failed driver call, in the words of the driver.
    pub(super) fn failed(during: &'static str) -> impl Fn(cust::error::CudaError) -> Self {
        move |_| Self::Failed { during, message: cuda_loader::last_error() }
    }
}

impl From<CudaError> for BackendError {
    fn from(error: CudaError) -> Self {
        Self::Device { message: error.to_string() }
    }
}
