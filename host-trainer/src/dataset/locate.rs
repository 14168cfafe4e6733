//! Where the data set of a run comes from.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cnn_core::image::Pixels;
use cnn_train::dataset::digest::{Digests, of_dataset};
use cnn_train::dataset::{Dataset, Samples, Split, synthetic};
use cnn_train::threads;

use super::download::{DownloadError, DownloadOptions, MIRRORS, download};
use super::idx::{self, Fault};
use super::mnist::{self, OriginalFile};
use super::npz;
use crate::files::{FileError, read_limited, remove_abandoned};

/// Where downloads go unless told otherwise.
pub const DOWNLOAD_FOLDER: &str = "data/mnist";

/// Which data set is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// MNIST; if no source is named, and without files and without network, synthetic digits.
    #[default]
    Auto,
    /// MNIST or an error.
    Mnist,
    /// Synthetic digits, drawn on the spot.
    Synthetic,
}

/// What is known of where the data is.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which data set.
    pub source: Source,
    /// The folder or the `.npz` file to read.
    pub data: Option<PathBuf>,
    /// Where to download from into the download folder; if empty, from [`MIRRORS`].
    pub mirrors: Vec<String>,
    /// What to read if `data` is none and `mirrors` is empty: the environment variable `MNIST_DIR`, which is taken for
    /// unset if it is empty.
    pub mnist_dir: Option<PathBuf>,
    /// The folder to read otherwise, after what it lacks of MNIST has been downloaded into it.
    pub download_folder: PathBuf,
    /// How to reach the mirrors.
    pub download: DownloadOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            source: Source::Auto,
            data: None,
            mirrors: Vec::new(),
            mnist_dir: None,
            download_folder: DOWNLOAD_FOLDER.into(),
            download: DownloadOptions::default(),
        }
    }
}

/// Both splits, ready to use.
#[derive(Debug)]
pub struct OpenedDataset {
    /// The data set.
    pub dataset: Dataset,
    /// What the user must be told of where it comes from.
    pub notice: Option<Notice>,
}

/// One split, ready to use.
#[derive(Debug)]
pub struct OpenedSplit {
    /// What the data set is called.
    pub name: String,
    /// Its samples.
    pub samples: Samples,
    /// What the user must be told of where it comes from.
    pub notice: Option<Notice>,
}

/// What the user must be told of where a data set comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Drawn digits stand in for MNIST, and why.
    StandIn(String),
    /// It is, but came on a way that others can see.
    Remark(String),
}

/// Who named a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Whoever asked for the data.
    Given,
    /// The environment variable `MNIST_DIR`.
    Environment,
    /// Nobody: it is where downloads go.
    Download,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Given => "the given path",
            Self::Environment => "MNIST_DIR",
            Self::Download => "the download folder",
        })
    }
}

/// A source of data that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedSource {
    /// A folder or a file.
    Path,
    /// Where to download from.
    Mirror,
    /// Digits that are drawn.
    Synthetic,
}

impl fmt::Display for NamedSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Path => "a path",
            Self::Mirror => "a mirror",
            Self::Synthetic => "synthetic digits",
        })
    }
}

/// Why there is no data set.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// Two sources are named.
    #[error("{0} and {1} are two sources of data: leave one of them out")]
    TwoSources(NamedSource, NamedSource),
    /// The folder is missing, not readable or not a folder.
    #[error("{origin} ({}) cannot be read as a folder: {cause}; name the folder that holds the four IDX files",
        folder.display())]
    Folder {
        /// Who named it.
        origin: Origin,
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The folder has no such file.
    #[error("{origin} ({}) holds no {name} or {name}.gz, but {holds}; name the folder that holds the four IDX files, \
             or Keras' mnist.npz", folder.display())]
    Missing {
        /// Who named the folder.
        origin: Origin,
        /// The folder.
        folder: PathBuf,
        /// The file.
        name: &'static str,
        /// What the folder holds instead.
        holds: String,
    },
    /// There is more than one data set in the folder.
    #[error("{origin} ({}) holds more than one data set: {}; name one of them", folder.display(),
        found.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))]
    Ambiguous {
        /// Who named the folder.
        origin: Origin,
        /// The folder.
        folder: PathBuf,
        /// Where the data sets are.
        found: Vec<PathBuf>,
    },
    /// A file cannot be used.
    #[error("{} {fault}; {}", path.display(), advice(*origin))]
    File {
        /// Who named it or its folder.
        origin: Origin,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// An `.npz` file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] FileError),
    /// There are not as many labels as images.
    #[error("{} holds {image_count} images, but {} holds {label_count} labels: both must belong to the same split; {}",
        images.display(), labels.display(), advice(*origin))]
    Counts {
        /// Who named their folder.
        origin: Origin,
        /// The file of images.
        images: PathBuf,
        /// How many it holds.
        image_count: usize,
        /// The file of labels.
        labels: PathBuf,
        /// How many it holds.
        label_count: usize,
    },
    /// A file in the download folder is sound, but not MNIST's.
    #[error("{} is not the file of MNIST: its contents have another SHA-256; {}, or name {} as the data to take it as it is",
        path.display(), advice(Origin::Download), path.parent().unwrap_or(Path::new(".")).display())]
    NotOriginal {
        /// The file.
        path: PathBuf,
    },
    /// MNIST was asked for, and the folder that was named holds something else.
    #[error("MNIST is asked for, but {origin} ({}) holds {name}; name the folder of MNIST, or ask for any data set", place.display())]
    NotMnist {
        /// Who named the place.
        origin: Origin,
        /// Where the data is.
        place: PathBuf,
        /// What it is called.
        name: String,
    },
    /// MNIST is not here and could not be downloaded.
    #[error(
        "{0}; to train without a download, put the four files of MNIST into a folder and name it, in MNIST_DIR for \
             example, or take synthetic digits"
    )]
    Download(DownloadError),
}

impl DatasetError {
    /// Whether the flags are wrong rather than the data.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::TwoSources(..) | Self::Download(DownloadError::Mirror(_)))
    }
}

fn advice(origin: Origin) -> &'static str {
    match origin {
        Origin::Download => "remove it, and the next start downloads it again",
        Origin::Given | Origin::Environment => "replace it or name another folder",
    }
}

/// Finds both splits, downloads them or draws them.
///
/// They are looked for where [`Options::data`] says, else in the download folder if a mirror is named, else where `MNIST_DIR`
/// says, else in the download folder. The places that are named may hold any set of 28×28 images and labels from 0 to 9,
/// unless the source is [`Source::Mnist`]; the download folder holds MNIST and nothing else.
///
/// [`Source::Auto`] draws digits only if nobody named a source, and there is no MNIST to be had: nothing downloaded, no
/// mirror that sends anything.
///
/// # Errors
/// If a place that was named lacks a file, if a file is damaged, if a mirror sends anything but MNIST, if a download
/// cannot be written, and, unless nobody named a source, if no mirror sends anything.
pub fn open(options: &Options) -> Result<OpenedDataset, DatasetError> {
    let (place, notice) = match find(options, &[Split::Train, Split::Test])? {
        Found::Place(place, notice) => (place, notice),
        Found::Drawn(notice) => return Ok(OpenedDataset { dataset: synthetic::standard(), notice }),
    };
    let [train, test] = place.read()?;
    let name = place.name(&[&train, &test]);
    place.check(options, &name)?;
    let hash = of_dataset(&train.digests, &test.digests);
    Ok(OpenedDataset { dataset: Dataset { name, hash, train: train.samples, test: test.samples }, notice })
}

/// [`open`] of a single split: nothing else is read, downloaded or drawn.
///
/// # Errors
/// As [`open`].
pub fn open_split(options: &Options, split: Split) -> Result<OpenedSplit, DatasetError> {
    match find(options, &[split])? {
        Found::Place(place, notice) => {
            let read = place.read_split(split)?;
            let name = place.name(&[&read]);
            place.check(options, &name)?;
            Ok(OpenedSplit { name, samples: read.samples, notice })
        }
        Found::Drawn(notice) => Ok(OpenedSplit {
            name: synthetic::name(synthetic::DEFAULT_SEED),
            samples: synthetic::standard_split(split),
            notice,
        }),
    }
}

/// Where the samples are.
enum Found {
    Place(Place, Option<Notice>),
    /// Nowhere: they are to be drawn.
    Drawn(Option<Notice>),
}

/// Decides where the splits come from, and downloads what is missing.
fn find(options: &Options, splits: &[Split]) -> Result<Found, DatasetError> {
    let named = match options {
        Options { data: Some(_), mirrors, .. } if !mirrors.is_empty() => {
            return Err(DatasetError::TwoSources(NamedSource::Path, NamedSource::Mirror));
        }
        Options { source: Source::Synthetic, data: Some(_), .. } => {
            return Err(DatasetError::TwoSources(NamedSource::Synthetic, NamedSource::Path));
        }
        Options { source: Source::Synthetic, mirrors, .. } if !mirrors.is_empty() => {
            return Err(DatasetError::TwoSources(NamedSource::Synthetic, NamedSource::Mirror));
        }
        Options { source: Source::Synthetic, .. } => return Ok(Found::Drawn(None)),
        Options { data: Some(path), .. } => Some((Origin::Given, path)),
        Options { mirrors, mnist_dir: Some(path), .. } if mirrors.is_empty() && !path.as_os_str().is_empty() => {
            Some((Origin::Environment, path))
        }
        _ => None,
    };
    if let Some((origin, path)) = named {
        return Ok(Found::Place(Place::under(origin, path)?, None));
    }
    let folder = &options.download_folder;
    match complete(folder, splits, options) {
        Ok(remark) => {
            let place = Place { origin: Origin::Download, kind: PlaceKind::Idx, path: folder.clone() };
            Ok(Found::Place(place, remark.map(Notice::Remark)))
        }
        Err(error) if error.is_unreachable() && options.source == Source::Auto && options.mirrors.is_empty() => {
            Ok(Found::Drawn(Some(Notice::StandIn(stand_in_warning(folder, &error)))))
        }
        Err(error) => Err(DatasetError::Download(error)),
    }
}

/// Downloads what a folder lacks of the splits. Returns what must be said of the way on which it came.
fn complete(folder: &Path, splits: &[Split], options: &Options) -> Result<Option<String>, DownloadError> {
    remove_abandoned(folder);
    let missing: Vec<OriginalFile> = splits
        .iter()
        .flat_map(|&split| mnist::files(split))
        .filter(|file| file.find(folder).is_none())
        .copied()
        .collect();
    let mirrors = if options.mirrors.is_empty() { &MIRRORS.map(String::from)[..] } else { &options.mirrors };
    download(&missing, folder, mirrors, &options.download)
}

fn stand_in_warning(folder: &Path, error: &DownloadError) -> String {
    format!(
        "this is NOT MNIST: {} stand in for it, and results say nothing about MNIST. \
         Neither a path nor MNIST_DIR names a folder, {} does not hold the files, and {error}.",
        synthetic::name(synthetic::DEFAULT_SEED),
        folder.display()
    )
}

/// Where the files of a data set are.
struct Place {
    origin: Origin,
    kind: PlaceKind,
    path: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PlaceKind {
    /// A folder of IDX files.
    Idx,
    /// A file of arrays.
    Npz,
}

/// A split with what identifies it.
struct ReadSplit {
    samples: Samples,
    digests: Digests,
    /// What the data set is, if it is one that is known.
    known: Option<&'static str>,
}

impl ReadSplit {
    /// `paths` are the files of images and of labels, if they are archives of their own.
    fn new(split: Split, samples: Samples, paths: Option<&[PathBuf; 2]>) -> Self {
        let digests = samples.digests();
        let known = if mnist::originals(split, &digests) == [true; 2] {
            Some("MNIST")
        } else {
            paths.is_some_and(|paths| mnist::is_fashion(split, paths)).then_some("FashionMNIST")
        };
        Self { samples, digests, known }
    }
}

impl Place {
    /// The one data set at a path that was named: a file of arrays, a folder of IDX files, or a folder above it as
    /// torchvision makes them (`ROOT/MNIST/raw`).
    fn under(origin: Origin, path: &Path) -> Result<Self, DatasetError> {
        if !path.is_dir() && path.exists() {
            return Ok(Self { origin, kind: PlaceKind::Npz, path: path.into() });
        }
        let names = names_in(path).map_err(|cause| DatasetError::Folder { origin, folder: path.into(), cause })?;
        if holds_idx(path) {
            return Ok(Self { origin, kind: PlaceKind::Idx, path: path.into() });
        }
        let mut found = Vec::new();
        for name in &names {
            let below = path.join(name);
            if below.is_dir() {
                let folders = [below.join("raw"), below];
                found.extend(folders.into_iter().find(|folder| holds_idx(folder)).map(|path| (PlaceKind::Idx, path)));
            } else if below.extension().is_some_and(|extension| extension == "npz") {
                found.push((PlaceKind::Npz, below));
            }
        }
        match found.len() {
            0 => Err(Self::missing(origin, path, mnist::files(Split::Train)[0].name)),
            1 => Ok(found.remove(0)).map(|(kind, path)| Self { origin, kind, path }),
            _ => {
                let found = found.into_iter().map(|(_, path)| path).collect();
                Err(DatasetError::Ambiguous { origin, folder: path.into(), found })
            }
        }
    }

    fn missing(origin: Origin, folder: &Path, name: &'static str) -> DatasetError {
        let names = names_in(folder).unwrap_or_default();
        let shown: Vec<_> = names.iter().take(NAMES_SHOWN).map(|name| Path::new(name).display().to_string()).collect();
        let holds = match names.len() {
            0 => "nothing at all".into(),
            count if count > NAMES_SHOWN => format!("{} and {} more", shown.join(", "), count - NAMES_SHOWN),
            _ => shown.join(", "),
        };
        DatasetError::Missing { origin, folder: folder.into(), name, holds }
    }

    /// What the data set in this place is called: what it is if that is known, otherwise as the file or the folder.
    fn name(&self, splits: &[&ReadSplit]) -> String {
        if let Some(known) = splits[0].known
            && splits.iter().all(|split| split.known == Some(known))
        {
            return known.into();
        }
        let full = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        // torchvision's folder for the files of any data set says nothing.
        let named = if full.ends_with("raw") { full.parent().unwrap_or(&full) } else { &full };
        format!("{} (not the original MNIST)", named.file_name().unwrap_or(named.as_os_str()).display())
    }

    /// Makes sure that it is MNIST if that was asked for.
    fn check(&self, options: &Options, name: &str) -> Result<(), DatasetError> {
        if options.source == Source::Mnist && name != "MNIST" {
            return Err(DatasetError::NotMnist { origin: self.origin, place: self.path.clone(), name: name.into() });
        }
        Ok(())
    }

    /// Reads both splits.
    fn read(&self) -> Result<[ReadSplit; 2], DatasetError> {
        let (train, test) = match self.kind {
            PlaceKind::Idx => threads::join(|| self.read_idx(Split::Train), || self.read_idx(Split::Test)),
            PlaceKind::Npz => {
                let file = self.npz()?;
                threads::join(|| self.read_npz(&file, Split::Train), || self.read_npz(&file, Split::Test))
            }
        };
        Ok([train?, test?])
    }

    fn read_split(&self, split: Split) -> Result<ReadSplit, DatasetError> {
        match self.kind {
            PlaceKind::Idx => self.read_idx(split),
            PlaceKind::Npz => self.read_npz(&self.npz()?, split),
        }
    }

    fn npz(&self) -> Result<Vec<u8>, DatasetError> {
        Ok(read_limited(&self.path, npz::MAX_FILE_BYTES)?)
    }

    fn read_npz(&self, file: &[u8], split: Split) -> Result<ReadSplit, DatasetError> {
        let (images, labels) = npz::parse(file, split).map_err(|fault| self.faulty(&self.path, fault))?;
        let samples = self.samples(images, labels, &[self.path.clone(), self.path.clone()])?;
        Ok(ReadSplit::new(split, samples, None))
    }

    /// Reads a split. What lies in the download folder must be MNIST.
    fn read_idx(&self, split: Split) -> Result<ReadSplit, DatasetError> {
        let [images_file, labels_file] = mnist::files(split);
        let paths = [self.find(images_file)?, self.find(labels_file)?];
        let (images, labels) = threads::join(|| idx::read_images(&paths[0]), || idx::read_labels(&paths[1]));
        let images = images.map_err(|fault| self.faulty(&paths[0], fault))?;
        let labels = labels.map_err(|fault| self.faulty(&paths[1], fault))?;
        let read = ReadSplit::new(split, self.samples(images, labels, &paths)?, Some(&paths));
        let originals = mnist::originals(split, &read.digests);
        if self.origin == Origin::Download
            && let Some(other) = originals.iter().position(|&original| !original)
        {
            return Err(DatasetError::NotOriginal { path: paths[other].clone() });
        }
        Ok(read)
    }

    fn samples(&self, images: Vec<Pixels>, labels: Vec<u8>, paths: &[PathBuf; 2]) -> Result<Samples, DatasetError> {
        if images.len() == labels.len() {
            return Ok(Samples::new(images, labels));
        }
        let [images_path, labels_path] = paths.clone();
        Err(DatasetError::Counts {
            origin: self.origin,
            images: images_path,
            image_count: images.len(),
            labels: labels_path,
            label_count: labels.len(),
        })
    }

    fn find(&self, file: &OriginalFile) -> Result<PathBuf, DatasetError> {
        file.find(&self.path).ok_or_else(|| Self::missing(self.origin, &self.path, file.name))
    }

    fn faulty(&self, path: &Path, fault: Fault) -> DatasetError {
        DatasetError::File { origin: self.origin, path: path.into(), fault }
    }
}

/// Names that an error shows of a folder.
const NAMES_SHOWN: usize = 5;

/// Whether any of the four files is here.
fn holds_idx(folder: &Path) -> bool {
    [Split::Train, Split::Test].into_iter().flat_map(mnist::files).any(|file| file.find(folder).is_some())
}

/// The names in a folder, in order.
fn names_in(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::download::Proxies;
    use super::*;

    const IMAGE: usize = 784;

    /// A well-formed data set that is not MNIST: as many images and labels as told for each split.
    fn write_set(folder: &Path, train: [u8; 2], test: [u8; 2]) {
        for (split, [images, labels]) in [(Split::Train, train), (Split::Test, test)] {
            let [images_file, labels_file] = mnist::files(split);
            let dimensions = [0, 0, 0, 28, 0, 0, 0, 28];
            let pixels = vec![7; usize::from(images) * IMAGE];
            let file = [&[0, 0, 8, 3, 0, 0, 0, images][..], &dimensions, &pixels].concat();
            fs::write(folder.join(images_file.name), file).unwrap();
            let file = [&[0, 0, 8, 1, 0, 0, 0, labels][..], &vec![7; usize::from(labels)]].concat();
            fs::write(folder.join(labels_file.name), file).unwrap();
        }
    }

    /// No way out but a proxy that nobody runs, and a download folder of its own that does not exist yet.
    fn offline(parent: &Path) -> Options {
        let second = Duration::from_secs(1);
        let proxies = Some(Proxies::everywhere("http://127.0.0.1:9"));
        Options {
            download_folder: parent.join("downloads"),
            download: DownloadOptions { answer: second, stall: second, proxies, ..DownloadOptions::default() },
            ..Options::default()
        }
    }

    /// A mirror that nobody runs.
    fn mirrors() -> Vec<String> {
        vec!["http://127.0.0.1:9/mnist".into()]
    }

    #[test]
    fn any_data_set_of_this_shape_may_be_given_by_flag_or_environment() {
        let folder = tempfile::tempdir().unwrap();
        write_set(folder.path(), [3, 3], [2, 2]);
        let path = folder.path().canonicalize().unwrap();
        let missing = Some(folder.path().join("missing"));
        for options in [
            Options { data: Some(path.clone()), mnist_dir: missing, ..offline(folder.path()) },
            Options { mnist_dir: Some(path.clone()), ..offline(folder.path()) },
        ] {
            let OpenedDataset { dataset, notice } = open(&options).unwrap();
            assert_eq!(notice, None);
            let folder_name = path.file_name().unwrap().display();
            assert_eq!(dataset.name, format!("{folder_name} (not the original MNIST)"));
            assert_eq!((dataset.train.len(), dataset.test.len()), (3, 2));
            assert_eq!(dataset, Dataset::new(dataset.name.clone(), dataset.train.clone(), dataset.test.clone()));
            assert_eq!(open_split(&options, Split::Test).unwrap().samples, dataset.test);
            // Whoever asks for MNIST gets MNIST.
            let mnist = Options { source: Source::Mnist, ..options };
            for error in [open(&mnist).unwrap_err(), open_split(&mnist, Split::Test).unwrap_err()] {
                assert!(matches!(error, DatasetError::NotMnist { .. }), "{error}");
            }
        }
    }

    #[test]
    fn names_with_a_dot_are_found_too() {
        let folder = tempfile::tempdir().unwrap();
        write_set(folder.path(), [3, 3], [2, 2]);
        for split in [Split::Train, Split::Test] {
            for file in mnist::files(split) {
                let path = file.find(folder.path()).unwrap();
                fs::rename(path, folder.path().join(file.name.replace("-idx", ".idx"))).unwrap();
            }
        }
        assert!(open(&Options { data: Some(folder.path().into()), ..offline(folder.path()) }).is_ok());
    }

    #[test]
    fn a_split_is_read_without_the_other() {
        let folder = tempfile::tempdir().unwrap();
        write_set(folder.path(), [3, 2], [2, 2]);
        let options = Options { data: Some(folder.path().into()), ..offline(folder.path()) };
        assert_eq!(open_split(&options, Split::Test).unwrap().samples.len(), 2);
        let error = open(&options).unwrap_err();
        assert!(matches!(error, DatasetError::Counts { image_count: 3, label_count: 2, .. }), "{error}");
        fs::remove_file(folder.path().join("train-labels-idx1-ubyte")).unwrap();
        assert!(open_split(&options, Split::Test).is_ok());
        let error = open(&options).unwrap_err();
        assert!(matches!(error, DatasetError::Missing { name: "train-labels-idx1-ubyte", .. }), "{error}");
    }

    #[test]
    fn a_folder_that_was_named_is_never_replaced_by_digits() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, b"").unwrap();
        let missing = parent.path().join("missing");
        for (options, origin) in [
            (Options { data: Some(missing.clone()), ..offline(parent.path()) }, "the given path"),
            (Options { mnist_dir: Some(missing.clone()), ..offline(parent.path()) }, "MNIST_DIR"),
        ] {
            let error = open(&options).unwrap_err();
            assert!(matches!(error, DatasetError::Folder { .. }), "{error}");
            let message = error.to_string();
            assert!(message.contains(origin) && message.contains(missing.to_str().unwrap()), "{message}");
            let data = options.data.as_ref().map(|_| file.clone());
            let mnist_dir = options.mnist_dir.as_ref().map(|_| file.clone());
            let message = open(&Options { data, mnist_dir, ..options }).unwrap_err().to_string();
            assert!(message.contains("/file is not a whole .npz archive"), "{message}");
        }
        write_set(parent.path(), [3, 3], [2, 2]);
        fs::write(parent.path().join("t10k-labels-idx1-ubyte"), b"cut").unwrap();
        let options = Options { data: Some(parent.path().into()), ..offline(parent.path()) };
        let error = open(&options).unwrap_err();
        assert!(matches!(error, DatasetError::File { fault: Fault::Truncated { .. }, .. }), "{error}");
        assert!(error.to_string().contains("t10k-labels-idx1-ubyte is cut"), "{error}");
    }

    #[test]
    fn digits_stand_in_only_where_nobody_named_a_source() {
        let parent = tempfile::tempdir().unwrap();
        let options = Options { mnist_dir: Some("".into()), ..offline(parent.path()) };
        let OpenedSplit { name, samples, notice } = open_split(&options, Split::Test).unwrap();
        assert_eq!(name, "synthetic digits (seed 0)");
        assert_eq!(samples.len(), synthetic::TEST_LEN);
        let Some(Notice::StandIn(warning)) = notice else { panic!("{notice:?}") };
        assert!(warning.contains("NOT MNIST") && warning.contains("/t10k-images"), "{warning}");
        assert!(!options.download_folder.exists());
        for named in [
            Options { source: Source::Mnist, ..options.clone() },
            Options { mirrors: mirrors(), ..options.clone() },
            Options { mirrors: mirrors(), source: Source::Mnist, ..options.clone() },
            // A flag counts before the environment.
            Options { mirrors: mirrors(), mnist_dir: Some(parent.path().into()), ..options },
        ] {
            for error in [open(&named).unwrap_err(), open_split(&named, Split::Train).unwrap_err()] {
                assert!(matches!(error, DatasetError::Download(DownloadError::Unavailable { .. })), "{error}");
            }
        }
    }

    #[test]
    fn digits_that_were_asked_for_come_without_a_warning_and_not_beside_another_source() {
        let parent = tempfile::tempdir().unwrap();
        let synthetic =
            Options { source: Source::Synthetic, mnist_dir: Some("missing".into()), ..offline(parent.path()) };
        assert_eq!(open_split(&synthetic, Split::Test).unwrap().notice, None);
        let data = Some(parent.path().to_path_buf());
        for two in [
            Options { data: data.clone(), ..synthetic.clone() },
            Options { mirrors: mirrors(), ..synthetic },
            Options { data, mirrors: mirrors(), ..offline(parent.path()) },
        ] {
            let error = open(&two).unwrap_err();
            assert!(matches!(error, DatasetError::TwoSources(..)) && error.is_usage(), "{error}");
        }
    }

    /// The four files under other names: `rename` gets the name and makes a path of it.
    fn write_renamed(folder: &Path, rename: impl Fn(&str) -> PathBuf) {
        let plain = tempfile::tempdir().unwrap();
        write_set(plain.path(), [3, 3], [2, 2]);
        for name in names_in(plain.path()).unwrap() {
            let path = folder.join(rename(name.to_str().unwrap()));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::copy(plain.path().join(name), path).unwrap();
        }
    }

    fn by_flag(path: &Path) -> Options {
        Options { data: Some(path.into()), ..offline(path) }
    }

    #[test]
    fn files_in_folders_of_their_names_are_found_beside_dotted_ones() {
        let folder = tempfile::tempdir().unwrap();
        write_renamed(folder.path(), |name| Path::new(name).join(name));
        assert_eq!(open(&by_flag(folder.path())).unwrap().dataset.train.len(), 3);
        // As Kaggle has them: the dotted ones are files. They come first.
        write_renamed(folder.path(), |name| name.replace("-idx", ".idx").into());
        fs::write(folder.path().join("t10k-labels-idx1-ubyte/t10k-labels-idx1-ubyte"), b"another").unwrap();
        assert_eq!(open(&by_flag(folder.path())).unwrap().dataset.test.len(), 2);
        // A folder without the file in it is named.
        let empty = tempfile::tempdir().unwrap();
        fs::create_dir(empty.path().join("train-images-idx3-ubyte")).unwrap();
        write_renamed(empty.path(), |name| if name.starts_with("train-images") { "x" } else { name }.into());
        let message = open(&by_flag(empty.path())).unwrap_err().to_string();
        assert!(message.contains("train-images-idx3-ubyte is a folder, not a regular file"), "{message}");
    }

    #[test]
    fn the_folders_of_torchvision_are_known_at_every_level() {
        let root = tempfile::tempdir().unwrap();
        write_renamed(root.path(), |name| Path::new("FashionMNIST/raw").join(name));
        for level in ["", "FashionMNIST", "FashionMNIST/raw"] {
            for options in [
                by_flag(&root.path().join(level)),
                Options { mnist_dir: Some(root.path().join(level)), ..offline(root.path()) },
            ] {
                assert_eq!(open(&options).unwrap().dataset.name, "FashionMNIST (not the original MNIST)", "{level}");
            }
        }
        write_renamed(root.path(), |name| Path::new("MNIST/raw").join(name));
        let error = open(&by_flag(root.path())).unwrap_err();
        assert!(matches!(error, DatasetError::Ambiguous { .. }), "{error}");
        let message = error.to_string();
        for words in ["FashionMNIST/raw", "/MNIST/raw", "name one of them"] {
            assert!(message.contains(words), "{message}");
        }
        assert!(open(&by_flag(&root.path().join("MNIST"))).is_ok());
    }

    #[test]
    fn a_folder_without_the_files_is_shown_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let message = open(&by_flag(folder.path())).unwrap_err().to_string();
        assert!(message.contains("nothing at all"), "{message}");
        fs::write(folder.path().join("emnist-letters-train-images-idx3-ubyte.gz"), b"").unwrap();
        let message = open_split(&by_flag(folder.path()), Split::Test).unwrap_err().to_string();
        assert!(message.contains("but emnist-letters-train-images-idx3-ubyte.gz;"), "{message}");
        for index in 0..9 {
            fs::write(folder.path().join(format!("x{index}")), b"").unwrap();
        }
        let message = open(&by_flag(folder.path())).unwrap_err().to_string();
        assert!(message.contains("x3 and 5 more"), "{message}");
    }

    #[test]
    fn arrays_are_read_from_a_file_that_is_named_or_lies_alone_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("digits.npz");
        fs::write(&path, npz::tests::archive(3, 2)).unwrap();
        for place in [folder.path(), &path] {
            let OpenedDataset { dataset, notice } = open(&by_flag(place)).unwrap();
            assert_eq!((dataset.train.len(), dataset.test.len(), notice), (3, 2, None));
            assert_eq!(dataset.name, "digits.npz (not the original MNIST)");
            assert_eq!(open_split(&by_flag(place), Split::Test).unwrap().samples, dataset.test);
        }
        fs::write(folder.path().join("other.npz"), b"").unwrap();
        assert!(matches!(open(&by_flag(folder.path())), Err(DatasetError::Ambiguous { .. })));
        let message = open(&by_flag(&folder.path().join("other.npz"))).unwrap_err().to_string();
        assert!(message.contains("other.npz is not a whole .npz archive"), "{message}");
    }

    #[test]
    fn the_download_folder_holds_mnist_or_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let options = Options { mirrors: mirrors(), ..offline(parent.path()) };
        fs::create_dir(&options.download_folder).unwrap();
        write_set(&options.download_folder, [3, 3], [2, 2]);
        let error = open(&options).unwrap_err();
        assert!(
            matches!(&error, DatasetError::NotOriginal { path } if path.ends_with("train-images-idx3-ubyte")),
            "{error}"
        );
        fs::write(options.download_folder.join("train-images-idx3-ubyte"), b"cut").unwrap();
        let message = open(&options).unwrap_err().to_string();
        assert!(message.contains("is cut") && message.contains("remove it"), "{message}");
    }
}
