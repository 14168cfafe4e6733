//! `export` and `import`: parameters from and to PyTorch.

use std::process::ExitCode;

use anyhow::Context;
use cnn_core::image::Pixels;
use host_trainer::dataset::{Split, synthetic};
use host_trainer::exchange::{self, MAX_FILE_BYTES};
use host_trainer::files::{read_limited, write_whole};
use host_trainer::fingerprint::Fingerprint;
use host_trainer::model_file::{self, LoadedModel};

use super::output::{self, say};
use crate::cli::{ExportArgs, ImportArgs};

/// Model file to safetensors.
pub fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let model = LoadedModel::read(&args.model)?;
    write_whole(&args.safetensors, &exchange::export(&model.parameters))?;
    say!("{} written ({})", args.safetensors.display(), model.fingerprint);
    Ok(ExitCode::SUCCESS)
}

/// Safetensors to model file.
pub fn import(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let bytes = read_limited(&args.safetensors, MAX_FILE_BYTES)?;
    let (parameters, prefix) =
        exchange::import_prefixed(&bytes).with_context(|| args.safetensors.display().to_string())?;
    if !prefix.is_empty() {
        output::note(format_args!("the names' prefix '{prefix}' is left out"));
    }
    model_file::write(&args.model, None, &parameters, &golden())?;
    say!("{} written ({})", args.model.display(), Fingerprint::of(&parameters));
    Ok(ExitCode::SUCCESS)
}

/// The golden image of an imported model: the first built-in digit, for no data set is at hand.
fn golden() -> Pixels {
    synthetic::samples(0, Split::Test, 1).images()[0]
}
