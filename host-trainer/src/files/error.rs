//! Why a file could not be read or written.

use std::fmt;
use std::fs::FileType;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Reading failed.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// Writing failed; nothing was changed.
    #[error("cannot write {}: {cause}{}; nothing was changed", path.display(), advice(cause.kind()))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The file is in its place, but the folder that names it could not be flushed.
    #[error("{} is written, but may not outlive a power failure: its folder cannot be synchronised: {cause}",
        path.display())]
    Unsynchronized {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A temporary file could not be removed.
    #[error("cannot remove what an earlier run left unfinished: {}: {cause}", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The path names a folder, a device or a pipe.
    #[error("{} is not a regular file; name a file instead", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file to be written is the one that was read.
    #[error("{} is the very file that is read; name another one to write", path.display())]
    Input {
        /// The file.
        path: PathBuf,
    },
    /// Bytes that no person can read would go to the terminal.
    #[error("standard output is a terminal; name a file, or send it on with > or |")]
    Terminal,
    /// What the path names is not read.
    #[error("{} {cause}", path.display())]
    Refused {
        /// The path.
        path: PathBuf,
        /// Why not.
        cause: OpenError,
    },
    /// The file was not as long as it said.
    #[error("{} does not hold the {length} bytes that it had when it was opened: try again when nothing writes to it, \
             or copy it and name the copy", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Its length when it was opened.
        length: u64,
    },
    /// The file holds more than any file of its kind does.
    #[error("{} is larger than {limit} bytes; is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes accepted.
        limit: u64,
    },
}

impl FileError {
    /// Whether the file is what it was to be all the same.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Unsynchronized { .. })
    }
}

fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => " (create its folder first)",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => " (choose a folder that you may write to)",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => " (free some space or choose another disk)",
        _ => "",
    }
}

/// What a path names that is no regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Folder,
    /// A pipe, with a name or without.
    Pipe,
    /// A terminal, a disk or another device.
    Device,
    /// A socket.
    Socket,
    /// Something that only this system knows.
    Other,
}

impl Node {
    pub(super) fn of(kind: FileType) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::FileTypeExt;
            if kind.is_fifo() {
                return Self::Pipe;
            }
            if kind.is_socket() {
                return Self::Socket;
            }
            if kind.is_char_device() || kind.is_block_device() {
                return Self::Device;
            }
        }
        if kind.is_dir() { Self::Folder } else { Self::Other }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Folder => "a folder",
            Self::Pipe => "a pipe",
            Self::Device => "a device",
            Self::Socket => "a socket",
            Self::Other => "something else",
        })
    }
}

/// Why a path is not read; the message continues one that names it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is missing, or the system refuses to open it.
    #[error("cannot be opened ({0})")]
    System(#[from] io::Error),
    /// It is no regular file.
    #[error("is {0}, not a regular file: write what it holds to a file and name that")]
    NotAFile(Node),
    /// It says that it is empty, but is not.
    #[error("has no length, as the files in /proc: copy it and name the copy")]
    NoLength,
}
