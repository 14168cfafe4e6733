//! What can go wrong with a GPU, one clear line each.

use cnn_train::backend::BackendError;

/// What helps where one device does not serve.
pub(super) const ANOTHER_GPU: &str = "another GPU may serve: CUDA_VISIBLE_DEVICES chooses among them";

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
    /// The driver's library lacks a function: it is too old, or no NVIDIA driver.
    #[error("the NVIDIA driver has no function {function}; install driver {needed} or newer")]
    MissingFunction {
        /// The function's name.
        function: &'static str,
        /// The first driver version that serves.
        needed: &'static str,
    },
    /// The driver finds no device.
    #[error("the NVIDIA driver finds no GPU: {message}; check `nvidia-smi` and CUDA_VISIBLE_DEVICES, which {visible}")]
    NoDevice {
        /// What the driver says.
        message: String,
        /// What CUDA_VISIBLE_DEVICES says.
        visible: String,
    },
    /// The driver has no device of that number.
    #[error(
        "there is no GPU {ordinal}: the NVIDIA driver counts {count}, from 0 on, \
         and CUDA_VISIBLE_DEVICES, which chooses among them, {visible}; `doctor` lists them"
    )]
    NoSuchDevice {
        /// The number that was asked for.
        ordinal: u32,
        /// How many devices there are.
        count: u32,
        /// What CUDA_VISIBLE_DEVICES says.
        visible: String,
    },
    /// There are several devices, and none serves.
    #[error("no GPU can be used: {}; CUDA_VISIBLE_DEVICES, which chooses among them, {visible}", reasons.join("; "))]
    NoneUsable {
        /// Every device and why it does not serve.
        reasons: Vec<String>,
        /// What CUDA_VISIBLE_DEVICES says.
        visible: String,
    },
    /// One device cannot be used, or stopped working.
    #[error("{device}: {cause}; {ANOTHER_GPU}")]
    Device {
        /// Its number and name.
        device: String,
        /// What is wrong with it.
        cause: Box<CudaError>,
    },
    /// The device is older than the PTX's target.
    #[error(
        "its compute capability {}.{} is too old: {}.{} (Volta) or newer is needed",
        found.0, found.1, needed.0, needed.1
    )]
    DeviceTooOld {
        /// The device's compute capability.
        found: (i32, i32),
        /// The first that serves.
        needed: (i32, i32),
    },
    /// The device's compute mode lets no program use it.
    #[error("its compute mode is Prohibited; `nvidia-smi --compute-mode 0` lets programs use it")]
    Prohibited,
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
    #[error("{during} failed: {message}")]
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
        move |_| Self::missing().unwrap_or_else(|| Self::Failed { during, message: cuda_loader::last_error() })
    }

    /// The driver finds no device, or fails as a whole.
    pub(super) fn no_device(_: cust::error::CudaError) -> Self {
        Self::missing()
            .unwrap_or_else(|| Self::NoDevice { message: cuda_loader::last_error(), visible: visible_devices() })
    }

    /// The function that the last call did not find in the driver.
    fn missing() -> Option<Self> {
        let function = cuda_loader::missing_function()?;
        Some(Self::MissingFunction { function, needed: kernels::DRIVER_NEEDED.1 })
    }

    /// Whatever is wrong, without the device that it is wrong with.
    pub fn cause(&self) -> &Self {
        match self {
            Self::Device { cause, .. } => cause,
            other => other,
        }
    }
}

/// What the variable says that hides devices from the driver and changes their numbers: "is …" or "is not set".
pub(super) fn visible_devices() -> String {
    match std::env::var_os("CUDA_VISIBLE_DEVICES") {
        // Quoted with escapes: the variable may hold anything.
        Some(devices) => format!("is {devices:?}"),
        None => "is not set".into(),
    }
}

impl From<CudaError> for BackendError {
    fn from(error: CudaError) -> Self {
        Self::Device { message: error.to_string() }
    }
}
