//! The firmware's application on a modelled board, behind lines good and bad: the host's bits, and an answer to the next
//! good request whatever came before.

use std::time::{Duration, Instant};

use cnn_core::environment::Violation;
use cnn_core::int8::parameters::MULTIPLIERS_AT;
use cnn_core::int8::{BLOCK_LEN, OutOfRange, Part};
use cnn_core::loss::softmax;
use cnn_core::model::{Bits, HEADER_LEN, Impossible, Kind, Metadata, ModelError, Training};
use cnn_core::network::{self, Activations, Parameters, predict};
use cnn_core::protocol::{
    self, Classified, ClassifiedInt8, DELIMITER, Info, LineCounters, MAX_CHUNK, MAX_FRAME, Memory, Refusal, Reply,
    Request,
};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::initial_parameters;
use equality::values::Values;
use host_trainer::board::{BoardError, Client, Timeouts, Wrong, verify, verify_int8};
use tests::board::flash::{Flash, Nrf52840Dk, NucleoF446re, Power};
use tests::board::line::{Faults, Raw};
use tests::board::model;
use tests::board::modelled;
use tests::board::parrot::{self, NoBoard, Parrot};

/// Whether a model was refused for the right reason.
type Expectation = fn(ModelError) -> bool;
/// A board whose model area is erased as a whole, as the NUCLEO-F446RE's is.
type Board = modelled::Board<NucleoF446re>;
/// One that erases small pages.
type PagedBoard = modelled::Board<Nrf52840Dk>;

const CLEAN: Faults = Faults { lost: 0, doubled: 0, flipped: 0, noise: 0 };

fn frame_of(sequence: u32, request: &Request<'_>) -> Vec<u8> {
    let mut frame = [0; MAX_FRAME];
    let len = protocol::encode(sequence, request, &mut frame).expect("it fits");
    frame[..len].to_vec()
}

/// Sends bytes as they are and lets the board digest them; what it says is lost.
fn send_raw(board: &mut Board, bytes: &[u8]) {
    use std::io::Write;
    board.write_all(bytes).expect("the line is endless");
    board.run();
    while board.port.borrow_mut().outward.receive().is_some() {}
}

/// # Panics
/// If the board does not give the bits of the host, or not at once.
fn assert_answers(board: &mut Board, seed: u64) {
    let pixels = model::images(seed + 100, 1)[0];
    let parameters = initial_parameters(seed);
    let mut activations = Activations::new();
    let logits = network::logits(&pixels, &Parameters::of(&parameters), &mut activations);
    let classified = board.client().classify(&pixels).expect("the board has a model");
    assert_eq!(classified.logits.map(f32::to_bits), logits.map(f32::to_bits));
}

#[test]
fn a_board_gives_the_bits_of_the_host() {
    let mut board = Board::holding(&model::file(1), CLEAN, 0);
    let images = model::images(2, 50);
    let result = verify(&mut board.client(), &initial_parameters(1), images.iter().map(|image| (image, 0)), |_| {});
    let verification = result.expect("the board answers");
    assert_eq!((verification.images, verification.differences), (50, vec![]));
}

#[test]
fn a_board_takes_an_int8_model_and_gives_the_integers_of_the_host() {
    let (model, images) = (model::loaded_int8(1), model::images(2, 50));
    let samples = || images.iter().map(|image| (image, 0));
    for mut board in [Board::holding(model.file(), CLEAN, 0), Board::holding(&model::file(1), CLEAN, 0)] {
        board.client().update_with(model.file(), model.fingerprint, |_| {}).expect("the board takes it");
        let verification = verify_int8(&mut board.client(), &model, samples(), |_| {}).expect("the board answers");
        assert_eq!((verification.images, verification.differences), (50, vec![]));
        let result = board.client().classify(&images[0]);
        assert!(matches!(result, Err(BoardError::OtherKind { found: Kind::Int8 })), "{result:?}");
        // And back: a longer file over a shorter one.
        board.client().update(&model::loaded(2), |_| {}).expect("the board takes it");
        assert_answers(&mut board, 2);
        let result = board.client().classify_int8(&images[0]);
        assert!(matches!(result, Err(BoardError::OtherKind { found: Kind::Float })), "{result:?}");
    }
    let result = verify_int8(&mut Board::holding(&model::file(1), CLEAN, 0).client(), &model, samples(), |_| {});
    assert!(matches!(result, Err(BoardError::OtherModel { .. })), "{result:?}");
}

#[test]
fn int8_models_that_must_not_run_do_not_run() {
    let model = model::loaded_int8(1);
    let changed = |at: usize, byte: u8| {
        let mut file = model.file().to_vec();
        file[at] = byte;
        model::seal(&mut file);
        file
    };
    let len = model.file().len();
    let cases: [(Vec<u8>, ModelError); 4] = [
        (changed(len - 1, 63), ModelError::OutOfRangeInt8(OutOfRange { part: Part::Shift, index: 167 })),
        (changed(len - BLOCK_LEN, 0x80), ModelError::OutOfRangeInt8(OutOfRange { part: Part::Weight, index: 0 })),
        (changed(HEADER_LEN, 2), ModelError::UnknownKind(2)),
        (model.file()[..len - 1].to_vec(), ModelError::Checksum),
    ];
    for (file, expected) in cases {
        let mut board = Board::holding(&file, CLEAN, 0);
        assert_eq!(board.client().info().expect("it answers").model, Err(expected));
    }
    // The last bias is another, and in range: only the golden image tells.
    let at = len - BLOCK_LEN + MULTIPLIERS_AT - 4;
    let mut board = Board::holding(&changed(at, model.file()[at] ^ 1), CLEAN, 0);
    let found = board.client().info().expect("it answers").model;
    assert!(matches!(found, Err(ModelError::SelfTestInt8 { class: 9, .. })), "{found:?}");
}

#[test]
fn the_percentage_in_the_log_is_the_softmax_within_its_promise() {
    let mut values = Values::new(21);
    let mut worst = 0;
    for _ in 0..100_000 {
        let spread = values.below(300) as f32 / 10.0;
        let logits: [f32; 10] = std::array::from_fn(|_| (values.below(20_001) as f32 / 10_000.0 - 1.0) * spread);
        let class = predict(&logits);
        let exact = (softmax(&logits)[class] * 1000.0) as u16;
        worst = worst.max(exact.abs_diff(application::permille(&logits, class)));
    }
    assert!(worst <= application::PERMILLE_ERROR, "off by {worst}");
    assert_eq!(application::permille(&[-50.0, 50.0, -50.0, -50.0, -50.0, -50.0, -50.0, -50.0, -50.0, -50.0], 1), 1000);
}

#[test]
fn a_board_says_who_it_is_and_what_it_runs() {
    let mut board = Board::holding(&model::file(1), CLEAN, 0);
    let info = board.client().info().expect("the board answers");
    assert_eq!((info.board.as_str(), info.firmware.as_str()), ("modelled", application::VERSION));
    assert_eq!(info.model, Ok(Fingerprint::of(&initial_parameters(1))));
    assert_eq!(info.line.good, 1);
}

#[test]
fn an_arithmetic_that_is_not_the_contracts_runs_no_model_and_takes_none() {
    for violation in [Violation::SubnormalOperand, Violation::SubnormalResult, Violation::Rounding, Violation::Fused] {
        let mut board = Board::holding(&model::file(1), CLEAN, 0);
        board.arithmetic = Err(violation);
        board.reboot();
        // The golden image gives its logits here, and is not believed.
        let expected = ModelError::Arithmetic(violation);
        assert_eq!(board.client().info().expect("it answers").model, Err(expected));
        let result = board.client().classify(&[0; 784]);
        assert!(matches!(result, Err(BoardError::Refused(Refusal::NoModel(error))) if error == expected), "{result:?}");
        let result = board.client().update(&model::loaded(2), |_| {});
        assert!(matches!(result, Err(BoardError::Refused(Refusal::Model(error))) if error == expected), "{result:?}");
        assert_eq!(board.power.operations(), 0, "the model stays for firmware that computes right");
        board.arithmetic = Ok(());
        board.reboot();
        assert_answers(&mut board, 1);
    }
    let mut empty = Board::holding(&[], CLEAN, 0);
    empty.arithmetic = Err(Violation::Rounding);
    empty.reboot();
    assert_eq!(empty.client().info().expect("it answers").model, Err(ModelError::Magic), "the file comes first");
}

#[test]
fn comparing_with_another_model_is_refused_before_the_first_image() {
    let mut board = Board::holding(&model::file(1), CLEAN, 0);
    let result = verify(&mut board.client(), &initial_parameters(2), [], |_| {});
    assert!(matches!(result, Err(BoardError::OtherModel { .. })), "{result:?}");
}

#[test]
fn a_board_without_a_model_says_so_and_takes_one() {
    let mut board = Board::holding(&[], CLEAN, 0);
    let result = board.client().classify(&[0; 784]);
    assert!(matches!(result, Err(BoardError::Refused(Refusal::NoModel(ModelError::Magic)))), "{result:?}");
    let mut heard = vec![];
    board.client().update(&model::loaded(3), |bytes| heard.push(bytes)).expect("the board takes it");
    assert!(heard.is_sorted() && heard.last() == Some(&model::file(3).len()));
    assert_answers(&mut board, 3);
    board.reboot();
    assert_answers(&mut board, 3);
}

#[test]
fn small_pages_are_erased_one_by_one() {
    let mut board = PagedBoard::holding(&model::file(1), CLEAN, 0);
    board.client().update(&model::loaded(2), |_| {}).expect("the board takes it");
    assert_eq!(board.client().info().expect("it answers").model, Ok(Fingerprint::of(&initial_parameters(2))));
}

#[test]
fn the_model_that_runs_already_is_not_sent_again() {
    let mut board = Board::holding(&model::file(1), CLEAN, 0);
    board.client().update(&model::loaded(1), |_| {}).expect("it runs");
    assert_eq!(board.power.operations(), 0);
}

#[test]
fn models_that_must_not_run_do_not_run() {
    let parameters = initial_parameters(1);
    let pixels = [7; 784];
    let good = model::metadata(&parameters, &pixels);
    let mut other_shapes = good.clone();
    other_shapes.shapes[2][0] = 64;
    let mut other_logits = good.clone();
    other_logits.golden.logits[9] += 1.0;
    let file = model::write(&good, &parameters);
    let changed = |at: usize, bytes: &[u8], seal: bool| {
        let mut file = file.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        if seal {
            model::seal(&mut file);
        }
        file
    };
    let logits = good.golden.logits.map(f32::to_le_bytes).concat();
    let golden = file.windows(logits.len()).position(|window| window == logits).expect("they are there");
    // A run with 5 of 9 images correct, and with 9 of 5.
    let training = Training {
        dataset: "nine",
        dataset_hash: [0; 32],
        seed: 0,
        epochs: 1,
        batch_length: 1,
        shuffle: false,
        learning_rate: 0.1,
        momentum: 0.0,
        weight_decay: 0.0,
        test_correct: 5,
        test_count: 9,
    };
    let mut more_than_all = model::write(&Metadata { training: Some(training), ..good.clone() }, &parameters);
    let counts = [&[5, 9], &good.fingerprint[..]].concat();
    let place = more_than_all.windows(counts.len()).position(|window| window == counts).expect("they are there");
    more_than_all[place..place + 2].reverse();
    model::seal(&mut more_than_all);
    let last = file.len() - 4;
    let is_self_test: Expectation = |error| matches!(error, ModelError::SelfTest { class: 9, .. });
    let cases: [(Vec<u8>, Expectation, bool); 11] = [
        // What header and start tell, before the old model is given up; then what only the whole file tells.
        (changed(4, &[3, 0, 0, 0], true), |error| error == ModelError::Version { found: 3 }, true),
        // Its first number, conv1's 16 output channels, as a kind.
        (changed(4, &[2, 0, 0, 0], true), |error| error == ModelError::UnknownKind(16), true),
        (changed(8, &u32::MAX.to_le_bytes(), true), |error| error == ModelError::Length(u32::MAX), true),
        (model::write(&other_shapes, &parameters), |error| error == ModelError::Shapes, true),
        (changed(16, &[0xff; 64], true), |error| error == ModelError::Malformed, true),
        (changed(golden, &f32::NAN.to_le_bytes(), true), |error| error == Impossible::GoldenLogit.into(), true),
        (
            changed(golden + 36, &f32::INFINITY.to_le_bytes(), true),
            |error| error == Impossible::GoldenLogit.into(),
            true,
        ),
        (more_than_all, |error| error == Impossible::TestCorrect.into(), true),
        (model::write(&other_logits, &parameters), is_self_test, false),
        (changed(last, &f32::NAN.to_le_bytes(), true), |error| error == ModelError::OutOfRange(102_129), false),
        (changed(last, &[1, 2, 3, 4], false), |error| error == ModelError::Checksum, false),
    ];
    let fingerprint = Fingerprint::of(&parameters);
    for (bad, expected, start_tells) in cases {
        // Sent to a board, and found in flash at boot.
        let mut board = Board::holding(&model::file(5), CLEAN, 0);
        match board.client().update_with(&bad, fingerprint, |_| {}) {
            Err(BoardError::Refused(Refusal::Model(error))) => assert!(expected(error), "{error:?}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(board.power.operations() == 0, start_tells);
        assert_eq!(board.client().info().expect("it answers").model.is_ok(), start_tells);
        board.reboot();
        assert_eq!(board.client().info().expect("it answers").model.is_ok(), start_tells);
        board.client().update(&model::loaded(6), |_| {}).expect("the next model is taken");

        let mut board = Board::holding(&bad, CLEAN, 0);
        match board.client().classify(&[0; 784]) {
            Err(BoardError::Refused(Refusal::NoModel(error))) => assert!(expected(error), "{error:?}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn flash_that_does_nothing_is_an_honest_refusal_and_the_old_model_runs_on() {
    let power = Power::default();
    let mut flash = Flash::holding(&model::file(1), power.clone());
    flash.inert = true;
    let mut board = Board::with_flash(flash, power, CLEAN, 0);
    let result = board.client().update(&model::loaded(2), |_| {});
    assert!(matches!(result, Err(BoardError::Refused(Refusal::Flash))), "{result:?}");
    assert_answers(&mut board, 1);
}

#[test]
fn chunks_out_of_order_repeated_or_past_the_end_do_no_harm() {
    let file = model::file(2);
    let header = *file.first_chunk().expect("a header");
    let mut board = Board::holding(&model::file(1), CLEAN, 0);
    let mut sequence = 0;
    let mut chunk = |board: &mut Board, offset: usize, data: &[u8]| {
        sequence += 1;
        send_raw(board, &frame_of(sequence, &Request::UpdateChunk { offset: offset as u32, data }));
    };
    chunk(&mut board, 16, &file[16..32]);
    assert_answers(&mut board, 1);

    send_raw(&mut board, &frame_of(0, &Request::UpdateBegin { header }));
    let next = 16 + MAX_CHUNK;
    chunk(&mut board, 16, &file[16..next]);
    chunk(&mut board, 16, &file[16..next]);
    chunk(&mut board, next + 16, &file[next + 16..next + 32]);
    chunk(&mut board, 0, &file[..16]);
    chunk(&mut board, next, &file[next..next + 3]);
    chunk(&mut board, next, &[]);
    chunk(&mut board, file.len() - 16, &[0; 32]);
    chunk(&mut board, u32::MAX as usize, &[0; 16]);
    send_raw(&mut board, &frame_of(0, &Request::UpdateCommit { header }));
    let info = board.client().info().expect("it answers");
    assert_eq!(info.model, Err(ModelError::Truncated { expected: file.len(), found: next }));
    board.client().update(&model::loaded(2), |_| {}).expect("the update goes on");
    assert_answers(&mut board, 2);
}

#[test]
fn an_update_broken_off_at_any_chunk_goes_on_from_there() {
    let file = model::file(2);
    let header = *file.first_chunk().expect("a header");
    let mut board = Board::holding(&model::file(1), CLEAN, 0);
    send_raw(&mut board, &frame_of(0, &Request::UpdateBegin { header }));
    for (index, data) in file[16..].chunks(MAX_CHUNK).enumerate() {
        let offset = 16 + index * MAX_CHUNK;
        send_raw(&mut board, &frame_of(0, &Request::UpdateChunk { offset: offset as u32, data }));
        // The host goes away and comes back.
        let model = board.client().info().expect("it answers").model;
        assert_eq!(model, Err(ModelError::Truncated { expected: file.len(), found: offset + data.len() }));
        send_raw(&mut board, &frame_of(0, &Request::UpdateBegin { header }));
    }
    let mut first = None;
    board.client().update(&model::loaded(2), |bytes| first = first.or(Some(bytes))).expect("only the commit is left");
    assert_eq!(first, Some(file.len()));
    assert_answers(&mut board, 2);
}

#[test]
fn an_update_to_another_file_begins_anew() {
    let mut board = Board::holding(&model::file(1), CLEAN, 0);
    let other = model::file(2);
    let header = *other.first_chunk().expect("a header");
    send_raw(&mut board, &frame_of(0, &Request::UpdateBegin { header }));
    send_raw(&mut board, &frame_of(1, &Request::UpdateChunk { offset: 16, data: &other[16..1040] }));
    board.client().update(&model::loaded(3), |_| {}).expect("the board takes it");
    assert_answers(&mut board, 3);
}

#[test]
fn a_frame_cut_at_any_byte_does_not_reach_the_next_request() {
    let mut board = Board::holding(&model::file(1), CLEAN, 0);
    let frame = frame_of(1, &Request::Classify { pixels: &[3; 784] });
    for cut in 1..frame.len() {
        send_raw(&mut board, &frame[..cut]);
        assert_eq!(board.client().info().expect("it answers").line.timed_out, cut as u32);
    }
    assert_answers(&mut board, 1);
}

#[test]
fn glued_frames_noise_and_floods_do_not_reach_the_next_request() {
    let mut board = Board::holding(&model::file(1), CLEAN, 0);
    let frame = frame_of(1, &Request::Info);
    send_raw(&mut board, &[&frame[..frame.len() - 1], &frame].concat());
    assert_answers(&mut board, 1);
    let mut values = Values::new(3);
    for len in [1, 10, 1000, 100_000] {
        let noise: Vec<u8> = (0..len).map(|_| values.below(256) as u8).collect();
        send_raw(&mut board, &noise);
        assert_answers(&mut board, 1);
        send_raw(&mut board, &noise.iter().map(|byte| byte | 1).collect::<Vec<u8>>());
        assert_answers(&mut board, 1);
    }
    send_raw(&mut board, &frame.repeat(1000));
    assert_answers(&mut board, 1);
    board.port.borrow_mut().overruns = 5;
    send_raw(&mut board, &frame);
    assert_answers(&mut board, 1);
    assert_eq!(board.client().info().expect("it answers").line.port_errors, 5);
}

#[test]
fn any_message_that_makes_no_sense_is_refused_and_the_next_is_answered() {
    let mut board = Board::holding(&model::file(1), CLEAN, 0);
    // Any body behind a right CRC: a number for an unknown request, lengths that lie, random bytes.
    let mut values = Values::new(9);
    for _ in 0..2000 {
        let len = values.below(40) as usize;
        let body: Vec<u8> =
            (0..len).map(|_| if values.below(2) == 0 { values.below(8) } else { values.below(256) } as u8).collect();
        let mut frame = [0; MAX_FRAME];
        let len = protocol::encode(4, &Raw(&body), &mut frame).expect("it fits");
        send_raw(&mut board, &frame[..len]);
    }
    send_raw(&mut board, &[DELIMITER; 3]);
    let model = board.client().info().expect("it answers").model;
    if model.is_err() {
        // Random bytes can be a reset or, in principle, a whole header; nothing else may change the model.
        board.reboot();
    }
    assert_answers(&mut board, 1);
}

#[test]
fn an_update_ends_even_if_the_board_wants_the_same_bytes_for_ever() {
    let model = model::loaded(1);
    for reply in [
        Reply::UpdateAt { next: 16 },
        Reply::Refused(Refusal::Offset { next: 16 }),
        Reply::Refused(Refusal::NoUpdate),
        Reply::UpdateAt { next: u32::MAX },
    ] {
        let result = parrot::saying(reply).update(&model, |_| {});
        assert!(matches!(result, Err(BoardError::Wrong(_) | BoardError::Refused(_))), "{reply:?}: {result:?}");
    }
}

#[test]
fn the_old_model_answers_until_the_start_of_the_new_one_was_checked() {
    let file = model::file(2);
    let header = *file.first_chunk().expect("a header");
    let mut board = Board::holding(&model::file(1), CLEAN, 0);
    send_raw(&mut board, &frame_of(0, &Request::UpdateBegin { header }));
    // In small pieces, each of them twice and with a hole before it.
    let mut offset = HEADER_LEN;
    while board.power.operations() == 0 {
        assert_answers(&mut board, 1);
        assert_eq!(board.client().info().expect("it answers").model, Ok(Fingerprint::of(&initial_parameters(1))));
        let chunk = |offset: usize| Request::UpdateChunk { offset: offset as u32, data: &file[offset..offset + 112] };
        for offset in [offset + 112, offset, offset] {
            send_raw(&mut board, &frame_of(0, &chunk(offset)));
        }
        offset += 112;
        assert!(offset < 2000, "the start is shorter than that");
    }
    let info = board.client().info().expect("it answers");
    assert_eq!(info.model, Err(ModelError::Truncated { expected: file.len(), found: offset }));
    let mut first = None;
    board.client().update(&model::loaded(2), |bytes| first = first.or(Some(bytes))).expect("it goes on");
    assert_eq!(first, Some(offset), "nothing is sent twice");
    assert_answers(&mut board, 2);

    // Another update, or a reset, takes the place of one whose start has not come.
    for seed in [3, 4] {
        let header = *model::file(seed).first_chunk().expect("a header");
        send_raw(&mut board, &frame_of(0, &Request::UpdateBegin { header }));
        send_raw(&mut board, &frame_of(0, &Request::UpdateChunk { offset: 16, data: &model::file(seed)[16..128] }));
        send_raw(&mut board, &frame_of(0, &Request::UpdateCommit { header }));
    }
    board.reboot();
    assert_answers(&mut board, 2);
}

const LOGITS: [f32; 10] = [0.5, 3.0, -1.0, 3.0, 0.0, 1.0, 1.5, -2.0, 2.5, 2.0];

fn classified(change: impl FnOnce(&mut Classified)) -> Reply<'static> {
    let mut classified = Classified { logits: LOGITS, class: 1, cycles: 1000 };
    change(&mut classified);
    Reply::Classified(classified)
}

#[test]
fn a_class_or_a_logit_that_cannot_be_is_not_believed() {
    let found = parrot::saying(classified(|_| ())).classify(&[0; 784]).expect("the first largest logit is that of 1");
    assert_eq!((found.class, found.logits), (1, LOGITS));
    for class in [0, 2, 3, 9, 10, 77, 200, u8::MAX] {
        let result = parrot::saying(classified(|it| it.class = class)).classify(&[0; 784]);
        let expected = Wrong::Class { found: class, expected: 1 };
        assert!(matches!(result, Err(BoardError::Wrong(wrong)) if wrong == expected), "{class}: {result:?}");
    }
    for (class, logit) in [(0, f32::NAN), (1, f32::INFINITY), (9, f32::NEG_INFINITY), (3, -f32::NAN)] {
        let result = parrot::saying(classified(|it| it.logits[class] = logit)).classify(&[0; 784]);
        let expected = Wrong::Logit { class, logit: Bits(logit.to_bits()) };
        assert!(matches!(result, Err(BoardError::Wrong(wrong)) if wrong == expected), "{logit}: {result:?}");
    }
}

#[test]
fn integers_that_cannot_be_are_not_believed() {
    let logits = [5, 30, -10, 30, 0, 1, i32::MIN, -2, 25, 2];
    let good = ClassifiedInt8 { logits, scale: 0.5, class: 1, cycles: 1000 };
    let ask = |said: ClassifiedInt8| parrot::saying(Reply::ClassifiedInt8(said)).classify_int8(&[0; 784]);
    assert_eq!(ask(good).expect("the first largest logit is that of 1"), good);
    for class in [0, 3, 10, u8::MAX] {
        let (result, expected) = (ask(ClassifiedInt8 { class, ..good }), Wrong::Class { found: class, expected: 1 });
        assert!(matches!(result, Err(BoardError::Wrong(wrong)) if wrong == expected), "{class}: {result:?}");
    }
    for scale in [f32::NAN, f32::INFINITY, 0.0, -0.0, -1.0] {
        let (result, expected) = (ask(ClassifiedInt8 { scale, ..good }), Wrong::Scale(Bits(scale.to_bits())));
        assert!(matches!(result, Err(BoardError::Wrong(wrong)) if wrong == expected), "{scale}: {result:?}");
    }
}

/// What a board says of itself, with the model of seed 1.
fn info(change: impl FnOnce(&mut Info<'static>)) -> Info<'static> {
    let mut info = Info {
        firmware: "0.1.0",
        board: "parrot",
        clock_hz: 1,
        model: Ok(*Fingerprint::of(&initial_parameters(1)).as_bytes()),
        memory: Memory::default(),
        line: LineCounters::default(),
    };
    change(&mut info);
    info
}

#[test]
fn right_logits_with_a_wrong_class_are_no_success() {
    let model = model::loaded(1);
    let parameters = model.parameters.clone();
    let mut board = parrot::answering(move |request| match request {
        Request::Classify { pixels } => {
            let mut activations = Activations::new();
            let logits =
                network::logits(pixels.try_into().expect("784 pixels"), &Parameters::of(&parameters), &mut activations);
            Reply::Classified(Classified { logits, class: 77, cycles: 1 })
        }
        _ => Reply::Info(info(|_| ())),
    });
    let images = model::images(2, 5);
    let result = verify(&mut board, &model.parameters, images.iter().map(|image| (image, 0)), |_| {});
    assert!(matches!(result, Err(BoardError::Wrong(Wrong::Class { found: 77, .. }))), "{result:?}");
}

#[test]
fn comparing_nothing_is_no_success() {
    let mut board = Board::holding(&model::file(1), CLEAN, 0);
    let result = verify(&mut board.client(), &initial_parameters(1), [], |_| {});
    assert!(matches!(result, Err(BoardError::NoImages)), "{result:?}");
}

#[test]
fn names_that_are_no_line_and_a_clock_that_stands_are_not_believed() {
    assert!(parrot::saying(Reply::Info(info(|_| ()))).info().is_ok());
    let long = "x".repeat(33).leak();
    for name in ["a\nmodel     9999", "\u{202e}", "\x1b[2J", "\u{2028}", long] {
        for reply in [info(|it| it.board = name), info(|it| it.firmware = name)] {
            let result = parrot::saying(Reply::Info(reply)).info();
            assert!(matches!(result, Err(BoardError::Wrong(Wrong::Name))), "{name:?}: {result:?}");
        }
    }
    let result = parrot::saying(Reply::Info(info(|it| it.clock_hz = 0))).info();
    assert!(matches!(result, Err(BoardError::Wrong(Wrong::Clock))), "{result:?}");
}

/// A board that takes an update by the book, then says that it runs `fingerprint`.
fn claiming(fingerprint: [u8; 32]) -> Client<Parrot> {
    parrot::answering(move |request| match request {
        Request::UpdateChunk { offset, data } => Reply::UpdateAt { next: offset + data.len() as u32 },
        Request::UpdateCommit { .. } => Reply::Activated { fingerprint },
        _ => Reply::UpdateAt { next: 16 },
    })
}

#[test]
fn an_update_is_a_success_only_if_the_board_runs_the_model_that_was_sent() {
    let model = model::loaded(1);
    let sent = *model.fingerprint.as_bytes();
    claiming(sent).update(&model, |_| {}).expect("it is the same");
    let mut one_bit = sent;
    one_bit[31] ^= 1;
    for claimed in [[0xde; 32], [0; 32], one_bit] {
        let result = claiming(claimed).update(&model, |_| {});
        let Err(error @ BoardError::OtherActivated { .. }) = result else { panic!("{result:?}") };
        for fingerprint in [Fingerprint::from(claimed), model.fingerprint] {
            assert!(error.to_string().contains(&fingerprint.to_string()), "{error}");
        }
    }
}

#[test]
fn offsets_that_no_board_wants_are_not_believed() {
    let model = model::loaded(1);
    let len = model.file().len() as u32;
    for next in [0, 1, 15, 17, 24, len - 1, len + 1, len + 16, u32::MAX] {
        for reply in [Reply::UpdateAt { next }, Reply::Refused(Refusal::Offset { next })] {
            let result = parrot::answering(move |request| match request {
                Request::UpdateBegin { .. } if matches!(reply, Reply::Refused(_)) => Reply::UpdateAt { next: 16 },
                _ => reply,
            })
            .update(&model, |_| {});
            let expected = Wrong::Offset { next, len: len as usize };
            assert!(matches!(result, Err(BoardError::Wrong(wrong)) if wrong == expected), "{next}: {result:?}");
        }
    }
    let result = parrot::saying(Reply::Refused(Refusal::Version { supported: protocol::VERSION })).info();
    assert!(matches!(result, Err(BoardError::Wrong(Wrong::Version(_)))), "{result:?}");
}

#[test]
fn where_no_board_is_every_request_ends_soon_and_says_what_is_wrong() {
    let model = model::loaded(1);
    type Expected = fn(&BoardError) -> bool;
    let cases: [(NoBoard, Expected, &str); 3] = [
        (NoBoard::Wall, |error| matches!(error, BoardError::Stuck), "no longer takes"),
        (NoBoard::Loop, |error| matches!(error, BoardError::Echo), "gives back what is sent"),
        (NoBoard::Drip, |error| matches!(error, BoardError::Noise), "no reply of this firmware"),
    ];
    for (kind, expected, words) in cases {
        let start = Instant::now();
        let mut client = parrot::without_board(kind);
        let errors = [
            client.info().map(|_| ()),
            client.classify(&[9; 784]).map(|_| ()),
            client.reset(),
            client.update(&model, |_| {}),
        ];
        for error in errors.map(|result| result.expect_err("there is no board")) {
            assert!(expected(&error) && error.to_string().contains(words), "{kind:?}: {error}");
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }
}

#[test]
fn an_update_takes_no_longer_than_it_may() {
    let timeouts = Timeouts { update: Duration::ZERO, ..Timeouts::default() };
    let mut board = Board::holding(&model::file(1), CLEAN, 0);
    let result = Client::with_timeouts(&mut board, timeouts).update(&model::loaded(2), |_| {});
    assert!(matches!(result, Err(BoardError::Slow(Duration::ZERO))), "{result:?}");
    assert_answers(&mut board, 1);
}

#[test]
fn requests_and_updates_come_through_a_bad_line() {
    // About one frame of a thousand bytes in three is damaged.
    let faults = Faults { lost: 1, doubled: 1, flipped: 1, noise: 1 };
    let model = model::loaded(2);
    let mut board = Board::holding(&model::file(1), faults, 11);
    let images = model::images(4, 20);
    let patiently = |result: &mut dyn FnMut() -> Result<(), BoardError>| {
        for _ in 0..50 {
            match result() {
                Ok(()) => return,
                Err(BoardError::Silent | BoardError::Noise) => {}
                Err(error) => panic!("{error}"),
            }
        }
        panic!("the line never let it through");
    };
    for image in &images {
        patiently(&mut || board.client().classify(image).map(|_| ()));
    }
    patiently(&mut || board.client().update(&model, |_| {}));
    let info = board.client().info();
    assert!(info.is_ok_and(|info| info.line.damaged + info.line.timed_out > 50));
    board.port.borrow_mut().inward = tests::board::line::Channel::new(CLEAN, 0);
    board.port.borrow_mut().outward = tests::board::line::Channel::new(CLEAN, 0);
    assert_answers(&mut board, 2);
}
