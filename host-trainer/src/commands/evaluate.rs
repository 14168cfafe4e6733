//! `evaluate`: loss, accuracy and confusion table of a model over a split.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;

use anstream::println;
use cnn_core::network::CLASSES;
use host_trainer::backend::{Outcome, TrainingState};
use host_trainer::dataset::Split;
use host_trainer::model_file::LoadedModel;
use host_trainer::report::metrics::Metrics;

use super::{data, open_backend};
use crate::cli::EvaluateArgs;

/// Prints what a model makes of a split.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let model = LoadedModel::read(&args.model)?;
    let split = Split::from(args.split);
    let dataset = Arc::new(data::open(&args.data)?);
    let samples = dataset.split(split);
    let (mut backend, backend_title) = open_backend(&args.backend, &dataset)?;
    backend.load(&TrainingState::new(model.parameters.clone()))?;
    let mut outcomes = vec![Outcome::default(); samples.len()];
    backend.evaluate(split, &mut outcomes, &mut |_| ControlFlow::Continue(()))?;
    let metrics = Metrics::of(&outcomes, samples.labels());

    println!("model    {} ({})", args.model.display(), model.fingerprint);
    println!("data     {}, {split} split, {} images", dataset.name, samples.len());
    println!("backend  {backend_title}\n");
    println!(
        "mean loss={:.6}, accuracy={:.5} ({} of {})\n",
        metrics.loss,
        metrics.accuracy(),
        metrics.correct,
        metrics.count
    );
    println!("{}", confusion_table(&outcomes, samples.labels()));
    Ok(ExitCode::SUCCESS)
}

/// Rows are labels, columns predictions; the last column is the share of a label's images that were recognised.
fn confusion_table(outcomes: &[Outcome], labels: &[u8]) -> String {
    let mut counts = [[0usize; CLASSES]; CLASSES];
    for (outcome, &label) in outcomes.iter().zip(labels) {
        counts[usize::from(label)][usize::from(outcome.prediction)] += 1;
    }
    let mut table = String::from("label\\predicted");
    for class in 0..CLASSES {
        table += &format!("{class:>6}");
    }
    table += "   recall\n";
    for (label, row) in counts.iter().enumerate() {
        table += &format!("{label:>15}");
        for count in row {
            table += &format!("{count:>6}");
        }
        let total: usize = row.iter().sum();
        table += &match total {
            0 => "        –\n".into(),
            _ => format!("{:>8.2}%\n", 100.0 * row[label] as f64 / total as f64),
        };
    }
    table
}
