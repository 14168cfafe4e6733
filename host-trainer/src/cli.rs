//! Commands and flags.

use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PathBufValueParser, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use cnn_core::learn::Settings;
use cnn_core::shapes::Layers;
use cnn_train::backend::{CpuOptions, SimdLevel};
use cnn_train::dataset::Split;
use cnn_train::recipe::Recipe;
use cnn_train::schedule::RateSchedule;
use host_trainer::backend::{BackendChoice, MachineOptions};
use host_trainer::dataset::Source;
use host_trainer::report::{MODEL, RECORD};

use crate::commands::output::Mode;

/// Trains a small convolutional network on MNIST: the same bits on every CPU, GPU and microcontroller.
///
/// Without a command it trains: 100 epochs of SGD in batches of 100, train and test loss and accuracy after each,
/// and leaves the model, plots of both curves, metrics and a record of the run in the output folder.
#[derive(Debug, Parser)]
#[command(name = "host-trainer", version, args_override_self = true, after_help = TRAIN_EXAMPLES)]
pub struct Cli {
    /// What to do; training if nothing is given.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to train.
    #[command(flatten)]
    pub train: TrainArgs,
    /// Results, warnings and errors alone: no tables, no progress, no epochs
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

impl Cli {
    /// What the command line asks for.
    ///
    /// # Errors
    /// If it asks for help, or for what there is not.
    pub fn read() -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches()?;
        refuse_flags_before_the_command(&matches)?;
        let cli = Self::from_arg_matches(&matches)?;
        if cli.names_a_gpu_in_vain() {
            let message = "--device names a GPU; it needs --backend cuda, cuda-graph or auto";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, message));
        }
        if let Some(message) = cli.recipe().and_then(RecipeArgs::contradiction) {
            return Err(Self::command().error(ErrorKind::ArgumentConflict, message));
        }
        Ok(cli)
    }

    /// The flags of the recipe, of a command that has them.
    fn recipe(&self) -> Option<&RecipeArgs> {
        match &self.command {
            None => Some(&self.train.recipe),
            Some(Command::Train(args)) => Some(&args.recipe),
            Some(Command::Verify(args)) => Some(&args.recipe),
            Some(_) => None,
        }
    }

    /// How much it prints.
    pub fn mode(&self) -> Mode {
        let json = match &self.command {
            Some(Command::Evaluate(args)) => args.json,
            Some(Command::Compare(args)) => args.json,
            Some(Command::Predict(args)) => args.json,
            Some(Command::Doctor(args)) => args.json,
            Some(Command::Quantize(args)) => args.json,
            Some(Command::Summary(args)) => args.json,
            Some(Command::Verify(args)) => args.json,
            _ => false,
        };
        match (json, self.quiet) {
            (true, _) => Mode::Json,
            (false, true) => Mode::Quiet,
            (false, false) => Mode::Full,
        }
    }
}

/// Flags of the training that is the default say nothing to another command, and are not overlooked in silence.
fn refuse_flags_before_the_command(matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some(command) = matches.subcommand_name() else { return Ok(()) };
    let mut cli = Cli::command();
    cli.build();
    let given = cli.get_arguments().find(|argument| {
        let id = argument.get_id().as_str();
        !argument.is_global_set() && matches.value_source(id) == Some(ValueSource::CommandLine)
    });
    let Some(flag) = given.map(ToString::to_string) else { return Ok(()) };
    let told = format!("'{flag}' stands before '{command}': the flags of a command come after it");
    Err(cli.error(ErrorKind::ArgumentConflict, told))
}

impl Cli {
    /// Whether a GPU is named although no backend may be one.
    fn names_a_gpu_in_vain(&self) -> bool {
        let (args, against) = match &self.command {
            None => (&self.train.backend, None),
            Some(Command::Train(args)) => (&args.backend, None),
            Some(Command::Evaluate(args)) => (&args.backend, None),
            Some(Command::Quantize(args)) => (&args.backend, None),
            Some(Command::Verify(args)) => (&args.backend, args.record.is_none().then_some(args.against)),
            Some(_) => return false,
        };
        args.gpu.device.is_some() && !args.backend.may_be_gpu() && !against.is_some_and(BackendArg::may_be_gpu)
    }
}

const TRAIN_EXAMPLES: &str = "\
Examples:
  host-trainer                                   the whole recipe, MNIST downloaded into data/mnist
  host-trainer --epochs 10 --seed 1 --out ten    ten epochs from another seed
  host-trainer --data ~/fashion-mnist            any 28×28 set of ten classes in IDX files
  host-trainer --resume                          goes on where a run into the same folder ended, however it ended
  host-trainer --resume --epochs 200             trains a finished run longer
  host-trainer --init out/weights.postcard --train-layers fc2 --out tuned
                                                 starts from a model and trains its last layer alone";

/// A command and its flags.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train the network (the default)
    #[command(after_help = TRAIN_EXAMPLES)]
    Train(TrainArgs),
    /// Loss, accuracy and confusion table of a model over a split
    #[command(after_help = "Example:\n  host-trainer evaluate out/weights.postcard --split test")]
    Evaluate(EvaluateArgs),
    /// Train on two backends side by side, or repeat a recorded run, and compare every bit
    #[command(after_help = "\
Examples:
  host-trainer verify                                        the backend of this machine against the plain form
  host-trainer verify --backend cuda --against cpu --epochs 5
  host-trainer verify out/run.json                           repeats a run: every epoch must be the recorded one
  host-trainer verify out/run.json --epochs 41..42           repeats two epochs of it, from the checkpoint before them")]
    Verify(VerifyArgs),
    /// What this machine offers: processor, GPU, data; and what would be chosen
    #[command(after_help = "Example:\n  host-trainer doctor")]
    Doctor(DoctorArgs),
    /// Classify an image of the data set, or a picture of a digit of your own
    #[command(after_help = "\
Examples:
  host-trainer predict out/weights.postcard --index 42        the test image 42
  host-trainer predict out/weights.postcard my-digit.jpg      a photo or drawing of any size
  host-trainer predict out/weights.postcard photos/           a table of all pictures of a folder
  host-trainer predict out/weights.postcard me.jpg --show seen.png")]
    Predict(PredictArgs),
    /// The network's layers, shapes, parameters and cost; with a model, what it was trained on
    #[command(after_help = "Example:\n  host-trainer summary out/weights.postcard")]
    Summary(SummaryArgs),
    /// Make an int8 model of one in f32: a quarter of its size, for processors without floating point
    #[command(after_help = "\
Examples:
  host-trainer quantize out/weights.postcard int8.cnnm
  host-trainer evaluate int8.cnnm
  host-trainer board --port /dev/ttyACM0 update int8.cnnm

It looks at the first 1,000 training images, and gives the same file on every machine.")]
    Quantize(QuantizeArgs),
    /// Write a model for other programs: safetensors for PyTorch, ONNX, or a C header that computes it
    #[command(after_help = "\
Examples:
  host-trainer export out/weights.postcard net.safetensors
  python: model.load_state_dict(safetensors.torch.load_file(\"net.safetensors\"))
  host-trainer export out/weights.postcard net.onnx
  host-trainer export out/weights.postcard cnn.h

The network expects 28×28 pixels, white ink on black, each of them as
  (pixel / 255 - 0.5) / 0.5
which in torchvision is ToTensor() and then
  Normalize((0.5,), (0.5,))
With anything else the accuracy is lower, and nothing says why.")]
    Export(ExportArgs),
    /// Make a model file of parameters from PyTorch
    #[command(after_help = "\
Example:
  python: safetensors.torch.save_file(model.state_dict(), \"net.safetensors\")
  host-trainer import net.safetensors imported.postcard

  python: torch.onnx.export(model, (image,), \"net.onnx\", external_data=False)
  host-trainer import net.onnx imported.postcard")]
    Import(ImportArgs),
    /// Several runs side by side: what they reached, as a table and a picture
    #[command(after_help = "\
Examples:
  host-trainer compare seeds/*                        the runs of train --seeds 0..9 --out seeds
  host-trainer compare slow fast/run.json --picture rates.png")]
    Compare(CompareArgs),
    /// Write a completion script for a shell
    #[command(after_help = "\
Examples:
  host-trainer completions bash > ~/.local/share/bash-completion/completions/host-trainer
  host-trainer completions zsh > ~/.zfunc/_host-trainer
  host-trainer completions fish > ~/.config/fish/completions/host-trainer.fish")]
    Completions(CompletionsArgs),
    /// Talk to a microcontroller that runs the firmware, or to the same firmware in an emulator
    #[command(after_help = "\
Examples:
  host-trainer board list
  host-trainer board info
  host-trainer board verify out/weights.postcard --count 1000
  host-trainer board --port /dev/ttyACM0 update out/weights.postcard")]
    Board(BoardArgs),
    /// Show the network in a browser: draw a digit, see every layer, train
    #[command(after_help = "Example:\n  host-trainer serve")]
    Serve(ServeArgs),
}

/// Where the data set comes from.
#[derive(Debug, Clone, Args)]
pub struct DataArgs {
    /// Folder with the four IDX files, plain or .gz, or an .npz file as Keras' mnist.npz [default: $MNIST_DIR, else
    /// data/mnist, else downloaded there]
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub data: Option<PathBuf>,
    /// Which data set
    #[arg(long, value_enum, default_value_t = SourceArg::Auto, help_heading = "Data")]
    pub dataset: SourceArg,
    /// Download MNIST from here instead of the built-in mirrors
    #[arg(long, value_name = "URL", help_heading = "Data")]
    pub mirror: Option<String>,
}

/// Where the arithmetic runs. The result is the same everywhere, bit for bit.
#[derive(Debug, Clone, Args)]
pub struct BackendArgs {
    /// Where to compute; the bits are the same everywhere
    #[arg(long, value_enum, default_value_t = BackendArg::Auto, help_heading = "Backend")]
    pub backend: BackendArg,
    /// Threads of the CPU backend [default: the physical cores]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1), allow_negative_numbers = true,
          help_heading = "Backend")]
    pub threads: Option<usize>,
    /// Vector instructions of the CPU backend [default: the widest of this machine]
    #[arg(long, value_parser = simd_level(), value_name = "LEVEL", help_heading = "Backend")]
    pub simd: Option<SimdLevel>,
    /// Which GPU.
    #[command(flatten)]
    pub gpu: GpuArgs,
}

impl BackendArgs {
    /// What the flags ask of the machine.
    pub fn machine(&self) -> MachineOptions {
        MachineOptions { cpu: CpuOptions { threads: self.threads, simd: self.simd }, device: self.gpu.device }
    }
}

/// Which GPU.
#[derive(Debug, Clone, Args)]
pub struct GpuArgs {
    /// The GPU of this number, as `doctor` lists them; cuda:N means the same [default: the first that can be used]
    #[arg(long, value_name = "N", value_parser = device, allow_negative_numbers = true, help_heading = "Backend")]
    pub device: Option<u32>,
}

/// What decides a run besides its data and its epochs.
#[derive(Debug, Clone, Args)]
pub struct RecipeArgs {
    /// Images of a step
    #[arg(long, value_name = "N", default_value_t = Recipe::TUTORIAL.batch_size,
          value_parser = whole::<u32>(1), allow_negative_numbers = true, help_heading = "Recipe")]
    pub batch_size: u32,
    /// Learning rate; 0 leaves the initial parameters
    #[arg(long, value_name = "RATE", default_value_t = Recipe::TUTORIAL.learning_rate,
          value_parser = rate, allow_negative_numbers = true, help_heading = "Recipe")]
    pub lr: f32,
    /// How the learning rate changes: constant; step:EVERY:FACTOR multiplies it by FACTOR after every EVERY epochs; cosine
    /// or cosine:MINIMUM lets it fall over all epochs
    #[arg(long, value_name = "SCHEDULE", default_value_t = Recipe::TUTORIAL.schedule,
          allow_negative_numbers = true, help_heading = "Recipe")]
    pub lr_schedule: RateSchedule,
    /// Momentum
    #[arg(long, value_name = "RATE", default_value_t = Recipe::TUTORIAL.momentum,
          value_parser = rate, allow_negative_numbers = true, help_heading = "Recipe")]
    pub momentum: f32,
    /// Weight decay
    #[arg(long, value_name = "RATE", default_value_t = Recipe::TUTORIAL.weight_decay,
          value_parser = rate, allow_negative_numbers = true, help_heading = "Recipe")]
    pub weight_decay: f32,
    /// Seed of the initial parameters and of the shuffles
    #[arg(long, value_name = "N", default_value_t = Recipe::TUTORIAL.seed,
          value_parser = whole::<u64>(0), allow_negative_numbers = true, help_heading = "Recipe")]
    pub seed: u64,
    /// Train every epoch in the data set's own order
    #[arg(long, help_heading = "Recipe")]
    pub no_shuffle: bool,
    /// Start from these parameters instead of the seed's: a model file, a checkpoint, safetensors or ONNX
    #[arg(long, value_name = "FILE", value_parser = in_folder(MODEL), help_heading = "Recipe")]
    pub init: Option<PathBuf>,
    /// Train these layers alone; the others keep their initial parameters
    #[arg(long, value_name = "LAYER,…", default_value_t = Layers::ALL, value_parser = layers,
          allow_negative_numbers = true, help_heading = "Recipe")]
    pub train_layers: Layers,
}

impl RecipeArgs {
    /// The recipe of a run of so many epochs.
    pub fn settings(&self, epochs: u32) -> Recipe {
        Recipe {
            epochs,
            batch_size: self.batch_size,
            learning_rate: self.lr,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            seed: self.seed,
            shuffle: !self.no_shuffle,
            schedule: self.lr_schedule,
            layers: self.train_layers,
        }
    }

    /// Which two flags cannot be together.
    fn contradiction(&self) -> Option<String> {
        match self.lr_schedule {
            RateSchedule::Cosine { minimum } if minimum > self.lr => Some(format!(
                "--lr-schedule {}: the minimum is above the learning rate {} (--lr)",
                self.lr_schedule, self.lr
            )),
            _ => None,
        }
    }
}

/// The flags of `train`.
#[derive(Debug, Clone, Args)]
pub struct TrainArgs {
    /// Epochs to train
    #[arg(long, value_name = "N", default_value_t = Recipe::TUTORIAL.epochs,
          value_parser = whole::<u32>(1), allow_negative_numbers = true, help_heading = "Recipe")]
    pub epochs: u32,
    /// Train with each of these seeds, both ends included, one run after another, each in a folder of the output folder
    #[arg(long, value_name = "A..B", value_parser = SeedsArg::parse, conflicts_with = "seed",
          allow_negative_numbers = true, help_heading = "Recipe")]
    pub seeds: Option<SeedsArg>,
    /// The rest of the recipe.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Folder for the model, the plots, metrics.csv, run.json and the checkpoints
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Also write the curves as an event file for TensorBoard into this folder
    #[arg(long, value_name = "DIR")]
    pub tensorboard: Option<PathBuf>,
    /// Replace the run that the output folder holds; without it, such a folder is refused
    #[arg(long, conflicts_with = "resume")]
    pub overwrite: bool,
    /// Go on after the newest checkpoint in the output folder, on any backend; from the beginning if there is none
    #[arg(long, help_heading = "Checkpoints")]
    pub resume: bool,
    /// Write a checkpoint after every N epochs and after the last one; 0 writes none
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u32>(0),
          allow_negative_numbers = true, help_heading = "Checkpoints")]
    pub checkpoint_every: u32,
    /// Keep all checkpoints, 0.8 MB each, instead of the newest two: `verify --epochs` starts from any of them
    #[arg(long, help_heading = "Checkpoints")]
    pub keep_checkpoints: bool,
    /// Show the run in a browser as it goes: curves, kernels, digits read wrong; 0 takes a free port [default port: 8018]
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "8018", allow_negative_numbers = true,
          help_heading = "Live")]
    pub live: Option<u16>,
    /// With --live: do not open a browser
    #[arg(long, requires = "live", help_heading = "Live")]
    pub no_open: bool,
    /// Where the data set comes from.
    #[command(flatten)]
    pub data: DataArgs,
    /// Where the arithmetic runs.
    #[command(flatten)]
    pub backend: BackendArgs,
}

impl TrainArgs {
    /// What decides the run besides its data.
    pub fn settings(&self) -> Recipe {
        self.recipe.settings(self.epochs)
    }
}

/// Seeds, as a flag names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedsArg(pub RangeInclusive<u64>);

impl SeedsArg {
    fn parse(text: &str) -> Result<Self, String> {
        let ends = text.split_once("..").and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
        match ends {
            Some((first, last)) if first <= last => Ok(Self(first..=last)),
            Some((first, last)) => Err(format!("{first} comes after {last}")),
            None => Err("expected A..B, for example 0..9".to_owned()),
        }
    }
}

/// The flags of `compare`.
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// Folders of runs, or their run.json
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// Draw the test accuracies over the epochs into this PNG file
    #[arg(long, value_name = "FILE.png")]
    pub picture: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// The flags of `evaluate`.
#[derive(Debug, Clone, Args)]
pub struct EvaluateArgs {
    /// The model file, or the folder of its run
    #[arg(value_parser = in_folder(MODEL))]
    pub model: PathBuf,
    /// Which split
    #[arg(long, value_enum, default_value_t = SplitArg::Test)]
    pub split: SplitArg,
    /// Write the misread digits to this PNG file, the most confident mistakes first, with label, prediction and confidence
    #[arg(long, value_name = "FILE.png")]
    pub mistakes: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Where the data set comes from.
    #[command(flatten)]
    pub data: DataArgs,
    /// Where the arithmetic runs.
    #[command(flatten)]
    pub backend: BackendArgs,
}

/// The flags of `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Repeat the run of this run.json, or of the folder with it, with its recipe, instead of comparing two backends
    #[arg(value_parser = in_folder(RECORD), conflicts_with_all = ["against", "batch_size", "lr", "momentum", "weight_decay", "seed", "no_shuffle", "lr_schedule",
          "train_layers"])]
    pub record: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Epochs to train and compare: the first N, or of a record those from A to B, both included [default: 3, or all of
    /// the record]
    #[arg(long, value_name = "N|A..B", value_parser = EpochsArg::parse, allow_negative_numbers = true,
          help_heading = "Recipe")]
    pub epochs: Option<EpochsArg>,
    /// Folder of the record's checkpoints, from which --epochs A..B starts [default: checkpoints beside the record]
    #[arg(long, value_name = "DIR", requires = "record")]
    pub checkpoints: Option<PathBuf>,
    /// The rest of the recipe.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// The other backend
    #[arg(long, value_enum, default_value_t = BackendArg::Reference, help_heading = "Backend")]
    pub against: BackendArg,
    /// Where the data set comes from.
    #[command(flatten)]
    pub data: DataArgs,
    /// Where the arithmetic runs.
    #[command(flatten)]
    pub backend: BackendArgs,
}

/// Epochs, as a flag names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EpochsArg {
    /// So many from the first on.
    First(u32),
    /// From one to another, both included.
    Range(RangeInclusive<u32>),
}

impl EpochsArg {
    fn parse(text: &str) -> Result<Self, String> {
        let epoch = |text: &str| match text.parse() {
            Ok(0) => Err("epochs count from 1".to_owned()),
            Ok(epoch) => Ok(epoch),
            Err(_) => Err("expected N or A..B, counted from 1, for example 3 or 41..42".to_owned()),
        };
        match text.split_once("..") {
            None => epoch(text).map(Self::First),
            Some((first, last)) => match (epoch(first)?, epoch(last)?) {
                (first, last) if first <= last => Ok(Self::Range(first..=last)),
                (first, last) => Err(format!("{first} comes after {last}")),
            },
        }
    }
}

/// The flags of `doctor`.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Which GPU.
    #[command(flatten)]
    pub gpu: GpuArgs,
    /// Where the data set comes from.
    #[command(flatten)]
    pub data: DataArgs,
}

/// The flags of `predict`.
#[derive(Debug, Clone, Args)]
pub struct PredictArgs {
    /// The model file, or the folder of its run
    #[arg(value_parser = in_folder(MODEL))]
    pub model: PathBuf,
    /// Pictures of one digit each, or folders of them; - is standard input. JPEG, PNG, WebP, GIF, BMP, TIFF, PGM, PPM or PBM,
    /// any size, dark on light or light on dark
    #[arg(value_name = "PICTURE", conflicts_with = "index")]
    pub pictures: Vec<PathBuf>,
    /// Write what was seen to this PNG file: the picture, the ink that was taken, the network's input
    #[arg(long, value_name = "FILE.png", requires = "pictures", conflicts_with = "as_is")]
    pub show: Option<PathBuf>,
    /// Write what every layer makes of the one digit to this PNG file
    #[arg(long, value_name = "FILE.png")]
    pub maps: Option<PathBuf>,
    /// Take the picture as it is: 28×28, white on black, not prepared
    #[arg(long, requires = "pictures")]
    pub as_is: bool,
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Classify this image of the data set, counted from 0
    #[arg(long, value_name = "N", value_parser = whole::<usize>(0), allow_negative_numbers = true)]
    pub index: Option<usize>,
    /// The split of --index
    #[arg(long, value_enum, default_value_t = SplitArg::Test)]
    pub split: SplitArg,
    /// Where the data set comes from.
    #[command(flatten)]
    pub data: DataArgs,
}

/// The flags of `summary`.
#[derive(Debug, Clone, Args)]
pub struct SummaryArgs {
    /// A model file to describe, or the folder of its run
    #[arg(value_parser = in_folder(MODEL))]
    pub model: Option<PathBuf>,
    /// Write the model's kernels to this PNG file
    #[arg(long, value_name = "FILE.png", requires = "model")]
    pub filters: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// The flags of `quantize`.
#[derive(Debug, Clone, Args)]
pub struct QuantizeArgs {
    /// The model file in f32, or the folder of its run
    #[arg(value_parser = in_folder(MODEL))]
    pub model: PathBuf,
    /// The int8 model file to write
    pub out: PathBuf,
    /// Replace the file that is there; without it, it is refused
    #[arg(long)]
    pub overwrite: bool,
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Where the data set comes from.
    #[command(flatten)]
    pub data: DataArgs,
    /// Where the accuracy is measured.
    #[command(flatten)]
    pub backend: BackendArgs,
}

/// The flags of `export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// The model file to read, or the folder of its run
    #[arg(value_parser = in_folder(MODEL))]
    pub model: PathBuf,
    /// The file to write; - is standard output
    pub file: PathBuf,
    /// What to write [default: by the file's name: .onnx is onnx, .h is c, anything else safetensors]
    #[arg(long, value_enum)]
    pub format: Option<FormatArg>,
}

impl ExportArgs {
    /// The format that the flag or the file's name says.
    pub fn format(&self) -> FormatArg {
        let extension = self.file.extension().unwrap_or_default().to_ascii_lowercase();
        let by_name = match extension.to_str() {
            Some("h") => FormatArg::C,
            Some("onnx") => FormatArg::Onnx,
            _ => FormatArg::Safetensors,
        };
        self.format.unwrap_or(by_name)
    }
}

/// A format of exported models, as a flag names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// The parameters for PyTorch's load_state_dict
    Safetensors,
    /// The network for onnxruntime and its kind
    Onnx,
    /// Parameters, forward pass and self-test as one C header
    C,
}

/// The flags of `import`.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// The safetensors or ONNX file to read; - is standard input
    pub file: PathBuf,
    /// The model file to write
    pub model: PathBuf,
}

/// The flags of `serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Port of the page; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8017, allow_negative_numbers = true)]
    pub port: u16,
    /// Address to listen on; any but a loopback address lets other machines see the page too
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub address: IpAddr,
    /// Do not open a browser
    #[arg(long)]
    pub no_open: bool,
}

/// The flags of `completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// A split, as a flag names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitArg {
    /// The training split
    Train,
    /// The test split
    Test,
}

impl From<SplitArg> for Split {
    fn from(split: SplitArg) -> Self {
        match split {
            SplitArg::Train => Split::Train,
            SplitArg::Test => Split::Test,
        }
    }
}

/// A data set, as a flag names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SourceArg {
    /// MNIST; if no source is named, and without files and without network, synthetic digits
    Auto,
    /// MNIST or an error
    Mnist,
    /// Synthetic digits, drawn on the spot
    Synthetic,
}

impl From<SourceArg> for Source {
    fn from(source: SourceArg) -> Self {
        match source {
            SourceArg::Auto => Source::Auto,
            SourceArg::Mnist => Source::Mnist,
            SourceArg::Synthetic => Source::Synthetic,
        }
    }
}

/// A backend, as a flag names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackendArg {
    /// The first GPU that can be used, otherwise the processor
    Auto,
    /// The GPU, many steps behind one launch
    Cuda,
    /// The GPU, a captured graph of two kernels a step
    CudaGraph,
    /// The processor with all its cores and vectors
    Cpu,
    /// The plain form that all others are tested against, one thread
    Reference,
}

impl BackendArg {
    fn may_be_gpu(self) -> bool {
        BackendChoice::from(self).may_be_gpu()
    }
}

impl From<BackendArg> for BackendChoice {
    fn from(backend: BackendArg) -> Self {
        match backend {
            BackendArg::Auto => BackendChoice::Auto,
            BackendArg::Cuda => BackendChoice::Cuda,
            BackendArg::CudaGraph => BackendChoice::CudaGraph,
            BackendArg::Cpu => BackendChoice::Cpu,
            BackendArg::Reference => BackendChoice::Reference,
        }
    }
}

/// A parser of files, for which the folder of a run may stand: then it is the run's file of this name.
fn in_folder(name: &'static str) -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(move |path| if path.is_dir() { path.join(name) } else { path })
}

/// A rate of the optimiser: finite and not negative.
fn rate(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
    if !value.is_finite() {
        Err("a rate must be a finite number".into())
    } else if value < 0.0 {
        Err("a rate must not be negative".into())
    } else {
        // −0.0 passes the comparison; as a factor it would turn gradients of 0 into −0.0.
        Ok(value.abs())
    }
}

/// Names of layers with commas between them.
fn layers(text: &str) -> Result<Layers, String> {
    Layers::parse(text).map_err(|error| error.to_string())
}

/// A parser of the names of the SIMD levels.
fn simd_level() -> impl TypedValueParser<Value = SimdLevel> {
    PossibleValuesParser::new(SimdLevel::ALL.map(SimdLevel::name)).try_map(|name| name.parse())
}

/// A GPU's number, by itself or as PyTorch writes it.
fn device(text: &str) -> Result<u32, String> {
    text.strip_prefix("cuda:")
        .unwrap_or(text)
        .parse()
        .map_err(|_| "expected a GPU's number, for example 0 or cuda:0; the processor is --backend cpu".into())
}

/// A parser of whole numbers from `least` up, which says what there may be.
fn whole<T>(least: T) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display + Bounded + Copy,
{
    move |text| match text.parse() {
        Ok(value) if value >= least => Ok(value),
        _ => Err(format!("expected a whole number from {least} to {}", T::MAX)),
    }
}

/// A type of whole numbers and its largest.
trait Bounded {
    const MAX: Self;
}

impl Bounded for u32 {
    const MAX: Self = u32::MAX;
}

impl Bounded for u64 {
    const MAX: Self = u64::MAX;
}

impl Bounded for usize {
    const MAX: Self = usize::MAX;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_flags_the_recipe_is_trained() {
        let cli = Cli::parse_from(["host-trainer"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.train.settings(), Recipe::TUTORIAL);
    }

    #[test]
    fn a_board_learns_as_the_page_does_unless_told_otherwise() {
        let Some(Command::Board(board)) = Cli::parse_from(["host-trainer", "board", "learn"]).command else {
            panic!("it is of a board")
        };
        let BoardCommand::Learn { settings, ordinary: None, .. } = board.command else { panic!("it learns") };
        let page = include_str!("../../web/page/index.html");
        let value = |name: &str| -> f32 {
            let (_, field) = page.split_once(&format!("id=\"lesson-{name}\"")).expect(name);
            let (_, value) = field.split_once("value=\"").expect(name);
            value.split_once('"').and_then(|(value, _)| value.parse().ok()).expect(name)
        };
        let expected = Settings {
            epochs: value("epochs") as u32,
            batch_length: value("batch") as u32,
            learning_rate: value("rate"),
            momentum: value("momentum"),
            weight_decay: value("decay"),
        };
        assert_eq!(Settings::from(&settings), expected);
    }

    #[test]
    fn a_device_needs_a_backend_that_may_be_a_gpu() {
        let in_vain = |args: &str| {
            let args = format!("host-trainer {args} --device 1");
            Cli::parse_from(args.split_whitespace()).names_a_gpu_in_vain()
        };
        for args in ["", "train", "--backend cuda", "evaluate m --backend cuda-graph", "verify", "doctor"] {
            assert!(!in_vain(args), "{args}");
        }
        for args in ["--backend cpu", "train --backend reference", "evaluate m --backend cpu", "verify --backend cpu"] {
            assert!(in_vain(args), "{args}");
        }
        assert!(!in_vain("verify --backend cpu --against cuda"));
        assert!(in_vain("verify run.json --backend cpu"));
    }

    #[test]
    fn epochs_are_a_count_or_a_range_with_both_ends() {
        assert_eq!(EpochsArg::parse("3"), Ok(EpochsArg::First(3)));
        assert_eq!(EpochsArg::parse("2..5"), Ok(EpochsArg::Range(2..=5)));
        assert_eq!(EpochsArg::parse("7..7"), Ok(EpochsArg::Range(7..=7)));
        for text in ["0", "-1", "", "..", "1..", "..2", "3..2", "0..2", "1..=2", "1...2", "x"] {
            assert!(EpochsArg::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn seeds_are_a_range_with_both_ends() {
        assert_eq!(SeedsArg::parse("0..9"), Ok(SeedsArg(0..=9)));
        assert_eq!(SeedsArg::parse("7..7"), Ok(SeedsArg(7..=7)));
        for text in ["", "3", "..", "1..", "..2", "3..2", "-1..2", "1..=2", "1...2", "0..99999999999999999999", "x..y"]
        {
            assert!(SeedsArg::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_device_is_a_number_or_what_pytorch_calls_it() {
        assert_eq!((device("0"), device("cuda:0"), device("cuda:12")), (Ok(0), Ok(0), Ok(12)));
        for text in ["", "cuda", "cuda:", "-1", "cuda:-1", "cpu", "CUDA:0", "1.0", "0x1", "4294967296", "cuda:cuda:1"] {
            assert!(device(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_cosine_does_not_rise() {
        let contradiction = |args: &str| {
            let cli = Cli::parse_from(format!("host-trainer {args}").split_whitespace());
            cli.recipe().and_then(RecipeArgs::contradiction)
        };
        for args in ["--lr 0.1 --lr-schedule cosine:0.1", "verify --lr 0 --lr-schedule cosine:0", "doctor", "train"] {
            assert_eq!(contradiction(args), None, "{args}");
        }
        for args in ["--lr-schedule cosine:0.001", "train --lr 0 --lr-schedule cosine:1e-45"] {
            let message = contradiction(args).expect("refused");
            assert!(message.starts_with("--lr-schedule cosine:") && message.ends_with("(--lr)"), "{message}");
        }
    }

    #[test]
    fn rates_are_finite_and_not_negative() {
        for text in ["nan", "inf", "-inf", "-0.1", "x", "", "1e40"] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert_eq!(rate("0").map(f32::to_bits), Ok(0));
        assert_eq!(rate("-0").map(f32::to_bits), Ok(0));
        assert_eq!(rate("0.0001"), Ok(1e-4));
    }

    #[test]
    fn whole_numbers_say_their_range() {
        assert_eq!(whole::<u32>(1)("1"), Ok(1));
        assert_eq!(whole::<u64>(0)("18446744073709551615"), Ok(u64::MAX));
        for text in ["-5", "0", "4294967296", "", "1.5", "x"] {
            assert_eq!(whole::<u32>(1)(text), Err("expected a whole number from 1 to 4294967295".into()));
        }
    }

    #[test]
    fn every_flag_that_takes_a_number_takes_a_negative_one_to_its_parser() {
        for args in [
            &["train", "--seed", "-5"][..],
            &["train", "--epochs", "-5"],
            &["train", "--seeds", "-5"],
            &["train", "--batch-size", "-5"],
            &["train", "--threads", "-5"],
            &["train", "--checkpoint-every", "-5"],
            &["train", "--lr-schedule", "-5"],
            &["train", "--train-layers", "-5"],
            &["verify", "--epochs", "-5"],
            &["predict", "m", "--index", "-5"],
            &["board", "--port", "p", "verify", "m", "--count", "-5"],
        ] {
            let error = Cli::try_parse_from([&["host-trainer"], args].concat()).expect_err("refused").to_string();
            assert!(error.contains("invalid value '-5' for") && error.contains("expected "), "{error}");
        }
    }
}

/// The flags of `board`.
#[derive(Debug, Clone, Args)]
pub struct BoardArgs {
    /// A serial port such as /dev/ttyACM0 or COM3, tcp:HOST:PORT, or unix:PATH; before or after the subcommand [default:
    /// the serial port on USB where a board answers, if it is one]
    #[arg(long, global = true)]
    pub port: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: BoardCommand,
}

/// A part of what a board has in flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImagePart {
    /// The program.
    Program,
    /// The model.
    Model,
}

/// What a board is asked for.
#[derive(Debug, Clone, Subcommand)]
pub enum BoardCommand {
    /// The serial ports on USB, and which boards answer there
    List,
    /// Make a file to drag onto a board's drive, of the firmware's ELF file and a model
    #[command(after_help = "Example:
  host-trainer board image firmware/target/thumbv6m-none-eabi/release/pico pico.uf2 --model out")]
    Image {
        /// The firmware's ELF file, as 'cargo build --release' makes it in a folder of firmware/boards
        elf: PathBuf,
        /// The file to write: .uf2 for the Picos, .hex or .bin for boards with a debug probe
        out: PathBuf,
        /// The model file, or the folder of its run, in the place of the one that is linked in
        #[arg(long, value_parser = in_folder(MODEL))]
        model: Option<PathBuf>,
        /// Only the program, or only the model: what the board has of the other stays
        #[arg(long, value_name = "PART")]
        only: Option<ImagePart>,
    },
    /// Firmware, board, model, memory in use, faults on the line
    Info,
    /// Have a picture of a digit classified
    Classify {
        /// A PNG, PGM, PBM or PPM picture of one digit, any size, dark on light or light on dark
        picture: PathBuf,
        /// Take the picture as it is: 28×28, white on black, not prepared
        #[arg(long)]
        as_is: bool,
    },
    /// Have test images classified, and compare every logit with this host's, bit for bit
    Verify {
        /// The model file that the board runs, or the folder of its run
        #[arg(value_parser = in_folder(MODEL))]
        model: PathBuf,
        /// How many test images
        #[arg(long, value_name = "N", default_value_t = 500, value_parser = whole::<usize>(1),
              allow_negative_numbers = true)]
        count: usize,
        /// Where the data set comes from.
        #[command(flatten)]
        data: DataArgs,
    },
    /// Send a model file and run it
    Update {
        /// The model file, or the folder of its run
        #[arg(value_parser = in_folder(MODEL))]
        model: PathBuf,
    },
    /// Teach the board digits of your own: one picture with its label, or a folder with folders named 0 to 9
    #[command(after_help = "\
Examples:
  host-trainer board teach seven.png --label 7
  host-trainer board teach my-digits
  host-trainer board learn
  host-trainer board keep")]
    Teach {
        /// A picture of one digit as for 'classify', or a folder in which the folder 7 has pictures of sevens
        picture: PathBuf,
        /// The digit of the picture
        #[arg(long, value_name = "DIGIT", value_parser = clap::value_parser!(u8).range(0..=9))]
        label: Option<u8>,
        /// Take pictures as they are: 28×28, white on black, not prepared
        #[arg(long)]
        as_is: bool,
        /// The lesson, and the model that the board runs.
        #[command(flatten)]
        lesson: LessonArgs,
    },
    /// Have the board's last layer learn what it was taught, repeat it here, and compare the two after every epoch
    Learn {
        /// How it learns.
        #[command(flatten)]
        settings: LearnArgs,
        /// How many ordinary training images to mix in, so that the rest is not forgotten [default: twice as many as were
        /// taught, as far as the board has room]
        #[arg(long, value_name = "N")]
        ordinary: Option<usize>,
        /// The lesson, and the model that the board runs.
        #[command(flatten)]
        lesson: LessonArgs,
        /// Where the ordinary images come from.
        #[command(flatten)]
        data: DataArgs,
    },
    /// Have the board forget all that it was taught and has learned, and forget the lesson here
    Forget {
        /// The file of what was taught
        #[arg(long, value_name = "FILE", default_value = "lesson.cnnl")]
        lesson: PathBuf,
    },
    /// Have the board keep in flash what it has learned, for the next start
    Keep,
    /// Read back what the board has learned, and write it as a model file
    Export {
        /// The model file to write
        out: PathBuf,
        /// The model file that the board runs, or the folder of its run
        #[arg(long, value_name = "FILE", default_value = "out", value_parser = in_folder(MODEL))]
        model: PathBuf,
    },
    /// Start the board anew
    Reset,
}

/// What is taught, and over which model.
#[derive(Debug, Clone, Args)]
pub struct LessonArgs {
    /// The file that holds what was taught
    #[arg(long, value_name = "FILE", default_value = "lesson.cnnl")]
    pub lesson: PathBuf,
    /// The model file that the board runs, or the folder of its run
    #[arg(long, value_name = "FILE", default_value = "out", value_parser = in_folder(MODEL))]
    pub model: PathBuf,
}

/// How a board learns.
#[derive(Debug, Clone, Args)]
pub struct LearnArgs {
    /// Epochs
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = whole::<u32>(1), allow_negative_numbers = true)]
    pub epochs: u32,
    /// Samples of a step
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole::<u32>(1), allow_negative_numbers = true)]
    pub batch_size: u32,
    /// Learning rate
    #[arg(long, value_name = "RATE", default_value_t = 0.0003, value_parser = rate, allow_negative_numbers = true)]
    pub lr: f32,
    /// Momentum
    #[arg(long, value_name = "RATE", default_value_t = 0.9, value_parser = rate, allow_negative_numbers = true)]
    pub momentum: f32,
    /// Weight decay
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = rate, allow_negative_numbers = true)]
    pub weight_decay: f32,
}

impl From<&LearnArgs> for Settings {
    fn from(args: &LearnArgs) -> Self {
        Self {
            epochs: args.epochs,
            batch_length: args.batch_size,
            learning_rate: args.lr,
            momentum: args.momentum,
            weight_decay: args.weight_decay,
        }
    }
}
