//! What lies in device memory.

use cnn_core::network::{FC1_WEIGHT, FlatParameters, HIDDEN, PARAMETER_COUNT, POOL2_LEN};
use cnn_train::backend::TrainingState;
use cnn_train::dataset::Samples;
use cust::error::CudaError as Code;
use cust::memory::{CopyDestination, DeviceBuffer, DeviceCopy};
use cust::sys;
use kernels::{BATCH_BUFFERS, DeviceAddress};

use super::error::CudaError;

/// A buffer whose contents are not defined yet.
///
/// # Errors
/// [`CudaError::OutOfMemory`], or what else the driver says.
pub(super) fn allocate<T: DeviceCopy>(purpose: &'static str, length: usize) -> Result<DeviceBuffer<T>, CudaError> {
    // SAFETY: every user of these buffers writes a value before it, or a kernel, reads it.
    unsafe { DeviceBuffer::uninitialized(length) }.map_err(|code| match code {
        Code::OutOfMemory => {
            let (free, total) = memory_info();
            CudaError::OutOfMemory { purpose, wanted: length * size_of::<T>(), free, total }
        }
        _ => CudaError::failed("allocating memory")(code),
    })
}

/// Free and total bytes of the device; zeros if the driver does not say.
fn memory_info() -> (usize, usize) {
    let (mut free, mut total) = (0, 0);
    // SAFETY: both places are valid. On an error they keep their zeros.
    unsafe { sys::cuMemGetInfo_v2(&mut free, &mut total) };
    (free, total)
}

/// A buffer with a copy of `values`.
pub(super) fn upload<T: DeviceCopy>(purpose: &'static str, values: &[T]) -> Result<DeviceBuffer<T>, CudaError> {
    let mut buffer = allocate(purpose, values.len())?;
    buffer.copy_from(values).map_err(CudaError::failed("copying to the device"))?;
    Ok(buffer)
}

/// The address that kernels get.
pub(super) fn address<T: DeviceCopy>(buffer: &DeviceBuffer<T>) -> DeviceAddress {
    buffer.as_device_ptr().as_raw()
}

/// A split of the data set: pixels as they are in the files, and labels.
pub(super) struct DeviceSamples {
    pub(super) images: DeviceBuffer<u8>,
    pub(super) labels: DeviceBuffer<u8>,
    pub(super) length: usize,
}

impl DeviceSamples {
    pub(super) fn new(samples: &Samples) -> Result<Self, CudaError> {
        Ok(Self {
            images: upload("the images", samples.images().as_flattened())?,
            labels: upload("the labels", samples.labels())?,
            length: samples.len(),
        })
    }
}

/// The training state, and fc1's weight once more as `[input][output]`.
pub(super) struct DeviceState {
    pub(super) parameters: DeviceBuffer<f32>,
    pub(super) momentum: DeviceBuffer<f32>,
    pub(super) fc1_transposed: DeviceBuffer<f32>,
}

impl DeviceState {
    pub(super) fn new(state: &TrainingState) -> Result<Self, CudaError> {
        const PURPOSE: &str = "the parameters";
        Ok(Self {
            parameters: upload(PURPOSE, &state.parameters[..])?,
            momentum: upload(PURPOSE, &state.momentum[..])?,
            fc1_transposed: upload(PURPOSE, &transposed_fc1(&state.parameters))?,
        })
    }

    pub(super) fn load(&mut self, state: &TrainingState) -> Result<(), CudaError> {
        self.parameters
            .copy_from(&state.parameters[..])
            .and_then(|()| self.momentum.copy_from(&state.momentum[..]))
            .and_then(|()| self.fc1_transposed.copy_from(&transposed_fc1(&state.parameters)[..]))
            .map_err(CudaError::failed("loading the training state"))
    }

    pub(super) fn read(&self) -> Result<TrainingState, CudaError> {
        let mut state = TrainingState::new(cnn_train::backend::boxed_zeros());
        self.parameters
            .copy_to(&mut state.parameters[..])
            .and_then(|()| self.momentum.copy_to(&mut state.momentum[..]))
            .map_err(CudaError::failed("reading the training state"))?;
        Ok(state)
    }
}

const _: () = assert!(FC1_WEIGHT.len == HIDDEN * POOL2_LEN && FC1_WEIGHT.offset + FC1_WEIGHT.len < PARAMETER_COUNT);

/// fc1.weight, `[output][input]` in the parameters, as `[input][output]`.
fn transposed_fc1(parameters: &FlatParameters) -> Vec<f32> {
    let weight = &parameters[FC1_WEIGHT.range()];
    (0..FC1_WEIGHT.len).map(|i| weight[i % HIDDEN * POOL2_LEN + i / HIDDEN]).collect()
}

/// What the phases of a step hand to each other, for batches of up to `batch_length` samples.
pub(super) struct BatchMemory {
    pub(super) batch_length: usize,
    buffers: Vec<DeviceBuffer<f32>>,
}

impl BatchMemory {
    pub(super) fn new(batch_length: usize) -> Result<Self, CudaError> {
        let buffers = BATCH_BUFFERS
            .iter()
            .map(|length| allocate("the gradients of a batch", batch_length * length))
            .collect::<Result<_, _>>()?;
        Ok(Self { batch_length, buffers })
    }

    /// The buffers in the order of [`BATCH_BUFFERS`].
    pub(super) fn addresses(&self) -> [DeviceAddress; BATCH_BUFFERS.len()] {
        std::array::from_fn(|i| address(&self.buffers[i]))
    }
}

/// What evaluation needs and gives.
pub(super) struct EvaluationMemory {
    /// pool2 of the samples between the two kernels.
    pub(super) pool2: DeviceBuffer<f32>,
    /// The outcomes of a whole split.
    pub(super) losses: DeviceBuffer<f32>,
    pub(super) predictions: DeviceBuffer<u8>,
}

impl EvaluationMemory {
    /// Memory for splits of up to `samples`, `chunk` of them at once.
    pub(super) fn new(samples: usize, chunk: usize) -> Result<Self, CudaError> {
        const PURPOSE: &str = "evaluation";
        Ok(Self {
            pool2: allocate(PURPOSE, chunk * POOL2_LEN)?,
            losses: allocate(PURPOSE, samples)?,
            predictions: allocate(PURPOSE, samples)?,
        })
    }
}
