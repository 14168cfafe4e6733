//! What build scripts say of tests that need what a machine may lack: `no_…` is a cfg that makes them ignored.

use std::env;

/// Sets the cfg `missing` unless it is there.
pub fn needs(missing: &str, is_there: bool) {
    println!("cargo::rustc-check-cfg=cfg({missing})");
    if !is_there {
        println!("cargo::rustc-cfg={missing}");
    }
}

/// Whether a variable of the environment is set, and not to nothing.
pub fn is_set(variable: &str) -> bool {
    println!("cargo::rerun-if-env-changed={variable}");
    env::var_os(variable).is_some_and(|value| !value.is_empty())
}
