//! What a stranger's file may show on a terminal: text, and nothing that moves the cursor.

use std::fs;
use std::process::Command;

use cnn_core::model::Training;
use host_trainer::model_file;
use host_trainer::random::initial_parameters;

/// Clears the screen.
const CLEAR: &str = "\x1b[2J";

#[test]
fn control_characters_of_a_file_do_not_reach_the_terminal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = folder.path().join("model");
    let training = Training {
        dataset: &format!("digits{CLEAR}"),
        dataset_hash: [0; 32],
        seed: 0,
        epochs: 1,
        batch_length: 1,
        shuffle: false,
        learning_rate: 0.1,
        momentum: 0.0,
        weight_decay: 0.0,
        test_correct: 1,
        test_count: 1,
    };
    model_file::write(&model, Some(training), &initial_parameters(1), &[0; 784]).expect("a folder to write to");
    let record = folder.path().join("run.json");
    fs::write(&record, r#"{"versions": {"record": 1, "program": ""}, "\u001b[2J": 1}"#).expect("room");

    let said = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_host-trainer")).args(args).current_dir(&folder).output();
        let output = output.expect("the program was built");
        String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8")
    };
    let summary = said(&["summary", "model"]);
    assert!(summary.contains("digits\u{fffd}[2J"), "{summary}");
    let verify = said(&["verify", "run.json", "--dataset", "synthetic"]);
    assert!(verify.contains("`\u{fffd}[2J`"), "{verify}");
}
