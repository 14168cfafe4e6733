//! Why bytes are not a model.

use serde::{Deserialize, Serialize};

use super::{Kind, LATEST_VERSION};
use crate::environment::Violation;
use crate::int8::OutOfRange;

/// Why bytes are not a model that this network runs.
///
/// A board sends it to its host as it is, so the order of the variants is part of [`crate::protocol`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ModelError {
    /// The first bytes are something else.
    #[error("not a model file: it does not start with 'CNNM'")]
    Magic,
    /// Written by another version of the format.
    #[error("the model file has format version {found}, this program reads versions 1 and {LATEST_VERSION}")]
    Version {
        /// The file's version.
        found: u32,
    },
    /// The file ends too early.
    #[error("the model file is truncated: {found} of {expected} bytes")]
    Truncated {
        /// Length that the header states, or the header's own.
        expected: usize,
        /// Length of what is there.
        found: usize,
    },
    /// The file goes on after its end.
    #[error("the model file has {0} bytes after its end")]
    Trailing(usize),
    /// The header states a length that no model file has.
    #[error("the model file's header states a length of {0} bytes, which no model of this network has")]
    Length(u32),
    /// A byte was changed.
    #[error("the model file is damaged: its checksum does not match")]
    Checksum,
    /// The checksum is right but the message inside makes no sense: another program wrote it.
    #[error("the model file's contents are malformed")]
    Malformed,
    /// The parameters of another network.
    #[error("the model file holds another network: its tensors have other shapes")]
    Shapes,
    /// A parameter that is NaN, infinite or too large ([`crate::range`]).
    #[error("parameter {0} of the model file is not a number below 2^24 in magnitude")]
    OutOfRange(usize),
    /// The bytes do not lie on a 4-byte border, or the machine is big-endian: copy instead of borrowing.
    #[error("the model's parameters cannot be borrowed from where they lie")]
    NotInPlace,
    /// The golden image gives other logits: this machine does not compute as the contract says.
    #[error("self-test failed: the golden image's logit {class} is {found} where the model file says {expected}")]
    SelfTest {
        /// The first class that differs.
        class: usize,
        /// The file's logit.
        expected: Bits,
        /// This machine's logit.
        found: Bits,
    },
    /// Metadata too long for the format, or room for the file too small.
    #[error("the model's metadata does not fit")]
    NoRoom,
    /// Metadata that no model has.
    #[error("the model file is not consistent: {0}")]
    Impossible(#[from] Impossible),
    /// A kind of network that only a later program knows.
    #[error("the model file holds a network of kind {0}, this program knows kinds 0 (f32) and 1 (int8)")]
    UnknownKind(u32),
    /// A model of one kind where one of the other is needed.
    #[error("the model file holds a network in {found}, which this cannot use")]
    OtherKind {
        /// The file's kind.
        found: Kind,
    },
    /// A number of an int8 model that is not in its range ([`crate::int8`]).
    #[error("the model file's {0}")]
    OutOfRangeInt8(OutOfRange),
    /// [`ModelError::SelfTest`] of an int8 model.
    #[error("self-test failed: the golden image's logit {class} is {found} where the model file says {expected}")]
    SelfTestInt8 {
        /// The first class that differs.
        class: usize,
        /// The file's logit.
        expected: i32,
        /// This machine's logit.
        found: i32,
    },
    /// This machine cannot give any model's bits, whatever the golden image says.
    #[error("this machine does not compute as the contract says: {0}")]
    Arithmetic(#[from] Violation),
}

/// Metadata that no model has; the order of the variants is part of [`crate::protocol`] too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Impossible {
    /// A logit of the golden image is NaN or infinite.
    #[error("a logit of its golden image is not a finite number")]
    GoldenLogit,
    /// Control characters, or others that break or reorder the line.
    #[error("the name of its data set is not one line of plain text")]
    DatasetName,
    /// None.
    #[error("it was trained for 0 epochs")]
    Epochs,
    /// No images in a step.
    #[error("it was trained in batches of 0 images")]
    BatchLength,
    /// NaN, infinite or negative.
    #[error("its learning rate is negative or not a finite number")]
    LearningRate,
    /// NaN, infinite or negative.
    #[error("its momentum is negative or not a finite number")]
    Momentum,
    /// NaN, infinite or negative.
    #[error("its weight decay is negative or not a finite number")]
    WeightDecay,
    /// None.
    #[error("it was tested on 0 images")]
    TestCount,
    /// More correct ones than there are.
    #[error("it classifies more test images correctly than there are")]
    TestCorrect,
    /// None.
    #[error("it was calibrated on 0 images")]
    CalibrationCount,
    /// NaN, infinite, negative or 0.
    #[error("one of its scales is not a finite number above 0")]
    Scale,
}

/// A float known by its bits, shown as number and bits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bits(
    /// IEEE-754 binary32.
    pub u32,
);

impl core::fmt::Display for Bits {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} (0x{:08x})", f32::from_bits(self.0), self.0)
    }
}

impl core::fmt::Debug for Bits {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}
