//! The one way in which a file from outside is opened: a regular file or nothing, and never a wait.
//!
//! A pipe blocks whoever opens or reads it until somebody writes, a device may never end, and opening one can have
//! effects of its own. So a path is looked at first, then opened without waiting, then looked at again, since it may
//! have been replaced between the two.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{Read, Seek};
use std::path::Path;

pub use super::error::{Node, OpenError};

use super::error::FileError;

/// Opens a regular file and tells its length.
///
/// # Errors
/// If it is missing, may not be read, or is no regular file with a length.
pub fn open(path: &Path) -> Result<(File, u64), OpenError> {
    regular(&fs::metadata(path)?)?;
    let mut file = options().open(path)?;
    let length = regular(&file.metadata()?)?;
    if length == 0 {
        // What the system makes up when it is asked has no length that a reader could hold it to.
        if file.read(&mut [0])? > 0 {
            return Err(OpenError::NoLength);
        }
        file.rewind()?;
    }
    Ok((file, length))
}

fn regular(metadata: &Metadata) -> Result<u64, OpenError> {
    if metadata.is_file() { Ok(metadata.len()) } else { Err(OpenError::NotAFile(Node::of(metadata.file_type()))) }
}

/// Reading, without waiting for whoever might write to a pipe that took the file's place.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    options
}

/// What [`open`] says, with the path.
pub(super) fn refused(path: &Path, cause: OpenError) -> FileError {
    match cause {
        OpenError::System(cause) => FileError::Read { path: path.into(), cause },
        cause => FileError::Refused { path: path.into(), cause },
    }
}

/// Reads a whole file of at most `limit` bytes; no more than that is ever held in memory.
///
/// # Errors
/// If [`open`] refuses it, if it cannot be read, if it is longer than `limit`, or if its length changes meanwhile.
pub fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let (file, length) = open(path).map_err(|cause| refused(path, cause))?;
    if length > limit {
        return Err(FileError::TooLarge { path: path.into(), limit });
    }
    let mut bytes = Vec::with_capacity(length as usize + 1);
    file.take(length + 1).read_to_end(&mut bytes).map_err(|cause| FileError::Read { path: path.into(), cause })?;
    if bytes.len() as u64 != length {
        return Err(FileError::Changed { path: path.into(), length });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_stops_at_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert!(matches!(read_limited(&path, 9), Err(FileError::Read { .. })));
        for length in [0, 1, 10] {
            fs::write(&path, vec![7; length]).unwrap();
            assert_eq!(read_limited(&path, 10).unwrap(), vec![7; length]);
        }
        assert!(matches!(read_limited(&path, 9), Err(FileError::TooLarge { limit: 9, .. })));
        let refused = read_limited(folder.path(), 100).unwrap_err();
        assert!(matches!(refused, FileError::Refused { cause: OpenError::NotAFile(Node::Folder), .. }), "{refused}");
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::symlink;
        use std::os::unix::net::UnixListener;
        use std::path::PathBuf;
        use std::process::Command;
        use std::sync::mpsc;
        use std::time::Duration;

        use super::*;

        /// What `read_limited` says of a path, which it must say soon.
        fn soon(path: PathBuf) -> Result<Vec<u8>, FileError> {
            let (sender, receiver) = mpsc::channel();
            std::thread::spawn(move || sender.send(read_limited(&path, 1 << 20)));
            receiver.recv_timeout(Duration::from_secs(20)).expect("it does not wait")
        }

        #[test]
        fn what_is_no_file_is_refused_by_name_without_waiting() {
            let folder = tempfile::tempdir().unwrap();
            let [pipe, socket, link] = ["pipe", "socket", "link"].map(|name| folder.path().join(name));
            assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            let _listener = UnixListener::bind(&socket).unwrap();
            symlink("pipe", &link).unwrap();
            for (path, node) in [
                (pipe, "a pipe"),
                (link, "a pipe"),
                (socket, "a socket"),
                ("/dev/zero".into(), "a device"),
                ("/dev/tty".into(), "a device"),
                (folder.path().into(), "a folder"),
            ] {
                let message = soon(path.clone()).unwrap_err().to_string();
                assert!(message.starts_with(&format!("{} is {node}, not a regular file", path.display())), "{message}");
            }
        }

        #[test]
        #[cfg(target_os = "linux")]
        fn a_file_that_the_system_makes_up_has_no_length_to_rely_on() {
            let message = soon("/proc/self/status".into()).unwrap_err().to_string();
            assert!(message.contains("/proc/self/status has no length"), "{message}");
            // A whole page by its length, fewer bytes when it is read.
            let message = soon("/sys/kernel/mm/transparent_hugepage/enabled".into()).unwrap_err().to_string();
            assert!(message.contains("/sys/kernel"), "{message}");
        }

        #[test]
        fn a_file_that_grows_without_end_is_not_followed() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            fs::write(&path, [7; 1 << 16]).unwrap();
            let mut writer = Command::new("sh")
                .args(["-c", "while :; do printf '%065536d' 0; done >> \"$0\""])
                .arg(&path)
                .spawn()
                .unwrap();
            let read = soon(path);
            writer.kill().unwrap();
            writer.wait().unwrap();
            match read {
                Ok(bytes) => assert!(bytes.len().is_multiple_of(1 << 16), "as long as it was when it was opened"),
                Err(error) => {
                    assert!(matches!(error, FileError::Changed { .. } | FileError::TooLarge { .. }), "{error}");
                }
            }
        }
    }
}
