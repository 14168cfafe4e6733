//! Training and evaluation by the PTX give the reference's bits, without a fault.

use cnn_core::shapes::Layers;
use cnn_train::backend::Reference;
use cnn_train::recipe::Recipe;
use equality::cases::{
    Case, Sizes, assert_same, digits, extremes, fingerprints, noise, scheduled_recipes, ties, trace,
};
use host_trainer::backend::cuda::{Cuda, Schedule};

use crate::gpu::gpu_with;

/// A whole batch of 100 and a short one; test images for more than one block of the classifier.
const SIZES: Sizes = Sizes { train: 107, test: 41 };
/// For what takes many blocks.
const FEW: Sizes = Sizes { train: 23, test: 5 };

/// An epoch in batches of this length, and the evaluation of both splits.
fn assert_equals_the_reference(case: &Case, batch_length: usize, multiprocessors: u32) {
    let Some(_gpu) = gpu_with(multiprocessors) else { return };
    let expected = trace(&mut Reference::new(case.dataset.clone()), case, batch_length);
    for schedule in [Schedule::Cooperative, Schedule::Graph] {
        let mut cuda = Cuda::with_schedule(case.dataset.clone(), schedule).unwrap();
        let found = trace(&mut cuda, case, batch_length);
        assert_same(&expected, &found, &format!("{}, batches of {batch_length}, {schedule:?}", case.name));
    }
}

#[cfg_attr(no_simulated_gpu, ignore = "no C++ compiler to build the simulated GPU")]
#[test]
fn noise_gives_the_references_bits() {
    assert_equals_the_reference(&noise(SIZES), 100, 4);
}

#[cfg_attr(no_simulated_gpu, ignore = "no C++ compiler to build the simulated GPU")]
#[test]
fn ties_give_the_references_bits() {
    assert_equals_the_reference(&ties(SIZES), 100, 3);
}

#[cfg_attr(no_simulated_gpu, ignore = "no C++ compiler to build the simulated GPU")]
#[test]
fn extremes_give_the_references_bits() {
    assert_equals_the_reference(&extremes(SIZES), 100, 2);
}

#[cfg_attr(no_simulated_gpu, ignore = "no C++ compiler to build the simulated GPU")]
#[test]
fn digits_give_the_references_bits() {
    assert_equals_the_reference(&digits(FEW), 7, 1);
}

#[cfg_attr(no_simulated_gpu, ignore = "no C++ compiler to build the simulated GPU")]
#[test]
fn some_layers_alone_give_the_references_bits() {
    for layers in ["fc2", "conv1,fc1", "conv2"] {
        let layers = Layers::parse(layers).unwrap();
        assert_equals_the_reference(&Case { name: "some layers", layers, ..noise(FEW) }, 10, 3);
    }
}

#[cfg_attr(no_simulated_gpu, ignore = "no C++ compiler to build the simulated GPU")]
#[test]
fn a_learning_rate_that_changes_with_the_epoch_gives_the_references_bits() {
    let Some(_gpu) = gpu_with(2) else { return };
    let case = noise(FEW);
    let recipe = Recipe { epochs: 2, ..scheduled_recipes()[0] };
    let expected = fingerprints(&mut Reference::new(case.dataset.clone()), &case.dataset, &recipe);
    for schedule in [Schedule::Cooperative, Schedule::Graph] {
        let mut cuda = Cuda::with_schedule(case.dataset.clone(), schedule).unwrap();
        assert_eq!(fingerprints(&mut cuda, &case.dataset, &recipe), expected, "{schedule:?}");
    }
}

#[cfg_attr(no_simulated_gpu, ignore = "no C++ compiler to build the simulated GPU")]
#[test]
fn batches_longer_than_a_tile_of_the_update_give_the_references_bits() {
    assert_equals_the_reference(&noise(SIZES), 107, 4);
}

#[cfg_attr(no_simulated_gpu, ignore = "no C++ compiler to build the simulated GPU")]
#[test]
fn more_blocks_than_samples_or_tiles_give_the_references_bits() {
    assert_equals_the_reference(&noise(FEW), 23, 132);
}
