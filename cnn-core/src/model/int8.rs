//! A model of integer parameters.

use serde::{Deserialize, Serialize};

use super::{AnyModel, Impossible, Kind, MAX_DATASET_NAME, ModelError, Training, check_lengths, write_file};
use crate::image::Pixels;
use crate::int8::parameters::first_out_of_range;
use crate::int8::{Activations, BLOCK_LEN, Block, Logits, OwnedParameters, Parameters, forward};
use crate::network::TENSORS;

/// What an int8 model file says of its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Int8Metadata<'a> {
    /// PyTorch's shape of each tensor, filled up with ones: [`SHAPES`](super::SHAPES).
    pub shapes: [[u16; 4]; TENSORS.len()],
    /// How the f32 parameters were trained that these were made of, with their test result; nothing for imported ones.
    #[serde(borrow)]
    pub training: Option<Training<'a>>,
    /// SHA-256 of those f32 parameters.
    pub source: [u8; 32],
    /// The images that the scales of the activations come from.
    pub calibration: Calibration,
    /// The scales.
    pub scales: Scales,
    /// SHA-256 of the parameters as they stand in the file.
    pub fingerprint: [u8; 32],
    /// An image whose logits are known.
    #[serde(borrow)]
    pub golden: Int8Golden<'a>,
}

/// The images that the scales of the activations come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calibration {
    /// How many, at least 1.
    pub images: u32,
    /// SHA-256 of their pixels, one image after another.
    pub hash: [u8; 32],
}

/// What a step of an integer is worth in the f32 network: finite, above 0. A forward pass needs none of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scales {
    /// Of conv1's activations.
    pub pool1: f32,
    /// Of conv2's activations.
    pub pool2: f32,
    /// Of fc1's activations.
    pub hidden: f32,
    /// Of the logits: times it they are those whose softmax the probabilities are.
    pub logits: f32,
}

/// An image and the integer logits that the parameters give for it, on any machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Int8Golden<'a> {
    /// 784 pixels in raster order.
    pub pixels: &'a [u8],
    /// Their logits.
    pub logits: Logits,
}

impl Int8Metadata<'_> {
    /// Whether a model of this network can have them.
    pub(super) fn check(&self) -> Result<(), ModelError> {
        check_lengths(&self.shapes, self.golden.pixels, self.training)?;
        self.check_values()
    }

    /// Whether the values are such as a model can have.
    fn check_values(&self) -> Result<(), ModelError> {
        self.training.map_or(Ok(()), |training| training.check())?;
        if self.calibration.images == 0 {
            return Err(Impossible::CalibrationCount.into());
        }
        let Scales { pool1, pool2, hidden, logits } = self.scales;
        let is_scale = |scale: f32| scale.is_finite() && scale > 0.0;
        if [pool1, pool2, hidden, logits].into_iter().all(is_scale) { Ok(()) } else { Err(Impossible::Scale.into()) }
    }
}

/// An int8 model file whose every byte was checked, borrowed from where it lies.
#[derive(Debug, Clone)]
pub struct Int8Model<'a> {
    metadata: Int8Metadata<'a>,
    block: &'a Block,
}

impl<'a> Int8Model<'a> {
    /// [`AnyModel::parse`] where an int8 model is needed.
    ///
    /// # Errors
    /// The first check that fails; [`ModelError::OtherKind`] for a whole model of f32.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ModelError> {
        match AnyModel::parse(bytes)? {
            AnyModel::Int8(model) => Ok(model),
            AnyModel::Float(_) => Err(ModelError::OtherKind { found: Kind::Float }),
        }
    }

    /// A model whose metadata were checked, if its parameters are in range.
    pub(super) fn of(metadata: Int8Metadata<'a>, parameters: &'a [u8]) -> Result<Self, ModelError> {
        let block = parameters.try_into().map_err(|_| ModelError::Malformed)?;
        first_out_of_range(block).map_or(Ok(Self { metadata, block }), |fault| Err(ModelError::OutOfRangeInt8(fault)))
    }

    /// What the file says of its parameters.
    pub fn metadata(&self) -> &Int8Metadata<'a> {
        &self.metadata
    }

    /// The golden image.
    pub fn golden_pixels(&self) -> &'a Pixels {
        self.metadata.golden.pixels.try_into().expect("the length was checked")
    }

    /// The parameters as they stand in the file.
    pub fn block(&self) -> &'a Block {
        self.block
    }

    /// The parameters where they lie, without a copy.
    ///
    /// # Errors
    /// [`ModelError::NotInPlace`] if the file does not lie on a 4-byte border or the machine is big-endian.
    pub fn parameters(&self) -> Result<Parameters<'a>, ModelError> {
        Parameters::borrow(self.block).ok_or(ModelError::NotInPlace)
    }

    /// Copies the parameters, on any machine and from any place.
    pub fn copy_parameters(&self, parameters: &mut OwnedParameters) {
        parameters.copy_from(self.block);
    }

    /// Runs the golden image through the network: its logits must be the file's.
    ///
    /// # Errors
    /// [`ModelError::SelfTestInt8`] with the first logit that differs.
    pub fn self_test(&self, parameters: &Parameters<'_>, activations: &mut Activations) -> Result<(), ModelError> {
        self.check_golden(&forward(self.golden_pixels(), parameters, activations))
    }

    /// Compares logits that were computed of the golden image with the file's.
    ///
    /// # Errors
    /// [`ModelError::SelfTestInt8`] with the first logit that differs.
    pub fn check_golden(&self, logits: &Logits) -> Result<(), ModelError> {
        for (class, (&found, &expected)) in logits.iter().zip(&self.metadata.golden.logits).enumerate() {
            if found != expected {
                return Err(ModelError::SelfTestInt8 { class, expected, found });
            }
        }
        Ok(())
    }
}

/// Writes an int8 model file, of version 2, to the start of `file` and returns its length, at most
/// [`MAX_LEN`](super::MAX_LEN).
///
/// # Errors
/// [`ModelError::OutOfRangeInt8`] for a number of the block that is, [`ModelError::Malformed`] if the golden image does not
/// have 784 pixels, [`ModelError::NoRoom`] if `file` is too short or a name too long, [`ModelError::Impossible`] for values
/// that no model has.
pub fn encode_int8(metadata: &Int8Metadata<'_>, block: &Block, file: &mut [u8]) -> Result<usize, ModelError> {
    if let Some(fault) = first_out_of_range(block) {
        return Err(ModelError::OutOfRangeInt8(fault));
    }
    if metadata.golden.pixels.len() != size_of::<Pixels>() {
        return Err(ModelError::Malformed);
    }
    if metadata.training.is_some_and(|training| training.dataset.len() > MAX_DATASET_NAME) {
        return Err(ModelError::NoRoom);
    }
    metadata.check_values()?;
    write_file(Some(Kind::Int8), metadata, BLOCK_LEN, file, |bytes| bytes.copy_from_slice(block))
}
