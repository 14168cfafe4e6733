//! The CPU backend equals the reference, bit for bit: at every SIMD level, thread count and batch length.

use std::ops::ControlFlow;

use cnn_core::shapes::{Layer, Layers};
use cnn_train::backend::cpu::{Cpu, CpuOptions, SimdLevel};
use cnn_train::backend::{Backend, BackendError, Epoch, Outcome, Reference};
use cnn_train::dataset::Split;
use cnn_train::random::shuffled;
use cnn_train::recipe::Recipe;
use cnn_train::schedule::RateSchedule;
use equality::cases::{
    Case, Sizes, assert_same, digits, extremes, fingerprints, layer_choices, noise, real_digits, scheduled_recipes,
    ties, trace,
};
use equality::{is_slow, mnist_dir, threads};

const THREADS: [usize; 6] = [1, 2, 3, 5, 8, 100];
const BATCH_LENGTHS: [usize; 5] = [1, 7, 100, 128, usize::MAX];

/// Enough for a batch of several segments; where it is slow for one block of images and a part of another.
fn sizes() -> Sizes {
    if is_slow() { Sizes { train: 9, test: 3 } } else { Sizes { train: 523, test: 101 } }
}

fn numbers_of_threads() -> Vec<usize> {
    let few = if is_slow() { &[1, 3][..] } else { &THREADS };
    let mut numbers: Vec<_> = few.iter().map(|&number| threads(number)).collect();
    numbers.dedup();
    numbers
}

fn assert_equal_to_reference(case: &Case) {
    let mut batch_lengths = BATCH_LENGTHS.map(|length| length.min(case.dataset.train.len())).to_vec();
    batch_lengths.dedup();
    let mut reference = Reference::new(case.dataset.clone());
    let expected: Vec<_> = batch_lengths.iter().map(|&length| trace(&mut reference, case, length)).collect();
    for level in SimdLevel::available() {
        for threads in numbers_of_threads() {
            let options = CpuOptions { threads: Some(threads), simd: Some(level) };
            let mut cpu = Cpu::new(case.dataset.clone(), options).unwrap();
            for (expected, &batch_length) in expected.iter().zip(&batch_lengths) {
                // A hundred threads that meet after every few images take minutes.
                if threads > 8 && batch_length < 100 {
                    continue;
                }
                let found = trace(&mut cpu, case, batch_length);
                let what = format!("{}, batch length {batch_length}, {}", case.name, cpu.description());
                assert_same(expected, &found, &what);
            }
        }
    }
}

#[test]
fn cpu_equals_the_reference_on_noise() {
    assert_equal_to_reference(&noise(sizes()));
}

#[test]
fn cpu_equals_the_reference_on_ties() {
    assert_equal_to_reference(&ties(sizes()));
}

#[test]
fn cpu_equals_the_reference_on_extremes() {
    assert_equal_to_reference(&extremes(sizes()));
}

#[test]
fn cpu_equals_the_reference_on_digits() {
    assert_equal_to_reference(&digits(sizes()));
}

#[cfg_attr(no_mnist, ignore = "MNIST_DIR is not set")]
#[test]
fn cpu_equals_the_reference_on_real_digits() {
    if let Some(folder) = mnist_dir() {
        assert_equal_to_reference(&real_digits(sizes(), &folder));
    }
}

#[test]
fn cpu_equals_the_reference_whatever_layers_are_trained() {
    // Two segments in the longer batch.
    let sizes = if is_slow() { sizes() } else { Sizes { train: 263, test: 11 } };
    for layers in layer_choices() {
        let case = Case { layers, ..noise(sizes) };
        for (batch_length, threads) in if is_slow() { vec![(7, 3)] } else { vec![(100, 1), (sizes.train, 3)] } {
            let expected = trace(&mut Reference::new(case.dataset.clone()), &case, batch_length);
            for level in SimdLevel::available() {
                let options = CpuOptions { threads: Some(equality::threads(threads)), simd: Some(level) };
                let mut cpu = Cpu::new(case.dataset.clone(), options).unwrap();
                // First all layers: what they leave behind must not matter.
                trace(&mut cpu, &noise(sizes), batch_length);
                let found = trace(&mut cpu, &case, batch_length);
                assert_same(&expected, &found, &format!("{layers}, {batch_length}, {}", cpu.description()));
            }
        }
    }
}

#[test]
fn a_step_of_some_layers_changes_them_as_a_step_of_all_does_and_no_other() {
    let case = extremes(sizes());
    let order = shuffled(5, 1, case.dataset.train.len());
    let after_a_step = |backend: &mut dyn Backend, layers| {
        backend.load(&case.state).unwrap();
        let epoch = Epoch { order: &order, batch_length: order.len(), sgd: case.sgd, layers };
        backend.train_epoch(epoch, &mut |_| ControlFlow::Continue(())).unwrap();
        backend.state().unwrap()
    };
    let backends: [Box<dyn Backend>; 2] = [
        Box::new(Reference::new(case.dataset.clone())),
        Box::new(Cpu::new(case.dataset.clone(), CpuOptions::default()).unwrap()),
    ];
    for mut backend in backends {
        let all = after_a_step(&mut *backend, Layers::ALL);
        assert!(Layer::ALL.iter().all(|layer| all.parameters[layer.range()] != case.state.parameters[layer.range()]));
        for layers in layer_choices() {
            let found = after_a_step(&mut *backend, layers);
            for layer in Layer::ALL {
                let expected = if layers.contains(layer) { &all } else { &case.state };
                for (found, expected) in
                    [(&found.parameters, &expected.parameters), (&found.momentum, &expected.momentum)]
                {
                    let same = found[layer.range()]
                        .iter()
                        .zip(&expected[layer.range()])
                        .all(|(found, expected)| found.to_bits() == expected.to_bits());
                    assert!(same, "{} of {layers}, {}", layer.name(), backend.description());
                }
            }
        }
    }
}

#[test]
fn a_learning_rate_that_changes_with_the_epoch_gives_the_same_bits() {
    let dataset = noise(Sizes { train: if is_slow() { 5 } else { 107 }, test: 2 }).dataset;
    for recipe in scheduled_recipes() {
        let expected = fingerprints(&mut Reference::new(dataset.clone()), &dataset, &recipe);
        let constant = Recipe { schedule: RateSchedule::Constant, ..recipe };
        let constant = fingerprints(&mut Reference::new(dataset.clone()), &dataset, &constant);
        assert!(expected[0] == constant[0] && expected[1] != constant[1], "{recipe}");
        for level in SimdLevel::available() {
            for &threads in if is_slow() { &[2][..] } else { &[1, 2] } {
                let options = CpuOptions { threads: Some(equality::threads(threads)), simd: Some(level) };
                let mut cpu = Cpu::new(dataset.clone(), options).unwrap();
                assert_eq!(fingerprints(&mut cpu, &dataset, &recipe), expected, "{recipe}: {}", cpu.description());
            }
        }
    }
}

#[test]
fn every_level_of_this_machine_can_be_forced_and_no_other() {
    let dataset = noise(sizes()).dataset;
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
fn the_cpu_backend_stops_when_it_is_asked_to() {
    let case = noise(sizes());
    let mut cpu = Cpu::new(case.dataset.clone(), CpuOptions::default()).unwrap();
    cpu.load(&case.state).unwrap();
    let order = shuffled(5, 1, case.dataset.train.len());
    let epoch = Epoch { order: &order, batch_length: 1, sgd: case.sgd, layers: case.layers };
    let result = cpu.train_epoch(epoch, &mut |_| ControlFlow::Break(()));
    assert!(matches!(result, Err(BackendError::Interrupted)));
    let mut outcomes = vec![Outcome::default(); case.dataset.train.len()];
    let result = cpu.evaluate(Split::Train, &mut outcomes, &mut |_| ControlFlow::Break(()));
    assert!(matches!(result, Err(BackendError::Interrupted)));
}

#[test]
fn progress_ends_at_the_number_of_samples() {
    let case = noise(sizes());
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
