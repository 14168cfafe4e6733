//! The page's side of the board's protocol against modelled boards: it ends as the program's does, and says the same.

use std::io::{Read, Write};

use cnn_core::image::Pixels;
use cnn_core::network::{self, Activations, Parameters};
use cnn_core::protocol::{self, Classified, Info, LineCounters, Memory, Refusal, Reply, Request};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::initial_parameters;
use host_trainer::board::Client;
use tests::board::flash::{Geometry, Nrf52840Dk, NucleoF446re};
use tests::board::line::Faults;
use tests::board::parrot::{self, NoBoard, Parrot};
use tests::board::{model, modelled};
use web::board::{Answer, Board, BoardError, Next, Task, Update};

const CLEAN: Faults = Faults { lost: 0, doubled: 0, flipped: 0, noise: 0 };

/// What has come over a line; nothing if it is silent.
fn heard<'a>(line: &mut impl Read, bytes: &'a mut [u8]) -> &'a [u8] {
    let read = line.read(bytes).unwrap_or(0);
    &bytes[..read]
}

/// Asks over a line as the page does: a millisecond passes with every piece that comes, the whole wait where none does.
/// Also how much of a file was there before every step.
fn ask(page: &mut Board, line: &mut (impl Read + Write), task: Task) -> (Result<Answer, BoardError>, Vec<usize>) {
    let (mut now, mut there, mut bytes) = (0.0, vec![], [0; 300]);
    page.ask(task, now);
    let mut next = Next::Send;
    loop {
        if next == Next::Send {
            there.push(page.progress().0);
            // Somebody who does not read says nothing either.
            let _ = line.write_all(page.frame());
        }
        let heard = heard(line, &mut bytes);
        now = if heard.is_empty() { page.deadline() } else { now + 1.0 };
        next = match page.hear(heard, now) {
            Ok(Next::Done(answer)) => return (Ok(answer), there),
            Ok(next) => next,
            Err(error) => return (Err(error), there),
        };
    }
}

/// As [`ask`], and again, as a person does, if the line lets nothing through.
fn ask_again(
    page: &mut Board,
    line: &mut (impl Read + Write),
    task: &Task,
) -> (Result<Answer, BoardError>, Vec<usize>) {
    for _ in 0..50 {
        match ask(page, line, task.clone()) {
            (Err(BoardError::Silent | BoardError::Noise), _) => {}
            result => return result,
        }
    }
    panic!("the line never let it through");
}

fn update(seed: u64) -> Task {
    let model = model::loaded(seed);
    Task::Update(Update::new(model.file().to_vec(), model.fingerprint).expect("a header"))
}

fn classify(pixels: &Pixels) -> Task {
    Task::Classify(Box::new(*pixels))
}

fn assert_classifies<G: Geometry>(page: &mut Board, board: &mut modelled::Board<G>, seed: u64) {
    let parameters = initial_parameters(seed);
    for pixels in model::images(9, 5) {
        let logits = network::logits(&pixels, &Parameters::of(&parameters), &mut Activations::new());
        let (Ok(Answer::Classified(found)), _) = ask_again(page, board, &classify(&pixels)) else {
            panic!("it answers")
        };
        assert_eq!(found.logits.map(f32::to_bits), logits.map(f32::to_bits));
    }
}

fn a_board_is_asked_and_gets_a_model<G: Geometry>(faults: Faults, seed: u64) {
    let mut board = modelled::Board::<G>::holding(&model::file(1), faults, seed);
    let mut page = Board::new(u32::MAX - 2);
    let fingerprint = |seed| Fingerprint::of(&initial_parameters(seed));
    let (Ok(Answer::Info { fields, model }), _) = ask_again(&mut page, &mut board, &Task::Info) else {
        panic!("it answers")
    };
    assert!(fields.starts_with("board\tmodelled, 1 MHz\nfirmware\t"), "{fields}");
    assert_eq!(model, Some(fingerprint(1)));
    assert_classifies(&mut page, &mut board, 1);
    let (result, shares) = ask_again(&mut page, &mut board, &update(2));
    assert_eq!(result, Ok(Answer::Updated(fingerprint(2))));
    assert!(shares.is_sorted() && shares.last() == Some(&model::file(2).len()), "{shares:?}");
    assert_classifies(&mut page, &mut board, 2);
    // A board that is sent what it has already, too.
    assert_eq!(ask_again(&mut page, &mut board, &update(2)).0, Ok(Answer::Updated(fingerprint(2))));
}

#[test]
fn a_board_is_asked_and_gets_a_model_over_lines_good_and_bad() {
    a_board_is_asked_and_gets_a_model::<NucleoF446re>(CLEAN, 0);
    a_board_is_asked_and_gets_a_model::<Nrf52840Dk>(CLEAN, 0);
    for seed in 1..4 {
        let faults = Faults { lost: 1, doubled: 1, flipped: 1, noise: 1 };
        a_board_is_asked_and_gets_a_model::<NucleoF446re>(faults, seed);
    }
}

#[test]
fn an_update_goes_on_where_it_stopped_and_begins_again_after_a_reset() {
    let mut board = modelled::Board::<NucleoF446re>::holding(&model::file(1), CLEAN, 0);
    let mut page = Board::new(7);
    // The cable is pulled after forty frames.
    page.ask(update(2), 0.0);
    let mut bytes = [0; 300];
    for _ in 0..40 {
        board.write_all(page.frame()).unwrap();
        assert_eq!(page.hear(heard(&mut board, &mut bytes), 0.0), Ok(Next::Send));
    }
    let (result, shares) = ask(&mut Board::new(8), &mut board, update(2));
    assert!(result.is_ok() && shares[1] > 30_000, "{result:?} {shares:?}");

    page.ask(update(3), 0.0);
    for _ in 0..40 {
        board.write_all(page.frame()).unwrap();
        assert_eq!(page.hear(heard(&mut board, &mut bytes), 0.0), Ok(Next::Send));
    }
    board.reboot();
    let mut next = Next::Send;
    let end = loop {
        if next == Next::Send {
            board.write_all(page.frame()).unwrap();
        }
        match page.hear(heard(&mut board, &mut bytes), 0.0).expect("it begins again") {
            Next::Done(answer) => break answer,
            other => next = other,
        }
    };
    assert_eq!(end, Answer::Updated(Fingerprint::of(&initial_parameters(3))));
}

/// A board that gives the same reply to everything, or one of its own to the beginning of an update.
fn parrot(reply: Reply<'static>) -> Parrot {
    Parrot::new(move |request| match request {
        Request::UpdateBegin { .. } if matches!(reply, Reply::Refused(Refusal::Offset { .. })) => {
            Reply::UpdateAt { next: 16 }
        }
        _ => reply,
    })
}

#[test]
fn what_goes_wrong_is_said_as_the_program_says_it() {
    let info = Info {
        firmware: "0.1.0",
        board: "parrot",
        clock_hz: 1,
        model: Ok([1; 32]),
        memory: Memory::default(),
        line: LineCounters::default(),
    };
    let classified = Classified { logits: [0.5, 3.0, -1.0, 3.0, 0.0, 1.0, 1.5, -2.0, 2.5, 2.0], class: 1, cycles: 9 };
    let mut with_nan = classified;
    with_nan.logits[3] = f32::NAN;
    let replies = [
        Reply::Info(info),
        Reply::Info(Info { board: "a\nmodel 9", ..info }),
        Reply::Info(Info { firmware: "\u{202e}", ..info }),
        Reply::Info(Info { clock_hz: 0, ..info }),
        Reply::Classified(classified),
        Reply::Classified(Classified { class: 3, ..classified }),
        Reply::Classified(with_nan),
        Reply::UpdateAt { next: 16 },
        Reply::UpdateAt { next: 17 },
        Reply::UpdateAt { next: u32::MAX },
        Reply::Activated { fingerprint: [3; 32] },
        Reply::Resetting,
        Reply::Refused(Refusal::Version { supported: 2 }),
        Reply::Refused(Refusal::Version { supported: protocol::VERSION }),
        Reply::Refused(Refusal::UnknownRequest),
        Reply::Refused(Refusal::Malformed),
        Reply::Refused(Refusal::NoUpdate),
        Reply::Refused(Refusal::Offset { next: 16 }),
        Reply::Refused(Refusal::Offset { next: 3 }),
        Reply::Refused(Refusal::ChunkLength),
        Reply::Refused(Refusal::Incomplete { next: 16 }),
        Reply::Refused(Refusal::Flash),
    ];
    let sent = model::loaded(1);
    let mut refused = 0;
    for reply in replies {
        let mut client = Client::new(parrot(reply));
        let program = [
            client.info().map(|_| ()),
            Client::new(parrot(reply)).classify(&[0; 784]).map(|_| ()),
            Client::new(parrot(reply)).update(&sent, |_| {}),
        ];
        let page = [Task::Info, classify(&[0; 784]), update(1)];
        for (program, task) in program.into_iter().zip(page) {
            let page = ask(&mut Board::new(5), &mut parrot(reply), task).0.map(|_| ()).map_err(|it| it.to_string());
            assert_eq!(page, program.map_err(|error| error.to_string()), "{reply:?}");
            refused += usize::from(page.is_err());
        }
    }
    assert_eq!(refused, 3 * replies.len() - 2, "what fits its request is taken");
    for (kind, expected) in
        [(NoBoard::Wall, BoardError::Silent), (NoBoard::Loop, BoardError::Echo), (NoBoard::Drip, BoardError::Noise)]
    {
        for task in [Task::Info, classify(&[0; 784]), update(1)] {
            let result = ask(&mut Board::new(5), &mut parrot::line(kind), task).0;
            assert_eq!(result.as_ref(), Err(&expected), "{kind:?}");
        }
    }
}

#[test]
fn an_update_that_never_ends_is_given_up() {
    let mut page = Board::new(5);
    page.ask(update(1), 0.0);
    assert_eq!(page.hear(&[1], 599_999.0), Ok(Next::Send));
    assert_eq!(page.hear(&[1], 600_001.0), Err(BoardError::Slow));
    assert_eq!(page.hear(&[], 600_002.0), Err(BoardError::Idle));
}
