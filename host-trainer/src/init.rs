//! Parameters that a run is given to start from: a model file, a checkpoint, or safetensors or ONNX from PyTorch.

use std::path::{Path, PathBuf};

use cnn_core::model::{self, MAX_LEN};
use cnn_core::network::FlatParameters;
use cnn_train::checkpoint;
use cnn_train::consistency::{MAX_INITIAL_FILE, as_line};
use cnn_train::fingerprint::Fingerprint;

use crate::exchange::{self, ImportError, Imported, MAX_FILE_BYTES};
use crate::files::{FileError, read_input};
use crate::model_file::{LoadedModel, ModelFileError, built_in_golden, to_bytes};

/// Parameters that a run is given to start from.
#[derive(Debug)]
pub struct Init {
    /// The file's name without its folder, one line.
    pub name: String,
    /// The parameters.
    pub parameters: Box<FlatParameters>,
    /// SHA-256 of the parameters.
    pub fingerprint: Fingerprint,
    /// What the tensors' names in a safetensors file have before them, and is left out; empty as a rule.
    pub prefix: String,
    /// A model file with these parameters.
    file: Vec<u8>,
}

/// Why a file gives no parameters.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// A model file or a checkpoint that is not whole.
    #[error(transparent)]
    Model(#[from] ModelFileError),
    /// Anything else.
    #[error("{path}: neither a model file nor a checkpoint; as safetensors or ONNX: {error}", path = path.display())]
    Exchange {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: Box<ImportError>,
    },
}

impl Init {
    /// Reads parameters; `-` is standard input. What a file is, its first bytes say.
    ///
    /// # Errors
    /// If the file cannot be read or any check of its kind fails.
    pub fn read(path: &Path) -> Result<Self, InitError> {
        let bytes = read_input(path, |start| match start.first_chunk() {
            Some(&checkpoint::MAGIC) => checkpoint::MAX_BYTES,
            Some(&model::MAGIC) => MAX_LEN as u64,
            _ => MAX_FILE_BYTES,
        })?;
        let mut name = as_line(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy());
        name.truncate(name.floor_char_boundary(MAX_INITIAL_FILE));
        if matches!(bytes.first_chunk(), Some(&model::MAGIC | &checkpoint::MAGIC)) {
            let model = LoadedModel::parse(bytes, path)?;
            let (file, fingerprint) = (model.file().to_vec(), model.fingerprint);
            return Ok(Self { name, parameters: model.parameters, fingerprint, prefix: String::new(), file });
        }
        let Imported { parameters, prefix } =
            exchange::import(&bytes).map_err(|error| InitError::Exchange { path: path.into(), error: error.into() })?;
        let file = to_bytes(path, None, &parameters, &built_in_golden())?;
        Ok(Self { name, fingerprint: Fingerprint::of(&parameters), parameters, prefix, file })
    }

    /// A model file with these parameters, byte for byte what was read if that was one.
    pub fn file(&self) -> &[u8] {
        &self.file
    }
}
