//! Training and evaluation give the reference's bits: for every schedule, batch length and number of
//! multiprocessors.

use std::ops::ControlFlow;

use cnn_core::sgd::Sgd;
use cnn_train::backend::{Backend, BackendError, Epoch, Outcome, Reference, TrainingState};
use cnn_train::dataset::Split;
use cnn_train::random::{in_sequence, shuffled};
use cuda_sim::Setting;
use equality::bits::assert_same_parameters;
use equality::cases::{
    Case, Sizes, assert_same, extremes, fingerprints, layer_choices, noise, scheduled_recipes, ties, trace,
};
use equality::golden;
use host_trainer::backend::cuda::{Cuda, Schedule};

use crate::gpu::gpu;

const SCHEDULES: [Schedule; 2] = [Schedule::Cooperative, Schedule::Graph];
/// Two whole batches of 100 and a short one; test images for more than one block, the last not full.
const SIZES: Sizes = Sizes { train: 230, test: 41 };
/// For many settings.
const FEW: Sizes = Sizes { train: 23, test: 5 };

fn go_on(_: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn cuda(case: &Case, schedule: Schedule) -> Cuda {
    Cuda::with_schedule(case.dataset.clone(), schedule).unwrap()
}

fn assert_an_epoch_equals_the_reference(case: &Case, batch_length: usize) {
    let expected = trace(&mut Reference::new(case.dataset.clone()), case, batch_length);
    for schedule in SCHEDULES {
        let mut cuda = cuda(case, schedule);
        let found = trace(&mut cuda, case, batch_length);
        let what = format!("{}, batches of {batch_length}, {}", case.name, cuda.description());
        assert_same(&expected, &found, &what);
    }
}

#[cfg_attr(no_gpu, ignore = "no GPU and no C++ compiler to build a simulated one")]
#[test]
fn an_epoch_of_noise_equals_the_reference() {
    let Some(_gpu) = gpu() else { return };
    assert_an_epoch_equals_the_reference(&noise(SIZES), 100);
}

#[cfg_attr(no_gpu, ignore = "no GPU and no C++ compiler to build a simulated one")]
#[test]
fn an_epoch_of_ties_equals_the_reference() {
    let Some(_gpu) = gpu() else { return };
    assert_an_epoch_equals_the_reference(&ties(SIZES), 100);
}

#[cfg_attr(no_gpu, ignore = "no GPU and no C++ compiler to build a simulated one")]
#[test]
fn an_epoch_of_extremes_equals_the_reference() {
    let Some(_gpu) = gpu() else { return };
    assert_an_epoch_equals_the_reference(&extremes(SIZES), 100);
}

#[cfg_attr(no_gpu, ignore = "no GPU and no C++ compiler to build a simulated one")]
#[test]
fn the_batch_length_and_the_number_of_multiprocessors_change_no_bit_of_the_equality() {
    let Some(gpu) = gpu() else { return };
    let case = noise(FEW);
    for batch_length in [7, 23] {
        for multiprocessors in [1, 5, 24] {
            gpu.set(Setting::Multiprocessors, multiprocessors);
            assert_an_epoch_equals_the_reference(&case, batch_length);
        }
    }
}

#[cfg_attr(no_gpu, ignore = "no GPU and no C++ compiler to build a simulated one")]
#[test]
fn batches_longer_than_a_tile_of_the_update_equal_the_reference() {
    let Some(_gpu) = gpu() else { return };
    assert_an_epoch_equals_the_reference(&noise(SIZES), 215);
}

#[cfg_attr(no_gpu, ignore = "no GPU and no C++ compiler to build a simulated one")]
#[test]
fn the_cuda_backend_gives_the_golden_fingerprints() {
    let Some(_gpu) = gpu() else { return };
    let dataset = golden::dataset();
    let mut cuda = Cuda::new(dataset.clone()).unwrap();
    assert_eq!(golden::fingerprints(&mut cuda, &dataset), golden::expected());
}

#[cfg_attr(no_gpu, ignore = "no GPU and no C++ compiler to build a simulated one")]
#[test]
fn every_single_step_equals_the_reference() {
    let Some(_gpu) = gpu() else { return };
    let case = noise(SIZES);
    let order = shuffled(3, 1, SIZES.train);
    let mut reference = Reference::new(case.dataset.clone());
    for schedule in SCHEDULES {
        let mut cuda = cuda(&case, schedule);
        let mut state = case.state.clone();
        for (step, batch) in order.chunks(20).enumerate() {
            let epoch = Epoch { order: batch, batch_length: 20, sgd: case.sgd, layers: case.layers };
            let after = |backend: &mut dyn Backend| {
                backend.load(&state).unwrap();
                backend.train_epoch(epoch, &mut go_on).unwrap();
                backend.state().unwrap()
            };
            let (expected, found) = (after(&mut reference), after(&mut cuda));
            assert_same_state(&format!("step {step}, {schedule:?}"), &found, &expected);
            state = expected;
        }
    }
}

#[track_caller]
fn assert_same_state(what: &str, found: &TrainingState, expected: &TrainingState) {
    assert_same_parameters(&format!("{what}: parameters"), &found.parameters, &expected.parameters);
    assert_same_parameters(&format!("{what}: momentum"), &found.momentum, &expected.momentum);
}

#[cfg_attr(no_gpu, ignore = "no GPU and no C++ compiler to build a simulated one")]
#[test]
fn epochs_of_several_launches_and_changing_settings_equal_the_reference() {
    let Some(_gpu) = gpu() else { return };
    let case = noise(FEW);
    // 115 steps are two launches; the second epoch has another learning rate, the third other batches.
    let order: Vec<_> = in_sequence(FEW.train).repeat(5);
    let epochs = [(1, 0.02), (1, 0.01), (9, 0.01)];
    let after = |backend: &mut dyn Backend| {
        backend.load(&case.state).unwrap();
        for (batch_length, learning_rate) in epochs {
            let epoch =
                Epoch { order: &order, batch_length, sgd: Sgd { learning_rate, ..case.sgd }, layers: case.layers };
            let mut heard = Vec::new();
            let mut progress = |done| {
                heard.push(done);
                ControlFlow::Continue(())
            };
            backend.train_epoch(epoch, &mut progress).unwrap();
            assert!(heard.is_sorted() && heard.last() == Some(&order.len()), "{heard:?}");
        }
        backend.state().unwrap()
    };
    let expected = after(&mut Reference::new(case.dataset.clone()));
    for schedule in SCHEDULES {
        assert_same_state(&format!("{schedule:?}"), &after(&mut cuda(&case, schedule)), &expected);
    }
}

#[cfg_attr(no_gpu, ignore = "no GPU and no C++ compiler to build a simulated one")]
#[test]
fn any_choice_of_trained_layers_equals_the_reference() {
    let Some(_gpu) = gpu() else { return };
    for layers in layer_choices() {
        let case = Case { name: "some layers", layers, ..noise(FEW) };
        let expected = trace(&mut Reference::new(case.dataset.clone()), &case, 10);
        for schedule in SCHEDULES {
            assert_same(&expected, &trace(&mut cuda(&case, schedule), &case, 10), &format!("{layers}, {schedule:?}"));
        }
    }
}

#[cfg_attr(no_gpu, ignore = "no GPU and no C++ compiler to build a simulated one")]
#[test]
fn a_learning_rate_that_changes_with_the_epoch_equals_the_reference() {
    let Some(_gpu) = gpu() else { return };
    let case = noise(SIZES);
    for recipe in scheduled_recipes() {
        let expected = fingerprints(&mut Reference::new(case.dataset.clone()), &case.dataset, &recipe);
        for schedule in SCHEDULES {
            let mut cuda = cuda(&case, schedule);
            let found = fingerprints(&mut cuda, &case.dataset, &recipe);
            assert_eq!(found, expected, "{recipe}: {schedule:?}");
        }
    }
}

#[cfg_attr(no_gpu, ignore = "no GPU and no C++ compiler to build a simulated one")]
#[test]
fn the_cuda_backend_stops_when_it_is_asked_to_and_goes_on_afterwards() {
    let Some(_gpu) = gpu() else { return };
    let case = noise(FEW);
    let order: Vec<_> = in_sequence(FEW.train).repeat(20);
    let stop = &mut |_| ControlFlow::Break(());
    for schedule in SCHEDULES {
        let mut cuda = cuda(&case, schedule);
        cuda.load(&case.state).unwrap();
        let epoch = Epoch { order: &order, batch_length: 1, sgd: case.sgd, layers: case.layers };
        assert!(matches!(cuda.train_epoch(epoch, stop), Err(BackendError::Interrupted)));
        let mut outcomes = vec![Outcome::default(); FEW.train];
        assert!(matches!(cuda.evaluate(Split::Train, &mut outcomes, stop), Err(BackendError::Interrupted)));
        let expected = trace(&mut Reference::new(case.dataset.clone()), &case, 10);
        assert_same(&expected, &trace(&mut cuda, &case, 10), "after an interrupt");
    }
}
