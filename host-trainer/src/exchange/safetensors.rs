//! Parameters to and from PyTorch: safetensors files with the names and shapes of its `state_dict`.
//!
//! `load_state_dict(safetensors.torch.load_file("FILE"))` takes what [`export`] writes, bit for bit; a network saved with
//! `safetensors.torch.save_file(network.state_dict(), "FILE")` is what [`import`] reads. The format is described at
//! <https://github.com/huggingface/safetensors#format>; its values are little-endian on every host.

use cnn_core::network::{FlatParameters, TENSORS, Tensor};
use cnn_train::backend::boxed_zeros;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};

use super::{INPUT, OutOfRange, checked};

/// Why a safetensors file does not hold this network's parameters.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// Not a safetensors file, or a truncated one.
    #[error("not a whole safetensors file: {0}")]
    Format(SafeTensorError),
    /// A tensor of the network is not there.
    #[error("the tensor {name} is missing; the file must hold exactly {}", expected_names())]
    Missing {
        /// PyTorch's name.
        name: &'static str,
    },
    /// A tensor that the network does not have.
    #[error("the tensor {name:?} is not one of this network; the file must hold exactly {}", expected_names())]
    Unknown {
        /// The name in the file.
        name: String,
    },
    /// A tensor of another shape.
    #[error("the tensor {name} has the shape {found:?}, but this network's has {expected:?}")]
    Shape {
        /// PyTorch's name.
        name: &'static str,
        /// The shape in the file.
        found: Vec<usize>,
        /// The network's shape.
        expected: &'static [usize],
    },
    /// A tensor of another type of number.
    #[error("the tensor {name} holds {found} values, but f32 is expected; convert the network with .float() first")]
    Type {
        /// PyTorch's name.
        name: &'static str,
        /// The type in the file.
        found: Dtype,
    },
    /// A value that no parameter has.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
}

fn expected_names() -> String {
    TENSORS.map(|tensor| tensor.name).join(", ")
}

/// The parameters as a safetensors file. Equal parameters give equal files.
pub fn export(parameters: &FlatParameters) -> Vec<u8> {
    const VALID: &str = "lengths follow from the shapes";
    let data: Vec<u8> = parameters.iter().flat_map(|value| value.to_le_bytes()).collect();
    let views = TENSORS.map(|Tensor { name, shape, offset, len }| {
        let bytes = &data[offset * size_of::<f32>()..][..len * size_of::<f32>()];
        (name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).expect(VALID))
    });
    with_metadata(&safetensors::serialize(views, None).expect(VALID))
}

/// The file with metadata at the head of its header. The library takes them as a map, whose order changes from file to
/// file.
fn with_metadata(file: &[u8]) -> Vec<u8> {
    const LENGTH: usize = size_of::<u64>();
    let (length, rest) = file.split_first_chunk::<LENGTH>().expect("a file begins with its header's length");
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    // By convention the format tells PyTorch's tensors from those of other frameworks.
    let metadata = format!(r#"{{"__metadata__":{{"format":"pt","input":"{INPUT}, 28x28 pixels, white on black"}},"#);
    let mut header = [metadata.as_bytes(), &header[1..]].concat();
    header.resize(header.len().next_multiple_of(LENGTH), b' ');
    [&(header.len() as u64).to_le_bytes(), &header[..], data].concat()
}

/// The parameters in a safetensors file: exactly this network's tensors, in any order, each f32 and finite. Their names
/// may have a prefix in common, as wrappers of PyTorch's such as `DataParallel` and `compile` give them.
///
/// # Errors
/// If the bytes are not a whole safetensors file, if a tensor is missing, unknown, or of another shape or type, or if a
/// value is NaN or infinite.
pub fn import(bytes: &[u8]) -> Result<Box<FlatParameters>, ExchangeError> {
    Ok(import_prefixed(bytes)?.0)
}

/// [`import`], and the prefix that all names have; empty as a rule.
///
/// # Errors
/// As [`import`].
pub fn import_prefixed(bytes: &[u8]) -> Result<(Box<FlatParameters>, String), ExchangeError> {
    let file = SafeTensors::deserialize(bytes).map_err(ExchangeError::Format)?;
    let mut names = file.names();
    names.sort_unstable();
    let prefix = names.iter().find_map(|name| prefix(name)).unwrap_or_default();
    let is_known =
        |name: &str| name.strip_prefix(prefix).is_some_and(|name| TENSORS.iter().any(|tensor| tensor.name == name));
    if let Some(&name) = names.iter().find(|&&name| !is_known(name)) {
        return Err(ExchangeError::Unknown { name: name.into() });
    }
    let mut parameters = boxed_zeros();
    for tensor in &TENSORS {
        let view = file
            .tensor(&format!("{prefix}{}", tensor.name))
            .map_err(|_| ExchangeError::Missing { name: tensor.name })?;
        read_tensor(tensor, &view, &mut parameters[tensor.range()])?;
    }
    Ok((parameters, prefix.to_owned()))
}

/// What stands before a tensor's name, a point at its end.
fn prefix(name: &str) -> Option<&str> {
    let prefix = TENSORS.iter().find_map(|tensor| name.strip_suffix(tensor.name))?;
    (prefix.is_empty() || prefix.ends_with('.')).then_some(prefix)
}

fn read_tensor(tensor: &Tensor, view: &TensorView<'_>, values: &mut [f32]) -> Result<(), ExchangeError> {
    let &Tensor { name, shape: expected, .. } = tensor;
    if view.dtype() != Dtype::F32 {
        return Err(ExchangeError::Type { name, found: view.dtype() });
    }
    if view.shape() != expected {
        return Err(ExchangeError::Shape { name, found: view.shape().to_vec(), expected });
    }
    let (words, _) = view.data().as_chunks();
    for (place, (value, &word)) in values.iter_mut().zip(words).enumerate() {
        *value = checked(f32::from_le_bytes(word), name, place, expected)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cnn_core::network::{CONV2_BIAS, FC1_WEIGHT, PARAMETER_COUNT};
    use cnn_train::random::initial_parameters;

    use cnn_core::range::PARAMETER_LIMIT;

    use super::super::index_of;
    use super::*;

    /// A file with these tensors of zeros.
    fn file(tensors: &[(&str, Dtype, &[usize])]) -> Vec<u8> {
        let zeros = vec![0; 8 * PARAMETER_COUNT];
        let views = tensors.iter().map(|&(name, dtype, shape)| {
            let length = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            (name, TensorView::new(dtype, shape.to_vec(), &zeros[..length]).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    /// This network's tensors, to be changed.
    fn tensors() -> Vec<(&'static str, Dtype, &'static [usize])> {
        TENSORS.iter().map(|tensor| (tensor.name, Dtype::F32, tensor.shape)).collect()
    }

    fn message(bytes: &[u8]) -> String {
        import(bytes).unwrap_err().to_string()
    }

    #[test]
    fn parameters_come_back_bit_for_bit() {
        const LARGEST: f32 = f32::from_bits(PARAMETER_LIMIT.to_bits() - 1);
        let mut parameters = initial_parameters(5);
        parameters[..4].copy_from_slice(&[-0.0, f32::MIN_POSITIVE / 4.0, LARGEST, -LARGEST]);
        let read = import(&export(&parameters)).unwrap();
        assert_eq!(read.map(f32::to_bits), parameters.map(f32::to_bits));
    }

    #[test]
    fn equal_parameters_give_equal_files_that_fit_the_limit() {
        let bytes = export(&initial_parameters(5));
        assert_eq!(bytes, export(&initial_parameters(5)));
        assert!(bytes.len() as u64 <= crate::exchange::MAX_FILE_BYTES);
    }

    #[test]
    fn any_order_of_tensors_is_read() {
        let mut reversed = tensors();
        reversed.reverse();
        assert_eq!(import(&file(&reversed)).unwrap(), boxed_zeros());
    }

    #[test]
    fn a_missing_tensor_is_named() {
        let mut fewer = tensors();
        fewer.remove(3);
        assert!(message(&file(&fewer)).starts_with("the tensor conv2.bias is missing"));
    }

    #[test]
    fn an_unknown_tensor_is_named() {
        let mut more = tensors();
        more.push(("fc3.weight", Dtype::F32, &[1]));
        assert!(message(&file(&more)).starts_with("the tensor \"fc3.weight\" is not one of this network"));
    }

    #[test]
    fn a_prefix_in_common_is_taken_off_and_told() {
        for prefix in ["module.", "_orig_mod.", "module._orig_mod.", "net."] {
            let names = tensors().iter().map(|(name, ..)| format!("{prefix}{name}")).collect::<Vec<_>>();
            let prefixed: Vec<_> =
                names.iter().zip(tensors()).map(|(name, (_, dtype, shape))| (&**name, dtype, shape)).collect();
            assert_eq!(import_prefixed(&file(&prefixed)).unwrap(), (boxed_zeros(), prefix.to_owned()));
            // Only part of the names, another prefix, or no point at its end.
            let mut mixed = prefixed.clone();
            mixed[3].0 = tensors()[3].0;
            assert!(message(&file(&mixed)).contains("is not one of this network"));
        }
        let mut other = tensors();
        other[0].0 = "myconv1.weight";
        assert!(message(&file(&other)).contains("\"myconv1.weight\" is not one of this network"));
    }

    #[test]
    fn a_file_says_what_becomes_of_a_pixel() {
        let bytes = export(&initial_parameters(5));
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = metadata.metadata().clone().unwrap();
        assert_eq!(metadata["format"], "pt");
        assert_eq!(metadata["input"], "(pixel / 255 - 0.5) / 0.5, 28x28 pixels, white on black");
    }

    #[test]
    fn another_shape_or_type_is_refused() {
        let mut transposed = tensors();
        transposed[4].2 = &[800, 120];
        let text = message(&file(&transposed));
        assert_eq!(text, "the tensor fc1.weight has the shape [800, 120], but this network's has [120, 800]");
        for (dtype, name) in [(Dtype::F16, "F16"), (Dtype::F64, "F64"), (Dtype::I32, "I32")] {
            let mut other = tensors();
            other[7].1 = dtype;
            let text = message(&file(&other));
            assert!(text.starts_with(&format!("the tensor fc2.bias holds {name} values, but f32")), "{text}");
        }
    }

    #[test]
    fn a_value_out_of_range_is_located() {
        let mut parameters = boxed_zeros();
        parameters[FC1_WEIGHT.offset + 2 * 800 + 17] = f32::NAN;
        assert!(message(&export(&parameters)).starts_with("the tensor fc1.weight holds NaN at index [2, 17];"));
        for (value, name) in [(f32::NEG_INFINITY, "-inf"), (-16_777_216.0, "-16777216")] {
            let mut parameters = boxed_zeros();
            parameters[CONV2_BIAS.offset + 31] = value;
            let text = message(&export(&parameters));
            assert!(text.starts_with(&format!("the tensor conv2.bias holds {name} at index [31];")), "{text}");
        }
        assert_eq!(index_of(16 * 9 + 3 * 9 + 2 * 3 + 1, &[32, 16, 3, 3]), [1, 3, 2, 1]);
    }

    #[test]
    fn a_truncated_or_longer_file_is_refused() {
        let bytes = export(&boxed_zeros());
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        for length in (0..header + 8).chain([bytes.len() / 2, bytes.len() - 1]) {
            assert!(message(&bytes[..length]).starts_with("not a whole safetensors file"), "{length} bytes");
        }
        assert!(import(&[&bytes[..], &[0]].concat()).is_err());
        assert!(import(b"<!DOCTYPE html><html></html>").is_err());
    }
}
