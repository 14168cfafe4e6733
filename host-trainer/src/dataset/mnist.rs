//! The four files of MNIST (LeCun, Cortes, Burges): what they are called and how to know the originals.

use std::path::{Path, PathBuf};

use super::idx::{self, Fault};
use super::{Digests, Split};

/// What an IDX file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Pixels.
    Images,
    /// Digits.
    Labels,
}

/// A file of the original MNIST, known by its contents: packed again, it is still the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginalFile {
    /// What the unpacked file is called; `.gz` follows if it is packed.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Its length in bytes, unpacked.
    pub length: u64,
    /// SHA-256 of the unpacked file, in lower-case hexadecimal digits.
    pub sha256: &'static str,
}

/// The training split: images, labels.
const TRAIN: [OriginalFile; 2] = [
    OriginalFile {
        name: "train-images-idx3-ubyte",
        kind: Kind::Images,
        length: 16 + 60_000 * 784,
        sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    },
    OriginalFile {
        name: "train-labels-idx1-ubyte",
        kind: Kind::Labels,
        length: 8 + 60_000,
        sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    },
];

/// The test split: images, labels.
const TEST: [OriginalFile; 2] = [
    OriginalFile {
        name: "t10k-images-idx3-ubyte",
        kind: Kind::Images,
        length: 16 + 10_000 * 784,
        sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    },
    OriginalFile {
        name: "t10k-labels-idx1-ubyte",
        kind: Kind::Labels,
        length: 8 + 10_000,
        sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
];

/// The images and the labels of a split.
pub fn files(split: Split) -> &'static [OriginalFile; 2] {
    match split {
        Split::Train => &TRAIN,
        Split::Test => &TEST,
    }
}

/// Which of a split's two files, images and labels, have the original contents.
pub fn originals(split: Split, digests: &Digests) -> [bool; 2] {
    let files = files(split);
    std::array::from_fn(|i| hex::encode(digests[i]) == files[i].sha256)
}

impl OriginalFile {
    /// The file of this name in a folder: unpacked or packed, and with a dot before `idx` as some archives have it.
    pub fn find(&self, folder: &Path) -> Option<PathBuf> {
        let dotted = self.name.replace("-idx", ".idx");
        [self.name, &dotted]
            .iter()
            .flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))])
            // A broken link is found as well, so that the error names it.
            .find(|path| path.symlink_metadata().is_ok())
    }

    /// SHA-256, in hexadecimal digits, of the contents of a file that may be packed.
    ///
    /// # Errors
    /// If the bytes are not an IDX file of this kind.
    pub fn sha256_of(&self, file: &[u8]) -> Result<String, Fault> {
        Ok(hex::encode(match self.kind {
            Kind::Images => idx::images_sha256(&idx::parse_images(file)?),
            Kind::Labels => idx::labels_sha256(&idx::parse_labels(file)?),
        }))
    }
}
