//! The golden run, whose fingerprints are written down, in `tests::golden`.

use std::sync::Arc;

use host_trainer::backend::{BackendChoice, CpuOptions, open};
use tests::golden::{FINGERPRINTS, dataset, fingerprints};

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
    for threads in [1, 2, 3, 8] {
        let options = CpuOptions { threads: Some(threads), ..CpuOptions::default() };
        let mut backend = open(BackendChoice::Cpu, Arc::clone(&dataset), options).expect("always there").backend;
        assert_eq!(fingerprints(&mut *backend, &dataset), FINGERPRINTS, "{threads} threads");
    }
}
