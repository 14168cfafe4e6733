//! The host's side of the protocol: asks, waits, asks again.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cnn_core::image::Pixels;
use cnn_core::model::{FileHeader, ModelError};
use cnn_core::protocol::{
    self, CHUNK_ALIGNMENT, Classified, DELIMITER, Deframer, Info, LineCounters, MAX_CHUNK, MAX_FRAME, Memory, Refusal,
    Reply, Request,
};

use super::link::Link;
use crate::fingerprint::Fingerprint;

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
    /// The board said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A reply of another kind than the request's.
    #[error("the board gave a reply that does not belong to the request: use the firmware of the same release")]
    Unexpected,
    /// A file too short to be a model.
    #[error("this is not a model file: {0}")]
    NotAModel(ModelError),
    /// The board runs another model than the one it is compared with.
    #[error(
        "the board runs the model {board:?}, not {expected:?}: send it with 'board update', or name the board's model"
    )]
    OtherModel {
        /// The board's model.
        board: Fingerprint,
        /// The one expected.
        expected: Fingerprint,
    },
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

/// How long to wait for a reply before asking again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For replies that the board gives at once.
    pub quick: Duration,
    /// For those before which it erases flash: a sector of the STM32F4 takes up to 4 s (ST DS10693, table 47).
    pub erase: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { quick: Duration::from_secs(2), erase: Duration::from_secs(20) }
    }
}

/// A board at the other end of a line.
pub struct Client<L> {
    link: L,
    patience: Patience,
    received: Deframer,
    sequence: u32,
}

impl<L: Link> Client<L> {
    /// A board at the other end of `link`.
    pub fn new(link: L) -> Self {
        Self::with_patience(link, Patience::default())
    }

    /// The same, waiting as long as `patience` says.
    pub fn with_patience(link: L, patience: Patience) -> Self {
        // Not a number that a reply to an earlier program's last request could have.
        let sequence = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u32);
        Self { link, patience, received: Deframer::new(), sequence }
    }

    /// Asks the board who it is.
    ///
    /// # Errors
    /// If the board does not answer or the line breaks.
    pub fn info(&mut self) -> Result<BoardInfo, BoardError> {
        self.ask(&Request::Info, self.patience.quick, |reply| match reply {
            Reply::Info(info) => Some(info.into()),
            _ => None,
        })
    }

    /// Has an image classified.
    ///
    /// # Errors
    /// If the board has no model or does not answer, or the line breaks.
    pub fn classify(&mut self, pixels: &Pixels) -> Result<Classified, BoardError> {
        self.ask(&Request::Classify { pixels }, self.patience.quick, |reply| match reply {
            Reply::Classified(classified) => Some(classified),
            _ => None,
        })
    }

    /// Resets the board; the line may break by that.
    ///
    /// # Errors
    /// If the board does not answer.
    pub fn reset(&mut self) -> Result<(), BoardError> {
        self.ask(&Request::Reset, self.patience.quick, |reply| (reply == Reply::Resetting).then_some(()))
    }

    /// Sends a model file, going on where an interrupted update of the same file stopped; `progress` hears how many of
    /// its bytes the board has. Returns the fingerprint of the model that then runs.
    ///
    /// # Errors
    /// If the file is no model or the board refuses it, does not answer, or keeps being reset; if the line breaks.
    pub fn update(&mut self, file: &[u8], mut progress: impl FnMut(usize)) -> Result<Fingerprint, BoardError> {
        let header: &FileHeader = file.first_chunk().ok_or(BoardError::NotAModel(ModelError::Magic))?;
        let mut attempt = 1;
        loop {
            match self.send_file(header, file, &mut progress) {
                Err(BoardError::Refused(Refusal::NoUpdate)) if attempt < UPDATE_ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    fn send_file(
        &mut self,
        header: &FileHeader,
        file: &[u8],
        progress: &mut impl FnMut(usize),
    ) -> Result<Fingerprint, BoardError> {
        let position = |reply: Reply<'_>| match reply {
            Reply::UpdateAt { next } => Some(next as usize),
            _ => None,
        };
        let mut next = self.ask(&Request::UpdateBegin { header: *header }, self.patience.erase, position)?;
        let mut jumps = 0;
        while next < file.len() {
            progress(next);
            let data = chunk_at(file, next);
            let request = Request::UpdateChunk { offset: next as u32, data };
            next = match self.ask(&request, self.patience.quick, position) {
                Err(BoardError::Refused(Refusal::Offset { next })) if jumps < UPDATE_ATTEMPTS => {
                    jumps += 1;
                    next as usize
                }
                // A board that took the chunk wants what follows it: one that went back might do so for ever.
                Ok(taken) if taken < next + data.len() => return Err(BoardError::Unexpected),
                result => result?,
            };
        }
        progress(file.len());
        self.ask(&Request::UpdateCommit { header: *header }, self.patience.quick, |reply| match reply {
            Reply::Activated { fingerprint } => Some(fingerprint.into()),
            _ => None,
        })
    }

    /// Sends a request until its reply comes; `read` takes out of the reply what is wanted.
    fn ask<T>(
        &mut self,
        request: &Request<'_>,
        patience: Duration,
        read: impl Fn(Reply<'_>) -> Option<T>,
    ) -> Result<T, BoardError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut frame = [0; MAX_FRAME];
        let len = protocol::encode(self.sequence, request, &mut frame).map_err(|_| BoardError::Unexpected)?;
        for _ in 0..ATTEMPTS {
            // A delimiter in front ends whatever the board has of a frame that was cut off.
            self.link.write_all(&[DELIMITER])?;
            self.link.write_all(&frame[..len])?;
            self.link.flush()?;
            let deadline = Instant::now() + patience;
            loop {
                if let Some(result) = self.receive(&read)? {
                    return Ok(result);
                }
                if Instant::now() >= deadline {
                    break;
                }
            }
        }
        Err(BoardError::Silent)
    }

    /// Takes what the line has; the result of the reply if it was among it. Damaged frames and replies to other
    /// requests are passed over.
    fn receive<T>(&mut self, read: &impl Fn(Reply<'_>) -> Option<T>) -> Result<Option<T>, BoardError> {
        let mut bytes = [0; 256];
        let count = match self.link.read(&mut bytes) {
            Ok(0) => return Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
            Ok(count) => count,
            Err(error) if is_timeout(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        for &byte in &bytes[..count] {
            let Ok(Some(frame)) = self.received.push(byte) else { continue };
            let Ok(message) = protocol::open(frame) else { continue };
            if message.sequence != self.sequence {
                continue;
            }
            if message.version != protocol::VERSION {
                return Err(Refusal::Version { supported: message.version }.into());
            }
            return match message.reply() {
                Some(Reply::Refused(refusal)) => Err(refusal.into()),
                Some(reply) => read(reply).map(Some).ok_or(BoardError::Unexpected),
                None => Err(BoardError::Unexpected),
            };
        }
        Ok(None)
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// The chunk that starts at `offset`: as long as may be, in whole words unless it ends the file.
fn chunk_at(file: &[u8], offset: usize) -> &[u8] {
    const { assert!(MAX_CHUNK.is_multiple_of(CHUNK_ALIGNMENT)) };
    let rest = file.get(offset..).unwrap_or_default();
    &rest[..rest.len().min(MAX_CHUNK)]
}
