//! The program as its users see it: commands, files, messages and exit codes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

mod boards;
mod checkpoints;
mod comparisons;
#[cfg(target_os = "linux")]
mod devices;
mod downloads;
mod exports;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod faults;
mod fine_tuning;
#[cfg(unix)]
mod folders;
#[cfg(target_os = "linux")]
mod full_disk;
#[cfg(unix)]
mod inputs;
mod int8;
#[cfg(unix)]
mod keeping;
#[cfg(unix)]
mod killed;
mod learning;
mod live;
mod networks;
mod output;
mod pictures;
mod runs;
#[cfg(unix)]
mod signals;
mod verifications;

/// Sizes of the small data set that most tests train on.
const TRAIN: usize = 230;
const TEST: usize = 60;

/// Runs the program in `folder`, without a data set from the environment.
fn run_in(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_host-trainer"))
        .args(args)
        .current_dir(folder)
        .env_remove("MNIST_DIR")
        .env_remove("NO_COLOR")
        .output()
        .expect("the program was built")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[track_caller]
fn succeed(folder: &Path, args: &[&str]) -> String {
    let output = run_in(folder, args);
    assert!(output.status.success(), "{args:?}: {}\n{}", output.status, stderr(&output));
    stdout(&output)
}

/// The program must end with `code` and one line of error that contains every one of `words`.
#[track_caller]
fn fail(folder: &Path, args: &[&str], code: i32, words: &[&str]) {
    let output = run_in(folder, args);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {message}");
    for word in words {
        assert!(message.contains(word), "{args:?}: '{word}' is not in: {message}");
    }
    assert!(!message.contains("panicked") && !message.contains("RUST_BACKTRACE"), "{message}");
    if code == 1 {
        let errors = message.lines().filter(|line| line.starts_with("error:")).count();
        assert_eq!((errors, message.lines().count()), (1, 1), "one line: {message}");
    }
}

/// Images whose pixels are a function of index and place, so that classes can be told apart.
fn pixels(index: usize) -> Vec<u8> {
    let class = index % 10;
    (0..784)
        .map(|place| if place % 28 / 3 == class { 250 - (index * 7 % 50) as u8 } else { (place % 3) as u8 })
        .collect()
}

fn idx_images(count: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    for dimension in [count as u32, 28, 28] {
        bytes.extend(dimension.to_be_bytes());
    }
    (0..count).for_each(|index| bytes.extend(pixels(index)));
    bytes
}

fn idx_labels(count: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 1];
    bytes.extend((count as u32).to_be_bytes());
    bytes.extend((0..count).map(|index| (index % 10) as u8));
    bytes
}

/// A folder with a small data set in `data`.
fn folder_with_data() -> TempDir {
    folder_with(TRAIN, TEST)
}

/// A folder with so many training and test images in `data`.
fn folder_with(train: usize, test: usize) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("created");
    for (name, bytes) in [
        ("train-images-idx3-ubyte", idx_images(train)),
        ("train-labels-idx1-ubyte", idx_labels(train)),
        ("t10k-images-idx3-ubyte", idx_images(test)),
        ("t10k-labels-idx1-ubyte", idx_labels(test)),
    ] {
        fs::write(data.join(name), bytes).expect("written");
    }
    folder
}

/// Trains a little with further flags; returns the run record.
#[track_caller]
fn train(folder: &Path, out: &str, more: &[&str]) -> serde_json::Value {
    let args = [&["train", "--data", "data", "--epochs", "2", "--lr", "0.01", "--out", out], more].concat();
    succeed(folder, &args);
    record(&folder.join(out))
}

fn record(out: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(out.join("run.json")).expect("run.json")).expect("JSON")
}

fn fingerprints(record: &serde_json::Value) -> Vec<String> {
    let epochs = record["epochs"].as_array().expect("a list of epochs");
    epochs.iter().map(|epoch| epoch["fingerprint"].as_str().expect("a string").to_owned()).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> =
        fs::read_dir(folder).expect("readable").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    entries
}

/// Every file below a folder with its bytes, but the lock; a link with where it points; anything else by its name alone.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut contents = Vec::new();
    for path in entries(folder).into_iter().filter(|path| !path.ends_with(".lock")) {
        let kind = fs::symlink_metadata(&path).expect("it is there").file_type();
        if kind.is_dir() {
            contents.extend(self::contents(&path));
        }
        let bytes = if kind.is_file() {
            fs::read(&path).expect("readable")
        } else if kind.is_symlink() {
            fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes()
        } else {
            Vec::new()
        };
        contents.push((path, bytes));
    }
    contents
}

#[test]
fn help_of_every_command_reads_well_and_has_an_example() {
    let folder = TempDir::new().expect("a temporary folder");
    let commands = [
        "train",
        "evaluate",
        "verify",
        "doctor",
        "predict",
        "summary",
        "export",
        "import",
        "compare",
        "board",
        "completions",
        "serve",
    ];
    let with_command = commands.iter().map(std::slice::from_ref);
    for command in [&[][..]].into_iter().chain(with_command) {
        let help = succeed(folder.path(), &[command, &["--help"]].concat());
        assert!(help.contains("Usage: host-trainer") && help.contains("Example"), "{command:?}: {help}");
        assert!(!help.contains('\x1b'), "no colours where there is no terminal");
    }
}

#[test]
fn a_run_prints_every_epoch_and_leaves_its_files() {
    let folder = folder_with_data();
    let out = succeed(folder.path(), &["--data", "data", "--epochs", "2", "--lr", "0.01", "--out", "o"]);
    let lines: Vec<&str> = out.lines().collect();
    for epoch in 1..=2 {
        let at = lines.iter().position(|line| *line == format!("epoch {epoch}")).expect("the epoch's line");
        assert!(lines[at + 1].starts_with("train mean loss=") && lines[at + 1].contains(", accuracy="), "{out}");
        assert!(lines[at + 2].starts_with("test  mean loss=") && lines[at + 2].contains(", accuracy="), "{out}");
    }
    assert!(out.contains("102,130") && out.contains("not the original MNIST"), "{out}");
    assert!(!out.contains('\x1b'), "no colours where there is no terminal");

    let names: Vec<_> = entries(&folder.path().join("o"))
        .iter()
        .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    let expected =
        [".lock", "accuracy_image.png", "checkpoints", "loss_image.png", "metrics.csv", "run.json", "weights.postcard"];
    assert_eq!(names, expected);
    for plot in ["accuracy_image.png", "loss_image.png"] {
        assert!(fs::read(folder.path().join("o").join(plot)).expect("a plot").starts_with(b"\x89PNG\r\n\x1a\n"));
    }
    let csv = fs::read_to_string(folder.path().join("o/metrics.csv")).expect("metrics");
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let record = record(&folder.path().join("o"));
    assert_eq!(fingerprints(&record).len(), 2);
    assert!(out.contains(&fingerprints(&record)[1]), "the last line names the final fingerprint");
}

#[test]
fn the_run_is_a_function_of_data_settings_and_seed() {
    let folder = folder_with_data();
    let first = fingerprints(&train(folder.path(), "a", &["--backend", "reference"]));
    for (out, flags) in [
        ("b", &["--backend", "cpu", "--threads", "1"][..]),
        ("c", &["--backend", "cpu", "--threads", "2"]),
        ("d", &["--backend", "cpu", "--threads", "3"]),
        ("e", &["--backend", "cpu", "--threads", "8"]),
        ("f", &[]),
    ] {
        assert_eq!(fingerprints(&train(folder.path(), out, flags)), first, "{flags:?}");
    }
    let models =
        ["a", "b", "c"].map(|out| fs::read(folder.path().join(out).join("weights.postcard")).expect("a model"));
    assert!(models[0] == models[1] && models[1] == models[2], "model files are equal byte for byte");
    for (out, flags) in [
        ("s", &["--seed", "1"][..]),
        ("n", &["--no-shuffle"]),
        ("l", &["--batch-size", "7"]),
        ("m", &["--momentum", "0.5"]),
        ("w", &["--weight-decay", "0.1"]),
    ] {
        assert_ne!(fingerprints(&train(folder.path(), out, flags)), first, "{flags:?}");
    }
}

#[test]
fn a_learning_rate_of_zero_leaves_the_initial_parameters() {
    let folder = folder_with_data();
    let record = train(folder.path(), "o", &["--lr", "0", "--weight-decay", "0"]);
    let initial = record["initial_fingerprint"].as_str().expect("a string").to_owned();
    assert_eq!(fingerprints(&record), [initial.clone(), initial]);
}

#[test]
fn a_trained_model_is_evaluated_predicted_exported_and_imported() {
    let folder = folder_with_data();
    let record = train(folder.path(), "o", &[]);
    let last = &record["epochs"][1];

    let evaluation = succeed(folder.path(), &["evaluate", "o/weights.postcard", "--data", "data"]);
    let expected = format!(
        "mean loss={:.6}, accuracy={:.5}",
        last["test_loss"].as_f64().unwrap(),
        last["test_accuracy"].as_f64().unwrap()
    );
    assert!(evaluation.contains(&expected), "{evaluation}\n{expected}");
    let train_split = succeed(folder.path(), &["evaluate", "o/weights.postcard", "--data", "data", "--split", "train"]);
    assert!(train_split.contains(&format!("{TRAIN} images")), "{train_split}");

    let prediction = succeed(folder.path(), &["predict", "o/weights.postcard", "--data", "data", "--index", "3"]);
    assert!(prediction.contains("label 3"), "{prediction}");

    succeed(folder.path(), &["export", "o/weights.postcard", "net.safetensors"]);
    succeed(folder.path(), &["import", "net.safetensors", "back.postcard"]);
    let summary = succeed(folder.path(), &["summary", "back.postcard"]);
    assert!(summary.contains(&fingerprints(&record)[1]), "{summary}");
    let summary = succeed(folder.path(), &["summary", "o/weights.postcard"]);
    assert!(summary.contains("2 epochs") && summary.contains("seed 0"), "{summary}");
}

#[test]
fn a_persons_digit_is_prepared_and_as_is_takes_only_prepared_ones() {
    let folder = folder_with_data();
    train(folder.path(), "o", &[]);
    // A black bar on white paper, 100×60, as plain text.
    let mut picture = String::from("P2\n100 60\n255\n");
    for row in 0..60 {
        for column in 0..100 {
            picture += if (45..52).contains(&column) && (5..55).contains(&row) { "0 " } else { "250 " };
        }
    }
    fs::write(folder.path().join("one.pgm"), picture).expect("written");
    let prediction = succeed(folder.path(), &["predict", "o/weights.postcard", "one.pgm"]);
    assert!(prediction.contains("prediction "), "{prediction}");
    fail(folder.path(), &["predict", "o/weights.postcard", "one.pgm", "--as-is"], 1, &["one.pgm", "28"]);
    fs::write(folder.path().join("blank.pgm"), "P2\n3 3\n255\n9 9 9 9 9 9 9 9 9\n").expect("written");
    fail(folder.path(), &["predict", "o/weights.postcard", "blank.pgm"], 1, &["blank.pgm"]);
    fs::write(folder.path().join("text.png"), "not a picture").expect("written");
    fail(folder.path(), &["predict", "o/weights.postcard", "text.png"], 1, &["text.png"]);
    fail(folder.path(), &["predict", "o/weights.postcard", "absent.png"], 1, &["absent.png"]);
    fail(folder.path(), &["predict", "o/weights.postcard", "--data", "data", "--index", "60"], 1, &["0 to 59"]);
}

#[test]
fn wrong_usage_ends_with_2_and_touches_nothing() {
    let folder = TempDir::new().expect("a temporary folder");
    for args in [
        &["--epochs", "0"][..],
        &["--epochs", "-1"],
        &["--batch-size", "0"],
        &["--lr", "-1"],
        &["--lr", "nan"],
        &["--lr", "1e39"],
        &["--momentum", "inf"],
        &["--momentum", "-0.9"],
        &["--weight-decay", "nan"],
        &["--threads", "0"],
        &["--seed", "-1"],
        &["--backend", "abacus"],
        &["--dataset", "letters"],
        &["--checkpoint-every", "-1"],
        &["--unknown"],
        &["predict", "m"],
        &["predict", "m", "p.png", "--index", "3"],
        &["evaluate"],
        &["nonsense"],
    ] {
        fail(folder.path(), args, 2, &["error:"]);
    }
    assert_eq!(entries(folder.path()), [] as [PathBuf; 0]);
}

#[test]
fn faulty_data_ends_with_1_and_leaves_nothing() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage, &[&str]); 6] = [
        (
            "missing file",
            |data| fs::remove_file(data.join("t10k-labels-idx1-ubyte")).expect("removed"),
            &["t10k-labels"],
        ),
        ("truncated", |data| change(data, "train-images-idx3-ubyte", |bytes| bytes.truncate(1000)), &["train-images"]),
        ("trailing", |data| change(data, "train-labels-idx1-ubyte", |bytes| bytes.push(1)), &["train-labels"]),
        ("magic", |data| change(data, "t10k-images-idx3-ubyte", |bytes| bytes[2] = 9), &["t10k-images"]),
        ("label", |data| change(data, "t10k-labels-idx1-ubyte", |bytes| bytes[20] = 10), &["t10k-labels", "10"]),
        ("dimensions", |data| change(data, "train-images-idx3-ubyte", |bytes| bytes[11] = 27), &["train-images", "28"]),
    ];
    for (name, damage, words) in cases {
        let folder = folder_with_data();
        damage(&folder.path().join("data"));
        println!("{name}");
        fail(folder.path(), &["--data", "data", "--epochs", "1", "--out", "o"], 1, words);
        let out = folder.path().join("o");
        assert!(!out.exists() || entries(&out).is_empty(), "{name}");
    }
    let folder = TempDir::new().expect("a temporary folder");
    fail(folder.path(), &["--data", "absent", "--epochs", "1"], 1, &["absent"]);
}

fn change(data: &Path, name: &str, change: impl Fn(&mut Vec<u8>)) {
    let path = data.join(name);
    let mut bytes = fs::read(&path).expect("read");
    change(&mut bytes);
    fs::write(path, bytes).expect("written");
}

#[test]
fn faulty_models_end_with_1() {
    let folder = folder_with_data();
    train(folder.path(), "o", &[]);
    let model = fs::read(folder.path().join("o/weights.postcard")).expect("a model");
    let write = |bytes: &[u8]| fs::write(folder.path().join("bad.postcard"), bytes).expect("written");
    let check =
        |words: &[&str]| fail(folder.path(), &["summary", "bad.postcard"], 1, &[&["bad.postcard"], words].concat());

    write(&model[..model.len() / 2]);
    check(&["truncated"]);
    write(&[&model[..], b"x"].concat());
    check(&[]);
    let mut flipped = model.clone();
    flipped[200_000] ^= 4;
    write(&flipped);
    check(&["damaged"]);
    let mut version = model.clone();
    version[4] = 7;
    write(&version);
    check(&["version 7"]);
    write(b"");
    check(&[]);
    write(b"hello, this is no model at all");
    check(&["not a model"]);
    write(&vec![0; 5_000_000]);
    check(&[]);
    fail(folder.path(), &["summary", "absent.postcard"], 1, &["absent.postcard"]);
    fail(folder.path(), &["summary", "data"], 1, &["data/weights.postcard"]);
}

#[test]
fn faulty_safetensors_end_with_1_and_write_nothing() {
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("bad.safetensors"), [255; 64]).expect("written");
    fail(folder.path(), &["import", "bad.safetensors", "m.postcard"], 1, &["bad.safetensors"]);
    fail(folder.path(), &["import", "absent.safetensors", "m.postcard"], 1, &["absent.safetensors"]);
    assert!(!folder.path().join("m.postcard").exists());
}

#[test]
fn a_training_that_diverges_ends_the_run_with_epoch_and_step() {
    let folder = folder_with_data();
    for backend in ["reference", "cpu"] {
        let args = ["--data", "data", "--epochs", "3", "--lr", "1e30", "--out", "o", "--backend", backend];
        fail(folder.path(), &args, 1, &["epoch 1, step 1:", "diverged", "--lr"]);
        assert_eq!(entries(&folder.path().join("o")), [folder.path().join("o/.lock")]);
    }
}

#[test]
fn an_output_folder_that_cannot_be_written_is_refused_before_training() {
    let folder = folder_with_data();
    fs::write(folder.path().join("file"), "in the way").expect("written");
    for out in ["file", "file/below"] {
        fail(folder.path(), &["--data", "data", "--out", out], 1, &[out, "--out"]);
    }
    assert_eq!(fs::read(folder.path().join("file")).expect("still there"), b"in the way");
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_cleanly_after_saving() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let folder = folder_with_data();
    let mut child = Command::new(env!("CARGO_BIN_EXE_host-trainer"))
        .args(["--data", "data", "--epochs", "100000", "--backend", "reference", "--out", "o"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map(|line| line.expect("UTF-8"));
    lines.find(|line| line == "epoch 2").expect("a second epoch");
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(kill.success());
    let rest: Vec<String> = lines.collect();
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let message = stderr(&output);
    assert!(message.contains("interrupted in epoch") && message.contains("--resume goes on from there"), "{message}");

    let record = record(&folder.path().join("o"));
    let epochs = fingerprints(&record).len();
    assert!(epochs >= 2 && rest.iter().any(|line| line.contains(&fingerprints(&record)[epochs - 1])), "{rest:?}");
    assert_eq!(record["status"], "interrupted");
    // What was saved is what a run of just so many epochs saves.
    let again = record_of(folder.path(), epochs);
    assert_eq!(fingerprints(&again), fingerprints(&record));
}

#[cfg(unix)]
fn record_of(folder: &Path, epochs: usize) -> serde_json::Value {
    succeed(folder, &["--data", "data", "--epochs", &epochs.to_string(), "--out", "again"]);
    record(&folder.join("again"))
}

#[test]
fn verify_compares_two_backends_epoch_by_epoch() {
    let folder = folder_with_data();
    let out = succeed(folder.path(), &["verify", "--data", "data", "--epochs", "2", "--backend", "cpu"]);
    assert_eq!(out.lines().filter(|line| line.starts_with("epoch ") && line.contains("the same")).count(), 2, "{out}");
    assert!(out.contains("first    cpu") && out.contains("second   reference"), "{out}");
}

#[test]
fn verify_repeats_a_recorded_run_and_names_the_first_difference() {
    let folder = folder_with_data();
    train(folder.path(), "o", &["--backend", "reference"]);
    let verify = ["verify", "o/run.json", "--data", "data", "--backend", "cpu"];
    let out = succeed(folder.path(), &verify);
    assert!(out.contains("those of the record"), "{out}");

    let path = folder.path().join("o/run.json");
    let mut changed = record(&folder.path().join("o"));
    changed["epochs"][1]["fingerprint"] = changed["epochs"][0]["fingerprint"].clone();
    fs::write(&path, changed.to_string()).expect("written");
    fail(folder.path(), &verify, 1, &["epoch 2: the record has the fingerprint"]);
    fs::write(&path, "{}").expect("written");
    fail(folder.path(), &verify, 1, &["o/run.json", "not a run record"]);
    fail(folder.path(), &[&verify[..], &["--seed", "2"]].concat(), 2, &["[RECORD]", "--seed"]);
}

#[test]
fn doctor_says_what_auto_takes_and_what_data_there_is() {
    let folder = folder_with_data();
    let out = succeed(folder.path(), &["doctor", "--data", "data"]);
    for words in ["processor ", "GPU ", "230 training and 60 test images", "--backend auto takes "] {
        assert!(out.contains(words), "'{words}' is not in: {out}");
    }
    let out = succeed(folder.path(), &["doctor"]);
    assert!(out.contains("not in data/mnist"), "{out}");
}

#[test]
fn without_a_driver_cuda_is_refused_and_auto_takes_the_processor_and_says_why() {
    let folder = folder_with_data();
    let doctor = succeed(folder.path(), &["doctor", "--data", "data"]);
    if !doctor.contains("no NVIDIA driver") {
        skipped::skip("this machine has an NVIDIA driver");
        return;
    }
    for backend in ["cuda", "cuda-graph"] {
        let args = ["--data", "data", "--epochs", "1", "--out", "o", "--backend", backend];
        fail(folder.path(), &args, 1, &["no NVIDIA driver", "525"]);
    }
    let out = succeed(folder.path(), &["--data", "data", "--epochs", "1", "--out", "o"]);
    assert!(out.contains("backend  cpu") && out.contains("not the GPU: no NVIDIA driver"), "{out}");
    assert!(record(&folder.path().join("o"))["backend"].as_str().expect("a string").starts_with("cpu"));
}
