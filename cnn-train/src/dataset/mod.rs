//! Labelled images in memory, and the built-in synthetic digits.

pub mod digest;
mod record;
mod skeletons;
pub mod synthetic;

use std::fmt;

use cnn_core::image::Pixels;

pub use self::record::DatasetRecord;

use self::digest::Digests;
use crate::threads;

/// The two parts of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// What the network learns from.
    Train,
    /// What it never sees in training.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Split::Train => "train",
            Split::Test => "test",
        })
    }
}

/// Images with their labels, equally many of both and at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples {
    images: Vec<Pixels>,
    labels: Vec<u8>,
}

impl Samples {
    /// # Panics
    /// If there are no images, if the counts differ, or if a label is not a class: readers check this first.
    pub fn new(images: Vec<Pixels>, labels: Vec<u8>) -> Self {
        assert!(!images.is_empty(), "a split needs at least one image");
        assert_eq!(images.len(), labels.len(), "every image needs its label");
        assert!(labels.iter().all(|&label| usize::from(label) < cnn_core::network::CLASSES), "a label is not a class");
        Self { images, labels }
    }

    /// Number of images.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// The images.
    pub fn images(&self) -> &[Pixels] {
        &self.images
    }

    /// The labels, each below 10.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// What identifies the contents.
    pub fn digests(&self) -> Digests {
        [digest::images_sha256(&self.images), digest::labels_sha256(&self.labels)]
    }
}

/// A data set: both splits and what to call them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// What people and the run record call it.
    pub name: String,
    /// Identifies the contents: the SHA-256 of four SHA-256 digests one after the other, those of the unpacked IDX files
    /// that hold the training images, training labels, test images and test labels.
    pub hash: [u8; 32],
    /// The training split.
    pub train: Samples,
    /// The test split.
    pub test: Samples,
}

impl Dataset {
    /// A data set of two splits.
    pub fn new(name: String, train: Samples, test: Samples) -> Self {
        let (train_digests, test_digests) = threads::join(|| train.digests(), || test.digests());
        Self { name, hash: digest::of_dataset(&train_digests, &test_digests), train, test }
    }

    /// The samples of a split.
    pub fn split(&self, split: Split) -> &Samples {
        match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        }
    }
}
