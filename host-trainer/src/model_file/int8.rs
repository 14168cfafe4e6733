//! Int8 model files: made of f32 models, and read beside them.

use std::path::{Path, PathBuf};

use cnn_core::image::Pixels;
use cnn_core::int8::{Activations, OwnedParameters};
use cnn_core::model::{
    Calibration, Int8Golden, Int8Metadata, Int8Model, Kind, MAX_LEN, ModelError, SHAPES, Scales, Training, encode_int8,
};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::int8;

use super::{LoadedModel, ModelFileError, name_that_fits, read_file, title};

/// An int8 model file that passed every check, in memory.
#[derive(Debug)]
pub struct LoadedInt8 {
    bytes: Vec<u8>,
    path: PathBuf,
    /// The parameters.
    pub parameters: Box<OwnedParameters>,
    /// SHA-256 of the parameters as they stand in the file.
    pub fingerprint: Fingerprint,
}

impl LoadedInt8 {
    /// Checks a file's contents, its fingerprint and its self-test.
    ///
    /// # Errors
    /// If any check fails.
    pub fn parse(bytes: Vec<u8>, path: &Path) -> Result<Self, ModelFileError> {
        let contents = |error| ModelFileError::Contents { path: path.into(), error };
        let model = Int8Model::parse(&bytes).map_err(contents)?;
        let found = int8::fingerprint(model.block());
        let expected = Fingerprint::from(model.metadata().fingerprint);
        if found != expected {
            return Err(ModelFileError::Fingerprint { path: path.into(), expected, found });
        }
        let mut parameters = int8::boxed_zeros();
        model.copy_parameters(&mut parameters);
        model.self_test(&parameters.view(), &mut Activations::new()).map_err(contents)?;
        Ok(Self { path: path.into(), parameters, fingerprint: found, bytes })
    }

    fn model(&self) -> Int8Model<'_> {
        Int8Model::parse(&self.bytes).expect("checked when it was read")
    }

    /// What the file says of its parameters.
    pub fn metadata(&self) -> Int8Metadata<'_> {
        self.model().metadata().clone()
    }

    /// How the f32 parameters were trained that these were made of; nothing for imported ones.
    pub fn training(&self) -> Option<Training<'_>> {
        self.metadata().training
    }

    /// The scales.
    pub fn scales(&self) -> Scales {
        self.metadata().scales
    }

    /// The image whose logits the file has.
    pub fn golden(&self) -> &Pixels {
        self.model().golden_pixels()
    }

    /// The file's contents.
    pub fn file(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A model file of either kind, or a checkpoint, that passed every check, in memory.
#[derive(Debug)]
pub enum AnyLoaded {
    /// f32 parameters.
    Float(LoadedModel),
    /// Integer parameters.
    Int8(LoadedInt8),
}

impl AnyLoaded {
    /// Reads a model file of either kind or a checkpoint, compares its fingerprint and runs the model's self-test; `-` is
    /// standard input.
    ///
    /// # Errors
    /// If the file cannot be read or any check fails.
    pub fn read(path: &Path) -> Result<Self, ModelFileError> {
        Self::parse(read_file(path)?, path)
    }

    /// [`AnyLoaded::read`] of a file's contents.
    ///
    /// # Errors
    /// If any check fails.
    pub fn parse(bytes: Vec<u8>, path: &Path) -> Result<Self, ModelFileError> {
        // Every check of the whole file but that of its kind comes before it, in one order for both.
        match Int8Model::parse(&bytes).map(|_| ()) {
            Err(ModelError::OtherKind { .. } | ModelError::Magic) => LoadedModel::parse(bytes, path).map(Self::Float),
            Err(error) => Err(ModelFileError::Contents { path: path.into(), error }),
            Ok(()) => LoadedInt8::parse(bytes, path).map(Self::Int8),
        }
    }

    /// What its parameters are.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Float(_) => Kind::Float,
            Self::Int8(_) => Kind::Int8,
        }
    }

    /// SHA-256 of the parameters as they stand in the file.
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Float(model) => model.fingerprint,
            Self::Int8(model) => model.fingerprint,
        }
    }

    /// How the parameters were trained, or those that they were made of; nothing for imported ones.
    pub fn training(&self) -> Option<Training<'_>> {
        match self {
            Self::Float(model) => model.training(),
            Self::Int8(model) => model.training(),
        }
    }

    /// The model file's contents: what was read, or what a checkpoint gives.
    pub fn file(&self) -> &[u8] {
        match self {
            Self::Float(model) => model.file(),
            Self::Int8(model) => model.file(),
        }
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        match self {
            Self::Float(model) => model.path(),
            Self::Int8(model) => model.path(),
        }
    }

    /// The file's name without its folder, and the first digits of the fingerprint: what a picture says of the model.
    pub fn title(&self) -> String {
        title(self.path(), self.fingerprint())
    }

    /// The model in f32, which `what` needs.
    ///
    /// # Errors
    /// If it is another.
    pub fn float(&self, what: &'static str) -> Result<&LoadedModel, ModelFileError> {
        match self {
            Self::Float(model) => Ok(model),
            Self::Int8(model) => Err(ModelFileError::NeedsFloat { path: model.path.clone(), what }),
        }
    }
}

/// The int8 model that stands for a model: a pure function of it and the first images of the training split `train`.
/// `path` is for the error alone.
///
/// # Errors
/// If the split has no images, or as [`encode_int8`].
pub fn quantize(model: &LoadedModel, train: &[Pixels], path: &Path) -> Result<LoadedInt8, ModelFileError> {
    let images = int8::calibration_images(train);
    let (parameters, scales) = int8::quantize(&model.parameters, int8::calibrate(&model.parameters, images));
    let block = int8::block(&parameters);
    let golden = model.golden();
    let training = model.training();
    let metadata = Int8Metadata {
        shapes: SHAPES,
        training: training.map(|training| Training { dataset: name_that_fits(training.dataset), ..training }),
        source: *model.fingerprint.as_bytes(),
        calibration: Calibration {
            images: images.len() as u32,
            hash: *Fingerprint::of_bytes(images.as_flattened()).as_bytes(),
        },
        scales,
        fingerprint: *int8::fingerprint(&block).as_bytes(),
        golden: Int8Golden {
            pixels: golden,
            logits: cnn_core::int8::forward(golden, &parameters.view(), &mut Activations::new()),
        },
    };
    let mut bytes = vec![0; MAX_LEN];
    let len = encode_int8(&metadata, &block, &mut bytes)
        .map_err(|error| ModelFileError::Contents { path: path.into(), error })?;
    bytes.truncate(len);
    LoadedInt8::parse(bytes, path)
}
