//! Places the linker script and finds the model file that is linked in.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::copy("memory.x", out.join("memory.x")).expect("memory.x can be copied to the build directory");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rerun-if-changed=memory.x");
    // --nmagic: sections are not put on pages, which flash does not have.
    for argument in ["-Tlink.x", "-Tdefmt.x", "--nmagic"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    link_model();
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
