//! What tests of whole runs share: starting them, ending them, and what they must leave.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use cnn_train::checkpoint::Checkpoint;
use host_trainer::model_file::LoadedModel;
use host_trainer::report::RunRecord;

use super::*;

/// All that a run leaves and that does not depend on where and how long it ran.
pub const RESULTS: [&str; 4] = ["weights.postcard", "metrics.csv", "loss_image.png", "accuracy_image.png"];

/// The recipe of [`train`] with so many epochs, into `out`.
pub fn recipe<'a>(epochs: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "--data", "data", "--lr", "0.01", "--epochs", epochs, "--out", out], more].concat()
}

#[track_caller]
pub fn assert_same_run(folder: &Path, found: &str, expected: &str) {
    let [here, there] = [found, expected].map(|out| record(&folder.join(out))["backend"].clone());
    // A plot says under its title what trained.
    for name in RESULTS.into_iter().filter(|name| here == there || !name.ends_with(".png")) {
        let [found, expected] = [found, expected].map(|out| fs::read(folder.join(out).join(name)).expect("a result"));
        assert!(found == expected, "{name} is the same, byte for byte");
    }
    let [found, expected] = [found, expected].map(|out| {
        let mut record = record(&folder.join(out));
        for field in ["seconds", "backend"] {
            record.as_object_mut().expect("an object").remove(field).expect("the field is there");
        }
        record
    });
    assert_eq!(found, expected);
}

pub fn names(folder: &Path) -> Vec<String> {
    let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    entries(folder).iter().map(name).collect()
}

pub fn checkpoints(folder: &Path, out: &str) -> Vec<String> {
    let folder = folder.join(out).join("checkpoints");
    if folder.is_dir() { names(&folder) } else { Vec::new() }
}

/// The names of the checkpoints after these epochs.
pub fn after(epochs: impl IntoIterator<Item = u32>) -> Vec<String> {
    epochs.into_iter().map(|epoch| format!("epoch-{epoch:06}.checkpoint")).collect()
}

/// Asserts that every file in `out` with a name of its own is whole and that of the run `expected`, or of its first
/// epochs, and that a record lies beside just what it describes. Returns the epoch of the newest checkpoint, 0 if there
/// is none, and the temporary files, which must not be there unless a program was killed.
#[track_caller]
pub fn assert_whole(out: &Path, expected: &Path) -> (u32, BTreeSet<PathBuf>) {
    let whole = RunRecord::parse(&fs::read(expected.join("run.json")).expect("a record")).expect("a whole record");
    let csv = fs::read_to_string(expected.join("metrics.csv")).expect("a table");
    let mut temporary = BTreeSet::new();
    let mut newest = 0;
    let (mut recorded, mut modelled, mut tabled) = (None, None, None);
    let files = names(out).into_iter().filter(|name| name != "checkpoints").map(|name| out.join(name));
    let folder = out.join("checkpoints");
    let kept = if folder.is_dir() { entries(&folder) } else { Vec::new() };
    for path in files.chain(kept) {
        let name = path.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
        match &*name {
            ".lock" => {
                let text = fs::read_to_string(&path).expect("UTF-8");
                assert!(text.bytes().all(|byte| byte.is_ascii_digit()), "{text}");
            }
            "weights.postcard" => {
                let model = LoadedModel::read(&path).expect("a whole model");
                let epochs = model.training().expect("a trained one").epochs as usize;
                assert_eq!(model.fingerprint, whole.epochs[epochs - 1].fingerprint);
                modelled = Some(epochs);
            }
            "loss_image.png" | "accuracy_image.png" => drop(image::open(&path).expect("a whole plot")),
            "metrics.csv" => {
                let table = fs::read_to_string(&path).expect("UTF-8");
                assert!(csv.starts_with(&table) && table.ends_with('\n'), "{table}");
                tabled = Some(table.lines().count() - 1);
            }
            "run.json" => {
                let record = RunRecord::parse(&fs::read(&path).expect("readable")).expect("a whole record");
                assert_eq!(record.epochs, whole.epochs[..record.epochs.len()]);
                recorded = Some(record.epochs.len());
            }
            name if name.ends_with(".partial") => drop(temporary.insert(path)),
            name => {
                let checkpoint = Checkpoint::parse(&fs::read(&path).expect("readable")).expect("a whole checkpoint");
                assert_eq!(name, after([checkpoint.epoch()])[0]);
                let last = checkpoint.epochs.last().expect("an epoch");
                assert_eq!(last.fingerprint, whole.epochs[checkpoint.epochs.len() - 1].fingerprint);
                newest = newest.max(checkpoint.epoch());
            }
        }
    }
    if recorded.is_some() {
        assert_eq!((modelled, tabled), (recorded, recorded), "the record describes what lies beside it");
    }
    (newest, temporary)
}

/// A program that was started and does not outlive its test.
#[cfg(unix)]
pub struct Program(Option<Child>);

#[cfg(unix)]
impl Program {
    pub fn start(command: &mut Command) -> Self {
        Self(Some(command.spawn().expect("the program was built")))
    }

    pub fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("it is there until it ends")
    }

    /// Sends a signal, say `-INT`.
    pub fn send(&mut self, signal: &str) {
        let kill = Command::new("kill").args([signal, &self.child().id().to_string()]).status().expect("kill runs");
        assert!(kill.success());
    }

    /// Waits for its end.
    pub fn end(mut self) -> Output {
        self.0.take().expect("it is there until it ends").wait_with_output().expect("it ends")
    }
}

#[cfg(unix)]
impl Drop for Program {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A run that was started and has printed its second epoch.
#[cfg(unix)]
pub struct Started {
    pub program: Program,
    lines: Lines<BufReader<ChildStdout>>,
}

#[cfg(unix)]
impl Started {
    pub fn new(folder: &Path, epochs: &str, more: &[&str]) -> Self {
        Self::spawn(
            Command::new(env!("CARGO_BIN_EXE_host-trainer")).args(recipe(epochs, "o", more)).current_dir(folder),
        )
    }

    pub fn spawn(command: &mut Command) -> Self {
        let mut program = Program::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let mut lines = BufReader::new(program.child().stdout.take().expect("piped")).lines();
        assert!(lines.any(|line| line.expect("UTF-8") == "epoch 2"), "a second epoch");
        Self { program, lines }
    }

    /// What it prints from here on.
    pub fn lines(&mut self) -> impl Iterator<Item = String> {
        self.lines.by_ref().map(|line| line.expect("UTF-8"))
    }

    pub fn end_with(mut self, signal: &str) -> Output {
        self.program.send(signal);
        self.end()
    }

    pub fn end(mut self) -> Output {
        self.lines.by_ref().for_each(drop);
        self.program.end()
    }
}
