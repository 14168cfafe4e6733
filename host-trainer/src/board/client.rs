//! The host's side of the protocol: asks, waits, asks again.

//!
//! Here replies enter the host, so here they are checked: what a board says of images and models must agree with itself
//! and with what it was asked. What cannot be checked - cycles, memory, counters, names - is the board's own word, and
//! whoever shows it says so.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cnn_core::head::{FlatHead, HEAD_LEN};
use cnn_core::image::Pixels;
use cnn_core::int8;
use cnn_core::learn::{Set, Settings};
use cnn_core::model::{FileHeader, HEADER_LEN, Kind, MAX_START, ModelError};
use cnn_core::network::Logits;
use cnn_core::protocol::{
    self, Classified, ClassifiedInt8, DELIMITER, Deframer, HEAD_PIECES, HeadStatus, Info, Learned, LineCounters,
    MAX_FRAME, Memory, Refusal, Reply, Request, Taught, Wrong, chunk_at, wanted,
};
use cnn_core::range::first_out_of_range;
use cnn_train::fingerprint::Fingerprint;

use super::link::{Link, is_timeout};
use crate::model_file::LoadedModel;

/// How often a request is sent before the board counts as silent.
const ATTEMPTS: u32 = 5;
/// How often an update begins again after the board was reset under it, and how often it goes on from another offset
/// than the host thought.
const UPDATE_ATTEMPTS: u32 = 3;

/// Why a board did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// The line broke.
    #[error("the line to the board broke: {0}")]
    Line(#[from] io::Error),
    /// No reply.
    #[error("the board does not answer: is the firmware running, and is this its port?")]
    Silent,
    /// Bytes, but no reply among them.
    #[error(
        "what comes from the port is no reply of this firmware: is this the board's port, and has no other program \
         opened it?"
    )]
    Noise,
    /// What was sent came back, and nothing else.
    #[error(
        "the port gives back what is sent to it: it is looped back, or a terminal echoes; is this the board's port, and \
         is the firmware running?"
    )]
    Echo,
    /// The other end does not read.
    #[error("the board no longer takes what is sent to it: reset it, and try again")]
    Stuck,
    /// An update that takes longer than any.
    #[error("the update is not through after {} minutes: reset the board, and try again", .0.as_secs() / 60)]
    Slow(Duration),
    /// The board said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A reply of another kind than the request's.
    #[error("the board gave a reply that does not belong to the request: use the firmware of the same release")]
    Unexpected,
    /// A reply that cannot be right.
    #[error("the board's reply is wrong: {0}; it is not to be trusted, flash the firmware of this release anew")]
    Wrong(#[from] Wrong),
    /// The board runs another model than the one it was sent.
    #[error(
        "the board says that it runs the model {found}, but {sent} was sent: send it again, or flash the firmware anew"
    )]
    OtherActivated {
        /// The model that the board says it runs.
        found: Fingerprint,
        /// The one that was sent.
        sent: Fingerprint,
    },
    /// The board runs another model than the one it is compared with.
    #[error("the board runs the model {board}, not {expected}: send it with 'board update', or name the board's model")]
    OtherModel {
        /// The board's model.
        board: Fingerprint,
        /// The one expected.
        expected: Fingerprint,
    },
    /// A model of the other kind.
    #[error("the board's logits are those of a model in {found}, where the other kind was expected")]
    OtherKind {
        /// The kind of the board's logits.
        found: Kind,
    },
    /// The head that was read back has another fingerprint than the board says.
    #[error("the board's learned head is {found}, but it says {said}: let it learn again, or flash the firmware anew")]
    OtherHead {
        /// Of what was read.
        found: Fingerprint,
        /// The board's word.
        said: Fingerprint,
    },
    /// A sample of which the board and this host do not see the same.
    #[error(
        "the board sees another sample than this host ({set:?} sample {index}): is its model the one that was named? Let \
         it forget all, and teach anew"
    )]
    OtherSample {
        /// Its set.
        set: Set,
        /// Its place.
        index: u32,
    },
    /// An epoch after which the board's head is not this host's.
    #[error(
        "the board's head is not this host's after epoch {epoch}: {board} there, {host} here; it is not to be trusted, \
         flash the firmware of this release anew"
    )]
    OtherLearning {
        /// The first such epoch, counted from 1.
        epoch: u32,
        /// The board's head.
        board: Fingerprint,
        /// This host's.
        host: Fingerprint,
    },
    /// An epoch whose loss differs.
    #[error(
        "the board's loss in epoch {epoch} is {board}, and {host} on this host, with the same head: flash the firmware anew"
    )]
    OtherLoss {
        /// The epoch, counted from 1.
        epoch: u32,
        /// The board's.
        board: f64,
        /// This host's.
        host: f64,
    },
    /// A comparison of nothing.
    #[error("no image was compared, so nothing is known of the board")]
    NoImages,
}

/// What a board computed of an image with a model of either kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AnyClassified {
    /// In f32.
    Float(Classified),
    /// In integers.
    Int8(ClassifiedInt8),
}

impl AnyClassified {
    /// The logits; of integers, times their scale.
    pub fn logits(&self) -> Logits {
        match self {
            Self::Float(classified) => classified.logits,
            Self::Int8(classified) => int8::scaled(&classified.logits, classified.scale),
        }
    }

    /// The first class with the largest logit.
    pub fn class(&self) -> u8 {
        match self {
            Self::Float(classified) => classified.class,
            Self::Int8(classified) => classified.class,
        }
    }

    /// Cycles from pixels to logits, by the board's own count.
    pub fn cycles(&self) -> u32 {
        match self {
            Self::Float(classified) => classified.cycles,
            Self::Int8(classified) => classified.cycles,
        }
    }
}

/// [`Info`] as a host keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardInfo {
    /// The firmware's version.
    pub firmware: String,
    /// The board's name.
    pub board: String,
    /// Cycles of the core's clock in a second.
    pub clock_hz: u32,
    /// The running model, or why there is none.
    pub model: Result<Fingerprint, ModelError>,
    /// Memory in use.
    pub memory: Memory,
    /// What came over the line since the board's start.
    pub line: LineCounters,
}

impl From<Info<'_>> for BoardInfo {
    fn from(info: Info<'_>) -> Self {
        Self {
            firmware: info.firmware.to_owned(),
            board: info.board.to_owned(),
            clock_hz: info.clock_hz,
            model: info.model.map(Fingerprint::from),
            memory: info.memory,
            line: info.line,
        }
    }
}

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For replies that the board gives at once, before asking again; and for a board to take what is sent.
    pub quick: Duration,
    /// For replies before which it runs the network: 1.5 s an image where a processor has no floating-point unit, and as
    /// long again for the checks of a whole file.
    pub compute: Duration,
    /// For replies before which it erases flash: a sector of the STM32F4 takes up to 4 s (ST DS10693, table 47).
    pub erase: Duration,
    /// For a whole update, which takes some 30 s, half of it erasing.
    pub update: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            quick: Duration::from_secs(2),
            compute: Duration::from_secs(10),
            erase: Duration::from_secs(20),
            update: Duration::from_secs(600),
        }
    }
}

/// A board at the other end of a line.
pub struct Client<L> {
    link: L,
    timeouts: Timeouts,
    received: Deframer,
    sequence: u32,
}

impl<L: Link> Client<L> {
    /// A board at the other end of `link`.
    pub fn new(link: L) -> Self {
        Self::with_timeouts(link, Timeouts::default())
    }

    /// The same, waiting as long as `timeouts` say.
    pub fn with_timeouts(link: L, timeouts: Timeouts) -> Self {
        // Not a number that a reply to an earlier program's last request could have.
        let sequence = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u32);
        Self { link, timeouts, received: Deframer::new(), sequence }
    }

    /// The line itself, for whoever sends what is no request.
    pub fn link(&mut self) -> &mut L {
        &mut self.link
    }

    /// Asks the board who it is. All of it is the board's own word; names are one line each.
    ///
    /// # Errors
    /// If the board does not answer or the line breaks.
    pub fn info(&mut self) -> Result<BoardInfo, BoardError> {
        let info = self.ask(&Request::Info, self.timeouts.quick, |reply| match reply {
            Reply::Info(info) => Some(info.check().map(|()| BoardInfo::from(info))),
            _ => None,
        })?;
        Ok(info?)
    }

    /// Has an image classified. The logits are finite and the class is theirs; the cycles are the board's own word.
    ///
    /// # Errors
    /// If the board has no model, does not answer or contradicts itself, or the line breaks.
    pub fn classify_any(&mut self, pixels: &Pixels) -> Result<AnyClassified, BoardError> {
        let classified = self.ask(&Request::Classify { pixels }, self.timeouts.compute, |reply| match reply {
            Reply::Classified(classified) => Some(AnyClassified::Float(classified)),
            Reply::ClassifiedInt8(classified) => Some(AnyClassified::Int8(classified)),
            _ => None,
        })?;
        match &classified {
            AnyClassified::Float(classified) => classified.check(),
            AnyClassified::Int8(classified) => classified.check(),
        }?;
        Ok(classified)
    }

    /// [`Client::classify_any`] of a board that runs a model in f32.
    ///
    /// # Errors
    /// As [`Client::classify_any`]; also if the board's model is in integers.
    pub fn classify(&mut self, pixels: &Pixels) -> Result<Classified, BoardError> {
        match self.classify_any(pixels)? {
            AnyClassified::Float(classified) => Ok(classified),
            AnyClassified::Int8(_) => Err(BoardError::OtherKind { found: Kind::Int8 }),
        }
    }

    /// [`Client::classify_any`] of a board that runs an int8 model.
    ///
    /// # Errors
    /// As [`Client::classify_any`]; also if the board's model is in f32.
    pub fn classify_int8(&mut self, pixels: &Pixels) -> Result<ClassifiedInt8, BoardError> {
        match self.classify_any(pixels)? {
            AnyClassified::Int8(classified) => Ok(classified),
            AnyClassified::Float(_) => Err(BoardError::OtherKind { found: Kind::Float }),
        }
    }

    /// Resets the board; the line may break by that.
    ///
    /// # Errors
    /// If the board does not answer.
    pub fn reset(&mut self) -> Result<(), BoardError> {
        self.ask(&Request::Reset, self.timeouts.quick, |reply| (reply == Reply::Resetting).then_some(()))
    }

    /// Asks the board for its samples and learned heads: its own word, but for what cannot be.
    ///
    /// # Errors
    /// If the board does not answer or contradicts itself, or the line breaks.
    pub fn head(&mut self) -> Result<HeadStatus, BoardError> {
        self.ask_head(&Request::Head, self.timeouts.quick)
    }

    fn ask_head(&mut self, request: &Request<'_>, timeout: Duration) -> Result<HeadStatus, BoardError> {
        let status = self.ask(request, timeout, |reply| match reply {
            Reply::Head(status) => Some(status),
            _ => None,
        })?;
        status.check()?;
        Ok(status)
    }

    /// Has the board keep a sample in place `index` of its set.
    ///
    /// # Errors
    /// If the board refuses it or does not answer, or the line breaks.
    pub fn teach(&mut self, set: Set, index: u32, label: u8, pixels: &Pixels) -> Result<Taught, BoardError> {
        let request = Request::Teach { set, index, label, pixels };
        self.ask(&request, self.timeouts.compute, |reply| match reply {
            Reply::Taught(taught) => Some(taught),
            _ => None,
        })
    }

    /// Has the board learn one epoch of all that the settings name.
    ///
    /// # Errors
    /// If the board refuses it, the learning diverges, the board does not answer, or the line breaks.
    pub fn learn(&mut self, settings: &Settings, epoch: u32) -> Result<Learned, BoardError> {
        let request = Request::Learn { settings: *settings, epoch };
        self.ask(&request, self.timeouts.compute, |reply| match reply {
            Reply::Learned(learned) => Some(learned),
            _ => None,
        })
    }

    /// Has the board forget its samples; with `heads` every learned head too, that in flash among them.
    ///
    /// # Errors
    /// If the board's flash does not take it, the board does not answer, or the line breaks.
    pub fn forget(&mut self, heads: bool) -> Result<HeadStatus, BoardError> {
        self.ask_head(&Request::Forget { heads }, self.timeouts.erase)
    }

    /// Has the board keep its learned head in flash.
    ///
    /// # Errors
    /// If there is none, flash does not take it, the board does not answer, or the line breaks.
    pub fn keep(&mut self) -> Result<HeadStatus, BoardError> {
        self.ask_head(&Request::Keep, self.timeouts.erase)
    }

    /// Reads the learned head back.
    ///
    /// # Errors
    /// If the board has none, does not answer, or gives another head than its fingerprint names; if the line breaks.
    pub fn read_head(&mut self) -> Result<Box<FlatHead>, BoardError> {
        let expected = self.head()?.learned.ok_or(Refusal::Learning(cnn_core::learn::Fault::NoHead))?;
        let mut values = Vec::with_capacity(HEAD_LEN);
        for piece in 0..HEAD_PIECES as u32 {
            let piece = self.ask(&Request::ReadHead { piece }, self.timeouts.quick, |reply| match reply {
                Reply::HeadPiece(piece) => Some(piece),
                _ => None,
            })?;
            values.extend(piece.values.as_flattened());
        }
        let head: Box<FlatHead> = values.try_into().map_err(|_| BoardError::Unexpected)?;
        let (found, said) = (Fingerprint::of(&head), Fingerprint::from(expected));
        if found != said {
            return Err(BoardError::OtherHead { found, said });
        }
        if first_out_of_range(head.iter().copied()).is_some() {
            return Err(BoardError::Unexpected);
        }
        Ok(head)
    }

    /// Sends a model, going on where an interrupted update of the same file stopped, and makes sure that the board says
    /// it runs it; `progress` hears how many of the file's bytes the board has.
    ///
    /// # Errors
    /// If the board refuses the model, does not answer, says what cannot be, runs another model afterwards, or keeps being
    /// reset; if the line breaks.
    pub fn update(&mut self, model: &LoadedModel, progress: impl FnMut(usize)) -> Result<(), BoardError> {
        self.update_with(model.file(), model.fingerprint, progress)
    }

    /// [`Client::update`] with a file that nobody looked into: whether it holds a model is left to the board.
    ///
    /// # Errors
    /// As [`Client::update`]; also if the file is shorter than a model's header.
    pub fn update_with(
        &mut self,
        file: &[u8],
        sent: Fingerprint,
        mut progress: impl FnMut(usize),
    ) -> Result<(), BoardError> {
        let header: &FileHeader = file.first_chunk().ok_or(Refusal::Model(ModelError::Magic))?;
        let deadline = Instant::now() + self.timeouts.update;
        let mut attempt = 1;
        let found = loop {
            match self.send_file(header, file, deadline, &mut progress) {
                Err(BoardError::Refused(Refusal::NoUpdate)) if attempt < UPDATE_ATTEMPTS => attempt += 1,
                result => break result?,
            }
        };
        if found == sent { Ok(()) } else { Err(BoardError::OtherActivated { found, sent }) }
    }

    fn send_file(
        &mut self,
        header: &FileHeader,
        file: &[u8],
        deadline: Instant,
        progress: &mut impl FnMut(usize),
    ) -> Result<Fingerprint, BoardError> {
        let position = |reply: Reply<'_>| match reply {
            Reply::UpdateAt { next } => Some(next),
            _ => None,
        };
        let begin = Request::UpdateBegin { header: *header };
        let mut next = wanted(self.ask(&begin, self.timeouts.quick, position)?, file.len())?;
        let mut jumps = 0;
        while next < file.len() {
            if Instant::now() > deadline {
                return Err(BoardError::Slow(self.timeouts.update));
            }
            progress(next);
            let data = chunk_at(file, next);
            let request = Request::UpdateChunk { offset: next as u32, data };
            // Once it has the file's start, a board erases all that the model needs, or a page with some chunks.
            let timeout = if next < HEADER_LEN + MAX_START { self.timeouts.erase } else { self.timeouts.quick };
            next = match self.ask(&request, timeout, position) {
                Err(BoardError::Refused(Refusal::Offset { next })) if jumps < UPDATE_ATTEMPTS => {
                    jumps += 1;
                    wanted(next, file.len())?
                }
                // A board that took the chunk wants what follows it: one that went back might do so for ever.
                Ok(taken) if (taken as usize) < next + data.len() => {
                    return Err(Wrong::Offset { next: taken, len: file.len() }.into());
                }
                result => wanted(result?, file.len())?,
            };
        }
        progress(file.len());
        self.ask(&Request::UpdateCommit { header: *header }, self.timeouts.compute, |reply| match reply {
            Reply::Activated { fingerprint } => Some(fingerprint.into()),
            _ => None,
        })
    }

    /// Sends a request until its reply comes; `read` takes out of the reply what is wanted.
    fn ask<T>(
        &mut self,
        request: &Request<'_>,
        timeout: Duration,
        read: impl Fn(Reply<'_>) -> Option<T>,
    ) -> Result<T, BoardError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut frame = [0; MAX_FRAME];
        let len = protocol::encode(self.sequence, request, &mut frame).map_err(|_| BoardError::Unexpected)?;
        let frame = &frame[..len];
        let mut heard = Heard::Nothing;
        for _ in 0..ATTEMPTS {
            // A delimiter in front ends whatever the board has of a frame that was cut off.
            self.send(&[DELIMITER])?;
            self.send(frame)?;
            let deadline = Instant::now() + timeout;
            loop {
                if let Some(result) = self.receive(frame, &mut heard, &read)? {
                    return Ok(result);
                }
                if Instant::now() >= deadline {
                    break;
                }
            }
            if heard == Heard::Echo {
                return Err(BoardError::Echo);
            }
        }
        Err(if heard == Heard::Nothing { BoardError::Silent } else { BoardError::Noise })
    }

    /// Writes all of `bytes`, unless the other end takes too long to make room for them.
    fn send(&mut self, mut bytes: &[u8]) -> Result<(), BoardError> {
        let deadline = Instant::now() + self.timeouts.quick;
        loop {
            let result =
                if bytes.is_empty() { self.link.flush().map(|()| None) } else { self.link.write(bytes).map(Some) };
            match result {
                Ok(None) => return Ok(()),
                Ok(Some(0)) => return Err(io::Error::from(ErrorKind::WriteZero).into()),
                Ok(Some(written)) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if !is_timeout(&error) => return Err(error.into()),
                Err(_) if Instant::now() >= deadline => return Err(BoardError::Stuck),
                Err(_) => {}
            }
        }
    }

    /// Takes what the line has; the result of the reply to the request in `sent` if it was among it. Damaged frames,
    /// replies to other requests and the request itself are passed over.
    fn receive<T>(
        &mut self,
        sent: &[u8],
        heard: &mut Heard,
        read: &impl Fn(Reply<'_>) -> Option<T>,
    ) -> Result<Option<T>, BoardError> {
        let mut bytes = [0; 256];
        let count = match self.link.read(&mut bytes) {
            Ok(0) => return Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
            Ok(count) => count,
            Err(error) if is_timeout(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if *heard == Heard::Nothing {
            *heard = Heard::Bytes;
        }
        for &byte in &bytes[..count] {
            let Ok(Some(frame)) = self.received.push(byte) else { continue };
            if sent.strip_suffix(&[DELIMITER]) == Some(&*frame) {
                *heard = Heard::Echo;
                continue;
            }
            let Ok(message) = protocol::open(frame) else { continue };
            if message.sequence != self.sequence {
                continue;
            }
            if message.version != protocol::VERSION {
                return Err(Refusal::Version { supported: message.version }.into());
            }
            return match message.reply() {
                Some(Reply::Refused(Refusal::Version { supported: protocol::VERSION })) => {
                    Err(Wrong::Version(protocol::VERSION).into())
                }
                Some(Reply::Refused(refusal)) => Err(refusal.into()),
                Some(reply) => read(reply).map(Some).ok_or(BoardError::Unexpected),
                None => Err(BoardError::Unexpected),
            };
        }
        Ok(None)
    }
}

/// What came over the line while a reply was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// Something.
    Bytes,
    /// Among it the request itself.
    Echo,
}
