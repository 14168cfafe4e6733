//! A function that the driver's library lacks is named. Its own process: the library is chosen once.
#![cfg(target_os = "linux")]

use cust_raw::CUresult;

#[test]
fn a_function_that_the_driver_lacks_is_named() {
    // A library that is no driver stands for one that is too old.
    cuda_loader::use_library("libc.so.6");
    // SAFETY: nothing is called in the library.
    let code = unsafe { cuda_loader::cuInit(0) };
    assert_eq!(code, CUresult::CUDA_ERROR_NOT_FOUND);
    assert_eq!(cuda_loader::missing_function(), Some("cuInit"));
    assert_eq!(cuda_loader::last_error(), "the driver has no function cuInit");
    // SAFETY: as above.
    unsafe { cuda_loader::cuCtxSynchronize() };
    assert_eq!(cuda_loader::missing_function(), Some("cuCtxSynchronize"));
}
