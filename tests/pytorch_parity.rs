//! PyTorch as witness: the network computes what PyTorch computes, up to the rounding of float32.
//!
//! # The tolerance
//!
//! PyTorch's results were computed in float64; in float32 no two orders of summation agree exactly. An error is measured
//! as the largest one of a tensor relative to the tensor's largest value, since rounding errors follow the size of the
//! terms and not the size of what is left of them.
//!
//! A sum of K rounded terms has a relative error of at most about K·u, u = 2⁻²⁴, and as the errors have either sign, of
//! hardly ever more than λ·√K·u with λ = 4 (Higham and Mary, *A New Approach to Probabilistic Rounding Error Analysis*,
//! <https://doi.org/10.1137/18M1226312>). The longest chain is that of a conv1 weight over several steps: forward
//! 10 + 145 + 801 + 121 terms, softmax and loss about 20, backward 10 + 120 + 288 + 169, the batch 6 and 18 updates:
//! K ≈ 1700, so 4·√1700·2⁻²⁴ = 9.8·10⁻⁶, rounded up to 10⁻⁵ and used for all.
//!
//! The file also says how far PyTorch's own float32 results lie from its float64 ones; that they keep the same tolerance
//! with room to spare is tested too, and so is that a wrong gradient, step or parameter does not.

use std::io::Read;

use cnn_core::image::{Pixels, normalize_pixel};
use cnn_core::loss::cross_entropy;
use cnn_core::network::{self, Activations, CLASSES, FlatParameters, PARAMETER_COUNT, Parameters, TENSORS};
use cnn_core::sgd::Sgd;
use cnn_core::train::Trainer;
use equality::bits::assert_same_bits;
use host_trainer::exchange;
use tests::vectors::{Vectors, read_file};

/// Largest accepted error of a tensor relative to its largest value; derived above.
const TOLERANCE: f64 = 1.0e-5;

/// The runs of several steps: PyTorch's recipe, and one whose learning rate moves every parameter visibly.
const RUNS: [&str; 2] = ["recipe", "fast"];

/// The largest difference relative to the largest expected value, and where it is.
fn distance(actual: &[f32], expected: &[f32]) -> (f64, usize) {
    assert_eq!(actual.len(), expected.len(), "number of values");
    let scale = expected.iter().fold(0.0f64, |largest, &value| largest.max(f64::from(value).abs()));
    let differences = actual.iter().zip(expected).map(|(&a, &e)| (f64::from(a) - f64::from(e)).abs() / scale);
    let (index, largest) = differences.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).expect("at least one value");
    (largest, index)
}

#[track_caller]
fn assert_close(name: &str, actual: &[f32], expected: &[f32]) {
    let (distance, index) = distance(actual, expected);
    // Written so that a NaN fails.
    assert!(
        distance <= TOLERANCE,
        "{name}[{index}] is {}, PyTorch says {}: off by {distance:.1e} of the largest value, tolerance {TOLERANCE:.0e}",
        actual[index],
        expected[index]
    );
}

#[track_caller]
fn assert_parameters_close(name: &str, actual: &FlatParameters, expected: &FlatParameters) {
    for tensor in &TENSORS {
        assert_close(&format!("{name}.{}", tensor.name), &actual[tensor.range()], &expected[tensor.range()]);
    }
}

/// Logits of all images under the given parameters.
fn all_logits(parameters: &FlatParameters, samples: &[(Pixels, u8)]) -> Vec<[f32; CLASSES]> {
    let mut activations = Activations::new();
    let logits =
        samples.iter().map(|(pixels, _)| network::logits(pixels, &Parameters::of(parameters), &mut activations));
    logits.collect()
}

/// The mean loss of the batch, and its gradient.
fn batch_gradient(parameters: &FlatParameters, batch: &[(Pixels, u8)]) -> (f64, Box<FlatParameters>) {
    let mut trainer = Box::new(Trainer::new());
    let loss = trainer.batch_gradient(parameters, batch.iter().map(|(pixels, label)| (pixels, *label)));
    (loss / batch.len() as f64, boxed(trainer.gradient()))
}

fn boxed(parameters: &FlatParameters) -> Box<FlatParameters> {
    parameters.to_vec().try_into().expect("the length is PARAMETER_COUNT")
}

/// The losses of a run's steps, and the parameters and the momentum after the last.
struct Trained {
    losses: Vec<f32>,
    parameters: Box<FlatParameters>,
    momentum: Box<FlatParameters>,
}

/// Trains over the file's batches with a run's settings.
fn train(vectors: &Vectors<'_>, sgd: Sgd) -> Trained {
    let samples = vectors.samples();
    let mut trainer = Box::new(Trainer::new());
    let mut parameters = vectors.parameters("initial");
    let mut momentum: Box<FlatParameters> = vec![0.0; PARAMETER_COUNT].try_into().expect("PARAMETER_COUNT values");
    let mut losses = Vec::new();
    let mut start = 0;
    for length in vectors.u8("batches").into_iter().map(usize::from) {
        let batch = samples[start..start + length].iter().map(|(pixels, label)| (pixels, *label));
        let loss = trainer.step(&sgd, &mut parameters, &mut momentum, batch).expect("the loss is finite");
        losses.push((loss / length as f64) as f32);
        start = (start + length) % samples.len();
    }
    Trained { losses, parameters, momentum }
}

fn settings(vectors: &Vectors<'_>, run: &str) -> Sgd {
    let settings = vectors.f64(&format!("{run}.settings"));
    let [learning_rate, momentum, weight_decay] = settings[..] else { panic!("{run}.settings: three values expected") };
    Sgd { learning_rate: learning_rate as f32, momentum: momentum as f32, weight_decay: weight_decay as f32 }
}

#[test]
fn pixels_are_normalised_to_the_same_bits() {
    let file = read_file();
    let ours: Vec<f32> = (0..=255).map(normalize_pixel).collect();
    assert_same_bits("normalized", &ours, &Vectors::of(&file).f32("normalized"));
}

#[test]
fn logits_and_losses_agree() {
    let file = read_file();
    let vectors = Vectors::of(&file);
    let samples = vectors.samples();
    let logits = all_logits(&vectors.parameters("initial"), &samples);
    assert_close("logits", logits.as_flattened(), &vectors.f32("logits"));
    let losses: Vec<f32> =
        logits.iter().zip(&samples).map(|(logits, (_, label))| cross_entropy(logits, *label)).collect();
    assert_close("losses", &losses, &vectors.f32("losses"));
}

#[test]
fn every_gradient_agrees() {
    let file = read_file();
    let vectors = Vectors::of(&file);
    let length = usize::from(vectors.u8("batches")[0]);
    let (loss, gradient) = batch_gradient(&vectors.parameters("initial"), &vectors.samples()[..length]);
    assert_parameters_close("gradient", &gradient, &vectors.parameters("gradient"));
    assert_close("loss", &[loss as f32], &vectors.f32("recipe.losses")[..1]);
}

#[test]
fn parameters_and_momentum_agree_after_steps_over_whole_and_shorter_batches() {
    let file = read_file();
    let vectors = Vectors::of(&file);
    for run in RUNS {
        let trained = train(&vectors, settings(&vectors, run));
        assert_close(&format!("{run}.losses"), &trained.losses, &vectors.f32(&format!("{run}.losses")));
        let name = format!("{run}.parameters");
        assert_parameters_close(&name, &trained.parameters, &vectors.parameters(&name));
        let name = format!("{run}.momentum");
        assert_parameters_close(&name, &trained.momentum, &vectors.parameters(&name));
    }
}

#[test]
fn the_recipe_is_the_one_pytorch_used() {
    assert_eq!(settings(&Vectors::of(&read_file()), "recipe"), Sgd::RECIPE);
}

#[test]
fn pytorchs_own_float32_keeps_the_tolerance_with_room_to_spare() {
    let file = read_file();
    let vectors = Vectors::of(&file);
    let mut names: Vec<String> = vec!["logits".into(), "losses".into()];
    names.extend(RUNS.map(|run| format!("{run}.losses")));
    for prefix in ["gradient", "recipe.parameters", "recipe.momentum", "fast.parameters", "fast.momentum"] {
        names.extend(TENSORS.map(|tensor| format!("{prefix}.{}", tensor.name)));
    }
    for name in names {
        let yardstick = vectors.f64(&format!("float32_distance.{name}"))[0];
        // Not 0, or float32 was not what was measured; a tenth, or the tolerance is too tight for another order of sums.
        assert!(0.0 < yardstick && yardstick < TOLERANCE / 10.0, "{name}: {yardstick:e}");
    }
}

#[test]
fn one_value_off_by_twice_the_tolerance_is_noticed_in_every_tensor() {
    let file = read_file();
    let expected = Vectors::of(&file).parameters("gradient");
    for tensor in &TENSORS {
        let expected = &expected[tensor.range()];
        let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        for index in [0, tensor.len / 2, tensor.len - 1] {
            let mut actual = expected.to_vec();
            assert_eq!(distance(&actual, expected).0, 0.0);
            actual[index] += 2.0 * TOLERANCE as f32 * largest;
            let (off, place) = distance(&actual, expected);
            assert!(off > TOLERANCE && place == index, "{}[{index}]: {off:e}", tensor.name);
            actual[index] = f32::NAN;
            assert!(distance(&actual, expected).0.is_nan(), "{}[{index}]", tensor.name);
        }
    }
}

#[test]
fn a_changed_parameter_a_swapped_label_and_a_transposed_image_are_noticed() {
    let file = read_file();
    let vectors = Vectors::of(&file);
    let (samples, initial) = (vectors.samples(), vectors.parameters("initial"));
    let batch = &samples[..usize::from(vectors.u8("batches")[0])];
    let expected_logits = vectors.f32("logits");

    for tensor in &TENSORS {
        let mut parameters = initial.clone();
        parameters[tensor.offset] += 0.01;
        let logits = all_logits(&parameters, &samples);
        let (off, _) = distance(logits.as_flattened(), &expected_logits);
        assert!(off > TOLERANCE, "{}[0] + 0.01 changes the logits by {off:e} only", tensor.name);
    }

    let mut swapped = batch.to_vec();
    swapped[0].1 = (swapped[0].1 + 1) % CLASSES as u8;
    let mut transposed = batch.to_vec();
    for (pixels, _) in &mut transposed {
        *pixels = std::array::from_fn(|i| pixels[28 * (i % 28) + i / 28]);
    }
    let expected = vectors.parameters("gradient");
    for (mistake, batch) in [("swapped label", swapped), ("transposed images", transposed)] {
        let (_, gradient) = batch_gradient(&initial, &batch);
        for tensor in &TENSORS {
            let (off, _) = distance(&gradient[tensor.range()], &expected[tensor.range()]);
            assert!(off > TOLERANCE, "{mistake}: {} is off by {off:e} only", tensor.name);
        }
    }
}

#[test]
fn a_slightly_different_optimiser_is_noticed_in_every_tensor() {
    let file = read_file();
    let vectors = Vectors::of(&file);
    let sgd = settings(&vectors, "fast");
    let mistakes = [
        Sgd { learning_rate: sgd.learning_rate * 1.01, ..sgd },
        Sgd { momentum: sgd.momentum * 0.99, ..sgd },
        Sgd { weight_decay: sgd.weight_decay * 0.9, ..sgd },
    ];
    let expected = vectors.parameters("fast.parameters");
    for mistake in mistakes {
        let trained = train(&vectors, mistake);
        for tensor in &TENSORS {
            let (off, _) = distance(&trained.parameters[tensor.range()], &expected[tensor.range()]);
            assert!(off > TOLERANCE, "{mistake:?}: {} is off by {off:e} only", tensor.name);
        }
    }
}

/// The parameters of the files that `pytorch/make_onnx.py` makes.
fn parameters_of_onnx_files() -> impl Iterator<Item = f32> {
    (0..PARAMETER_COUNT).map(|place| (place % 251) as f32 / 256.0)
}

/// A file of `pytorch/onnx`, unpacked.
fn onnx_file(name: &str) -> Vec<u8> {
    let path = format!("{}/pytorch/onnx/{name}.onnx.gz", env!("CARGO_MANIFEST_DIR"));
    let packed = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut file = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut file).expect("a packed file");
    file
}

#[test]
fn what_pytorchs_exporters_write_is_imported_bit_for_bit() {
    for name in
        ["torchscript-9", "torchscript-17-view", "torchscript-20-any-length", "dynamo-18", "dynamo-23-any-length"]
    {
        let read = exchange::import(&onnx_file(name)).unwrap_or_else(|error| panic!("{name}: {error}")).parameters;
        assert!(read.iter().map(|value| value.to_bits()).eq(parameters_of_onnx_files().map(f32::to_bits)), "{name}");
    }
}

#[test]
fn onnx_files_with_parameters_elsewhere_are_refused_with_what_to_do() {
    let message = exchange::import(&onnx_file("external")).expect_err("refused").to_string();
    assert!(message.contains("external_data=False"), "{message}");
}
