//! The one spelling of version 2: every number with the fewest bytes that it fits.
//!
//! Postcard's reader takes longer ones too. To write what was read and compare would take four times the flash of a board.

use super::Kind;

/// What metadata are made of.
#[derive(Clone, Copy)]
enum Piece {
    /// So many integers as varints.
    Numbers(usize),
    /// So many bytes: hashes, floats, truth values.
    Bytes(usize),
    /// A length as a varint, and so many bytes.
    Slice,
    /// A byte, and if it is 1 what a training is made of.
    Training,
}

const TRAINING: [Piece; 5] =
    [Piece::Slice, Piece::Bytes(32), Piece::Numbers(3), Piece::Bytes(1 + 3 * 4), Piece::Numbers(2)];
const FLOAT: [Piece; 5] =
    [Piece::Numbers(8 * 4), Piece::Training, Piece::Bytes(32), Piece::Slice, Piece::Bytes(10 * 4)];
const INT8: [Piece; 7] = [
    Piece::Numbers(8 * 4),
    Piece::Training,
    Piece::Bytes(32),
    Piece::Numbers(1),
    Piece::Bytes(32 + 4 * 4 + 32),
    Piece::Slice,
    Piece::Numbers(10),
];

/// Whether metadata that were read from all of `bytes` are spelt so.
pub fn is_shortest(kind: Kind, bytes: &[u8]) -> bool {
    let rest = match kind {
        Kind::Float => after(&FLOAT, bytes),
        Kind::Int8 => after(&INT8, bytes),
    };
    rest.is_some_and(<[u8]>::is_empty)
}

/// What follows the pieces, if they are there and spelt so.
fn after<'a>(pieces: &[Piece], mut bytes: &'a [u8]) -> Option<&'a [u8]> {
    for &piece in pieces {
        bytes = match piece {
            Piece::Numbers(count) => (0..count).try_fold(bytes, |bytes, _| Some(number(bytes)?.1))?,
            Piece::Bytes(count) => bytes.get(count..)?,
            Piece::Slice => {
                let (len, bytes) = number(bytes)?;
                bytes.get(len..)?
            }
            Piece::Training => match bytes.split_first()? {
                (1, bytes) => after(&TRAINING, bytes)?,
                (_, bytes) => bytes,
            },
        };
    }
    Some(bytes)
}

/// A varint and what follows it, if its last byte says something.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0)?;
    let (digits, rest) = bytes.split_at(end + 1);
    // Lengths alone are looked at, which postcard has read: longer numbers may lose their upper bits here.
    let value = digits.iter().rev().fold(0usize, |value, byte| value << 7 | usize::from(byte & 0x7f));
    (end == 0 || digits[end] != 0).then_some((value, rest))
}
