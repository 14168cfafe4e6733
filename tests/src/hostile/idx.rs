//! IDX files, plain and packed.

use std::fmt::Debug;
use std::io::{Read, Write};

use cnn_core::network::{CLASSES, IMAGE_PIXELS, IMAGE_SIDE};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder};
use flate2::write::GzEncoder;
use flate2::{Compression, Crc};
use host_trainer::dataset::idx::{Fault, MAX_COUNT, is_gzip, parse_images, parse_labels};

use super::limited;
use super::script::Script;

/// More than any input of a target unpacks to, in bytes.
const MOST_UNPACKED: u64 = 32 << 20;

/// What a file is read as.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Images,
    Labels,
}

impl Kind {
    /// Odd numbers are labels.
    fn of(options: u8) -> Self {
        if options & 1 == 0 { Kind::Images } else { Kind::Labels }
    }

    /// Bytes of an item.
    fn item_len(self) -> usize {
        match self {
            Kind::Images => IMAGE_PIXELS,
            Kind::Labels => 1,
        }
    }

    /// The header of a file of `count` items.
    fn header(self, count: usize) -> Vec<u8> {
        let (count, side) = (count as u32, IMAGE_SIDE as u32);
        let words = match self {
            Kind::Images => vec![0x0803, count, side, side],
            Kind::Labels => vec![0x0801, count],
        };
        words.into_iter().flat_map(u32::to_be_bytes).collect()
    }

    /// The items of a file one after the other.
    fn parse(self, file: &[u8]) -> Result<Vec<u8>, Fault> {
        match self {
            Kind::Images => parse_images(file).map(|images| images.into_flattened()),
            Kind::Labels => parse_labels(file),
        }
    }
}

/// A plain file. Of the first byte, bit 0 tells images from labels, and bit 1 puts the header right.
pub fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let options = script.byte();
    let kind = Kind::of(options);
    let mut file = script.rest().to_vec();
    if options & 2 != 0 {
        put_header_right(kind, &mut file);
    }
    limited(|| check(kind, &file));
}

/// Overwrites the header with that of as many items as follow it.
fn put_header_right(kind: Kind, file: &mut Vec<u8>) {
    let header_len = kind.header(0).len();
    file.resize(file.len().max(header_len), 0);
    let count = (file.len() - header_len) / kind.item_len();
    file[..header_len].copy_from_slice(&kind.header(count));
}

/// What is read is what the file holds, all of it and nothing else.
fn check(kind: Kind, file: &[u8]) {
    match kind.parse(file) {
        Ok(items) => {
            let count = items.len() / kind.item_len();
            assert!((1..=MAX_COUNT as usize).contains(&count));
            assert!(matches!(kind, Kind::Images) || items.iter().all(|&label| usize::from(label) < CLASSES));
            let written = [kind.header(count), items].concat();
            if is_gzip(file) {
                assert_eq!(unpacked(file), written);
            } else {
                assert_eq!(file, written);
            }
        }
        Err(fault) => assert!(!matches!(fault, Fault::Open(_) | Fault::Read(_)), "{fault}"),
    }
}

fn unpacked(archive: &[u8]) -> Vec<u8> {
    let mut contents = Vec::new();
    MultiGzDecoder::new(archive).take(MOST_UNPACKED).read_to_end(&mut contents).expect("a whole archive was read");
    contents
}

/// A packed file. Of the first byte, bit 0 tells images from labels; the two bits above say how the archive is made:
///
/// - 0: of the bytes as they are, behind the two that mark an archive;
/// - 1: of bytes that a deflate stream starts, between a header and the checksum of what they unpack to;
/// - 2 and 3: by packing a file, whose header 3 puts right, in members as long as the next byte says; what is read then
///   must be what is read of the file.
pub fn run_packed(input: &[u8]) {
    let mut script = Script::new(input);
    let options = script.byte();
    let kind = Kind::of(options);
    match options >> 1 & 3 {
        0 => {
            let archive = [&[0x1f, 0x8b], script.rest()].concat();
            limited(|| check(kind, &archive));
        }
        1 => {
            let archive = sealed(script.rest());
            limited(|| check(kind, &archive));
        }
        way => {
            let (level, member_len) = (options >> 3, 64 * (usize::from(script.byte()) + 1));
            let mut file = script.rest().to_vec();
            if way == 3 {
                put_header_right(kind, &mut file);
            }
            let archive: Vec<u8> = file.chunks(member_len).flat_map(|part| packed(part, level)).collect();
            limited(|| {
                check(kind, &archive);
                assert_same(kind, &archive, &file);
            });
        }
    }
}

/// An archive of a deflate stream, with the checksum and the length of its contents as far as they are whole.
fn sealed(deflated: &[u8]) -> Vec<u8> {
    let mut decoder = DeflateDecoder::new(deflated);
    let mut contents = Vec::new();
    let _ = decoder.by_ref().take(MOST_UNPACKED).read_to_end(&mut contents);
    let (stream, rest) = deflated.split_at(decoder.total_in() as usize);
    let mut checksum = Crc::new();
    checksum.update(&contents);
    // RFC 1952: deflate, no flags, no time, unknown system.
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    [&header[..], stream, &checksum.sum().to_le_bytes(), &checksum.amount().to_le_bytes(), rest].concat()
}

fn packed(contents: &[u8], level: u8) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(u32::from(level) % 10));
    encoder.write_all(contents).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// An archive without members is an empty file; a file that looks like an archive is read as one.
fn assert_same(kind: Kind, archive: &[u8], file: &[u8]) {
    let packed: Result<_, String> = kind.parse(archive).map_err(|fault| fault.to_string());
    let plain: Result<_, String> = kind.parse(file).map_err(|fault| fault.to_string());
    match (&packed, &plain) {
        (Ok(packed), Ok(plain)) => assert_eq!(packed, plain),
        (Err(_), Err(_)) => {}
        _ if is_gzip(file) => {}
        _ => panic!("packed: {:?}\nplain: {:?}", brief(&packed), brief(&plain)),
    }
}

fn brief<T, E: Debug>(result: &Result<T, E>) -> Result<(), &E> {
    result.as_ref().map(|_| ())
}

/// Files of both kinds, right and wrong.
pub fn seeds() -> Vec<Vec<u8>> {
    let images = [Kind::Images.header(2), (0..2 * IMAGE_PIXELS).map(|i| (i * 7) as u8).collect()].concat();
    let labels = [Kind::Labels.header(10), (0..10).collect()].concat();
    let mut lying = images.clone();
    lying[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    vec![
        [&[0], &images[..]].concat(),
        [&[1], &labels[..]].concat(),
        [&[2], &images[..900]].concat(),
        [&[3], &labels[..]].concat(),
        [&[0], &lying[..]].concat(),
        [&[0], &packed(&images, 6)[..]].concat(),
        [&[1], &packed(&labels, 6)[..]].concat(),
    ]
}

/// Archives of both kinds, right and wrong.
pub fn packed_seeds() -> Vec<Vec<u8>> {
    let images = [Kind::Images.header(1), vec![9; IMAGE_PIXELS]].concat();
    let labels = [Kind::Labels.header(10), (0..10).collect()].concat();
    let mut promising = images.clone();
    promising[4..8].copy_from_slice(&MAX_COUNT.to_be_bytes());
    let deflated = |contents: &[u8]| {
        let archive = packed(contents, 9);
        archive[10..archive.len() - 8].to_vec()
    };
    vec![
        [&[0], &packed(&images, 9)[2..]].concat(),
        [&[1], &packed(&labels, 9)[2..]].concat(),
        [&[2], &deflated(&images)[..]].concat(),
        [&[3], &deflated(&labels)[..]].concat(),
        [&[2], &deflated(&promising)[..]].concat(),
        [&[4 | 6 << 3, 0], &images[..]].concat(),
        [&[5 | 9 << 3, 255], &labels[..]].concat(),
        [&[6, 3], &images[..]].concat(),
        [&[7 | 1 << 3, 255], &labels[..]].concat(),
        [&[2], &deflated(&[0; 1 << 20])[..]].concat(),
    ]
}
