//! `quantize`: an int8 model from one in f32, and what that costs.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::ensure;
use cnn_core::int8;
use cnn_core::network::{CLASSES, FORWARD_RAM, FlatParameters};
use cnn_train::backend::Outcome;
use cnn_train::dataset::Split;
use cnn_train::fingerprint::Fingerprint;
use host_trainer::files::{exists, is_same_file, write_whole};
use host_trainer::model_file::{self, AnyLoaded};
use serde::Serialize;

use super::evaluate::{Confusion, confusion};
use super::output::{self, result, say};
use super::{data, outcomes};
use crate::cli::QuantizeArgs;

/// Most differing images that are named.
const MOST_IMAGES: usize = 20;

/// Quantises a model and compares both over the test split.
pub fn run(args: &QuantizeArgs) -> anyhow::Result<ExitCode> {
    check_output(args)?;
    let model = AnyLoaded::read(&args.model)?;
    let model = model.float("quantising")?;
    let training = model.training();
    let dataset = Arc::new(data::open_named(&args.data, training.map(|training| training.dataset))?);
    if training.is_some_and(|training| training.dataset_hash != dataset.hash) {
        output::warning(format_args!(
            "{} was trained on another data set than {}, by its own word; the scales of its activations come from this one",
            args.model.display(),
            dataset.name
        ));
    }
    let quantized = model_file::quantize(model, dataset.train.images(), &args.out)?;
    let (before, _) = outcomes::of_float(model, &dataset, Split::Test, &args.backend)?;
    let on_host = crate::cli::BackendArgs { backend: crate::cli::BackendArg::Cpu, ..args.backend.clone() };
    let (after, _) = outcomes::of_int8(&quantized, &dataset, Split::Test, &on_host)?;
    write_whole(&args.out, quantized.file())?;

    let labels = dataset.test.labels();
    let comparison = Comparison::of(&before, &after, labels);
    let calibration = quantized.metadata().calibration;
    say!("model        {} ({})", args.model.display(), model.fingerprint);
    say!("data         {}", dataset.name);
    say!("calibration  {} training images", calibration.images);
    result!("{} written ({})", args.out.display(), quantized.fingerprint);
    say!();
    comparison.print();
    say!();
    say!("bytes        f32     int8");
    say!("file      {:>6}   {:>6}", model.file().len(), quantized.file().len());
    say!("weights   {:>6}   {:>6}", size_of::<FlatParameters>(), int8::BLOCK_LEN);
    say!("RAM       {:>6}   {:>6}   of a forward pass, int8 beside the image", FORWARD_RAM, int8::FORWARD_RAM);
    output::json(&Quantized {
        model: &args.model.to_string_lossy(),
        source: model.fingerprint,
        out: &args.out.to_string_lossy(),
        fingerprint: quantized.fingerprint,
        dataset: &dataset.name,
        dataset_sha256: hex::encode(dataset.hash),
        calibration_images: calibration.images,
        calibration_sha256: calibration.hash.into(),
        file_bytes: quantized.file().len(),
        comparison,
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What the output may be, looked at before anything is computed.
fn check_output(args: &QuantizeArgs) -> anyhow::Result<()> {
    let out = &args.out;
    ensure!(out != Path::new("-"), "the int8 model goes into a file, not to standard output: give its name");
    ensure!(!is_same_file(out, &args.model), "{} is the model that is read; choose another name", out.display());
    ensure!(args.overwrite || !exists(out), "{} exists already; --overwrite replaces it", out.display());
    Ok(())
}

/// The answer of `--json`.
#[derive(Serialize)]
struct Quantized<'a> {
    model: &'a str,
    source: Fingerprint,
    out: &'a str,
    fingerprint: Fingerprint,
    dataset: &'a str,
    dataset_sha256: String,
    calibration_images: u32,
    calibration_sha256: Fingerprint,
    file_bytes: usize,
    #[serde(flatten)]
    comparison: Comparison,
}

/// Both models over the test split.
#[derive(Debug, Serialize)]
struct Comparison {
    images: usize,
    correct_f32: usize,
    correct_int8: usize,
    /// Images classed differently.
    differing: Vec<Difference>,
    /// Cells of the confusion table that changed.
    changed: Vec<Change>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Difference {
    image: usize,
    label: u8,
    f32: u8,
    int8: u8,
}

#[derive(Debug, PartialEq, Serialize)]
struct Change {
    label: usize,
    read_as: usize,
    f32: usize,
    int8: usize,
}

impl Comparison {
    fn of(before: &[Outcome], after: &[Outcome], labels: &[u8]) -> Self {
        let correct = |outcomes: &[Outcome]| {
            outcomes.iter().zip(labels).filter(|(outcome, label)| outcome.prediction == **label).count()
        };
        let all = before.iter().zip(after).zip(labels).enumerate();
        let differing = all
            .map(|(image, ((before, after), &label))| Difference {
                image,
                label,
                f32: before.prediction,
                int8: after.prediction,
            })
            .filter(|it| it.f32 != it.int8)
            .collect();
        let tables: [Confusion; 2] = [confusion(before, labels), confusion(after, labels)];
        let cells = (0..CLASSES).flat_map(|label| (0..CLASSES).map(move |read_as| (label, read_as)));
        let changed = cells
            .map(|(label, read_as)| Change {
                label,
                read_as,
                f32: tables[0][label][read_as],
                int8: tables[1][label][read_as],
            })
            .filter(|it| it.f32 != it.int8)
            .collect();
        Self { images: labels.len(), correct_f32: correct(before), correct_int8: correct(after), differing, changed }
    }

    fn print(&self) {
        let Self { images, correct_f32, correct_int8, differing, changed } = self;
        for (name, correct) in [("f32 ", correct_f32), ("int8", correct_int8)] {
            result!("accuracy {name}  {:.5} ({correct} of {images})", *correct as f64 / *images as f64);
        }
        result!("differing      {} images classed differently", differing.len());
        for Difference { image, label, f32, int8 } in differing.iter().take(MOST_IMAGES) {
            say!("  test image {image}, label {label}: f32 reads {f32}, int8 {int8}");
        }
        if differing.len() > MOST_IMAGES {
            say!("  and {} more; --json names all", differing.len() - MOST_IMAGES);
        }
        for Change { label, read_as, f32, int8 } in changed.iter().filter(|it| it.label != it.read_as) {
            say!("confusion      label {label} read as {read_as}: {f32} before, {int8} now");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_named_and_what_did_not_is_not() {
        let outcomes = |predictions: [u8; 5]| predictions.map(|prediction| Outcome { loss: 0.0, prediction });
        let comparison = Comparison::of(&outcomes([3, 1, 4, 1, 5]), &outcomes([3, 7, 4, 1, 9]), &[3, 1, 4, 0, 9]);
        assert_eq!((comparison.images, comparison.correct_f32, comparison.correct_int8), (5, 3, 3));
        let differing =
            [Difference { image: 1, label: 1, f32: 1, int8: 7 }, Difference { image: 4, label: 9, f32: 5, int8: 9 }];
        assert_eq!(comparison.differing, differing);
        let change = |label, read_as, f32, int8| Change { label, read_as, f32, int8 };
        assert_eq!(
            comparison.changed,
            [change(1, 1, 1, 0), change(1, 7, 0, 1), change(9, 5, 1, 0), change(9, 9, 0, 1)]
        );
    }
}
