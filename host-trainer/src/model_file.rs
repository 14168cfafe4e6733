//! Model files on disk: written whole, every byte checked on reading.

mod int8;

use std::path::{Path, PathBuf};

use cnn_core::image::Pixels;
use cnn_core::model::{Golden, MAX_DATASET_NAME, MAX_LEN, Metadata, Model, ModelError, SHAPES, Training, encode};
use cnn_core::network::{self, Activations, FlatParameters, Parameters};
use cnn_train::backend::boxed_zeros;
use cnn_train::checkpoint::{self, Checkpoint, CheckpointError};
use cnn_train::dataset::{Split, synthetic};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::float_environment;
use cnn_train::float_environment::FloatEnvironmentError;
use cnn_train::recipe::Recipe;

pub use int8::{AnyLoaded, LoadedInt8, quantize};

use crate::files::{self, FileError, Staged, write_whole};
use crate::text::one_line;

/// Why a model file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its contents.
    #[error("{path}: {error}", path = path.display())]
    Contents {
        /// The model file.
        path: PathBuf,
        /// What is wrong with it.
        error: ModelError,
    },
    /// The contents of a checkpoint.
    #[error("{path}: {error}", path = path.display())]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        error: CheckpointError,
    },
    /// An int8 model where one in f32 is needed.
    #[error(
        "{path} is an int8 model, of which {what} is not possible: give the f32 model that it was made of",
        path = path.display()
    )]
    NeedsFloat {
        /// The model file.
        path: PathBuf,
        /// What is not possible.
        what: &'static str,
    },
    /// The self-test would say nothing.
    #[error(transparent)]
    Environment(#[from] FloatEnvironmentError),
    /// The parameters are not those that the file names.
    #[error("{path}: the parameters' fingerprint is {found}, the file says {expected}", path = path.display())]
    Fingerprint {
        /// The model file.
        path: PathBuf,
        /// What the metadata say.
        expected: Fingerprint,
        /// What the parameters give.
        found: Fingerprint,
    },
}

/// The recipe of a checkpoint's run, and the name of the file that it started from, if it was given one.
type RunOfCheckpoint = (Recipe, Option<String>);

/// A model file that passed every check, in memory.
#[derive(Debug)]
pub struct LoadedModel {
    bytes: Vec<u8>,
    path: PathBuf,
    /// What a checkpoint says of its run and a model file has no words for.
    run: Option<RunOfCheckpoint>,
    /// The parameters.
    pub parameters: Box<FlatParameters>,
    /// SHA-256 of the parameters.
    pub fingerprint: Fingerprint,
}

impl LoadedModel {
    /// Reads a model file of f32 or a checkpoint, compares its fingerprint and runs the model's self-test; `-` is standard
    /// input.
    ///
    /// # Errors
    /// If the file cannot be read or any check fails.
    pub fn read(path: &Path) -> Result<Self, ModelFileError> {
        Self::parse(read_file(path)?, path)
    }

    /// [`LoadedModel::read`] of a file's contents.
    ///
    /// # Errors
    /// If any check fails.
    pub fn parse(bytes: Vec<u8>, path: &Path) -> Result<Self, ModelFileError> {
        float_environment::establish()?;
        let (bytes, run) = match is_checkpoint(&bytes).then(|| from_checkpoint(&bytes, path)).transpose()? {
            Some((bytes, run)) => (bytes, Some(run)),
            None => (bytes, None),
        };
        let contents = |error| match error {
            ModelError::OtherKind { .. } => ModelFileError::NeedsFloat { path: path.into(), what: "this" },
            error => ModelFileError::Contents { path: path.into(), error },
        };
        let model = Model::parse(&bytes).map_err(contents)?;
        let mut parameters = boxed_zeros();
        model.copy_parameters(&mut parameters);
        let found = Fingerprint::of(&parameters);
        let expected = Fingerprint::from(model.metadata().fingerprint);
        if found != expected {
            return Err(ModelFileError::Fingerprint { path: path.into(), expected, found });
        }
        model.self_test(&Parameters::of(&parameters), &mut Activations::new()).map_err(contents)?;
        Ok(Self { path: path.into(), parameters, fingerprint: found, bytes, run })
    }

    /// How the parameters were trained; nothing for imported ones.
    pub fn training(&self) -> Option<Training<'_>> {
        let model = Model::parse(&self.bytes).expect("checked when it was read");
        model.metadata().training
    }

    /// The image whose logits the file has.
    pub fn golden(&self) -> &Pixels {
        let model = Model::parse(&self.bytes).expect("checked when it was read");
        model.metadata().golden.pixels.try_into().expect("checked when it was read")
    }

    /// The recipe up to the epoch that the model is of; nothing for imported parameters. A model file knows neither
    /// schedule nor layers: it says what the tutorial has.
    pub fn recipe(&self) -> Option<Recipe> {
        let claimed = Recipe::from(&self.training()?);
        let run = self.run.as_ref().map(|(recipe, _)| Recipe { epochs: claimed.epochs, ..*recipe });
        Some(run.unwrap_or(claimed))
    }

    /// The name of the file that the run started from, where a checkpoint says so.
    pub fn initial_file(&self) -> Option<&str> {
        self.run.as_ref()?.1.as_deref()
    }

    /// The model file's contents: what was read, or what a checkpoint gives.
    pub fn file(&self) -> &[u8] {
        &self.bytes
    }

    /// The file's name without its folder, and the first digits of the fingerprint: what a picture says of the model.
    pub fn title(&self) -> String {
        title(&self.path, self.fingerprint)
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The contents of a file that may be a model or a checkpoint.
fn read_file(path: &Path) -> Result<Vec<u8>, FileError> {
    files::read_input(path, |start| if is_checkpoint(start) { checkpoint::MAX_BYTES } else { MAX_LEN as u64 })
}

/// A file's name without its folder, and the first digits of a fingerprint.
fn title(path: &Path, fingerprint: Fingerprint) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    one_line(format_args!("{name}, {}...", fingerprint.short()))
}

fn is_checkpoint(bytes: &[u8]) -> bool {
    bytes.starts_with(&checkpoint::MAGIC)
}

/// The model that a run had at a checkpoint, its recipe, and the file that it started from. The model's golden image is a
/// built-in digit: the checkpoint has no images.
fn from_checkpoint(bytes: &[u8], path: &Path) -> Result<(Vec<u8>, RunOfCheckpoint), ModelFileError> {
    let checkpoint =
        Checkpoint::parse(bytes).map_err(|error| ModelFileError::Checkpoint { path: path.into(), error })?;
    let training = checkpoint.training();
    let model = to_bytes(path, Some(training), &checkpoint.state.parameters, &built_in_golden())?;
    Ok((model, (checkpoint.settings, checkpoint.initial_file)))
}

/// The golden image of a model where no data set is at hand: the first built-in digit.
pub fn built_in_golden() -> Pixels {
    synthetic::samples(0, Split::Test, 1).images()[0]
}

/// Writes a model file, whole or not at all. `golden` becomes its self-test. A longer name of the data set is cut to
/// [`MAX_DATASET_NAME`] bytes.
///
/// # Errors
/// If a parameter is out of range, `training` is what no run is, or the file cannot be written.
pub fn write(
    path: &Path,
    training: Option<Training<'_>>,
    parameters: &FlatParameters,
    golden: &Pixels,
) -> Result<(), ModelFileError> {
    Ok(write_whole(path, &to_bytes(path, training, parameters, golden)?)?)
}

/// As [`write()`], but the file does not have its name yet.
///
/// # Errors
/// As [`write()`].
pub fn stage(
    path: &Path,
    training: Option<Training<'_>>,
    parameters: &FlatParameters,
    golden: &Pixels,
) -> Result<Staged, ModelFileError> {
    Ok(Staged::write(path, &to_bytes(path, training, parameters, golden)?)?)
}

/// The contents of what [`write()`] writes; `path` is for the error alone.
///
/// # Errors
/// If a parameter is not finite.
pub fn to_bytes(
    path: &Path,
    training: Option<Training<'_>>,
    parameters: &FlatParameters,
    golden: &Pixels,
) -> Result<Vec<u8>, ModelFileError> {
    let mut activations = Box::new(Activations::new());
    let logits = network::logits(golden, &Parameters::of(parameters), &mut activations);
    let metadata = Metadata {
        shapes: SHAPES,
        training: training.map(|training| Training { dataset: name_that_fits(training.dataset), ..training }),
        fingerprint: *Fingerprint::of(parameters).as_bytes(),
        golden: Golden { pixels: golden, logits },
    };
    let mut bytes = vec![0; MAX_LEN];
    let len = encode(&metadata, parameters, &mut bytes)
        .map_err(|error| ModelFileError::Contents { path: path.into(), error })?;
    bytes.truncate(len);
    Ok(bytes)
}

fn name_that_fits(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_DATASET_NAME)]
}
