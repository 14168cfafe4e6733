//! What a host and a board say to each other: requests and replies, and the frames that carry them.
//!
//! ```text
//! frame    COBS(message · CRC-32 of the message, little-endian) · 0x00
//! message  version u8 · sequence number varint(u32) · postcard of a Request or a Reply
//! ```
//!
//! The host asks, the board replies, one at a time. A reply carries its request's sequence number; a frame that arrives
//! damaged is dropped without a reply, and the host asks again. Every request may therefore be repeated: twice has the
//! effect of once. `docs/protocol.md` is the specification of every byte.
//!
//! Nothing here does I/O or allocates, and nothing panics, whatever the bytes: [`Deframer`] takes bytes as they come
//! from a line, [`open`] and [`CheckedMessage::request`] read what they hold, [`encode`] writes. What a host makes of a
//! reply is held to [`Info::check`], [`Classified::check`], [`ClassifiedInt8::check`] and [`wanted`] first.

mod check;

pub use check::{Wrong, chunk_at, wanted};

use postcard::ser_flavors::crc::CrcModifier;
use postcard::ser_flavors::{Cobs, Slice};
use serde::{Deserialize, Serialize};

use crate::head::HEAD_LEN;
use crate::int8;
use crate::learn::{Fault, Set, Settings};
use crate::model::{FileHeader, ModelError};
use crate::shapes::Logits;

/// The version of the messages. Frame, CRC, version and sequence number stay as they are in every version, so that a
/// board can always say which one it speaks.
pub const VERSION: u8 = 1;
/// Serial ports run at this speed, with 8 data bits, no parity, 1 stop bit.
pub const BAUD_RATE: u32 = 460_800;
/// The longest piece of a model file in an [`Request::UpdateChunk`], in bytes.
pub const MAX_CHUNK: usize = 1024;
/// Every chunk but a file's last has a length that is a multiple of this: whole words of any flash.
pub const CHUNK_ALIGNMENT: usize = 16;
/// A frame that stops arriving in its middle is dropped after this many milliseconds of silence.
pub const SILENCE_MS: u32 = 250;
/// The longest name of a board or version of a firmware in [`Info`], in bytes.
pub const MAX_NAME: usize = 32;

/// The longest message with its CRC: a chunk, 6 bytes of version and sequence number, 1 of the request's kind, 5 of the
/// offset, 2 of the data's length, 4 of the CRC.
const MAX_MESSAGE: usize = MAX_CHUNK + 18;
/// No frame is longer, delimiter included.
pub const MAX_FRAME: usize = cobs::max_encoding_length(MAX_MESSAGE) + 1;
/// Ends every frame and occurs nowhere inside one.
pub const DELIMITER: u8 = 0;

const CRC_BYTES: usize = size_of::<u32>();
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// What a host asks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Who are you? Replied with [`Reply::Info`].
    Info,
    /// Classify an image of 784 pixels in raster order. Replied with [`Reply::Classified`], or with
    /// [`Reply::ClassifiedInt8`] if the model is in integers.
    Classify {
        /// The image.
        pixels: &'a [u8],
    },
    /// Receive the model file that starts with `header`; goes on where an interrupted update of the same file stopped.
    /// The board keeps the model that it has until all in front of the new one's parameters is there and was checked
    /// ([`crate::model::check_start`]); from then to the commit it has none. Replied with [`Reply::UpdateAt`].
    UpdateBegin {
        /// The file's first bytes.
        header: FileHeader,
    },
    /// Bytes of the file from `offset` on. Replied with [`Reply::UpdateAt`].
    UpdateChunk {
        /// Where in the file they belong: where the last reply said.
        offset: u32,
        /// At most [`MAX_CHUNK`] bytes, a multiple of [`CHUNK_ALIGNMENT`] unless they end the file.
        data: &'a [u8],
    },
    /// All bytes were sent: check the file and run it. Replied with [`Reply::Activated`].
    UpdateCommit {
        /// The file's first bytes again.
        header: FileHeader,
    },
    /// Start again as after power-on. Replied with [`Reply::Resetting`] first.
    Reset,
    /// What is there of samples and learned heads? Replied with [`Reply::Head`].
    Head,
    /// Keep a sample to learn from ([`crate::learn::Samples::add`]). Replied with [`Reply::Taught`].
    Teach {
        /// Where it belongs.
        set: Set,
        /// Its place in the set, counted from 0: the next one.
        index: u32,
        /// The digit.
        label: u8,
        /// The image.
        pixels: &'a [u8],
    },
    /// Go through all samples once ([`crate::learn::Learner::epoch`]). Replied with [`Reply::Learned`].
    Learn {
        /// How, the number of epochs included.
        settings: Settings,
        /// Which epoch of them this is, counted from 1.
        epoch: u32,
    },
    /// Give up all samples; or with them every learned head, that in flash too. Replied with [`Reply::Head`].
    Forget {
        /// Also the heads: the model's own is in use again.
        heads: bool,
    },
    /// Write the learned head to flash, for the next boot. Replied with [`Reply::Head`].
    Keep,
    /// A piece of the learned head that is in use. Replied with [`Reply::HeadPiece`].
    ReadHead {
        /// Which of the [`HEAD_PIECES`], counted from 0.
        piece: u32,
    },
}

/// Kinds of [`Request`] of this version.
const REQUEST_KINDS: u32 = 12;

/// What a board replies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Reply<'a> {
    /// To [`Request::Info`].
    #[serde(borrow)]
    Info(Info<'a>),
    /// To [`Request::Classify`], of a board whose model is in f32.
    Classified(Classified),
    /// To [`Request::UpdateBegin`] and [`Request::UpdateChunk`]: the board wants the file from here on.
    UpdateAt {
        /// Offset of the next chunk; the file's length once nothing is missing.
        next: u32,
    },
    /// To [`Request::UpdateCommit`]: the file passed every check and is running.
    Activated {
        /// Fingerprint of its parameters.
        fingerprint: [u8; 32],
    },
    /// To [`Request::Reset`].
    Resetting,
    /// The request was understood as far as its sequence number, but not carried out.
    Refused(Refusal),
    /// To [`Request::Classify`], of a board whose model is in integers.
    ClassifiedInt8(ClassifiedInt8),
    /// To [`Request::Head`], [`Request::Forget`] and [`Request::Keep`].
    Head(HeadStatus),
    /// To [`Request::Teach`].
    Taught(Taught),
    /// To [`Request::Learn`].
    Learned(Learned),
    /// To [`Request::ReadHead`].
    HeadPiece(HeadPiece),
}

/// Samples and learned heads of a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadStatus {
    /// Samples of both sets that there is room for.
    pub capacity: u32,
    /// Own samples that are there.
    pub own: u32,
    /// Ordinary samples that are there.
    pub ordinary: u32,
    /// [`crate::learn::Samples::checksum`].
    pub checksum: u32,
    /// SHA-256 of the learned head that is in use, as little-endian f32; nothing while the model's own is.
    pub learned: Option<[u8; 32]>,
    /// SHA-256 of the learned head in flash, which is in use after a reset; nothing if there is none, or why it will not be.
    pub kept: Result<Option<[u8; 32]>, KeptError>,
}

/// Why a head in flash is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum KeptError {
    /// A byte was changed, or it was never written to its end.
    #[error("it is damaged")]
    Damaged,
    /// Firmware of another release wrote it.
    #[error("it has format version {found}, which this firmware does not read")]
    Version {
        /// Its version.
        found: u32,
    },
    /// It was learned over another model than the one that runs.
    #[error("it belongs to another model")]
    OtherModel,
    /// A parameter that no head has ([`crate::range`]).
    #[error("its parameter {0} is not a number below 2^24 in magnitude")]
    OutOfRange(u32),
}

/// A sample that a board keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taught {
    /// Samples of its set now.
    pub count: u32,
    /// [`crate::learn::checksum`] of it.
    pub checksum: u32,
}

/// What an epoch of learning gave.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// The sum of the samples' losses, each before its step.
    pub loss: f64,
    /// SHA-256 of the head after it, as little-endian f32.
    pub fingerprint: [u8; 32],
    /// Cycles of the core's clock that the epoch took; of one that was asked for again, those of looking it up.
    pub cycles: u32,
}

/// Values of a [`HeadPiece`] in rows, for serde knows no longer arrays.
pub const PIECE_SHAPE: [usize; 2] = [5, 11];
/// Pieces of a head.
pub const HEAD_PIECES: usize = HEAD_LEN / (PIECE_SHAPE[0] * PIECE_SHAPE[1]);
const _: () = assert!(HEAD_PIECES * PIECE_SHAPE[0] * PIECE_SHAPE[1] == HEAD_LEN);

/// A piece of a head.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeadPiece {
    /// 55 parameters, one after another.
    pub values: [[f32; PIECE_SHAPE[1]]; PIECE_SHAPE[0]],
}

/// What a board says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info<'a> {
    /// The firmware's version, [one line](crate::text) of at most [`MAX_NAME`] bytes.
    pub firmware: &'a str,
    /// The board's name, one line of at most [`MAX_NAME`] bytes.
    pub board: &'a str,
    /// Cycles of the core's clock in a second, at least 1.
    pub clock_hz: u32,
    /// SHA-256 of the running model's parameters, or why there is none.
    pub model: Result<[u8; 32], ModelError>,
    /// Memory in use.
    pub memory: Memory,
    /// What came over the line since the start.
    pub line: LineCounters,
}

/// Memory that the program uses, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Flash: code, constants, initial values of variables; without the model.
    pub flash: u32,
    /// RAM of variables.
    pub variables: u32,
    /// RAM of the stack at its deepest since the start.
    pub stack: u32,
}

/// Frames and faults that a board counted on its line since the start; each number wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LineCounters {
    /// Frames that were whole.
    pub good: u32,
    /// Frames whose COBS or CRC was wrong.
    pub damaged: u32,
    /// Frames longer than [`MAX_FRAME`].
    pub too_long: u32,
    /// Frames that stopped in their middle for [`SILENCE_MS`].
    pub timed_out: u32,
    /// Errors that the serial port reported, such as overruns.
    pub port_errors: u32,
}

/// What a board computed of an image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Classified {
    /// The ten logits, all finite.
    pub logits: Logits,
    /// The first class with the largest logit.
    pub class: u8,
    /// Cycles of the core's clock from pixels to logits.
    pub cycles: u32,
}

/// What a board computed of an image with a model in integers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassifiedInt8 {
    /// The ten logits.
    pub logits: int8::Logits,
    /// What a step of them is worth, as the model file says: finite, above 0.
    pub scale: f32,
    /// The first class with the largest logit.
    pub class: u8,
    /// Cycles of the core's clock from pixels to logits.
    pub cycles: u32,
}

/// Why a board did not carry out a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The message has another version.
    #[error(
        "the board speaks version {supported} of the protocol, this program speaks version {VERSION}: use the firmware of the same release"
    )]
    Version {
        /// The board's version.
        supported: u8,
    },
    /// No request has this number.
    #[error("the board does not know this request: use the firmware of the same release")]
    UnknownRequest,
    /// The request's contents do not fit its kind, such as an image without 784 pixels.
    #[error("the board found the request malformed")]
    Malformed,
    /// Nothing can be classified without a model.
    #[error("the board has no model to run ({0}): send one with 'board update'")]
    NoModel(ModelError),
    /// A chunk or a commit of a file for which no update was begun, or not since the last reset.
    #[error("the board is not in an update of this file: begin again")]
    NoUpdate,
    /// A chunk that is not the next one and not the last one again.
    #[error("the board expected the file's bytes from offset {next} on")]
    Offset {
        /// Where the next chunk starts.
        next: u32,
    },
    /// A chunk that is empty, too long, past the end of the file, or not a multiple of [`CHUNK_ALIGNMENT`].
    #[error("the board cannot take a chunk of this length")]
    ChunkLength,
    /// A commit before all bytes were there.
    #[error("the board has the file only up to offset {next}")]
    Incomplete {
        /// Where the next chunk starts.
        next: u32,
    },
    /// The model file failed a check; the board has no model now, unless the check came before anything was erased.
    #[error("the board refused the model: {0}")]
    Model(ModelError),
    /// Flash did not take an erasure or a write: it does not hold afterwards what it should.
    #[error("the board's flash cannot be written")]
    Flash,
    /// Nothing was learned, or is kept.
    #[error("the board learns nothing: {0}")]
    Learning(Fault),
}

/// Why bytes between two delimiters are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// COBS or CRC is wrong, or the message is too short for version and sequence number.
    #[error("a frame arrived damaged")]
    Damaged,
    /// Longer than [`MAX_FRAME`], the delimiter included.
    #[error("a frame was longer than any may be")]
    TooLong,
}

/// Cuts a stream of bytes into frames.
#[derive(Debug, Clone)]
pub struct Deframer {
    /// A frame without its delimiter.
    frame: [u8; MAX_FRAME - 1],
    /// Bytes since the last delimiter, those past the room included.
    len: usize,
}

impl Deframer {
    /// At the start of a frame.
    pub const fn new() -> Self {
        Self { frame: [0; MAX_FRAME - 1], len: 0 }
    }

    /// Takes one byte. If it ends a frame: the frame's contents, still in COBS, for [`open`].
    ///
    /// Frames without contents are skipped: a host may send delimiters to end whatever noise came before.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] at the end of a frame that had no room.
    pub fn push(&mut self, byte: u8) -> Result<Option<&mut [u8]>, FrameError> {
        if byte != DELIMITER {
            if let Some(place) = self.frame.get_mut(self.len) {
                *place = byte;
            }
            self.len = self.len.saturating_add(1);
            return Ok(None);
        }
        match core::mem::take(&mut self.len) {
            0 => Ok(None),
            len => self.frame.get_mut(..len).map(Some).ok_or(FrameError::TooLong),
        }
    }

    /// Whether bytes of an unfinished frame have arrived.
    pub fn is_inside_frame(&self) -> bool {
        self.len > 0
    }

    /// Forgets the unfinished frame.
    pub fn discard(&mut self) {
        self.len = 0;
    }
}

impl Default for Deframer {
    fn default() -> Self {
        Self::new()
    }
}

/// A message whose CRC was right, its contents not yet read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedMessage<'a> {
    /// Version of the sender's protocol.
    pub version: u8,
    /// The request's number, which its reply repeats.
    pub sequence: u32,
    body: &'a [u8],
}

/// Undoes COBS in place, checks the CRC, and reads version and sequence number.
///
/// # Errors
/// [`FrameError::Damaged`].
pub fn open(frame: &mut [u8]) -> Result<CheckedMessage<'_>, FrameError> {
    let len = cobs::decode_in_place(frame).map_err(|_| FrameError::Damaged)?;
    let (message, checksum) = frame[..len].split_last_chunk::<CRC_BYTES>().ok_or(FrameError::Damaged)?;
    if CRC.checksum(message) != u32::from_le_bytes(*checksum) {
        return Err(FrameError::Damaged);
    }
    let ((version, sequence), body) = postcard::take_from_bytes(message).map_err(|_| FrameError::Damaged)?;
    Ok(CheckedMessage { version, sequence, body })
}

impl<'a> CheckedMessage<'a> {
    /// The request inside.
    ///
    /// # Errors
    /// [`Refusal::Version`], [`Refusal::UnknownRequest`] or [`Refusal::Malformed`]: the reply to send.
    pub fn request(&self) -> Result<Request<'a>, Refusal> {
        if self.version != VERSION {
            return Err(Refusal::Version { supported: VERSION });
        }
        let (kind, _) = postcard::take_from_bytes::<u32>(self.body).map_err(|_| Refusal::Malformed)?;
        if kind >= REQUEST_KINDS {
            return Err(Refusal::UnknownRequest);
        }
        whole(self.body).ok_or(Refusal::Malformed)
    }

    /// The reply inside, of a board that speaks this version; nothing if it makes no sense.
    pub fn reply(&self) -> Option<Reply<'a>> {
        whole(self.body)
    }
}

/// A value that takes all of `bytes`.
fn whole<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(value)
}

/// The message did not fit the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message is longer than a frame may be")]
pub struct TooLong;

/// Writes a request or a reply as one frame, delimiter included, to the start of `frame` and returns its length.
///
/// # Errors
/// If a chunk, an image or a name in it is too long.
pub fn encode(sequence: u32, message: &impl Serialize, frame: &mut [u8; MAX_FRAME]) -> Result<usize, TooLong> {
    let cobs = Cobs::try_new(Slice::new(frame)).map_err(|_| TooLong)?;
    let flavor = CrcModifier::new(cobs, CRC.digest());
    let written = postcard::serialize_with_flavor(&(VERSION, sequence, message), flavor).map_err(|_| TooLong)?;
    Ok(written.len())
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    const PIXELS: [u8; 784] = [9; 784];
    const REQUESTS: [Request<'static>; REQUEST_KINDS as usize] = [
        Request::Info,
        Request::Classify { pixels: &PIXELS },
        Request::UpdateBegin { header: [0; 16] },
        Request::UpdateChunk { offset: u32::MAX, data: &[0xa5; MAX_CHUNK] },
        Request::UpdateCommit { header: [0xff; 16] },
        Request::Reset,
        Request::Head,
        Request::Teach { set: Set::Ordinary, index: u32::MAX, label: 9, pixels: &PIXELS },
        Request::Learn { settings: SETTINGS, epoch: u32::MAX },
        Request::Forget { heads: true },
        Request::Keep,
        Request::ReadHead { piece: u32::MAX },
    ];
    const SETTINGS: Settings = Settings {
        epochs: u32::MAX,
        batch_length: u32::MAX,
        learning_rate: f32::MAX,
        momentum: f32::MIN_POSITIVE,
        weight_decay: 0.0,
    };

    fn frame_of(sequence: u32, message: &impl Serialize) -> Vec<u8> {
        let mut frame = [0; MAX_FRAME];
        let len = encode(sequence, message, &mut frame).expect("it fits");
        frame[..len].to_vec()
    }

    /// Feeds `bytes` and collects what each delimiter ended: a request's sequence number, or the error.
    fn received(bytes: &[u8]) -> Vec<Result<u32, FrameError>> {
        let mut deframer = Deframer::new();
        let mut received = Vec::new();
        for &byte in bytes {
            match deframer.push(byte) {
                Ok(None) => {}
                Ok(Some(frame)) => received.push(open(frame).map(|message| message.sequence)),
                Err(error) => received.push(Err(error)),
            }
        }
        received
    }

    #[test]
    fn every_request_is_read_as_it_was_written() {
        for (kind, request) in REQUESTS.iter().enumerate() {
            let mut frame = frame_of(u32::MAX - kind as u32, request);
            assert_eq!(frame.iter().position(|&byte| byte == DELIMITER), Some(frame.len() - 1));
            let opened = open(&mut frame).expect("undamaged");
            assert_eq!(opened.sequence, u32::MAX - kind as u32);
            assert_eq!(opened.request().as_ref(), Ok(request));
        }
    }

    #[test]
    fn every_reply_is_read_as_it_was_written() {
        let name = "x".repeat(MAX_NAME);
        let info = Info {
            firmware: &name,
            board: &name,
            clock_hz: u32::MAX,
            model: Err(ModelError::Truncated { expected: 410_000, found: 16 }),
            memory: Memory { flash: u32::MAX, variables: u32::MAX, stack: u32::MAX },
            line: LineCounters { good: u32::MAX, ..LineCounters::default() },
        };
        let classified = Classified { logits: [f32::MIN_POSITIVE; 10], class: 9, cycles: u32::MAX };
        for reply in [
            Reply::Info(info),
            Reply::Classified(classified),
            Reply::ClassifiedInt8(ClassifiedInt8 {
                logits: [i32::MIN; 10],
                scale: f32::MAX,
                class: 9,
                cycles: u32::MAX,
            }),
            Reply::UpdateAt { next: u32::MAX },
            Reply::Activated { fingerprint: [0; 32] },
            Reply::Resetting,
            Reply::Refused(Refusal::Model(ModelError::OutOfRange(102_129))),
            Reply::Head(HeadStatus {
                capacity: u32::MAX,
                own: u32::MAX,
                ordinary: u32::MAX,
                checksum: u32::MAX,
                learned: Some([0; 32]),
                kept: Err(KeptError::OutOfRange(u32::MAX)),
            }),
            Reply::Taught(Taught { count: u32::MAX, checksum: u32::MAX }),
            Reply::Learned(Learned { loss: f64::MAX, fingerprint: [0; 32], cycles: u32::MAX }),
            Reply::HeadPiece(HeadPiece { values: [[f32::MAX; 11]; 5] }),
            Reply::Refused(Refusal::Learning(Fault::Diverged { epoch: u32::MAX })),
        ] {
            let mut frame = frame_of(7, &reply);
            assert_eq!(open(&mut frame).expect("undamaged").reply(), Some(reply));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        assert_eq!(frame_of(5, &Request::Reset), [8, VERSION, 5, 5, 0xef, 0xb3, 0x9e, 0xf3, DELIMITER]);
    }

    #[test]
    fn any_flipped_lost_or_doubled_byte_is_noticed_and_the_next_frame_is_read() {
        let good = frame_of(2, &REQUESTS[1]);
        let next = frame_of(3, &Request::Info);
        for index in 0..good.len() {
            let mut flipped = good.clone();
            flipped[index] ^= 1 << (index % 8);
            let lost = [&good[..index], &good[index + 1..]].concat();
            let doubled = [&good[..=index], &good[index..]].concat();
            let is_delimiter = index == good.len() - 1;
            // The delimiter alone can be lost or doubled without harm: another one follows.
            for (damaged, harmless) in [(flipped, false), (lost, is_delimiter), (doubled, is_delimiter)] {
                let received = received(&[&damaged, &[DELIMITER][..], &next].concat());
                assert_eq!(received.last(), Some(&Ok(3)), "byte {index}");
                assert_eq!(received.contains(&Ok(2)), harmless, "byte {index}");
            }
        }
    }

    #[test]
    fn a_cut_frame_costs_at_most_the_frame_glued_to_it() {
        let good = frame_of(1, &REQUESTS[3]);
        for cut in 1..good.len() - 1 {
            let received = received(&[&good[..cut], &good, &good].concat());
            assert_eq!(
                received,
                [Err(if cut + good.len() > MAX_FRAME { FrameError::TooLong } else { FrameError::Damaged }), Ok(1)]
            );
        }
    }

    #[test]
    fn the_longest_frame_is_read_and_one_more_byte_is_too_long() {
        for (len, expected) in [(MAX_FRAME - 1, FrameError::Damaged), (MAX_FRAME, FrameError::TooLong)] {
            let bytes = [&std::vec![1; len][..], &[DELIMITER]].concat();
            assert_eq!(received(&bytes), [Err(expected)], "{len} bytes and the delimiter");
        }
    }

    #[test]
    fn noise_of_any_length_is_dropped() {
        let good = frame_of(1, &Request::Info);
        for len in [1, 2, 254, 255, MAX_FRAME - 1, MAX_FRAME, MAX_FRAME + 1, 10 * MAX_FRAME] {
            let noise: Vec<u8> = (0..len).map(|i| (i * 7 % 255 + 1) as u8).collect();
            let received = received(&[&noise, &[DELIMITER][..], &good].concat());
            assert_eq!(received.len(), 2, "{len}");
            assert!(received[0].is_err(), "{len}");
            assert_eq!(received[1], Ok(1), "{len}");
        }
    }

    #[test]
    fn other_versions_and_unknown_requests_are_refused_by_name() {
        let body = |body: &'static [u8], version| CheckedMessage { version, sequence: 0, body };
        assert_eq!(body(&[200], VERSION + 1).request(), Err(Refusal::Version { supported: VERSION }));
        assert_eq!(body(&[REQUEST_KINDS as u8], VERSION).request(), Err(Refusal::UnknownRequest));
        for malformed in [&[][..], &[0x80], &[0, 0], &[1, 200, 1], &[3, 0], &[2; 16]] {
            assert_eq!(body(malformed, VERSION).request(), Err(Refusal::Malformed), "{malformed:?}");
        }
    }

    #[test]
    fn a_length_that_lies_reads_nothing_beyond_the_message() {
        for length in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0x80, 0x08], &[0x02]] {
            let message = [&[3, 0][..], length, &[1]].concat();
            assert_eq!(
                CheckedMessage { version: VERSION, sequence: 0, body: &message }.request(),
                Err(Refusal::Malformed)
            );
        }
    }
}
