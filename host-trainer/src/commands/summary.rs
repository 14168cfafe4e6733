//! `summary`: the network, and what a model file says of itself.

use std::process::ExitCode;

use anstream::println;
use host_trainer::fingerprint::Fingerprint;
use host_trainer::model_file::LoadedModel;

use super::{printable, table};
use crate::cli::SummaryArgs;

/// Prints the network's table and, if a model is given, its metadata.
pub fn run(args: &SummaryArgs) -> anyhow::Result<ExitCode> {
    let model = args.model.as_deref().map(LoadedModel::read).transpose()?;
    println!("{}", table::network());
    let Some(model) = model else { return Ok(ExitCode::SUCCESS) };
    println!("model        {} (self-test passed)", model.path().display());
    println!("fingerprint  {}", model.fingerprint);
    match model.training() {
        None => println!("training     unknown: the parameters were imported"),
        Some(training) => {
            let hash = Fingerprint::from(training.dataset_hash);
            println!("data         {} ({hash})", printable(training.dataset));
            println!(
                "training     {} epochs, batches of {}{}, SGD lr {} momentum {} weight decay {}, seed {}",
                training.epochs,
                training.batch_length,
                if training.shuffle { ", shuffled" } else { ", not shuffled" },
                training.learning_rate,
                training.momentum,
                training.weight_decay,
                training.seed
            );
            println!(
                "test         {} of {} correct ({:.2} %)",
                training.test_correct,
                training.test_count,
                100.0 * f64::from(training.test_correct) / f64::from(training.test_count)
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
