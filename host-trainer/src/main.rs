//! The program people run: flags in, an exit code out. The work is done by the library beside it.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod commands;

use std::process::ExitCode;

use cnn_train::float_environment;
use host_trainer::dataset::DatasetError;

use cli::{Cli, Command};
use commands::{flags, output};

/// The exit code of flags that contradict each other, as clap has it for flags that it refuses.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => return output::usage(error),
    };
    output::choose(cli.mode());
    let trains = matches!(cli.command, None | Some(Command::Train(_)));
    let result = float_environment::establish().map_err(Into::into).and_then(|()| run(cli));
    match result {
        Ok(code) => output::close(code, trains),
        Err(error) => match error.downcast() {
            Ok(flags) => output::usage(flags),
            Err(error) => {
                match flags::of(&error).as_slice() {
                    [] => output::error(format_args!("{error:#}")),
                    flags => output::error(format_args!("{error:#} ({})", flags.join(", "))),
                }
                ExitCode::from(if is_usage(&error) { USAGE } else { 1 })
            }
        },
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        None => commands::seeds::run(&cli.train),
        Some(Command::Train(args)) => commands::seeds::run(&args),
        Some(Command::Compare(args)) => commands::compare::run(&args),
        Some(Command::Evaluate(args)) => commands::evaluate::run(&args),
        Some(Command::Verify(args)) => commands::verify::run(&args),
        Some(Command::Doctor(args)) => commands::doctor::run(&args),
        Some(Command::Predict(args)) => commands::predict::run(&args),
        Some(Command::Quantize(args)) => commands::quantize::run(&args),
        Some(Command::Summary(args)) => commands::summary::run(&args),
        Some(Command::Export(args)) => commands::exchange::export(&args),
        Some(Command::Import(args)) => commands::exchange::import(&args),
        Some(Command::Completions(args)) => commands::completions(&args),
        Some(Command::Board(args)) => commands::board::run(&args),
        Some(Command::Serve(args)) => commands::serve::run(&args),
    }
}

/// Whether the flags are wrong rather than the data.
fn is_usage(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(DatasetError::is_usage)
}
