//! Keras' `mnist.npz` and its like: a zip archive of four arrays in NumPy's format, `x_train` and `x_test` with the
//! images, `y_train` and `y_test` with the labels. The format of an array is described at
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>: ten bytes or twelve, then a Python
//! dictionary in one line of text, then the values.
//!
//! As with IDX files, memory is reserved only once an array is long enough for what it promises.

use std::io::Read;

use cnn_core::image::Pixels;
use cnn_core::network::{CLASSES, IMAGE_PIXELS, IMAGE_SIDE};
use cnn_train::dataset::Split;
use flate2::bufread::DeflateDecoder;
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveEntryWayfinder, ZipSliceArchive};

pub use super::fault::ArchiveFault as Fault;
use super::fault::{self, MAX_ENTRIES};
use super::idx::{Contents, LARGEST_DEFLATE_RATIO, MAX_COUNT};

/// The longest archive that is read, in bytes: unpacked, MNIST has 55 MB.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// The longest description of an array, in bytes; NumPy reads no longer one either.
const MAX_HEADER: usize = 10_000;
/// Labels are below it.
const CLASS_COUNT: i64 = CLASSES as i64;
/// The first bytes of an array.
const MAGIC: [u8; 6] = *b"\x93NUMPY";

/// The images and labels of a split. There may be more of one than of the other.
///
/// # Errors
/// If the bytes are not an archive with two such arrays.
pub fn parse(file: &[u8], split: Split) -> Result<(Vec<Pixels>, Vec<u8>), fault::Fault> {
    let archive = ZipArchive::from_slice(file).map_err(Fault::Archive)?;
    let [images, labels] = match split {
        Split::Train => ["x_train", "y_train"],
        Split::Test => ["x_test", "y_test"],
    };
    Ok((parse_images(&archive, images)?, parse_labels(&archive, labels)?))
}

fn parse_images(archive: &ZipSliceArchive<&[u8]>, name: &'static str) -> Result<Vec<Pixels>, fault::Fault> {
    let mut array = Array::open(archive, name)?;
    let side = IMAGE_SIDE as u64;
    match *array.shape {
        [count, rows, columns] | [count, rows, columns, 1] if array.kind == "|u1" => {
            if [rows, columns] != [side; 2] {
                let [rows, columns] = [rows, columns].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
                return Err(fault::Fault::Dimensions { rows, columns });
            }
            let (count, expected) = array.promised(count, IMAGE_PIXELS)?;
            array.contents.items(count, expected)
        }
        _ => Err(array.unexpected("(count, 28, 28) of |u1").into()),
    }
}

fn parse_labels(archive: &ZipSliceArchive<&[u8]>, name: &'static str) -> Result<Vec<u8>, fault::Fault> {
    let mut array = Array::open(archive, name)?;
    let (&[count] | &[count, 1], Some(integer)) = (&*array.shape, Integer::named(&array.kind)) else {
        return Err(array.unexpected("(count,) of whole numbers").into());
    };
    let (count, expected) = array.promised(count, integer.len)?;
    let contents = &mut array.contents;
    match integer.len {
        1 => integer.labels(&contents.items::<1>(count, expected)?),
        2 => integer.labels(&contents.items::<2>(count, expected)?),
        4 => integer.labels(&contents.items::<4>(count, expected)?),
        _ => integer.labels(&contents.items::<8>(count, expected)?),
    }
}

/// An array whose values come next.
struct Array<'a> {
    name: &'static str,
    /// The type of its values.
    kind: String,
    shape: Vec<u64>,
    contents: Contents<'a>,
    /// The most bytes that it can be, header and values.
    available: u64,
}

impl<'a> Array<'a> {
    fn open(archive: &'a ZipSliceArchive<&[u8]>, name: &'static str) -> Result<Self, fault::Fault> {
        let (place, method) = find(archive, name)?;
        let entry = archive.get_entry(place).map_err(Fault::Archive)?;
        let packed = entry.data();
        let length = packed.len() as u64;
        let (reader, available): (Box<dyn Read + 'a>, u64) = match method {
            CompressionMethod::STORE => (Box::new(entry.verifying_reader(packed)), length),
            CompressionMethod::DEFLATE => {
                let reader = entry.verifying_reader(DeflateDecoder::new(packed));
                (Box::new(reader), length.saturating_mul(LARGEST_DEFLATE_RATIO))
            }
            other => return Err(Fault::Method { name, method: other.as_u16() }.into()),
        };
        let mut contents = Contents::new(reader, |cause| Fault::Damaged(cause).into());
        let (kind, shape) = header(&mut contents, name)?;
        Ok(Self { name, kind, shape, contents, available })
    }

    /// The count, and how many bytes the array has if it holds so many items.
    fn promised(&self, count: u64, item_len: usize) -> Result<(usize, u64), fault::Fault> {
        match count {
            0 => return Err(fault::Fault::Empty),
            count if count > MAX_COUNT.into() => {
                return Err(fault::Fault::TooMany { count: u32::try_from(count).unwrap_or(u32::MAX) });
            }
            _ => {}
        }
        let expected = self.contents.position() + count * item_len as u64;
        if expected > self.available {
            return Err(fault::Fault::Truncated { expected, available: self.available });
        }
        Ok((count as usize, expected))
    }

    fn unexpected(self, expected: &'static str) -> Fault {
        let shape = self.shape.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        Fault::Kind { name: self.name, shape, kind: self.kind, expected }
    }
}

/// The one entry `name.npy` of an archive.
fn find(
    archive: &ZipSliceArchive<&[u8]>,
    name: &'static str,
) -> Result<(ZipArchiveEntryWayfinder, CompressionMethod), Fault> {
    let mut entries = archive.entries();
    let mut found = Vec::new();
    for seen in 0.. {
        let Some(entry) = entries.next_entry().map_err(Fault::Archive)? else { break };
        if seen == MAX_ENTRIES {
            return Err(Fault::Entries);
        }
        if entry.file_path().as_bytes().strip_suffix(b".npy") == Some(name.as_bytes()) {
            found.push((entry.wayfinder(), entry.compression_method()));
        }
    }
    match *found {
        [only] => Ok(only),
        _ => Err(Fault::Arrays { name, count: found.len() }),
    }
}

/// The type of an array's values and its shape.
fn header(contents: &mut Contents<'_>, name: &'static str) -> Result<(String, Vec<u64>), fault::Fault> {
    let wrong = || Fault::Header { name };
    let mut start = [0; MAGIC.len()];
    contents.fill(&mut start, 10)?;
    let mut version_and_length = [0; 4];
    contents.fill(&mut version_and_length, 10)?;
    let [major, _minor, low, high] = version_and_length;
    let mut length = usize::from(u16::from_le_bytes([low, high]));
    if start != MAGIC || !(1..=3).contains(&major) {
        return Err(wrong().into());
    }
    if major > 1 {
        let mut upper = [0; 2];
        contents.fill(&mut upper, 12)?;
        length |= usize::from(u16::from_le_bytes(upper)) << 16;
    }
    if length > MAX_HEADER {
        return Err(wrong().into());
    }
    let mut text = vec![0; length];
    contents.fill(&mut text, contents.position() + length as u64)?;
    text.retain(|byte| !byte.is_ascii_whitespace());
    let text = String::from_utf8(text).map_err(|_| wrong())?;
    Ok(described(&text).ok_or_else(wrong)?)
}

/// What NumPy writes of an array in C's order, without the spaces: `{'descr':'|u1','fortran_order':False,'shape':(3,),}`.
fn described(text: &str) -> Option<(String, Vec<u64>)> {
    let (kind, text) = text.strip_prefix("{'descr':'")?.split_once("','fortran_order':False,'shape':(")?;
    let shape = text.strip_suffix('}')?.trim_end_matches(',').strip_suffix(')')?;
    let shape = shape.strip_suffix(',').unwrap_or(shape);
    Some((kind.into(), shape.split(',').map(|side| side.parse().ok()).collect::<Option<_>>()?))
}

/// How whole numbers are written.
#[derive(Debug, Clone, Copy)]
struct Integer {
    little_endian: bool,
    signed: bool,
    /// Bytes of a number.
    len: usize,
}

impl Integer {
    fn named(kind: &str) -> Option<Self> {
        let &[order, sign, len] = kind.as_bytes() else { return None };
        let len = usize::from(len.checked_sub(b'0')?);
        let known = matches!(sign, b'i' | b'u') && matches!(len, 1 | 2 | 4 | 8);
        let ordered = matches!(order, b'<' | b'>') || (order == b'|' && len == 1);
        (known && ordered).then_some(Self { little_endian: order != b'>', signed: sign == b'i', len })
    }

    /// The labels, if there is a class for each.
    fn labels<const N: usize>(self, items: &[[u8; N]]) -> Result<Vec<u8>, fault::Fault> {
        let label = |(index, &bytes)| match self.value(bytes) {
            label @ 0..CLASS_COUNT => Ok(label as u8),
            label => Err(fault::Fault::Label { index, label }),
        };
        items.iter().enumerate().map(label).collect()
    }

    /// A number; one above those of an `i64` becomes the largest of these.
    fn value<const N: usize>(self, mut bytes: [u8; N]) -> i64 {
        if !self.little_endian {
            bytes.reverse();
        }
        let mut wide = [if self.signed && bytes[N - 1] >= 0x80 { 0xff } else { 0 }; 8];
        wide[..N].copy_from_slice(&bytes);
        if self.signed { i64::from_le_bytes(wide) } else { u64::from_le_bytes(wide).try_into().unwrap_or(i64::MAX) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use rawzip::ZipArchiveWriter;

    use super::*;

    /// An array as NumPy writes it.
    fn array(kind: &str, shape: &str, values: &[u8]) -> Vec<u8> {
        let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
        while !(10 + text.len() + 1).is_multiple_of(64) {
            text.push(' ');
        }
        text.push('\n');
        [&MAGIC[..], &[1, 0], &(text.len() as u16).to_le_bytes(), text.as_bytes(), values].concat()
    }

    /// An archive of these entries, packed or not.
    fn zip(entries: &[(&str, Vec<u8>)], packed: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut archive = ZipArchiveWriter::new(&mut bytes);
        for (name, contents) in entries {
            let method = if packed { CompressionMethod::DEFLATE } else { CompressionMethod::STORE };
            let (mut entry, config) = archive.new_file(name).compression_method(method).start().unwrap();
            let descriptor = if packed {
                let mut writer = config.wrap(DeflateEncoder::new(&mut entry, Compression::fast()));
                writer.write_all(contents).unwrap();
                let (encoder, descriptor) = writer.finish().unwrap();
                encoder.finish().unwrap();
                descriptor
            } else {
                let mut writer = config.wrap(&mut entry);
                writer.write_all(contents).unwrap();
                writer.finish().unwrap().1
            };
            entry.finish(descriptor).unwrap();
        }
        archive.finish().unwrap();
        bytes
    }

    fn images(count: usize) -> Vec<u8> {
        (0..count * IMAGE_PIXELS).map(|place| (place * 7) as u8).collect()
    }

    /// The four arrays of Keras, with so many images.
    fn arrays(train: usize, test: usize) -> [(&'static str, Vec<u8>); 4] {
        [
            ("x_test.npy", array("|u1", &format!("{test}, 28, 28"), &images(test))),
            ("x_train.npy", array("|u1", &format!("{train}, 28, 28"), &images(train))),
            ("y_train.npy", array("|u1", &format!("{train},"), &vec![3; train])),
            ("y_test.npy", array("|u1", &format!("{test},"), &vec![4; test])),
        ]
    }

    /// Keras' archive with so many images.
    pub fn archive(train: usize, test: usize) -> Vec<u8> {
        zip(&arrays(train, test), true)
    }

    /// The arrays with one that is another.
    fn with(name: &str, contents: Vec<u8>) -> Vec<(&'static str, Vec<u8>)> {
        let mut arrays = arrays(2, 1).to_vec();
        arrays.iter_mut().find(|array| array.0 == name).unwrap().1 = contents;
        arrays
    }

    fn fault(entries: &[(&str, Vec<u8>)]) -> fault::Fault {
        let faults = [true, false].map(|packed| parse(&zip(entries, packed), Split::Train).unwrap_err());
        assert_eq!(std::mem::discriminant(&faults[0]), std::mem::discriminant(&faults[1]));
        faults.into_iter().next().unwrap()
    }

    #[test]
    fn stored_and_packed_arrays_hold_the_same() {
        for packed in [true, false] {
            let file = zip(&arrays(3, 2), packed);
            let (train, labels) = parse(&file, Split::Train).unwrap();
            assert_eq!((train.as_flattened(), labels), (&images(3)[..], vec![3; 3]));
            let (test, labels) = parse(&file, Split::Test).unwrap();
            assert_eq!((test.as_flattened(), labels), (&images(2)[..], vec![4; 2]));
        }
    }

    /// Written by NumPy 2.4.6: `savez_compressed` with labels of bytes, and `savez` with labels of its usual type.
    #[test]
    fn what_numpy_writes_is_read() {
        for file in [&include_bytes!("arrays/packed.npz")[..], include_bytes!("arrays/plain.npz")] {
            let (train, labels) = parse(file, Split::Train).unwrap();
            assert_eq!((train.len(), labels), (2, vec![5, 0]));
            // Every seventh row has ink: the bytes count from 0 to 250 over all images.
            let pixel = |place: usize| if (place % 784 / 28).is_multiple_of(7) { (place % 251) as u8 } else { 0 };
            assert!(train.as_flattened().iter().enumerate().all(|(place, &byte)| byte == pixel(place)));
            assert_eq!(parse(file, Split::Test).unwrap().1, [7]);
        }
    }

    #[test]
    fn labels_may_be_whole_numbers_of_any_width_and_order() {
        let numbers: [(&str, &[u8]); 6] = [
            ("|i1", &[7, 0]),
            ("<u2", &[7, 0, 0, 0]),
            (">i4", &[0, 0, 0, 7, 0, 0, 0, 0]),
            ("<i8", &[7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            (">u8", &[0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]),
            ("|u1", &[7, 0]),
        ];
        for (kind, values) in numbers {
            for shape in ["2,", "2, 1"] {
                let file = zip(&with("y_train.npy", array(kind, shape, values)), true);
                assert_eq!(parse(&file, Split::Train).unwrap().1, [7, 0], "{kind}");
            }
        }
        for (kind, values, found) in [
            ("|u1", &[0, 26][..], 26),
            ("|i1", &[0, 0xff], -1),
            ("<i2", &[0, 0, 10, 1], 266),
            (">u8", &[0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0], i64::MAX),
        ] {
            let fault = fault(&with("y_train.npy", array(kind, "2,", values)));
            assert!(matches!(fault, fault::Fault::Label { index: 1, label } if label == found), "{fault}");
        }
    }

    #[test]
    fn other_arrays_are_refused_by_what_they_are() {
        let cases = [
            (
                "x_train.npy",
                array("<f4", "2, 28, 28", &[0; 6272]),
                "x_train with the shape (2, 28, 28) and the type <f4",
            ),
            ("x_train.npy", array("|u1", "2, 784", &[0; 1568]), "the shape (2, 784)"),
            ("x_train.npy", array("|u1", "2, 32, 28", &[0; 1792]), "images of 32×28 pixels"),
            ("x_train.npy", array("|u1", "0, 28, 28", &[]), "promises 0 items"),
            ("x_train.npy", array("|u1", "1000001, 28, 28", &[]), "promises 1000001 items"),
            ("x_train.npy", array("|u1", "1000000, 28, 28", &[]), "is cut"),
            ("x_train.npy", array("|u1", "2, 28, 28", &[0; 1567]), "is cut"),
            ("x_train.npy", array("|u1", "2, 28, 28", &[0; 1569]), "is too long"),
            ("x_train.npy", array("|u1", "99999999999999999999, 28, 28", &[]), "not an array as NumPy writes it"),
            ("x_train.npy", b"\x93NUMPY\x04\x00\x00\x00".to_vec(), "not an array as NumPy writes it"),
            ("x_train.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), "not an array as NumPy writes it"),
            ("x_train.npy", Vec::new(), "is cut"),
            ("y_train.npy", array("<f8", "2,", &[0; 16]), "(count,) of whole numbers"),
            ("y_train.npy", array("|O", "2,", &[0; 16]), "(count,) of whole numbers"),
        ];
        for (name, contents, words) in cases {
            let message = fault(&with(name, contents)).to_string();
            assert!(message.contains(words), "{words}: {message}");
        }
        let fortran = String::from_utf8_lossy(&array("|u1", "2, 28, 28", b"")).replace("False", "True ").into_bytes();
        assert!(fault(&with("x_train.npy", fortran)).to_string().contains("x_train"));
        let message = fault(&[("x_train.npy", array("|u1", "1, 28, 28", &images(1)))]).to_string();
        assert!(message.contains("holds 0 arrays y_train"), "{message}");
        let twice = [&arrays(1, 1)[..], &arrays(1, 1)].concat();
        assert!(fault(&twice).to_string().contains("holds 2 arrays x_train"));
        let many: Vec<_> = (0..=MAX_ENTRIES).map(|_| ("x", Vec::new())).collect();
        assert!(matches!(fault(&many), fault::Fault::Npz(Fault::Entries)));
    }

    #[test]
    fn no_cut_and_no_altered_byte_goes_unseen() {
        let file = archive(2, 1);
        let good = parse(&file, Split::Train).unwrap();
        for length in 0..file.len() {
            assert!(parse(&file[..length], Split::Train).is_err(), "{length}");
        }
        for index in 0..file.len() {
            let mut altered = file.clone();
            altered[index] ^= 0x10;
            // Bytes of the test arrays, times and versions say nothing of the training arrays.
            if let Ok(read) = parse(&altered, Split::Train) {
                assert!(read == good, "byte {index}");
            }
        }
    }
}
