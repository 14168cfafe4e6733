//! `evaluate`: loss, accuracy and confusion table of a model over a split.

use std::cmp::Reverse;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use cnn_core::network::CLASSES;
use cnn_train::backend::Outcome;
use cnn_train::dataset::{Samples, Split};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::metrics::Metrics;
use host_trainer::classifier::Classifier;
use host_trainer::model_file::AnyLoaded;
use host_trainer::report::sheet::{self, Mistake};
use serde::Serialize;

use super::output::{self, result, say};
use super::{data, outcomes};
use crate::cli::EvaluateArgs;

/// Prints what a model makes of a split.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let model = AnyLoaded::read(&args.model)?;
    let split = Split::from(args.split);
    let dataset = Arc::new(data::open(&args.data)?);
    let samples = dataset.split(split);
    let (outcomes, backend_title) = outcomes::of(&model, &dataset, split, &args.backend)?;
    let metrics = Metrics::of(&outcomes, samples.labels());

    say!("model    {}, {} ({})", args.model.display(), model.kind(), model.fingerprint());
    say!("data     {}, {split} split, {} images", dataset.name, samples.len());
    say!("backend  {backend_title}");
    say!();
    result!(
        "mean loss={:.6}, accuracy={:.5} ({} of {})",
        metrics.loss,
        metrics.accuracy(),
        metrics.correct,
        metrics.count
    );
    say!();
    let confusion = confusion(&outcomes, samples.labels());
    output::block(&confusion_table(&confusion, output::width()));
    let classes = ClassScores::of(&confusion);
    output::block(&class_table(&classes));
    if let Some(file) = &args.mistakes {
        write_mistakes(file, &model, samples, &outcomes)?;
    }
    output::json(&Evaluation {
        model: &args.model.to_string_lossy(),
        kind: model.kind().to_string(),
        fingerprint: model.fingerprint(),
        dataset: &dataset.name,
        dataset_sha256: hex::encode(dataset.hash),
        split: split.to_string(),
        backend: &backend_title,
        images: metrics.count,
        correct: metrics.correct,
        accuracy: metrics.accuracy(),
        mean_loss: metrics.loss,
        confusion,
        classes,
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The answer of `--json`.
#[derive(Serialize)]
struct Evaluation<'a> {
    model: &'a str,
    kind: String,
    fingerprint: Fingerprint,
    dataset: &'a str,
    dataset_sha256: String,
    split: String,
    backend: &'a str,
    images: u64,
    correct: u64,
    accuracy: f64,
    mean_loss: f64,
    confusion: Confusion,
    /// One for each class.
    classes: [ClassScores; CLASSES],
}

/// Draws the misread digits.
fn write_mistakes(file: &Path, model: &AnyLoaded, samples: &Samples, outcomes: &[Outcome]) -> anyhow::Result<()> {
    let mut classifier = Classifier::of(model);
    let all = outcomes.iter().zip(samples.labels()).zip(samples.images()).enumerate();
    let misread = all.filter(|(_, ((outcome, label), _))| outcome.prediction != **label);
    let mistakes: Vec<Mistake> =
        misread.map(|(index, ((_, &label), pixels))| Mistake::of(index, label, pixels, &mut classifier)).collect();
    let png = sheet::mistakes(&mistakes, samples.len(), &model.title())?;
    output::picture(file, &[model.path()], &png)?;
    say!("{}: the misread digits", file.display());
    Ok(())
}

/// How well one class is told from the others; nothing where there is nothing to divide by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct ClassScores {
    /// The class.
    class: usize,
    /// The share of what was read as this class that is of it.
    precision: Option<f64>,
    /// The share of this class's images that were read as it.
    recall: Option<f64>,
    /// The harmonic mean of both.
    f1: Option<f64>,
    /// The images of this class.
    images: usize,
}

impl ClassScores {
    fn of(counts: &Confusion) -> [Self; CLASSES] {
        std::array::from_fn(|class| {
            let right = counts[class][class];
            let images = counts[class].iter().sum::<usize>();
            let read = counts.iter().map(|row| row[class]).sum::<usize>();
            let share = |of: usize| (of > 0).then(|| right as f64 / of as f64);
            let f1 = (images + read > 0).then(|| 2.0 * right as f64 / (images + read) as f64);
            Self { class, precision: share(read), recall: share(images), f1, images }
        })
    }
}

fn class_table(classes: &[ClassScores; CLASSES]) -> String {
    let shown = |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{:.2}%", 100.0 * share));
    let mut table = String::from("class  precision  recall      F1\n");
    for ClassScores { class, precision, recall, f1, .. } in classes {
        let [precision, recall, f1] = [precision, recall, f1].map(|share| shown(*share));
        table += &format!("{class:<5}  {precision:>9}{recall:>8}{f1:>8}\n");
    }
    table
}

/// Counts by label and prediction.
pub type Confusion = [[usize; CLASSES]; CLASSES];

/// That of a split.
pub fn confusion(outcomes: &[Outcome], labels: &[u8]) -> Confusion {
    let mut counts = Confusion::default();
    for (outcome, &label) in outcomes.iter().zip(labels) {
        counts[usize::from(label)][usize::from(outcome.prediction)] += 1;
    }
    counts
}

/// Rows are labels, columns predictions; the last column is the share of a label's images that were recognised. Where
/// so many columns have no room, a line for each label names what it was taken for.
fn confusion_table(counts: &Confusion, columns: Option<usize>) -> String {
    const WIDTH: usize = 6 + 6 * CLASSES + 9;
    if columns.is_some_and(|columns| columns < WIDTH) {
        return counts.iter().enumerate().map(|(label, row)| confusions(label, row)).collect();
    }
    let mut table = String::from("label   as 0");
    for class in 1..CLASSES {
        table += &format!("{class:>6}");
    }
    table += "   recall\n";
    for (label, row) in counts.iter().enumerate() {
        table += &format!("{label:<6}");
        for count in row {
            table += &format!("{count:>6}");
        }
        table += &format!("{:>9}\n", recall(label, row));
    }
    table
}

/// The predictions of one label, those that were made most often first.
fn confusions(label: usize, row: &[usize; CLASSES]) -> String {
    let mut text = format!("label {label}: {} recognised\n", recall(label, row));
    let mut wrong: Vec<_> = row.iter().enumerate().filter(|&(class, &count)| class != label && count > 0).collect();
    wrong.sort_by_key(|&(class, &count)| (Reverse(count), class));
    // As many as fit into the narrowest terminals.
    for taken in wrong.chunks(4) {
        let taken: Vec<_> = taken.iter().map(|(class, count)| format!("{class} ×{count}")).collect();
        text += &format!("  as {}\n", taken.join(", "));
    }
    text
}

fn recall(label: usize, row: &[usize; CLASSES]) -> String {
    match row.iter().sum::<usize>() {
        0 => "–".into(),
        total => format!("{:.2}%", 100.0 * row[label] as f64 / total as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_a_class_are_those_of_the_textbook() {
        let mut counts = [[0; CLASSES]; CLASSES];
        // 8 of ten sevens are read as sevens, 4 ones too; there is no 3, and no 5 although one was read.
        (counts[7][7], counts[7][1], counts[1][7], counts[1][1], counts[1][5]) = (8, 2, 4, 6, 1);
        let scores = ClassScores::of(&counts);
        let expected = ClassScores {
            class: 7,
            precision: Some(8.0 / 12.0),
            recall: Some(0.8),
            f1: Some(2.0 * 8.0 / 22.0),
            images: 10,
        };
        assert_eq!(scores[7], expected);
        assert_eq!((scores[3].precision, scores[3].recall, scores[3].f1), (None, None, None));
        assert_eq!((scores[5].precision, scores[5].recall, scores[5].f1), (Some(0.0), None, Some(0.0)));
        let table = class_table(&scores);
        assert!(table.contains("7         66.67%  80.00%  72.73%\n"), "{table}");
        assert!(table.lines().all(|line| line.chars().count() <= 40), "{table}");
    }

    #[test]
    fn a_narrow_terminal_gets_lines_that_fit_it() {
        let mut counts = [[9999; CLASSES]; CLASSES];
        counts[3] = [0; CLASSES];
        counts[4] = [0, 0, 0, 0, 10, 0, 2, 0, 0, 7];
        let wide = confusion_table(&counts, None);
        assert!(wide.lines().all(|line| line.chars().count() == 75), "{wide}");
        assert_eq!(wide, confusion_table(&counts, Some(75)));
        let narrow = confusion_table(&counts, Some(74));
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
        assert!(narrow.contains("label 4: 52.63% recognised\n  as 9 ×7, 6 ×2\n"), "{narrow}");
        assert!(narrow.contains("label 3: – recognised\n"), "{narrow}");
    }
}
