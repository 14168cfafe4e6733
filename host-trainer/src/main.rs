//! The program people run: flags in, an exit code out. The work is done by the library beside it.

mod cli;
mod commands;

use std::process::ExitCode;

use anstream::eprintln;
use clap::Parser;

use cli::{Cli, Command};
use commands::{RED, printable};
use host_trainer::dataset::DatasetError;

/// The exit code of flags that contradict each other, as clap has it for flags that it refuses.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        None => commands::train::run(&cli.train),
        Some(Command::Train(args)) => commands::train::run(&args),
        Some(Command::Evaluate(args)) => commands::evaluate::run(&args),
        Some(Command::Verify(args)) => commands::verify::run(&args),
        Some(Command::Doctor(args)) => commands::doctor::run(&args),
        Some(Command::Predict(args)) => commands::predict::run(&args),
        Some(Command::Summary(args)) => commands::summary::run(&args),
        Some(Command::Export(args)) => commands::exchange::export(&args),
        Some(Command::Import(args)) => commands::exchange::import(&args),
        Some(Command::Board(args)) => commands::board::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{RED}error:{RED:#} {}", printable(format_args!("{error:#}")));
            ExitCode::from(if is_usage(&error) { USAGE } else { 1 })
        }
    }
}

/// Whether the flags are wrong rather than the data.
fn is_usage(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(DatasetError::is_usage)
}
