//! Learned heads in flash, behind the longest model that the area takes: bound to the model by its fingerprint.
//!
//! Records lie one behind the other in places of [`PLACE`] bytes. A new one goes to the first place behind which all is
//! blank; where none is left and blocks can be erased by themselves, all of them are, the newest last. Of a record the
//! end of its header, [`MAGIC`], is written last, so that one that power broke off is none. The newest that is whole
//! decides: it is taken if it passes every check, and else none is. To forget is to write the mark at a record's end.
//!
//! ```text
//! CRC-32 of what follows, forgotten mark excluded  u32     version  u32     0  u32     "CNNH"
//! fingerprint of the model  32 bytes     parameters  1,210 × f32     0xff to the border of 16 bytes
//! forgotten mark  16 bytes: 0xff, or 0 once the record is forgotten
//! ```
//! All numbers are little-endian.

use cnn_core::head::FlatHead;
use cnn_core::learn::Fault;
use cnn_core::model::MAX_LEN;
use cnn_core::protocol::{CHUNK_ALIGNMENT, KeptError, Refusal};
use cnn_core::range::first_out_of_range;

use crate::area::{ModelFlash, erase_block_at, write, write_padded};

const MAGIC: [u8; 4] = *b"CNNH";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 16;
const FINGERPRINT_LEN: usize = 32;
const VALUES_AT: usize = HEADER_LEN + FINGERPRINT_LEN;
const VALUES_END: usize = VALUES_AT + size_of::<FlatHead>();
const MARK_AT: usize = VALUES_END.next_multiple_of(CHUNK_ALIGNMENT);
/// Bytes of a record.
pub const PLACE: usize = MARK_AT + CHUNK_ALIGNMENT;
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

type Header = [u8; HEADER_LEN];

/// Where the first record of an area begins: behind the longest model, in a block of its own where blocks are small.
const fn start<F: ModelFlash>(len: usize) -> usize {
    MAX_LEN.next_multiple_of(if F::ERASE_SIZE < len { F::ERASE_SIZE } else { CHUNK_ALIGNMENT })
}

/// The places of all records, from the first on.
fn places<F: ModelFlash>(flash: &F) -> impl DoubleEndedIterator<Item = usize> + use<F> {
    let len = flash.contents().len();
    let start = start::<F>(len);
    (0..len.saturating_sub(start) / PLACE).map(move |index| start + index * PLACE)
}

fn record<F: ModelFlash>(flash: &F, at: usize) -> &[u8] {
    flash.contents().get(at..at + PLACE).unwrap_or_default()
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0xff)
}

fn is_whole(record: &[u8]) -> bool {
    record.get(HEADER_LEN - MAGIC.len()..HEADER_LEN) == Some(&MAGIC)
}

/// The kept head that belongs to the model with this fingerprint, if there is one.
///
/// # Errors
/// Why the one that is there is not used.
pub fn find<'f, F: ModelFlash>(flash: &'f F, model: &[u8; 32]) -> Result<Option<&'f FlatHead>, KeptError> {
    let mut broken_off = false;
    for at in places(flash).rev() {
        let record = record(flash, at);
        if is_whole(record) {
            return check(record, model);
        }
        broken_off |= !is_blank(record);
    }
    if broken_off { Err(KeptError::Damaged) } else { Ok(None) }
}

/// Every check of a record that was written to its end.
fn check<'f>(record: &'f [u8], model: &[u8; 32]) -> Result<Option<&'f FlatHead>, KeptError> {
    let (header, contents) = record.split_first_chunk::<HEADER_LEN>().ok_or(KeptError::Damaged)?;
    let word = |index: usize| u32::from_le_bytes(core::array::from_fn(|byte| header[4 * index + byte]));
    // What another version has behind it is unknown.
    if word(1) != VERSION {
        return Err(KeptError::Version { found: word(1) });
    }
    if !is_blank(record.get(MARK_AT..).unwrap_or_default()) {
        return Ok(None);
    }
    let (fingerprint, rest) = contents.split_first_chunk::<FINGERPRINT_LEN>().ok_or(KeptError::Damaged)?;
    let values = rest.get(..size_of::<FlatHead>()).ok_or(KeptError::Damaged)?;
    if *header != self::header(fingerprint, values) {
        return Err(KeptError::Damaged);
    }
    if fingerprint != model {
        return Err(KeptError::OtherModel);
    }
    let values: &[f32] = bytemuck::try_cast_slice(values).map_err(|_| KeptError::Damaged)?;
    let head: &FlatHead = values.try_into().map_err(|_| KeptError::Damaged)?;
    match first_out_of_range(head.iter().copied()) {
        Some(index) => Err(KeptError::OutOfRange(index as u32)),
        None => Ok(Some(head)),
    }
}

/// The header of a record.
fn header(fingerprint: &[u8; 32], values: &[u8]) -> Header {
    let mut header = [0; HEADER_LEN];
    header[4..8].copy_from_slice(&VERSION.to_le_bytes());
    header[12..].copy_from_slice(&MAGIC);
    let mut digest = CRC.digest();
    for piece in [&header[4..], fingerprint, values] {
        digest.update(piece);
    }
    header[..4].copy_from_slice(&digest.finalize().to_le_bytes());
    header
}

/// Keeps a head for the model with this fingerprint, unless it is kept already.
///
/// # Errors
/// If there is no room, or flash does not take it.
pub fn keep<F: ModelFlash>(flash: &mut F, model: &[u8; 32], head: &FlatHead) -> Result<(), Refusal> {
    if find(flash, model) == Ok(Some(head)) {
        return Ok(());
    }
    let at = free_place(flash)?;
    let values: &[u8] = bytemuck::cast_slice(head.as_slice());
    let header = header(model, values);
    let written = write_padded(flash, at + HEADER_LEN, model)
        .and_then(|()| write_padded(flash, at + VALUES_AT, values))
        .and_then(|()| write(flash, at, &header));
    written.map_err(|_| Refusal::Flash)
}

/// The first place behind which all is blank; after an erasure if there is none.
fn free_place<F: ModelFlash>(flash: &mut F) -> Result<usize, Refusal> {
    let blank = places(flash).rev().take_while(|&at| is_blank(record(flash, at))).last();
    if let Some(at) = blank {
        return Ok(at);
    }
    let len = flash.contents().len();
    let first = places(flash).next().filter(|_| F::ERASE_SIZE < len);
    let first = first.ok_or(Refusal::Learning(Fault::NoRoom))?;
    for block in (first..len).step_by(F::ERASE_SIZE) {
        erase_block_at(flash, block).map_err(|_| Refusal::Flash)?;
    }
    Ok(first)
}

/// Forgets every record, the newest last.
///
/// # Errors
/// If flash does not take the mark.
pub fn forget<F: ModelFlash>(flash: &mut F) -> Result<(), Refusal> {
    for at in places(flash) {
        let written = record(flash, at);
        if is_whole(written) && is_blank(written.get(MARK_AT..).unwrap_or_default()) {
            write(flash, at + MARK_AT, &[0; CHUNK_ALIGNMENT]).map_err(|_| Refusal::Flash)?;
        }
    }
    Ok(())
}
