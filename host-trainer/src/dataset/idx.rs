//! The IDX format, in which MNIST is distributed: a big-endian header, then the bytes in raster order. The definition
//! is at the end of <http://yann.lecun.com/exdb/mnist/>.
//!
//! | file   | header, as big-endian u32          | then                           |
//! |--------|------------------------------------|--------------------------------|
//! | images | `0x00000803`, count, rows, columns | count · rows · columns pixels  |
//! | labels | `0x00000801`, count                | count labels                   |
//!
//! Readers take either file as it is or packed with gzip (in one member or several), told apart by the first two bytes.
//! They are strict: nothing may be missing or follow, and one contents has one file. No header is trusted with memory:
//! space for the contents is reserved only once the file is known to be long enough for them, and beyond 48 MB only as
//! fast as they come.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use cnn_core::image::Pixels;
use cnn_core::network::CLASSES;
use cnn_train::dataset::digest::{IMAGE_DIMENSIONS, IMAGES_MAGIC, LABELS_MAGIC};
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

pub use super::fault::{Fault, MAX_COUNT};
use crate::files::read;

/// First bytes of a gzip member (RFC 1952, section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// No deflate stream unpacks to more than 1032 times its length (<https://zlib.net/zlib_tech.html>).
pub(super) const LARGEST_DEFLATE_RATIO: u64 = 1032;

/// Memory that is reserved before as much was read, in bytes: all of MNIST's training images.
const RESERVED_AHEAD: usize = 48 << 20;

/// Reads a file of 28×28 images.
///
/// # Errors
/// If the file cannot be read or is not exactly a file of at least one such image.
pub fn read_images(path: &Path) -> Result<Vec<Pixels>, Fault> {
    let (file, length) = open(path)?;
    parse(file, length, IMAGES_MAGIC, &IMAGE_DIMENSIONS)
}

/// Reads a file of labels from 0 to 9.
///
/// # Errors
/// If the file cannot be read or is not exactly a file of at least one label.
pub fn read_labels(path: &Path) -> Result<Vec<u8>, Fault> {
    let (file, length) = open(path)?;
    checked_labels(parse(file, length, LABELS_MAGIC, &[])?)
}

/// [`read_images`] of the bytes of a file.
///
/// # Errors
/// If they are not exactly a file of at least one 28×28 image.
pub fn parse_images(file: &[u8]) -> Result<Vec<Pixels>, Fault> {
    parse(file, file.len() as u64, IMAGES_MAGIC, &IMAGE_DIMENSIONS)
}

/// [`read_labels`] of the bytes of a file.
///
/// # Errors
/// If they are not exactly a file of at least one label from 0 to 9.
pub fn parse_labels(file: &[u8]) -> Result<Vec<u8>, Fault> {
    checked_labels(parse(file, file.len() as u64, LABELS_MAGIC, &[])?)
}

/// Whether these are the first bytes of a gzip archive.
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&GZIP_MAGIC)
}

fn open(path: &Path) -> Result<(BufReader<File>, u64), Fault> {
    let (file, length) = read::open(path).map_err(Fault::Open)?;
    Ok((BufReader::with_capacity(1 << 16, file), length))
}

/// The labels, if there is a class for each.
fn checked_labels(labels: Vec<[u8; 1]>) -> Result<Vec<u8>, Fault> {
    let labels = labels.into_flattened();
    match labels.iter().position(|&label| usize::from(label) >= CLASSES) {
        Some(index) => Err(Fault::Label { index, label: labels[index].into() }),
        None => Ok(labels),
    }
}

/// The items, of `N` bytes each, of a file that is `length` bytes long, packed or not.
fn parse<const N: usize>(
    file: impl BufRead,
    length: u64,
    magic: u32,
    dimensions: &[u32],
) -> Result<Vec<[u8; N]>, Fault> {
    let (mut contents, available) = contents(file, length)?;
    let count = contents.count(magic, dimensions)?;
    let expected = contents.position + u64::from(count) * N as u64;
    if expected > available {
        return Err(Fault::Truncated { expected, available });
    }
    contents.items(count as usize, expected)
}

/// What is in a file that is `length` bytes long, packed or not, and the most bytes that this can be.
fn contents<'a>(mut file: impl BufRead + 'a, length: u64) -> Result<(Contents<'a>, u64), Fault> {
    if is_gzip(file.fill_buf().map_err(Fault::Read)?) {
        let reader = MultiGzDecoder::new(file);
        Ok((Contents::new(reader, Fault::Gzip), length.saturating_mul(LARGEST_DEFLATE_RATIO)))
    } else {
        Ok((Contents::new(file, Fault::Read), length))
    }
}

/// SHA-256 of what is in a file that must unpack to exactly `length` bytes and start with the word `magic`. No more is
/// unpacked than that, and nothing of it is kept.
///
/// # Errors
/// If it holds anything else.
pub(super) fn contents_sha256(file: &[u8], magic: u32, length: u64) -> Result<[u8; 32], Fault> {
    let (mut contents, _) = contents(file, file.len() as u64)?;
    let found = contents.word(length)?;
    if found != magic {
        return Err(Fault::Magic { expected: magic, found });
    }
    let mut hash = Sha256::new().chain_update(found.to_be_bytes());
    let mut buffer = [0; 1 << 14];
    loop {
        match contents.read(&mut buffer)? {
            0 if contents.position < length => {
                return Err(Fault::Truncated { expected: length, available: contents.position });
            }
            0 => return Ok(hash.finalize().into()),
            _ if contents.position > length => return Err(Fault::TooLong { expected: length }),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// The unpacked contents while they are read.
pub(super) struct Contents<'a> {
    reader: Box<dyn Read + 'a>,
    /// Bytes read so far.
    position: u64,
    /// What a failure is that is not the system's.
    damaged: fn(io::Error) -> Fault,
}

impl<'a> Contents<'a> {
    /// Contents of which nothing was read; `damaged` says what a failure of unpacking is.
    pub(super) fn new(reader: impl Read + 'a, damaged: fn(io::Error) -> Fault) -> Self {
        Self { reader: Box::new(reader), position: 0, damaged }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Reads the header, checks it and gives the number of items.
    fn count(&mut self, magic: u32, dimensions: &[u32]) -> Result<u32, Fault> {
        let length = 4 * (2 + dimensions.len()) as u64;
        let found = self.word(length)?;
        if found != magic {
            return Err(Fault::Magic { expected: magic, found });
        }
        let count = self.word(length)?;
        let mut found = [0; 2];
        for word in &mut found[..dimensions.len()] {
            *word = self.word(length)?;
        }
        if found[..dimensions.len()] != *dimensions {
            return Err(Fault::Dimensions { rows: found[0], columns: found[1] });
        }
        match count {
            0 => Err(Fault::Empty),
            1..=MAX_COUNT => Ok(count),
            _ => Err(Fault::TooMany { count }),
        }
    }

    /// Reads the items and makes sure that nothing follows, which also checks the archive's last checksum.
    pub(super) fn items<const N: usize>(&mut self, count: usize, expected: u64) -> Result<Vec<[u8; N]>, Fault> {
        let mut items = Vec::new();
        while items.len() < count {
            let read = items.len();
            let more = (count - read).min(read.max(RESERVED_AHEAD / N));
            items.reserve_exact(more);
            items.resize(read + more, [0; N]);
            self.fill(items[read..].as_flattened_mut(), expected)?;
        }
        match self.read(&mut [0])? {
            0 => Ok(items),
            _ => Err(Fault::Trailing { expected }),
        }
    }

    fn word(&mut self, expected: u64) -> Result<u32, Fault> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes, expected)?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// Fills the buffer; `expected` is the length to tell if the contents end before.
    pub(super) fn fill(&mut self, buffer: &mut [u8], expected: u64) -> Result<(), Fault> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..])? {
                0 => return Err(Fault::Truncated { expected, available: self.position }),
                length => filled += length,
            }
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        loop {
            match self.reader.read(buffer) {
                Ok(length) => {
                    self.position += length as u64;
                    return Ok(length);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The system's errors have a number, the decoder's have none.
                Err(error) if error.raw_os_error().is_some() => return Err(Fault::Read(error)),
                Err(error) => return Err((self.damaged)(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use cnn_train::dataset::digest::{header, images_sha256, labels_sha256};
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::files::read::OpenError;

    /// A small file of images, its pixels all different from their neighbours.
    fn images_file(count: u32) -> Vec<u8> {
        let mut file = header(IMAGES_MAGIC, count as usize, &IMAGE_DIMENSIONS);
        file.extend((0..count * 784).map(|i| (i * 7) as u8));
        file
    }

    fn labels_file(labels: &[u8]) -> Vec<u8> {
        let mut file = header(LABELS_MAGIC, labels.len(), &[]);
        file.extend(labels);
        file
    }

    fn packed(contents: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(contents).unwrap();
        encoder.finish().unwrap()
    }

    fn with_word(mut file: Vec<u8>, index: usize, word: u32) -> Vec<u8> {
        file[4 * index..4 * index + 4].copy_from_slice(&word.to_be_bytes());
        file
    }

    #[test]
    fn a_file_holds_the_same_plain_packed_and_packed_in_pieces() {
        let file = images_file(3);
        let images = parse_images(&file).unwrap();
        assert_eq!(images.as_flattened(), &file[16..]);
        assert_eq!(parse_images(&packed(&file)).unwrap(), images);
        let pieces = [&file[..5], &file[5..5], &file[5..900], &file[900..]].map(packed).concat();
        assert_eq!(parse_images(&pieces).unwrap(), images);
        let labels = [0, 9, 5];
        assert_eq!(parse_labels(&labels_file(&labels)).unwrap(), labels);
        assert_eq!(parse_labels(&packed(&labels_file(&labels))).unwrap(), labels);
    }

    #[test]
    fn the_digest_is_that_of_the_unpacked_file() {
        let file = images_file(2);
        assert_eq!(images_sha256(&parse_images(&packed(&file)).unwrap())[..], Sha256::digest(&file)[..]);
        let file = labels_file(&[3, 1]);
        assert_eq!(labels_sha256(&[3, 1])[..], Sha256::digest(&file)[..]);
    }

    #[test]
    fn a_cut_file_is_cut_wherever_it_ends() {
        let file = images_file(2);
        for length in (0..20).chain([100, 16 + 784, file.len() - 1]) {
            let fault = parse_images(&file[..length]).unwrap_err();
            assert!(
                matches!(fault, Fault::Truncated { available, .. } if available == length as u64),
                "{length}: {fault}"
            );
            // The same in an archive that is itself whole.
            let fault = parse_images(&packed(&file[..length])).unwrap_err();
            assert!(matches!(fault, Fault::Truncated { .. }), "{length}: {fault}");
        }
        let file = labels_file(&[1; 30]);
        for length in 0..file.len() {
            assert!(matches!(parse_labels(&file[..length]), Err(Fault::Truncated { .. })), "{length}");
        }
    }

    #[test]
    fn a_cut_archive_is_damaged_wherever_it_ends() {
        let archive = packed(&images_file(2));
        assert!(parse_images(&archive).is_ok());
        for length in 2..archive.len() {
            let fault = parse_images(&archive[..length]).unwrap_err();
            // The length alone may tell that the contents cannot be whole.
            assert!(matches!(fault, Fault::Gzip(_) | Fault::Truncated { .. }), "{length}: {fault}");
        }
        let fault = parse_images(&archive[..archive.len() - 1]).unwrap_err();
        assert!(matches!(fault, Fault::Gzip(_)), "{fault}");
    }

    #[test]
    fn no_altered_byte_of_an_archive_alters_an_image() {
        let archive = packed(&images_file(2));
        let images = parse_images(&archive).unwrap();
        for index in 0..archive.len() {
            for bit in 0..8 {
                let mut altered = archive.clone();
                altered[index] ^= 1 << bit;
                match parse_images(&altered) {
                    // Some bits say nothing of the contents: the time in the header, the padding of the last byte.
                    Ok(parsed) => assert!(parsed == images, "byte {index}, bit {bit}"),
                    // Found by the archive's own checks or, where these come later, by those of the header.
                    Err(fault) => assert!(!matches!(fault, Fault::Open(_) | Fault::Read(_))),
                }
            }
        }
        let checksum = archive.len() - 8;
        for index in checksum..archive.len() {
            let mut altered = archive.clone();
            altered[index] ^= 1;
            assert!(matches!(parse_images(&altered), Err(Fault::Gzip(_))), "byte {index}");
        }
    }

    #[test]
    fn every_wrong_field_of_a_header_has_its_own_error() {
        for magic in [0, 0x0801, 0x0802, 0x0804, 0x0903, 0x0308_0000, u32::MAX] {
            let fault = parse_images(&with_word(images_file(1), 0, magic)).unwrap_err();
            assert!(matches!(fault, Fault::Magic { found, .. } if found == magic), "{fault}");
        }
        let fault = parse_labels(&images_file(1)).unwrap_err();
        assert!(matches!(fault, Fault::Magic { expected: LABELS_MAGIC, found: IMAGES_MAGIC }), "{fault}");
        for (index, size) in [(2, 0), (2, 27), (2, u32::MAX), (3, 29), (3, 28 << 24)] {
            let fault = parse_images(&with_word(images_file(1), index, size)).unwrap_err();
            assert!(
                matches!(fault, Fault::Dimensions { rows, columns } if [rows, columns][index - 2] == size),
                "{fault}"
            );
        }
        assert!(matches!(parse_images(&with_word(images_file(1), 1, 0)), Err(Fault::Empty)));
        assert!(matches!(parse_labels(&labels_file(&[])), Err(Fault::Empty)));
        let fault = parse_images(&with_word(images_file(2), 1, 3)).unwrap_err();
        assert!(matches!(fault, Fault::Truncated { expected: 2368, available: 1584 }), "{fault}");
        let fault = parse_images(&with_word(images_file(2), 1, 1)).unwrap_err();
        assert!(matches!(fault, Fault::Trailing { expected: 800 }), "{fault}");
    }

    #[test]
    fn a_byte_too_many_is_refused() {
        let file = images_file(1);
        let longer = [&file[..], &[0]].concat();
        assert!(matches!(parse_images(&longer), Err(Fault::Trailing { expected: 800 })));
        assert!(matches!(parse_images(&packed(&longer)), Err(Fault::Trailing { .. })));
        assert!(matches!(parse_images(&[packed(&file), packed(&[0])].concat()), Err(Fault::Trailing { .. })));
        assert!(matches!(parse_images(&[&packed(&file)[..], &[0]].concat()), Err(Fault::Gzip(_))));
        assert!(matches!(parse_labels(&[&labels_file(&[1])[..], &[1]].concat()), Err(Fault::Trailing { .. })));
    }

    #[test]
    fn a_label_above_nine_is_refused() {
        for label in [10, 255] {
            let fault = parse_labels(&labels_file(&[0, 9, label, 11])).unwrap_err();
            assert!(matches!(fault, Fault::Label { index: 2, label: found } if found == i64::from(label)), "{fault}");
        }
    }

    #[test]
    fn a_promise_reserves_no_memory() {
        for promise in [MAX_COUNT + 1, 4_000_000_000, u32::MAX] {
            let fault = parse_images(&with_word(images_file(1), 1, promise)).unwrap_err();
            assert!(matches!(fault, Fault::TooMany { count } if count == promise), "{fault}");
        }
        let promise = with_word(images_file(1), 1, MAX_COUNT);
        assert!(matches!(parse_images(&promise), Err(Fault::Truncated { available: 800, .. })));
        let archive = packed(&promise);
        let fault = parse_images(&archive).unwrap_err();
        let possible = archive.len() as u64 * LARGEST_DEFLATE_RATIO;
        assert!(matches!(fault, Fault::Truncated { available, .. } if available == possible), "{fault}");
    }

    #[test]
    fn an_archive_that_unpacks_without_end_is_read_no_further_than_its_promise() {
        let mut bomb = packed(&images_file(1));
        let zeros = packed(&vec![0; 1 << 24]);
        for _ in 0..1000 {
            bomb.extend(&zeros);
        }
        // Unpacked, this is 16 GB.
        assert!(matches!(parse_images(&bomb), Err(Fault::Trailing { expected: 800 })));
    }

    #[test]
    fn only_a_regular_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read_images(folder.path()), Err(Fault::Open(OpenError::NotAFile(_)))));
        assert!(matches!(read_images(&folder.path().join("missing")), Err(Fault::Open(_))));
        let path = folder.path().join("images");
        std::fs::write(&path, packed(&images_file(2))).unwrap();
        assert_eq!(read_images(&path).unwrap().len(), 2);
        assert!(matches!(read_labels(&path), Err(Fault::Magic { .. })));
        #[cfg(unix)]
        assert!(matches!(read_images(Path::new("/dev/zero")), Err(Fault::Open(OpenError::NotAFile(_)))));
    }
}
