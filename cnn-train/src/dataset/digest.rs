//! What identifies a data set: SHA-256 of the IDX files that would hold it, whatever it was read from.

use cnn_core::image::Pixels;
use cnn_core::network::IMAGE_SIDE;
use sha2::{Digest, Sha256};

/// First word of an IDX file of images: bytes (`0x08`) in three dimensions.
pub const IMAGES_MAGIC: u32 = 0x0000_0803;
/// First word of an IDX file of labels: bytes in one dimension.
pub const LABELS_MAGIC: u32 = 0x0000_0801;
/// Rows and columns of an image.
pub const IMAGE_DIMENSIONS: [u32; 2] = [IMAGE_SIDE as u32; 2];

/// What identifies a split: SHA-256 of the unpacked IDX files that hold its images and its labels.
pub type Digests = [[u8; 32]; 2];

/// SHA-256 of the unpacked file that holds these images.
pub fn images_sha256(images: &[Pixels]) -> [u8; 32] {
    sha256(header(IMAGES_MAGIC, images.len(), &IMAGE_DIMENSIONS), images.as_flattened())
}

/// SHA-256 of the unpacked file that holds these labels.
pub fn labels_sha256(labels: &[u8]) -> [u8; 32] {
    sha256(header(LABELS_MAGIC, labels.len(), &[]), labels)
}

/// [`super::Dataset::hash`] of the digests of the training and the test split.
pub fn of_dataset(train: &Digests, test: &Digests) -> [u8; 32] {
    Sha256::new().chain_update(train.as_flattened()).chain_update(test.as_flattened()).finalize().into()
}

fn sha256(header: Vec<u8>, items: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(header).chain_update(items).finalize().into()
}

/// The header of an IDX file of `count` items.
///
/// # Panics
/// If `count` does not fit 32 bits.
pub fn header(magic: u32, count: usize, dimensions: &[u32]) -> Vec<u8> {
    let count = u32::try_from(count).expect("a split has fewer than 2³² samples");
    [magic, count].iter().chain(dimensions).flat_map(|word| word.to_be_bytes()).collect()
}
