//! What happens, for whoever watches the board with `cargo embed` or `probe-rs run`.
//!
//! The words stay on the host, as `defmt` has it; `Display` would bring the formatting of floats into flash.

use application::Event;
use cnn_core::int8::OutOfRange;
use cnn_core::learn::Fault;
use cnn_core::model::{Impossible, ModelError};
use cnn_core::protocol::{FrameError, KeptError, Refusal};
use defmt::{Format, Formatter, info, warn, write};

/// Writes an event to the log.
pub fn log(event: Event) {
    match event {
        Event::ModelRuns { fingerprint: [a, b, c, d, ..] } => {
            info!("model {=u8:02x}{=u8:02x}{=u8:02x}{=u8:02x}… passed every check and runs", a, b, c, d);
        }
        Event::ModelMissing(error) => warn!("waiting for a model: {}", Reason(error)),
        Event::Classified { class, permille, cycles } => {
            info!("digit {=u8}, {=u16}.{=u16} %, {=u32} cycles", class, permille / 10, permille % 10, cycles);
        }
        Event::HeadRuns { fingerprint: [a, b, c, d, ..] } => {
            info!("learned head {=u8:02x}{=u8:02x}{=u8:02x}{=u8:02x}… passed every check and is used", a, b, c, d);
        }
        Event::HeadRefused(KeptError::Damaged) => warn!("the learned head in flash is not used: it is damaged"),
        Event::HeadRefused(KeptError::Version { found }) => {
            warn!("the learned head in flash is not used: format version {=u32}", found);
        }
        Event::HeadRefused(KeptError::OtherModel) => warn!("the learned head in flash is not used: of another model"),
        Event::HeadRefused(KeptError::OutOfRange(index)) => {
            warn!("the learned head in flash is not used: parameter {=u32} is out of range", index);
        }
        Event::Learned { cycles } => info!("an epoch learned, {=u32} cycles", cycles),
        Event::UpdateFrom(offset) => info!("update from offset {=u32}", offset),
        Event::Refused(Refusal::NoModel(error)) => warn!("refused to classify: {}", Reason(error)),
        Event::Refused(Refusal::Model(error)) => warn!("refused the new model: {}", Reason(error)),
        Event::Refused(refusal) => warn!("refused: {=str}", name(refusal)),
        Event::Dropped(FrameError::Damaged) => warn!("dropped a damaged frame"),
        Event::Dropped(FrameError::TooLong) => warn!("dropped a frame that was too long"),
        Event::TimedOut => warn!("dropped a frame that stopped in its middle"),
        Event::PortError => warn!("the serial port lost a byte"),
    }
}

fn name(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Version { .. } => "a request of another version",
        Refusal::UnknownRequest => "an unknown request",
        Refusal::Malformed => "a malformed request",
        Refusal::NoModel(_) => "there is no model",
        Refusal::NoUpdate => "no update of this file is under way",
        Refusal::Offset { .. } => "a chunk out of order",
        Refusal::ChunkLength => "a chunk of a wrong length",
        Refusal::Incomplete { .. } => "a commit before the file was complete",
        Refusal::Model(_) => "the new model",
        Refusal::Flash => "flash cannot be written",
        Refusal::Learning(Fault::Label(_)) => "a label that is no digit",
        Refusal::Learning(Fault::Place { .. } | Fault::Other) => "a sample in another's place",
        Refusal::Learning(Fault::Full { .. }) => "a sample without room",
        Refusal::Learning(Fault::NoSamples) => "to learn without samples",
        Refusal::Learning(Fault::Setting(_)) => "to learn with settings out of range",
        Refusal::Learning(Fault::Epoch { .. }) => "an epoch out of order",
        Refusal::Learning(Fault::Diverged { .. }) => "what diverged; the head stays",
        Refusal::Learning(Fault::Integers) => "to learn over a model in integers",
        Refusal::Learning(Fault::NoHead) => "what takes a learned head: there is none",
        Refusal::Learning(Fault::NoRoom) => "another head: flash has no room",
    }
}

/// Why a model does not run.
struct Reason(ModelError);

impl Format for Reason {
    fn format(&self, f: Formatter<'_>) {
        match self.0 {
            ModelError::Magic => write!(f, "there is no model file"),
            ModelError::Version { found } => write!(f, "format version {=u32}", found),
            ModelError::Truncated { expected, found } => write!(f, "{=usize} of {=usize} bytes", found, expected),
            ModelError::Trailing(bytes) => write!(f, "{=usize} bytes after its end", bytes),
            ModelError::Length(bytes) => write!(f, "a length of {=u32} bytes", bytes),
            ModelError::Checksum => write!(f, "wrong checksum"),
            ModelError::Malformed => write!(f, "malformed"),
            ModelError::Shapes => write!(f, "another network"),
            ModelError::OutOfRange(index) => write!(f, "parameter {=usize} is out of range", index),
            ModelError::NotInPlace => write!(f, "not on its border"),
            ModelError::SelfTest { class, expected, found } => {
                write!(f, "self-test: logit {=usize} is {=u32:08x}, not {=u32:08x}", class, found.0, expected.0);
            }
            ModelError::NoRoom => write!(f, "too long"),
            ModelError::Impossible(Impossible::GoldenLogit) => write!(f, "a golden logit is not finite"),
            ModelError::Arithmetic(violation) => write!(f, "wrong arithmetic, case {=u8}", violation as u8),
            ModelError::Impossible(fault) => write!(f, "impossible metadata, case {=u8}", fault as u8),
            ModelError::UnknownKind(kind) => write!(f, "a network of kind {=u32}", kind),
            ModelError::OtherKind { .. } => write!(f, "a network of the other kind"),
            ModelError::OutOfRangeInt8(OutOfRange { part, index }) => {
                write!(f, "int8 part {=u8}, number {=u32} is out of range", part as u8, index);
            }
            ModelError::SelfTestInt8 { class, expected, found } => {
                write!(f, "self-test: logit {=usize} is {=i32}, not {=i32}", class, found, expected);
            }
        }
    }
}
