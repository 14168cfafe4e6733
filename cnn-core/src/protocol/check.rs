//! What a host holds a reply to whose checksum is right: it must agree with itself and with what was asked.

use super::{CHUNK_ALIGNMENT, Classified, ClassifiedInt8, HeadStatus, Info, MAX_CHUNK, MAX_NAME};
use crate::int8;
use crate::model::{Bits, HEADER_LEN};
use crate::network::predict;
use crate::text::is_one_line;

/// What is wrong with a reply whose checksum is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// NaN or infinity.
    #[error("the logit of class {class} is {logit}")]
    Logit {
        /// The class.
        class: usize,
        /// What the board says.
        logit: Bits,
    },
    /// Another class than the first with the largest logit.
    #[error("it names class {found} for logits of which that of class {expected} is the largest")]
    Class {
        /// What the board says.
        found: u8,
        /// What its logits say.
        expected: u8,
    },
    /// A place in the file from which no board of this protocol wants it.
    #[error("it wants the file of {len} bytes from offset {next} on")]
    Offset {
        /// What the board says.
        next: u32,
        /// The file's length.
        len: usize,
    },
    /// A name too long or not of one line.
    #[error("its name, or that of its firmware, is not one line of at most {MAX_NAME} bytes")]
    Name,
    /// A clock that stands.
    #[error("its clock has 0 Hz")]
    Clock,
    /// A contradiction.
    #[error("it refuses version {0} of the protocol and says that it speaks it")]
    Version(u8),
    /// NaN, infinity, negative or 0.
    #[error("a step of its logits is worth {0}")]
    Scale(Bits),
    /// More samples than there is room for.
    #[error("it has {count} samples in a room for {capacity}")]
    Samples {
        /// Of both sets.
        count: u64,
        /// The room.
        capacity: u32,
    },
}

impl Info<'_> {
    /// Whether a board can say so of itself.
    ///
    /// # Errors
    /// [`Wrong::Name`] or [`Wrong::Clock`].
    pub fn check(&self) -> Result<(), Wrong> {
        if [self.board, self.firmware].iter().any(|name| name.len() > MAX_NAME || !is_one_line(name)) {
            return Err(Wrong::Name);
        }
        if self.clock_hz == 0 { Err(Wrong::Clock) } else { Ok(()) }
    }
}

impl HeadStatus {
    /// Whether the samples can be there.
    ///
    /// # Errors
    /// [`Wrong::Samples`].
    pub fn check(&self) -> Result<(), Wrong> {
        let (count, capacity) = (u64::from(self.own) + u64::from(self.ordinary), self.capacity);
        if count <= u64::from(capacity) { Ok(()) } else { Err(Wrong::Samples { count, capacity }) }
    }
}

impl Classified {
    /// Whether the logits are finite and the class is theirs; the cycles are the board's own word.
    ///
    /// # Errors
    /// [`Wrong::Logit`] or [`Wrong::Class`].
    pub fn check(&self) -> Result<(), Wrong> {
        let &Self { logits, class: found, .. } = self;
        if let Some(class) = logits.iter().position(|logit| !logit.is_finite()) {
            return Err(Wrong::Logit { class, logit: Bits(logits[class].to_bits()) });
        }
        let expected = predict(&logits) as u8;
        if found == expected { Ok(()) } else { Err(Wrong::Class { found, expected }) }
    }
}

impl ClassifiedInt8 {
    /// Whether the scale is one and the class is that of the logits; the cycles are the board's own word.
    ///
    /// # Errors
    /// [`Wrong::Scale`] or [`Wrong::Class`].
    pub fn check(&self) -> Result<(), Wrong> {
        let &Self { logits, scale, class: found, .. } = self;
        if !scale.is_finite() || scale <= 0.0 {
            return Err(Wrong::Scale(Bits(scale.to_bits())));
        }
        let expected = int8::predict(&logits) as u8;
        if found == expected { Ok(()) } else { Err(Wrong::Class { found, expected }) }
    }
}

/// The offset from which a board wants a file of `len` bytes, if it can be one: behind the header, on the border of a
/// chunk or at the end.
///
/// # Errors
/// [`Wrong::Offset`].
pub fn wanted(next: u32, len: usize) -> Result<usize, Wrong> {
    let offset = next as usize;
    let possible = (HEADER_LEN..=len).contains(&offset) && (offset.is_multiple_of(CHUNK_ALIGNMENT) || offset == len);
    if possible { Ok(offset) } else { Err(Wrong::Offset { next, len }) }
}

/// The chunk that starts at `offset`: as long as may be, in whole words unless it ends the file.
pub fn chunk_at(file: &[u8], offset: usize) -> &[u8] {
    const { assert!(MAX_CHUNK.is_multiple_of(CHUNK_ALIGNMENT)) };
    let rest = file.get(offset..).unwrap_or_default();
    &rest[..rest.len().min(MAX_CHUNK)]
}
