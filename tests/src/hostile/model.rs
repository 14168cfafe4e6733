//! Model files.

use std::path::Path;
use std::sync::LazyLock;

use cnn_core::image::Pixels;
use cnn_core::int8::{self, BLOCK_LEN, OwnedParameters};
use cnn_core::model::{AnyModel, Golden, HEADER_LEN, Int8Model, LATEST_VERSION, MAGIC, MAX_DATASET_NAME, MAX_LEN};
use cnn_core::model::{Metadata, Model, ModelError, SHAPES, Training, VERSION};
use cnn_core::model::{encode, encode_int8, encode_version_2};
use cnn_core::network::{self, Activations, FlatParameters, PARAMETER_COUNT, Parameters};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::initial_parameters;
use host_trainer::model_file::{AnyLoaded, LoadedModel};

use super::script::Script;
use super::{limited, put_header_right};

/// Bytes of the parameters, which end a file.
const PARAMETER_BYTES: usize = size_of::<FlatParameters>();

/// What files are made of.
struct Base {
    parameters: Box<FlatParameters>,
    fingerprint: [u8; 32],
    /// A whole file of these parameters.
    file: Vec<u8>,
    /// The same as version 2.
    second: Vec<u8>,
    /// A whole file of integers.
    int8: Vec<u8>,
}

static BASE: LazyLock<Base> = LazyLock::new(|| {
    let parameters = initial_parameters(1);
    let fingerprint = *Fingerprint::of(&parameters).as_bytes();
    let file = crate::board::model::file(1);
    let mut second = vec![0; MAX_LEN];
    let model = Model::parse(&file).expect("a whole file");
    let len = encode_version_2(model.metadata(), &parameters, &mut second).expect("it fits");
    second.truncate(len);
    Base { parameters, fingerprint, file, second, int8: crate::board::model::int8_file(1) }
});

/// Of the first byte, the lowest two bits say how the file is made, bit 2 leaves length and checksum as they are, and bits 3
/// and 4 say which file it is made of: f32 of version 1 (0, 3) or 2 (1), int8 (2):
///
/// - 0: it is the rest of the input;
/// - 1: its head is the rest of the input, its parameters are good;
/// - 2: it is a good file, damaged as the rest says;
/// - 3: it is written with metadata of any content.
pub fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let options = script.byte();
    let (base, parameter_bytes, version) = match options >> 3 & 3 {
        1 => (&BASE.second, PARAMETER_BYTES, LATEST_VERSION),
        2 => (&BASE.int8, BLOCK_LEN, LATEST_VERSION),
        _ => (&BASE.file, PARAMETER_BYTES, VERSION),
    };
    let mut file = match options & 3 {
        0 => script.rest().to_vec(),
        1 => [&[0; HEADER_LEN], script.rest(), &base[base.len() - parameter_bytes..]].concat(),
        2 => {
            let mut file = base.clone();
            script.damage(&mut file);
            file
        }
        _ => return limited(|| check_writing(script)),
    };
    if options & 4 == 0 {
        put_header_right(&mut file, MAGIC, version);
    }
    limited(|| check(file));
}

/// What is read keeps the format's limits, can be written, and is the same when it is read again.
fn check(file: Vec<u8>) {
    let read = AnyModel::parse(&file);
    if let Ok(model) = &read {
        assert!(file.len() <= MAX_LEN);
        let longer = [&file[..], b"whatever follows"].concat();
        let (prefix, rest) = AnyModel::parse_prefix(&longer).expect("it is followed by something");
        assert!(rest == b"whatever follows" && format!("{prefix:?}") == format!("{model:?}"));
        assert_eq!(AnyModel::parse(&longer).unwrap_err(), ModelError::Trailing(16));
    }
    match read {
        Ok(AnyModel::Float(model)) => {
            check_float(&file, &model);
            check_loading(file);
        }
        Ok(AnyModel::Int8(model)) => check_int8(&file, &model),
        Err(_) => {
            assert!(AnyLoaded::parse(file, Path::new("model")).is_err(), "a file that the board refuses was loaded");
        }
    }
}

fn check_float(file: &[u8], model: &Model<'_>) {
    assert!(model.metadata().training.is_none_or(|training| training.dataset.len() <= MAX_DATASET_NAME));
    assert!(is_possible(model.metadata()));
    let mut parameters = zeros();
    model.copy_parameters(&mut parameters);
    assert!(parameters.iter().all(|value| value.is_finite()));
    let written = write(model.metadata(), &parameters).expect("what was read can be written");
    assert_same(model.metadata(), &parameters, &written);
    if file[4..8] == LATEST_VERSION.to_le_bytes() {
        let mut written = vec![0; MAX_LEN];
        let len = encode_version_2(model.metadata(), &parameters, &mut written);
        assert_eq!(len.map(|len| &written[..len]), Ok(file), "version 2 has one spelling");
    }
}

fn check_loading(file: Vec<u8>) {
    let mut parameters = zeros();
    Model::parse(&file).expect("read before").copy_parameters(&mut parameters);
    if let Ok(loaded) = LoadedModel::parse(file, Path::new("model")) {
        assert_eq!(loaded.fingerprint, Fingerprint::of(&loaded.parameters));
        assert_eq!(loaded.parameters.map(f32::to_bits), parameters.map(f32::to_bits));
        loaded.training();
    }
}

/// An int8 file has one spelling, and nothing that it computes overflows.
fn check_int8(file: &[u8], model: &Int8Model<'_>) {
    let metadata = model.metadata();
    let mut written = vec![0; MAX_LEN];
    let len = encode_int8(metadata, model.block(), &mut written);
    assert_eq!(len.map(|len| &written[..len]), Ok(file), "version 2 has one spelling");
    let scales = metadata.scales;
    let scales = [scales.pool1, scales.pool2, scales.hidden, scales.logits];
    assert!(scales.iter().all(|scale| *scale > 0.0 && *scale <= f32::MAX) && metadata.calibration.images > 0);
    let mut parameters = Box::new(OwnedParameters::ZERO);
    model.copy_parameters(&mut parameters);
    let mut activations = [int8::Activations::new(), int8::Activations::new()];
    let [quick, plain] = &mut activations;
    // Both forms panic where a sum overflows: the tests are built with checks.
    let logits = int8::forward(model.golden_pixels(), &parameters.view(), quick);
    assert_eq!(logits, int8::reference::forward(model.golden_pixels(), &parameters.view(), plain));
    let loaded = AnyLoaded::parse(file.to_vec(), Path::new("model"));
    assert!(LoadedModel::parse(file.to_vec(), Path::new("model")).is_err(), "where f32 is needed, it was taken");
    if let Ok(loaded) = loaded {
        assert_eq!((loaded.fingerprint(), logits), (metadata.fingerprint.into(), metadata.golden.logits));
    }
}

/// Whether a trained network can have these metadata; written down a second time.
fn is_possible(metadata: &Metadata<'_>) -> bool {
    let marks = "\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
    let is_line = |name: &str| !name.chars().any(|c| c.is_control() || marks.contains(c));
    let training = |it: Training<'_>| {
        let rates = [it.learning_rate, it.momentum, it.weight_decay];
        is_line(it.dataset)
            && [it.epochs, it.batch_length, it.test_count].iter().all(|&count| count > 0)
            && rates.iter().all(|rate| (0.0..=f32::MAX).contains(rate))
            && it.test_correct <= it.test_count
    };
    metadata.golden.logits.iter().all(|logit| logit.is_finite()) && metadata.training.is_none_or(training)
}

/// `file` holds exactly this.
fn assert_same(metadata: &Metadata<'_>, parameters: &FlatParameters, file: &[u8]) {
    let model = Model::parse(file).expect("what was written can be read");
    // As text, in which a NaN equals itself.
    assert_eq!(shown(model.metadata()), shown(metadata));
    let mut read = zeros();
    model.copy_parameters(&mut read);
    assert!(read.iter().zip(parameters).all(|(read, written)| read.to_bits() == written.to_bits()));
    assert_eq!(write(model.metadata(), &read).as_deref(), Ok(file), "one contents has one file");
}

fn shown(metadata: &Metadata<'_>) -> String {
    format!("{metadata:?}")
}

fn zeros() -> Box<FlatParameters> {
    vec![0.0; PARAMETER_COUNT].into_boxed_slice().try_into().expect("the length is right")
}

fn write(metadata: &Metadata<'_>, parameters: &FlatParameters) -> Result<Vec<u8>, ModelError> {
    let mut file = vec![0; MAX_LEN];
    let len = encode(metadata, parameters, &mut file)?;
    file.truncate(len);
    Ok(file)
}

/// Metadata that a network can have are written and read, unless the name is too long; a file whose fingerprint and logits
/// are right is loaded.
fn check_writing(mut script: Script<'_>) {
    let parameters = &BASE.parameters;
    let mut pixels: Pixels = [0; 784];
    for pixel in pixels.iter_mut().step_by(usize::from(script.byte()) + 1) {
        *pixel = script.byte();
    }
    let mut activations = Activations::new();
    let mut logits = network::logits(&pixels, &Parameters::of(parameters), &mut activations);
    let forged = script.byte();
    if let Some(logit) = logits.get_mut(usize::from(forged)) {
        *logit = f32::from_bits(script.u32());
    }
    let training_known = script.byte() & 1 == 1;
    let numbers: [u32; 8] = std::array::from_fn(|_| script.u32());
    let name = String::from_utf8_lossy(script.rest());
    let training = Training {
        dataset: &name,
        dataset_hash: [3; 32],
        seed: u64::from(numbers[0]) << 32 | u64::from(numbers[1]),
        epochs: numbers[2],
        batch_length: numbers[3],
        shuffle: forged & 1 == 1,
        learning_rate: f32::from_bits(numbers[4]),
        momentum: f32::from_bits(numbers[5]),
        weight_decay: f32::from_bits(numbers[6]),
        test_correct: numbers[7],
        test_count: numbers[7] ^ numbers[3] & 1,
    };
    let metadata = Metadata {
        shapes: SHAPES,
        training: training_known.then_some(training),
        fingerprint: BASE.fingerprint,
        golden: Golden { pixels: &pixels, logits },
    };
    let written = write(&metadata, parameters);
    if training_known && name.len() > MAX_DATASET_NAME {
        assert_eq!(written, Err(ModelError::NoRoom));
        return;
    }
    if !is_possible(&metadata) {
        assert!(matches!(written, Err(ModelError::Impossible(_))), "{written:?}");
        return;
    }
    let file = written.expect("nothing else is refused");
    assert_same(&metadata, parameters, &file);
    if usize::from(forged) >= logits.len() {
        LoadedModel::parse(file, Path::new("model")).expect("fingerprint and logits are right");
    }
}

/// Every way to make a file, each once good.
pub fn seeds() -> Vec<Vec<u8>> {
    let file = &BASE.file;
    let head = &file[HEADER_LEN..file.len() - PARAMETER_BYTES];
    vec![
        [&[4], &file[..64]].concat(),
        [&[1], head].concat(),
        vec![2],
        // A bit near the start flips; the last parameter becomes NaN.
        vec![2, 0, 40],
        vec![2 | 4, 1, 104, 3, 0, 0, 0xc0, 0x7f],
        vec![2, 1, 104, 3, 0, 0, 0xc0, 0x7f],
        [&[3, 2, 9, 9, 9][..], &[255; 400]].concat(),
        [&[3, 255, 9, 9, 9, 9][..], &[255, 1], &[7; 32], b"MNIST"].concat(),
        // Of rates that are finite, and of more correct images than there are.
        [&[3, 255, 9, 9, 9, 9][..], &[255, 1], &[1; 32], b"MNIST"].concat(),
        [&[3, 255, 9, 9, 9, 9][..], &[255, 1], &[1; 12], &[2, 0, 0, 0], &[1; 16], b"MNIST"].concat(),
        [&[3, 255, 9, 9, 9, 9][..], &[255, 1], &[2; 32], b"MN\nIST \xe2\x80\xae"].concat(),
        // Version 2 and integers: whole, damaged, and with another head.
        vec![8 | 2],
        vec![16 | 2],
        vec![16 | 2, 0, 40],
        vec![16 | 2, 1, 104, 3, 0, 0, 0xc0, 0x7f],
        [&[16 | 1], &BASE.int8[HEADER_LEN..BASE.int8.len() - BLOCK_LEN]].concat(),
        [&[8 | 1], &BASE.second[HEADER_LEN..BASE.second.len() - PARAMETER_BYTES]].concat(),
    ]
}
