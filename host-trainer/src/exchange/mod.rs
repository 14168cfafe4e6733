//! Parameters for other programs and from them: safetensors, ONNX, and a C header.

pub mod c_header;
pub mod onnx;
pub mod safetensors;

use cnn_core::network::{FlatParameters, PARAMETER_COUNT};
use cnn_core::range::{PARAMETER_LIMIT, in_range};

pub use onnx::OnnxError;
pub use safetensors::ExchangeError;

/// What a pixel must become before the network sees it; it stands in every exported file.
pub const INPUT: &str = "(pixel / 255 - 0.5) / 0.5";

/// The longest file of parameters that is read, in bytes: the parameters and far more around them than they need.
pub const MAX_FILE_BYTES: u64 = (PARAMETER_COUNT * size_of::<f32>() + (1 << 20)) as u64;

/// Why a file does not hold this network's parameters.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// As safetensors.
    #[error(transparent)]
    Safetensors(#[from] ExchangeError),
    /// As ONNX.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
}

/// Parameters from another program.
#[derive(Debug)]
pub struct Imported {
    /// The parameters.
    pub parameters: Box<FlatParameters>,
    /// What the tensors' names in a safetensors file have before them, and is left out; empty as a rule.
    pub prefix: String,
}

/// The parameters in a safetensors or ONNX file; which of both it is, its first bytes say.
///
/// # Errors
/// If it does not hold exactly this network's parameters.
pub fn import(bytes: &[u8]) -> Result<Imported, ImportError> {
    if is_onnx(bytes) {
        return Ok(Imported { parameters: onnx::import(bytes)?, prefix: String::new() });
    }
    let (parameters, prefix) = safetensors::import_prefixed(bytes)?;
    Ok(Imported { parameters, prefix })
}

/// Whether a file begins as ONNX files do, with the version of the format as a small number, and not with a length and a
/// brace as safetensors do.
fn is_onnx(bytes: &[u8]) -> bool {
    matches!(bytes, [0x08, 1..=127, ..]) && bytes.get(8) != Some(&b'{')
}

/// A value that is NaN, infinite or too large for a parameter ([`cnn_core::range`]).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "the tensor {name} holds {value} at index {index:?}; every parameter must be below {PARAMETER_LIMIT} in magnitude"
)]
pub struct OutOfRange {
    /// PyTorch's name of the tensor.
    pub name: &'static str,
    /// The value.
    pub value: f32,
    /// Its place in every dimension of the tensor.
    pub index: Vec<usize>,
}

/// The value at `place` of a tensor of this name and shape, if it can be a parameter.
fn checked(value: f32, name: &'static str, place: usize, shape: &[usize]) -> Result<f32, OutOfRange> {
    if in_range(value) { Ok(value) } else { Err(OutOfRange { name, value, index: index_of(place, shape) }) }
}

/// The index in every dimension of the value at `place` in memory, the last dimension running fastest.
fn index_of(mut place: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (coordinate, &length) in index.iter_mut().zip(shape).rev() {
        *coordinate = place % length;
        place /= length;
    }
    index
}
