//! `predict`: ten probabilities of one digit, and the digit as the network sees it.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anstream::println;
use anyhow::{Context, bail};
use cnn_core::image::{self, GrayImage, Pixels, normalize};
use cnn_core::loss::softmax;
use cnn_core::network::{Activations, Parameters, forward, predict};
use host_trainer::dataset::Split;
use host_trainer::model_file::LoadedModel;
use host_trainer::picture::{self, draw, probability_bars};

use super::data;
use crate::cli::PredictArgs;

/// Classifies an image of the data set or a picture.
pub fn run(args: &PredictArgs) -> anyhow::Result<ExitCode> {
    let model = LoadedModel::read(&args.model)?;
    let (pixels, label) = match (&args.picture, args.index) {
        (Some(path), _) => (from_picture(path, args.as_is)?, None),
        (None, index) => from_dataset(args, index.expect("clap asks for a picture or an index"))?,
    };
    let mut activations = Box::new(Activations::new());
    normalize(&pixels, &mut activations.image);
    let logits = forward(&Parameters::of(&model.parameters), &mut activations);

    println!("{}", draw(&pixels, in_colour()));
    println!("{}", probability_bars(&softmax(&logits)));
    match label {
        Some(label) => println!("prediction {}, label {label}", predict(&logits)),
        None => println!("prediction {}", predict(&logits)),
    }
    Ok(ExitCode::SUCCESS)
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
    println!("{name}, {split} image {index}");
    Ok((*pixels, Some(samples.labels()[index])))
}

/// Whether stdout shows colours: a terminal, and NO_COLOR not set (<https://no-color.org>).
fn in_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
