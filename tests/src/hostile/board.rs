//! The board's end of the protocol: any bytes, at any moment of an update, with power failing in between.

use std::io::Write;
use std::sync::LazyLock;

use cnn_core::learn::{Set, Settings};
use cnn_core::model::{FileHeader, HEADER_LEN};
use cnn_core::protocol::{self, Deframer, MAX_CHUNK, MAX_FRAME, Reply, Request};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::initial_parameters;

use super::limited;
use super::script::Script;
use crate::board::flash::{Cut, Flash, Nrf52840Dk, Power};
use crate::board::line::Faults;
use crate::board::modelled;

/// A board that erases pages, so that an update comes past many of them.
type Board = modelled::Board<Nrf52840Dk>;

/// Two model files and their fingerprints: what a board may run.
static FILES: LazyLock<[(Vec<u8>, Fingerprint); 3]> = LazyLock::new(|| {
    let [first, second] =
        [1, 2].map(|seed| (crate::board::model::file(seed), Fingerprint::of(&initial_parameters(seed))));
    let int8 = crate::board::model::loaded_int8(1);
    [first, second, (int8.file().to_vec(), int8.fingerprint)]
});

/// An input has at most this many steps, which send at most this many chunks; where the first byte's highest bit is set,
/// as many as a whole file has and some more. Those inputs take a quarter of a second each, so most should not.
const MOST_STEPS: usize = 64;
const MOST_CHUNKS: [usize; 2] = [24, 420];

/// The lowest two bits of the first byte say what flash holds: nothing, a model, one with its last byte damaged, or the
/// beginning of one; bit 2 makes it an int8 model. The rest is steps: bytes for the line, requests, power failures.
pub fn run(input: &[u8]) {
    limited(|| follow(input));
}

fn follow(input: &[u8]) {
    let mut script = Script::new(input);
    let options = script.byte();
    let (first, _) = &FILES[if options & 4 == 0 { 0 } else { 2 }];
    let held = match options & 3 {
        0 => vec![],
        1 => first.clone(),
        2 => {
            let mut damaged = first.clone();
            *damaged.last_mut().expect("a file") ^= 1;
            damaged
        }
        _ => first[..100_000].to_vec(),
    };
    let power = Power::default();
    let mut board = Board::with_flash(Flash::holding(&held, power.clone()), power, Faults::default(), 0);
    let mut chunks = MOST_CHUNKS[usize::from(options >> 7)];
    for _ in 0..MOST_STEPS {
        if script.is_empty() {
            break;
        }
        step(&mut board, &mut script, &mut chunks);
        check_replies(&mut board);
    }
    check_board(board);
}

/// Does what the script says next; `chunks` is how many may still be sent.
fn step(board: &mut Board, script: &mut Script<'_>, chunks: &mut usize) {
    match script.byte() % 16 {
        0 => {
            let len = usize::from(script.u16());
            send(board, script.take(len));
        }
        1 => {
            // A whole frame of any body, of this version or another, to whatever number.
            let [version, sequence, len] = script.array();
            send(board, &frame(version, sequence, script.take(usize::from(len))));
        }
        2 => request(board, &Request::Info),
        3 => request(board, &Request::Classify { pixels: &[script.byte(); 784] }),
        4 => {
            let header = header(script);
            request(board, &Request::UpdateBegin { header });
        }
        5 => {
            // A piece of a file, from anywhere, of any length.
            let (file, offset, len) = (file(script), script.u32() as usize % (1 << 19), script.u16());
            let rest = file.get(offset..).unwrap_or_default();
            let data = &rest[..rest.len().min(usize::from(len) % (MAX_CHUNK + 17))];
            request(board, &Request::UpdateChunk { offset: offset as u32, data });
        }
        6 => {
            // As a host sends them: one after the other from some border on.
            let (file, start, count) = (file(script), usize::from(script.u16()), usize::from(script.u16()));
            let count = count.min(*chunks);
            *chunks -= count;
            for index in start..start + count {
                let offset = HEADER_LEN + index * MAX_CHUNK;
                let Some(rest) = file.get(offset..).filter(|rest| !rest.is_empty()) else { break };
                let data = &rest[..rest.len().min(MAX_CHUNK)];
                request(board, &Request::UpdateChunk { offset: offset as u32, data });
            }
        }
        7 => {
            let header = header(script);
            request(board, &Request::UpdateCommit { header });
        }
        8 => request(board, &Request::Reset),
        9 => board.run(),
        10 => {
            let cut = [Cut::Before, Cut::Midway, Cut::After][usize::from(script.byte() % 3)];
            board.power.cut_at(board.power.operations() + usize::from(script.byte()), cut);
        }
        11 => board.reboot(),
        12 => {
            let [options, index, label, grey] = script.array();
            let set = if options & 1 == 0 { Set::Own } else { Set::Ordinary };
            let pixels: [u8; 784] = std::array::from_fn(|i| if i % 7 == 0 { grey } else { 0 });
            request(board, &Request::Teach { set, index: index.into(), label, pixels: &pixels });
        }
        13 => {
            let [epochs, batch_length, epoch] = script.array();
            let [learning_rate, momentum, weight_decay] = [(); 3].map(|()| f32::from_bits(script.u32()));
            let (epochs, batch_length) = (epochs.into(), batch_length.into());
            let settings = Settings { epochs, batch_length, learning_rate, momentum, weight_decay };
            request(board, &Request::Learn { settings, epoch: epoch.into() });
        }
        14 => {
            let what = script.byte();
            let piece = Request::ReadHead { piece: u32::from(what >> 2) };
            request(
                board,
                [&Request::Head, &Request::Forget { heads: false }, &Request::Forget { heads: true }, &piece]
                    [usize::from(what & 3)],
            );
        }
        _ => request(board, &Request::Keep),
    }
    // Power that failed comes back.
    if board.power.is_off() {
        board.reboot();
    }
}

fn file(script: &mut Script<'_>) -> &'static [u8] {
    &FILES[usize::from(script.byte() % 3)].0
}

/// The header of one of the files, sometimes with a byte of it changed.
fn header(script: &mut Script<'_>) -> FileHeader {
    let options = script.byte();
    let mut header = *FILES[usize::from(options % 3)].0.first_chunk().expect("a header");
    if options >= 240 {
        header[usize::from(options % 16)] ^= script.byte();
    }
    header
}

/// Puts bytes on the line and lets the board digest them.
fn send(board: &mut Board, bytes: &[u8]) {
    board.write_all(bytes).expect("the line is endless");
    while !board.port.borrow_mut().inward.is_empty() && !board.power.is_off() {
        board.poll();
    }
}

fn request(board: &mut Board, request: &Request<'_>) {
    let mut frame = [0; MAX_FRAME];
    // A chunk that is too long for a frame cannot be sent.
    if let Ok(len) = protocol::encode(7, request, &mut frame) {
        send(board, &[&[protocol::DELIMITER], &frame[..len]].concat());
    }
}

/// A frame whose COBS and CRC are right.
fn frame(version: u8, sequence: u8, body: &[u8]) -> Vec<u8> {
    super::host::framed(&[&[version, sequence & 0x7f], body].concat())
}

/// Whatever the board said is whole frames that a host understands.
fn check_replies(board: &mut Board) {
    let mut deframer = Deframer::new();
    let mut said = vec![];
    while let Some(byte) = board.port.borrow_mut().outward.receive() {
        said.push(byte);
    }
    for byte in said {
        if let Some(frame) = deframer.push(byte).expect("no reply is too long") {
            let message = protocol::open(frame).expect("every reply is whole");
            let reply = message.reply().expect("every reply makes sense");
            assert_eq!(message.version, protocol::VERSION);
            if let Reply::Classified(classified) = reply {
                assert!(classified.class < 10 && classified.logits.iter().all(|logit| logit.is_finite()));
            }
            if let Reply::ClassifiedInt8(classified) = reply {
                assert_eq!(classified.check(), Ok(()));
            }
        }
    }
    assert!(!deframer.is_inside_frame(), "every reply ends");
}

/// The next good request is answered at once, the board runs one of the two models or none, and a reset changes nothing
/// of that.
fn check_board(mut board: Board) {
    let running = board.client().info().expect("the next good request is answered").model;
    let kept = board.client().head().expect("the next good request is answered").kept;
    board.reboot();
    let head = board.client().head().expect("the next good request is answered");
    assert_eq!((head.kept, head.learned), (kept, kept.unwrap_or(None)), "the head that is kept is used after a reset");
    assert_eq!((head.own, head.ordinary), (0, 0));
    let booted = board.client().info().expect("the next good request is answered").model;
    if let Ok(fingerprint) = running {
        assert_eq!(booted.as_ref(), Ok(&fingerprint), "a model that ran runs after a reset");
    }
    if let Ok(fingerprint) = booted {
        assert!(FILES.iter().any(|(_, known)| *known == fingerprint), "a model runs that nobody sent");
        board.client().classify_any(&[0; 784]).expect("a model that runs classifies");
    }
}

/// Whole updates, broken ones, and what a line may bring.
pub fn seeds() -> Vec<Vec<u8>> {
    let update = |model: u8| {
        // Begin, all 399 chunks, commit.
        vec![4, model, 6, model, 0, 0, 0x90, 1, 7, model]
    };
    vec![
        vec![0, 2],
        // An int8 model that runs, and one that replaces a model in f32.
        vec![5, 2, 3],
        [&[0x81], &update(2)[..], &[3, 9]].concat(),
        [&[0x80], &update(0)[..], &[3, 9]].concat(),
        [&[0x81], &update(1)[..], &[8, 2]].concat(),
        // The first half of an update, a power failure, the second half.
        vec![0x81, 4, 1, 6, 1, 0, 0, 200, 0, 10, 1, 0, 6, 1, 200, 0, 200, 0, 7, 1],
        // Chunks with the flash failing under them, again from the last, and a commit that comes too early.
        vec![1, 4, 1, 10, 1, 3, 6, 1, 0, 0, 8, 0, 4, 1, 6, 1, 7, 0, 8, 0, 7, 1],
        vec![1, 4, 1, 5, 1, 16, 0, 0, 0, 0, 4, 5, 1, 16, 0, 0, 0, 0, 4, 5, 1, 0, 0, 0, 0, 16, 0],
        vec![2, 2, 3, 0],
        vec![3, 4, 241, 255, 7, 241, 255],
        [&[1, 0, 255, 0], &[0xa5; 255][..], &[9, 3, 1]].concat(),
        // Two samples, two epochs, the head kept; power fails under the next one, which is forgotten.
        [
            &[1][..],
            &[12, 0, 0, 3, 200, 12, 1, 0, 7, 90],
            &[13, 2, 1, 1, 0, 0, 128, 60, 0, 0, 0, 0, 0, 0, 0, 0],
            &[13, 2, 1, 2, 0, 0, 128, 60, 0, 0, 0, 0, 0, 0, 0, 0],
            &[15, 14, 3, 14, 0, 12, 0, 1, 4, 60],
            &[13, 1, 2, 1, 0, 0, 128, 60, 0, 0, 0, 0, 0, 0, 0, 0],
            &[10, 1, 1, 15, 15, 14, 2, 14, 0],
        ]
        .concat(),
        // An unknown request, another version, a length that lies.
        vec![1, 1, 1, 5, 1, 6, 1, 2, 5, 1, 0, 1, 1, 5, 3, 1, 200, 1],
    ]
}
