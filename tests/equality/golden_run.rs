//! The golden run, whose fingerprints are written down, in `equality::golden`.

use std::sync::Arc;

use cnn_train::backend::{Cpu, CpuOptions, Reference};
use equality::golden::{dataset, expected, fingerprints};
use equality::{is_slow, threads};

#[test]
fn the_reference_gives_the_golden_fingerprints() {
    let dataset = dataset();
    assert_eq!(fingerprints(&mut Reference::new(Arc::clone(&dataset)), &dataset), expected());
}

#[test]
fn the_cpu_backend_gives_the_golden_fingerprints() {
    let dataset = dataset();
    // How many threads there are is tried in `backend_equality`; where it is slow each of these runs takes a minute.
    let numbers_of_threads: &[usize] = if is_slow() || threads(2) == 1 { &[threads(3)] } else { &[1, 2, 3, 8] };
    for &threads in numbers_of_threads {
        let options = CpuOptions { threads: Some(threads), ..CpuOptions::default() };
        let mut backend = Cpu::new(Arc::clone(&dataset), options).expect("the portable level is always there");
        assert_eq!(fingerprints(&mut backend, &dataset), expected(), "{threads} threads");
    }
}
