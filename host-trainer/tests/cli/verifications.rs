//! `verify` of records: what is compared, what is not, and nothing is no success.

use super::*;

const VERIFY: [&str; 6] = ["verify", "o/run.json", "--data", "data", "--backend", "cpu"];

/// A run of two epochs whose checkpoints are kept, and its record.
fn folder_with_run() -> (TempDir, serde_json::Value) {
    let folder = folder_with_data();
    let record = train(folder.path(), "o", &["--keep-checkpoints"]);
    (folder, record)
}

fn rewrite(folder: &Path, record: &serde_json::Value) {
    fs::write(folder.join("o/run.json"), record.to_string()).expect("written");
}

#[test]
fn a_record_without_an_epoch_has_nothing_to_verify() {
    let (folder, mut record) = folder_with_run();
    record["status"] = "interrupted".into();
    record["epochs"] = serde_json::json!([]);
    rewrite(folder.path(), &record);
    fail(folder.path(), &VERIFY, 1, &["o/run.json", "no complete epoch", "nothing to verify"]);
}

#[test]
fn a_runs_folder_stands_for_its_record_and_its_model() {
    let (folder, _) = folder_with_run();
    let same = |of_folder: &[&str], of_file: &[&str]| {
        let [of_folder, of_file] = [of_folder, of_file].map(|args| succeed(folder.path(), args));
        assert_eq!(of_folder, of_file);
    };
    let data = ["--data", "data"];
    same(&["summary", "o"], &["summary", "o/weights.postcard"]);
    same(&[&["evaluate", "o"], &data[..]].concat(), &[&["evaluate", "o/weights.postcard"], &data[..]].concat());
    let predict = |model| [&["predict", model, "--index", "0"], &data[..]].concat();
    same(&predict("o"), &predict("o/weights.postcard"));
    same(&["export", "o", "net.safetensors"], &["export", "o/weights.postcard", "net.safetensors"]);
    let verified = succeed(folder.path(), &[&["verify", "o"], &data[..]].concat());
    assert!(verified.contains("epochs 1 to 2 of 2: "), "{verified}");
}

#[test]
fn sizes_of_the_data_set_are_compared_and_its_name_is_told() {
    let (folder, good) = folder_with_run();
    let out = succeed(folder.path(), &VERIFY);
    assert!(out.contains("epochs 1 to 2 of 2: ") && out.contains("not checked: "), "{out}");
    for (field, words) in [("train_count", "training images 460"), ("test_count", "test images 120")] {
        let mut record = good.clone();
        record["dataset"][field] = (2 * good["dataset"][field].as_u64().expect("a count")).into();
        rewrite(folder.path(), &record);
        fail(folder.path(), &VERIFY, 1, &[words]);
    }
    let mut record = good.clone();
    record["dataset"]["name"] = "letters".into();
    rewrite(folder.path(), &record);
    let out = succeed(folder.path(), &VERIFY);
    assert!(out.contains("the record calls the data set letters"), "{out}");
}

#[test]
fn epochs_that_are_trained_for_want_of_a_checkpoint_are_announced() {
    let (folder, _) = folder_with_run();
    let second = [&VERIFY[..], &["--epochs", "2..2"]].concat();
    let output = run_in(folder.path(), &second);
    assert!(stdout(&output).contains("epoch 2 of 2: ") && stderr(&output).is_empty(), "{}", stderr(&output));
    fs::remove_file(folder.path().join("o/checkpoints/epoch-000001.checkpoint")).expect("removed");
    let output = run_in(folder.path(), &second);
    assert!(output.status.success() && stdout(&output).contains("epochs 1 to 2 of 2: "), "{}", stdout(&output));
    let message = stderr(&output);
    assert!(message.starts_with("warning: ") && message.contains("epochs 1 to 1 are trained first"), "{message}");
}

#[test]
#[cfg(unix)]
fn one_signal_ends_a_verification_and_it_says_what_was_the_same() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    use super::runs::Program;

    let folder = folder_with_data();
    let mut program = Program::start(
        Command::new(env!("CARGO_BIN_EXE_host-trainer"))
            .args(["verify", "--data", "data", "--epochs", "100000", "--backend", "cpu"])
            .current_dir(&folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let mut lines = BufReader::new(program.child().stdout.take().expect("piped")).lines();
    assert!(lines.any(|line| line.expect("UTF-8").starts_with("epoch   2  the same")), "a second epoch");
    program.send("-TERM");
    lines.for_each(drop);
    let output = program.end();
    assert_eq!(output.status.code(), Some(143), "{}", stderr(&output));
    let message = stderr(&output);
    assert!(message.contains("interrupted in epoch") && message.contains("epochs 1 to "), "{message}");
}

#[test]
#[cfg(unix)]
fn a_pipe_is_no_record() {
    let folder = folder_with_data();
    let made = Command::new("mkfifo").arg(folder.path().join("pipe")).status().expect("mkfifo runs");
    assert!(made.success());
    fail(folder.path(), &["verify", "pipe", "--data", "data"], 1, &["pipe"]);
}
