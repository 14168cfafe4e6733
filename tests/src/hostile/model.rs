//! Model files.

use std::path::Path;
use std::sync::LazyLock;

use cnn_core::image::Pixels;
use cnn_core::model::{Golden, HEADER_LEN, MAGIC, MAX_DATASET_NAME, MAX_LEN, Metadata, Model, ModelError, SHAPES};
use cnn_core::model::{Training, VERSION, encode};
use cnn_core::network::{self, Activations, FlatParameters, PARAMETER_COUNT, Parameters};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::initial_parameters;
use host_trainer::model_file::LoadedModel;

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
}

static BASE: LazyLock<Base> = LazyLock::new(|| {
    let parameters = initial_parameters(1);
    let fingerprint = *Fingerprint::of(&parameters).as_bytes();
    Base { parameters, fingerprint, file: crate::board::model::file(1) }
});

/// Of the first byte, the lowest two bits say how the file is made, and bit 2 leaves length and checksum as they are:
///
/// - 0: it is the rest of the input;
/// - 1: its head is the rest of the input, its parameters are good;
/// - 2: it is a good file, damaged as the rest says;
/// - 3: it is written with metadata of any content.
pub fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let options = script.byte();
    let mut file = match options & 3 {
        0 => script.rest().to_vec(),
        1 => [&[0; HEADER_LEN], script.rest(), &BASE.file[BASE.file.len() - PARAMETER_BYTES..]].concat(),
        2 => {
            let mut file = BASE.file.clone();
            script.damage(&mut file);
            file
        }
        _ => return limited(|| check_writing(script)),
    };
    if options & 4 == 0 {
        put_header_right(&mut file, MAGIC, VERSION);
    }
    limited(|| check(file));
}

/// What is read keeps the format's limits, can be written, and is the same when it is read again.
fn check(file: Vec<u8>) {
    let Ok(model) = Model::parse(&file) else {
        assert!(LoadedModel::parse(file, Path::new("model")).is_err(), "a file that the board refuses was loaded");
        return;
    };
    assert!(file.len() <= MAX_LEN);
    assert!(model.metadata().training.is_none_or(|training| training.dataset.len() <= MAX_DATASET_NAME));
    assert!(is_possible(model.metadata()));
    let mut parameters = zeros();
    model.copy_parameters(&mut parameters);
    assert!(parameters.iter().all(|value| value.is_finite()));

    let written = write(model.metadata(), &parameters).expect("what was read can be written");
    assert_same(model.metadata(), &parameters, &written);
    let longer = [&file[..], b"whatever follows"].concat();
    let (prefix, rest) = Model::parse_prefix(&longer).expect("it is followed by something");
    assert!(rest == b"whatever follows" && shown(prefix.metadata()) == shown(model.metadata()));
    assert_eq!(Model::parse(&longer).unwrap_err(), ModelError::Trailing(16));

    if let Ok(loaded) = LoadedModel::parse(file, Path::new("model")) {
        assert_eq!(loaded.fingerprint, Fingerprint::of(&loaded.parameters));
        assert_eq!(loaded.parameters.map(f32::to_bits), parameters.map(f32::to_bits));
        loaded.training();
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
    ]
}
