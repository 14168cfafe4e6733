//! `summary`: the network, and what a model file says of itself.

use std::process::ExitCode;

use cnn_core::model::Training;
use cnn_core::network::Parameters;
use cnn_core::shapes::Layers;
use cnn_train::fingerprint::Fingerprint;
use cnn_train::recipe::Recipe;
use cnn_train::schedule::RateSchedule;
use host_trainer::exchange::INPUT;
use host_trainer::model_file::LoadedModel;
use host_trainer::report::sheet;
use serde::Serialize;

use super::output::{self, result, say};
use super::table::{self, NetworkTable};
use crate::cli::SummaryArgs;

/// Prints the network's table and, if a model is given, its metadata.
pub fn run(args: &SummaryArgs) -> anyhow::Result<ExitCode> {
    let model = args.model.as_deref().map(LoadedModel::read).transpose()?;
    let training = model.as_ref().and_then(LoadedModel::training);
    output::block(&table::network(output::width()));
    result!("input        28×28 pixels, white on black, each {INPUT}");
    if let Some(model) = &model {
        result!("model        {} (self-test passed)", model.path().display());
        result!("fingerprint  {}", model.fingerprint);
        match &training {
            None => result!("training     unknown: the parameters were imported"),
            Some(training) => print_claims(model, training),
        }
    }
    if let (Some(file), Some(model)) = (&args.filters, &model) {
        let png = sheet::filters(&Parameters::of(&model.parameters), &model.title())?;
        output::picture(file, &[model.path()], &png)?;
        say!("{}: the kernels of both convolutions", file.display());
    }
    output::json(&Summary {
        network: table::network_facts(),
        input: INPUT,
        model: model.as_ref().map(|model| Described {
            path: model.path().to_string_lossy().into_owned(),
            fingerprint: model.fingerprint,
            claims: training.as_ref().map(|training| Claims::new(model, training)),
        }),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What only the file says: nothing of it can be found in the parameters.
fn print_claims(model: &LoadedModel, training: &Training<'_>) {
    result!("the file says of its training, which nothing here can check:");
    result!("  data       {} ({})", training.dataset, Fingerprint::from(training.dataset_hash));
    if let Some(recipe) = model.recipe() {
        result!("  training   {recipe}");
    }
    if let Some(file) = model.initial_file() {
        result!("  start      {file}");
    }
    let (correct, count) = (training.test_correct, training.test_count);
    result!("  test       {correct} of {count} correct ({:.2} %)", 100.0 * f64::from(correct) / f64::from(count));
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
    fingerprint: Fingerprint,
    claims: Option<Claims<'a>>,
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
    fn new(model: &'a LoadedModel, training: &Training<'a>) -> Self {
        let recipe = model.recipe().unwrap_or(Recipe::TUTORIAL);
        Self {
            dataset: training.dataset,
            dataset_sha256: training.dataset_hash.into(),
            epochs: training.epochs,
            batch_size: training.batch_length,
            shuffle: training.shuffle,
            learning_rate: training.learning_rate,
            learning_rate_schedule: (!recipe.schedule.is_constant()).then_some(recipe.schedule),
            trained_layers: (recipe.layers != Layers::ALL).then(|| recipe.layers.to_string()),
            initial_file: model.initial_file(),
            momentum: training.momentum,
            weight_decay: training.weight_decay,
            seed: training.seed,
            test_correct: training.test_correct,
            test_count: training.test_count,
        }
    }
}
