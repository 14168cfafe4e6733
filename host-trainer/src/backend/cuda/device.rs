//! The driver and the device: are they there, and do they serve?

use cust::CudaApiVersion;
use cust::context::Context;
use cust::device::{Device, DeviceAttribute};
use cust::sys;
use kernels::{COMPUTE_CAPABILITY_NEEDED, DRIVER_NEEDED};

use super::error::CudaError;

/// A GPU as its driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The vendor's name.
    pub name: String,
    /// Compute capability, major and minor.
    pub compute_capability: (i32, i32),
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of memory.
    pub memory: usize,
    /// Whether all blocks of a launch can be resident at once and wait for each other.
    pub cooperative_launch: bool,
}

/// The driver and its devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The CUDA version that the driver supports, major and minor.
    pub cuda_version: (i32, i32),
    /// All devices, in the driver's order; training takes the first.
    pub devices: Vec<DeviceInfo>,
}

/// Looks for a driver and for devices that serve, without taking hold of a device.
///
/// # Errors
/// Why there is none.
pub fn probe() -> Result<Probe, CudaError> {
    let cuda_version = open_driver()?;
    let count = Device::num_devices().map_err(no_device)?;
    if count == 0 {
        return Err(CudaError::NoDevice { message: "their number is 0".into() });
    }
    let devices = (0..count)
        .map(|ordinal| Device::get_device(ordinal).and_then(describe))
        .collect::<Result<Vec<_>, _>>()
        .map_err(CudaError::failed("describing the devices"))?;
    let first = &devices[0];
    if first.compute_capability < COMPUTE_CAPABILITY_NEEDED {
        return Err(CudaError::DeviceTooOld {
            name: first.name.clone(),
            found: first.compute_capability,
            needed: COMPUTE_CAPABILITY_NEEDED,
        });
    }
    Ok(Probe { cuda_version, devices })
}

/// The first device, with a context of this process on it.
///
/// # Errors
/// Why there is none, or why it is not to be had.
pub(super) fn open() -> Result<(Context, DeviceInfo), CudaError> {
    let info = probe()?.devices.swap_remove(0);
    let context = Device::get_device(0)
        .and_then(Context::new)
        .map_err(CudaError::failed("opening the device (is another program using it exclusively?)"))?;
    Ok((context, info))
}

/// Finds and initialises a driver that serves; its CUDA version.
fn open_driver() -> Result<(i32, i32), CudaError> {
    let (version_needed, needed) = DRIVER_NEEDED;
    cuda_loader::open().map_err(|reason| CudaError::NoDriver { reason: reason.into(), needed })?;
    let version = CudaApiVersion::get().map_err(CudaError::failed("asking the driver for its version"))?;
    let (major, minor) = (version.major(), version.minor());
    if 1000 * major + 10 * minor < version_needed {
        return Err(CudaError::DriverTooOld { major, minor, needed });
    }
    cust::init(cust::CudaFlags::empty()).map_err(no_device)?;
    Ok((major, minor))
}

fn no_device(_: cust::error::CudaError) -> CudaError {
    CudaError::NoDevice { message: cuda_loader::last_error() }
}

fn describe(device: Device) -> cust::error::CudaResult<DeviceInfo> {
    let attribute = |attribute| device.get_attribute(attribute);
    Ok(DeviceInfo {
        name: device.name()?,
        compute_capability: (
            attribute(DeviceAttribute::ComputeCapabilityMajor)?,
            attribute(DeviceAttribute::ComputeCapabilityMinor)?,
        ),
        multiprocessors: attribute(DeviceAttribute::MultiprocessorCount)?.unsigned_abs(),
        memory: device.total_memory()?,
        cooperative_launch: has_cooperative_launch(device),
    })
}

/// An attribute that `cust` does not name.
fn has_cooperative_launch(device: Device) -> bool {
    let attribute = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH;
    let mut value = 0;
    // SAFETY: the place for the value is valid, the device comes from the driver. On an error the value stays 0.
    unsafe { sys::cuDeviceGetAttribute(&mut value, attribute, device.as_raw()) };
    value != 0
}
