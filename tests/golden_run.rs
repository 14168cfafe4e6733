//! The golden run, whose fingerprints are written down, in `tests::golden`.

use std::sync::Arc;

use cnn_train::backend::CpuOptions;
use host_trainer::backend::{BackendChoice, open};
use tests::golden::{FINGERPRINTS, dataset, fingerprints};
use tests::is_emulated;

#[test]
fn the_reference_gives_the_golden_fingerprints() {
    let dataset = dataset();
    let mut backend =
        open(BackendChoice::Reference, Arc::clone(&dataset), CpuOptions::default()).expect("always there").backend;
    assert_eq!(fingerprints(&mut *backend, &dataset), FINGERPRINTS);
}

#[test]
fn the_cpu_backend_gives_the_golden_fingerprints() {
    let dataset = dataset();
    // How many threads there are is tried in `backend_equality`; under emulation each of these runs takes a minute.
    let numbers_of_threads: &[usize] = if is_emulated() { &[3] } else { &[1, 2, 3, 8] };
    for &threads in numbers_of_threads {
        let options = CpuOptions { threads: Some(threads), ..CpuOptions::default() };
        let mut backend = open(BackendChoice::Cpu, Arc::clone(&dataset), options).expect("always there").backend;
        assert_eq!(fingerprints(&mut *backend, &dataset), FINGERPRINTS, "{threads} threads");
    }
}
