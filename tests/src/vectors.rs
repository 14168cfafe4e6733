//! What PyTorch computed: the committed file that `pytorch/make_vectors.py` writes and describes.

use std::path::Path;

use cnn_core::image::Pixels;
use cnn_core::network::{FlatParameters, PARAMETER_COUNT, TENSORS};
use safetensors::{Dtype, SafeTensors};

/// The bytes of the file; [`Vectors::of`] reads them.
///
/// # Panics
/// If the file cannot be read.
pub fn read_file() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pytorch/vectors.safetensors");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The tensors of the file by name.
///
/// # Panics
/// Every method panics if the file lacks the tensor or holds another type or number of values.
pub struct Vectors<'a> {
    tensors: SafeTensors<'a>,
}

impl<'a> Vectors<'a> {
    /// # Panics
    /// If `bytes` are not a safetensors file.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { tensors: SafeTensors::deserialize(bytes).expect("a safetensors file") }
    }

    fn values<const SIZE: usize, T>(&self, name: &str, dtype: Dtype, convert: impl Fn([u8; SIZE]) -> T) -> Vec<T> {
        let tensor = self.tensors.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(tensor.dtype(), dtype, "{name}");
        tensor.data().as_chunks().0.iter().map(|&bytes| convert(bytes)).collect()
    }

    /// A tensor of 32-bit floats.
    pub fn f32(&self, name: &str) -> Vec<f32> {
        self.values(name, Dtype::F32, f32::from_le_bytes)
    }

    /// A tensor of 64-bit floats.
    pub fn f64(&self, name: &str) -> Vec<f64> {
        self.values(name, Dtype::F64, f64::from_le_bytes)
    }

    /// A tensor of bytes.
    pub fn u8(&self, name: &str) -> Vec<u8> {
        self.values(name, Dtype::U8, |[byte]| byte)
    }

    /// The eight tensors `prefix.conv1.weight` … `prefix.fc2.bias`, whose shapes must be the network's.
    pub fn parameters(&self, prefix: &str) -> Box<FlatParameters> {
        let mut flat = Vec::with_capacity(PARAMETER_COUNT);
        for tensor in &TENSORS {
            let name = format!("{prefix}.{}", tensor.name);
            let values = self.f32(&name);
            assert_eq!(self.tensors.tensor(&name).expect("just read").shape(), tensor.shape, "{name}");
            flat.extend(values);
        }
        flat.try_into().expect("the shapes are the network's")
    }

    /// The images with their labels.
    pub fn samples(&self) -> Vec<(Pixels, u8)> {
        let pixels = self.u8("pixels");
        pixels.as_chunks().0.iter().copied().zip(self.u8("labels")).collect()
    }
}
