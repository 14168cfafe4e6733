//! `summary`: the network, and what a model file says of itself.

use std::process::ExitCode;

use cnn_core::int8::{BLOCK_LEN, FORWARD_RAM};
use cnn_core::model::{Int8Metadata, Training};
use cnn_core::network::Parameters;
use cnn_core::shapes::Layers;
use cnn_train::fingerprint::Fingerprint;
use cnn_train::recipe::Recipe;
use cnn_train::schedule::RateSchedule;
use host_trainer::exchange::INPUT;
use host_trainer::model_file::{AnyLoaded, LoadedInt8};
use host_trainer::report::sheet;
use serde::Serialize;

use super::output::{self, result, say};
use super::table::{self, NetworkTable};
use crate::cli::SummaryArgs;

/// Prints the network's table and, if a model is given, its metadata.
pub fn run(args: &SummaryArgs) -> anyhow::Result<ExitCode> {
    let model = args.model.as_deref().map(AnyLoaded::read).transpose()?;
    if let (Some(_), Some(model)) = (&args.filters, &model) {
        model.float("--filters")?;
    }
    let training = model.as_ref().and_then(AnyLoaded::training);
    output::block(&table::network(output::width()));
    result!("input        28×28 pixels, white on black, each {INPUT}");
    if let Some(model) = &model {
        result!("model        {} (self-test passed)", model.path().display());
        result!("fingerprint  {}", model.fingerprint());
        if let AnyLoaded::Int8(model) = model {
            print_int8(model);
        }
        match &training {
            None => result!("training     unknown: the parameters were imported"),
            Some(training) => print_claims(model, training),
        }
    }
    if let (Some(file), Some(AnyLoaded::Float(model))) = (&args.filters, &model) {
        let png = sheet::filters(&Parameters::of(&model.parameters), &model.title())?;
        output::picture(file, &[model.path()], &png)?;
        say!("{}: the kernels of both convolutions", file.display());
    }
    output::json(&Summary {
        network: table::network_facts(),
        input: INPUT,
        model: model.as_ref().map(|model| Described {
            path: model.path().to_string_lossy().into_owned(),
            kind: model.kind().to_string(),
            fingerprint: model.fingerprint(),
            int8: match model {
                AnyLoaded::Float(_) => None,
                AnyLoaded::Int8(model) => Some(Int8Facts::of(model)),
            },
            claims: training.as_ref().map(|training| Claims::new(model, training)),
        }),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What only the file says: nothing of it can be found in the parameters.
fn print_claims(model: &AnyLoaded, training: &Training<'_>) {
    result!("the file says of its training, which nothing here can check:");
    result!("  data       {} ({})", training.dataset, Fingerprint::from(training.dataset_hash));
    result!("  training   {}", recipe_of(model, training));
    if let Some(file) = initial_file(model) {
        result!("  start      {file}");
    }
    let (correct, count) = (training.test_correct, training.test_count);
    result!("  test       {correct} of {count} correct ({:.2} %)", 100.0 * f64::from(correct) / f64::from(count));
}

/// The recipe up to the epoch that the model is of.
fn recipe_of(model: &AnyLoaded, training: &Training<'_>) -> Recipe {
    match model {
        AnyLoaded::Float(model) => model.recipe(),
        AnyLoaded::Int8(_) => None,
    }
    .unwrap_or_else(|| Recipe::from(training))
}

/// The name of the file that the run started from, where a checkpoint says so.
fn initial_file(model: &AnyLoaded) -> Option<&str> {
    match model {
        AnyLoaded::Float(model) => model.initial_file(),
        AnyLoaded::Int8(_) => None,
    }
}

/// What an int8 model was made of.
fn print_int8(model: &LoadedInt8) {
    let Int8Facts { parameter_bytes, forward_ram_bytes, source, calibration_images, calibration_sha256, .. } =
        Int8Facts::of(model);
    result!("kind         int8: {parameter_bytes} bytes of parameters, {forward_ram_bytes} bytes of RAM and the image");
    result!("made of      {source}, by the file's own word");
    result!("calibration  {calibration_images} training images ({calibration_sha256})");
}

/// The answer of `--json`.
#[derive(Serialize)]
struct Summary<'a> {
    network: NetworkTable,
    input: &'a str,
    model: Option<Described<'a>>,
}

#[derive(Serialize)]
struct Described<'a> {
    path: String,
    kind: String,
    fingerprint: Fingerprint,
    /// Of an int8 model.
    #[serde(skip_serializing_if = "Option::is_none")]
    int8: Option<Int8Facts>,
    claims: Option<Claims<'a>>,
}

/// What an int8 file says of its making, as JSON.
#[derive(Serialize)]
struct Int8Facts {
    parameter_bytes: usize,
    forward_ram_bytes: usize,
    source: Fingerprint,
    calibration_images: u32,
    calibration_sha256: Fingerprint,
    pool1_scale: f32,
    pool2_scale: f32,
    hidden_scale: f32,
    logit_scale: f32,
}

impl Int8Facts {
    fn of(model: &LoadedInt8) -> Self {
        let Int8Metadata { source, calibration, scales, .. } = model.metadata();
        Self {
            parameter_bytes: BLOCK_LEN,
            forward_ram_bytes: FORWARD_RAM,
            source: source.into(),
            calibration_images: calibration.images,
            calibration_sha256: calibration.hash.into(),
            pool1_scale: scales.pool1,
            pool2_scale: scales.pool2,
            hidden_scale: scales.hidden,
            logit_scale: scales.logits,
        }
    }
}

/// [`Training`] as JSON.
#[derive(Serialize)]
struct Claims<'a> {
    dataset: &'a str,
    dataset_sha256: Fingerprint,
    epochs: u32,
    batch_size: u32,
    shuffle: bool,
    learning_rate: f32,
    /// This and the next two only of a checkpoint, where they are not the tutorial's.
    #[serde(skip_serializing_if = "Option::is_none")]
    learning_rate_schedule: Option<RateSchedule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trained_layers: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    initial_file: Option<&'a str>,
    momentum: f32,
    weight_decay: f32,
    seed: u64,
    test_correct: u32,
    test_count: u32,
}

impl<'a> Claims<'a> {
    fn new(model: &'a AnyLoaded, training: &Training<'a>) -> Self {
        let recipe = recipe_of(model, training);
        Self {
            dataset: training.dataset,
            dataset_sha256: training.dataset_hash.into(),
            epochs: training.epochs,
            batch_size: training.batch_length,
            shuffle: training.shuffle,
            learning_rate: training.learning_rate,
            learning_rate_schedule: (!recipe.schedule.is_constant()).then_some(recipe.schedule),
            trained_layers: (recipe.layers != Layers::ALL).then(|| recipe.layers.to_string()),
            initial_file: initial_file(model),
            momentum: training.momentum,
            weight_decay: training.weight_decay,
            seed: training.seed,
            test_correct: training.test_correct,
            test_count: training.test_count,
        }
    }
}
