//! `board`: talks to a microcontroller that runs the firmware.

use std::fmt::Debug;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use cnn_core::loss::softmax;
use cnn_train::dataset::Split;
use host_trainer::board::{self, Asked, Client, Contents, FlashImage, Link, Verification};
use host_trainer::files::{read_limited, write_whole};
use host_trainer::model_file::AnyLoaded;
use host_trainer::picture::probability_bars;

use super::data;
use super::output::{self, in_colour, progress, result, say};
use super::predict::from_picture;
use crate::cli::{BoardArgs, BoardCommand, DataArgs, ImagePart};

mod learning;

type Board = Client<Box<dyn Link>>;

/// Does what the board is asked for. A verification with a difference ends with exit code 1.
pub fn run(args: &BoardArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        BoardCommand::List => return Ok(list()),
        BoardCommand::Image { elf, out, model, only } => {
            image(elf, out, model.as_deref(), *only)?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let mut board = Client::new(board::open(&port(args)?)?);
    match &args.command {
        BoardCommand::List | BoardCommand::Image { .. } => {}
        BoardCommand::Info => info(&mut board)?,
        BoardCommand::Classify { picture, as_is } => classify(&mut board, picture, *as_is)?,
        BoardCommand::Verify { model, count, data } => return verify(&mut board, model, *count, data),
        BoardCommand::Update { model } => update(&mut board, model)?,
        BoardCommand::Teach { picture, label, as_is, lesson } => {
            learning::teach(&mut board, picture, *label, *as_is, lesson)?
        }
        BoardCommand::Learn { settings, ordinary, lesson, data } => {
            learning::learn(&mut board, &settings.into(), *ordinary, lesson, data)?;
        }
        BoardCommand::Forget { lesson } => learning::forget(&mut board, lesson)?,
        BoardCommand::Keep => learning::keep(&mut board)?,
        BoardCommand::Export { out, model } => learning::export(&mut board, out, model)?,
        BoardCommand::Reset => board.reset()?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The port that was named, or the one where a board answers.
fn port(args: &BoardArgs) -> anyhow::Result<String> {
    if let Some(port) = &args.port {
        return Ok(port.clone());
    }
    let port = board::only(board::ask(board::usb_ports()))?;
    say!("port      {port}");
    Ok(port)
}

/// Every serial port on USB, and who answers there. Without a board it ends with exit code 1.
fn list() -> ExitCode {
    let asked = board::ask(board::usb_ports());
    if asked.is_empty() {
        result!("there is no serial port on USB: is the board plugged in?");
    }
    for Asked { port, answer } in &asked {
        let device = port.device.as_ref();
        let device =
            device.map_or(String::new(), |(vendor, product, name)| format!(" ({vendor:04x}:{product:04x} {name})"));
        result!("{}{device}", port.name);
        match answer {
            Ok(info) => {
                let model = info.model.map_or_else(|error| format!("none: {error}"), |model| model.to_string());
                result!("  board     {}, {} MHz", info.board, info.clock_hz / 1_000_000);
                result!("  firmware  {}", info.firmware);
                result!("  model     {model}");
            }
            Err(error) => result!("  no board: {error}"),
        }
    }
    if asked.iter().any(|asked| asked.answer.is_ok()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// No ELF file of a microcontroller's program is longer, its debug information included.
const MAX_ELF: u64 = 64 * 1024 * 1024;

/// Writes a file to drag onto a board's drive. Its name says which kind.
fn image(elf: &Path, out: &Path, model: Option<&Path>, only: Option<ImagePart>) -> anyhow::Result<()> {
    let kind = out.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
    let contents = match only {
        None => Contents::All,
        Some(ImagePart::Program) => Contents::Program,
        Some(ImagePart::Model) => Contents::Model,
    };
    if contents == Contents::Program && model.is_some() {
        bail!("--only program writes no model, but --model names one: leave one of them out");
    }
    let model = model.map(AnyLoaded::read).transpose()?;
    let file = read_limited(elf, MAX_ELF)?;
    let in_elf = || format!("{}", elf.display());
    let image = FlashImage::of_elf(&file, model.as_ref().map(AnyLoaded::file), contents).with_context(in_elf)?;
    let bytes = match kind.as_deref() {
        Some("uf2") => image.uf2().with_context(in_elf)?,
        Some("hex") => image.hex(),
        Some("bin") => image.bin().with_context(in_elf)?,
        _ => bail!("{}: a board's drive takes .uf2, .hex or .bin: end the name so", out.display()),
    };
    write_whole(out, &bytes)?;
    result!("{}: {} bytes", out.display(), bytes.len());
    Ok(())
}

fn info(board: &mut Board) -> anyhow::Result<()> {
    let info = board.info()?;
    result!("The board says of itself, which nothing here can check:");
    result!("board     {}, {} MHz", info.board, info.clock_hz / 1_000_000);
    result!("firmware  {}", info.firmware);
    match info.model {
        Ok(fingerprint) => result!("model     {fingerprint}"),
        Err(error) => result!("model     none: {error}"),
    }
    let memory = info.memory;
    result!("memory    flash {}, variables {}, stack {} bytes", memory.flash, memory.variables, memory.stack);
    let line = info.line;
    result!(
        "frames    {} good, {} damaged, {} too long, {} broken off; {} errors of the port",
        line.good,
        line.damaged,
        line.too_long,
        line.timed_out,
        line.port_errors
    );
    learning::status(board)
}

fn classify(board: &mut Board, picture: &Path, as_is: bool) -> anyhow::Result<()> {
    let classified = board.classify_any(&from_picture(picture, as_is)?)?;
    output::block(&probability_bars(&softmax(&classified.logits()), in_colour()));
    result!("prediction {} ({} cycles by the board's own count)", classified.class(), classified.cycles());
    Ok(())
}

fn verify(board: &mut Board, model: &Path, count: usize, data: &DataArgs) -> anyhow::Result<ExitCode> {
    let model = AnyLoaded::read(model)?;
    let (name, samples) = data::open_split(data, Split::Test)?;
    let images = samples.images().iter().zip(samples.labels().iter().copied()).take(count);
    let bar = progress(images.len() as u64, "{wide_bar} {pos}/{len} images, {per_sec}");
    let progress = |done| bar.set_position(done as u64);
    match &model {
        AnyLoaded::Float(model) => {
            let verification = board::verify(board, &model.parameters, images, progress);
            bar.finish_and_clear();
            report(&name, &verification?)
        }
        AnyLoaded::Int8(model) => {
            let verification = board::verify_int8(board, model, images, progress);
            bar.finish_and_clear();
            report(&name, &verification?)
        }
    }
}

fn report<L: Debug>(data: &str, verification: &Verification<L>) -> anyhow::Result<ExitCode> {
    say!("data      {data}, test split");
    let Verification { images, differences, correct, cycles, elapsed } = verification;
    let share = |part: f64| part / *images as f64;
    result!("equal     {} of {images} images, every logit bit for bit", images - differences.len());
    for difference in differences.iter().take(5) {
        result!("  image {}: board {:?}, host {:?}", difference.image, difference.board, difference.host);
    }
    result!("accuracy  {:.5} ({correct} of {images})", share(*correct as f64));
    result!(
        "speed     {:.0} cycles an image by the board's own count, {:.1} images/s over the line",
        share(*cycles as f64),
        *images as f64 / elapsed.as_secs_f64()
    );
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn update(board: &mut Board, path: &Path) -> anyhow::Result<()> {
    // What the board would refuse after a minute, and without its old model, is refused here at once.
    let model = AnyLoaded::read(path)?;
    let bar = progress(model.file().len() as u64, "{wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}");
    let updated = board.update_with(model.file(), model.fingerprint(), |bytes| bar.set_position(bytes as u64));
    bar.finish_and_clear();
    updated?;
    result!("the board runs {}, the model that was sent, as it reports", model.fingerprint());
    Ok(())
}
