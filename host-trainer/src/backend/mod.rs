//! The choice of a backend: those of `cnn_train`, and the GPU.

pub mod cuda;

use std::sync::Arc;

use cnn_train::backend::{Backend, Cpu, CpuError, CpuOptions, FewerThreads, Reference};
use cnn_train::dataset::Dataset;

pub use cuda::{Cuda, CudaError, Schedule};

/// Which backend is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendChoice {
    /// The first GPU that can be used, otherwise the processor.
    Auto,
    /// The GPU, many steps behind one launch.
    Cuda,
    /// The GPU, a captured graph of two kernels a step.
    CudaGraph,
    /// The processor with all its cores and vectors.
    Cpu,
    /// The plain form that all others are tested against, one thread.
    Reference,
}

impl BackendChoice {
    /// Whether the choice may be a GPU.
    pub fn may_be_gpu(self) -> bool {
        match self {
            Self::Auto | Self::Cuda | Self::CudaGraph => true,
            Self::Cpu | Self::Reference => false,
        }
    }
}

/// A backend that was made.
pub struct OpenedBackend {
    /// The backend.
    pub backend: Box<dyn Backend>,
    /// Why [`BackendChoice::Auto`] did not take the GPU.
    pub no_gpu: Option<CudaError>,
    /// That the CPU backend got fewer threads than it wanted.
    pub fewer_threads: Option<FewerThreads>,
}

/// Why a backend cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum NoBackend {
    /// The processor does not have what the options ask for.
    #[error(transparent)]
    Cpu(#[from] CpuError),
    /// The GPU cannot be used.
    #[error(transparent)]
    Cuda(#[from] CudaError),
}

/// What a backend is to compute on.
#[derive(Debug, Clone, Copy, Default)]
pub struct MachineOptions {
    /// For the processor.
    pub cpu: CpuOptions,
    /// The GPU of this number; the first that can be used if none is given.
    pub device: Option<u32>,
}

impl From<CpuOptions> for MachineOptions {
    fn from(cpu: CpuOptions) -> Self {
        Self { cpu, device: None }
    }
}

/// Makes a backend over `dataset`, its parameters all 0 until [`Backend::load`].
///
/// [`BackendChoice::Auto`] takes the processor where no GPU can be used, unless a device is named. The device's number
/// says nothing to the processor's backends.
///
/// # Errors
/// If the choice or the options ask for what the machine does not have.
pub fn open(
    choice: BackendChoice,
    dataset: Arc<Dataset>,
    options: impl Into<MachineOptions>,
) -> Result<OpenedBackend, NoBackend> {
    let MachineOptions { cpu, device } = options.into();
    let (mut no_gpu, mut fewer_threads) = (None, None);
    let mut cpu = |dataset| -> Result<Box<dyn Backend>, CpuError> {
        let backend = Cpu::new(dataset, cpu)?;
        fewer_threads = backend.fewer_threads();
        Ok(Box::new(backend))
    };
    let backend: Box<dyn Backend> = match choice {
        BackendChoice::Auto => match Cuda::on_device(Arc::clone(&dataset), Schedule::Cooperative, device) {
            Ok(cuda) => Box::new(cuda),
            Err(reason) if device.is_some() => return Err(reason.into()),
            Err(reason) => {
                no_gpu = Some(reason);
                cpu(dataset)?
            }
        },
        BackendChoice::Cuda => Box::new(Cuda::on_device(dataset, Schedule::Cooperative, device)?),
        BackendChoice::CudaGraph => Box::new(Cuda::on_device(dataset, Schedule::Graph, device)?),
        BackendChoice::Cpu => cpu(dataset)?,
        BackendChoice::Reference => Box::new(Reference::new(dataset)),
    };
    Ok(OpenedBackend { backend, no_gpu, fewer_threads })
}
