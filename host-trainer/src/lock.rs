//! One run in a folder at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// The file that is locked. It stays when the run ends: whoever removed it could remove it under another run.
pub const LOCK: &str = ".lock";

/// The longest process number, in bytes.
const MAX_PROCESS_LEN: u64 = 20;

/// Why a folder could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run has it.
    #[error("{}: another run{} is writing there; wait for its end or choose another --out",
        folder.display(), process.as_ref().map_or_else(String::new, |process| format!(" (process {process})")))]
    Held {
        /// The folder.
        folder: PathBuf,
        /// The number of the other run's process, if it can be read.
        process: Option<String>,
    },
    /// The file cannot be made or locked.
    #[error("cannot lock {}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
}

/// Keeps other runs out of a folder as long as it lives. The operating system releases it when the process ends,
/// however it ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Locks a folder that exists. On a file system that knows no locks, nothing is locked.
    ///
    /// # Errors
    /// If another run has it or the file [`LOCK`] cannot be written.
    pub fn acquire(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join(LOCK);
        let failed = |cause| LockError::Io { path: path.clone(), cause };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { folder: folder.into(), process: process_in(&file) });
            }
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// The process number in a lock that another run holds. Some systems do not let it be read.
fn process_in(file: &File) -> Option<String> {
    let mut text = String::new();
    file.take(MAX_PROCESS_LEN).read_to_string(&mut text).ok()?;
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_refused_with_the_process_of_the_first_until_that_ends() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(LOCK), "99999999999999999999 of a killed run").unwrap();
        let lock = FolderLock::acquire(folder.path()).unwrap();
        let message = FolderLock::acquire(folder.path()).unwrap_err().to_string();
        let process = format!("(process {})", std::process::id());
        assert!(message.contains(&process) && message.contains("--out"), "{message}");
        drop(lock);
        FolderLock::acquire(folder.path()).unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = FolderLock::acquire(&folder.path().join("missing")).unwrap_err().to_string();
        assert!(message.contains("missing"), "{message}");
    }
}
