//! Archives of arrays, as Keras distributes MNIST.

use std::io::Read;

use cnn_core::network::{CLASSES, IMAGE_PIXELS};
use cnn_train::dataset::Split;
use flate2::bufread::{DeflateDecoder, DeflateEncoder};
use flate2::{Compression, Crc};
use host_trainer::dataset::idx::{Fault, MAX_COUNT};
use host_trainer::dataset::npz::parse;

use super::limited;
use super::script::Script;

/// More than any input of this target unpacks to, in bytes.
const MOST_UNPACKED: u64 = 32 << 20;

/// Of the first byte, bit 0 tells the splits apart, and the two bits above say how the archive is made:
///
/// - 0: it is the rest of the input;
/// - 1: of two arrays, images and labels, whose bytes follow their lengths; their checksums are right;
/// - 2: of two good arrays whose headers are damaged as the rest says;
/// - 3: it is a good archive, damaged as the rest says.
///
/// Bit 3 has the arrays said to be packed, so that the bytes are read as a deflate stream.
pub fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let options = script.byte();
    let (split, names) = match options & 1 {
        0 => (Split::Train, ["x_train.npy", "y_train.npy"]),
        _ => (Split::Test, ["x_test.npy", "y_test.npy"]),
    };
    let packed = options & 8 != 0;
    let [images, labels] = good();
    match options >> 1 & 3 {
        0 => limited(|| check(script.rest(), split, None)),
        1 => {
            let len = usize::from(script.u16());
            let arrays = [script.take(len), script.rest()];
            let archive = zip([(names[0], arrays[0]), (names[1], arrays[1])], packed);
            limited(|| check(&archive, split, (!packed).then_some(arrays)));
        }
        2 => {
            let (mut images, mut labels) = (images, labels);
            let len = usize::from(script.byte());
            Script::new(script.take(len)).damage(&mut images);
            script.damage(&mut labels);
            let archive = zip([(names[0], &images), (names[1], &labels)], false);
            limited(|| check(&archive, split, Some([&images, &labels])));
        }
        _ => {
            let mut archive = zip([(names[0], &images), (names[1], &labels)], false);
            script.damage(&mut archive);
            limited(|| check(&archive, split, None));
        }
    }
}

/// What is read keeps the limits of a data set, and is what the arrays hold where these are known.
fn check(archive: &[u8], split: Split, arrays: Option<[&[u8]; 2]>) {
    match parse(archive, split) {
        Ok((images, labels)) => {
            for count in [images.len(), labels.len()] {
                assert!((1..=MAX_COUNT as usize).contains(&count));
            }
            assert!(labels.iter().all(|&label| usize::from(label) < CLASSES));
            if let Some([images_array, labels_array]) = arrays {
                assert!(images_array.ends_with(images.as_flattened()));
                // A label may be of up to eight bytes, of which the others are zero. They follow a header whose length
                // two or, since version 2, four bytes say.
                let len = match labels_array[6] {
                    1 => 10 + usize::from(u16::from_le_bytes([labels_array[8], labels_array[9]])),
                    _ => 12 + u32::from_le_bytes(labels_array[8..12].try_into().expect("four bytes")) as usize,
                };
                let values = &labels_array[len..];
                let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
                assert!(sum(values) <= sum(&labels) && labels.len() <= labels_array.len());
            }
        }
        Err(fault) => assert!(!matches!(fault, Fault::Open(_) | Fault::Read(_)), "{fault}"),
    }
}

/// Two images and their labels, as NumPy writes them.
fn good() -> [Vec<u8>; 2] {
    let array = |shape: &str, values: &[u8]| {
        let text = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape}), }}\n");
        [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), values].concat()
    };
    let pixels: Vec<u8> = (0..2 * IMAGE_PIXELS).map(|place| (place * 7) as u8).collect();
    [array("2, 28, 28", &pixels), array("2,", &[3, 1])]
}

/// A zip archive (PKWARE's APPNOTE, sections 4.3.7 to 4.3.16) of entries that are stored, or said to be packed.
fn zip(entries: [(&str, &[u8]); 2], packed: bool) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, contents) in entries {
        let mut unpacked = contents.to_vec();
        if packed {
            unpacked.clear();
            // As far as it is one.
            let _ = DeflateDecoder::new(contents).take(MOST_UNPACKED).read_to_end(&mut unpacked);
        }
        let mut checksum = Crc::new();
        checksum.update(&unpacked);
        let mut fields = [20_u16, 0, if packed { 8 } else { 0 }, 0, 0x21].map(u16::to_le_bytes).concat();
        for word in [checksum.sum(), contents.len() as u32, unpacked.len() as u32] {
            fields.extend(word.to_le_bytes());
        }
        fields.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
        directory
            .extend([b"PK\x01\x02\x14\x00", &fields[..], &[0; 10], &(archive.len() as u32).to_le_bytes()].concat());
        directory.extend(name.bytes());
        archive.extend([b"PK\x03\x04", &fields[..], name.as_bytes(), contents].concat());
    }
    let mut end = b"PK\x05\x06\0\0\0\0\x02\0\x02\0".to_vec();
    end.extend([directory.len() as u32, archive.len() as u32].map(u32::to_le_bytes).concat());
    end.extend([0; 2]);
    [archive, directory, end].concat()
}

fn deflated(contents: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    DeflateEncoder::new(contents, Compression::best()).read_to_end(&mut packed).expect("memory is read to its end");
    packed
}

/// Every way to make an archive, good and bad.
pub fn seeds() -> Vec<Vec<u8>> {
    let [images, labels] = good();
    let len = (images.len() as u16).to_le_bytes();
    let promising = String::from_utf8_lossy(&labels).replace("2,", "9,").into_bytes();
    let huge = b"\x93NUMPY\x02\x00\xff\xff\xff\xff";
    let whole = zip([("x_train.npy", &images), ("y_train.npy", &labels)], false);
    vec![
        [&[0], &whole[..]].concat(),
        [&[2], &len[..], &images, &labels].concat(),
        [&[3], &len[..], &images, &labels].concat(),
        [&[2], &len[..], &images, &promising].concat(),
        [&[2], &(huge.len() as u16).to_le_bytes()[..], huge, &labels].concat(),
        [&[10], &len[..], &images, &labels].concat(),
        [&[10], &(deflated(&images).len() as u16).to_le_bytes()[..], &deflated(&images), &deflated(&labels)].concat(),
        vec![4],
        vec![5, 6, 0, 50, 1, 4, 51, 60],
        vec![6],
        vec![7, 0, 100, 6, 20],
    ]
}
