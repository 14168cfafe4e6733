//! The host's end of the protocol, with a board that says anything.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

use cnn_core::model::ModelError;
use cnn_core::network::FlatParameters;
use cnn_core::protocol::{
    self, Classified, ClassifiedInt8, DELIMITER, Deframer, Info, LineCounters, MAX_CHUNK, MAX_FRAME, MAX_NAME, Memory,
    Refusal, Reply,
};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::initial_parameters;
use flate2::Crc;
use host_trainer::board::{BoardError, Client, Timeouts, verify};

use super::limited;
use super::script::Script;

/// Bytes of the file that an update sends: the header of a model and a few chunks.
const FILE_LEN: usize = 5000;
/// What an update sends.
static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| crate::board::model::file(1)[..FILE_LEN].to_vec());
/// What `verify` compares the board with.
static PARAMETERS: LazyLock<Box<FlatParameters>> = LazyLock::new(|| initial_parameters(1));

/// Their fingerprint.
static FINGERPRINT: LazyLock<Fingerprint> = LazyLock::new(|| Fingerprint::of(&PARAMETERS));

/// How often the client may read, five attempts for each request. An update is begun three times; each time a board may
/// have it go back three times, and all chunks are sent after each; commit and two more requests end it.
const MOST_READS: usize = 5 * 3 * (4 * FILE_LEN.div_ceil(MAX_CHUNK) + 3 + 2);

/// The first byte says what is asked of the board. The rest is steps of what the board says, one for each time that the
/// host listens; they begin anew when they are through, so that a board may say the same for ever.
pub fn run(input: &[u8]) {
    let (&call, steps) = input.split_first().unwrap_or((&0, &[]));
    limited(|| ask(call, steps));
}

fn ask(call: u8, steps: &[u8]) {
    let heard = Rc::new(RefCell::new(Heard::default()));
    let board =
        Board { steps, script: Script::new(steps), request: Deframer::new(), sequence: 0, heard: heard.clone() };
    // With timeouts of zero every attempt listens once: the same steps always end the same.
    let timeouts = Timeouts {
        quick: Duration::ZERO,
        compute: Duration::ZERO,
        erase: Duration::ZERO,
        update: Duration::from_secs(600),
    };
    let mut client = Client::with_timeouts(board, timeouts);
    match call % 6 {
        5 => {
            let result = client.classify_int8(&[7; 784]);
            let found = result.as_ref().ok().copied();
            check(&heard, result, |reply| match reply {
                Reply::ClassifiedInt8(said) => {
                    Some(*said) == found && is_consistent_int8(said) && said.scale > 0.0 && said.scale <= f32::MAX
                }
                _ => false,
            });
        }
        0 => check(&heard, client.info(), |reply| match reply {
            Reply::Info(info) => info.board.len() <= MAX_NAME && info.firmware.len() <= MAX_NAME && info.clock_hz > 0,
            _ => false,
        }),
        1 => {
            let result = client.classify(&[7; 784]);
            let logits = |classified: &Classified| (classified.logits.map(f32::to_bits), classified.class);
            let bits = result.as_ref().ok().map(logits);
            check(
                &heard,
                result,
                |reply| matches!(reply, Reply::Classified(found) if Some(logits(found)) == bits && is_consistent(found)),
            );
        }
        2 => check(&heard, client.reset(), |reply| *reply == Reply::Resetting),
        3 => {
            let result = client.update_with(&FILE, *FINGERPRINT, |sent| assert!(sent <= FILE_LEN));
            check(&heard, result, |reply| *reply == Reply::Activated { fingerprint: *FINGERPRINT.as_bytes() });
        }
        _ => {
            let images = [([0; 784], 1), ([255; 784], 2)];
            let result = verify(&mut client, &PARAMETERS, images.iter().map(|(image, label)| (image, *label)), |_| {});
            check(&heard, result, |reply| matches!(reply, Reply::Classified(found) if is_consistent(found)));
        }
    }
}

/// Whether the logits are finite and the class is the first with the largest of them.
fn is_consistent(Classified { logits, class, .. }: &Classified) -> bool {
    let Some(largest) = logits.get(usize::from(*class)).filter(|largest| largest.is_finite()) else { return false };
    let place = usize::from(*class);
    logits.iter().all(|logit| logit.is_finite() && logit <= largest) && logits[..place].iter().all(|l| l < largest)
}

/// Whether the class is the first with the largest logit.
fn is_consistent_int8(ClassifiedInt8 { logits, class, .. }: &ClassifiedInt8) -> bool {
    let place = usize::from(*class);
    let Some(largest) = logits.get(place) else { return false };
    logits.iter().all(|logit| logit <= largest) && logits[..place].iter().all(|logit| logit < largest)
}

/// The result is that of the last whole reply to the last request; `fits` says whether a good result comes of a reply.
fn check<T>(heard: &RefCell<Heard>, result: Result<T, BoardError>, fits: impl Fn(&Reply<'_>) -> bool) {
    let heard = heard.borrow();
    assert!(heard.reads <= MOST_READS, "the board was listened to {} times", heard.reads);
    let message = heard.reply.as_deref();
    match result {
        Ok(_) => {
            let mut frame = framed(message.expect("a good result comes of a whole reply to this request"));
            frame.pop();
            let opened = protocol::open(&mut frame).expect("it was framed here");
            assert_eq!(opened.version, protocol::VERSION);
            assert!(opened.reply().is_some_and(|reply| fits(&reply)));
        }
        Err(
            BoardError::Refused(_)
            | BoardError::Unexpected
            | BoardError::Wrong(_)
            | BoardError::OtherModel { .. }
            | BoardError::OtherKind { .. }
            | BoardError::OtherActivated { .. },
        ) => {
            assert!(message.is_some(), "what a board refuses, it says in a whole reply to this request");
        }
        Err(error) => {
            let nothing =
                matches!(error, BoardError::Line(_) | BoardError::Silent | BoardError::Noise | BoardError::Echo);
            assert!(nothing, "{error}");
        }
    }
}

/// What came over the line, as a second reader understands it: nothing of the code under test.
#[derive(Default)]
struct Heard {
    reads: usize,
    /// Bytes since the last delimiter.
    frame: Vec<u8>,
    /// The first message after the last request that was whole and had its number.
    reply: Option<Vec<u8>>,
}

impl Heard {
    fn hear(&mut self, bytes: &[u8], sequence: u32) {
        for &byte in bytes {
            if byte != DELIMITER {
                self.frame.push(byte);
                continue;
            }
            let message = unframed(&std::mem::take(&mut self.frame));
            if message.as_ref().is_some_and(|message| sequence_of(message) == Some(sequence)) {
                // A host that has its reply drops what came with it.
                self.reply = message;
                return;
            }
        }
    }
}

/// The sequence number of a message: a varint behind the version.
fn sequence_of(message: &[u8]) -> Option<u32> {
    let mut sequence = 0u64;
    for (index, byte) in message.iter().skip(1).take(5).enumerate() {
        sequence |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return u32::try_from(sequence).ok();
        }
    }
    None
}

/// A message with its CRC in COBS, and the delimiter.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(message);
    let bytes = [message, &crc.sum().to_le_bytes()].concat();
    let mut frame = vec![];
    for piece in bytes.split(|&byte| byte == 0) {
        let mut blocks = piece.chunks_exact(254);
        for block in &mut blocks {
            frame.push(255);
            frame.extend(block);
        }
        frame.push(blocks.remainder().len() as u8 + 1);
        frame.extend(blocks.remainder());
    }
    frame.push(DELIMITER);
    frame
}

/// The message in a frame without its delimiter, if COBS and CRC are right.
fn unframed(frame: &[u8]) -> Option<Vec<u8>> {
    if frame.is_empty() || frame.len() >= MAX_FRAME {
        return None;
    }
    let mut bytes = vec![];
    let mut rest = frame;
    while let Some((&code, following)) = rest.split_first() {
        let (block, next) = following.split_at_checked(usize::from(code) - 1)?;
        bytes.extend(block);
        if code < 255 && !next.is_empty() {
            bytes.push(0);
        }
        rest = next;
    }
    let (message, checksum) = bytes.split_last_chunk()?;
    let mut crc = Crc::new();
    crc.update(message);
    (crc.sum() == u32::from_le_bytes(*checksum)).then(|| message.to_vec())
}

/// A board that follows a script; the host's link to it.
struct Board<'a> {
    steps: &'a [u8],
    script: Script<'a>,
    /// What the host is saying.
    request: Deframer,
    /// The number of the last request.
    sequence: u32,
    heard: Rc<RefCell<Heard>>,
}

impl Write for Board<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            if let Ok(Some(frame)) = self.request.push(byte) {
                let message = protocol::open(frame).expect("the host's own frames are whole");
                let sequence = message.sequence;
                message.request().expect("the host's own requests make sense");
                if sequence != self.sequence {
                    self.sequence = sequence;
                    self.heard.borrow_mut().reply = None;
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Board<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.heard.borrow_mut().reads += 1;
        assert!(self.heard.borrow().reads <= 2 * MOST_READS, "the host listens without end");
        if self.script.is_empty() {
            self.script = Script::new(self.steps);
        }
        let said = say(&mut self.script, self.sequence)?;
        let len = said.len().min(buffer.len());
        buffer[..len].copy_from_slice(&said[..len]);
        self.heard.borrow_mut().hear(&said[..len], self.sequence);
        Ok(len)
    }
}

/// What the board says next.
fn say(script: &mut Script<'_>, sequence: u32) -> io::Result<Vec<u8>> {
    let sequence_varint = |sequence: u32| {
        let mut frame = [0; MAX_FRAME];
        let len = protocol::encode(sequence, &(), &mut frame).expect("it is short");
        unframed(&frame[..len - 1]).expect("it is whole")
    };
    match script.byte() % 8 {
        0 => {
            let len = usize::from(script.byte());
            Ok(script.take(len).to_vec())
        }
        1 => {
            // A whole frame to this request or one near it, with any body, of any version.
            let [version, distance, len] = script.array();
            let near = sequence.wrapping_add_signed(i32::from(distance as i8));
            let mut message = sequence_varint(near);
            message[0] = version;
            message.extend(script.take(usize::from(len)));
            Ok(framed(&message))
        }
        kind @ 2..=4 => {
            let mut message = [0; MAX_FRAME];
            let distance = if kind == 3 { script.byte() } else { 0 };
            let sequence = sequence.wrapping_sub(u32::from(distance));
            let name = "x".repeat(usize::from(script.byte() % 40));
            let len = protocol::encode(sequence, &reply(script, &name), &mut message).expect("replies are short");
            let mut frame = message[..len].to_vec();
            if kind == 4 {
                // A damaged frame.
                let place = usize::from(script.byte()) % frame.len();
                frame[place] ^= script.byte();
            }
            Ok(frame)
        }
        5 => {
            Err([ErrorKind::TimedOut, ErrorKind::WouldBlock, ErrorKind::Interrupted][usize::from(script.byte() % 3)]
                .into())
        }
        6 => Err(ErrorKind::BrokenPipe.into()),
        // The host takes it as the end of the line.
        _ => Ok(vec![]),
    }
}

/// A reply that a board may give, with numbers of any size.
fn reply<'a>(script: &mut Script<'_>, name: &'a str) -> Reply<'a> {
    match script.byte() % 17 {
        0 => Reply::Info(Info {
            firmware: name,
            board: name,
            clock_hz: script.u32(),
            model: if script.byte() & 1 == 0 { Ok(*FINGERPRINT.as_bytes()) } else { Err(ModelError::Checksum) },
            memory: Memory { flash: script.u32(), variables: script.u32(), stack: 0 },
            line: LineCounters { good: script.u32(), ..LineCounters::default() },
        }),
        1 => {
            let logits = std::array::from_fn(|_| f32::from_bits(script.u32()));
            Reply::Classified(Classified { logits, class: script.byte(), cycles: script.u32() })
        }
        2 => Reply::UpdateAt { next: script.u32() },
        3..=5 => Reply::UpdateAt { next: u32::from(script.u16()) },
        6 => {
            // Of zeros the fingerprint that the host expects.
            let fingerprint = script.array();
            Reply::Activated { fingerprint: if fingerprint == [0; 32] { *FINGERPRINT.as_bytes() } else { fingerprint } }
        }
        7 => Reply::Resetting,
        8 => Reply::Refused(Refusal::Version { supported: script.byte() }),
        9 => Reply::Refused(Refusal::UnknownRequest),
        10 => Reply::Refused(Refusal::NoModel(ModelError::OutOfRange(script.u32() as usize))),
        11 => Reply::Refused(Refusal::NoUpdate),
        12 => Reply::Refused(Refusal::Offset { next: script.u32() }),
        13 => Reply::Refused(Refusal::Offset { next: u32::from(script.u16()) }),
        14 => Reply::Refused(Refusal::Incomplete { next: script.u32() }),
        15 => Reply::Refused(Refusal::Flash),
        _ => {
            let logits = std::array::from_fn(|_| script.u32() as i32);
            let scale = f32::from_bits(script.u32());
            Reply::ClassifiedInt8(ClassifiedInt8 { logits, scale, class: script.byte(), cycles: script.u32() })
        }
    }
}

/// Every call answered well, and boards that never come to an end.
pub fn seeds() -> Vec<Vec<u8>> {
    let info = [2, 4, 0, 0, 0, 0, 0, 0];
    vec![
        [&[0], &info[..]].concat(),
        [&[0][..], &[4, 4, 0], &[0; 9], &[9, 1]].concat(),
        [&[1][..], &[2, 0, 1], &[0x3f; 40], &[3, 1, 0, 0, 0]].concat(),
        vec![2, 5, 0, 3, 1, 0, 7, 2, 0, 7],
        // An update in four chunks and a commit.
        [&[3][..], &[2, 0, 3, 16, 0], &[2, 0, 3, 16, 4], &[2, 0, 3, 16, 8], &[2, 0, 3, 16, 12], &[2, 0, 3, 16, 16]]
            .into_iter()
            .chain([&[2, 0, 3, 0x88, 0x13][..], &[2, 0, 6], &[5; 32]])
            .collect::<Vec<_>>()
            .concat(),
        // Boards that want the same chunk for ever, or to begin again for ever.
        vec![3, 2, 0, 3, 16, 0],
        [&[3, 2, 0, 3, 16, 0], &[2, 0, 13, 16, 0].repeat(50)[..]].concat(),
        vec![3, 2, 0, 3, 16, 0, 2, 0, 11],
        vec![3, 2, 0, 2, 255, 255, 255, 255],
        [&[4][..], &[2, 0, 0], &[0; 17], &[2, 0, 1], &[0; 45]].concat(),
        vec![0, 1, 1, 0, 3, 0, 0, 0],
        vec![0, 1, 9, 0, 1, 5],
        vec![0, 0, 3, 1, 2, 3],
        vec![0, 6],
        vec![0, 7],
        // Each call once more, answered well: a clock that ticks, the first class of equal logits, the file's fingerprint.
        [&[0][..], &[2, 4, 0, 1], &[0; 16]].concat(),
        [&[1][..], &[2, 0, 1], &[0x3f; 40], &[0, 1, 0, 0, 0]].concat(),
        [&[3][..], &[2, 0, 3, 16, 0], &[2, 0, 3, 0x88, 0x13], &[2, 0, 6], &[0; 32]].concat(),
        [&[4][..], &[2, 0, 0, 1], &[0; 16], &[2, 0, 1], &[0; 45]].concat(),
        // A logit that is NaN, a class that is none, names that are too long.
        [&[1][..], &[2, 0, 1], &[0; 36], &[0, 0, 0xc0, 0x7f], &[0; 5]].concat(),
        [&[1][..], &[2, 0, 1], &[0; 40], &[77, 1, 0, 0, 0]].concat(),
        [&[0][..], &[2, 39, 0, 1], &[0; 16]].concat(),
        // Integers: well, of a scale that is NaN, and where logits in f32 were asked for.
        [&[5][..], &[2, 0, 16], &[0; 40], &[0, 0, 0x80, 0x3f], &[0, 1, 0, 0, 0]].concat(),
        [&[5][..], &[2, 0, 16], &[0; 40], &[0, 0, 0xc0, 0x7f], &[0, 1, 0, 0, 0]].concat(),
        [&[1][..], &[2, 0, 16], &[0; 40], &[0, 0, 0x80, 0x3f], &[0, 1, 0, 0, 0]].concat(),
    ]
}
