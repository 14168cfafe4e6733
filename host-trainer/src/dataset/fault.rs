//! What is wrong with a file of images or labels.

use std::io;

use cnn_core::network::IMAGE_SIDE;

use crate::files::read::OpenError;

/// Images that a file may hold at most. All are kept in memory: these are 784 MB.
pub const MAX_COUNT: u32 = 1_000_000;

/// The most entries of an archive that are looked through.
pub(super) const MAX_ENTRIES: usize = 1000;

/// What is wrong with a file; the message continues one that names it.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It is missing, the system refuses to open it, or it is no regular file.
    #[error(transparent)]
    Open(OpenError),
    /// The system failed while reading it.
    #[error("cannot be read ({0})")]
    Read(io::Error),
    /// The archive is cut or altered.
    #[error("is a damaged .gz archive ({0})")]
    Gzip(io::Error),
    /// The first word is another.
    #[error("starts with {found:#010x}, but an IDX file of this kind starts with {expected:#010x}")]
    Magic {
        /// The first word of a file of this kind.
        expected: u32,
        /// The first word of this file.
        found: u32,
    },
    /// The images have another size.
    #[error("holds images of {rows}×{columns} pixels, but only {IMAGE_SIDE}×{IMAGE_SIDE} are supported")]
    Dimensions {
        /// Rows of an image.
        rows: u32,
        /// Columns of an image.
        columns: u32,
    },
    /// It holds nothing.
    #[error("is empty: its header promises 0 items, but at least one is needed")]
    Empty,
    /// It promises more than [`MAX_COUNT`] items.
    #[error("promises {count} items, but at most {MAX_COUNT} are supported")]
    TooMany {
        /// The count in the header.
        count: u32,
    },
    /// It ends early, or its length alone tells that it must.
    #[error("is cut: {expected} bytes are needed, at most {available} are there")]
    Truncated {
        /// Bytes that the unpacked file should have, its header included.
        expected: u64,
        /// Bytes that it can have.
        available: u64,
    },
    /// Something follows the last item.
    #[error("is too long: it goes on after the {expected} bytes that its header promises")]
    Trailing {
        /// Bytes that the unpacked file should have, its header included.
        expected: u64,
    },
    /// It is longer than the file that it should be.
    #[error("is too long: it goes on after the {expected} bytes of that file")]
    TooLong {
        /// Bytes of that file, unpacked.
        expected: u64,
    },
    /// A label is not a digit.
    #[error("holds the label {label} at index {index}, but labels are 0 to 9: this network tells ten classes apart")]
    Label {
        /// Index of the first such label.
        index: usize,
        /// The label.
        label: i64,
    },
    /// It is no archive of arrays such as Keras' `mnist.npz`.
    #[error(transparent)]
    Npz(#[from] ArchiveFault),
}

/// What is wrong with an archive; the message continues one that names it.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFault {
    /// It is no zip archive, or a damaged one.
    #[error("is not a whole .npz archive ({0})")]
    Archive(rawzip::Error),
    /// It holds more than an archive of arrays does.
    #[error("holds more than {MAX_ENTRIES} entries; is it the right file?")]
    Entries,
    /// An array is missing or there twice.
    #[error(
        "holds {count} arrays {name}, but as Keras' mnist.npz it should hold one each of x_train, y_train, x_test \
             and y_test"
    )]
    Arrays {
        /// The array's name.
        name: &'static str,
        /// How many there are.
        count: usize,
    },
    /// An array is packed in a way that is not known.
    #[error(
        "has {name} packed by method {method}, but only stored and deflated arrays are read; write it with \
             numpy.savez or numpy.savez_compressed"
    )]
    Method {
        /// The array's name.
        name: &'static str,
        /// The method's number in the zip format.
        method: u16,
    },
    /// An array does not unpack, or to other bytes than it should.
    #[error("holds a damaged array ({0})")]
    Damaged(io::Error),
    /// An array is not in NumPy's format.
    #[error("holds {name}, which is not an array as NumPy writes it")]
    Header {
        /// The array's name.
        name: &'static str,
    },
    /// An array is not of the right kind.
    #[error("holds {name} with the shape ({shape}) and the type {kind}, but {expected} is expected")]
    Kind {
        /// The array's name.
        name: &'static str,
        /// Its shape.
        shape: String,
        /// The type of its values, as NumPy writes it.
        kind: String,
        /// What it should be.
        expected: &'static str,
    },
}
