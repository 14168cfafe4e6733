//! One run in a folder at a time.
//!
//! The file [`LOCK`] is locked as long as a run lasts; the operating system releases it however the run ends. Where a file
//! system keeps no locks, a second file, [`OWNER`], says who is writing. It is made only if it is not there, and one that a
//! killed run of this machine left is recognised.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::files::{FileError, create_folder};

/// The file that is locked. It stays when the run ends: whoever removed it could remove it under another run.
pub const LOCK: &str = ".lock";
/// Says who is writing where files cannot be locked.
pub const OWNER: &str = ".lock-owner";

/// The longest process number, in bytes.
const MAX_PROCESS_LEN: u64 = 20;
/// The longest text in [`OWNER`], in bytes.
const MAX_OWNER_LEN: u64 = 1000;

/// Why a folder could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run has it.
    #[error("{}: another run{} is writing there; wait for its end or choose another folder",
        folder.display(), process.as_ref().map_or_else(String::new, |process| format!(" (process {process})")))]
    Held {
        /// The folder.
        folder: PathBuf,
        /// The number of the other run's process, if it can be read.
        process: Option<String>,
    },
    /// Another run has it or had it, of which nothing can be known here.
    #[error("{}: another run ({owner}) is or was writing there, and this file system keeps no locks; \
        wait for its end, or remove {} if it has ended, or choose another folder",
        folder.display(), folder.join(OWNER).display())]
    HeldElsewhere {
        /// The folder.
        folder: PathBuf,
        /// What it wrote of itself.
        owner: String,
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

/// Keeps other runs out of a folder as long as it lives.
#[derive(Debug)]
pub struct FolderLock {
    folder: PathBuf,
    held: Mutex<Held>,
}

/// How a folder is kept.
#[derive(Debug)]
enum Held {
    /// By the lock on this file.
    Locked(File),
    /// By this text in [`OWNER`]; the reason is why not by a lock.
    Owned { text: String, reason: String },
}

impl FolderLock {
    /// Locks a folder that exists.
    ///
    /// # Errors
    /// If another run has it or a file cannot be written.
    pub fn acquire(folder: &Path) -> Result<Self, LockError> {
        Ok(Self { folder: folder.into(), held: Mutex::new(hold(folder)?) })
    }

    /// That another run is writing into a folder, if one is. Nothing is changed there.
    pub fn holder(folder: &Path) -> Option<LockError> {
        let file = File::open(folder.join(LOCK)).ok()?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Some(held_by(folder, &file)),
            _ => read_owner(folder).ok().flatten().and_then(|text| refusal(folder, &text)),
        }
    }

    /// Makes sure that the folder is still kept: it may have been removed and made again.
    ///
    /// # Errors
    /// If it is not, and cannot be locked again.
    pub fn ensure(&self) -> Result<(), LockError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let still = match &*held {
            Held::Locked(file) => is_at(file, &self.folder.join(LOCK)),
            Held::Owned { text, .. } => read_owner(&self.folder).is_ok_and(|found| found.as_ref() == Some(text)),
        };
        if !still {
            *held = hold(&self.folder)?;
        }
        Ok(())
    }

    /// Makes the folder if it is gone, and then as [`FolderLock::ensure`].
    ///
    /// # Errors
    /// If the folder cannot be made or another run has it.
    pub fn prepare(&self) -> Result<(), FileError> {
        create_folder(&self.folder)?;
        self.ensure().map_err(|error| FileError::Write { path: self.folder.clone(), cause: io::Error::other(error) })
    }

    /// That the file system keeps no locks, if it does not.
    pub fn warning(&self) -> Option<String> {
        match &*self.held.lock().unwrap_or_else(PoisonError::into_inner) {
            Held::Locked(_) => None,
            Held::Owned { reason, .. } => Some(format!(
                "{} cannot be locked ({reason}); {} keeps other runs out in its place",
                self.folder.display(),
                self.folder.join(OWNER).display()
            )),
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Held::Owned { text, .. } = held
            && read_owner(&self.folder).is_ok_and(|found| found.as_ref() == Some(text))
        {
            // If it stays, the next run finds that its process has ended.
            let _ = fs::remove_file(self.folder.join(OWNER));
        }
    }
}

fn hold(folder: &Path) -> Result<Held, LockError> {
    let path = folder.join(LOCK);
    let failed = |cause| LockError::Io { path: path.clone(), cause };
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    let reason = match file.try_lock() {
        Ok(()) => None,
        Err(TryLockError::WouldBlock) => return Err(held_by(folder, &file)),
        Err(TryLockError::Error(cause)) if keeps_no_locks(&cause) => Some(cause.to_string()),
        Err(TryLockError::Error(cause)) => return Err(failed(cause)),
    };
    // A run that cannot lock files, on another machine say, may be there all the same.
    refuse_owner(folder)?;
    let owned = reason.map(|reason| own(folder, reason)).transpose()?;
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(owned.unwrap_or(Held::Locked(file)))
}

/// Whether the error says that locks are not to be had, rather than that something is wrong.
fn keeps_no_locks(error: &io::Error) -> bool {
    #[cfg(unix)]
    if matches!(error.raw_os_error(), Some(libc::ENOLCK | libc::ENOSYS | libc::EOPNOTSUPP | libc::EINVAL)) {
        return true;
    }
    error.kind() == ErrorKind::Unsupported
}

/// Whether the path still names the open file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(path)) => identity(file) == identity(path),
        _ => false,
    }
}

/// An open file keeps its name and its folder here.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

fn held_by(folder: &Path, file: &File) -> LockError {
    LockError::Held { folder: folder.into(), process: process_in(file) }
}

/// The process number in a lock that another run holds. Some systems do not let it be read.
fn process_in(file: &File) -> Option<String> {
    let mut text = String::new();
    file.take(MAX_PROCESS_LEN).read_to_string(&mut text).ok()?;
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

/// Makes [`OWNER`], unless another run was faster.
fn own(folder: &Path, reason: String) -> Result<Held, LockError> {
    let path = folder.join(OWNER);
    let failed = |cause| LockError::Io { path: path.clone(), cause };
    let text = Process::current().to_string();
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {
            return Err(LockError::Held { folder: folder.into(), process: None });
        }
        file => file.map_err(failed)?,
    };
    if let Err(cause) = file.write_all(text.as_bytes()) {
        // It is this run's own, and empty.
        let _ = fs::remove_file(&path);
        return Err(failed(cause));
    }
    Ok(Held::Owned { text, reason })
}

/// The text of [`OWNER`], if it is there.
fn read_owner(folder: &Path) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    match File::open(folder.join(OWNER)) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?.take(MAX_OWNER_LEN).read_to_end(&mut bytes)?,
    };
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Refuses a folder that another run says it has. What a run left that has ended is removed.
fn refuse_owner(folder: &Path) -> Result<(), LockError> {
    let failed = |cause| LockError::Io { path: folder.join(OWNER), cause };
    let Some(text) = read_owner(folder).map_err(failed)? else { return Ok(()) };
    match refusal(folder, &text) {
        Some(error) => Err(error),
        None => remove_owner(folder, &text).map_err(failed),
    }
}

/// Removes [`OWNER`] if it is still this text: another run may have come in between, with one of its own.
fn remove_owner(folder: &Path, text: &str) -> io::Result<()> {
    let path = folder.join(OWNER);
    let taken = folder.join(format!("{OWNER}.{}", std::process::id()));
    match fs::rename(&path, &taken) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        result => result?,
    }
    if fs::read(&taken)? == text.as_bytes() { fs::remove_file(taken) } else { fs::rename(taken, path) }
}

/// Why a folder with this text in [`OWNER`] is not to be written; nothing if the run that wrote it has ended.
fn refusal(folder: &Path, text: &str) -> Option<LockError> {
    let held = |process| LockError::Held { folder: folder.into(), process };
    match Process::parse(text).map(|process| (process.is_running(), process)) {
        Some((Some(true), process)) => Some(held(Some(process.number))),
        Some((Some(false), _)) => None,
        _ => {
            let owner = text.replace(|character: char| !character.is_ascii_graphic(), " ");
            let owner = owner.trim().to_owned();
            Some(LockError::HeldElsewhere { folder: folder.into(), owner })
        }
    }
}

/// A process, so that whoever is on the same machine can tell whether it still runs.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    number: String,
    /// When it started, in the kernel's ticks since the machine did: numbers are used again.
    started: String,
    /// The machine, its latest start, and the container on it that the number belongs to.
    machine: String,
}

impl Process {
    fn current() -> Self {
        let number = std::process::id().to_string();
        Self { started: started(&number).unwrap_or_else(unknown), machine: machine(), number }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let mut word = |name| words.next().filter(|&word| word == name).and(words.next()).map(str::to_owned);
        let process = Self { number: word("process")?, started: word("started")?, machine: word("machine")? };
        (words.next().is_none() && process.number.bytes().all(|byte| byte.is_ascii_digit())).then_some(process)
    }

    /// Nothing if it cannot be known here.
    fn is_running(&self) -> Option<bool> {
        let here = Self::current();
        if here.started == unknown() || here.machine != self.machine {
            return None;
        }
        Some(started(&self.number).is_some_and(|started| started == self.started))
    }
}

impl fmt::Display for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "process {}\nstarted {}\nmachine {}", self.number, self.started, self.machine)
    }
}

fn unknown() -> String {
    "unknown".into()
}

/// When a process of this machine started; nothing if there is none of that number, or no such file system.
fn started(number: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The program's name, in brackets, may hold anything; the start is the twentieth field after it.
    Some(status.rsplit_once(')')?.1.split_whitespace().nth(19)?.to_owned())
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).map_or_else(|_| unknown(), |text| text.trim().to_owned());
    let space = fs::read_link("/proc/self/ns/pid").map_or_else(|_| unknown(), |link| link.display().to_string());
    let parts = [read("/proc/sys/kernel/hostname"), read("/proc/sys/kernel/random/boot_id"), space];
    parts.join("/").replace(char::is_whitespace, "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_refused_with_the_process_of_the_first_until_that_ends() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LOCK), "99999999999999999999 of a killed run").unwrap();
        assert!(FolderLock::holder(folder.path()).is_none());
        let lock = FolderLock::acquire(folder.path()).unwrap();
        let message = FolderLock::acquire(folder.path()).unwrap_err().to_string();
        let process = format!("(process {})", std::process::id());
        assert!(message.contains(&process) && message.contains("another folder"), "{message}");
        assert_eq!(FolderLock::holder(folder.path()).unwrap().to_string(), message);
        assert!(lock.warning().is_none());
        drop(lock);
        FolderLock::acquire(folder.path()).unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = FolderLock::acquire(&folder.path().join("missing")).unwrap_err().to_string();
        assert!(message.contains("missing"), "{message}");
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_that_was_made_again_is_locked_again_unless_another_run_was_faster() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("out");
        fs::create_dir(&folder).unwrap();
        let lock = FolderLock::acquire(&folder).unwrap();
        lock.ensure().unwrap();
        for _ in 0..2 {
            fs::remove_dir_all(&folder).unwrap();
            fs::create_dir(&folder).unwrap();
            lock.ensure().unwrap();
            assert!(matches!(FolderLock::acquire(&folder), Err(LockError::Held { .. })));
        }
        fs::remove_file(folder.join(LOCK)).unwrap();
        let _other = FolderLock::acquire(&folder).unwrap();
        assert!(matches!(lock.ensure(), Err(LockError::Held { .. })));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn without_locks_a_file_says_who_writes_and_one_of_a_run_that_ended_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let own = || own(folder.path(), "no locks".into());
        let owner = folder.path().join(OWNER);
        let held = own().unwrap();
        assert!(matches!(own(), Err(LockError::Held { process: None, .. })));
        // Both a run that can lock files and one that cannot see it.
        let process = std::process::id().to_string();
        let error = FolderLock::acquire(folder.path()).unwrap_err();
        assert!(matches!(&error, LockError::Held { process: Some(number), .. } if *number == process), "{error}");
        let lock = FolderLock { folder: folder.path().into(), held: Mutex::new(held) };
        assert!(lock.warning().unwrap().contains("(no locks)"));
        lock.ensure().unwrap();
        drop(lock);
        assert!(!owner.exists());

        let current = Process::current();
        assert_eq!(Process::parse(&current.to_string()), Some(current));
        let ended = Process { started: "1".into(), ..Process::current() };
        fs::write(&owner, ended.to_string()).unwrap();
        drop(FolderLock::acquire(folder.path()).unwrap());
        assert!(!owner.exists());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_run_of_which_nothing_is_known_here_counts_as_running_and_its_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = Process { machine: "elsewhere/1/2".into(), ..Process::current() };
        for text in [&elsewhere.to_string(), "", "process 1\n", "\u{1b}[2J", "process x started 1 machine m"] {
            fs::write(folder.path().join(OWNER), text).unwrap();
            let message = FolderLock::acquire(folder.path()).unwrap_err().to_string();
            assert!(message.contains(".lock-owner if it has ended") && !message.contains('\u{1b}'), "{message}");
            assert_eq!(fs::read_to_string(folder.path().join(OWNER)).unwrap(), *text, "it is left as it is");
            assert_eq!(FolderLock::holder(folder.path()).map(|error| error.to_string()), Some(message));
        }
    }

    #[test]
    fn what_another_run_has_just_made_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(OWNER), "fresh").unwrap();
        remove_owner(folder.path(), "that which had ended").unwrap();
        assert_eq!(fs::read_to_string(folder.path().join(OWNER)).unwrap(), "fresh");
    }
}
