//! The golden run, whose fingerprints are written down, in `equality::golden`.

use std::sync::Arc;

use cnn_core::int8::{Activations, forward, reference};
use cnn_train::backend::{Cpu, CpuOptions, Reference, SimdLevel};
use cnn_train::int8::Evaluator;
use equality::golden::{INT8_FINGERPRINTS, dataset, expected, fingerprints, int8_fingerprints, quantized};
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

/// Every processor quantises to the same file and computes the same integers: with the plain form, the quick one, and every
/// level of the host's vectors.
#[test]
fn quantising_gives_the_golden_integers() {
    let dataset = dataset();
    let (parameters, scales) = quantized(&dataset);
    let images = dataset.test.images();
    let mut activations = Activations::new();
    let plain: Vec<_> =
        images.iter().map(|pixels| reference::forward(pixels, &parameters.view(), &mut activations)).collect();
    assert_eq!(int8_fingerprints(&parameters, scales, &plain), INT8_FINGERPRINTS);
    let quick: Vec<_> = images.iter().map(|pixels| forward(pixels, &parameters.view(), &mut activations)).collect();
    assert_eq!(quick, plain);
    for level in SimdLevel::available() {
        let options = CpuOptions { threads: Some(threads(2)), simd: Some(level) };
        let mut logits = vec![[0; 10]; images.len()];
        Evaluator::new(options).expect("the level is there").run(&parameters, images, &mut logits);
        assert_eq!(logits, plain, "{level}");
    }
}
