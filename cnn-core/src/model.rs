//! The model file: what a trained network needs to run anywhere, in one piece that is read in place.
//!
//! ```text
//! offset  0   magic  "CNNM"
//!         4   version of the format, u32
//!         8   length of the whole file in bytes, u32
//!        12   CRC-32 (ISO-HDLC) of all other bytes of the file, u32
//!        16   one postcard message: kind, metadata, padding, parameters
//! ```
//!
//! Header numbers are little-endian. The message's last field is the parameters; the padding before it puts them on a
//! 16-byte border of the file, so that a microcontroller borrows them from flash. Version 1 has no kind and f32 parameters,
//! version 2 a kind: f32 or int8. `docs/model-file.md` is the specification of every byte.

mod error;
mod float;
mod int8;
mod spelling;
#[cfg(test)]
mod tests;
mod training;

use core::fmt;

use serde::{Deserialize, Serialize};

pub use error::{Bits, Impossible, ModelError};
pub use float::{Golden, Metadata, Model, encode, encode_version_2};
pub use int8::{Calibration, Int8Golden, Int8Metadata, Int8Model, Scales, encode_int8};
pub use training::Training;

use crate::image::Pixels;
use crate::int8::BLOCK_LEN;
use crate::network::{FlatParameters, TENSORS};

/// The first four bytes of a model file.
pub const MAGIC: [u8; 4] = *b"CNNM";
/// The version in which f32 parameters are written: boards that were flashed before there was another read it.
pub const VERSION: u32 = 1;
/// The version that names its kind; a reader takes both.
pub const LATEST_VERSION: u32 = 2;
/// The parameters start at a multiple of this many bytes from the start of the file.
pub const ALIGNMENT: usize = 16;
/// What stands between header and parameters - metadata with the longest name, padding, the parameters' length - takes
/// no more bytes than this.
pub const MAX_START: usize = 2048;
/// No model file is longer: header, start and parameters, in bytes.
pub const MAX_LEN: usize = HEADER_LEN + MAX_START + PARAMETER_BYTES;
/// The longest name of a data set, in bytes.
pub const MAX_DATASET_NAME: usize = 255;

/// Bytes of the header: magic, version, length, checksum.
pub const HEADER_LEN: usize = 16;
const CRC_RANGE: core::ops::Range<usize> = 12..16;
const PARAMETER_BYTES: usize = size_of::<FlatParameters>();
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// The shapes of this network's tensors as a model file has them.
pub const SHAPES: [[u16; 4]; TENSORS.len()] = {
    let mut shapes = [[1; 4]; TENSORS.len()];
    let mut tensor = 0;
    while tensor < TENSORS.len() {
        let mut dimension = 0;
        while dimension < TENSORS[tensor].shape.len() {
            shapes[tensor][dimension] = TENSORS[tensor].shape[dimension] as u16;
            dimension += 1;
        }
        tensor += 1;
    }
    shapes
};

/// What a model's parameters are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// f32: the network of [`crate::network`].
    Float,
    /// Integers: the network of [`crate::int8`].
    Int8,
}

impl Kind {
    fn of(number: u8) -> Result<Self, ModelError> {
        match number {
            0 => Ok(Self::Float),
            1 => Ok(Self::Int8),
            number => Err(ModelError::UnknownKind(number.into())),
        }
    }

    const fn parameter_bytes(self) -> usize {
        match self {
            Self::Float => PARAMETER_BYTES,
            Self::Int8 => BLOCK_LEN,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Float => "f32",
            Self::Int8 => "int8",
        })
    }
}

/// A model file of either kind whose every byte was checked, borrowed from where it lies.
#[derive(Debug, Clone)]
pub enum AnyModel<'a> {
    /// f32 parameters.
    Float(Model<'a>),
    /// Integer parameters.
    Int8(Int8Model<'a>),
}

impl<'a> AnyModel<'a> {
    /// Checks a file: magic, version, length, checksum, structure, kind, shapes, range of the parameters.
    ///
    /// # Errors
    /// The first check that fails. It never panics, whatever the bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let (model, rest) = Self::parse_prefix(bytes)?;
        if rest.is_empty() { Ok(model) } else { Err(ModelError::Trailing(rest.len())) }
    }

    /// The same for bytes that may go on after the file, as a region of flash does; returns what follows it.
    ///
    /// # Errors
    /// As [`AnyModel::parse`].
    pub fn parse_prefix(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ModelError> {
        let (header, file, rest) = frame(bytes)?;
        let start = read_start(header, &file[HEADER_LEN..])?;
        let Start { metadata, parameters_at } = start.ok_or(ModelError::Malformed)?;
        let parameters = file.get(parameters_at..).ok_or(ModelError::Malformed)?;
        let model = match metadata {
            AnyMetadata::Float(metadata) => Self::Float(Model::of(metadata, parameters)?),
            AnyMetadata::Int8(metadata) => Self::Int8(Int8Model::of(metadata, parameters)?),
        };
        Ok((model, rest))
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Float(_) => Kind::Float,
            Self::Int8(_) => Kind::Int8,
        }
    }

    /// SHA-256 of its parameters, by the file's own word.
    pub fn fingerprint(&self) -> [u8; 32] {
        match self {
            Self::Float(model) => model.metadata().fingerprint,
            Self::Int8(model) => model.metadata().fingerprint,
        }
    }
}

/// The first bytes of a model file: magic, version, length, checksum.
pub type FileHeader = [u8; HEADER_LEN];

/// Checks magic, version and length of a header and returns the length of the file that it starts.
///
/// # Errors
/// [`ModelError::Magic`], [`ModelError::Version`] or [`ModelError::Length`].
pub fn file_len(header: &FileHeader) -> Result<usize, ModelError> {
    if !header.starts_with(&MAGIC) {
        return Err(ModelError::Magic);
    }
    let [_, version, length, _] = header_words(header);
    let shortest = match version {
        VERSION => PARAMETER_BYTES,
        LATEST_VERSION => PARAMETER_BYTES.min(BLOCK_LEN),
        _ => return Err(ModelError::Version { found: version }),
    };
    let len = length as usize;
    if (HEADER_LEN + shortest..=MAX_LEN).contains(&len) { Ok(len) } else { Err(ModelError::Length(length)) }
}

/// Checks the checksum in `header` against all that follows it in the file.
///
/// # Errors
/// [`ModelError::Checksum`].
pub fn check_contents(header: &FileHeader, contents: &[u8]) -> Result<(), ModelError> {
    let [_, _, _, checksum] = header_words(header);
    if checksum_of(header, contents) == checksum { Ok(()) } else { Err(ModelError::Checksum) }
}

/// Checks the start of a file while it arrives: `contents` is what there is of it behind the header. Whether it reaches to
/// the parameters; if so, all that stands in front of them was checked.
///
/// # Errors
/// What [`AnyModel::parse`] would say of the whole file, if the start tells already.
pub fn check_start(header: &FileHeader, contents: &[u8]) -> Result<bool, ModelError> {
    match read_start(header, contents)? {
        Some(_) => Ok(true),
        None if contents.len() < MAX_START => Ok(false),
        None => Err(ModelError::Malformed),
    }
}

/// What stands between header and parameters.
struct Start<'a> {
    metadata: AnyMetadata<'a>,
    /// Where in the file the parameters begin; they end it.
    parameters_at: usize,
}

enum AnyMetadata<'a> {
    Float(Metadata<'a>),
    Int8(Int8Metadata<'a>),
}

/// Reads and checks the start of a file; nothing if `contents` ends before it does.
fn read_start<'a>(header: &FileHeader, contents: &'a [u8]) -> Result<Option<Start<'a>>, ModelError> {
    let len = file_len(header)?;
    let [_, version, ..] = header_words(header);
    let is_strict = version != VERSION;
    let (kind, message) = if is_strict {
        // A number below 128 is one byte.
        let Some((&kind, message)) = contents.split_first() else { return Ok(None) };
        (Kind::of(kind)?, message)
    } else {
        (Kind::Float, contents)
    };
    let start = message;
    let taken = match kind {
        Kind::Float => take(message)?.map(|(metadata, rest)| (AnyMetadata::Float(metadata), rest)),
        Kind::Int8 => take(message)?.map(|(metadata, rest)| (AnyMetadata::Int8(metadata), rest)),
    };
    let Some((metadata, message)) = taken else { return Ok(None) };
    match &metadata {
        AnyMetadata::Float(metadata) => metadata.check(),
        AnyMetadata::Int8(metadata) => metadata.check(),
    }?;
    if is_strict && !spelling::is_shortest(kind, &start[..start.len() - message.len()]) {
        return Err(ModelError::Malformed);
    }
    let padding_at = HEADER_LEN + contents.len() - message.len();
    let Some((padding, message)) = take::<&[u8]>(message)? else { return Ok(None) };
    // A byte slice is its length and the bytes.
    let Some((parameter_bytes, message)) = take::<usize>(message)? else { return Ok(None) };
    let parameters_at = HEADER_LEN + contents.len() - message.len();
    let well_formed = parameters_at.is_multiple_of(ALIGNMENT)
        && parameter_bytes == kind.parameter_bytes()
        && parameters_at.checked_add(parameter_bytes) == Some(len)
        && (!is_strict || padding == padding_from(padding_at) && parameters_at == padding_at + padding.len() + 1 + 3);
    if well_formed { Ok(Some(Start { metadata, parameters_at })) } else { Err(ModelError::Malformed) }
}

/// What metadata of either kind must be before their values are looked at.
fn check_lengths(
    shapes: &[[u16; 4]; TENSORS.len()],
    golden_pixels: &[u8],
    training: Option<Training<'_>>,
) -> Result<(), ModelError> {
    if *shapes != SHAPES {
        return Err(ModelError::Shapes);
    }
    let name_fits = training.is_none_or(|training| training.dataset.len() <= MAX_DATASET_NAME);
    if golden_pixels.len() == size_of::<Pixels>() && name_fits { Ok(()) } else { Err(ModelError::Malformed) }
}

/// The padding that follows metadata up to `start` in the file. Its own length takes a byte, the parameters' three.
fn padding_from(start: usize) -> &'static [u8] {
    const ZEROS: [u8; ALIGNMENT] = [0; ALIGNMENT];
    let end = start + 1 + 3;
    &ZEROS[..end.next_multiple_of(ALIGNMENT) - end]
}

/// A value at the start of `message`, and what follows; nothing if the message ends within it.
fn take<'a, T: Deserialize<'a>>(message: &'a [u8]) -> Result<Option<(T, &'a [u8])>, ModelError> {
    match postcard::take_from_bytes(message) {
        Ok(taken) => Ok(Some(taken)),
        Err(postcard::Error::DeserializeUnexpectedEnd) => Ok(None),
        Err(_) => Err(ModelError::Malformed),
    }
}

fn header_words(header: &FileHeader) -> [u32; 4] {
    core::array::from_fn(|i| u32::from_le_bytes(core::array::from_fn(|byte| header[4 * i + byte])))
}

/// Cuts the file out of `bytes` by its header and checks its checksum: header, file, what follows.
fn frame(bytes: &[u8]) -> Result<(&FileHeader, &[u8], &[u8]), ModelError> {
    let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
        let start = bytes.len().min(MAGIC.len());
        return Err(if bytes[..start] == MAGIC[..start] {
            ModelError::Truncated { expected: HEADER_LEN, found: bytes.len() }
        } else {
            ModelError::Magic
        });
    };
    let len = file_len(header)?;
    let Some((file, rest)) = bytes.split_at_checked(len) else {
        return Err(ModelError::Truncated { expected: len, found: bytes.len() });
    };
    check_contents(header, &file[HEADER_LEN..])?;
    Ok((header, file, rest))
}

/// CRC-32 of a whole file but for the place of the checksum itself, the last of the header.
fn checksum_of(header: &FileHeader, contents: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&header[..CRC_RANGE.start]);
    digest.update(contents);
    digest.finalize()
}

/// Writes a whole file: of version 2 if it names its kind, else of version 1. `write` fills the parameters' bytes.
fn write_file(
    kind: Option<Kind>,
    metadata: &impl Serialize,
    parameter_bytes: usize,
    file: &mut [u8],
    write: impl FnOnce(&mut [u8]),
) -> Result<usize, ModelError> {
    let mut end = HEADER_LEN;
    if let Some(kind) = kind {
        end += write_message(&(kind as u32), file, end)?;
    }
    end += write_message(metadata, file, end)?;
    end += write_message(&padding_from(end), file, end)?;
    end += write_message(&parameter_bytes, file, end)?;
    debug_assert!(end.is_multiple_of(ALIGNMENT));
    write(file.get_mut(end..end + parameter_bytes).ok_or(ModelError::NoRoom)?);
    end += parameter_bytes;

    let file = &mut file[..end];
    let version = if kind.is_some() { LATEST_VERSION } else { VERSION };
    file[..4].copy_from_slice(&MAGIC);
    file[4..8].copy_from_slice(&version.to_le_bytes());
    file[8..12].copy_from_slice(&(end as u32).to_le_bytes());
    seal(file);
    Ok(end)
}

/// Writes the checksum into a file's header.
fn seal(file: &mut [u8]) {
    if let Some((header, contents)) = file.split_first_chunk_mut() {
        let checksum = checksum_of(header, contents);
        header[CRC_RANGE].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Serialises `value` at `file[start..]`; returns the bytes it took.
fn write_message(value: &impl Serialize, file: &mut [u8], start: usize) -> Result<usize, ModelError> {
    let room = file.get_mut(start..).ok_or(ModelError::NoRoom)?;
    Ok(postcard::to_slice(value, room).map_err(|_| ModelError::NoRoom)?.len())
}
