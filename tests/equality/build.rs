//! What the tests need and this machine lacks, as far as it is known before they run: `no_…` makes a test ignored, which
//! libtest counts and shows. What changes later, a test finds out itself and says (the crate `skipped`).

use std::env;

use skipped::build::{is_set, needs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    needs("no_mnist", is_set("MNIST_DIR"));
    let target = env::var("TARGET").expect("cargo sets TARGET");
    // Of another machine nothing is known.
    let here = env::var("HOST").is_ok_and(|host| host == target);
    needs("no_avx512", !here || has_avx512());
    needs("no_avx2", !here || has_avx2());
}

// As cnn-train/src/backend/cpu/simd/*.rs look for them.
#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}
