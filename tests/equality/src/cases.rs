//! Data sets, states and settings on which every backend must equal the reference, and how two runs are compared.

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use cnn_core::image::Pixels;
use cnn_core::network::FlatParameters;
use cnn_core::sgd::Sgd;
use cnn_core::shapes::{Layer, Layers};
use cnn_train::backend::{Backend, Epoch, Outcome, TrainingState, boxed_zeros};
use cnn_train::dataset::{Dataset, Samples, Split, synthetic};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::{initial_parameters, shuffled};
use cnn_train::recipe::Recipe;
use cnn_train::trainer::{EpochReport, Observer, train};
use flate2::read::GzDecoder;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a run leaves behind.
#[derive(PartialEq)]
pub struct Trace {
    parameters: Vec<u32>,
    momentum: Vec<u32>,
    outcomes: Vec<(u32, u8)>,
}

/// Trains an epoch and evaluates both splits.
///
/// # Panics
/// If the backend fails.
pub fn trace(backend: &mut dyn Backend, case: &Case, batch_length: usize) -> Trace {
    backend.load(&case.state).unwrap();
    let order = shuffled(5, 1, case.dataset.train.len());
    let epoch =
        Epoch { order: &order, batch_length: batch_length.min(order.len()), sgd: case.sgd, layers: case.layers };
    backend.train_epoch(epoch, &mut |_| ControlFlow::Continue(())).unwrap();
    let state = backend.state().unwrap();
    let mut outcomes = Vec::new();
    for split in [Split::Train, Split::Test] {
        let mut of_split = vec![Outcome::default(); case.dataset.split(split).len()];
        backend.evaluate(split, &mut of_split, &mut |_| ControlFlow::Continue(())).unwrap();
        outcomes.extend(of_split.iter().map(|outcome| (outcome.loss.to_bits(), outcome.prediction)));
    }
    Trace { parameters: bits(&state.parameters), momentum: bits(&state.momentum), outcomes }
}

fn bits(values: &FlatParameters) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Two runs gave the same bits.
///
/// # Panics
/// If they did not; `what` says which runs.
#[track_caller]
pub fn assert_same(expected: &Trace, found: &Trace, what: &str) {
    let first = |a: &[u32], b: &[u32]| a.iter().zip(b).position(|(a, b)| a != b);
    assert_eq!(first(&expected.parameters, &found.parameters), None, "first parameter that differs: {what}");
    assert_eq!(first(&expected.momentum, &found.momentum), None, "first momentum that differs: {what}");
    assert!(expected.outcomes == found.outcomes, "outcomes differ: {what}");
}

/// A data set, a state to start from and settings.
pub struct Case {
    /// What messages call it.
    pub name: &'static str,
    /// Random images.
    pub dataset: Arc<Dataset>,
    /// Where training starts.
    pub state: TrainingState,
    /// The optimiser's settings.
    pub sgd: Sgd,
    /// The layers that are trained.
    pub layers: Layers,
}

/// Every choice of layers to train.
///
/// # Panics
/// Never: the names are those of layers.
pub fn layer_choices() -> Vec<Layers> {
    let choice = |bits: usize| {
        let chosen = Layer::ALL.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1);
        let names: Vec<_> = chosen.map(|(_, layer)| layer.name()).collect();
        Layers::parse(&names.join(",")).expect("names of layers")
    };
    (1..1 << Layer::ALL.len()).map(choice).collect()
}

/// Runs of few steps whose learning rate changes with the epoch.
///
/// # Panics
/// Never: the texts are schedules.
pub fn scheduled_recipes() -> [Recipe; 3] {
    ["step:1:0.3", "cosine", "cosine:0.001"].map(|schedule| Recipe {
        epochs: 3,
        batch_size: 20,
        learning_rate: 0.02,
        schedule: schedule.parse().expect("a schedule"),
        ..Recipe::TUTORIAL
    })
}

/// The fingerprints of a run's epochs.
///
/// # Panics
/// If it does not train all of them.
pub fn fingerprints(backend: &mut dyn Backend, dataset: &Dataset, recipe: &Recipe) -> Vec<Fingerprint> {
    struct Silent;
    impl Observer for Silent {
        fn advance(&mut self, _: usize) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
        fn epoch(&mut self, _: &EpochReport) {}
    }
    let run = train(backend, dataset, recipe, &mut Silent);
    assert!(run.stopped.is_none(), "{:?}", run.stopped);
    run.epochs.iter().map(|epoch| epoch.fingerprint).collect()
}

/// Numbers of images in a data set's splits.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Images to train with.
    pub train: usize,
    /// Images to test with.
    pub test: usize,
}

fn samples(generator: &mut ChaCha8Rng, count: usize, mut pixel: impl FnMut(u32) -> u8) -> Samples {
    let images = (0..count).map(|_| std::array::from_fn(|_| pixel(generator.next_u32()))).collect();
    let labels = (0..count).map(|_| (generator.next_u32() % 10) as u8).collect();
    Samples::new(images, labels)
}

fn random_dataset(seed: u64, sizes: Sizes, pixel: impl Fn(u32) -> u8) -> Arc<Dataset> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let train = samples(&mut generator, sizes.train, &pixel);
    let test = samples(&mut generator, sizes.test, &pixel);
    Arc::new(Dataset { name: "random".into(), hash: [0; 32], train, test })
}

/// Noise for images, parameters as training begins with.
pub fn noise(sizes: Sizes) -> Case {
    Case {
        name: "noise",
        dataset: random_dataset(1, sizes, |bits| (bits >> 24) as u8),
        state: TrainingState::new(initial_parameters(1)),
        sgd: Sgd { learning_rate: 0.02, ..Sgd::RECIPE },
        layers: Layers::ALL,
    }
}

/// Few grey values and parameters that are multiples of 1/8: pooling windows are full of exact ties, sums of exact zeros.
pub fn ties(sizes: Sizes) -> Case {
    let mut parameters = initial_parameters(2);
    for value in parameters.iter_mut() {
        *value = (*value * 16.0).round() / 8.0;
    }
    Case {
        name: "ties",
        dataset: random_dataset(2, sizes, |bits| [0, 0, 0, 255][(bits >> 30) as usize]),
        state: TrainingState::new(parameters),
        sgd: Sgd { learning_rate: 0.001, ..Sgd::RECIPE },
        layers: Layers::ALL,
    }
}

/// Subnormals and both zeros among parameters and momentum; whole channels that are off; weights so small that products
/// are subnormal.
pub fn extremes(sizes: Sizes) -> Case {
    let mut generator = ChaCha8Rng::seed_from_u64(3);
    let mut parameters = initial_parameters(3);
    let mut momentum = boxed_zeros();
    for (parameter, momentum) in parameters.iter_mut().zip(momentum.iter_mut()) {
        let draw = generator.next_u32();
        match draw % 8 {
            0 => *parameter = -0.0,
            1 => *parameter = 0.0,
            2 => *parameter = f32::from_bits(draw & 0x807f_ffff),
            3 => *parameter *= 1.0e-19,
            _ => {}
        }
        match draw >> 8 & 3 {
            0 => *momentum = -0.0,
            1 => *momentum = f32::from_bits(draw & 0x807f_ffff),
            _ => {}
        }
    }
    Case {
        name: "extremes",
        dataset: random_dataset(3, sizes, |bits| if bits.is_multiple_of(3) { (bits >> 24) as u8 } else { 0 }),
        state: TrainingState { parameters, momentum },
        sgd: Sgd { learning_rate: 0.01, ..Sgd::RECIPE },
        layers: Layers::ALL,
    }
}

/// The built-in digits: strokes on a blank background, which backends may handle apart.
pub fn digits(sizes: Sizes) -> Case {
    of_digits("digits", synthetic::synthetic(synthetic::DEFAULT_SEED, sizes.train, sizes.test))
}

/// The first digits of MNIST.
///
/// # Panics
/// If the folder does not hold MNIST.
pub fn real_digits(sizes: Sizes, folder: &Path) -> Case {
    let first = |name, count| {
        let images: Vec<Pixels> = first_items(folder, &format!("{name}-images-idx3-ubyte"), 16, count);
        let labels: Vec<[u8; 1]> = first_items(folder, &format!("{name}-labels-idx1-ubyte"), 8, count);
        Samples::new(images, labels.into_flattened())
    };
    let (train, test) = (first("train", sizes.train), first("t10k", sizes.test));
    of_digits("real digits", Dataset::new("MNIST".into(), train, test))
}

/// The first items, of `N` bytes each, of a file of MNIST, packed or not, after its header.
fn first_items<const N: usize>(folder: &Path, name: &str, header: usize, count: usize) -> Vec<[u8; N]> {
    let read = |reader: &mut dyn Read| {
        let mut bytes = vec![0; header + count * N];
        reader.read_exact(&mut bytes).unwrap_or_else(|error| panic!("{}, {name}: {error}", folder.display()));
        bytes[header..].as_chunks().0.to_vec()
    };
    match File::open(folder.join(name)) {
        Ok(mut file) => read(&mut file),
        Err(_) => {
            let path = folder.join(format!("{name}.gz"));
            let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            read(&mut GzDecoder::new(file))
        }
    }
}

fn of_digits(name: &'static str, dataset: Dataset) -> Case {
    Case {
        name,
        dataset: Arc::new(dataset),
        state: TrainingState::new(initial_parameters(4)),
        sgd: Sgd { learning_rate: 0.01, ..Sgd::RECIPE },
        layers: Layers::ALL,
    }
}
