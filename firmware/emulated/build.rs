//! Places the linker script of the emulated machine.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let target = env::var("TARGET").expect("cargo sets it");
    // As board-support's build script, whose modules are compiled here too.
    println!("cargo::rustc-check-cfg=cfg(cortex_m33)");
    if target.starts_with("thumbv8m.main") {
        println!("cargo::rustc-cfg=cortex_m33");
    }
    let (script, file) = match target.split('-').next() {
        Some("thumbv6m") => (memory(0x0000_0000, "128K", 0x2000_0000), "link.x"),
        Some("thumbv8m.main") => (memory(0x1000_0000, "1M", 0x3800_0000), "link.x"),
        Some("riscv32imc") => (include_str!("riscv.x").into(), "riscv.x"),
        _ => panic!("{target} has no machine here: add it to firmware/emulated/build.rs"),
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join(if file == "link.x" { "memory.x" } else { file }), script).expect("OUT_DIR can be written");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-T{file}");
    println!("cargo::rustc-link-arg-bins=--nmagic");
    println!("cargo::rerun-if-changed=riscv.x");
}

/// For `cortex-m-rt`.
fn memory(flash: u32, flash_len: &str, ram: u32) -> String {
    format!("MEMORY {{ FLASH : ORIGIN = {flash:#x}, LENGTH = {flash_len}\n RAM : ORIGIN = {ram:#x}, LENGTH = 128K }}\n")
}
