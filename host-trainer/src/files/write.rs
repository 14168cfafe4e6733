//! Files that are written whole or not at all.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use super::error::FileError;
use super::read;

/// Writes `bytes` to `path`: at every moment, power failures included, the path names the old file or the whole new one.
///
/// The bytes go into a temporary file of the same folder, which is synchronised to the disk and then renamed. A symbolic
/// link stays one: the file it points to is replaced.
///
/// # Errors
/// If the folder is missing or not writable, the disk is full, or the path names something other than a regular file.
/// Unless the error is [`FileError::Unsynchronized`], the old file is untouched and the temporary one is gone.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    Staged::write(path, bytes)?.publish()
}

/// A file that is on the disk, but does not have its name yet. It is removed unless it gets it.
#[derive(Debug)]
pub struct Staged {
    path: PathBuf,
    target: PathBuf,
    file: NamedTempFile,
}

impl Staged {
    /// The first half of [`write_whole`]: all that needs room on the disk.
    ///
    /// # Errors
    /// As [`write_whole`].
    pub fn write(path: &Path, bytes: &[u8]) -> Result<Self, FileError> {
        let failed = |cause| FileError::Write { path: path.into(), cause };
        let target = match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => return Err(FileError::NotAFile { path: path.into() }),
            Ok(_) => fs::canonicalize(path).map_err(failed)?,
            Err(_) => path.into(),
        };
        let mut file = temporary_file(folder_of(&target)).map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        Ok(Self { path: path.into(), target, file })
    }

    /// The second half: the file gets its name.
    ///
    /// # Errors
    /// As [`write_whole`].
    pub fn publish(self) -> Result<(), FileError> {
        let Self { path, target, file } = self;
        if let Err(error) = file.persist(&target) {
            return Err(FileError::Write { path, cause: error.error });
        }
        synchronize(folder_of(&target)).map_err(|cause| FileError::Unsynchronized { path, cause })
    }
}

/// Removes a file, if it is there, so that it stays removed after a power failure. A link goes, its target stays.
///
/// # Errors
/// If it cannot be removed.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(FileError::Write { path: path.into(), cause }),
        Ok(()) => synchronize(folder_of(path)).map_err(|cause| FileError::Unsynchronized { path: path.into(), cause }),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether the path names anything, be it a link to nothing.
pub fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Makes a folder and those above it, if they are not there, so that they outlive a power failure.
///
/// # Errors
/// If it cannot be made, or what stands there is no folder.
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), create_folder)?;
    match fs::create_dir(path) {
        // Somebody else was faster.
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        result => result.map_err(|cause| FileError::Write { path: path.into(), cause })?,
    }
    synchronize(parent.unwrap_or(Path::new(".")))
        .map_err(|cause| FileError::Unsynchronized { path: path.into(), cause })
}

/// What the name of a temporary file of [`write_whole`] starts and ends with; letters and digits stand between.
const TEMPORARY: (&str, &str) = (".", ".partial");
/// How many letters and digits.
const RANDOM_LEN: usize = 6;

/// Removes the temporary files that killed programs left in `folder`, if there is such a folder. Nobody else may be
/// writing there.
///
/// # Errors
/// If the folder cannot be listed or a file cannot be removed.
pub fn remove_temporary(folder: &Path) -> Result<(), FileError> {
    let failed = |cause| FileError::Read { path: folder.into(), cause };
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if is_temporary(&entry.file_name().to_string_lossy()) {
            let path = entry.path();
            fs::remove_file(&path).map_err(|cause| FileError::Remove { path, cause })?;
        }
    }
    Ok(())
}

/// Removes the temporary files that killed programs left in `folder`, where others may be writing: those that nobody
/// holds. What cannot be looked at or removed stays.
pub fn remove_abandoned(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_temporary(&entry.file_name().to_string_lossy())
            && let Ok((file, _)) = read::open(&entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_temporary(name: &str) -> bool {
    let between = name.strip_prefix(TEMPORARY.0).and_then(|name| name.strip_suffix(TEMPORARY.1));
    between.is_some_and(|random| random.len() == RANDOM_LEN && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// A file that removes itself unless it is persisted, with the permissions of any new file. Where the file system knows
/// locks it is locked, which tells [`remove_abandoned`] that somebody writes it.
fn temporary_file(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(TEMPORARY.0).suffix(TEMPORARY.1).rand_bytes(RANDOM_LEN);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    loop {
        let file = builder.tempfile_in(folder)?;
        // Before it was locked it may have looked abandoned.
        let taken = matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock)) || !file.path().exists();
        if !taken {
            return Ok(file);
        }
    }
}

/// Makes a rename in `folder` durable, where the system knows how.
fn synchronize(folder: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // Some file systems cannot synchronise a folder; some folders may be written but not read.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::read::read_limited;
    use super::*;

    fn names_in(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_and_its_replacement_hold_exactly_the_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for bytes in [&b"first, the longer one"[..], b"second", b""] {
            write_whole(&path, bytes).unwrap();
            assert_eq!(read_limited(&path, 100).unwrap(), bytes);
            assert_eq!(names_in(folder.path()), ["file"]);
        }
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("file");
        let message = write_whole(&path, b"bytes").unwrap_err().to_string();
        assert!(message.contains(path.to_str().unwrap()) && message.contains("create its folder"), "{message}");
        assert!(names_in(folder.path()).is_empty());
    }

    #[test]
    fn a_folder_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inner");
        fs::create_dir(&path).unwrap();
        assert!(matches!(write_whole(&path, b"bytes"), Err(FileError::NotAFile { .. })));
        assert_eq!(names_in(folder.path()), ["inner"]);
    }

    #[test]
    fn temporary_files_of_killed_programs_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (_, killed) = temporary_file(folder.path()).unwrap().keep().unwrap();
        assert!(is_temporary(killed.file_name().unwrap().to_str().unwrap()), "{}", killed.display());
        for name in [".partial", "a.partial", ".abc.partial", ".abcdef.part", ".abc-ef.partial", "file"] {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        remove_temporary(folder.path()).unwrap();
        assert_eq!(
            names_in(folder.path()),
            [".abc-ef.partial", ".abc.partial", ".abcdef.part", ".partial", "a.partial", "file"]
        );
        remove_temporary(&folder.path().join("missing")).unwrap();
    }

    #[test]
    fn where_others_may_write_only_what_nobody_holds_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, _killed) = temporary_file(folder.path()).unwrap().keep().unwrap();
        drop(file);
        let held = temporary_file(folder.path()).unwrap();
        fs::write(folder.path().join("a.partial"), b"").unwrap();
        remove_abandoned(folder.path());
        let name = held.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(names_in(folder.path()), [name, "a.partial"]);
        remove_abandoned(&folder.path().join("missing"));
    }

    #[test]
    fn a_folder_is_made_with_those_above_it_unless_a_file_is_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        for _ in 0..2 {
            create_folder(&path).unwrap();
            assert!(path.is_dir());
        }
        fs::write(path.join("file"), b"").unwrap();
        let message = create_folder(&path.join("file/below")).unwrap_err().to_string();
        assert!(message.contains("a/b/c/file"), "{message}");
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::{PermissionsExt, symlink};
        use std::process::Command;

        use super::*;

        #[test]
        fn a_file_has_the_permissions_of_any_new_file() {
            let folder = tempfile::tempdir().unwrap();
            let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
            write_whole(&ours, b"").unwrap();
            fs::write(&plain, b"").unwrap();
            let mode = |path| fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode(ours), mode(plain));
        }

        #[test]
        fn a_link_stays_and_its_target_is_replaced() {
            let folder = tempfile::tempdir().unwrap();
            let (target, link) = (folder.path().join("target"), folder.path().join("link"));
            fs::write(&target, b"old").unwrap();
            symlink("target", &link).unwrap();
            write_whole(&link, b"new").unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read(&target).unwrap(), b"new");
        }

        #[test]
        fn a_device_is_not_replaced() {
            assert!(matches!(write_whole(Path::new("/dev/null"), b"bytes"), Err(FileError::NotAFile { .. })));
        }

        #[test]
        fn a_folder_without_permission_keeps_its_file() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            fs::write(&path, b"old").unwrap();
            let set_mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            set_mode(0o555);
            let privileged = File::create(folder.path().join("probe")).is_ok();
            let result = write_whole(&path, b"new");
            set_mode(0o755);
            if privileged {
                skipped::skip("this user may write to any folder");
                return;
            }
            let message = result.unwrap_err().to_string();
            assert!(message.contains("may write to"), "{message}");
            assert_eq!(fs::read(&path).unwrap(), b"old");
            assert_eq!(names_in(folder.path()), ["file"]);
        }

        /// Names the folder for [`write_beyond_the_limit`].
        const FOLDER: &str = "WRITE_BEYOND_THE_LIMIT_IN";

        /// Runs itself in a process whose files may not grow beyond a few kilobytes, as on a disk that fills up.
        #[test]
        fn a_write_that_fails_half_way_keeps_the_old_file() {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("file"), b"old").unwrap();
            // With SIGXFSZ ignored, a write beyond the limit is an error instead of the end of the process.
            let output = Command::new("sh")
                .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"])
                .arg(std::env::current_exe().unwrap())
                .args(["--exact", "files::write::tests::unix::write_beyond_the_limit", "--ignored"])
                .env(FOLDER, folder.path())
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"old");
            assert_eq!(names_in(folder.path()), ["checked", "file"]);
        }

        #[test]
        #[ignore = "run by a_write_that_fails_half_way_keeps_the_old_file"]
        fn write_beyond_the_limit() {
            let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
            let path = folder.join("file");
            let message = write_whole(&path, &[7; 1 << 20]).unwrap_err().to_string();
            assert!(message.contains(path.to_str().unwrap()) && message.contains("nothing was changed"), "{message}");
            // Tells the parent that this test did run.
            fs::write(folder.join("checked"), b"").unwrap();
        }
    }
}
