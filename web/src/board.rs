//! A board at the other end of a line that the page holds: what to send, what its replies mean. Bytes come in and go out,
//! the time is told; nothing here waits.
//!
//! It asks as `host-trainer board` does (`host-trainer/src/board/client.rs`), holds replies to the same checks and says the
//! same of what goes wrong.

mod teaching;

pub use teaching::Teaching;

use std::fmt::Write;

use cnn_core::image::Pixels;
use cnn_core::learn::Set;
use cnn_core::model::{FileHeader, HEADER_LEN, MAX_START, ModelError};
use cnn_core::protocol::{
    self, Classified, DELIMITER, Deframer, HeadStatus, Info, MAX_FRAME, Refusal, Reply, Request, Wrong, chunk_at,
    wanted,
};
use cnn_train::fingerprint::Fingerprint;

use crate::lesson::Epoch;

/// How often a request is sent before the board counts as silent.
const ATTEMPTS: u32 = 5;
/// How often an update begins again after the board was reset under it, and how often it goes on from another offset.
const UPDATE_ATTEMPTS: u32 = 3;
/// Milliseconds to wait for a reply that the board gives at once.
const QUICK: f64 = 2e3;
/// The same for one before which it runs the network, which takes 1.5 s without a floating-point unit.
const COMPUTE: f64 = 10e3;
/// The same for one before which it erases flash: a sector of the STM32F4 takes up to 4 s (ST DS10693, table 47).
const ERASE: f64 = 20e3;
/// The same for a whole update.
const UPDATE: f64 = 600e3;

/// Why a board did not do what was asked.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum BoardError {
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
    /// An update that takes longer than any.
    #[error("the update is not through after {} minutes: reset the board, and try again", UPDATE / 60e3)]
    Slow,
    /// The board has nothing to run.
    #[error("the board has no model to run ({0}): send it the page's")]
    NoModel(ModelError),
    /// The board said no.
    #[error(transparent)]
    Refused(Refusal),
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
    /// A sample of which the board and this page do not see the same.
    #[error(
        "the board sees another sample than this page ({set:?} sample {index}): let it forget all, and teach it anew"
    )]
    OtherSample {
        /// Its set.
        set: Set,
        /// Its place.
        index: u32,
    },
    /// An epoch after which the board's head is not this page's.
    #[error(
        "the board's head is not this page's after epoch {epoch}: {board} there, {page} here; it is not to be trusted, \
         flash the firmware of this release anew"
    )]
    OtherLearning {
        /// The first such epoch, counted from 1.
        epoch: u32,
        /// The board's head.
        board: Fingerprint,
        /// This page's.
        page: Fingerprint,
    },
    /// An epoch whose loss differs.
    #[error(
        "the board's loss in epoch {epoch} is {board}, and {page} on this page, with the same head: flash the firmware anew"
    )]
    OtherLoss {
        /// The epoch, counted from 1.
        epoch: u32,
        /// The board's.
        board: f64,
        /// This page's.
        page: f64,
    },
    /// A head that is not kept after all.
    #[error("the board says that it kept the learned head, and then that it has not: try again")]
    NotKept,
    /// Samples or heads that are there after all.
    #[error("the board says that it has forgotten, and then that it has not: try again")]
    NotForgotten,
    /// Nothing was asked.
    #[error("the board was asked nothing")]
    Idle,
}

impl From<Refusal> for BoardError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoModel(reason) => Self::NoModel(reason),
            Refusal::Version { supported: protocol::VERSION } => Wrong::Version(protocol::VERSION).into(),
            refusal => Self::Refused(refusal),
        }
    }
}

/// What the page wants of a board.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// Who it is.
    Info,
    /// The logits of a digit.
    Classify(Box<Pixels>),
    /// That it runs a model.
    Update(Update),
    /// What it has of samples and learned heads.
    Head,
    /// That it has the samples of a lesson.
    Teach(Teaching),
    /// That it learns an epoch, and gives what this page has of it.
    Learn(Epoch),
    /// That it keeps its learned head.
    Keep,
    /// That it forgets samples and learned heads.
    Forget,
}

/// A model file on its way, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    file: Vec<u8>,
    header: FileHeader,
    sent: Fingerprint,
    step: Step,
    attempt: u32,
    jumps: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Begin,
    Chunk(usize),
    Commit,
}

impl Update {
    /// Sends a file, which was checked, of parameters with this fingerprint.
    ///
    /// # Errors
    /// If the file is shorter than a model's header.
    pub fn new(file: Vec<u8>, sent: Fingerprint) -> Result<Self, BoardError> {
        let header = *file.first_chunk().ok_or(Refusal::Model(ModelError::Magic))?;
        Ok(Self { file, header, sent, step: Step::Begin, attempt: 1, jumps: 0 })
    }

    fn at(&mut self, next: usize) {
        self.step = if next < self.file.len() { Step::Chunk(next) } else { Step::Commit };
    }

    /// Takes a reply. What the end of the update gives, once it is there.
    fn hear(&mut self, reply: Result<Reply<'_>, Refusal>) -> Result<Option<Answer>, BoardError> {
        let len = self.file.len();
        match (self.step, reply) {
            (_, Err(Refusal::NoUpdate)) if self.attempt < UPDATE_ATTEMPTS => {
                self.attempt += 1;
                self.jumps = 0;
                self.step = Step::Begin;
            }
            (Step::Chunk(_), Err(Refusal::Offset { next })) if self.jumps < UPDATE_ATTEMPTS => {
                self.jumps += 1;
                self.at(wanted(next, len)?);
            }
            (_, Err(refusal)) => return Err(refusal.into()),
            (Step::Begin, Ok(Reply::UpdateAt { next })) => self.at(wanted(next, len)?),
            // A board that took the chunk wants what follows it: one that went back might do so for ever.
            (Step::Chunk(at), Ok(Reply::UpdateAt { next })) => {
                if (next as usize) < at + chunk_at(&self.file, at).len() {
                    return Err(Wrong::Offset { next, len }.into());
                }
                self.at(wanted(next, len)?);
            }
            (Step::Commit, Ok(Reply::Activated { fingerprint })) => {
                let (found, sent) = (Fingerprint::from(fingerprint), self.sent);
                if found != sent {
                    return Err(BoardError::OtherActivated { found, sent });
                }
                return Ok(Some(Answer::Updated(found)));
            }
            _ => return Err(BoardError::Unexpected),
        }
        Ok(None)
    }
}

impl Task {
    fn request(&self) -> Request<'_> {
        match self {
            Self::Info => Request::Info,
            Self::Classify(pixels) => Request::Classify { pixels: &**pixels },
            Self::Update(update) => match update.step {
                Step::Begin => Request::UpdateBegin { header: update.header },
                Step::Chunk(at) => Request::UpdateChunk { offset: at as u32, data: chunk_at(&update.file, at) },
                Step::Commit => Request::UpdateCommit { header: update.header },
            },
            Self::Head => Request::Head,
            Self::Teach(teaching) => teaching.request(),
            Self::Learn(Epoch { settings, number, .. }) => Request::Learn { settings: *settings, epoch: *number },
            Self::Keep => Request::Keep,
            Self::Forget => Request::Forget { heads: true },
        }
    }

    /// How long its reply may take. Once it has a file's start, a board erases all that the model needs, or a page with
    /// some chunks; to keep or to forget a head it may erase too.
    fn timeout(&self) -> f64 {
        match self {
            Self::Update(Update { step: Step::Chunk(at), .. }) if *at < HEADER_LEN + MAX_START => ERASE,
            Self::Keep | Self::Forget => ERASE,
            Self::Classify(_) | Self::Learn(_) | Self::Update(Update { step: Step::Commit, .. }) => COMPUTE,
            Self::Teach(teaching) => teaching.timeout(),
            _ => QUICK,
        }
    }

    /// Takes a reply; the answer, once there is nothing more to ask.
    fn hear(&mut self, reply: Result<Reply<'_>, Refusal>) -> Result<Option<Answer>, BoardError> {
        match (self, reply) {
            (Self::Update(update), reply) => update.hear(reply),
            // Firmware that does not learn.
            (Self::Head, Err(Refusal::UnknownRequest)) => Ok(Some(Answer::Head(None))),
            (_, Err(refusal)) => Err(refusal.into()),
            (Self::Info, Ok(Reply::Info(info))) => {
                info.check()?;
                Ok(Some(Answer::Info { fields: fields(&info), model: info.model.ok().map(Fingerprint::from) }))
            }
            (Self::Classify(_), Ok(Reply::Classified(classified))) => {
                classified.check()?;
                Ok(Some(Answer::Classified(classified)))
            }
            (Self::Teach(teaching), Ok(reply)) => teaching.hear(reply),
            (Self::Learn(here), Ok(Reply::Learned(there))) => {
                let board = Fingerprint::from(there.fingerprint);
                let (epoch, page) = (here.number, here.fingerprint);
                if board != page {
                    return Err(BoardError::OtherLearning { epoch, board, page });
                }
                if there.loss.to_bits() != here.loss.to_bits() {
                    return Err(BoardError::OtherLoss { epoch, board: there.loss, page: here.loss });
                }
                Ok(Some(Answer::Learned { cycles: there.cycles }))
            }
            (Self::Head, Ok(Reply::Head(status))) => {
                status.check()?;
                Ok(Some(Answer::Head(Some(status))))
            }
            (Self::Keep, Ok(Reply::Head(status))) => kept(&status).map(Some),
            (Self::Forget, Ok(Reply::Head(status))) => forgotten(status).map(Some),
            _ => Err(BoardError::Unexpected),
        }
    }
}

fn kept(status: &HeadStatus) -> Result<Answer, BoardError> {
    status.check()?;
    match status.kept {
        Ok(Some(kept)) if status.learned == Some(kept) => Ok(Answer::Kept(kept.into())),
        _ => Err(BoardError::NotKept),
    }
}

fn forgotten(status: HeadStatus) -> Result<Answer, BoardError> {
    status.check()?;
    let HeadStatus { own: 0, ordinary: 0, learned: None, .. } = status else { return Err(BoardError::NotForgotten) };
    Ok(Answer::Head(Some(status)))
}

/// What `board info` says, a line each: the field, a tab, the words. All of it is the board's own word.
fn fields(info: &Info<'_>) -> String {
    let Info { memory, line, .. } = info;
    let model = match info.model {
        Ok(fingerprint) => Fingerprint::from(fingerprint).to_string(),
        Err(error) => format!("none: {error}"),
    };
    let mut text = String::new();
    let mut field = |name: &str, words: std::fmt::Arguments<'_>| {
        writeln!(text, "{name}\t{words}").expect("a String takes everything");
    };
    field("board", format_args!("{}, {} MHz", info.board, info.clock_hz / 1_000_000));
    field("firmware", format_args!("{}", info.firmware));
    field("protocol", format_args!("version {}", protocol::VERSION));
    field("model", format_args!("{model}"));
    field(
        "memory",
        format_args!("flash {}, variables {}, stack {} bytes", memory.flash, memory.variables, memory.stack),
    );
    field(
        "frames",
        format_args!(
            "{} good, {} damaged, {} too long, {} broken off; {} errors of the port",
            line.good, line.damaged, line.too_long, line.timed_out, line.port_errors
        ),
    );
    text
}

/// What a board gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Who it is.
    Info {
        /// What there is to show, a line each.
        fields: String,
        /// The model that it runs.
        model: Option<Fingerprint>,
    },
    /// What it computed.
    Classified(Classified),
    /// It runs the model that it was sent.
    Updated(Fingerprint),
    /// What it has of samples and learned heads; nothing of firmware that does not learn.
    Head(Option<HeadStatus>),
    /// It has the lesson's samples.
    Taught,
    /// Its epoch is this page's.
    Learned {
        /// Cycles by the board's own count.
        cycles: u32,
    },
    /// The head that it keeps.
    Kept(Fingerprint),
}

/// What is next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Send the [frame](Board::frame), and tell what comes until [`Board::deadline`].
    Send,
    /// Go on listening.
    Listen,
    /// It is done.
    Done(Answer),
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

/// A board, asked one thing at a time. Times are milliseconds of any one clock.
pub struct Board {
    received: Deframer,
    sequence: u32,
    task: Option<Task>,
    frame: Vec<u8>,
    attempts: u32,
    heard: Heard,
    deadline: f64,
    /// When an update is over, however far it is.
    end: f64,
}

impl Board {
    /// A board of which nothing is known. `sequence` is a number that a reply to an earlier request hardly has.
    pub fn new(sequence: u32) -> Self {
        Self {
            received: Deframer::new(),
            sequence,
            task: None,
            frame: Vec::new(),
            attempts: 0,
            heard: Heard::Nothing,
            deadline: 0.0,
            end: 0.0,
        }
    }

    /// Begins to ask; what was asked before is forgotten. There is something to send then.
    pub fn ask(&mut self, task: Task, now: f64) {
        self.end = if matches!(task, Task::Update(_)) { now + UPDATE } else { f64::INFINITY };
        self.task = Some(task);
        self.send(now);
    }

    /// What to send: one frame, behind a delimiter that ends whatever the board has of a frame that was cut off.
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// When to stop waiting for more bytes, and call [`Board::hear`] without any.
    pub fn deadline(&self) -> f64 {
        self.deadline
    }

    /// Bytes of the file, or samples of the lesson, that the board has, of so many.
    pub fn progress(&self) -> (usize, usize) {
        match &self.task {
            Some(Task::Update(update)) => {
                let len = update.file.len();
                match update.step {
                    Step::Begin => (0, len),
                    Step::Chunk(at) => (at, len),
                    Step::Commit => (len, len),
                }
            }
            Some(Task::Teach(teaching)) => teaching.progress(),
            _ => (0, 0),
        }
    }

    fn send(&mut self, now: f64) {
        let Some(task) = &self.task else { return };
        self.sequence = self.sequence.wrapping_add(1);
        let mut frame = [0; MAX_FRAME];
        let len = protocol::encode(self.sequence, &task.request(), &mut frame).expect("a chunk or a digit fits");
        self.frame = [&[DELIMITER], &frame[..len]].concat();
        (self.attempts, self.heard) = (1, Heard::Nothing);
        self.deadline = now + task.timeout();
    }

    /// Takes what came over the line, in however many pieces; or nothing, once the deadline is over.
    ///
    /// # Errors
    /// If the board refuses, or says what cannot be, or does not answer. Nothing is asked any more then.
    pub fn hear(&mut self, bytes: &[u8], now: f64) -> Result<Next, BoardError> {
        let next = self.take(bytes, now);
        if !matches!(next, Ok(Next::Send | Next::Listen)) {
            self.task = None;
        }
        next
    }

    fn take(&mut self, bytes: &[u8], now: f64) -> Result<Next, BoardError> {
        let task = self.task.as_mut().ok_or(BoardError::Idle)?;
        if now > self.end {
            return Err(BoardError::Slow);
        }
        if !bytes.is_empty() && self.heard == Heard::Nothing {
            self.heard = Heard::Bytes;
        }
        for &byte in bytes {
            let Ok(Some(frame)) = self.received.push(byte) else { continue };
            if self.frame[1..].strip_suffix(&[DELIMITER]) == Some(&*frame) {
                self.heard = Heard::Echo;
                continue;
            }
            // Damaged ones and replies to earlier requests are passed over.
            let Ok(message) = protocol::open(frame) else { continue };
            if message.sequence != self.sequence {
                continue;
            }
            if message.version != protocol::VERSION {
                return Err(BoardError::Refused(Refusal::Version { supported: message.version }));
            }
            let reply = match message.reply().ok_or(BoardError::Unexpected)? {
                Reply::Refused(refusal) => Err(refusal),
                reply => Ok(reply),
            };
            return match task.hear(reply)? {
                Some(answer) => Ok(Next::Done(answer)),
                None => {
                    self.send(now);
                    Ok(Next::Send)
                }
            };
        }
        if now < self.deadline {
            return Ok(Next::Listen);
        }
        match self.heard {
            Heard::Echo => Err(BoardError::Echo),
            _ if self.attempts < ATTEMPTS => {
                self.attempts += 1;
                self.deadline = now + task.timeout();
                Ok(Next::Send)
            }
            Heard::Nothing => Err(BoardError::Silent),
            Heard::Bytes => Err(BoardError::Noise),
        }
    }
}
