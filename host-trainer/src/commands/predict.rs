//! `predict`: ten probabilities of one digit, and the digit as the network sees it.

use std::borrow::Cow;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::CommandFactory;
use clap::error::ErrorKind;
use cnn_core::image::{self, GrayImage, Pixels, normalize};
use cnn_core::loss::softmax;
use cnn_core::network::{Activations, CLASSES, Parameters, forward, predict};
use cnn_train::dataset::Split;
use cnn_train::fingerprint::Fingerprint;
use host_trainer::model_file::LoadedModel;
use host_trainer::picture::{self, draw, probability_bars};
use serde::Serialize;

use super::data;
use super::output::{self, in_colour, result, say};
use crate::cli::{Cli, PredictArgs};

/// Classifies an image of the data set or a picture.
pub fn run(args: &PredictArgs) -> anyhow::Result<ExitCode> {
    if args.picture.is_none() && args.index.is_none() {
        return Err(no_digit().into());
    }
    let model = LoadedModel::read(&args.model)?;
    let (pixels, label) = match (&args.picture, args.index) {
        (Some(path), _) => (from_picture(path, args.as_is)?, None),
        (None, Some(index)) => from_dataset(args, index)?,
        (None, None) => return Err(no_digit().into()),
    };
    let mut activations = Box::new(Activations::new());
    normalize(&pixels, &mut activations.image);
    let logits = forward(&Parameters::of(&model.parameters), &mut activations);

    output::block(&draw(&pixels, in_colour()));
    output::block(&probability_bars(&softmax(&logits), in_colour()));
    output::json(&Answer {
        model: &args.model.to_string_lossy(),
        fingerprint: model.fingerprint,
        results: vec![Classified {
            picture: args.picture.as_deref().map(Path::to_string_lossy),
            split: args.index.map(|_| Split::from(args.split).to_string()),
            index: args.index,
            label,
            prediction: predict(&logits),
            probabilities: softmax(&logits),
            logits,
        }],
    })?;
    match label {
        Some(label) => result!("prediction {}, label {label}", predict(&logits)),
        None => result!("prediction {}", predict(&logits)),
    }
    Ok(ExitCode::SUCCESS)
}

fn no_digit() -> clap::Error {
    let told = "which digit? Give a PICTURE after the model, or --index N for an image of the data set";
    Cli::command().error(ErrorKind::MissingRequiredArgument, told)
}

/// The answer of `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    model: &'a str,
    fingerprint: Fingerprint,
    /// One for each digit.
    results: Vec<Classified<'a>>,
}

/// What the network makes of one digit: of a picture, or of an image of the data set.
#[derive(Serialize)]
struct Classified<'a> {
    picture: Option<Cow<'a, str>>,
    split: Option<String>,
    index: Option<usize>,
    label: Option<u8>,
    prediction: usize,
    probabilities: [f32; CLASSES],
    logits: [f32; CLASSES],
}

/// A picture's digit as the network wants it.
pub fn from_picture(path: &Path, as_is: bool) -> anyhow::Result<Pixels> {
    let picture = picture::read(path)?;
    let prepared = GrayImage::new(picture.width, picture.height, &picture.pixels)
        .and_then(|image| if as_is { image::as_is(&image) } else { image::prepare(&image) });
    prepared.with_context(|| path.display().to_string())
}

fn from_dataset(args: &PredictArgs, index: usize) -> anyhow::Result<(Pixels, Option<u8>)> {
    let split = Split::from(args.split);
    let (name, samples) = data::open_split(&args.data, split)?;
    let Some(pixels) = samples.images().get(index) else {
        bail!("--index {index}: the {split} split of {name} has images 0 to {}", samples.len() - 1);
    };
    say!("{name}, {split} image {index}");
    Ok((*pixels, Some(samples.labels()[index])))
}
