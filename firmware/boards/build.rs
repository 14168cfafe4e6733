//! Places the linker script, finds the model file that is linked in, and refuses floats that are not the contract's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The stack has what variables leave of the RAM: no program links that leaves it less than it was seen to take
/// (docs/board.md) and a half more.
const STACK: &str =
    r#"ASSERT(_stack_start - _stack_end >= 6K, "too little RAM is left for the stack: fewer SAMPLES");"#;

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::copy("memory.x", out.join("memory.x")).expect("memory.x can be copied to the build directory");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rerun-if-changed=memory.x");
    // Features come from these.
    for file in ["Cargo.toml", "../../Cargo.toml", "../../Cargo.lock"] {
        println!("cargo::rerun-if-changed={file}");
    }
    // --nmagic: sections are not put on pages, which flash does not have.
    fs::write(out.join("stack.x"), STACK).expect("the build directory can be written");
    for argument in ["-Tlink.x", "-Tdefmt.x", "-Tstack.x", "--nmagic"] {
        println!("cargo::rustc-link-arg-bins={argument}");
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
