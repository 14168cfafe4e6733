//! Model files to test with.

use std::path::Path;

use cnn_core::image::Pixels;
use cnn_core::model::{Golden, MAX_LEN, Metadata, SHAPES, encode};
use cnn_core::network::{self, Activations, FlatParameters, Parameters};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::initial_parameters;
use flate2::Crc;
use host_trainer::model_file::{self, LoadedInt8, LoadedModel};

use equality::values::Values;

/// A whole model file with the untrained parameters of a seed.
pub fn file(seed: u64) -> Vec<u8> {
    let parameters = initial_parameters(seed);
    let pixels = images(seed, 1)[0];
    write(&metadata(&parameters, &pixels), &parameters)
}

/// The same, read and checked as the program does it before an update.
///
/// # Panics
/// If it does not pass the checks.
pub fn loaded(seed: u64) -> LoadedModel {
    LoadedModel::parse(file(seed), Path::new("model")).expect("a whole model")
}

/// A whole int8 model file, made of the untrained parameters of a seed.
pub fn int8_file(seed: u64) -> Vec<u8> {
    loaded_int8(seed).file().to_vec()
}

/// The same, read and checked.
///
/// # Panics
/// If quantisation does not give a model.
pub fn loaded_int8(seed: u64) -> LoadedInt8 {
    let model = loaded(seed);
    model_file::quantize(&model, &images(seed, 20), Path::new("model")).expect("a whole model")
}

/// The metadata that belong to `parameters`, with `pixels` as golden image.
pub fn metadata<'a>(parameters: &FlatParameters, pixels: &'a Pixels) -> Metadata<'a> {
    let mut activations = Activations::new();
    let logits = network::logits(pixels, &Parameters::of(parameters), &mut activations);
    let fingerprint = *Fingerprint::of(parameters).as_bytes();
    Metadata { shapes: SHAPES, training: None, fingerprint, golden: Golden { pixels, logits } }
}

/// The file of metadata and parameters.
///
/// # Panics
/// If they do not make a model file.
pub fn write(metadata: &Metadata<'_>, parameters: &FlatParameters) -> Vec<u8> {
    let mut file = vec![0; MAX_LEN];
    let len = encode(metadata, parameters, &mut file).expect("the metadata fit");
    file.truncate(len);
    file
}

/// Makes the checksum of a changed file right again.
pub fn seal(file: &mut [u8]) {
    // CRC-32/ISO-HDLC is gzip's too, whose library has nothing of the code under test.
    let mut checksum = Crc::new();
    checksum.update(&file[..12]);
    checksum.update(&file[16..]);
    file[12..16].copy_from_slice(&checksum.sum().to_le_bytes());
}

/// Images of random strokes on an empty background.
pub fn images(seed: u64, count: usize) -> Vec<Pixels> {
    let mut values = Values::new(seed);
    let image =
        |values: &mut Values| core::array::from_fn(|_| if values.below(4) == 0 { values.below(256) as u8 } else { 0 });
    (0..count).map(|_| image(&mut values)).collect()
}
