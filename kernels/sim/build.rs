//! Compiles the simulated driver, with the kernels in it, to a shared library.
//!
//! Without a C++ compiler, or on another machine than x86-64 Linux, there is no library: the crate says so and its
//! users skip what needs one.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=cpp");
    println!("cargo::rerun-if-changed=../cuda");
    if env::var("TARGET").is_ok_and(|target| target != "x86_64-unknown-linux-gnu") {
        println!("cargo::warning=no simulated GPU: it runs on x86-64 Linux only; the tests of the CUDA kernels skip");
        return;
    }
    let compiler = match cc::Build::new().cpp(true).opt_level(2).try_get_compiler() {
        Ok(compiler) => compiler,
        Err(error) => return no_compiler(&error),
    };
    let library = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("libcuda_sim.so");
    let status = compiler
        .to_command()
        // The kernels' arithmetic must be rounded operation by operation, as the contract has it.
        .args(["-std=c++17", "-shared", "-pthread", "-ffp-contract=off", "-fno-fast-math"])
        .args(["-Wall", "-Wextra", "-Wno-unknown-pragmas", "-I../cuda", "cpp/driver.cpp", "cpp/cuda_sim.cpp"])
        .arg("-o")
        .arg(&library)
        .status();
    match status {
        Ok(status) => assert!(status.success(), "the simulated driver does not compile"),
        Err(error) => return no_compiler(&error),
    }
    println!("cargo::rustc-env=CUDA_SIM_LIBRARY={}", library.display());
}

fn no_compiler(error: &dyn std::error::Error) {
    println!("cargo::warning=no simulated GPU: no C++ compiler ({error}); the tests of the CUDA kernels skip");
}
