//! `export` and `import`: parameters from and to PyTorch.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use cnn_train::fingerprint::Fingerprint;
use host_trainer::exchange::{self, MAX_FILE_BYTES};
use host_trainer::files::{STANDARD_STREAM, read_input, write_output};
use host_trainer::model_file::{self, LoadedModel};

use super::output::{self, say};
use crate::cli::{ExportArgs, ImportArgs};

/// Model file to safetensors.
pub fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let model = LoadedModel::read(&args.model)?;
    write_output(&args.safetensors, &args.model, &exchange::export(&model.parameters))?;
    report(&args.safetensors, model.fingerprint);
    Ok(ExitCode::SUCCESS)
}

/// Safetensors to model file.
pub fn import(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let bytes = read_input(&args.safetensors, |_| MAX_FILE_BYTES)?;
    let (parameters, prefix) =
        exchange::import_prefixed(&bytes).with_context(|| args.safetensors.display().to_string())?;
    if !prefix.is_empty() {
        output::note(format_args!("the names' prefix '{prefix}' is left out"));
    }
    let model = model_file::to_bytes(&args.model, None, &parameters, &model_file::built_in_golden())?;
    write_output(&args.model, &args.safetensors, &model)?;
    report(&args.model, Fingerprint::of(&parameters));
    Ok(ExitCode::SUCCESS)
}

fn report(written: &Path, fingerprint: Fingerprint) {
    // Standard output has the file itself.
    if written != Path::new(STANDARD_STREAM) {
        say!("{} written ({fingerprint})", written.display());
    }
}
