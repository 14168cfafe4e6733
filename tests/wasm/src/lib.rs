//! The golden run where there is one thread and no clock. `.ci/wasm.sh` calls the exports in Node.

use std::sync::Arc;

use cnn_train::backend::{Backend, Cpu, CpuOptions, Reference};
use cnn_train::dataset::Dataset;
use equality::golden::{FINGERPRINTS, dataset, fingerprints};

/// How many of the [`FINGERPRINTS`] the backend gives: a machine that computes as it should gives all.
fn golden(backend: impl FnOnce(Arc<Dataset>) -> Box<dyn Backend>) -> u32 {
    let dataset = dataset();
    let mut backend = backend(Arc::clone(&dataset));
    let found = fingerprints(&mut *backend, &dataset);
    found.iter().zip(FINGERPRINTS).filter(|(found, expected)| *found == expected).count() as u32
}

/// How many fingerprints there are.
// SAFETY: no other symbol of that name is linked.
#[unsafe(no_mangle)]
pub extern "C" fn expected() -> u32 {
    FINGERPRINTS.len() as u32
}

/// Those that the reference gives.
// SAFETY: no other symbol of that name is linked.
#[unsafe(no_mangle)]
pub extern "C" fn reference() -> u32 {
    golden(|dataset| Box::new(Reference::new(dataset)))
}

/// Those that the CPU backend gives, at the portable level.
// SAFETY: no other symbol of that name is linked.
#[unsafe(no_mangle)]
pub extern "C" fn cpu() -> u32 {
    golden(|dataset| Box::new(Cpu::new(dataset, CpuOptions::default()).expect("one thread is always there")))
}
