//! Places the linker scripts, finds the model file that is linked in, and refuses floats that are not the contract's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The stack has what variables leave of the RAM: no program links that leaves it less than it was seen to take
/// (docs/board.md) and a half more.
const STACK: &str =
    r#"ASSERT(_stack_start - _stack_end >= 6K, "too little RAM is left for the stack: fewer SAMPLES");"#;

/// The linker scripts of a board with a Cortex-M.
fn link_for_cortex_m(out: &Path) {
    fs::copy("memory.x", out.join("memory.x")).expect("memory.x can be copied to the build directory");
    println!("cargo::rerun-if-changed=memory.x");
    fs::write(out.join("stack.x"), STACK).expect("the build directory can be written");
    // --nmagic: sections are not put on pages, which flash does not have.
    for argument in ["-Tlink.x", "-Tdefmt.x", "-Tstack.x", "--nmagic"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}

/// The linker scripts of a board with Espressif's chip: esp-hal's, which have a `memory.x` and a `stack.x` of their own and
/// leave the stack no less than 8 KB, and the board's.
fn link_for_espressif(out: &Path) {
    fs::copy("program.x", out.join("program.x")).expect("program.x can be copied to the build directory");
    println!("cargo::rerun-if-changed=program.x");
    forbid_rom_libgcc(out);
    for argument in ["-Tlinkall.x", "-Tdefmt.x", "-Tprogram.x"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}

/// The scripts of `esp-rom-sys` put the boot ROM's libgcc, floats and all, in the place of the compiler's functions. An empty
/// script of that name, in the folder that the linker searches first, leaves those where they are; `program.x` looks whether
/// it did.
fn forbid_rom_libgcc(out: &Path) {
    let folder = out.join("rom");
    fs::create_dir_all(&folder).expect("the build directory can be written");
    fs::write(folder.join("esp32c3.rom.libgcc.ld"), "").expect("the build directory can be written");
}

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rustc-link-search={}", out.display());
    match env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it").as_str() {
        "riscv32" => link_for_espressif(&out),
        _ => link_for_cortex_m(&out),
    }
    // Features come from these.
    for file in ["Cargo.toml", "../../Cargo.toml", "../../Cargo.lock"] {
        println!("cargo::rerun-if-changed={file}");
    }
    link_model();
    forbid_rom_floats();
}

/// `embassy-rp` can put the floats of the RP2040's boot ROM in the place of the compiler's. They take subnormals for zero
/// (RP2040 data sheet, 2.8.3.2), which numerics.md's rule 1 does not allow.
fn forbid_rom_floats() {
    const FEATURE: &str = "embassy-rp feature \"intrinsics\"";
    let package = env::var("CARGO_PKG_NAME").expect("cargo sets it");
    let tree = Command::new(env::var_os("CARGO").expect("cargo sets it"))
        .args(["tree", "--offline", "--edges", "features", "--prefix", "none", "--package", &package])
        .output()
        .expect("cargo runs");
    let features = String::from_utf8_lossy(&tree.stdout);
    if !tree.status.success() {
        println!(
            "cargo::error=cargo tree failed: {}",
            String::from_utf8_lossy(&tree.stderr).trim().replace('\n', "; ")
        );
    } else if features.contains(FEATURE) {
        println!("cargo::error={FEATURE}: the boot ROM's floats do not give the contract's bits");
    }
}

/// `CNN_MODEL` names the model file to link in, the committed one unless set; empty links none.
fn link_model() {
    println!("cargo::rustc-check-cfg=cfg(linked_model)");
    println!("cargo::rerun-if-env-changed=CNN_MODEL");
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../model/mnist.cnnm");
    let model = match env::var_os("CNN_MODEL") {
        Some(path) if path.is_empty() => return,
        Some(path) => PathBuf::from(path),
        None => committed,
    };
    println!("cargo::rerun-if-changed={}", model.display());
    match model.canonicalize() {
        Ok(model) => {
            println!("cargo::rustc-cfg=linked_model");
            println!("cargo::rustc-env=LINKED_MODEL={}", model.display());
        }
        Err(error) => println!("cargo::error=CNN_MODEL={}: {error}", model.display()),
    }
}
