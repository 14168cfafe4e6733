//! What the tests need and this machine lacks, as far as it is known before they run: `no_…` makes a test ignored, which
//! libtest counts and shows. What changes later, a test finds out itself and says (the crate `skipped`).

use std::env;
use std::path::Path;

use skipped::build::{is_set, needs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    needs("no_mnist", is_set("MNIST_DIR"));
    needs("no_firmware", is_set("FIRMWARE_ELF"));
    needs("no_trainer", is_set("TRAINER_ELF"));
    needs("no_pico", is_set("PICO_ELF"));
    needs("no_emulated", is_set("EMULATED_TARGET_DIR"));
    let target = env::var("TARGET").expect("cargo sets TARGET");
    // As kernels/sim/build.rs decides whether there is a simulated GPU.
    let simulated =
        target == "x86_64-unknown-linux-gnu" && cc::Build::new().cpp(true).opt_level(2).try_get_compiler().is_ok();
    let real = ["/dev/nvidiactl", "/dev/dxg"].iter().any(|device| Path::new(device).exists());
    needs("no_simulated_gpu", simulated);
    needs("no_gpu", simulated || real);
    // A real GPU's faults cannot be ordered.
    needs("no_gpu_with_faults", simulated && !real);
}
