//! IDX files in memory, unpacked, as strict as the program's reader (`host-trainer/src/dataset/idx.rs`): exactly a header
//! and the items that it promises.

use cnn_core::image::Pixels;
use cnn_core::network::{CLASSES, IMAGE_SIDE};
use cnn_train::dataset::digest::{IMAGE_DIMENSIONS, IMAGES_MAGIC, LABELS_MAGIC};

/// Images that a file may hold at most, as in the program.
pub const MAX_COUNT: u32 = 1_000_000;

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It begins as no IDX file of bytes does.
    #[error("is no IDX file of images or labels: it has to start with 0x00000803 or 0x00000801")]
    Magic,
    /// The images have another size.
    #[error("holds images of {rows}×{columns} pixels, but only {IMAGE_SIDE}×{IMAGE_SIDE} are supported")]
    Dimensions {
        /// Rows of an image.
        rows: u32,
        /// Columns of an image.
        columns: u32,
    },
    /// It holds nothing, or too much.
    #[error("promises {count} items, but 1 to {MAX_COUNT} are supported")]
    Count {
        /// The count in the header.
        count: u32,
    },
    /// It is shorter or longer than its header promises.
    #[error("has {found} bytes, but its header promises {expected}")]
    Length {
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that it has.
        found: usize,
    },
    /// A label is not a digit.
    #[error("holds the label {label} at index {index}, but labels are 0 to 9")]
    Label {
        /// Index of the first such label.
        index: usize,
        /// The label.
        label: u8,
    },
}

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Contents {
    /// Images.
    Images(Vec<Pixels>),
    /// Labels, each below 10.
    Labels(Vec<u8>),
}

/// Reads a file.
///
/// # Errors
/// If it is not exactly a file of at least one 28×28 image or label.
pub fn parse(file: &[u8]) -> Result<Contents, Fault> {
    let (words, _) = file.as_chunks();
    let word = |index: usize| words.get(index).copied().map(u32::from_be_bytes);
    match word(0) {
        Some(IMAGES_MAGIC) => {
            let dimensions = [2, 3].map(|index| word(index).unwrap_or(0));
            if dimensions != IMAGE_DIMENSIONS {
                return Err(Fault::Dimensions { rows: dimensions[0], columns: dimensions[1] });
            }
            Ok(Contents::Images(items(file, 16, word(1))?.to_vec()))
        }
        Some(LABELS_MAGIC) => {
            let labels = items::<1>(file, 8, word(1))?.as_flattened();
            match labels.iter().position(|&label| usize::from(label) >= CLASSES) {
                Some(index) => Err(Fault::Label { index, label: labels[index] }),
                None => Ok(Contents::Labels(labels.to_vec())),
            }
        }
        _ => Err(Fault::Magic),
    }
}

/// The items, of `N` bytes each, after the header.
fn items<const N: usize>(file: &[u8], header: usize, count: Option<u32>) -> Result<&[[u8; N]], Fault> {
    let count = count.unwrap_or(0);
    if count == 0 || count > MAX_COUNT {
        return Err(Fault::Count { count });
    }
    let expected = header as u64 + u64::from(count) * N as u64;
    if file.len() as u64 != expected {
        return Err(Fault::Length { expected, found: file.len() });
    }
    Ok(file[header..].as_chunks().0)
}
