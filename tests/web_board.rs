//! The page's side of the board's protocol against modelled boards: it ends as the program's does, and says the same.

use std::io::{Read, Write};

use cnn_core::image::Pixels;
use cnn_core::learn::{Fault, Set};
use cnn_core::network::{self, Activations, Parameters};
use cnn_core::protocol::{
    self, Classified, HeadStatus, Info, Learned, LineCounters, Memory, Refusal, Reply, Request, Taught, Wrong,
};
use cnn_train::dataset::{Split, synthetic};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::initial_parameters;
use host_trainer::board::{self, Client, Sample, choose_ordinary};
use tests::board::flash::{Geometry, Nrf52840Dk, NucleoF446re};
use tests::board::learning::{self, SETTINGS, parameters};
use tests::board::line::Faults;
use tests::board::parrot::{self, NoBoard, Parrot};
use tests::board::{model, modelled};
use web::board::{Answer, Board, BoardError, Next, Task, Teaching, Update};
use web::lesson::Lesson;

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
        Reply::Taught(Taught { count: 1, checksum: 2 }),
        Reply::Learned(Learned { loss: 0.5, fingerprint: [4; 32], cycles: 6 }),
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

/// The page's lesson of these own samples and of ordinary ones that are chosen from some digits, over the model of seed 1.
fn lesson(own: &[Sample], ordinary: usize) -> Lesson {
    let (mut lesson, parameters, pool) = (Lesson::default(), parameters(1), pool());
    lesson.take_from(Some((pool.images().to_vec(), pool.labels().to_vec())));
    assert_eq!(lesson.rank(&parameters, usize::MAX), (pool.len(), pool.len()));
    let records: Vec<u8> = own.iter().flat_map(|(pixels, label)| [&[*label], pixels.as_slice()].concat()).collect();
    lesson.begin(&parameters, &records, SETTINGS).expect("samples");
    lesson.mix_in(&parameters, ordinary).expect("there are so many");
    lesson
}

fn pool() -> cnn_train::dataset::Samples {
    synthetic::samples(5, Split::Train, 60)
}

/// Has a board learn the lesson's next epoch as the page does.
fn learned(
    page: &mut Board,
    line: &mut (impl Read + Write),
    lesson: &mut Lesson,
    epoch: u32,
) -> Result<Answer, BoardError> {
    let (_, here) = lesson.epoch(&parameters(1), epoch).expect("its turn");
    ask_again(page, line, &Task::Learn(here)).0
}

fn a_lesson_has_the_programs_bits_here_and_on_the_board<G: Geometry>(faults: Faults, seed: u64) {
    let own = learning::lesson(9, 0).own;
    let (parameters, pool) = (parameters(1), pool());
    let candidates = pool.images().iter().zip(pool.labels().iter().copied());
    let as_program = board::Lesson { ordinary: choose_ordinary(&parameters, candidates, 14), own: own.clone() };
    let mut other = modelled::Board::<G>::holding(&model::file(1), CLEAN, 0);
    learning::taught(&mut other.client(), &as_program);
    let mut expected = vec![];
    let head =
        board::learn(&mut other.client(), &parameters, &as_program, &SETTINGS, |epoch| expected.push(epoch)).unwrap();

    let mut board = modelled::Board::<G>::holding(&model::file(1), faults, seed);
    let (mut page, mut lesson) = (Board::new(u32::MAX - 40), lesson(&own, 14));
    let teach = Task::Teach(Teaching::new(lesson.shown()));
    assert_eq!(ask_again(&mut page, &mut board, &teach).0, Ok(Answer::Taught));
    for epoch in expected {
        assert!(matches!(learned(&mut page, &mut board, &mut lesson, epoch.epoch), Ok(Answer::Learned { .. })));
        assert_eq!(lesson.last_epoch().map(|here| here.fingerprint), Some(epoch.fingerprint));
    }
    let fingerprint = Fingerprint::of(&head);
    assert_eq!(lesson.head(), Some(&*head));
    assert_eq!(ask_again(&mut page, &mut board, &Task::Keep).0, Ok(Answer::Kept(fingerprint)));
    board.reboot();
    let (Ok(Answer::Head(Some(status))), _) = ask_again(&mut page, &mut board, &Task::Head) else {
        panic!("it learns")
    };
    assert_eq!((status.own, status.learned.map(Fingerprint::from)), (0, Some(fingerprint)));
    let (Ok(Answer::Head(Some(status))), _) = ask_again(&mut page, &mut board, &Task::Forget) else {
        panic!("it forgets")
    };
    assert_eq!((status.learned, status.kept), (None, Ok(None)));
}

#[test]
fn a_lesson_has_the_programs_bits_here_and_on_the_board_over_lines_good_and_bad() {
    a_lesson_has_the_programs_bits_here_and_on_the_board::<NucleoF446re>(CLEAN, 0);
    a_lesson_has_the_programs_bits_here_and_on_the_board::<Nrf52840Dk>(CLEAN, 0);
    for seed in 1..3 {
        let faults = Faults { lost: 1, doubled: 1, flipped: 1, noise: 1 };
        a_lesson_has_the_programs_bits_here_and_on_the_board::<NucleoF446re>(faults, seed);
    }
}

#[test]
fn samples_that_a_board_has_are_not_sent_again_and_others_are_given_up() {
    let mut board = modelled::Board::<NucleoF446re>::holding(&model::file(1), CLEAN, 0);
    let (own, mut page) = (learning::lesson(9, 0).own, Board::new(5));
    let others = learning::lesson(0, 4).ordinary;
    for (own, ordinary, frames) in [(&own[..5], 2, 2 + 7), (&own[..5], 2, 1), (&own, 4, 2 + 6), (&others, 0, 3 + 4)] {
        let task = Task::Teach(Teaching::new(lesson(own, ordinary).shown()));
        let (result, steps) = ask(&mut page, &mut board, task);
        assert_eq!(result, Ok(Answer::Taught));
        assert_eq!(steps.len(), frames, "{steps:?}");
        assert!(steps.is_sorted(), "{steps:?}");
    }
    // More than it has room for, and what it has stays.
    let many = learning::lesson(modelled::SAMPLES + 1, 0).own;
    let (result, _) = ask(&mut page, &mut board, Task::Teach(Teaching::new(lesson(&many, 0).shown())));
    let full = Fault::Full { capacity: modelled::SAMPLES as u32 };
    assert_eq!(result, Err(BoardError::Refused(Refusal::Learning(full))));
    assert_eq!(board.client().head().unwrap().own, 4);
}

/// A board that says what a closure makes of the replies of an honest one.
fn lying(change: impl Fn(&Request<'_>, Reply<'static>) -> Reply<'static> + 'static) -> Parrot {
    let mut honest = modelled::Board::<NucleoF446re>::holding(&model::file(1), CLEAN, 0);
    Parrot::new(move |request| {
        let mut client = honest.client();
        let reply = match request {
            Request::Head => Reply::Head(client.head().unwrap()),
            Request::Forget { heads } => Reply::Head(client.forget(heads).unwrap()),
            Request::Keep => Reply::Head(client.keep().unwrap()),
            Request::Teach { set, index, label, pixels } => {
                Reply::Taught(client.teach(set, index, label, pixels.try_into().unwrap()).unwrap())
            }
            Request::Learn { settings, epoch } => Reply::Learned(client.learn(&settings, epoch).unwrap()),
            _ => panic!("{request:?}"),
        };
        change(&request, reply)
    })
}

/// Teaches, learns, keeps and forgets; the first that goes wrong.
fn whole_lesson(mut line: Parrot) -> Result<(), BoardError> {
    let (mut page, mut lesson) = (Board::new(5), lesson(&learning::lesson(4, 0).own, 2));
    ask(&mut page, &mut line, Task::Teach(Teaching::new(lesson.shown()))).0?;
    for epoch in 1..=SETTINGS.epochs {
        learned(&mut page, &mut line, &mut lesson, epoch)?;
    }
    ask(&mut page, &mut line, Task::Keep).0?;
    ask(&mut page, &mut line, Task::Forget).0.map(|_| ())
}

#[test]
fn a_board_that_lies_of_what_it_learned_is_found_out() {
    assert_eq!(whole_lesson(lying(|_, reply| reply)), Ok(()), "an honest one is not");
    let result = whole_lesson(lying(|request, reply| match (request, reply) {
        (Request::Learn { epoch: 3, .. }, Reply::Learned(it)) => Reply::Learned(Learned { fingerprint: [7; 32], ..it }),
        (_, reply) => reply,
    }));
    assert!(matches!(result, Err(BoardError::OtherLearning { epoch: 3, .. })), "{result:?}");
    assert!(result.expect_err("it is one").to_string().contains("after epoch 3: 0707"));
    let result = whole_lesson(lying(|request, reply| match (request, reply) {
        (Request::Learn { epoch: 2, .. }, Reply::Learned(it)) => {
            Reply::Learned(Learned { loss: f64::from_bits(it.loss.to_bits() ^ 1), ..it })
        }
        (_, reply) => reply,
    }));
    assert!(matches!(result, Err(BoardError::OtherLoss { epoch: 2, .. })), "{result:?}");
    let result = whole_lesson(lying(|request, reply| match (request, reply) {
        (Request::Teach { set: Set::Ordinary, index: 1, .. }, Reply::Taught(it)) => {
            Reply::Taught(Taught { checksum: !it.checksum, ..it })
        }
        (_, reply) => reply,
    }));
    assert_eq!(result, Err(BoardError::OtherSample { set: Set::Ordinary, index: 1 }));
    let with_status = |which: fn(&Request<'_>) -> bool, change: fn(HeadStatus) -> HeadStatus| {
        whole_lesson(lying(move |request, reply| match reply {
            Reply::Head(status) if which(request) => Reply::Head(change(status)),
            reply => reply,
        }))
    };
    let is_keep = |request: &Request<'_>| *request == Request::Keep;
    let is_forget = |request: &Request<'_>| matches!(request, Request::Forget { heads: true });
    let result = with_status(|_| true, |it| HeadStatus { own: u32::MAX, ordinary: 1, ..it });
    assert!(matches!(result, Err(BoardError::Wrong(Wrong::Samples { .. }))), "{result:?}");
    // Samples of which the sum is another, after all of them came.
    let result = with_status(|_| true, |it| HeadStatus { checksum: !it.checksum, ..it });
    assert_eq!(result, Err(BoardError::Unexpected));
    let result = with_status(is_keep, |it| HeadStatus { kept: Ok(None), ..it });
    assert_eq!(result, Err(BoardError::NotKept));
    assert_eq!(with_status(is_keep, |it| HeadStatus { learned: None, ..it }), Err(BoardError::NotKept));
    let result = with_status(is_forget, |it| HeadStatus { learned: Some([1; 32]), ..it });
    assert_eq!(result, Err(BoardError::NotForgotten));
    assert_eq!(with_status(is_forget, |it| HeadStatus { own: 1, ..it }), Err(BoardError::NotForgotten));
}

#[test]
fn firmware_that_does_not_learn_is_no_error_until_it_is_to_learn() {
    let old = || parrot(Reply::Refused(Refusal::UnknownRequest));
    assert_eq!(ask(&mut Board::new(5), &mut old(), Task::Head).0, Ok(Answer::Head(None)));
    assert_eq!(whole_lesson(old()), Err(BoardError::Refused(Refusal::UnknownRequest)));
}
