//! The kernels' PTX instead of their compiled sources, for the simulated driver.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};

use libloading::Symbol;
use ptx_machine::{Entry, Interval, Launch, LaunchError, Machine};

use crate::symbol;

/// The device, what it has read of PTX, and what became of it.
#[derive(Default)]
struct Device {
    machine: Machine,
    /// By name: the text of its module, and the kernel.
    kernels: HashMap<String, (String, Entry)>,
    left_out: Option<(String, u32)>,
    profiles: Option<Vec<Profile>>,
    fault: Option<LaunchError>,
}

/// What a launch did.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The kernel's name.
    pub kernel: String,
    /// For every block, from barrier to barrier.
    pub blocks: Vec<Vec<Interval>>,
}

static DEVICE: Mutex<Option<Device>> = Mutex::new(None);

fn device() -> MutexGuard<'static, Option<Device>> {
    DEVICE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets the device execute PTX, until [`crate::reset`]. Its memory is empty.
///
/// # Panics
/// If there is no [`crate::LIBRARY`].
pub fn execute() {
    static MACHINE: DriverMachine = DriverMachine { allocate, free, write, read, launch };
    *device() = Some(Device::default());
    // SAFETY: cuda_sim_use_machine has the type stated; the functions live as long as the process.
    unsafe {
        let use_machine: Symbol<'_, unsafe extern "C" fn(*const DriverMachine) -> c_int> =
            symbol(b"cuda_sim_use_machine\0");
        use_machine(&MACHINE);
    }
}

/// Leaves the instruction at a line of `kernel`'s text out, or none again.
pub fn leave_out(left_out: Option<(&str, u32)>) {
    with(|device| {
        device.left_out = left_out.map(|(kernel, line)| (kernel.to_owned(), line));
        device.kernels.clear();
    });
}

/// What the last launch that failed did wrong.
pub fn take_fault() -> Option<LaunchError> {
    with(|device| device.fault.take())
}

/// Counts what every launch does from now on.
pub fn profile() {
    with(|device| device.profiles = Some(Vec::new()));
}

/// The launches since [`profile`].
pub fn take_profiles() -> Vec<Profile> {
    with(|device| device.profiles.take()).unwrap_or_default()
}

fn with<T>(f: impl FnOnce(&mut Device) -> T) -> T {
    f(device().as_mut().expect("the simulated driver executes PTX"))
}

impl Device {
    /// Runs a kernel of a text.
    fn launch(&mut self, text: &str, name: &str, launch: Launch, arguments: &[&[u8]]) -> Result<(), LaunchError> {
        if self.kernels.get(name).is_none_or(|(known, _)| known != text) {
            let mut kernel = Entry::parse(text, name)?;
            if let Some((_, line)) = self.left_out.as_ref().filter(|(of, _)| of == name) {
                kernel = kernel.without_line(*line);
            }
            self.kernels.insert(name.to_owned(), (text.to_owned(), kernel));
        }
        let (_, kernel) = &self.kernels[name];
        let Some(profiles) = &mut self.profiles else { return self.machine.launch(kernel, launch, arguments) };
        let blocks = self.machine.profile(kernel, launch, arguments)?;
        profiles.push(Profile { kernel: name.to_owned(), blocks });
        Ok(())
    }
}

/// `SimShape` of `cpp/machine.h`.
#[repr(C)]
struct Shape {
    blocks: u32,
    threads: u32,
    shared_bytes: usize,
    cooperative: bool,
}

/// `SimMachine` of `cpp/machine.h`.
#[repr(C)]
struct DriverMachine {
    allocate: extern "C" fn(usize) -> u64,
    free: extern "C" fn(u64) -> bool,
    write: unsafe extern "C" fn(u64, *const c_void, usize) -> bool,
    read: unsafe extern "C" fn(*mut c_void, u64, usize) -> bool,
    launch: unsafe extern "C" fn(
        *const c_char,
        *const c_char,
        *const Shape,
        *const *const c_void,
        *const usize,
        usize,
    ) -> bool,
}

extern "C" fn allocate(bytes: usize) -> u64 {
    with(|device| device.machine.allocate(bytes))
}

extern "C" fn free(address: u64) -> bool {
    with(|device| device.machine.free(address))
}

unsafe extern "C" fn write(to: u64, from: *const c_void, bytes: usize) -> bool {
    // SAFETY: the driver's caller gives so many readable bytes.
    let from = unsafe { bytes_at(from, bytes) };
    with(|device| device.machine.write(to, from))
}

unsafe extern "C" fn read(to: *mut c_void, from: u64, bytes: usize) -> bool {
    with(|device| {
        let Some(found) = device.machine.read(from, bytes) else { return false };
        // SAFETY: the driver's caller gives so many writable bytes, which are not the machine's.
        unsafe { std::ptr::copy_nonoverlapping(found.as_ptr(), to.cast(), bytes) };
        true
    })
}

unsafe extern "C" fn launch(
    text: *const c_char,
    kernel: *const c_char,
    shape: *const Shape,
    arguments: *const *const c_void,
    sizes: *const usize,
    count: usize,
) -> bool {
    // SAFETY: the driver gives two strings, a shape, and `count` arguments with their sizes.
    let (text, kernel, shape, arguments) = unsafe {
        let arguments = (0..count).map(|index| bytes_at(*arguments.add(index), *sizes.add(index)));
        (CStr::from_ptr(text), CStr::from_ptr(kernel), &*shape, arguments.collect::<Vec<_>>())
    };
    let launch = Launch {
        blocks: shape.blocks,
        threads: shape.threads,
        shared_bytes: shape.shared_bytes,
        cooperative: shape.cooperative,
    };
    with(|device| {
        let result = device.launch(&text.to_string_lossy(), &kernel.to_string_lossy(), launch, &arguments);
        device.fault = result.err();
        if let Some(fault) = &device.fault {
            eprintln!("{fault}");
        }
        device.fault.is_none()
    })
}

/// The bytes at an address; none where it is null.
///
/// # Safety
/// So many bytes there can be read for as long as the slice is used.
unsafe fn bytes_at<'a>(address: *const c_void, bytes: usize) -> &'a [u8] {
    if address.is_null() {
        return &[];
    }
    // SAFETY: as the caller vouches.
    unsafe { slice::from_raw_parts(address.cast(), bytes) }
}
