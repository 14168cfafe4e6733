//! Writes what a model must give elsewhere, 100 images and their 1,000 logits: `logit_vectors MODEL FOLDER` leaves
//! `images.bin` (784 bytes each), `logits.bin` (ten little-endian f32 each, or i32 of an int8 model), and both as C arrays in `vectors.h`.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use cnn_core::image::Pixels;
use cnn_train::dataset::{Split, synthetic};
use host_trainer::classifier::Classifier;
use host_trainer::model_file::AnyLoaded;

const IMAGES: usize = 100;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [model, folder] = arguments.as_slice() else {
        eprintln!("usage: logit_vectors MODEL FOLDER");
        return ExitCode::from(2);
    };
    match write(Path::new(model), Path::new(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn write(model: &Path, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let model = AnyLoaded::read(model)?;
    let mut classifier = Classifier::of(&model);
    let images = images();
    let answers: Vec<_> = images.iter().map(|pixels| classifier.read(pixels)).collect();
    let words: Vec<u32> = answers
        .iter()
        .flat_map(|answer| match answer.integers {
            Some(integers) => integers.map(|integer| integer as u32),
            None => answer.logits.map(f32::to_bits),
        })
        .collect();
    let hex: Vec<String> = words.iter().map(|word| format!("{word:#010x}")).collect();
    let bytes: Vec<String> = images.as_flattened().iter().map(u8::to_string).collect();
    let header = format!(
        "#define IMAGES {IMAGES}\nstatic const uint8_t images[IMAGES][784] = {{{}}};\n\
         static const uint32_t expected[IMAGES][10] = {{{}}};\n",
        braced(&bytes, 784),
        braced(&hex, 10)
    );
    fs::create_dir_all(folder)?;
    fs::write(folder.join("images.bin"), images.as_flattened())?;
    fs::write(folder.join("logits.bin"), words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())?;
    fs::write(folder.join("vectors.h"), header)?;
    Ok(())
}

/// Built-in digits; and, where rounding meets other numbers, noise and plain surfaces.
fn images() -> Vec<Pixels> {
    let mut images = synthetic::samples(9, Split::Test, IMAGES / 2).images().to_vec();
    let mut state = 1u32;
    while images.len() < IMAGES - 2 {
        images.push(std::array::from_fn(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        }));
    }
    images.extend([[0; 784], [255; 784]]);
    images
}

/// The values in braces, so many in each.
fn braced(values: &[String], columns: usize) -> String {
    let rows = values.chunks(columns).map(|row| format!("{{{}}}", row.join(",")));
    rows.collect::<Vec<_>>().join(",\n")
}
