//! A short run whose fingerprints are written down: every machine, build profile and backend must give them.
//!
//! It covers the built-in digits, the random numbers, every operation forward and backward, and SGD. A change of one
//! bit anywhere changes the fingerprints; such a change is a new version of the arithmetic, never a repair of a test.

use std::ops::ControlFlow;
use std::sync::Arc;

use cnn_core::int8::{Logits, OwnedParameters};
use cnn_core::model::Scales;
use cnn_train::backend::Backend;
use cnn_train::dataset::{Dataset, synthetic};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::int8::{block, calibrate, calibration_images, quantize};
use cnn_train::random::initial_parameters;
use cnn_train::recipe::Recipe;
use cnn_train::trainer::{EpochReport, Observer, train};

use crate::is_slow;

/// The fingerprints of the initial parameters and of the parameters after each epoch, of which there is one where an epoch
/// takes a minute.
pub fn expected() -> &'static [&'static str] {
    &FINGERPRINTS[..=settings().epochs as usize]
}

fn settings() -> Recipe {
    Recipe { epochs: if is_slow() { 1 } else { 3 }, learning_rate: 0.01, seed: 20_260_101, ..Recipe::TUTORIAL }
}

const FINGERPRINTS: [&str; 4] = [
    "87fce6c591fc6147ec5d0c73c487d70a3d84a773bd8c98d5792ba5f5d3c9739f",
    "8cde7947be696cb88ba64cec1ce16aee1084c75ab5d1798542609ddbfc6273a0",
    "7b402c494fb761404860c8363f346b320c240f303dbfd0c22f2ee6155ec6ce15",
    "cba48e985b952750e1424a518f02cea169378291c753ff7a5b230f051c3dfd49",
];

/// SHA-256 of the int8 parameters that [`quantized`] makes, of its scales' bits, and of the logits of all test images.
pub const INT8_FINGERPRINTS: [&str; 3] = [
    "ec78dd3697c2370d392cacee8f46758bcd22695094c40b105035ebdf68bfab66",
    "7e6a116201a1247bcc7baadf580f2028a65b9fb4a2b571fc9e6478bd750836e3",
    "1e7921fc1816a8cf7df33a77c3133044198f76c6cbfdca0c70fd8d3faf02933f",
];

/// The network with the run's initial parameters in integers, calibrated on the first training images.
pub fn quantized(dataset: &Dataset) -> (Box<OwnedParameters>, Scales) {
    let parameters = initial_parameters(settings().seed);
    let images = &calibration_images(dataset.train.images())[..50];
    quantize(&parameters, calibrate(&parameters, images))
}

/// What [`INT8_FINGERPRINTS`] are of.
pub fn int8_fingerprints(parameters: &OwnedParameters, scales: Scales, logits: &[Logits]) -> [String; 3] {
    let Scales { pool1, pool2, hidden, logits: of_logits } = scales;
    let scales: Vec<u8> = [pool1, pool2, hidden, of_logits].iter().flat_map(|scale| scale.to_le_bytes()).collect();
    let logits: Vec<u8> = logits.as_flattened().iter().flat_map(|logit| logit.to_le_bytes()).collect();
    [&block(parameters)[..], &scales, &logits].map(|bytes| Fingerprint::of_bytes(bytes).to_string())
}

struct Silent;

impl Observer for Silent {
    fn advance(&mut self, _samples: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn epoch(&mut self, _report: &EpochReport) {}
}

/// The fingerprints that a backend gives.
///
/// # Panics
/// If the run does not end.
pub fn fingerprints(backend: &mut dyn Backend, dataset: &Dataset) -> Vec<String> {
    let run = train(backend, dataset, &settings(), &mut Silent);
    assert!(run.stopped.is_none(), "{:?}", run.stopped);
    let epochs = run.epochs.iter().map(|epoch| epoch.fingerprint);
    [run.initial_fingerprint].into_iter().chain(epochs).map(|fingerprint| fingerprint.to_string()).collect()
}

/// 630 training images: the last batch of an epoch is short.
pub fn dataset() -> Arc<Dataset> {
    Arc::new(synthetic::synthetic(1, 630, 100))
}
