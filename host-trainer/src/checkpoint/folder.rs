//! The folder of a run's checkpoints: one file for an epoch, the newest one that fits.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cnn_train::checkpoint::{Checkpoint, CheckpointError, Identity, MAX_BYTES};

use crate::files::{FileError, exists, read_limited, remove};
use crate::report::RunRecord;
use crate::report::record::EpochRecord;

/// The folder's name in the output folder of a run.
pub const FOLDER: &str = "checkpoints";

/// The name of the checkpoint after epoch `epoch`.
pub fn file_name(epoch: u32) -> String {
    format!("epoch-{epoch:06}.checkpoint")
}

/// The epoch of a name that [`file_name`] gives.
fn epoch_of(name: &str) -> Option<u32> {
    let epoch = name.strip_prefix("epoch-")?.strip_suffix(".checkpoint")?.parse().ok()?;
    (file_name(epoch) == name).then_some(epoch)
}

/// The checkpoints in `folder`, with their epochs, newest first; none if there is no such folder.
///
/// # Errors
/// If the folder cannot be listed, or is a link to one that is not there.
pub fn list(folder: &Path) -> Result<Vec<(u32, PathBuf)>, FileError> {
    let failed = |cause| FileError::Read { path: folder.into(), cause };
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == ErrorKind::NotFound && !exists(folder) => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut checkpoints = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        checkpoints.extend(epoch_of(&entry.file_name().to_string_lossy()).map(|epoch| (epoch, entry.path())));
    }
    checkpoints.sort_by_key(|&(epoch, _)| std::cmp::Reverse(epoch));
    Ok(checkpoints)
}

/// Why a checkpoint is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is damaged.
    #[error("{path}: {error}", path = path.display())]
    Contents {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        error: CheckpointError,
    },
    /// Its name is that of another epoch.
    #[error("{path} holds epoch {found}: it was renamed", path = path.display())]
    Misnamed {
        /// The checkpoint.
        path: PathBuf,
        /// The epoch that it holds.
        found: u32,
    },
    /// It is of another run.
    #[error("{path} is of another run: {difference}", path = path.display())]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// What differs, with both values.
        difference: String,
    },
}

impl Rejected {
    /// Whether it may be a good checkpoint that merely cannot be read here and now, or not by this program.
    fn is_unreadable(&self) -> bool {
        match self {
            Self::File(_) | Self::Contents { error: CheckpointError::Version { .. }, .. } => true,
            Self::Contents { .. } | Self::Misnamed { .. } | Self::OtherRun { .. } => false,
        }
    }
}

/// What a search in a folder found.
#[derive(Debug, Default)]
pub struct Search {
    /// The newest checkpoint that fits.
    pub found: Option<(PathBuf, Checkpoint)>,
    /// Newer ones, and why they were not taken.
    pub skipped: Vec<Rejected>,
}

/// Reads the checkpoint after epoch `epoch`.
fn read(path: &Path, epoch: u32) -> Result<Checkpoint, Rejected> {
    let bytes = read_limited(path, MAX_BYTES)?;
    let checkpoint = Checkpoint::parse(&bytes).map_err(|error| Rejected::Contents { path: path.into(), error })?;
    match checkpoint.epoch() {
        found if found == epoch => Ok(checkpoint),
        found => Err(Rejected::Misnamed { path: path.into(), found }),
    }
}

/// The newest whole checkpoint of at most epoch `limit` of which `difference` finds none.
///
/// # Errors
/// If the folder cannot be listed.
fn newest(folder: &Path, limit: u32, difference: impl Fn(&Checkpoint) -> Option<String>) -> Result<Search, FileError> {
    let mut search = Search::default();
    for (epoch, path) in list(folder)?.into_iter().filter(|&(epoch, _)| epoch <= limit) {
        let read = read(&path, epoch).and_then(|checkpoint| match difference(&checkpoint) {
            None => Ok(checkpoint),
            Some(difference) => Err(Rejected::OtherRun { path: path.clone(), difference }),
        });
        match read {
            Ok(checkpoint) => {
                search.found = Some((path, checkpoint));
                break;
            }
            Err(rejected) => search.skipped.push(rejected),
        }
    }
    Ok(search)
}

/// Why a run cannot go on from a folder of checkpoints.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// The folder cannot be listed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Every whole checkpoint there is of another run; this is the newest.
    #[error("{0}; use the settings and the data of that run, choose another output folder, or replace it")]
    OtherRun(Rejected),
    /// A checkpoint that may be the newest of this run cannot be read.
    #[error(
        "{0}; it is left as it is: make it readable, or use the program that wrote it, \
        or move it away to go on without it"
    )]
    Unreadable(Rejected),
    /// There are checkpoints, but all of them are damaged; this is the newest.
    #[error("{0}; no checkpoint beside it is whole: choose another output folder, or start anew")]
    Damaged(Rejected),
    /// The run is beyond the epochs that are asked for.
    #[error("{path} is after epoch {epoch}, beyond the {epochs} that are asked for; ask for {epoch} or more, or choose \
        another output folder",
        path = path.display())]
    Beyond {
        /// The checkpoint.
        path: PathBuf,
        /// Its epoch.
        epoch: u32,
        /// The epochs that are asked for.
        epochs: u32,
    },
}

/// The newest whole checkpoint in `folder` from which the run `here` goes on. The number of epochs may be another one than
/// that of the run so far, unless its rates depend on it.
///
/// # Errors
/// If there are checkpoints, but none fits; if one that is newer than that which fits cannot be read; or if that one has
/// more epochs than are asked for.
pub fn find_to_resume(folder: &Path, here: &Identity<'_>) -> Result<Search, ResumeError> {
    let mut search = newest(folder, u32::MAX, |checkpoint| Identity::from(checkpoint).difference(here, "here"))?;
    if let Some(index) = search.skipped.iter().position(Rejected::is_unreadable) {
        return Err(ResumeError::Unreadable(search.skipped.swap_remove(index)));
    }
    match &search.found {
        Some((path, checkpoint)) if checkpoint.epoch() > here.settings.epochs => {
            Err(ResumeError::Beyond { path: path.clone(), epoch: checkpoint.epoch(), epochs: here.settings.epochs })
        }
        Some(_) => Ok(search),
        None => match search.skipped.iter().position(|rejected| matches!(rejected, Rejected::OtherRun { .. })) {
            Some(index) => Err(ResumeError::OtherRun(search.skipped.swap_remove(index))),
            None if search.skipped.is_empty() => Ok(search),
            None => Err(ResumeError::Damaged(search.skipped.swap_remove(0))),
        },
    }
}

/// Whether the file may be replaced by another checkpoint: it is a whole one, of the run `here` if that is given.
pub(super) fn may_replace(path: &Path, here: Option<&Checkpoint>) -> bool {
    let epoch = path.file_name().and_then(|name| epoch_of(&name.to_string_lossy()));
    let found = epoch.and_then(|epoch| read(path, epoch).ok());
    found.is_some_and(|found| {
        here.is_none_or(|here| Identity::from(&found).difference(&Identity::from(here), "here").is_none())
    })
}

/// Removes the checkpoints of a run that was replaced by one without any; a file that is none gets another name. What
/// cannot be removed does no harm: a run that goes on says that it is of another.
///
/// # Errors
/// If the folder cannot be listed.
pub fn remove_replaced(folder: &Path) -> Result<(), FileError> {
    for (_, path) in list(folder)? {
        let _ = if may_replace(&path, None) { remove(&path) } else { set_aside(&path) };
    }
    Ok(())
}

/// Ends the name of a file that stood where a checkpoint was to be, and that this program may not remove.
const ASIDE: &str = "set-aside";

/// Gives a file another name, which nothing has.
pub(super) fn set_aside(path: &Path) -> Result<(), FileError> {
    let name = |number: u32| {
        let number = if number == 1 { String::new() } else { format!("-{number}") };
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{ASIDE}{number}"));
        PathBuf::from(name)
    };
    let free = (1..).map(name).find(|name| !exists(name)).expect("a folder has fewer files");
    fs::rename(path, free).map_err(|cause| FileError::Write { path: path.into(), cause })
}

/// The newest whole checkpoint in `folder` of at most epoch `limit` that is, in all that a record has, the recorded run.
///
/// # Errors
/// If the folder cannot be listed.
pub fn find_recorded(folder: &Path, limit: u32, record: &RunRecord) -> Result<Search, FileError> {
    newest(folder, limit, |checkpoint| {
        let run = Identity::from(checkpoint).difference(&Identity::from(record), "in the record");
        run.or_else(|| {
            let same = |(report, recorded): &(_, &EpochRecord)| EpochRecord::from(*report) == **recorded;
            let same = checkpoint.epochs.iter().zip(&record.epochs).take_while(same).count();
            (same < checkpoint.epochs.len()).then(|| format!("epoch {} is another one in the record", same + 1))
        })
    })
}

impl<'a> From<&'a RunRecord> for Identity<'a> {
    fn from(record: &'a RunRecord) -> Self {
        let RunRecord { settings, dataset, initial_file, initial_fingerprint, .. } = record;
        let initial_file = initial_file.as_deref();
        Self { settings, dataset, initial_file, initial_fingerprint: *initial_fingerprint }
    }
}

#[cfg(test)]
mod tests {
    use std::iter::zip;

    use cnn_core::shapes::Layers;
    use cnn_train::fingerprint::Fingerprint;
    use cnn_train::recipe::Recipe;

    use super::super::tests::checkpoint;
    use super::*;
    use crate::report::record::{Host, Seconds, Status, Versions};

    /// A folder with these checkpoints of a run.
    fn folder_of(checkpoints: &[&Checkpoint]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for checkpoint in checkpoints {
            fs::write(folder.path().join(file_name(checkpoint.epoch())), checkpoint.to_bytes()).unwrap();
        }
        folder
    }

    /// The run of [`checkpoint`] one epoch earlier.
    fn earlier() -> Checkpoint {
        let mut earlier = checkpoint();
        earlier.state.parameters.fill(0.5);
        earlier.epochs.pop();
        earlier.epochs[0].fingerprint = Fingerprint::of(&earlier.state.parameters);
        earlier
    }

    fn resumed(folder: &Path, change: impl FnOnce(&mut Checkpoint)) -> Result<Search, ResumeError> {
        let mut here = checkpoint();
        change(&mut here);
        find_to_resume(folder, &Identity::from(&here))
    }

    fn found(search: &Search) -> Option<u32> {
        search.found.as_ref().map(|(_, checkpoint)| checkpoint.epoch())
    }

    #[test]
    fn only_names_of_checkpoints_are_listed_and_the_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["epoch-000002.checkpoint", "epoch-1000000.checkpoint", "epoch-000010.checkpoint"];
        let others =
            ["epoch-2.checkpoint", "epoch-+00003.checkpoint", "epoch-000004.checkpoint.bak", ".aaaaaa.partial"];
        for name in names.iter().chain(&others) {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        let epochs: Vec<u32> = list(folder.path()).unwrap().into_iter().map(|(epoch, _)| epoch).collect();
        assert_eq!(epochs, [1_000_000, 10, 2]);
        assert!(list(&folder.path().join("missing")).unwrap().is_empty());
    }

    #[test]
    fn the_newest_one_that_fits_is_taken_whatever_its_planned_epochs() {
        let folder = folder_of(&[&earlier(), &checkpoint()]);
        let search = resumed(folder.path(), |it| it.settings.epochs = 1000).unwrap();
        assert_eq!((found(&search), search.skipped.len()), (Some(2), 0));
        let search = resumed(folder.path(), |it| it.settings.epochs = 2).unwrap();
        assert_eq!(found(&search), Some(2));
        let message = resumed(folder.path(), |it| it.settings.epochs = 1).unwrap_err().to_string();
        assert!(message.contains("after epoch 2") && message.contains("the 1 that are asked for"), "{message}");
    }

    #[test]
    fn every_setting_is_compared_by_bits() {
        let folder = folder_of(&[&checkpoint()]);
        type Change = fn(&mut Checkpoint);
        let changes: [(Change, &str); 11] = [
            (|it| it.settings.batch_size = 3, "the batch size is 2 there and 3 here"),
            (|it| it.settings.learning_rate = 1e-4f32.next_up(), "the learning rate is 0.0001 there and 0.000100000"),
            (|it| it.settings.momentum = 0.9f32.next_down(), "the momentum is 0.9 there and 0.8999"),
            (|it| it.settings.weight_decay = 0.0, "the weight decay is 0.005 there and 0 here"),
            (|it| it.settings.seed = 0, "the seed is 18446744073709551615 there and 0 here"),
            (|it| it.settings.shuffle = false, "shuffling is on there and off here"),
            (
                |it| it.settings.schedule = "cosine".parse().unwrap(),
                "the learning-rate schedule is constant there and cosine here",
            ),
            (
                |it| it.settings.layers = Layers::parse("fc2").unwrap(),
                "what is trained is conv1,conv2,fc1,fc2 there and fc2 here",
            ),
            (|it| it.dataset.sha256[31] = 0, "the data set is ten (abab"),
            (
                |it| {
                    it.initial_fingerprint = Fingerprint::from([9; 32]);
                    it.initial_file = Some("given".into());
                },
                "the file of initial parameters is not given there and given (0909",
            ),
            (|it| it.initial_fingerprint = Fingerprint::from([9; 32]), "its initial parameters are 0101"),
        ];
        for (change, expected) in changes {
            let message = resumed(folder.path(), change).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("another output folder"), "{message}");
        }
        let mut cosine = checkpoint();
        cosine.settings.schedule = "cosine".parse().unwrap();
        let longer = Recipe { epochs: 4, ..cosine.settings };
        let folder_of_cosine = folder_of(&[&cosine]);
        let here = Identity { settings: &longer, ..Identity::from(&cosine) };
        let message = find_to_resume(folder_of_cosine.path(), &here).unwrap_err().to_string();
        assert!(
            message.contains("the number of epochs, on which the schedule depends, is 3 there and 4 here"),
            "{message}"
        );
        let renamed = resumed(folder.path(), |it| it.dataset.name = "the same images".into()).unwrap();
        assert_eq!(found(&renamed), Some(2), "its name is not what a data set is");
    }

    #[test]
    fn damaged_renamed_and_foreign_ones_are_passed_over_if_one_fits() {
        let mut foreign = checkpoint();
        foreign.settings.seed = 5;
        let folder = folder_of(&[&earlier(), &foreign]);
        fs::write(folder.path().join(file_name(8)), b"CNNC").unwrap();
        fs::write(folder.path().join(file_name(9)), checkpoint().to_bytes()).unwrap();
        let search = resumed(folder.path(), |_| ()).unwrap();
        assert_eq!(found(&search), Some(1));
        let messages: Vec<String> = search.skipped.iter().map(ToString::to_string).collect();
        for (message, expected) in zip(&messages, ["holds epoch 2", "truncated", "the seed is 5 there"]) {
            assert!(message.contains(expected), "{message}");
        }
        assert_eq!(messages.len(), 3);
    }

    #[test]
    fn where_all_are_damaged_nothing_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(found(&resumed(folder.path(), |_| ()).unwrap()), None, "an empty folder is no error");
        fs::write(folder.path().join(file_name(1)), b"").unwrap();
        let message = resumed(folder.path(), |_| ()).unwrap_err().to_string();
        assert!(message.contains("epoch-000001.checkpoint") && message.contains("start anew"), "{message}");
    }

    #[test]
    fn what_cannot_be_read_is_refused_unless_it_is_older_than_what_fits() {
        let newer_version = {
            let mut bytes = checkpoint().to_bytes();
            bytes[4] = 3;
            bytes
        };
        for fitting in [&[][..], &[&earlier(), &checkpoint()]] {
            let folder = folder_of(fitting);
            fs::write(folder.path().join(file_name(3)), &newer_version).unwrap();
            let message = resumed(folder.path(), |_| ()).unwrap_err().to_string();
            for words in ["epoch-000003.checkpoint", "version 3", "the program that wrote it", "move it away"] {
                assert!(message.contains(words), "{message}");
            }
            fs::remove_file(folder.path().join(file_name(3))).unwrap();
            fs::create_dir(folder.path().join(file_name(3))).unwrap();
            assert!(matches!(resumed(folder.path(), |_| ()), Err(ResumeError::Unreadable(_))));
        }
        let folder = folder_of(&[&checkpoint()]);
        fs::write(folder.path().join(file_name(1)), &newer_version).unwrap();
        assert_eq!(found(&resumed(folder.path(), |_| ()).unwrap()), Some(2));
    }

    #[test]
    fn only_whole_checkpoints_are_replaced_and_others_get_names_of_their_own() {
        let mut foreign = earlier();
        foreign.settings.seed = 5;
        let folder = folder_of(&[&foreign, &checkpoint()]);
        let path = |epoch| folder.path().join(file_name(epoch));
        fs::write(path(3), b"CNNC").unwrap();
        let here = checkpoint();
        let replaceable = |here| [1, 2, 3].map(|epoch| may_replace(&path(epoch), here));
        assert_eq!(replaceable(Some(&here)), [false, true, false]);
        assert_eq!(replaceable(None), [true, true, false]);
        for text in ["first", "second"] {
            fs::write(path(3), text).unwrap();
            set_aside(&path(3)).unwrap();
        }
        let aside = |number: &str| fs::read_to_string(format!("{}.set-aside{number}", path(3).display())).unwrap();
        assert_eq!((aside("").as_str(), aside("-2").as_str()), ("first", "second"));
    }

    #[test]
    fn a_record_vouches_for_checkpoints_whose_every_epoch_it_has() {
        let checkpoint = checkpoint();
        let folder = folder_of(&[&earlier(), &checkpoint]);
        let mut record = RunRecord {
            versions: Versions::current(&checkpoint.settings, None),
            status: Status::Interrupted,
            settings: checkpoint.settings,
            dataset: checkpoint.dataset.clone(),
            backend: "reference".into(),
            host: Host::current(),
            seconds: Seconds { training: 1.0, evaluation: 1.0, total: 1.0 },
            initial_file: None,
            initial_fingerprint: checkpoint.initial_fingerprint,
            epochs: checkpoint.epochs.iter().map(EpochRecord::from).collect(),
        };
        // The record has the first epoch of the later checkpoint, not that of the earlier one.
        assert_eq!(found(&find_recorded(folder.path(), 2, &record).unwrap()), Some(2));
        assert_eq!(found(&find_recorded(folder.path(), 1, &record).unwrap()), None);
        assert_eq!(found(&find_recorded(folder.path(), 0, &record).unwrap()), None);
        record.epochs[1].test_loss = record.epochs[1].test_loss.next_up();
        let search = find_recorded(folder.path(), 2, &record).unwrap();
        assert!(search.skipped[0].to_string().contains("epoch 2 is another one in the record"), "{search:?}");
    }
}
