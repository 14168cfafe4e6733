//! The four files of MNIST (LeCun, Cortes, Burges) and of Fashion-MNIST (Xiao, Rasul, Vollgraf), which have the same
//! names: what they are called and how to know the originals.

use std::path::{Path, PathBuf};

use cnn_train::dataset::Split;
use cnn_train::dataset::digest::{Digests, IMAGES_MAGIC, LABELS_MAGIC};
use sha2::{Digest, Sha256};

use super::idx::{self, Fault};
use crate::files::read_limited;

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

/// An archive of Fashion-MNIST, as its authors distribute it: length and SHA-256 of the `.gz` file, which is all that they
/// and others have published of it.
struct Archive {
    length: u64,
    sha256: &'static str,
}

/// The archives of a split of Fashion-MNIST: images, labels.
const fn fashion(split: Split) -> [Archive; 2] {
    match split {
        Split::Train => [
            Archive { length: 26_421_880, sha256: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84" },
            Archive { length: 29_515, sha256: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845" },
        ],
        Split::Test => [
            Archive { length: 4_422_102, sha256: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073" },
            Archive { length: 5148, sha256: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5" },
        ],
    }
}

/// Whether these files, images and labels, are the archives of Fashion-MNIST. Only files of the right length are read.
pub fn is_fashion(split: Split, paths: &[PathBuf; 2]) -> bool {
    paths.iter().zip(fashion(split)).all(|(path, archive)| archive.is(path))
}

impl Archive {
    fn is(&self, path: &Path) -> bool {
        path.metadata().is_ok_and(|metadata| metadata.len() == self.length)
            && read_limited(path, self.length).is_ok_and(|bytes| hex::encode(Sha256::digest(&bytes)) == self.sha256)
    }
}

impl OriginalFile {
    /// The file of this name in a folder: unpacked or packed, with a dot before `idx` as some archives have it, or in a
    /// folder that has the file's name, as Kaggle unpacks them.
    pub fn find(&self, folder: &Path) -> Option<PathBuf> {
        let spelled = |folder: &Path| {
            let dotted = self.name.replace("-idx", ".idx");
            [self.name, &dotted].map(|name| [folder.join(name), folder.join(format!("{name}.gz"))]).concat()
        };
        let here = spelled(folder);
        let inside = here.iter().filter(|path| path.is_dir()).flat_map(|folder| spelled(folder));
        let file = here.iter().cloned().chain(inside).find(|path| path.is_file());
        // What is no file is found as well, a broken link among it, so that the error names it.
        file.or_else(|| here.iter().find(|path| path.symlink_metadata().is_ok()).cloned())
    }

    /// SHA-256, in hexadecimal digits, of the contents of a file that may be packed. No more is unpacked than the
    /// original's length.
    ///
    /// # Errors
    /// If the bytes are no file of this kind and length.
    pub fn sha256_of(&self, file: &[u8]) -> Result<String, Fault> {
        let magic = match self.kind {
            Kind::Images => IMAGES_MAGIC,
            Kind::Labels => LABELS_MAGIC,
        };
        idx::contents_sha256(file, magic, self.length).map(hex::encode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_known_by_length_and_contents() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.gz");
        // SHA-256 of "abc": FIPS 180-2, appendix B.1.
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let archive = Archive { length: 3, sha256 };
        assert!(!archive.is(&path));
        for (contents, known) in [("abc", true), ("abd", false), ("abcd", false), ("", false)] {
            std::fs::write(&path, contents).unwrap();
            assert_eq!(archive.is(&path), known, "{contents}");
        }
        for split in [Split::Train, Split::Test] {
            assert!(fashion(split).iter().all(|archive| archive.sha256.len() == 64));
            assert!(!is_fashion(split, &[path.clone(), path.clone()]));
        }
    }
}
