//! `--lr-schedule`, `--init` and `--train-layers`: what they change, what records and checkpoints keep of them, and how
//! runs with them are resumed and verified.

use cnn_core::network::{Layer, Layers, TENSORS};
use host_trainer::model_file::LoadedModel;

use super::runs::{assert_same_run, recipe};
use super::*;

/// Every flag of this file at once.
const ALL: [&str; 6] = ["--lr-schedule", "step:1:0.5", "--init", "first/weights.postcard", "--train-layers", "fc1,fc2"];

/// A folder with data and a run in `first`.
fn folder_with_first() -> TempDir {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("1", "first", &["--seed", "5"]));
    folder
}

fn verify(out: &str, more: &[&str]) -> Vec<String> {
    let args = ["verify", &format!("{out}/run.json"), "--data", "data"];
    args.iter().chain(more).map(ToString::to_string).collect()
}

#[track_caller]
fn verified(folder: &Path, out: &str, more: &[&str]) -> String {
    let args = verify(out, more);
    succeed(folder, &args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[track_caller]
fn not_verified(folder: &Path, out: &str, more: &[&str], words: &[&str]) {
    let args = verify(out, more);
    fail(folder, &args.iter().map(String::as_str).collect::<Vec<_>>(), 1, words);
}

fn version_of(out: &Path, epoch: u32) -> u8 {
    fs::read(out.join(format!("checkpoints/epoch-{epoch:06}.checkpoint"))).expect("a checkpoint")[4]
}

#[test]
fn a_schedule_is_shown_recorded_resumed_and_verified() {
    let folder = folder_with_data();
    let out = folder.path();
    for (schedule, lines) in [
        ("step:1:0.5", ["epoch 1, lr 0.01", "epoch 2, lr 0.005", "epoch 3, lr 0.0025"]),
        ("cosine", ["epoch 1, lr 0.01", "epoch 2, lr 0.0075", "epoch 3, lr 0.0025"]),
    ] {
        let flags = ["--lr-schedule", schedule, "--keep-checkpoints", "--overwrite", "--backend"];
        let text = succeed(out, &recipe("3", "whole", &[&flags[..], &["reference"]].concat()));
        for line in lines {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        let record = record(&out.join("whole"));
        assert_eq!(record["versions"]["record"], 2);
        assert_eq!(record["settings"]["learning_rate_schedule"], schedule);
        assert_eq!(version_of(&out.join("whole"), 3), 2);
        // A run that pauses after its first epoch: what it planned stays the plan.
        succeed(out, &recipe("3", "o", &[&flags[..], &["cpu"]].concat()));
        for file in ["checkpoints/epoch-000002.checkpoint", "checkpoints/epoch-000003.checkpoint"] {
            fs::remove_file(out.join("o").join(file)).expect("removed");
        }
        succeed(out, &recipe("3", "o", &["--lr-schedule", schedule, "--resume", "--backend", "cpu"]));
        let results = fingerprints(&super::record(&out.join("o")));
        assert_eq!(results, fingerprints(&record));
        assert!(verified(out, "whole", &[]).contains("epochs 1 to 3 of 3"));
        assert!(verified(out, "whole", &["--epochs", "2"]).contains("epochs 1 to 2 of 3"));
        assert!(verified(out, "whole", &["--epochs", "3..3"]).contains("epoch 3 of 3"));
        let other = recipe("3", "o", &["--resume", "--lr-schedule", "step:2:0.5"]);
        fail(out, &other, 1, &[&format!("the learning-rate schedule is {schedule} there and step:2:0.5 here")]);
        fail(
            out,
            &recipe("3", "o", &["--resume"]),
            1,
            &[&format!("the learning-rate schedule is {schedule} there and constant")],
        );
    }
    let longer = recipe("4", "o", &["--resume", "--lr-schedule", "cosine"]);
    fail(out, &longer, 1, &["the number of epochs, on which the schedule depends, is 3 there and 4 here"]);
    // Two backends side by side.
    let flags = ["verify", "--data", "data", "--backend", "cpu", "--epochs", "2", "--lr-schedule", "cosine:0.00001"];
    assert!(succeed(out, &flags).contains("are the same, bit for bit"));
}

#[test]
fn without_the_new_flags_nothing_of_them_is_written() {
    let folder = folder_with_data();
    let out = folder.path();
    train(out, "plain", &[]);
    train(out, "spelled", &["--lr-schedule", "constant", "--train-layers", "fc2,fc1,conv2,conv1"]);
    assert_same_run(out, "spelled", "plain");
    let json = fs::read_to_string(out.join("plain/run.json")).expect("a record");
    assert!(!["schedule", "layers", "initial_file"].iter().any(|word| json.contains(word)), "{json}");
    assert!(json.contains("\"record\": 1,") && version_of(&out.join("plain"), 2) == 1);
    assert!(!out.join("plain/initial.postcard").exists());
}

#[test]
fn values_that_make_no_sense_are_refused_with_the_flags_name() {
    let folder = folder_with_data();
    for (flag, values) in [
        (
            "--lr-schedule",
            &[
                "",
                "linear",
                "step:0:0.1",
                "step:30:nan",
                "step:30:0",
                "step:30:-1",
                "step:30:2",
                "cosine:inf",
                "cosine:-1",
                "step:30",
                "cosine:0.1:2",
                "cosine:",
            ][..],
        ),
        ("--train-layers", &["", "fc3", "fc1,,fc2", "fc1,fc1", "fc1, fc2", "all", "fc2,"]),
    ] {
        for value in values {
            fail(folder.path(), &recipe("1", "o", &[flag, value]), 2, &[flag]);
        }
    }
    fail(folder.path(), &recipe("1", "o", &["--train-layers", "fc2,fc3"]), 2, &["\"fc3\" is not a layer"]);
    let rising = recipe("1", "o", &["--lr-schedule", "cosine:0.02"]);
    fail(folder.path(), &rising, 2, &["--lr-schedule cosine:0.02", "above the learning rate 0.01 (--lr)"]);
    assert!(!folder.path().join("o").exists());
}

#[test]
fn a_run_starts_from_any_file_with_parameters_and_is_verified_from_its_folder_alone() {
    let folder = folder_with_first();
    let out = folder.path();
    succeed(out, &["export", "first/weights.postcard", "net.safetensors"]);
    let first = record(&out.join("first"))["epochs"][0]["fingerprint"].clone();
    for (number, file) in
        ["first/weights.postcard", "first/checkpoints/epoch-000001.checkpoint", "net.safetensors"].iter().enumerate()
    {
        let tuned = format!("tuned{number}");
        let text = succeed(out, &recipe("2", &tuned, &["--init", file]));
        let name = Path::new(file).file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(text.contains(&format!("initial  {name} (")), "{text}");
        let record = record(&out.join(&tuned));
        assert_eq!((&record["initial_fingerprint"], &record["initial_file"]), (&first, &name.into()));
        assert_eq!(fingerprints(&record), fingerprints(&super::record(&out.join("tuned0"))));
        let initial = LoadedModel::read(&out.join(&tuned).join("initial.postcard")).expect("a whole model");
        assert_eq!(initial.fingerprint.to_string(), first.as_str().expect("a string"));
    }
    assert_eq!(fs::read(out.join("tuned0/initial.postcard")).ok(), fs::read(out.join("first/weights.postcard")).ok());
    fs::rename(out.join("first"), out.join("elsewhere")).expect("renamed");
    fs::remove_file(out.join("net.safetensors")).expect("removed");
    for backend in ["cpu", "reference"] {
        let text = verified(out, "tuned2", &["--backend", backend]);
        assert!(text.contains("initial  tuned2/initial.postcard (") && text.contains("epochs 1 to 2 of 2"), "{text}");
    }
    // The folder's copy is believed no more than any other file.
    let copy = out.join("tuned2/initial.postcard");
    fs::copy(out.join("tuned2/weights.postcard"), &copy).expect("copied");
    not_verified(out, "tuned2", &[], &["the record has the initial fingerprint", "here it is"]);
    change(&out.join("tuned2"), "initial.postcard", |bytes| bytes[5000] ^= 1);
    not_verified(out, "tuned2", &[], &["initial.postcard", "damaged"]);
    fs::remove_file(&copy).expect("removed");
    not_verified(out, "tuned2", &[], &["tuned2/initial.postcard", "net.safetensors", "--init"]);
    assert!(verified(out, "tuned2", &["--init", "elsewhere/weights.postcard"]).contains("epochs 1 to 2 of 2"));
    not_verified(out, "elsewhere", &["--init", "tuned0/initial.postcard"], &["started from its seed's own parameters"]);
    // Two backends from given parameters.
    let flags =
        ["verify", "--data", "data", "--backend", "cpu", "--epochs", "1", "--init", "elsewhere/weights.postcard"];
    let text = succeed(out, &[&flags[..], &["--lr", "0.01"]].concat());
    let short = &fingerprints(&record(&out.join("tuned0")))[0][..8];
    assert!(text.contains(short), "{short}: {text}");
}

#[test]
fn layers_that_are_not_trained_keep_the_initial_parameters_bit_for_bit() {
    let folder = folder_with_first();
    let out = folder.path();
    let first = LoadedModel::read(&out.join("first/weights.postcard")).expect("a model").parameters;
    for chosen in ["fc2", "conv1,fc1"] {
        let layers = Layers::parse(chosen).expect("layers");
        let flags =
            ["--init", "first/weights.postcard", "--train-layers", chosen, "--weight-decay", "0.1", "--overwrite"];
        for backend in ["cpu", "reference"] {
            let text = succeed(out, &recipe("2", backend, &[&flags[..], &["--backend", backend]].concat()));
            assert!(text.contains(&format!("trains {chosen} alone")), "{text}");
            assert_eq!(record(&out.join(backend))["settings"]["trained_layers"], chosen);
            let found = LoadedModel::read(&out.join(backend).join("weights.postcard")).expect("a model").parameters;
            for tensor in TENSORS {
                let trained = layers.iter().any(|layer: Layer| layer.range().contains(&tensor.offset));
                let same = found[tensor.range()]
                    .iter()
                    .zip(&first[tensor.range()])
                    .all(|(found, first)| found.to_bits() == first.to_bits());
                assert_eq!(same, !trained, "{} of {chosen} on {backend}", tensor.name);
            }
        }
        assert_eq!(fingerprints(&record(&out.join("cpu"))), fingerprints(&record(&out.join("reference"))));
        assert!(verified(out, "cpu", &["--backend", "reference"]).contains("epochs 1 to 2 of 2"));
    }
}

#[test]
fn a_paused_run_goes_on_with_the_same_flags_and_no_others() {
    let folder = folder_with_first();
    let out = folder.path();
    succeed(out, &recipe("4", "whole", &ALL));
    succeed(out, &recipe("2", "o", &ALL));
    succeed(out, &recipe("4", "o", &[&ALL[..], &["--resume", "--backend", "reference"]].concat()));
    assert_eq!(fingerprints(&record(&out.join("o"))), fingerprints(&record(&out.join("whole"))));
    let [schedule, init, layers] = [&ALL[..2], &ALL[2..4], &ALL[4..]];
    succeed(out, &recipe("1", "second", &["--seed", "6"]));
    let cases: [(&[&[&str]], &str); 5] = [
        (&[init, layers], "the learning-rate schedule is step:1:0.5 there and constant here"),
        (&[schedule, init], "what is trained is fc1,fc2 there and conv1,conv2,fc1,fc2 here"),
        (&[schedule, layers], "the file of initial parameters is weights.postcard ("),
        (&[schedule, layers], ") there and not given here"),
        (
            &[schedule, layers, &["--init", "second/weights.postcard"]],
            "the file of initial parameters is weights.postcard (",
        ),
    ];
    for (flags, words) in cases {
        fail(out, &recipe("5", "o", &[&flags.concat()[..], &["--resume"]].concat()), 1, &[words]);
    }
    // The parameters are what counts, not their file's name: the folder's own copy serves.
    let own = [schedule, layers, &["--init", "o/initial.postcard", "--resume"]].concat();
    succeed(out, &recipe("5", "o", &own));
    assert!(verified(out, "o", &[]).contains("epochs 1 to 5 of 5"));
    succeed(out, &recipe("1", "plain", &[]));
    let given = recipe("2", "plain", &["--resume", "--init", "first/weights.postcard"]);
    fail(out, &given, 1, &["the file of initial parameters is not given there and weights.postcard ("]);
}

#[test]
fn what_a_run_starts_from_is_not_what_it_replaces() {
    let folder = folder_with_first();
    let out = folder.path();
    fs::create_dir(out.join("links")).expect("made");
    fs::hard_link(out.join("first/weights.postcard"), out.join("links/model")).expect("linked");
    let before = contents(&out.join("first"));
    for file in ["first/weights.postcard", "first/checkpoints/epoch-000001.checkpoint", "links/model"] {
        for flag in ["--overwrite", "--resume"] {
            fail(out, &recipe("2", "first", &["--init", file, flag]), 1, &[file, "--init", "--out"]);
        }
    }
    assert!(contents(&out.join("first")) == before, "nothing is lost");
    // A later run without it leaves none behind.
    succeed(out, &recipe("1", "o", &["--init", "first/weights.postcard"]));
    assert!(out.join("o/initial.postcard").exists());
    succeed(out, &recipe("1", "o", &["--overwrite"]));
    assert!(!out.join("o/initial.postcard").exists());
}

#[test]
fn files_that_hold_no_parameters_are_refused_before_anything_is_written() {
    let folder = folder_with_first();
    let out = folder.path();
    fs::write(out.join("empty"), b"").expect("written");
    fs::write(out.join("picture.png"), b"\x89PNG\r\n\x1a\n and so on").expect("written");
    fs::copy(out.join("first/weights.postcard"), out.join("short")).expect("copied");
    change(out, "short", |bytes| bytes.truncate(1000));
    for (file, words) in [
        ("empty", "neither a model file nor a checkpoint"),
        ("picture.png", "neither a model file nor a checkpoint"),
        ("first/run.json", "neither a model file nor a checkpoint"),
        ("short", "truncated"),
        ("missing", "missing"),
        ("data", "data/weights.postcard"),
    ] {
        fail(out, &recipe("1", "o", &["--init", file]), 1, &[file, words]);
        assert!(!out.join("o").exists());
    }
}

#[test]
fn a_checkpoint_tells_in_a_summary_what_a_model_file_cannot() {
    let folder = folder_with_first();
    let out = folder.path();
    succeed(out, &recipe("2", "o", &ALL));
    let text = succeed(out, &["summary", "o/checkpoints/epoch-000001.checkpoint"]);
    for words in ["1 epoch, ", "lr 0.01 step:1:0.5 ", "trains fc1,fc2 alone", "start      weights.postcard"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let json = succeed(out, &["summary", "--json", "o/checkpoints/epoch-000001.checkpoint"]);
    let claims = serde_json::from_str::<serde_json::Value>(&json).expect("JSON")["model"]["claims"].clone();
    assert_eq!(claims["learning_rate_schedule"], "step:1:0.5");
    assert_eq!((&claims["trained_layers"], &claims["initial_file"]), (&"fc1,fc2".into(), &"weights.postcard".into()));
    let json = succeed(out, &["summary", "--json", "o/weights.postcard"]);
    let claims = serde_json::from_str::<serde_json::Value>(&json).expect("JSON")["model"]["claims"].clone();
    assert!(claims.get("learning_rate_schedule").is_none() && claims["learning_rate"] == 0.01, "{claims}");
}
