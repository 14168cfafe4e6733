//! A board that learns, against the host's twin: the same head after every epoch, kept or refused with a reason, and no
//! harm from whatever is asked.

use application::{Event, ModelFlash};
use cnn_core::head::FlatHead;
use cnn_core::learn::{Fault, Set, Setting, Settings};
use cnn_core::network::FlatParameters;
use cnn_core::protocol::{HEAD_PIECES, HeadStatus, KeptError, Learned, Refusal, Reply, Request, Taught};
use cnn_train::fingerprint::Fingerprint;
use host_trainer::board::{BoardError, Client, Lesson, learn, teach, with_head};
use tests::board::flash::{Flash, Geometry, Nrf52840Dk, NucleoF446re, Power};
use tests::board::learning::{SETTINGS, lesson, parameters, record_at, taught};
use tests::board::line::Faults;
use tests::board::model;
use tests::board::modelled::{self, SAMPLES};
use tests::board::parrot;

/// A board whose model area is erased as a whole, as the NUCLEO-F446RE's is.
type Board = modelled::Board<NucleoF446re>;
/// One that erases small pages.
type PagedBoard = modelled::Board<Nrf52840Dk>;

fn board() -> Board {
    Board::holding(&model::file(1), Faults::default(), 0)
}

/// Teaches and learns, and returns the head.
fn learned<G: Geometry>(board: &mut modelled::Board<G>, lesson: &Lesson) -> Box<FlatHead> {
    taught(&mut board.client(), lesson);
    learn(&mut board.client(), &parameters(1), lesson, &SETTINGS, |_| {}).expect("board and host are equal")
}

#[track_caller]
fn assert_fault<T: std::fmt::Debug>(result: Result<T, BoardError>, expected: Fault) {
    assert!(
        matches!(result, Err(BoardError::Refused(Refusal::Learning(fault))) if fault == expected),
        "{result:?} for {expected:?}"
    );
}

#[test]
fn board_and_host_learn_the_same_head_which_then_classifies_and_is_read_back() {
    for (own, ordinary) in [(7, 0), (12, 5)] {
        let (mut board, lesson) = (board(), lesson(own, ordinary));
        let mut epochs = vec![];
        taught(&mut board.client(), &lesson);
        let head = learn(&mut board.client(), &parameters(1), &lesson, &SETTINGS, |epoch| epochs.push(epoch)).unwrap();
        assert_eq!(epochs.len(), SETTINGS.epochs as usize);
        assert!(epochs.windows(2).all(|pair| pair[1].loss < pair[0].loss), "{epochs:?}");
        let status = board.client().head().unwrap();
        assert_eq!((status.own, status.ordinary, status.capacity), (own as u32, ordinary as u32, SAMPLES as u32));
        assert_eq!(status.learned.map(Fingerprint::from), Some(Fingerprint::of(&head)));
        assert_eq!(board.client().read_head().unwrap(), head);
        let learned = with_head(&parameters(1), &head);
        assert_ne!(learned, parameters(1));
        assert_classifies_with(&mut board, &learned);
    }
}

/// Every logit of some images is that of these parameters.
#[track_caller]
fn assert_classifies_with<G: Geometry>(board: &mut modelled::Board<G>, parameters: &FlatParameters) {
    use cnn_core::network::{Activations, Parameters, logits};
    let mut activations = Activations::new();
    for pixels in &model::images(9, 5) {
        let expected = logits(pixels, &Parameters::of(parameters), &mut activations).map(f32::to_bits);
        assert_eq!(board.client().classify(pixels).unwrap().logits.map(f32::to_bits), expected);
    }
}

#[test]
fn classification_between_epochs_is_that_of_the_head_before() {
    let (mut board, lesson) = (board(), lesson(10, 0));
    taught(&mut board.client(), &lesson);
    for epoch in 1..SETTINGS.epochs {
        board.client().learn(&SETTINGS, epoch).unwrap();
        assert_classifies_with(&mut board, &parameters(1));
    }
    board.client().learn(&SETTINGS, SETTINGS.epochs).unwrap();
    let head = board.client().read_head().unwrap();
    assert_classifies_with(&mut board, &with_head(&parameters(1), &head));
}

#[test]
fn a_line_that_loses_doubles_and_flips_bytes_changes_nothing_of_what_is_learned() {
    let lesson = lesson(6, 3);
    let expected = learned(&mut board(), &lesson);
    let faults = Faults { lost: 2, doubled: 2, flipped: 2, noise: 2 };
    for seed in 0..3 {
        let mut board = Board::holding(&model::file(1), faults, seed);
        assert_eq!(learned(&mut board, &lesson), expected);
        assert_eq!(board.client().read_head().unwrap(), expected);
    }
}

#[test]
fn what_is_there_is_not_sent_again_and_other_samples_take_its_place() {
    let mut board = board();
    let (few, more, others) =
        (lesson(5, 2), lesson(9, 4), Lesson { own: lesson(4, 0).own, ordinary: lesson(9, 0).own });
    let frames = |board: &mut Board| board.client().info().unwrap().line.good;
    for (lesson, sent) in [(&few, 7), (&few, 0), (&more, 6), (&others, 13)] {
        let before = frames(&mut board);
        taught(&mut board.client(), lesson);
        let after = frames(&mut board);
        // Beside the samples: what is there before and after, whether to forget, and the count itself.
        assert!((sent..=sent + 4).contains(&(after - before)), "{} for {sent}", after - before);
        let status = board.client().head().unwrap();
        assert_eq!((status.own as usize, status.ordinary as usize), (lesson.own.len(), lesson.ordinary.len()));
    }
}

#[test]
fn what_cannot_be_learned_is_refused_and_the_board_stays_as_it_was() {
    let mut board = board();
    let image = model::images(4, 1)[0];
    let mut client = board.client();
    assert_fault(client.learn(&SETTINGS, 1), Fault::NoSamples);
    assert_fault(client.keep(), Fault::NoHead);
    assert_fault(client.read_head().map(|_| ()), Fault::NoHead);
    for label in [10, 11, 127, 128, 255] {
        assert_fault(client.teach(Set::Own, 0, label, &image), Fault::Label(label));
    }
    assert_fault(client.teach(Set::Own, 1, 0, &image), Fault::Place { next: 0 });
    assert_fault(client.teach(Set::Ordinary, u32::MAX, 0, &image), Fault::Place { next: 0 });
    let full = lesson(SAMPLES - 1, 1);
    taught(&mut client, &full);
    for set in [Set::Own, Set::Ordinary] {
        let next = if set == Set::Own { SAMPLES - 1 } else { 1 };
        assert_fault(client.teach(set, next as u32, 0, &image), Fault::Full { capacity: SAMPLES as u32 });
        assert_fault(client.teach(set, 0, 9, &image), Fault::Other);
    }
    for (settings, setting) in [
        (Settings { epochs: 0, ..SETTINGS }, Setting::Epochs),
        (Settings { batch_length: 0, ..SETTINGS }, Setting::BatchLength),
        (Settings { learning_rate: f32::NAN, ..SETTINGS }, Setting::LearningRate),
        (Settings { momentum: f32::INFINITY, ..SETTINGS }, Setting::Momentum),
        (Settings { weight_decay: -1.0, ..SETTINGS }, Setting::WeightDecay),
    ] {
        assert_fault(client.learn(&settings, 1), Fault::Setting(setting));
    }
    for epoch in [0, 2, 3, u32::MAX] {
        assert_fault(client.learn(&SETTINGS, epoch), Fault::Epoch { next: 1 });
    }
    let head = learn(&mut client, &parameters(1), &full, &SETTINGS, |_| {}).expect("board and host are equal");
    let wild = Settings { learning_rate: 3e20, epochs: 40, ..SETTINGS };
    let result = learn(&mut client, &parameters(1), &full, &wild, |_| {});
    assert!(matches!(result, Err(BoardError::Refused(Refusal::Learning(Fault::Diverged { .. })))), "{result:?}");
    assert_eq!(client.read_head().unwrap(), head);
    assert_eq!(client.head().unwrap().own, SAMPLES as u32 - 1);
    assert_classifies_with(&mut board, &with_head(&parameters(1), &head));
}

#[test]
fn boards_without_a_model_or_with_one_in_integers_learn_nothing() {
    let image = model::images(4, 1)[0];
    let mut empty = Board::holding(&[], Faults::default(), 0);
    let result = empty.client().teach(Set::Own, 0, 1, &image);
    assert!(matches!(result, Err(BoardError::Refused(Refusal::NoModel(_)))), "{result:?}");
    let mut integers = Board::holding(&model::int8_file(1), Faults::default(), 0);
    assert_fault(integers.client().teach(Set::Own, 0, 1, &image), Fault::Integers);
    assert_fault(integers.client().learn(&SETTINGS, 1), Fault::Integers);
}

#[test]
fn another_model_forgets_samples_and_head_even_while_the_board_learns() {
    let (mut board, lesson) = (PagedBoard::holding(&model::file(1), Faults::default(), 0), lesson(6, 2));
    let head = learned(&mut board, &lesson);
    let kept = board.client().keep().unwrap();
    assert_eq!(kept.kept, Ok(kept.learned));
    board.client().learn(&SETTINGS, 1).unwrap();
    board.client().update(&model::loaded(2), |_| {}).unwrap();
    let status = board.client().head().unwrap();
    assert_eq!((status.own, status.ordinary, status.learned), (0, 0, None));
    assert_eq!(status.kept, Err(KeptError::OtherModel));
    assert_fault(board.client().learn(&SETTINGS, 2), Fault::NoSamples);
    assert_classifies_with(&mut board, &parameters(2));
    // Where pages are erased by themselves the head is still there for the model that it belongs to.
    board.client().update(&model::loaded(1), |_| {}).unwrap();
    assert_eq!(board.client().read_head().unwrap(), head);
}

#[test]
fn a_kept_head_is_used_after_a_reset_and_a_forgotten_one_is_not() {
    let (mut board, lesson) = (board(), lesson(6, 2));
    let head = learned(&mut board, &lesson);
    board.reboot();
    assert_eq!(board.client().head().unwrap().learned, None, "it was not kept");
    assert_eq!(learned(&mut board, &lesson), head);
    for _ in 0..2 {
        let status = board.client().keep().unwrap();
        assert_eq!(status.kept, Ok(status.learned));
    }
    let operations = board.power.operations();
    board.reboot();
    let taken = Event::HeadRuns { fingerprint: *Fingerprint::of(&head).as_bytes() };
    assert!(board.events.borrow().contains(&taken));
    assert_eq!(board.client().read_head().unwrap(), head);
    assert_classifies_with(&mut board, &with_head(&parameters(1), &head));
    board.client().keep().unwrap();
    assert_eq!(board.power.operations(), operations, "what is kept is not written again");
    // Without its samples nothing is lost; with its heads all is.
    assert_eq!(board.client().forget(false).unwrap().learned.map(Fingerprint::from), Some(Fingerprint::of(&head)));
    for _ in 0..2 {
        let status = board.client().forget(true).unwrap();
        assert_eq!((status.learned, status.kept), (None, Ok(None)));
    }
    board.reboot();
    let status = board.client().head().unwrap();
    assert_eq!((status.learned, status.kept), (None, Ok(None)));
    assert_classifies_with(&mut board, &parameters(1));
}

/// The flash of a board that kept a head, and that head.
fn flash_with_head() -> (Vec<u8>, Box<FlatHead>) {
    let mut board = board();
    let head = learned(&mut board, &lesson(6, 2));
    board.client().keep().unwrap();
    let flash = board.into_flash().expect("the board had it");
    (flash.contents().to_vec(), head)
}

/// What a board makes of this flash.
fn booted(flash: &[u8]) -> (Board, HeadStatus) {
    let power = Power::default();
    let mut board = Board::with_flash(Flash::holding(flash, power.clone()), power, Faults::default(), 0);
    let status = board.client().head().unwrap();
    (board, status)
}

#[test]
fn damaged_foreign_and_other_heads_are_refused_with_a_reason_in_log_and_reply() {
    let (flash, _) = flash_with_head();
    let at = record_at::<NucleoF446re>(0);
    let refused = |flash: &[u8], expected: KeptError| {
        let (mut board, status) = booted(flash);
        assert_eq!((status.learned, status.kept), (None, Err(expected)));
        assert!(board.events.borrow().contains(&Event::HeadRefused(expected)));
        assert_classifies_with(&mut board, &parameters(1));
    };
    // A flipped bit anywhere but in the version, and but in the mark that it is forgotten.
    for offset in (0..4).chain(8..16).chain([16, 47, 48, 2000, 4887]) {
        let mut damaged = flash.clone();
        damaged[at + offset] ^= 4;
        refused(&damaged, KeptError::Damaged);
    }
    for version in [0, 2, u32::MAX] {
        let mut other = flash.clone();
        other[at + 4..at + 8].copy_from_slice(&version.to_le_bytes());
        refused(&other, KeptError::Version { found: version });
    }
    let reseal = |flash: &mut [u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(&flash[at + 4..at + 4888]);
        flash[at..at + 4].copy_from_slice(&crc.sum().to_le_bytes());
    };
    let mut foreign = flash.clone();
    foreign[at + 16] ^= 1;
    reseal(&mut foreign);
    refused(&foreign, KeptError::OtherModel);
    let mut wild = flash.clone();
    wild[at + 48 + 4..at + 48 + 8].copy_from_slice(&f32::NAN.to_le_bytes());
    reseal(&mut wild);
    refused(&wild, KeptError::OutOfRange(1));
    // The same bytes in the place of another model's head.
    let mut model = flash.clone();
    model[..model::file(2).len()].copy_from_slice(&model::file(2));
    let (mut board, status) = booted(&model);
    assert_eq!((status.learned, status.kept), (None, Err(KeptError::OtherModel)));
    assert_classifies_with(&mut board, &parameters(2));
}

#[test]
fn nine_heads_fit_where_flash_is_erased_as_a_whole_and_any_number_where_it_has_pages() {
    let learn_with = |client: &mut Client<&mut Board>, seed: u32| {
        let settings = Settings { learning_rate: 0.001 * (seed + 1) as f32, epochs: 1, ..SETTINGS };
        client.learn(&settings, 1).unwrap();
    };
    let mut board = board();
    taught(&mut board.client(), &lesson(3, 0));
    for seed in 0..9 {
        learn_with(&mut board.client(), seed);
        let status = board.client().keep().unwrap();
        assert_eq!(status.kept, Ok(status.learned), "{seed}");
    }
    let kept = board.client().read_head().unwrap();
    learn_with(&mut board.client(), 10);
    assert_fault(board.client().keep(), Fault::NoRoom);
    board.reboot();
    assert_eq!(board.client().read_head().unwrap(), kept, "the last that was kept");
    // Another model and back make room.
    board.client().update(&model::loaded(2), |_| {}).unwrap();
    board.client().update(&model::loaded(1), |_| {}).unwrap();
    assert_eq!(board.client().head().unwrap().kept, Ok(None));
    learned(&mut board, &lesson(3, 0));
    board.client().keep().unwrap();

    let mut paged = PagedBoard::holding(&model::file(1), Faults::default(), 0);
    taught(&mut paged.client(), &lesson(3, 0));
    for seed in 0..30 {
        let settings = Settings { learning_rate: 0.001 * (seed + 1) as f32, epochs: 1, ..SETTINGS };
        paged.client().learn(&settings, 1).unwrap();
        let status = paged.client().keep().unwrap();
        assert_eq!(status.kept, Ok(status.learned), "{seed}");
        if seed % 7 == 0 {
            paged.reboot();
            assert_eq!(paged.client().head().unwrap().learned, status.learned);
            taught(&mut paged.client(), &lesson(3, 0));
        }
    }
    assert_classifies_with_its_head(&mut paged);
}

fn assert_classifies_with_its_head(board: &mut PagedBoard) {
    let head = board.client().read_head().unwrap();
    assert_classifies_with(board, &with_head(&parameters(1), &head));
}

#[test]
fn flash_that_does_nothing_keeps_no_head_and_says_so() {
    let power = Power::default();
    let mut flash = Flash::holding(&model::file(1), power.clone());
    flash.inert = true;
    let mut board = Board::with_flash(flash, power, Faults::default(), 0);
    let head = learned(&mut board, &lesson(6, 2));
    let result = board.client().keep();
    assert!(matches!(result, Err(BoardError::Refused(Refusal::Flash))), "{result:?}");
    assert_eq!(board.client().read_head().unwrap(), head);
}

/// A board that says what a closure makes of the replies of an honest one.
fn lying(change: impl Fn(&Request<'_>, Reply<'static>) -> Reply<'static> + 'static) -> Client<parrot::Parrot> {
    let mut honest = board();
    parrot::answering(move |request| {
        let mut client = honest.client();
        let reply = match request {
            Request::Head => Reply::Head(client.head().unwrap()),
            Request::Teach { set, index, label, pixels } => {
                Reply::Taught(client.teach(set, index, label, pixels.try_into().unwrap()).unwrap())
            }
            Request::Learn { settings, epoch } => Reply::Learned(client.learn(&settings, epoch).unwrap()),
            Request::ReadHead { piece } => {
                let head = client.read_head().unwrap();
                let mut values = [[0.0; 11]; 5];
                values.as_flattened_mut().copy_from_slice(&head[55 * piece as usize..][..55]);
                Reply::HeadPiece(cnn_core::protocol::HeadPiece { values })
            }
            _ => panic!("{request:?}"),
        };
        change(&request, reply)
    })
}

#[test]
fn a_board_that_learns_otherwise_is_found_out_in_its_epoch() {
    let lesson = lesson(4, 2);
    let run = |mut client: Client<parrot::Parrot>| {
        teach(&mut client, &parameters(1), &lesson, |_| {})?;
        learn(&mut client, &parameters(1), &lesson, &SETTINGS, |_| {})?;
        client.read_head()
    };
    run(lying(|_, reply| reply)).expect("an honest board");
    let result = run(lying(|request, reply| match (request, reply) {
        (Request::Learn { epoch: 3, .. }, Reply::Learned(learned)) => {
            Reply::Learned(Learned { fingerprint: [7; 32], ..learned })
        }
        (_, reply) => reply,
    }));
    assert!(matches!(result, Err(BoardError::OtherLearning { epoch: 3, .. })), "{result:?}");
    let message = result.expect_err("it is one").to_string();
    assert!(message.contains("after epoch 3: 0707"), "{message}");
    let result = run(lying(|request, reply| match (request, reply) {
        (Request::Learn { epoch: 2, .. }, Reply::Learned(learned)) => {
            Reply::Learned(Learned { loss: f64::from_bits(learned.loss.to_bits() ^ 1), ..learned })
        }
        (_, reply) => reply,
    }));
    assert!(matches!(result, Err(BoardError::OtherLoss { epoch: 2, .. })), "{result:?}");
    let result = run(lying(|request, reply| match (request, reply) {
        (Request::Teach { set: Set::Ordinary, index: 1, .. }, Reply::Taught(taught)) => {
            Reply::Taught(Taught { checksum: !taught.checksum, ..taught })
        }
        (_, reply) => reply,
    }));
    assert!(matches!(result, Err(BoardError::OtherSample { set: Set::Ordinary, index: 1 })), "{result:?}");
    for piece in [0, HEAD_PIECES as u32 - 1] {
        let result = run(lying(move |request, reply| match (request, reply) {
            (Request::ReadHead { piece: asked }, Reply::HeadPiece(mut it)) if *asked == piece => {
                it.values[4][10] = f32::from_bits(it.values[4][10].to_bits() ^ 1);
                Reply::HeadPiece(it)
            }
            (_, reply) => reply,
        }));
        assert!(matches!(result, Err(BoardError::OtherHead { .. })), "{result:?}");
    }
    let result = run(lying(|_, reply| match reply {
        Reply::Head(status) => Reply::Head(HeadStatus { own: u32::MAX, ordinary: 1, ..status }),
        reply => reply,
    }));
    assert!(matches!(result, Err(BoardError::Wrong(_))), "{result:?}");
}
