//! The CPU backend equals the reference, bit for bit: at every SIMD level, thread count and batch length.

use std::ops::ControlFlow;
use std::sync::Arc;

use cnn_core::network::FlatParameters;
use cnn_core::sgd::Sgd;
use host_trainer::backend::cpu::{Cpu, CpuOptions, SimdLevel};
use host_trainer::backend::{Backend, BackendError, Epoch, Outcome, Reference, TrainingState, boxed_zeros};
use host_trainer::dataset::{Dataset, Samples, Split};
use host_trainer::random::{initial_parameters, shuffled};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const THREADS: [usize; 6] = [1, 2, 3, 5, 8, 100];
const BATCH_LENGTHS: [usize; 5] = [1, 7, 100, 128, usize::MAX];
const TRAINING_IMAGES: usize = 523;
const TEST_IMAGES: usize = 101;

/// What a run leaves behind.
#[derive(PartialEq)]
struct Trace {
    parameters: Vec<u32>,
    momentum: Vec<u32>,
    outcomes: Vec<(u32, u8)>,
}

/// Trains an epoch and evaluates both splits.
fn trace(backend: &mut dyn Backend, case: &Case, batch_length: usize) -> Trace {
    backend.load(&case.state).unwrap();
    let order = shuffled(5, 1, case.dataset.train.len());
    let epoch = Epoch { order: &order, batch_length: batch_length.min(order.len()), sgd: case.sgd };
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

#[track_caller]
fn assert_same(expected: &Trace, found: &Trace, what: &str) {
    let first = |a: &[u32], b: &[u32]| a.iter().zip(b).position(|(a, b)| a != b);
    assert_eq!(first(&expected.parameters, &found.parameters), None, "first parameter that differs: {what}");
    assert_eq!(first(&expected.momentum, &found.momentum), None, "first momentum that differs: {what}");
    assert!(expected.outcomes == found.outcomes, "outcomes differ: {what}");
}

/// A data set, a state to start from and settings.
struct Case {
    name: &'static str,
    dataset: Arc<Dataset>,
    state: TrainingState,
    sgd: Sgd,
}

fn samples(generator: &mut ChaCha8Rng, count: usize, mut pixel: impl FnMut(u32) -> u8) -> Samples {
    let images = (0..count).map(|_| std::array::from_fn(|_| pixel(generator.next_u32()))).collect();
    let labels = (0..count).map(|_| (generator.next_u32() % 10) as u8).collect();
    Samples::new(images, labels)
}

fn random_dataset(seed: u64, pixel: impl Fn(u32) -> u8) -> Arc<Dataset> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let train = samples(&mut generator, TRAINING_IMAGES, &pixel);
    let test = samples(&mut generator, TEST_IMAGES, &pixel);
    Arc::new(Dataset { name: "random".into(), hash: [0; 32], train, test })
}

/// Noise for images, parameters as training begins with.
fn noise() -> Case {
    Case {
        name: "noise",
        dataset: random_dataset(1, |bits| (bits >> 24) as u8),
        state: TrainingState::new(initial_parameters(1)),
        sgd: Sgd { learning_rate: 0.02, ..Sgd::RECIPE },
    }
}

/// Few grey values and parameters that are multiples of 1/8: pooling windows are full of exact ties, sums of exact zeros.
fn ties() -> Case {
    let mut parameters = initial_parameters(2);
    for value in parameters.iter_mut() {
        *value = (*value * 16.0).round() / 8.0;
    }
    Case {
        name: "ties",
        dataset: random_dataset(2, |bits| [0, 0, 0, 255][(bits >> 30) as usize]),
        state: TrainingState::new(parameters),
        sgd: Sgd { learning_rate: 0.001, ..Sgd::RECIPE },
    }
}

/// Subnormals and both zeros among parameters and momentum; whole channels that are off; weights so small that products
/// are subnormal.
fn extremes() -> Case {
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
        dataset: random_dataset(3, |bits| if bits.is_multiple_of(3) { (bits >> 24) as u8 } else { 0 }),
        state: TrainingState { parameters, momentum },
        sgd: Sgd { learning_rate: 0.01, ..Sgd::RECIPE },
    }
}

fn assert_equal_to_reference(case: &Case) {
    for batch_length in BATCH_LENGTHS {
        let expected = trace(&mut Reference::new(case.dataset.clone()), case, batch_length);
        for level in SimdLevel::available() {
            for threads in THREADS {
                let options = CpuOptions { threads: Some(threads), simd: Some(level) };
                let mut cpu = Cpu::new(case.dataset.clone(), options).unwrap();
                let found = trace(&mut cpu, case, batch_length);
                let what = format!("{}, batch length {batch_length}, {}", case.name, cpu.description());
                assert_same(&expected, &found, &what);
            }
        }
    }
}

#[test]
fn cpu_equals_the_reference_on_noise() {
    assert_equal_to_reference(&noise());
}

#[test]
fn cpu_equals_the_reference_on_ties() {
    assert_equal_to_reference(&ties());
}

#[test]
fn cpu_equals_the_reference_on_extremes() {
    assert_equal_to_reference(&extremes());
}

#[test]
fn every_level_of_this_machine_can_be_forced_and_no_other() {
    let dataset = noise().dataset;
    for level in SimdLevel::ALL {
        let made = Cpu::new(dataset.clone(), CpuOptions { threads: Some(1), simd: Some(level) });
        if SimdLevel::available().any(|available| available == level) {
            assert!(made.unwrap().description().contains(level.name()));
        } else {
            assert!(made.err().unwrap().to_string().contains(level.name()));
        }
    }
}

#[test]
fn a_loss_that_is_not_finite_names_its_step() {
    let case = noise();
    let mut state = case.state.clone();
    // Every logit of an image with ink is far above f32's range after the first step.
    state.parameters.iter_mut().for_each(|value| *value *= 10.0);
    let order = shuffled(5, 1, case.dataset.train.len());
    let sgd = Sgd { learning_rate: 1.0e20, ..Sgd::RECIPE };
    let failed_step = |backend: &mut dyn Backend| {
        backend.load(&state).unwrap();
        let epoch = Epoch { order: &order, batch_length: 10, sgd };
        match backend.train_epoch(epoch, &mut |_| ControlFlow::Continue(())) {
            Err(BackendError::NonFiniteLoss { step }) => step,
            other => panic!("{other:?}"),
        }
    };
    let expected = failed_step(&mut Reference::new(case.dataset.clone()));
    let options = CpuOptions { threads: Some(2), simd: None };
    assert_eq!(failed_step(&mut Cpu::new(case.dataset.clone(), options).unwrap()), expected);
}

#[test]
fn the_cpu_backend_stops_when_it_is_asked_to() {
    let case = noise();
    let mut cpu = Cpu::new(case.dataset.clone(), CpuOptions::default()).unwrap();
    cpu.load(&case.state).unwrap();
    let order = shuffled(5, 1, case.dataset.train.len());
    let epoch = Epoch { order: &order, batch_length: 1, sgd: case.sgd };
    let result = cpu.train_epoch(epoch, &mut |_| ControlFlow::Break(()));
    assert!(matches!(result, Err(BackendError::Interrupted)));
    let mut outcomes = vec![Outcome::default(); case.dataset.train.len()];
    let result = cpu.evaluate(Split::Train, &mut outcomes, &mut |_| ControlFlow::Break(()));
    assert!(matches!(result, Err(BackendError::Interrupted)));
}

#[test]
fn progress_ends_at_the_number_of_samples() {
    let case = noise();
    let mut cpu = Cpu::new(case.dataset.clone(), CpuOptions::default()).unwrap();
    let mut last = 0;
    let mut outcomes = vec![Outcome::default(); case.dataset.train.len()];
    cpu.evaluate(Split::Train, &mut outcomes, &mut |done| {
        assert!(done >= last);
        last = done;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(last, case.dataset.train.len());
}
