//! What is printed, and what becomes of the program when it cannot be.

use std::fs::File;
use std::process::Stdio;

use cnn_core::model::Training;
use cnn_train::random::initial_parameters;
use host_trainer::model_file;
use host_trainer::text::is_visible;
use serde_json::Value;

use super::*;

/// Clears the screen, forges a line, turns the direction of writing, hides.
const HOSTILE: &str = "a\x1b[2J\nFORGED\r\u{202e}\u{2066}\u{200f}\u{61c}\u{200b}\u{9b}z";

/// A folder with a small data set and a run in `o`.
fn folder_with_run() -> TempDir {
    let folder = folder_with_data();
    train(folder.path(), "o", &[]);
    folder
}

/// Every command that prints a result, on the files of [`folder_with_run`].
const SHORT: [&[&str]; 20] = [
    &["evaluate", "o/weights.postcard", "--data", "data"],
    &["evaluate", "o/weights.postcard", "--data", "data", "--json"],
    &["evaluate", "o/weights.postcard", "--data", "data", "--quiet"],
    &["predict", "o/weights.postcard", "--data", "data", "--index", "3"],
    &["predict", "o/weights.postcard", "--data", "data", "--index", "3", "--json"],
    &["summary"],
    &["summary", "o/weights.postcard"],
    &["summary", "o/weights.postcard", "--json"],
    &["doctor", "--data", "data"],
    &["doctor", "--data", "data", "--json"],
    &["export", "o/weights.postcard", "net.safetensors"],
    &["compare", "o"],
    &["compare", "o/run.json", "--json"],
    &["verify", "o/run.json", "--data", "data"],
    &["verify", "--data", "data", "--epochs", "1", "--backend", "cpu"],
    &["verify", "o/run.json", "--data", "data", "--json"],
    &["completions", "bash"],
    &["--help"],
    &["help", "train"],
    &["--version"],
];

/// Runs the program with standard output and error on these.
fn run_onto(folder: &Path, args: &[&str], out: impl Into<Stdio>, error: impl Into<Stdio>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_host-trainer"));
    command.args(args).current_dir(folder).env_remove("MNIST_DIR").stdout(out).stderr(error);
    command.spawn().expect("the program was built").wait_with_output().expect("it ends")
}

#[cfg(target_os = "linux")]
fn full() -> File {
    File::options().write(true).open("/dev/full").expect("Linux has it")
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_goes_on_when_nothing_can_be_printed() {
    let folder = folder_with_data();
    let whole = train(folder.path(), "whole", &[]);
    for (out, error) in [("a", Stdio::piped()), ("b", full().into())] {
        let args = ["train", "--data", "data", "--epochs", "2", "--lr", "0.01", "--out", out];
        let output = run_onto(folder.path(), &args, full(), error);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(fingerprints(&record(&folder.path().join(out))), fingerprints(&whole));
        if out == "a" {
            let message = stderr(&output);
            assert!(message.starts_with("warning: standard output could not be written: No space left"), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_result_that_cannot_be_printed_is_an_error_of_one_line() {
    let folder = folder_with_run();
    for args in SHORT {
        let output = run_onto(folder.path(), args, full(), Stdio::piped());
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {message}");
        assert!(message.starts_with("error: standard output cannot be written: No space left"), "{args:?}: {message}");
        assert_eq!(message.lines().count(), 1, "{args:?}: {message}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn an_error_that_cannot_be_printed_leaves_its_exit_code() {
    let folder = folder_with_data();
    for (args, code) in [
        (&["summary", "absent"][..], 1),
        (&["--unknown"], 2),
        (&["--data", "absent"], 1),
        (&["--data", "data", "--dataset", "synthetic"], 2),
    ] {
        let output = run_onto(folder.path(), args, full(), full());
        assert_eq!(output.status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn whoever_closes_the_pipe_has_seen_enough() {
    let folder = folder_with_run();
    for args in SHORT {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = run_onto(folder.path(), args, writer, Stdio::piped());
        assert_eq!((output.status.code(), &*stderr(&output)), (Some(0), ""), "{args:?}");
    }
}

/// All that the program says is visible, and no line begins with what a stranger wrote.
#[track_caller]
fn assert_tame(args: &[&str], output: &Output) {
    let said = stdout(output) + &stderr(output);
    let unseen: Vec<char> = said.chars().filter(|&character| character != '\n' && !is_visible(character)).collect();
    assert!(unseen.is_empty(), "{args:?}: {unseen:?} in {said}");
    assert!(!said.lines().any(|line| line.starts_with("FORGED")), "{args:?}: {said}");
    assert!(matches!(output.status.code(), Some(0..=2)), "{args:?}: {said}");
}

#[test]
#[cfg(unix)]
fn no_name_reaches_the_terminal_as_it_is() {
    let folder = folder_with_run();
    let at = folder.path();
    let (model, picture) = (format!("{HOSTILE}.postcard"), format!("{HOSTILE}.pgm"));
    fs::copy(at.join("o/weights.postcard"), at.join(&model)).expect("copied");
    fs::write(at.join(&picture), "P2\n3 3\n255\n9 9 9 9 9 9 9 9 9\n").expect("written");
    for name in ["no", "data", "out"] {
        fs::create_dir(at.join(format!("{HOSTILE}{name}"))).expect("created");
    }
    for path in entries(&at.join("data")) {
        fs::copy(&path, at.join(format!("{HOSTILE}data")).join(path.file_name().expect("a name"))).expect("copied");
    }
    let [no, data, out] = ["no", "data", "out"].map(|name| format!("{HOSTILE}{name}"));
    let short = ["--epochs", "1", "--lr", "0.01"];
    let with = |args: &[&str]| {
        let output = run_in(at, args);
        assert_tame(args, &output);
        stdout(&output) + &stderr(&output)
    };
    let shown = r"a\u{1b}[2J\nFORGED\r\u{202e}\u{2066}\u{200f}\u{61c}\u{200b}\u{9b}z";
    for args in [
        &["summary", &model][..],
        &["summary", &model, "--json"],
        &["summary", &no],
        &["evaluate", &model, "--data", "data"],
        &["evaluate", &model, "--data", "data", "--json"],
        &["evaluate", &model, "--data", &data],
        &["evaluate", &model, "--data", &no],
        &["predict", &model, &picture],
        &["predict", "o/weights.postcard", &picture],
        &["predict", "o/weights.postcard", &no],
        &["predict", "o/weights.postcard", "--data", &data, "--index", "9999"],
        &["predict", "o/weights.postcard", "--data", &data, "--index", "1", "--json"],
        &["export", &model, &format!("{HOSTILE}.safetensors")],
        &["import", &format!("{HOSTILE}.safetensors"), &format!("{HOSTILE}.imported")],
        &["import", &model, "back"],
        &["verify", &model, "--data", "data"],
        &["verify", "o/run.json", "--data", "data", "--checkpoints", &no],
        &["verify", &no, "--data", "data"],
        &["doctor", "--data", &data],
        &["doctor", "--data", &no],
        &["doctor", "--data", &no, "--json"],
        &["--data", &no, "--out", "n"],
        &["--data", &data, "--out", "n", "--epochs", "1"],
        &[&["--data", "data", "--out", &out][..], &short].concat(),
        &[&["--data", "data", "--out", &out, "--resume"][..], &short].concat(),
        &["--data", "data", "--out", &model],
        &["--dataset", "mnist", "--mirror", &format!("http://127.0.0.1:9/{HOSTILE}")],
        &["board", "--port", HOSTILE, "info"],
        &["board", "--port", &format!("unix:{HOSTILE}"), "info"],
        &["board", "--port", &format!("tcp:{HOSTILE}"), "info"],
        &[HOSTILE],
        &["--dataset", HOSTILE],
        &["--seed", HOSTILE],
        &["--simd", HOSTILE],
        &["--backend", HOSTILE],
        &["verify", "--epochs", HOSTILE],
        &[&format!("--{HOSTILE}")],
        &["predict", "a", "b", HOSTILE],
    ] {
        with(args);
    }
    // Seen, not left out.
    assert!(with(&["summary", &model]).contains(shown));
    assert!(with(&["summary", &no]).contains(shown));
    assert!(with(&["--dataset", HOSTILE]).contains(shown));
}

#[test]
fn what_a_file_says_reaches_the_terminal_as_one_line() {
    let folder = folder_with_run();
    let at = folder.path();
    let training = Training {
        dataset: HOSTILE,
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
    if model_file::write(&at.join("m"), Some(training), &initial_parameters(1), &[0; 784]).is_ok() {
        for args in [&["summary", "m"][..], &["summary", "m", "--json"]] {
            assert_tame(args, &run_in(at, args));
        }
        let claims = json(at, &["summary", "m", "--json"]);
        assert_eq!(claims["model"]["claims"]["dataset"], HOSTILE, "JSON has it as it is");
    }
    let mut record = record(&at.join("o"));
    for (field, name) in [("backend", None), ("dataset", Some("name")), ("host", Some("os"))] {
        let place = &mut record[field];
        *(if let Some(name) = name { &mut place[name] } else { place }) = HOSTILE.into();
    }
    fs::write(at.join("o/run.json"), record.to_string()).expect("written");
    let verify = ["verify", "o/run.json", "--data", "data"];
    assert_tame(&verify, &run_in(at, &verify));
    record[HOSTILE] = 1.into();
    fs::write(at.join("o/run.json"), record.to_string()).expect("written");
    assert_tame(&verify, &run_in(at, &verify));
    let resume = ["--data", "data", "--epochs", "3", "--lr", "0.01", "--out", "o", "--resume", "--seed", "4"];
    assert_tame(&resume, &run_in(at, &resume));
}

/// The one object that a command prints.
#[track_caller]
fn json(folder: &Path, args: &[&str]) -> Value {
    let text = succeed(folder, args);
    assert_eq!(text.lines().count(), 1, "{text}");
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"));
    assert!(value.is_object(), "{text}");
    value
}

#[test]
fn json_has_numbers_and_hexadecimal_fingerprints() {
    let folder = folder_with_run();
    let at = folder.path();
    let record = record(&at.join("o"));
    let last = fingerprints(&record)[1].clone();

    let evaluation = json(at, &["evaluate", "o/weights.postcard", "--data", "data", "--json"]);
    assert_eq!(evaluation["fingerprint"], *last);
    assert_eq!(evaluation["accuracy"], record["epochs"][1]["test_accuracy"]);
    assert_eq!(evaluation["mean_loss"], record["epochs"][1]["test_loss"]);
    assert_eq!((&evaluation["split"], &evaluation["images"]), (&"test".into(), &TEST.into()));
    let confusion = evaluation["confusion"].as_array().expect("rows");
    let counts = confusion.iter().flat_map(|row| row.as_array().expect("a row")).map(|count| count.as_u64());
    assert_eq!(counts.sum::<Option<u64>>(), Some(TEST as u64));

    let prediction = json(at, &["predict", "o/weights.postcard", "--data", "data", "--index", "3", "--json"]);
    let result = &prediction["results"][0];
    assert_eq!((&result["index"], &result["label"]), (&3.into(), &3.into()));
    assert!(result["prediction"].as_u64().is_some_and(|class| class < 10), "{result}");
    let probabilities = result["probabilities"].as_array().expect("ten of them");
    let sum: f64 = probabilities.iter().map(|probability| probability.as_f64().expect("a number")).sum();
    assert!(probabilities.len() == 10 && (sum - 1.0).abs() < 1e-5, "{result}");

    let summary = json(at, &["summary", "o/weights.postcard", "--json"]);
    assert_eq!(summary["network"]["parameters"], 102_130);
    assert_eq!(summary["model"]["fingerprint"], *last);
    assert_eq!(summary["model"]["claims"]["epochs"], 2);
    assert_eq!(json(at, &["summary", "--json"])["model"], Value::Null);

    let machine = json(at, &["doctor", "--data", "data", "--json"]);
    assert!(machine["cores"].as_u64() >= Some(1), "{machine}");
    assert!(machine["vectors"].as_array().is_some_and(|levels| levels.contains(&"portable".into())), "{machine}");

    let verified = json(at, &["verify", "o/run.json", "--data", "data", "--json"]);
    assert_eq!((&verified["equal"], &verified["difference"]), (&true.into(), &Value::Null));
    assert_eq!(verified["epochs"][1], serde_json::json!({"epoch": 2, "fingerprint": last}));
    let compared = json(at, &["verify", "--data", "data", "--epochs", "1", "--backend", "cpu", "--json"]);
    assert_eq!((&compared["equal"], compared["backends"].as_array().map(Vec::len)), (&true.into(), Some(2)));
    let mut changed = record.clone();
    changed["epochs"][1]["fingerprint"] = changed["epochs"][0]["fingerprint"].clone();
    fs::write(at.join("changed.json"), changed.to_string()).expect("written");
    let args = ["verify", "changed.json", "--data", "data", "--json"];
    fail(at, &args, 1, &["epoch 2: the record has the fingerprint"]);
    let different: Value = serde_json::from_str(&stdout(&run_in(at, &args))).expect("JSON");
    assert_eq!(different["equal"], false);
    assert!(different["difference"].as_str().is_some_and(|told| told.starts_with("epoch 2")), "{different}");

    for args in [&["evaluate", "absent", "--json"][..], &["summary", "absent", "--json"]] {
        fail(at, args, 1, &["absent"]);
        assert_eq!(stdout(&run_in(at, args)), "");
    }
}

#[test]
fn quiet_leaves_results_alone_before_and_after_the_command() {
    let folder = folder_with_run();
    let at = folder.path();
    for args in [
        &["--quiet", "--data", "data", "--epochs", "1", "--out", "p"][..],
        &["-q", "train", "--data", "data", "--epochs", "1", "--out", "q"],
        &["train", "--data", "data", "--epochs", "1", "--out", "r", "-q"],
        &["-q", "export", "o/weights.postcard", "net.safetensors"],
    ] {
        let output = run_in(at, args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!((&*stdout(&output), &*stderr(&output)), ("", ""), "{args:?}");
    }
    let evaluate = succeed(at, &["-q", "evaluate", "o/weights.postcard", "--data", "data"]);
    assert!(evaluate.starts_with("mean loss=") && evaluate.lines().count() == 1, "{evaluate}");
    let predict = succeed(at, &["predict", "o/weights.postcard", "--data", "data", "--index", "3", "--quiet"]);
    assert!(predict.starts_with("prediction ") && predict.lines().count() == 1, "{predict}");
    fail(at, &["-q", "summary", "absent"], 1, &["absent"]);
}

#[test]
fn flags_of_the_training_are_not_overlooked_before_another_command() {
    let folder = TempDir::new().expect("a temporary folder");
    fail(folder.path(), &["--epochs", "3", "evaluate", "m"], 2, &["--epochs", "before 'evaluate'"]);
    fail(folder.path(), &["--data", "d", "summary"], 2, &["--data", "before 'summary'"]);
}

#[test]
fn without_a_terminal_there_are_no_blocks() {
    let folder = folder_with_run();
    let text = succeed(folder.path(), &["predict", "o/weights.postcard", "--data", "data", "--index", "3"]);
    assert!(text.contains('%') && !text.contains(['█', '▌', '▀', '\x1b']), "{text}");
}

#[test]
fn messages_name_the_cause_and_the_next_step() {
    let folder = folder_with_run();
    let at = folder.path();
    fail(at, &["predict", "absent"], 2, &["PICTURE", "--index"]);
    fail(at, &["--seed", "-5"], 2, &["expected a whole number from 0 to 18446744073709551615"]);
    fail(at, &["--epochs", "x"], 2, &["expected a whole number from 1 to 4294967295"]);
    fail(at, &["--simd", "avx"], 2, &["avx512, avx2, sse2, neon, simd128, portable"]);
    fail(at, &["board", "info", "--port"], 2, &["--port"]);
    fail(at, &["board", "--port", "unix:absent", "info"], 1, &["unix:absent"]);
    fail(at, &["board", "info", "--port", "unix:absent"], 1, &["unix:absent"]);
    for command in ["train", "evaluate", "verify"] {
        let help = succeed(at, &[command, "--help"]);
        assert!(help.contains("avx512, avx2, sse2, neon, simd128, portable"), "{help}");
    }
    for words in ["/ 255 - 0.5) / 0.5", "Normalize((0.5,), (0.5,))"] {
        assert!(succeed(at, &["export", "--help"]).contains(words));
    }
    assert!(succeed(at, &["summary", "o/weights.postcard"]).contains("(pixel / 255 - 0.5) / 0.5"));
}

#[test]
fn a_shell_can_complete_every_command() {
    let folder = TempDir::new().expect("a temporary folder");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = succeed(folder.path(), &["completions", shell]);
        for word in ["evaluate", "--checkpoint-every", "completions", "keep-checkpoints"] {
            assert!(script.contains(word.trim_start_matches("--")), "{shell}: {word}");
        }
    }
    let quiet = succeed(folder.path(), &["--quiet", "completions", "bash"]);
    assert_eq!(quiet, succeed(folder.path(), &["completions", "bash"]));
    fail(folder.path(), &["completions", "abacus"], 2, &["bash", "fish", "zsh"]);
}

#[test]
fn names_with_a_prefix_are_imported_and_the_prefix_is_told() {
    use safetensors::SafeTensors;

    let folder = folder_with_run();
    let at = folder.path();
    succeed(at, &["export", "o/weights.postcard", "net.safetensors"]);
    let bytes = fs::read(at.join("net.safetensors")).expect("exported");
    let tensors = SafeTensors::deserialize(&bytes).expect("valid");
    let named = tensors.tensors().into_iter().map(|(name, view)| (format!("module._orig_mod.{name}"), view));
    fs::write(at.join("wrapped.safetensors"), safetensors::serialize(named, None).expect("valid")).expect("written");
    let output = run_in(at, &["import", "wrapped.safetensors", "back"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("'module._orig_mod.'"), "{}", stderr(&output));
    let [trained, imported] = ["o/weights.postcard", "back"].map(|model| json(at, &["summary", model, "--json"]));
    assert_eq!(trained["model"]["fingerprint"], imported["model"]["fingerprint"]);
}
