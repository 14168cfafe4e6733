//! A model of f32 parameters.

use bytemuck::try_cast_slice;
use serde::{Deserialize, Serialize};

use super::{
    AnyModel, Bits, Impossible, Kind, LATEST_VERSION, MAX_DATASET_NAME, ModelError, PARAMETER_BYTES, Training, VERSION,
    check_lengths, write_file,
};
use crate::image::Pixels;
use crate::network::{self, Activations, FlatParameters, Logits, Parameters, TENSORS};
use crate::range::first_out_of_range;

/// What a model file says of its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata<'a> {
    /// PyTorch's shape of each tensor, filled up with ones: [`SHAPES`](super::SHAPES).
    pub shapes: [[u16; 4]; TENSORS.len()],
    /// How the parameters were trained; nothing for imported ones.
    #[serde(borrow)]
    pub training: Option<Training<'a>>,
    /// SHA-256 of the parameters as little-endian f32.
    pub fingerprint: [u8; 32],
    /// An image whose logits are known.
    #[serde(borrow)]
    pub golden: Golden<'a>,
}

impl Metadata<'_> {
    /// Whether a model of this network can have them.
    pub(super) fn check(&self) -> Result<(), ModelError> {
        check_lengths(&self.shapes, self.golden.pixels, self.training)?;
        self.check_values()
    }

    /// Whether the values are such as a model can have.
    fn check_values(&self) -> Result<(), ModelError> {
        // A network in range gives no other logits.
        if !self.golden.logits.iter().all(|logit| logit.is_finite()) {
            return Err(Impossible::GoldenLogit.into());
        }
        Ok(self.training.map_or(Ok(()), |training| training.check())?)
    }
}

/// An image and the logits that the parameters give for it, bit for bit, on any machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Golden<'a> {
    /// 784 pixels in raster order.
    pub pixels: &'a [u8],
    /// Their logits.
    pub logits: Logits,
}

/// A model file of f32 parameters whose every byte was checked, borrowed from where it lies.
#[derive(Debug, Clone)]
pub struct Model<'a> {
    metadata: Metadata<'a>,
    parameters: &'a [u8],
}

impl<'a> Model<'a> {
    /// Checks a file of either version: magic, version, length, checksum, structure, kind, shapes, range of the parameters.
    ///
    /// # Errors
    /// The first check that fails; [`ModelError::OtherKind`] for a whole model that is not of f32. It never panics, whatever
    /// the bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let (model, rest) = Self::parse_prefix(bytes)?;
        if rest.is_empty() { Ok(model) } else { Err(ModelError::Trailing(rest.len())) }
    }

    /// The same for bytes that may go on after the file, as a region of flash does; returns what follows it.
    ///
    /// # Errors
    /// As [`Model::parse`].
    pub fn parse_prefix(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ModelError> {
        match AnyModel::parse_prefix(bytes)? {
            (AnyModel::Float(model), rest) => Ok((model, rest)),
            (AnyModel::Int8(_), _) => Err(ModelError::OtherKind { found: Kind::Int8 }),
        }
    }

    /// A model whose metadata were checked, if its parameters are in range.
    pub(super) fn of(metadata: Metadata<'a>, parameters: &'a [u8]) -> Result<Self, ModelError> {
        let model = Model { metadata, parameters };
        first_out_of_range(model.values()).map_or(Ok(model), |index| Err(ModelError::OutOfRange(index)))
    }

    /// What the file says of its parameters.
    pub fn metadata(&self) -> &Metadata<'a> {
        &self.metadata
    }

    /// The golden image.
    pub fn golden_pixels(&self) -> &'a Pixels {
        self.metadata.golden.pixels.try_into().expect("the length was checked")
    }

    /// The parameters where they lie, without a copy.
    ///
    /// # Errors
    /// [`ModelError::NotInPlace`] if the file does not lie on a 4-byte border or the machine is big-endian.
    pub fn parameters(&self) -> Result<&'a FlatParameters, ModelError> {
        if cfg!(target_endian = "big") {
            return Err(ModelError::NotInPlace);
        }
        let values: &[f32] = try_cast_slice(self.parameters).map_err(|_| ModelError::NotInPlace)?;
        Ok(values.try_into().expect("the length was checked"))
    }

    /// Copies the parameters, on any machine and from any place.
    pub fn copy_parameters(&self, parameters: &mut FlatParameters) {
        for (parameter, value) in parameters.iter_mut().zip(self.values()) {
            *parameter = value;
        }
    }

    /// Runs the golden image through the network: its logits must be the file's, bit for bit.
    ///
    /// # Errors
    /// [`ModelError::SelfTest`] with the first logit that differs.
    pub fn self_test(&self, parameters: &Parameters<'_>, activations: &mut Activations) -> Result<(), ModelError> {
        self.check_golden(&network::logits(self.golden_pixels(), parameters, activations))
    }

    /// Compares logits that were computed of the golden image with the file's, bit for bit.
    ///
    /// # Errors
    /// [`ModelError::SelfTest`] with the first logit that differs.
    pub fn check_golden(&self, logits: &Logits) -> Result<(), ModelError> {
        for (class, (found, expected)) in logits.iter().zip(&self.metadata.golden.logits).enumerate() {
            if found.to_bits() != expected.to_bits() {
                let (expected, found) = (Bits(expected.to_bits()), Bits(found.to_bits()));
                return Err(ModelError::SelfTest { class, expected, found });
            }
        }
        Ok(())
    }

    fn values(&self) -> impl Iterator<Item = f32> + '_ {
        self.parameters.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))
    }
}

/// Writes a model file to the start of `file` and returns its length, at most [`MAX_LEN`](super::MAX_LEN). It is of version 1, which every
/// program and board reads.
///
/// # Errors
/// [`ModelError::OutOfRange`] for a parameter that is, [`ModelError::Malformed`] if the golden image does not have 784
/// pixels, [`ModelError::NoRoom`] if `file` is too short or a name too long, [`ModelError::Impossible`] for values that no
/// model has.
pub fn encode(metadata: &Metadata<'_>, parameters: &FlatParameters, file: &mut [u8]) -> Result<usize, ModelError> {
    encode_as(VERSION, metadata, parameters, file)
}

/// [`encode`] as a file of version 2, which says the same and names its kind.
///
/// # Errors
/// As [`encode`].
pub fn encode_version_2(
    metadata: &Metadata<'_>,
    parameters: &FlatParameters,
    file: &mut [u8],
) -> Result<usize, ModelError> {
    encode_as(LATEST_VERSION, metadata, parameters, file)
}

fn encode_as(
    version: u32,
    metadata: &Metadata<'_>,
    parameters: &FlatParameters,
    file: &mut [u8],
) -> Result<usize, ModelError> {
    if let Some(index) = first_out_of_range(parameters.iter().copied()) {
        return Err(ModelError::OutOfRange(index));
    }
    if metadata.golden.pixels.len() != size_of::<Pixels>() {
        return Err(ModelError::Malformed);
    }
    if metadata.training.is_some_and(|training| training.dataset.len() > MAX_DATASET_NAME) {
        return Err(ModelError::NoRoom);
    }
    metadata.check_values()?;
    let kind = (version == LATEST_VERSION).then_some(Kind::Float);
    write_file(kind, metadata, PARAMETER_BYTES, file, |block| {
        for (bytes, value) in block.as_chunks_mut().0.iter_mut().zip(parameters) {
            *bytes = value.to_le_bytes();
        }
    })
}
