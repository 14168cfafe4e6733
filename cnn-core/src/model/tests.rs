//! Tests of the format and of models of f32.

extern crate std;

mod int8;

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::image::Pixels;
use crate::network::{self, Activations, PARAMETER_COUNT, Parameters};
use crate::range::PARAMETER_LIMIT;

const PIXELS: Pixels = [7; size_of::<Pixels>()];

fn parameters() -> Box<FlatParameters> {
    let values: Vec<f32> = (0..PARAMETER_COUNT).map(|i| (i % 251) as f32 / 2048.0 - 0.05).collect();
    values.into_boxed_slice().try_into().expect("the length is PARAMETER_COUNT")
}

fn metadata(parameters: &FlatParameters) -> Metadata<'static> {
    let mut activations = Activations::new();
    let logits = network::logits(&PIXELS, &Parameters::of(parameters), &mut activations);
    let training = Training {
        dataset: "MNIST",
        dataset_hash: [3; 32],
        seed: 1 << 40,
        epochs: 100,
        batch_length: 100,
        shuffle: true,
        learning_rate: 1e-4,
        momentum: 0.9,
        weight_decay: 5e-3,
        test_correct: 9_770,
        test_count: 10_000,
    };
    Metadata {
        shapes: SHAPES,
        training: Some(training),
        fingerprint: [9; 32],
        golden: Golden { pixels: &PIXELS, logits },
    }
}

/// A file on a 16-byte border, as a linker or an allocator of pages would place it.
struct Placed {
    words: Vec<u128>,
    len: usize,
}

impl Placed {
    fn new(metadata: &Metadata<'_>, parameters: &FlatParameters) -> Self {
        Self::written(|file| encode(metadata, parameters, file))
    }

    fn written(write: impl FnOnce(&mut [u8]) -> Result<usize, ModelError>) -> Self {
        let mut words = vec![0u128; MAX_LEN.div_ceil(16)];
        let len = write(bytemuck::cast_slice_mut(&mut words)).expect("it fits");
        Self { words, len }
    }

    fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
    }

    /// Makes the checksum right again after a change that a checksum alone would catch.
    fn seal(&mut self) {
        seal(self.bytes_mut());
    }
}

fn header_of(file: &[u8]) -> &FileHeader {
    file.first_chunk().expect("a header")
}

#[test]
fn what_was_written_is_read_back_bit_for_bit() {
    let parameters = parameters();
    let placed = Placed::new(&metadata(&parameters), &parameters);
    let model = Model::parse(placed.bytes()).expect("a whole file");
    assert_eq!(model.metadata(), &metadata(&parameters));
    let mut copy = Box::new([0.0; PARAMETER_COUNT]);
    model.copy_parameters(&mut copy);
    assert!(copy.iter().zip(parameters.iter()).all(|(a, b)| a.to_bits() == b.to_bits()));
    model.self_test(&Parameters::of(&copy), &mut Activations::new()).expect("the same machine");
}

#[test]
#[cfg(target_endian = "little")]
fn parameters_are_borrowed_where_they_lie() {
    let parameters = parameters();
    let placed = Placed::new(&metadata(&parameters), &parameters);
    let borrowed = Model::parse(placed.bytes()).expect("a whole file").parameters().expect("aligned");
    assert_eq!(borrowed.as_ptr().addr() - placed.bytes().as_ptr().addr(), placed.len - PARAMETER_BYTES);
    assert_eq!(borrowed, &*parameters);

    let mut shifted = vec![0u128; MAX_LEN.div_ceil(16)];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut shifted);
    bytes[1..=placed.len].copy_from_slice(placed.bytes());
    let model = Model::parse(&bytes[1..=placed.len]).expect("bytes may lie anywhere");
    assert_eq!(model.parameters().unwrap_err(), ModelError::NotInPlace);
}

#[test]
fn the_self_test_notices_one_changed_bit_of_a_logit() {
    let parameters = parameters();
    let mut metadata = metadata(&parameters);
    metadata.golden.logits[4] = f32::from_bits(metadata.golden.logits[4].to_bits() ^ 1);
    let placed = Placed::new(&metadata, &parameters);
    let model = Model::parse(placed.bytes()).expect("a whole file");
    let result = model.self_test(&Parameters::of(&parameters), &mut Activations::new());
    assert!(matches!(result, Err(ModelError::SelfTest { class: 4, .. })), "{result:?}");
}

#[test]
fn every_changed_bit_of_the_head_and_every_truncation_is_noticed() {
    let parameters = parameters();
    let mut placed = Placed::new(&metadata(&parameters), &parameters);
    let head = placed.len - PARAMETER_BYTES;
    for index in (0..head).chain((head..placed.len).step_by(997)) {
        placed.bytes_mut()[index] ^= 1 << (index % 8);
        assert!(Model::parse(placed.bytes()).is_err(), "byte {index}");
        placed.bytes_mut()[index] ^= 1 << (index % 8);
    }
    for len in (0..head).chain((head..placed.len).step_by(997)) {
        let result = Model::parse(&placed.bytes()[..len]);
        assert!(matches!(result, Err(ModelError::Truncated { .. })), "{len} bytes: {result:?}");
    }
    assert!(Model::parse(placed.bytes()).is_ok());
}

#[test]
fn each_fault_is_called_by_its_name() {
    let parameters = parameters();
    let good = metadata(&parameters);
    let parse = |bytes: &[u8]| Model::parse(bytes).map(|_| ()).unwrap_err();

    assert_eq!(parse(b"PK\x03\x04 something else"), ModelError::Magic);
    assert_eq!(parse(b"CN"), ModelError::Truncated { expected: 16, found: 2 });

    let mut placed = Placed::new(&good, &parameters);
    placed.bytes_mut()[4] = 3;
    assert_eq!(parse(placed.bytes()), ModelError::Version { found: 3 });

    let mut placed = Placed::new(&good, &parameters);
    placed.bytes_mut()[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(parse(placed.bytes()), ModelError::Length(u32::MAX));

    let placed = Placed::new(&good, &parameters);
    let mut longer = placed.bytes().to_vec();
    longer.extend([0; 3]);
    assert_eq!(parse(&longer), ModelError::Trailing(3));
    assert!(Model::parse_prefix(&longer).is_ok_and(|(_, rest)| rest.len() == 3));

    let mut placed = Placed::new(&good, &parameters);
    let last = placed.len - 4;
    placed.bytes_mut()[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_eq!(parse(placed.bytes()), ModelError::Checksum);
    placed.seal();
    assert_eq!(parse(placed.bytes()), ModelError::OutOfRange(PARAMETER_COUNT - 1));

    let mut other = good.clone();
    other.shapes[0][0] = 8;
    assert_eq!(parse(Placed::new(&other, &parameters).bytes()), ModelError::Shapes);

    let mut placed = Placed::new(&good, &parameters);
    placed.bytes_mut()[HEADER_LEN..][..64].fill(0xff);
    placed.seal();
    assert_eq!(parse(placed.bytes()), ModelError::Malformed);
}

/// A file as `encode` writes it, but for its checks.
fn forged(metadata: &Metadata<'_>, parameters: &FlatParameters) -> Vec<u8> {
    let mut file = vec![0; HEADER_LEN];
    let mut room = [0; 2 * MAX_START];
    file.extend_from_slice(postcard::to_slice(metadata, &mut room).expect("room"));
    let padding = (file.len() + 4).next_multiple_of(ALIGNMENT) - (file.len() + 4);
    file.push(padding as u8);
    file.extend(vec![0; padding]);
    file.extend_from_slice(postcard::to_slice(&PARAMETER_BYTES, &mut room).expect("room"));
    file.extend(parameters.iter().flat_map(|value| value.to_le_bytes()));
    let header = [&MAGIC[..], &VERSION.to_le_bytes(), &(file.len() as u32).to_le_bytes()].concat();
    file[..CRC_RANGE.start].copy_from_slice(&header);
    seal(&mut file);
    file
}

#[test]
fn a_longer_name_than_any_is_refused_even_behind_a_right_checksum() {
    let parameters = parameters();
    let good = metadata(&parameters);
    for len in [MAX_DATASET_NAME, MAX_DATASET_NAME + 1] {
        let name = "x".repeat(len);
        let training = Training { dataset: &name, ..good.training.expect("it is there") };
        let file = forged(&Metadata { training: Some(training), ..good.clone() }, &parameters);
        let refused = Model::parse(&file).map(|_| ()).err();
        assert_eq!(refused, (len > MAX_DATASET_NAME).then_some(ModelError::Malformed), "{len}");
    }
}

#[test]
fn metadata_that_no_model_has_are_neither_read_nor_written() {
    let parameters = parameters();
    let good = metadata(&parameters);
    type Change = fn(&mut Training<'_>);
    let cases: [(Change, Impossible); 17] = [
        (|it| it.dataset = "MNIST\ntest         10000 of 10000 correct", Impossible::DatasetName),
        (|it| it.dataset = "\u{202e}TSINM", Impossible::DatasetName),
        (|it| it.dataset = "\x1b[2J", Impossible::DatasetName),
        (|it| it.epochs = 0, Impossible::Epochs),
        (|it| it.batch_length = 0, Impossible::BatchLength),
        (|it| it.learning_rate = f32::NAN, Impossible::LearningRate),
        (|it| it.learning_rate = -f32::from_bits(1), Impossible::LearningRate),
        (|it| it.momentum = f32::INFINITY, Impossible::Momentum),
        (|it| it.momentum = -0.9, Impossible::Momentum),
        (|it| it.weight_decay = f32::NEG_INFINITY, Impossible::WeightDecay),
        (|it| it.weight_decay = -f32::NAN, Impossible::WeightDecay),
        (|it| (it.test_correct, it.test_count) = (0, 0), Impossible::TestCount),
        (|it| (it.test_correct, it.test_count) = (u32::MAX, 1), Impossible::TestCorrect),
        (|it| it.test_correct = 10_001, Impossible::TestCorrect),
        // Among several faults the first counts, as the fields stand in the file.
        (|it| (it.epochs, it.test_count) = (0, 0), Impossible::Epochs),
        (|it| (it.batch_length, it.momentum) = (0, -1.0), Impossible::BatchLength),
        (|it| (it.dataset, it.epochs) = ("\u{2028}", 0), Impossible::DatasetName),
    ];
    let mut file = vec![0; MAX_LEN];
    let mut refused = |metadata: &Metadata<'_>, expected: Impossible| {
        let expected = ModelError::Impossible(expected);
        assert_eq!(encode(metadata, &parameters, &mut file), Err(expected));
        let forged = forged(metadata, &parameters);
        assert_eq!(Model::parse(&forged).map(|_| ()), Err(expected));
        assert_eq!(check_start(header_of(&forged), &forged[HEADER_LEN..][..MAX_START]), Err(expected));
    };
    for (change, expected) in cases {
        let mut training = good.training.expect("it is there");
        change(&mut training);
        refused(&Metadata { training: Some(training), ..good.clone() }, expected);
    }
    for logit in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut metadata = good.clone();
        metadata.golden.logits[3] = logit;
        refused(&metadata, Impossible::GoldenLogit);
    }
    let mut limits = good.training.expect("it is there");
    (limits.epochs, limits.batch_length, limits.test_correct, limits.test_count) = (1, 1, u32::MAX, u32::MAX);
    (limits.learning_rate, limits.momentum, limits.weight_decay) = (f32::MAX, 0.0, f32::from_bits(1));
    let limits = Metadata { training: Some(limits), ..good.clone() };
    assert_eq!(Model::parse(Placed::new(&limits, &parameters).bytes()).expect("possible").metadata(), &limits);
}

#[test]
fn the_start_of_a_file_is_checked_as_soon_as_it_is_there() {
    let parameters = parameters();
    let placed = Placed::new(&metadata(&parameters), &parameters);
    let contents = &placed.bytes()[HEADER_LEN..];
    let start = contents.len() - PARAMETER_BYTES;
    for len in 0..start {
        assert_eq!(check_start(header_of(placed.bytes()), &contents[..len]), Ok(false), "{len}");
    }
    for len in start..=MAX_START {
        assert_eq!(check_start(header_of(placed.bytes()), &contents[..len]), Ok(true), "{len}");
    }
    // A start that never ends, and one of a file of another length.
    let mut endless = contents[..MAX_START].to_vec();
    endless[start - 4..][..3].fill(0xff);
    assert_eq!(check_start(header_of(placed.bytes()), &endless), Err(ModelError::Malformed));
    let mut longer = *header_of(placed.bytes());
    longer[8..12].copy_from_slice(&(placed.len as u32 + 16).to_le_bytes());
    assert_eq!(check_start(&longer, &contents[..start]), Err(ModelError::Malformed));
    assert_eq!(check_start(header_of(placed.bytes()), &[0xff; MAX_START]), Err(ModelError::Malformed));
}

#[test]
fn nothing_is_written_that_could_not_be_read() {
    let mut parameters = parameters();
    let good = metadata(&parameters);
    let mut file = vec![0; MAX_LEN];
    let long = "x".repeat(MAX_DATASET_NAME + 1);
    let training = Training { dataset: &long, ..good.training.expect("it is there") };
    let named = Metadata { training: Some(training), ..good.clone() };
    assert_eq!(encode(&named, &parameters, &mut file), Err(ModelError::NoRoom));
    let short = Metadata { golden: Golden { pixels: &PIXELS[1..], ..good.golden }, ..good.clone() };
    assert_eq!(encode(&short, &parameters, &mut file), Err(ModelError::Malformed));
    assert_eq!(encode(&good, &parameters, &mut file[..PARAMETER_BYTES]), Err(ModelError::NoRoom));
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut unsound = good.clone();
        unsound.golden.logits[7] = value;
        assert_eq!(encode(&unsound, &parameters, &mut file), Err(Impossible::GoldenLogit.into()), "{value}");
    }
    for value in [f32::NAN, f32::INFINITY, PARAMETER_LIMIT, -1.0e30] {
        parameters[5] = value;
        assert_eq!(encode(&good, &parameters, &mut file), Err(ModelError::OutOfRange(5)), "{value}");
    }
}
