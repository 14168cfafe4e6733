//! `export` and `import`: models for other programs, and parameters from them.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use cnn_train::fingerprint::Fingerprint;
use host_trainer::exchange::{self, Imported, MAX_FILE_BYTES, c_header, onnx, safetensors};
use host_trainer::files::{STANDARD_STREAM, read_input, write_output};
use host_trainer::model_file::{self, AnyLoaded};

use super::output::{self, say};
use crate::cli::{ExportArgs, FormatArg, ImportArgs};

/// Model file to another format.
pub fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let model = AnyLoaded::read(&args.model)?;
    let bytes = match (args.format(), &model) {
        (FormatArg::Safetensors, _) => safetensors::export(&model.float("a safetensors file")?.parameters),
        (FormatArg::Onnx, _) => onnx::export(&model.float("an ONNX file")?.parameters),
        (FormatArg::C, AnyLoaded::Float(model)) => {
            c_header::export(&model.parameters, model.training().as_ref(), model.golden()).into_bytes()
        }
        (FormatArg::C, AnyLoaded::Int8(model)) => c_header::export_int8(model).into_bytes(),
    };
    write_output(&args.file, &args.model, &bytes)?;
    report(&args.file, model.fingerprint());
    Ok(ExitCode::SUCCESS)
}

/// Parameters of another program to model file.
pub fn import(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let bytes = read_input(&args.file, |_| MAX_FILE_BYTES)?;
    let Imported { parameters, prefix } = exchange::import(&bytes).with_context(|| args.file.display().to_string())?;
    if !prefix.is_empty() {
        output::note(format_args!("the names' prefix '{prefix}' is left out"));
    }
    let model = model_file::to_bytes(&args.model, None, &parameters, &model_file::built_in_golden())?;
    write_output(&args.model, &args.file, &model)?;
    report(&args.model, Fingerprint::of(&parameters));
    Ok(ExitCode::SUCCESS)
}

fn report(written: &Path, fingerprint: Fingerprint) {
    // Standard output has the file itself.
    if written != Path::new(STANDARD_STREAM) {
        say!("{} written ({fingerprint})", written.display());
    }
}
