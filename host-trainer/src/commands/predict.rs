//! `predict`: ten probabilities of one digit, and the digit as the network sees it; of several, a table.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::CommandFactory;
use clap::error::ErrorKind;
use cnn_core::image::{self, Doubts, Pixels, Place};
use cnn_core::network::{self, CLASSES};
use cnn_train::dataset::Split;
use cnn_train::fingerprint::Fingerprint;
use host_trainer::classifier::Classifier;
use host_trainer::doubt::Reading;
use host_trainer::model_file::AnyLoaded;
use host_trainer::picture::{self, draw, probability_bars};
use host_trainer::report::sheet;
use host_trainer::text::one_line;
use serde::Serialize;

use super::data;
use super::output::{self, in_colour, result, say};
use crate::cli::{Cli, PredictArgs};

/// Classifies an image of the data set or pictures.
pub fn run(args: &PredictArgs) -> anyhow::Result<ExitCode> {
    if args.pictures.is_empty() && args.index.is_none() {
        return Err(no_digit().into());
    }
    let model = AnyLoaded::read(&args.model)?;
    if args.maps.is_some() {
        model.float("--maps")?;
    }
    let mut classifier = Classifier::of(&model);
    let mut answer = Answer {
        model: &args.model.to_string_lossy(),
        kind: model.kind().to_string(),
        fingerprint: model.fingerprint(),
        results: Vec::new(),
    };
    let code = match args.index {
        Some(index) => {
            let (pixels, label) = from_dataset(args, index)?;
            let reading = Reading::of(&pixels, None, &mut classifier);
            show_reading(&pixels, &reading);
            let named = format!("{} image {index}, label {label}; {}", Split::from(args.split), model.title());
            write_maps(args, &pixels, &mut classifier, &named)?;
            result!("prediction {}, label {label}", reading.prediction);
            let split = Some(Split::from(args.split).to_string());
            let labelled = Classified { split, index: Some(index), label: Some(label), ..Classified::new(reading) };
            answer.results.push(labelled);
            ExitCode::SUCCESS
        }
        None => pictures(args, &mut classifier, &mut answer)?,
    };
    output::json(&answer)?;
    Ok(code)
}

/// One picture in full, several as a table; what cannot be read among several has its line too.
fn pictures<'a>(
    args: &'a PredictArgs,
    classifier: &mut Classifier<'_>,
    answer: &mut Answer<'a>,
) -> anyhow::Result<ExitCode> {
    let is_alone = args.pictures.len() == 1 && !args.pictures[0].is_dir();
    for (flag, file) in [("--show", &args.show), ("--maps", &args.maps)] {
        if file.is_some() && !is_alone {
            bail!("{flag} writes one picture, but several are given; give one");
        }
    }
    if is_alone {
        let path = &args.pictures[0];
        let taken = take(path, args)?;
        let reading = Reading::of(&taken.pixels, Some(&taken.doubts), classifier);
        show_reading(&taken.pixels, &reading);
        write_maps(args, &taken.pixels, classifier, &shown(path))?;
        for remark in &reading.remarks {
            result!("remark: {remark}");
        }
        result!("prediction {}", reading.prediction);
        let picture = Some(path.to_string_lossy());
        answer.results.push(Classified { picture, place: taken.place, ..Classified::new(reading) });
        return Ok(ExitCode::SUCCESS);
    }
    let mut failed = 0;
    let paths = listed(&args.pictures)?;
    let width = paths.iter().map(|path| shown(path).chars().count()).max().unwrap_or(0).max("picture".len());
    say!("{:width$}  digit  probability  remarks", "picture");
    for path in &paths {
        let name = shown(path);
        let picture = Some(Cow::Owned(path.to_string_lossy().into_owned()));
        match take(path, args) {
            Ok(taken) => {
                let reading = Reading::of(&taken.pixels, Some(&taken.doubts), classifier);
                let share = 100.0 * reading.probabilities[reading.prediction];
                let line =
                    format!("{name:width$}  {:>5}  {share:9.2} %  {}", reading.prediction, reading.remarks.join("; "));
                result!("{}", line.trim_end());
                answer.results.push(Classified { picture, place: taken.place, ..Classified::new(reading) });
            }
            Err(error) => {
                failed += 1;
                let error = format!("{error:#}");
                result!("{name:width$}      -            -  {error}");
                answer.results.push(Classified { picture, error: Some(error), ..Classified::default() });
            }
        }
    }
    if failed > 0 {
        output::note(format_args!("{failed} of {} pictures could not be read", paths.len()));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// A path as a table shows it.
fn shown(path: &Path) -> String {
    one_line(path.display())
}

fn show_reading(pixels: &Pixels, reading: &Reading) {
    output::block(&draw(pixels, in_colour()));
    output::block(&probability_bars(&reading.probabilities, in_colour()));
}

/// Draws what the layers make of the one digit, if that is asked for.
fn write_maps(args: &PredictArgs, pixels: &Pixels, classifier: &mut Classifier<'_>, named: &str) -> anyhow::Result<()> {
    // Those of an int8 model were refused at the start.
    let (Some(file), Classifier::Float(parameters, activations)) = (&args.maps, classifier) else { return Ok(()) };
    let logits = network::logits(pixels, parameters, activations);
    let png = sheet::maps(pixels, activations, &logits, named)?;
    output::picture(file, &inputs(args), &png)?;
    say!("{}: what every layer makes of it", file.display());
    Ok(())
}

/// The files that are read.
fn inputs(args: &PredictArgs) -> Vec<&Path> {
    args.pictures.iter().chain([&args.model]).map(PathBuf::as_path).collect()
}

/// The ends of names that a folder's pictures have.
const EXTENSIONS: [&str; 18] = [
    "avif", "bmp", "dib", "gif", "heic", "heif", "jfif", "jpeg", "jpg", "pam", "pbm", "pgm", "png", "pnm", "ppm",
    "tif", "tiff", "webp",
];

/// The pictures, with those of a folder in its place, in the order of their names.
fn listed(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut pictures = Vec::new();
    for path in paths {
        if !path.is_dir() {
            pictures.push(path.clone());
            continue;
        }
        let cannot_read = || format!("cannot read the folder {}", path.display());
        let mut inside = Vec::new();
        for entry in fs::read_dir(path).with_context(cannot_read)? {
            let file = entry.with_context(cannot_read)?.path();
            let extension = file.extension().map(|extension| extension.to_string_lossy().to_lowercase());
            let is_picture = extension.is_some_and(|extension| EXTENSIONS.contains(&&*extension));
            if is_picture && !file.is_dir() {
                inside.push(file);
            }
        }
        if inside.is_empty() {
            bail!(
                "the folder {} has no pictures: no file whose name ends like a picture's, such as .jpg or .png",
                path.display()
            );
        }
        inside.sort();
        pictures.append(&mut inside);
    }
    Ok(pictures)
}

fn no_digit() -> clap::Error {
    let told = "which digit? Give a PICTURE after the model, or --index N for an image of the data set";
    Cli::command().error(ErrorKind::MissingRequiredArgument, told)
}

/// The answer of `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    model: &'a str,
    kind: String,
    fingerprint: Fingerprint,
    /// One for each digit.
    results: Vec<Classified<'a>>,
}

/// What the network makes of one digit: of a picture, or of an image of the data set.
#[derive(Serialize, Default)]
struct Classified<'a> {
    picture: Option<Cow<'a, str>>,
    /// Where the digit is in the picture, in pixels of the picture as it was read.
    place: Option<[usize; 4]>,
    split: Option<String>,
    index: Option<usize>,
    label: Option<u8>,
    prediction: Option<usize>,
    probabilities: Option<[f32; CLASSES]>,
    logits: Option<[f32; CLASSES]>,
    /// The logits of an int8 model as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    integer_logits: Option<[i32; CLASSES]>,
    remarks: Vec<String>,
    /// Why there is no prediction.
    error: Option<String>,
}

impl Classified<'_> {
    fn new(reading: Reading) -> Self {
        Self {
            prediction: Some(reading.prediction),
            probabilities: Some(reading.probabilities),
            logits: Some(reading.logits),
            integer_logits: reading.integers,
            remarks: reading.remarks,
            ..Self::default()
        }
    }
}

/// A digit taken out of a picture.
struct Taken {
    pixels: Pixels,
    doubts: Doubts,
    /// Left, top, width, height.
    place: Option<[usize; 4]>,
}

fn take(path: &Path, args: &PredictArgs) -> anyhow::Result<Taken> {
    let name = || if path == Path::new("-") { "standard input".into() } else { path.display().to_string() };
    let picture = picture::read(path)?;
    if args.as_is {
        let pixels = picture.borrowed().and_then(|picture| image::as_is(&picture)).with_context(name)?;
        return Ok(Taken { pixels, doubts: Doubts::default(), place: None });
    }
    let digit = picture.prepare().with_context(name)?;
    if let Some(file) = &args.show {
        output::check_picture(file, &inputs(args))?;
        picture.show(&digit, file)?;
        say!("{}: the picture, the ink that was taken, the network's input", file.display());
    }
    let Place { left, top, width, height } = digit.prepared.place;
    let place = Some([left, top, width, height]);
    Ok(Taken { pixels: digit.prepared.pixels, doubts: digit.prepared.doubts, place })
}

/// A picture's digit as the network wants it.
pub fn from_picture(path: &Path, as_is: bool) -> anyhow::Result<Pixels> {
    let picture = picture::read(path)?;
    let pixels = if as_is {
        picture.borrowed().and_then(|picture| image::as_is(&picture))
    } else {
        picture.prepare().map(|digit| digit.prepared.pixels)
    };
    pixels.with_context(|| path.display().to_string())
}

fn from_dataset(args: &PredictArgs, index: usize) -> anyhow::Result<(Pixels, u8)> {
    let split = Split::from(args.split);
    let (name, samples) = data::open_split(&args.data, split)?;
    let Some(pixels) = samples.images().get(index) else {
        bail!("--index {index}: the {split} split of {name} has images 0 to {}", samples.len() - 1);
    };
    say!("{name}, {split} image {index}");
    Ok((*pixels, samples.labels()[index]))
}
