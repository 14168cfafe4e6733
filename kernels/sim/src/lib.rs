//! A simulated CUDA driver, for tests: the kernels on the CPU, behind the driver's functions. What is tested through it
//! is everything but the GPU: the kernels' arithmetic and barriers, the host's code, the launches.
//!
//! The kernels run in one of two forms:
//! - their own sources, compiled for the CPU: each CUDA thread is a fiber, each resident block a thread of the operating
//!   system (`cpp/cuda_sim.h`).
//! - the PTX that the program loads, executed by [`ptx_machine`] once [`ptx::execute`] was called. Slower; but it is the
//!   very text that a real driver gets, and races, wrong addresses and missed barriers are found whatever the order.

pub mod ptx;

use std::ffi::{CString, c_char, c_int, c_uint};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use libloading::{Library, Symbol};

/// The path of the library that stands in for `libcuda.so.1`; none where no C++ compiler was found.
pub const LIBRARY: Option<&str> = option_env!("CUDA_SIM_LIBRARY");

/// What a test can choose about the simulated devices and their driver. Settings hold for the whole process. They can
/// also be given to a program that opens the library, in the variable `CUDA_SIM`: see `cpp/driver.cpp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// The driver's CUDA version, 1000 · major + 10 · minor.
    DriverVersion,
    /// Number of devices.
    Devices,
    /// Multiprocessors of a device, each of which holds one block.
    Multiprocessors,
    /// Compute capability, 10 · major + minor.
    ComputeCapability,
    /// Whether cooperative launches are supported: 0 or 1.
    CooperativeLaunch,
    /// Memory of a device.
    MemoryMegabytes,
    /// The `CUresult` of asking for a device by its number; 0 for success.
    DeviceError,
    /// The `CUresult` of every question about a device, which is answered nevertheless; 0 for success.
    DescribeError,
    /// The device's compute mode: 0 is the usual one, 2 lets no program use it.
    ComputeMode,
    /// The `CUresult` of creating a context; 0 for success.
    ContextError,
    /// Whether every module fails to load: 0 or 1.
    InvalidPtx,
    /// Kernels that still run before the device is lost.
    LaunchesUntilLost,
}

impl Setting {
    fn name(self) -> &'static str {
        match self {
            Setting::DriverVersion => "driver_version",
            Setting::Devices => "devices",
            Setting::Multiprocessors => "multiprocessors",
            Setting::ComputeCapability => "compute_capability",
            Setting::CooperativeLaunch => "cooperative_launch",
            Setting::MemoryMegabytes => "memory_megabytes",
            Setting::DeviceError => "device_error",
            Setting::DescribeError => "describe_error",
            Setting::ComputeMode => "compute_mode",
            Setting::ContextError => "context_error",
            Setting::InvalidPtx => "invalid_ptx",
            Setting::LaunchesUntilLost => "launches_until_lost",
        }
    }
}

/// The simulated device for one test at a time, its settings at their first values; none, which counts as skipped,
/// where there is no [`LIBRARY`].
pub fn hold() -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    if LIBRARY.is_none() {
        skipped::skip("no C++ compiler was found to build the simulated GPU");
        return None;
    }
    // A test that failed while it held the device leaves nothing behind that the next one minds.
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    reset();
    Some(turn)
}

/// Changes a setting, for all devices where it is one of a device.
///
/// # Panics
/// If there is no [`LIBRARY`].
pub fn set(setting: Setting, value: u32) {
    set_by_name(setting.name().into(), value);
}

/// Changes a setting of one device.
///
/// # Panics
/// If there is no [`LIBRARY`].
pub fn set_for(device: u32, setting: Setting, value: u32) {
    set_by_name(format!("{device}.{}", setting.name()), value);
}

fn set_by_name(name: String, value: u32) {
    let name = CString::new(name).expect("names have no nul");
    // SAFETY: cuda_sim_set has the type stated; the name outlives the call.
    let code = unsafe {
        let set: Symbol<'_, unsafe extern "C" fn(*const c_char, c_uint) -> c_int> = symbol(b"cuda_sim_set\0");
        set(name.as_ptr(), value)
    };
    assert_eq!(code, 0, "the simulated driver knows every setting");
}

/// Gives every setting its first value again: one device of compute capability 7.0 with 4 multiprocessors and much
/// memory, a driver of CUDA 12.0, the threads' own order, no faults. The kernels' compiled sources run.
///
/// # Panics
/// If there is no [`LIBRARY`].
pub fn reset() {
    // SAFETY: cuda_sim_reset has the type stated.
    unsafe {
        let reset: Symbol<'_, unsafe extern "C" fn() -> c_int> = symbol(b"cuda_sim_reset\0");
        reset();
    }
}

/// A function of the simulated driver beside those of a real one.
///
/// # Safety
/// `F` must be its type.
unsafe fn symbol<F>(name: &[u8]) -> Symbol<'static, F> {
    /// Kept open: the settings live as long as the library.
    static SIMULATOR: OnceLock<Library> = OnceLock::new();
    let library = SIMULATOR.get_or_init(|| {
        let path = LIBRARY.expect("only where the simulated driver was built");
        // SAFETY: the library is this crate's own; loading it runs only the initialisers of the C++ standard library.
        unsafe { Library::new(path) }.expect("the simulated driver can be loaded")
    });
    // SAFETY: the caller vouches for the type.
    unsafe { library.get(name) }.expect("the simulated driver has its own functions")
}
