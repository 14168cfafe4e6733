//! The driver and its devices: are they there, and do they serve? Each is judged by itself: one that is lost or too old
//! says nothing about the others.

use std::fmt::{self, Display};

use cust::CudaApiVersion;
use cust::context::Context;
use cust::device::{Device, DeviceAttribute};
use cust::sys;
use kernels::{COMPUTE_CAPABILITY_NEEDED, DRIVER_NEEDED};

use super::error::{CudaError, visible_devices};

/// A GPU as its driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The driver's number of it, from 0. CUDA_VISIBLE_DEVICES changes the numbers.
    pub ordinal: u32,
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
    /// Whether its compute mode lets no program use it.
    pub prohibited: bool,
}

impl DeviceInfo {
    /// Why the device does not serve, if so. Whether it is free is known only when it is opened.
    fn fault(&self) -> Option<CudaError> {
        if self.compute_capability < COMPUTE_CAPABILITY_NEEDED {
            Some(CudaError::DeviceTooOld { found: self.compute_capability, needed: COMPUTE_CAPABILITY_NEEDED })
        } else {
            self.prohibited.then_some(CudaError::Prohibited)
        }
    }
}

/// The number and the name, for messages.
impl Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GPU {} ({})", self.ordinal, self.name)
    }
}

/// A device that the driver counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbedDevice {
    /// The driver's number of it, from 0.
    pub ordinal: u32,
    /// What the driver tells of it; nothing if it does not answer.
    pub info: Option<DeviceInfo>,
    /// Why it cannot be used, if so.
    pub fault: Option<CudaError>,
}

impl ProbedDevice {
    /// Asks the driver about its device of this number.
    fn ask(ordinal: u32) -> Self {
        match Device::get_device(ordinal).and_then(|device| describe(ordinal, device)) {
            Ok(info) => Self { ordinal, fault: info.fault(), info: Some(info) },
            Err(error) => {
                Self { ordinal, info: None, fault: Some(CudaError::failed("asking the driver about it")(error)) }
            }
        }
    }

    /// What it is called in messages.
    fn label(&self) -> String {
        self.info.as_ref().map_or_else(|| format!("GPU {}", self.ordinal), DeviceInfo::to_string)
    }

    /// A context of this process on the device.
    fn open(self) -> Result<(Context, DeviceInfo), CudaError> {
        let named = {
            let device = self.label();
            move |cause| CudaError::Device { device, cause: Box::new(cause) }
        };
        match self {
            Self { ordinal, info: Some(info), fault: None } => {
                let context = Device::get_device(ordinal).and_then(Context::new).map_err(CudaError::failed(
                    "opening it (is another program using it exclusively? `nvidia-smi` lists them)",
                ));
                context.map(|context| (context, info)).map_err(named)
            }
            Self { fault, .. } => Err(named(fault.expect("a device without a description has a fault"))),
        }
    }
}

/// The driver and its devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The CUDA version that the driver supports, major and minor.
    pub cuda_version: (i32, i32),
    /// All devices, in the driver's order; training takes the first that can be used. At least one.
    pub devices: Vec<ProbedDevice>,
}

/// Looks for a driver and its devices, without taking hold of a device.
///
/// # Errors
/// Why there is no driver or no device. That a device cannot be used is said of the device.
pub fn probe() -> Result<Probe, CudaError> {
    let cuda_version = open_driver()?;
    let count = Device::num_devices().map_err(CudaError::no_device)?;
    if count == 0 {
        return Err(CudaError::NoDevice { message: "their number is 0".into(), visible: visible_devices() });
    }
    Ok(Probe { cuda_version, devices: (0..count).map(ProbedDevice::ask).collect() })
}

/// A device with a context of this process on it: that of the number, or the first that can be used.
///
/// # Errors
/// Why there is none, or why it is not to be had.
pub(super) fn open(ordinal: Option<u32>) -> Result<(Context, DeviceInfo), CudaError> {
    let mut devices = probe()?.devices;
    let Some(ordinal) = ordinal else { return open_first(devices) };
    if ordinal as usize >= devices.len() {
        let count = devices.len() as u32;
        return Err(CudaError::NoSuchDevice { ordinal, count, visible: visible_devices() });
    }
    devices.swap_remove(ordinal as usize).open()
}

fn open_first(devices: Vec<ProbedDevice>) -> Result<(Context, DeviceInfo), CudaError> {
    let mut errors = Vec::new();
    for device in devices {
        match device.open() {
            Ok(opened) => return Ok(opened),
            Err(error) => errors.push(error),
        }
    }
    if errors.len() == 1 {
        return Err(errors.remove(0));
    }
    let reason = |error: &CudaError| match error {
        CudaError::Device { device, cause } => format!("{device}: {cause}"),
        other => other.to_string(),
    };
    Err(CudaError::NoneUsable { reasons: errors.iter().map(reason).collect(), visible: visible_devices() })
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
    cust::init(cust::CudaFlags::empty()).map_err(CudaError::no_device)?;
    Ok((major, minor))
}

fn describe(ordinal: u32, device: Device) -> cust::error::CudaResult<DeviceInfo> {
    let attribute = |attribute| device.get_attribute(attribute);
    Ok(DeviceInfo {
        ordinal,
        name: device.name()?,
        compute_capability: (
            attribute(DeviceAttribute::ComputeCapabilityMajor)?,
            attribute(DeviceAttribute::ComputeCapabilityMinor)?,
        ),
        multiprocessors: attribute(DeviceAttribute::MultiprocessorCount)?.unsigned_abs(),
        memory: device.total_memory()?,
        cooperative_launch: optional(device, sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH) == 1,
        prohibited: optional(device, sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_MODE)
            == sys::CUcomputemode::CU_COMPUTEMODE_PROHIBITED as i32,
    })
}

/// An attribute without which a device serves as well: 0 if the driver does not know it.
fn optional(device: Device, attribute: sys::CUdevice_attribute) -> i32 {
    let mut value = 0;
    // SAFETY: the place for the value is valid, the device comes from the driver. On an error the value stays 0.
    unsafe { sys::cuDeviceGetAttribute(&mut value, attribute, device.as_raw()) };
    value
}
