//! Says which processor the assembly is for.

use std::env;

fn main() {
    let target = env::var("TARGET").expect("cargo sets it");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(cortex_m33)");
    if target.starts_with("thumbv8m.main") {
        println!("cargo::rustc-cfg=cortex_m33");
    }
}
