//! Files of version 2, of both kinds.

use super::*;
use crate::int8::{self, Block, OutOfRange, OwnedParameters, Part};

fn int8_parameters() -> Box<OwnedParameters> {
    let mut parameters = Box::new(OwnedParameters::ZERO);
    parameters.weights.iter_mut().enumerate().for_each(|(i, weight)| *weight = (i * 7 % 255) as i8 / 2);
    parameters.biases.iter_mut().enumerate().for_each(|(i, bias)| *bias = i as i32 * 100 - 9_000);
    parameters.shifts.fill(38);
    parameters
}

fn block() -> Box<Block> {
    let mut block: Box<Block> = vec![0; BLOCK_LEN].into_boxed_slice().try_into().expect("the length is right");
    int8_parameters().copy_to(&mut block);
    block
}

fn int8_metadata() -> Int8Metadata<'static> {
    let logits = int8::forward(&PIXELS, &int8_parameters().view(), &mut int8::Activations::new());
    assert!(logits.iter().any(|&logit| logit != logits[0]), "{logits:?}");
    Int8Metadata {
        shapes: SHAPES,
        training: metadata(&parameters()).training,
        source: [5; 32],
        calibration: Calibration { images: 1000, hash: [6; 32] },
        scales: Scales { pool1: 0.5, pool2: 0.25, hidden: f32::MAX, logits: f32::from_bits(1) },
        fingerprint: [9; 32],
        golden: Int8Golden { pixels: &PIXELS, logits },
    }
}

fn placed(metadata: &Int8Metadata<'_>) -> Placed {
    Placed::written(|file| encode_int8(metadata, &block(), file))
}

/// Writes whatever metadata and block in the words of version 2.
fn forged(metadata: &Int8Metadata<'_>, block: &Block) -> Placed {
    Placed::written(|file| write_file(Some(Kind::Int8), metadata, BLOCK_LEN, file, |to| to.copy_from_slice(block)))
}

#[test]
fn an_int8_model_is_read_as_it_was_written_and_borrowed_where_it_lies() {
    let file = placed(&int8_metadata());
    let model = Int8Model::parse(file.bytes()).expect("a whole file");
    assert_eq!((model.metadata(), model.block()), (&int8_metadata(), &*block()));
    let mut copy = Box::new(OwnedParameters::ZERO);
    model.copy_parameters(&mut copy);
    assert_eq!(copy, int8_parameters());
    model.self_test(&copy.view(), &mut int8::Activations::new()).expect("integers are the same everywhere");
    let AnyModel::Int8(any) = AnyModel::parse(file.bytes()).expect("a whole file") else { panic!("of the other kind") };
    assert_eq!(any.metadata(), model.metadata());
    assert_eq!(Model::parse(file.bytes()).map(|_| ()), Err(ModelError::OtherKind { found: Kind::Int8 }));
    if cfg!(target_endian = "little") {
        let borrowed = model.parameters().expect("aligned");
        assert_eq!(borrowed.conv1_weight.as_ptr().addr() - file.bytes().as_ptr().addr(), file.len - BLOCK_LEN);
    } else {
        assert_eq!(model.parameters().map(|_| ()), Err(ModelError::NotInPlace));
    }
}

#[test]
fn a_model_of_f32_is_the_same_in_both_versions() {
    let parameters = parameters();
    let metadata = metadata(&parameters);
    let second = Placed::written(|file| encode_version_2(&metadata, &parameters, file));
    let model = Model::parse(second.bytes()).expect("a whole file");
    assert_eq!(model.metadata(), &metadata);
    let mut copy = Box::new([0.0; PARAMETER_COUNT]);
    model.copy_parameters(&mut copy);
    assert_eq!(copy, parameters);
    assert_eq!(Int8Model::parse(second.bytes()).map(|_| ()), Err(ModelError::OtherKind { found: Kind::Float }));
    // The bytes that old boards know are written as ever.
    let first = Placed::new(&metadata, &parameters);
    assert_eq!((first.bytes()[4], second.bytes()[4]), (1, 2));
    assert_eq!(first.bytes()[HEADER_LEN], second.bytes()[HEADER_LEN + 1]);
    assert_eq!(second.bytes()[HEADER_LEN], 0);
}

#[test]
fn every_changed_bit_of_the_head_and_every_truncation_of_an_int8_file_is_noticed() {
    let mut file = placed(&int8_metadata());
    let head = file.len - BLOCK_LEN;
    for index in (0..head).chain((head..file.len).step_by(997)) {
        file.bytes_mut()[index] ^= 1 << (index % 8);
        assert!(AnyModel::parse(file.bytes()).is_err(), "byte {index}");
        file.bytes_mut()[index] ^= 1 << (index % 8);
    }
    for len in (0..head).chain((head..file.len).step_by(997)) {
        let result = AnyModel::parse(&file.bytes()[..len]);
        assert!(matches!(result, Err(ModelError::Truncated { .. })), "{len} bytes: {result:?}");
    }
    let contents = &file.bytes()[HEADER_LEN..];
    for len in 0..=MAX_START {
        let expected = Ok(len >= head - HEADER_LEN);
        assert_eq!(check_start(header_of(file.bytes()), &contents[..len]), expected, "{len}");
    }
}

#[test]
fn each_fault_of_an_int8_file_is_called_by_its_name() {
    let good = int8_metadata();
    let parse = |file: &Placed| AnyModel::parse(file.bytes()).map(|_| ()).unwrap_err();

    for (kind, expected) in [(2, ModelError::UnknownKind(2)), (0, ModelError::Malformed)] {
        let mut file = placed(&good);
        file.bytes_mut()[HEADER_LEN] = kind;
        file.seal();
        assert_eq!(parse(&file), expected);
    }
    let mut other = good.clone();
    other.shapes[6] = [11, 120, 1, 1];
    assert_eq!(parse(&placed(&other)), ModelError::Shapes);
    // As version 1 it is too short, and nothing else is looked at.
    let mut file = placed(&good);
    file.bytes_mut()[4] = 1;
    file.seal();
    assert_eq!(parse(&file), ModelError::Length(file.len as u32));

    let fault = |at: usize, byte: u8| {
        let mut block = block();
        block[at] = byte;
        let error = parse(&forged(&good, &block));
        assert_eq!(encode_int8(&good, &block, &mut vec![0; MAX_LEN]), Err(error));
        error
    };
    let expected = |part, index| ModelError::OutOfRangeInt8(OutOfRange { part, index });
    assert_eq!(fault(4711, 0x80), expected(Part::Weight, 4711));
    assert_eq!(fault(int8::parameters::BIASES_AT + 4 * 3 + 3, 0x7f), expected(Part::Bias, 3));
    assert_eq!(fault(int8::parameters::MULTIPLIERS_AT + 4 * 5 + 3, 0x3f), expected(Part::Multiplier, 5));
    assert_eq!(fault(BLOCK_LEN - 2, 0), expected(Part::Shift, 166));
    assert_eq!(std::format!("{}", fault(0, 0x80)), "the model file's weight 0 is not one of -127 to 127");

    let mut wrong = good.clone();
    wrong.golden.logits[4] ^= 1;
    let file = placed(&wrong);
    let model = Int8Model::parse(file.bytes()).expect("a whole file");
    let result = model.self_test(&int8_parameters().view(), &mut int8::Activations::new());
    assert!(matches!(result, Err(ModelError::SelfTestInt8 { class: 4, .. })), "{result:?}");
}

#[test]
fn int8_metadata_that_no_model_has_are_neither_read_nor_written() {
    type Change = fn(&mut Int8Metadata<'static>);
    let cases: [(Change, Impossible); 10] = [
        (|it| it.calibration.images = 0, Impossible::CalibrationCount),
        (|it| it.scales.pool1 = 0.0, Impossible::Scale),
        (|it| it.scales.pool1 = -0.0, Impossible::Scale),
        (|it| it.scales.pool2 = -1.0, Impossible::Scale),
        (|it| it.scales.hidden = f32::NAN, Impossible::Scale),
        (|it| it.scales.logits = f32::INFINITY, Impossible::Scale),
        (|it| it.training.as_mut().expect("there").epochs = 0, Impossible::Epochs),
        (|it| it.training.as_mut().expect("there").dataset = "a\nb", Impossible::DatasetName),
        (|it| it.training.as_mut().expect("there").test_correct = 10_001, Impossible::TestCorrect),
        (|it| it.training.as_mut().expect("there").learning_rate = f32::NAN, Impossible::LearningRate),
    ];
    for (change, expected) in cases {
        let mut metadata = int8_metadata();
        change(&mut metadata);
        let expected = Err(ModelError::Impossible(expected));
        assert_eq!(encode_int8(&metadata, &block(), &mut vec![0; MAX_LEN]), expected);
        let file = forged(&metadata, &block());
        assert_eq!(AnyModel::parse(file.bytes()).map(|_| 0), expected);
        let start = &file.bytes()[HEADER_LEN..][..MAX_START];
        assert_eq!(check_start(header_of(file.bytes()), start).map(|_| 0), expected);
    }
    let short =
        Int8Metadata { golden: Int8Golden { pixels: &PIXELS[1..], ..int8_metadata().golden }, ..int8_metadata() };
    assert_eq!(encode_int8(&short, &block(), &mut vec![0; MAX_LEN]), Err(ModelError::Malformed));
    assert_eq!(AnyModel::parse(forged(&short, &block()).bytes()).map(|_| 0), Err(ModelError::Malformed));
    assert_eq!(encode_int8(&int8_metadata(), &block(), &mut vec![0; BLOCK_LEN]), Err(ModelError::NoRoom));
    let imported = Int8Metadata { training: None, ..int8_metadata() };
    assert_eq!(Int8Model::parse(placed(&imported).bytes()).expect("possible").metadata(), &imported);
}

/// A file of version 2 whose start is written with these pieces instead of those of `encode`.
fn with_start(pieces: &[&[u8]], block: &Block) -> Vec<u8> {
    let mut file = [&MAGIC[..], &LATEST_VERSION.to_le_bytes(), &[0; 8], &pieces.concat(), block].concat();
    let len = file.len() as u32;
    file[8..12].copy_from_slice(&len.to_le_bytes());
    seal(&mut file);
    file
}

#[test]
fn version_2_has_one_spelling() {
    let block = block();
    let mut room = [0; MAX_START];
    let metadata = postcard::to_slice(&int8_metadata(), &mut room).expect("room").to_vec();
    let padding = |len: usize| std::iter::once(len as u8).chain(std::iter::repeat_n(0, len)).collect::<Vec<u8>>();
    let len = [0xd0, 0xa8, 0x06];
    let needed = padding_from(HEADER_LEN + 1 + metadata.len()).len();
    let file = with_start(&[&[1], &metadata, &padding(needed), &len], &block);
    assert_eq!(file, placed(&int8_metadata()).bytes());
    let malformed = |pieces: &[&[u8]]| {
        assert_eq!(AnyModel::parse(&with_start(pieces, &block)).map(|_| 0), Err(ModelError::Malformed));
    };
    // More padding than is needed, padding that is not zeros, lengths in more bytes than they take.
    malformed(&[&[1], &metadata, &padding(needed + 16), &len]);
    let mut dirty = padding(needed + 16 * usize::from(needed == 0));
    *dirty.last_mut().expect("one") = 1;
    malformed(&[&[1], &metadata, &dirty, &len]);
    let shorter = (needed + 15) % 16;
    malformed(&[&[1], &metadata, &padding(shorter), &[0xd0, 0xa8, 0x86, 0x00]]);
    let long_padding = [&[0x80 | shorter as u8, 0][..], &std::vec![0; shorter]].concat();
    malformed(&[&[1], &metadata, &long_padding, &len]);
    let two_bytes = with_start(&[&[0x81, 0x00], &metadata, &padding((needed + 15) % 16), &len], &block);
    assert_eq!(AnyModel::parse(&two_bytes).map(|_| 0), Err(ModelError::UnknownKind(0x81)));
    // The first number of the metadata, conv1's 16 output channels.
    assert_eq!(metadata[0], 16);
    let wide = [&[0x90, 0x00][..], &metadata[1..]].concat();
    malformed(&[&[1], &wide, &padding((needed + 15) % 16), &len]);
    // Every number in turn, wherever postcard still reads the file: of 32 shapes, 6 of the training, the calibration's,
    // two lengths and ten logits.
    let mut refused = 0;
    for at in 0..metadata.len() {
        if metadata[at] & 0x80 != 0 {
            continue;
        }
        let wide = [&metadata[..at], &[metadata[at] | 0x80, 0], &metadata[at + 1..]].concat();
        let read = postcard::take_from_bytes::<Int8Metadata<'_>>(&wide);
        if read.is_ok_and(|(read, rest)| rest.is_empty() && read == int8_metadata()) {
            malformed(&[&[1], &wide, &padding((needed + 15) % 16), &len]);
            refused += 1;
        }
    }
    assert_eq!(refused, 32 + 1 + 3 + 2 + 1 + 1 + 10);
}
