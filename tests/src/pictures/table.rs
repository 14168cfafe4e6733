//! How well a model reads the rows.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use cnn_train::dataset::Split;
use host_trainer::classifier::Classifier;
use host_trainer::dataset::{idx, mnist};
use host_trainer::doubt::Reading;
use host_trainer::model_file::LoadedModel;
use host_trainer::picture;

use super::{Canvas, Expectation, Random, Row, png};

/// What came of some pictures.
#[derive(Debug, Clone, Copy, Default)]
pub struct Score {
    /// How many there were.
    pub pictures: usize,
    /// Read correctly.
    pub correct: usize,
    /// With a remark.
    pub remarked: usize,
    /// Read wrongly and without a remark.
    pub silent: usize,
}

impl Score {
    /// Adds what came of another row.
    pub fn add(&mut self, other: &Self) {
        self.pictures += other.pictures;
        self.correct += other.correct;
        self.remarked += other.remarked;
        self.silent += other.silent;
    }
}

/// The committed model.
pub struct Reader {
    model: LoadedModel,
}

impl Reader {
    /// Loads it.
    ///
    /// # Panics
    /// If it is missing.
    pub fn committed() -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../firmware/model/mnist.cnnm");
        let model = LoadedModel::read(&path).expect("the committed model can be read");
        Self { model }
    }

    /// What is read in a file; nothing if it is refused.
    pub fn read(&mut self, file: &[u8]) -> Option<Reading> {
        let digit = picture::parse(file, Path::new("picture")).ok()?.prepare().ok()?;
        let doubts = digit.prepared.doubts;
        Some(Reading::of(&digit.prepared.pixels, Some(&doubts), &mut Classifier::float(&self.model)))
    }

    /// Some pictures of a row.
    pub fn score(&mut self, row: &Row, pictures: impl IntoIterator<Item = usize>) -> Score {
        let mut score = Score::default();
        for index in pictures {
            let reading = self.read(&row.file(index));
            score.add(&scored(reading, index % 10));
        }
        score
    }
}

/// Of MNIST's test digits every `step`th that the model reads: how many these are, and how many it reads again in
/// [`large`] pictures of them.
///
/// # Panics
/// If the folder has no MNIST.
pub fn read_again(reader: &mut Reader, folder: &Path, step: usize) -> (usize, usize) {
    let [images, labels] =
        mnist::files(Split::Test).map(|file| file.find(folder).expect("the folder holds MNIST's test set"));
    let (digits, labels) = (
        idx::read_images(&images).expect("MNIST's images can be read"),
        idx::read_labels(&labels).expect("MNIST's labels can be read"),
    );
    let (mut original, mut again) = (0, 0);
    for index in (0..digits.len()).step_by(step) {
        let label = usize::from(labels[index]);
        let small = [b"P5\n28 28\n255\n", &digits[index][..]].concat();
        if reader.read(&small).expect("it has ink").prediction == label {
            original += 1;
            let reading = reader.read(&png(&large(&digits[index], index)));
            again += usize::from(reading.is_some_and(|reading| reading.prediction == label));
        }
    }
    (original, again)
}

fn scored(reading: Option<Reading>, digit: usize) -> Score {
    let mut score = Score { pictures: 1, ..Score::default() };
    let Some(reading) = reading else {
        // Refused, with a reason.
        score.remarked = 1;
        return score;
    };
    let is_correct = reading.prediction == digit;
    score.correct = usize::from(is_correct);
    score.remarked = usize::from(!reading.remarks.is_empty());
    score.silent = usize::from(!is_correct && reading.remarks.is_empty());
    score
}

/// An image of MNIST drawn large on a photograph of paper.
pub fn large(digit: &[u8], index: usize) -> Canvas {
    let random = &mut Random::new("mnist", index);
    let (width, height) = (700 + random.below(600), 600 + random.below(500));
    let scale = random.uniform(5.0, 20.0);
    let paper = [random.uniform(180.0, 245.0), random.uniform(180.0, 240.0), random.uniform(160.0, 235.0)];
    let mut canvas = Canvas::new(width, height, paper);
    canvas.texture(random.uniform(1.0, 6.0), 4 + random.below(8), random);
    canvas.texture(random.uniform(1.0, 8.0), 60, random);
    let left = random.uniform(0.0, width as f32 - 28.0 * scale);
    let top = random.uniform(0.0, height as f32 - 28.0 * scale);
    let ink = [random.uniform(10.0, 90.0), random.uniform(10.0, 90.0), random.uniform(10.0, 120.0)];
    let at = |x: i32, y: i32| {
        let inside = (0..28).contains(&x) && (0..28).contains(&y);
        if inside { f32::from(digit[(y * 28 + x) as usize]) / 255.0 } else { 0.0 }
    };
    for (i, pixel) in canvas.pixels.iter_mut().enumerate() {
        let x = ((i % width) as f32 + 0.5 - left) / scale - 0.5;
        let y = ((i / width) as f32 + 0.5 - top) / scale - 0.5;
        let (column, row) = (x.floor(), y.floor());
        let (u, v) = (x - column, y - row);
        let (column, row) = (column as i32, row as i32);
        let cover = (at(column, row) * (1.0 - u) + at(column + 1, row) * u) * (1.0 - v)
            + (at(column, row + 1) * (1.0 - u) + at(column + 1, row + 1) * u) * v;
        for (value, ink) in pixel.iter_mut().zip(ink) {
            *value += (ink - *value) * cover;
        }
    }
    let (bright, strength) = (random.uniform(0.2, 0.8), random.uniform(0.0, 0.4));
    canvas.light(|x, y| 1.0 - strength * ((x - bright).powi(2) + (y - 0.5).powi(2)));
    canvas.noise(random.uniform(0.0, 5.0), random);
    canvas
}

/// The table as the documentation has it.
pub fn markdown(scores: &[(&Row, Score)]) -> String {
    let mut text =
        String::from("| picture | read correctly | with a remark | wrong without one |\n|---|---:|---:|---:|\n");
    for (row, score) in scores {
        let Score { pictures, correct, remarked, silent } = score;
        let correct = match row.expectation {
            Expectation::Doubted => format!("({correct} of {pictures})"),
            _ => format!("{correct} of {pictures}"),
        };
        writeln!(text, "| {} | {correct} | {remarked} | {silent} |", row.name).expect("a String takes everything");
    }
    text
}
