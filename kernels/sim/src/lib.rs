//! A simulated CUDA driver, for tests: the kernels' own sources compiled for the CPU, behind the driver's functions.
//!
//! Each CUDA thread is a fiber, each resident block a thread of the operating system (`cpp/cuda_sim.h`). What is tested
//! through it is everything but the GPU: the kernels' arithmetic and barriers, the host's code, the launches. A dropped
//! barrier shows as a wrong result under some [`Setting::Seed`].

use std::ffi::{CString, c_char, c_int, c_uint};

use libloading::Library;

/// The path of the library that stands in for `libcuda.so.1`; none where no C++ compiler was found.
pub const LIBRARY: Option<&str> = option_env!("CUDA_SIM_LIBRARY");

/// What a test can choose about the simulated device and its driver. Settings hold for the whole process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Draws the order in which threads take turns; 0 is their own order.
    Seed,
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
    /// The `CUresult` of creating a context; 0 for success.
    ContextError,
    /// Whether every module fails to load: 0 or 1.
    InvalidPtx,
    /// Kernels that still run before the device is lost.
    LaunchesUntilLost,
}

impl Setting {
    const ALL: [Setting; 10] = [
        Setting::Seed,
        Setting::DriverVersion,
        Setting::Devices,
        Setting::Multiprocessors,
        Setting::ComputeCapability,
        Setting::CooperativeLaunch,
        Setting::MemoryMegabytes,
        Setting::ContextError,
        Setting::InvalidPtx,
        Setting::LaunchesUntilLost,
    ];

    fn name_and_default(self) -> (&'static str, u32) {
        match self {
            Setting::Seed => ("seed", 0),
            Setting::DriverVersion => ("driver_version", 12_000),
            Setting::Devices => ("devices", 1),
            Setting::Multiprocessors => ("multiprocessors", 4),
            Setting::ComputeCapability => ("compute_capability", 70),
            Setting::CooperativeLaunch => ("cooperative_launch", 1),
            Setting::MemoryMegabytes => ("memory_megabytes", 1 << 20),
            Setting::ContextError => ("context_error", 0),
            Setting::InvalidPtx => ("invalid_ptx", 0),
            Setting::LaunchesUntilLost => ("launches_until_lost", u32::MAX),
        }
    }
}

/// Changes a setting.
///
/// # Panics
/// If there is no [`LIBRARY`].
pub fn set(setting: Setting, value: u32) {
    let (name, _) = setting.name_and_default();
    let path = LIBRARY.expect("only where the simulated driver was built");
    let name = CString::new(name).expect("names have no nul");
    // SAFETY: the library is this crate's own; loading it runs only the initialisers of the C++ standard library, and
    // its cuda_sim_set has the type stated.
    let code = unsafe {
        let library = Library::new(path).expect("the simulated driver can be loaded");
        let set = library
            .get::<unsafe extern "C" fn(*const c_char, c_uint) -> c_int>(b"cuda_sim_set\0")
            .expect("the simulated driver has cuda_sim_set");
        let code = set(name.as_ptr(), value);
        // The settings live as long as the library stays loaded.
        std::mem::forget(library);
        code
    };
    assert_eq!(code, 0, "the simulated driver knows every setting");
}

/// Gives every setting its first value again.
///
/// # Panics
/// If there is no [`LIBRARY`].
pub fn reset() {
    for setting in Setting::ALL {
        set(setting, setting.name_and_default().1);
    }
}
