//! What each command does. A command returns its exit code, or an error that [`main`](crate) shows in one line.

pub mod board;
pub mod compare;
pub mod doctor;
pub mod evaluate;
pub mod exchange;
pub mod predict;
pub mod quantize;
pub mod seeds;
pub mod serve;
pub mod summary;
pub mod train;
pub mod verify;

mod data;
pub mod flags;
mod interrupt;
mod outcomes;
pub mod output;
mod start;
mod table;

use std::process::ExitCode;
use std::sync::{Arc, Once};

use clap::CommandFactory;
use cnn_train::backend::Backend;
use cnn_train::dataset::Dataset;
use host_trainer::backend::{CudaError, NoBackend, OpenedBackend, open};
use host_trainer::checkpoint::Rejected;

use crate::cli::{BackendArgs, Cli, CompletionsArgs};

/// Prints a shell's completion script.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    let mut cli = Cli::command();
    let name = cli.get_name().to_owned();
    clap_complete::generate(args.shell, &mut cli, name, &mut script);
    output::file(&script);
    Ok(ExitCode::SUCCESS)
}

/// Two backends of one command get equally few threads.
static TOLD_OF_THREADS: Once = Once::new();

/// Makes the backend that the flags ask for, and what to call it: its description, and why it is not the GPU if none was
/// named.
fn open_backend(args: &BackendArgs, dataset: &Arc<Dataset>) -> Result<(Box<dyn Backend>, String), NoBackend> {
    let OpenedBackend { backend, no_gpu, fewer_threads } =
        open(args.backend.into(), Arc::clone(dataset), args.machine())?;
    if let Some(fewer_threads) = fewer_threads {
        TOLD_OF_THREADS.call_once(|| output::warning(fewer_threads));
    }
    let title = described(&*backend, no_gpu.as_ref());
    Ok((backend, title))
}

/// A backend's description, and why it is not the GPU.
fn described(backend: &dyn Backend, no_gpu: Option<&CudaError>) -> String {
    match no_gpu {
        None => backend.description(),
        Some(reason) => format!("{}; not the GPU: {reason}", backend.description()),
    }
}

/// Names the checkpoints that were not taken, and why.
fn warn_of_skipped(skipped: &[Rejected]) {
    for rejected in skipped {
        output::warning(format_args!("{rejected}; it is not taken"));
    }
}
