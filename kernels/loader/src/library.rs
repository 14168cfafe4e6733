//! Where the driver's library is, and opening it.

use std::path::Path;
use std::sync::OnceLock;

use libloading::Library;

/// Where NVIDIA's drivers install their library, in the order of looking: by name in the system's folders, then in the
/// folder that Windows lends a Linux under WSL 2, which not every distribution searches.
#[cfg(target_os = "linux")]
const PLACES: &[&str] = &["libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"];
/// Where NVIDIA's driver installs its library.
#[cfg(windows)]
const PLACES: &[&str] = &["nvcuda.dll"];
/// There are no drivers for other systems.
#[cfg(not(any(target_os = "linux", windows)))]
const PLACES: &[&str] = &[];

static CHOSEN: OnceLock<Option<&'static str>> = OnceLock::new();

/// Names another driver library, as tests without a GPU do.
///
/// # Panics
/// If a driver function was called before, or another library was named.
pub fn use_library(path: &'static str) {
    let chosen = CHOSEN.get_or_init(|| Some(path));
    assert_eq!(*chosen, Some(path), "the driver library is already chosen");
}

/// Opens the driver's library.
///
/// # Errors
/// What the system's loader says if the library is not there or cannot be opened.
pub fn open() -> Result<(), &'static str> {
    get().map(drop)
}

/// The driver library, kept open for the rest of the process.
pub(crate) fn get() -> Result<&'static Library, &'static str> {
    static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
    LIBRARY
        .get_or_init(|| match CHOSEN.get_or_init(|| None) {
            Some(path) => load(path),
            None => open_first(PLACES),
        })
        .as_ref()
        .map_err(String::as_str)
}

/// Opens the first of the libraries that opens. A file that is there and does not open is told beside the first error.
fn open_first(places: &[&str]) -> Result<Library, String> {
    let mut errors = Vec::new();
    for place in places {
        match load(place) {
            Ok(library) => return Ok(library),
            Err(error) if errors.is_empty() || Path::new(place).exists() => errors.push(error),
            Err(_) => {}
        }
    }
    if errors.is_empty() {
        return Err("NVIDIA has no CUDA driver for this operating system".into());
    }
    Err(errors.join("; "))
}

#[cfg(not(windows))]
fn load(path: &str) -> Result<Library, String> {
    // SAFETY: loading the driver runs its initialisers, as linking against it would.
    unsafe { Library::new(path) }.map_err(|error| error.to_string())
}

#[cfg(windows)]
fn load(path: &str) -> Result<Library, String> {
    use libloading::os::windows::{LOAD_LIBRARY_SEARCH_SYSTEM32, Library};
    // By name the driver is taken from the system's folder alone: a library of that name beside the program is not it.
    let flags = if Path::new(path).is_absolute() { 0 } else { LOAD_LIBRARY_SEARCH_SYSTEM32 };
    // SAFETY: loading the driver runs its initialisers, as linking against it would.
    unsafe { Library::load_with_flags(path, flags) }.map(Into::into).map_err(|error| format!("{path}: {error}"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_first_library_that_opens_is_taken() {
        assert!(open_first(&["libno-such.so.1", "/no/such/libcuda.so.1", "libc.so.6"]).is_ok());
    }

    #[test]
    fn a_library_that_is_there_and_does_not_open_is_told_one_that_is_not_there_is_told_once() {
        let error = open_first(&["libno-such.so.1", "/no/such/libcuda.so.1", "/dev/null"]).unwrap_err();
        assert!(error.starts_with("libno-such.so.1: ") && error.contains("; /dev/null: "), "{error}");
        assert!(!error.contains("/no/such"), "{error}");
    }

    #[test]
    fn the_folder_of_wsl_is_looked_at_after_the_systems() {
        assert_eq!(PLACES, ["libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"]);
    }

    #[test]
    fn a_system_without_a_driver_is_told_so() {
        assert!(open_first(&[]).unwrap_err().contains("NVIDIA has no CUDA driver for this operating system"));
    }
}
