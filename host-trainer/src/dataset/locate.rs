//! Where the data set of a run comes from.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::download::{DownloadError, MIRRORS, Network, download};
use super::idx::{self, Fault};
use super::mnist::{self, OriginalFile};
use super::synthetic;
use super::{Dataset, Digests, Samples, Split, combine};
use crate::threads;

/// Where downloads go unless told otherwise.
pub const DOWNLOAD_FOLDER: &str = "data/mnist";

/// Which data set is wanted (`--dataset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Source {
    /// MNIST; without files and without network, synthetic digits
    #[default]
    Auto,
    /// MNIST or an error
    Mnist,
    /// Synthetic digits, drawn on the spot
    Synthetic,
}

/// What is known of where the data is.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which data set (`--dataset`).
    pub source: Source,
    /// The folder to read (`--data`). It must hold the files.
    pub data: Option<PathBuf>,
    /// The folder to read if `data` is none: the environment variable `MNIST_DIR`. It must hold the files too, but is
    /// taken for unset if it is empty.
    pub mnist_dir: Option<PathBuf>,
    /// The folder to read if both are none, after what it lacks of MNIST has been downloaded into it.
    pub download_folder: PathBuf,
    /// Where to download from (`--mirror`); if empty, from [`MIRRORS`].
    pub mirrors: Vec<String>,
    /// How to reach the mirrors.
    pub network: Network,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            source: Source::Auto,
            data: None,
            mnist_dir: None,
            download_folder: DOWNLOAD_FOLDER.into(),
            mirrors: Vec::new(),
            network: Network::default(),
        }
    }
}

/// Both splits, ready to use.
#[derive(Debug)]
pub struct Opened {
    /// The data set.
    pub dataset: Dataset,
    /// What the user must be told: the data set is not the one that was hoped for.
    pub warning: Option<String>,
}

/// One split, ready to use.
#[derive(Debug)]
pub struct OpenedSplit {
    /// What the data set is called.
    pub name: String,
    /// Its samples.
    pub samples: Samples,
    /// What the user must be told: the data set is not the one that was hoped for.
    pub warning: Option<String>,
}

/// Who named a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The flag `--data`.
    Flag,
    /// The environment variable `MNIST_DIR`.
    Environment,
    /// Nobody: it is where downloads go.
    Download,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Flag => "--data",
            Self::Environment => "MNIST_DIR",
            Self::Download => "the download folder",
        })
    }
}

/// Why there is no data set.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A folder was named for data that is drawn.
    #[error("--dataset synthetic reads no files, but --data names a folder: leave one of them out")]
    SyntheticWithData,
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
    #[error("{origin} ({}) holds no {name} or {name}.gz; name the folder that holds the four IDX files",
        folder.display())]
    Missing {
        /// Who named the folder.
        origin: Origin,
        /// The folder.
        folder: PathBuf,
        /// The file.
        name: &'static str,
    },
    /// A file cannot be used.
    #[error("{} {fault}; {}", path.display(), advice(*origin))]
    File {
        /// Who named its folder.
        origin: Origin,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
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
    #[error("{} is not the file of MNIST: its contents have another SHA-256; {}, or use --data {} to take it as it is",
        path.display(), advice(Origin::Download), path.parent().unwrap_or(Path::new(".")).display())]
    NotOriginal {
        /// The file.
        path: PathBuf,
    },
    /// MNIST is not here and could not be downloaded.
    #[error(
        "{0}\nto train without a download, put the four files of MNIST into a folder and name it with --data DIR or \
             MNIST_DIR, or use --dataset synthetic"
    )]
    Download(DownloadError),
}

fn advice(origin: Origin) -> &'static str {
    match origin {
        Origin::Download => "remove it, and the next start downloads it again",
        Origin::Flag | Origin::Environment => "replace it or name another folder",
    }
}

/// Finds both splits, downloads them or draws them.
///
/// Files are looked for in the folder of `--data`, else in that of `MNIST_DIR`, else in the download folder. Any IDX set
/// of 28×28 images and labels from 0 to 9 may be given in the first two; the third holds MNIST and nothing else.
///
/// [`Source::Auto`] draws digits only if there is no MNIST to be had: no folder named, nothing downloaded, no mirror that
/// sends anything.
///
/// # Errors
/// If a folder that was named lacks a file, if a file is damaged, if a mirror sends anything but MNIST, if a download
/// cannot be written, and, unless the source is [`Source::Auto`], if no mirror sends anything.
pub fn open(options: &Options) -> Result<Opened, DatasetError> {
    let (folder, warning) = match place(options, &[Split::Train, Split::Test])? {
        Place::Files(folder) => (folder, None),
        Place::Drawn { warning } => return Ok(Opened { dataset: synthetic::standard(), warning }),
    };
    let (train, test) = threads::join(|| folder.read(Split::Train), || folder.read(Split::Test));
    let (train, test) = (train?, test?);
    let name = folder.name(train.is_original() && test.is_original());
    let hash = combine(&train.digests, &test.digests);
    Ok(Opened { dataset: Dataset { name, hash, train: train.samples, test: test.samples }, warning })
}

/// [`open`] of a single split: nothing else is read, downloaded or drawn.
///
/// # Errors
/// As [`open`].
pub fn open_split(options: &Options, split: Split) -> Result<OpenedSplit, DatasetError> {
    match place(options, &[split])? {
        Place::Files(folder) => {
            let read = folder.read(split)?;
            Ok(OpenedSplit { name: folder.name(read.is_original()), samples: read.samples, warning: None })
        }
        Place::Drawn { warning } => Ok(OpenedSplit {
            name: synthetic::name(synthetic::DEFAULT_SEED),
            samples: synthetic::standard_split(split),
            warning,
        }),
    }
}

/// Where the samples are.
enum Place {
    Files(Folder),
    /// Nowhere: they are to be drawn.
    Drawn {
        warning: Option<String>,
    },
}

/// Decides where the splits come from, and downloads what is missing.
fn place(options: &Options, splits: &[Split]) -> Result<Place, DatasetError> {
    if options.source == Source::Synthetic {
        return match options.data {
            Some(_) => Err(DatasetError::SyntheticWithData),
            None => Ok(Place::Drawn { warning: None }),
        };
    }
    let mnist_dir = options.mnist_dir.as_ref().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = &options.data {
        return Ok(Place::Files(Folder { origin: Origin::Flag, path: folder.clone() }));
    }
    if let Some(folder) = mnist_dir {
        return Ok(Place::Files(Folder { origin: Origin::Environment, path: folder.clone() }));
    }
    let folder = Folder { origin: Origin::Download, path: options.download_folder.clone() };
    match folder.complete(splits, options) {
        Ok(()) => Ok(Place::Files(folder)),
        Err(error) if error.is_unreachable() && options.source == Source::Auto => {
            Ok(Place::Drawn { warning: Some(stand_in_warning(&folder.path, &error)) })
        }
        Err(error) => Err(DatasetError::Download(error)),
    }
}

fn stand_in_warning(folder: &Path, error: &DownloadError) -> String {
    format!(
        "this is NOT MNIST: {} stand in for it, and results say nothing about MNIST.\n\
         Neither --data nor MNIST_DIR names a folder, {} does not hold the files, and {error}\n\
         --dataset mnist refuses instead, --dataset synthetic draws digits without asking.",
        synthetic::name(synthetic::DEFAULT_SEED),
        folder.display()
    )
}

/// A folder of IDX files.
struct Folder {
    origin: Origin,
    path: PathBuf,
}

/// A split with what identifies it.
struct ReadSplit {
    split: Split,
    samples: Samples,
    digests: Digests,
}

impl ReadSplit {
    fn is_original(&self) -> bool {
        mnist::originals(self.split, &self.digests) == [true, true]
    }
}

impl Folder {
    /// Downloads what the folder lacks of the splits.
    fn complete(&self, splits: &[Split], options: &Options) -> Result<(), DownloadError> {
        let missing: Vec<OriginalFile> = splits
            .iter()
            .flat_map(|&split| mnist::files(split))
            .filter(|file| file.find(&self.path).is_none())
            .copied()
            .collect();
        let mirrors = if options.mirrors.is_empty() { &MIRRORS.map(String::from)[..] } else { &options.mirrors };
        download(&missing, &self.path, mirrors, &options.network)
    }

    /// What the data set in this folder is called: the folder's own name, unless it is the original.
    fn name(&self, original: bool) -> String {
        if original {
            return "MNIST".into();
        }
        let full = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        format!("{} (not the original MNIST)", full.file_name().unwrap_or(full.as_os_str()).display())
    }

    /// Reads a split. What lies in the download folder must be MNIST.
    fn read(&self, split: Split) -> Result<ReadSplit, DatasetError> {
        fs::read_dir(&self.path).map_err(|cause| DatasetError::Folder {
            origin: self.origin,
            folder: self.path.clone(),
            cause,
        })?;
        let [images_file, labels_file] = mnist::files(split);
        let paths = [self.find(images_file)?, self.find(labels_file)?];
        let (images, labels) = threads::join(|| idx::read_images(&paths[0]), || idx::read_labels(&paths[1]));
        let images = images.map_err(|fault| self.faulty(&paths[0], fault))?;
        let labels = labels.map_err(|fault| self.faulty(&paths[1], fault))?;
        if images.len() != labels.len() {
            let [images_path, labels_path] = paths;
            return Err(DatasetError::Counts {
                origin: self.origin,
                images: images_path,
                image_count: images.len(),
                labels: labels_path,
                label_count: labels.len(),
            });
        }
        let samples = Samples::new(images, labels);
        let digests = samples.digests();
        let originals = mnist::originals(split, &digests);
        if self.origin == Origin::Download
            && let Some(other) = originals.iter().position(|&original| !original)
        {
            return Err(DatasetError::NotOriginal { path: paths[other].clone() });
        }
        Ok(ReadSplit { split, samples, digests })
    }

    fn find(&self, file: &OriginalFile) -> Result<PathBuf, DatasetError> {
        file.find(&self.path).ok_or_else(|| DatasetError::Missing {
            origin: self.origin,
            folder: self.path.clone(),
            name: file.name,
        })
    }

    fn faulty(&self, path: &Path, fault: Fault) -> DatasetError {
        DatasetError::File { origin: self.origin, path: path.into(), fault }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    /// No network, and a download folder of its own that does not exist yet.
    fn offline(parent: &Path) -> Options {
        Options {
            download_folder: parent.join("downloads"),
            mirrors: vec!["http://127.0.0.1:9/".into()],
            network: Network { answer: Duration::from_secs(1), stall: Duration::from_secs(1), proxy: None },
            ..Options::default()
        }
    }

    #[test]
    fn any_data_set_of_this_shape_may_be_given_by_flag_or_environment() {
        let folder = tempfile::tempdir().unwrap();
        write_set(folder.path(), [3, 3], [2, 2]);
        let path = folder.path().canonicalize().unwrap();
        let missing = Some(folder.path().join("missing"));
        for options in [
            Options { data: Some(path.clone()), mnist_dir: missing, ..offline(folder.path()) },
            Options { mnist_dir: Some(path.clone()), source: Source::Mnist, ..offline(folder.path()) },
        ] {
            let Opened { dataset, warning } = open(&options).unwrap();
            assert_eq!(warning, None);
            let folder_name = path.file_name().unwrap().display();
            assert_eq!(dataset.name, format!("{folder_name} (not the original MNIST)"));
            assert_eq!((dataset.train.len(), dataset.test.len()), (3, 2));
            assert_eq!(dataset, Dataset::new(dataset.name.clone(), dataset.train.clone(), dataset.test.clone()));
            assert_eq!(open_split(&options, Split::Test).unwrap().samples, dataset.test);
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
        for path in [parent.path().join("missing"), file] {
            for (options, origin) in [
                (Options { data: Some(path.clone()), ..offline(parent.path()) }, "--data"),
                (Options { mnist_dir: Some(path.clone()), ..offline(parent.path()) }, "MNIST_DIR"),
            ] {
                let error = open(&options).unwrap_err();
                assert!(matches!(error, DatasetError::Folder { .. }), "{error}");
                let message = error.to_string();
                assert!(message.contains(origin) && message.contains(path.to_str().unwrap()), "{message}");
            }
        }
        write_set(parent.path(), [3, 3], [2, 2]);
        fs::write(parent.path().join("t10k-labels-idx1-ubyte"), b"cut").unwrap();
        let options = Options { data: Some(parent.path().into()), ..offline(parent.path()) };
        let error = open(&options).unwrap_err();
        assert!(matches!(error, DatasetError::File { fault: Fault::Truncated { .. }, .. }), "{error}");
        assert!(error.to_string().contains("t10k-labels-idx1-ubyte is cut"), "{error}");
    }

    #[test]
    fn without_files_and_network_digits_are_drawn_and_said_to_be() {
        let parent = tempfile::tempdir().unwrap();
        let options = Options { mnist_dir: Some("".into()), ..offline(parent.path()) };
        let OpenedSplit { name, samples, warning } = open_split(&options, Split::Test).unwrap();
        assert_eq!(name, "synthetic digits (seed 0)");
        assert_eq!(samples.len(), synthetic::TEST_LEN);
        let warning = warning.unwrap();
        assert!(warning.contains("NOT MNIST") && warning.contains("http://127.0.0.1:9/t10k-images"), "{warning}");
        assert!(!options.download_folder.exists());
        let error = open(&Options { source: Source::Mnist, ..options }).unwrap_err();
        assert!(matches!(error, DatasetError::Download(_)), "{error}");
    }

    #[test]
    fn digits_that_were_asked_for_come_without_a_warning() {
        let parent = tempfile::tempdir().unwrap();
        let synthetic =
            Options { source: Source::Synthetic, mnist_dir: Some("missing".into()), ..offline(parent.path()) };
        assert_eq!(open_split(&synthetic, Split::Test).unwrap().warning, None);
        let error = open(&Options { data: Some(parent.path().into()), ..synthetic }).unwrap_err();
        assert!(matches!(error, DatasetError::SyntheticWithData), "{error}");
    }

    #[test]
    fn the_download_folder_holds_mnist_or_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let options = offline(parent.path());
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
