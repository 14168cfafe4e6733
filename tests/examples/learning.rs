//! The table of docs/learning.md: what a board's learned head gives for digits of a style that its model misreads, and for
//! MNIST as it is. `learning MODEL`, with MNIST in the folder that `MNIST_DIR` names.
//!
//! The style is MNIST rotated. The first images of the test split are taught; from the 1,001st on they are the test, rotated
//! and as they are. Ordinary samples are chosen from the training split as `board learn` does.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

use cnn_core::head::{self, FlatHead, Hidden};
use cnn_core::image::Pixels;
use cnn_core::learn::{Learner, Memory, Samples, Set, Settings};
use cnn_core::linear::linear;
use cnn_core::network::{Activations, CLASSES, FlatParameters, HIDDEN, IMAGE_SIDE, Parameters, logits, predict};
use cnn_train::ordinary::POOL;
use host_trainer::board::choose_ordinary;
use host_trainer::dataset::idx;
use host_trainer::model_file::LoadedModel;

/// Images of the test split that may be taught.
const TAUGHT: usize = 1000;
/// Samples taught, ordinary samples, learning rate.
const RUNS: [(usize, usize, f32); 6] =
    [(100, 0, 0.0003), (90, 70, 0.0003), (85, 75, 0.00025), (100, 200, 0.0003), (100, 200, 0.0007), (130, 270, 0.0007)];

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("usage: learning MODEL")?;
    let parameters = LoadedModel::read(Path::new(&path))?.parameters;
    let folder = PathBuf::from(env::var_os("MNIST_DIR").ok_or("MNIST_DIR is not set")?);
    let file = |name: &str| {
        let plain = folder.join(name);
        if plain.exists() { plain } else { plain.with_extension("gz") }
    };
    let test = idx::read_images(&file("t10k-images-idx3-ubyte"))?;
    let labels = idx::read_labels(&file("t10k-labels-idx1-ubyte"))?;
    let training = idx::read_images(&file("train-images-idx3-ubyte"))?;
    let training_labels = idx::read_labels(&file("train-labels-idx1-ubyte"))?;
    let pool = training.iter().zip(training_labels).take(POOL);
    let most = RUNS.iter().map(|run| run.1).max().unwrap_or_default();
    let ordinary: Vec<(Hidden, u8)> = choose_ordinary(&parameters, pool, most)
        .iter()
        .map(|(pixels, label)| (hidden(&parameters, pixels), *label))
        .collect();
    let upright = features(&parameters, &test[TAUGHT..], &labels[TAUGHT..]);
    let own = head::of(&parameters);
    println!("| rotated by | taught | ordinary | rate | rotated: before | after | | MNIST: before | after | |");
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for degrees in [30.0, 35.0, -30.0, -35.0] {
        let turned: Vec<Pixels> = test.iter().map(|image| rotated(image, degrees)).collect();
        let taught = features(&parameters, &turned[..TAUGHT], &labels[..TAUGHT]);
        let held_out = features(&parameters, &turned[TAUGHT..], &labels[TAUGHT..]);
        for (own_count, ordinary_count, learning_rate) in RUNS {
            let settings = Settings { epochs: 50, batch_length: 10, learning_rate, momentum: 0.9, weight_decay: 0.0 };
            let learned = learn(own, &taught[..own_count], &ordinary[..ordinary_count], &settings)?;
            let [before, after] = [own, &learned].map(|head| accuracy(head, &held_out));
            let [plain_before, plain_after] = [own, &learned].map(|head| accuracy(head, &upright));
            println!(
                "| {degrees}° | {own_count} | {ordinary_count} | {learning_rate} | {before:.2} | {after:.2} | {:+.2} | \
                 {plain_before:.2} | {plain_after:.2} | {:+.2} |",
                after - before,
                plain_after - plain_before
            );
        }
    }
    Ok(())
}

fn hidden(parameters: &FlatParameters, pixels: &Pixels) -> Hidden {
    let mut activations = Activations::new();
    logits(pixels, &Parameters::of(parameters), &mut activations);
    activations.hidden
}

fn features(parameters: &FlatParameters, images: &[Pixels], labels: &[u8]) -> Vec<(Hidden, u8)> {
    images.iter().zip(labels).map(|(pixels, &label)| (hidden(parameters, pixels), label)).collect()
}

/// What a board learns from these samples.
fn learn(
    model: &FlatHead,
    own: &[(Hidden, u8)],
    ordinary: &[(Hidden, u8)],
    settings: &Settings,
) -> Result<FlatHead, Box<dyn Error>> {
    let room = own.len() + ordinary.len();
    let (mut values, mut labels, mut memory) = (vec![[0.0; HIDDEN]; room], vec![0; room], Memory::new());
    let mut learner = Learner::new(Samples::new(&mut values, &mut labels), &mut memory);
    for (set, samples) in [(Set::Own, own), (Set::Ordinary, ordinary)] {
        for (index, (hidden, label)) in (0..).zip(samples) {
            learner.teach(set, index, *label, hidden)?;
        }
    }
    for epoch in 1..=settings.epochs {
        learner.epoch(model, settings, epoch)?;
    }
    Ok(*learner.head().ok_or("it has learned")?)
}

/// In percent.
fn accuracy(head: &FlatHead, samples: &[(Hidden, u8)]) -> f64 {
    let (weight, bias) = head::split(head);
    let is_right = |(hidden, label): &&(Hidden, u8)| {
        let mut logits = [0.0; CLASSES];
        linear(hidden, weight, bias, &mut logits);
        predict(&logits) == usize::from(*label)
    };
    samples.iter().filter(is_right).count() as f64 / samples.len() as f64 * 100.0
}

/// An image turned about its centre, interpolated between four pixels, with background outside.
fn rotated(pixels: &Pixels, degrees: f64) -> Pixels {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let centre = (IMAGE_SIDE - 1) as f64 / 2.0;
    let at = |row: f64, column: f64| {
        let inside = 0.0..IMAGE_SIDE as f64;
        let is_inside = inside.contains(&row) && inside.contains(&column);
        if is_inside { f64::from(pixels[row as usize * IMAGE_SIDE + column as usize]) } else { 0.0 }
    };
    std::array::from_fn(|index| {
        let (y, x) = ((index / IMAGE_SIDE) as f64 - centre, (index % IMAGE_SIDE) as f64 - centre);
        let (column, row) = (cosine * x - sine * y + centre, sine * x + cosine * y + centre);
        let (left, top) = (column.floor(), row.floor());
        let (right_share, low_share) = (column - left, row - top);
        let upper = (1.0 - right_share) * at(top, left) + right_share * at(top, left + 1.0);
        let lower = (1.0 - right_share) * at(top + 1.0, left) + right_share * at(top + 1.0, left + 1.0);
        ((1.0 - low_share) * upper + low_share * lower).round() as u8
    })
}
