//! `board`: talks to a microcontroller that runs the firmware.

use std::path::Path;
use std::process::ExitCode;

use anstream::println;
use cnn_core::loss::softmax;
use host_trainer::board::{self, Client, Link, Verification};
use host_trainer::dataset::Split;
use host_trainer::model_file::LoadedModel;
use host_trainer::picture::probability_bars;
use indicatif::{ProgressBar, ProgressStyle};

use super::predict::from_picture;
use super::{data, printable};
use crate::cli::{BoardArgs, BoardCommand, DataArgs};

type Board = Client<Box<dyn Link>>;

/// Does what the board is asked for. A verification with a difference ends with exit code 1.
pub fn run(args: &BoardArgs) -> anyhow::Result<ExitCode> {
    let mut board = Client::new(board::open(&args.port)?);
    match &args.command {
        BoardCommand::Info => info(&mut board)?,
        BoardCommand::Classify { picture, as_is } => classify(&mut board, picture, *as_is)?,
        BoardCommand::Verify { model, count, data } => return verify(&mut board, model, *count, data),
        BoardCommand::Update { model } => update(&mut board, model)?,
        BoardCommand::Reset => board.reset()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn info(board: &mut Board) -> anyhow::Result<()> {
    let info = board.info()?;
    println!("The board says of itself:");
    println!("board     {}, {} MHz", printable(&info.board), info.clock_hz / 1_000_000);
    println!("firmware  {}", printable(&info.firmware));
    match info.model {
        Ok(fingerprint) => println!("model     {fingerprint}"),
        Err(error) => println!("model     none: {error}"),
    }
    let memory = info.memory;
    println!("memory    flash {}, variables {}, stack {} bytes", memory.flash, memory.variables, memory.stack);
    let line = info.line;
    println!(
        "frames    {} good, {} damaged, {} too long, {} broken off; {} errors of the port",
        line.good, line.damaged, line.too_long, line.timed_out, line.port_errors
    );
    Ok(())
}

fn classify(board: &mut Board, picture: &Path, as_is: bool) -> anyhow::Result<()> {
    let classified = board.classify(&from_picture(picture, as_is)?)?;
    println!("{}", probability_bars(&softmax(&classified.logits)));
    println!("prediction {} ({} cycles by the board's own count)", classified.class, classified.cycles);
    Ok(())
}

fn verify(board: &mut Board, model: &Path, count: usize, data: &DataArgs) -> anyhow::Result<ExitCode> {
    let model = LoadedModel::read(model)?;
    let (name, samples) = data::open_split(data, Split::Test)?;
    let images = samples.images().iter().zip(samples.labels().iter().copied()).take(count);
    let bar = bar(images.len(), "{wide_bar} {pos}/{len} images, {per_sec}");
    let verification = board::verify(board, &model.parameters, images, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    let verification = verification?;
    println!("data      {name}, test split");
    report(&verification);
    Ok(if verification.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(verification: &Verification) {
    let Verification { images, differences, correct, cycles, elapsed } = verification;
    let share = |part: f64| part / *images as f64;
    println!("equal     {} of {images} images, every logit bit for bit", images - differences.len());
    for difference in differences.iter().take(5) {
        println!("  image {}: board {:?}, host {:?}", difference.image, difference.board, difference.host);
    }
    println!("accuracy  {:.5} ({correct} of {images})", share(*correct as f64));
    println!(
        "speed     {:.0} cycles an image by the board's own count, {:.1} images/s over the line",
        share(*cycles as f64),
        *images as f64 / elapsed.as_secs_f64()
    );
}

fn update(board: &mut Board, path: &Path) -> anyhow::Result<()> {
    // What the board would refuse after a minute, and without its old model, is refused here at once.
    let model = LoadedModel::read(path)?;
    let bar = bar(model.file().len(), "{wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}");
    let updated = board.update(&model, |bytes| bar.set_position(bytes as u64));
    bar.finish_and_clear();
    updated?;
    println!("the board runs {}, the model that was sent, as it reports", model.fingerprint);
    Ok(())
}

fn bar(len: usize, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len as u64).with_style(style)
}
