//! Checkpoints, `--resume` and what `verify` makes of them.

use super::runs::{self, RESULTS, after, assert_same_run, checkpoints, names, recipe};
use super::*;

#[test]
fn a_resumed_run_is_an_uninterrupted_one_whatever_the_backends() {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("5", "whole", &["--backend", "reference", "--checkpoint-every", "0"]));
    let parts: [(&str, &[&str]); 5] = [
        ("1", &["--backend", "reference"]),
        ("2", &["--backend", "cpu", "--threads", "1"]),
        ("3", &["--backend", "cpu", "--threads", "3"]),
        ("4", &["--backend", "reference"]),
        ("5", &["--backend", "cpu", "--threads", "1"]),
    ];
    for (epochs, backend) in parts {
        let out = succeed(folder.path(), &recipe(epochs, "parts", &[backend, &["--resume"]].concat()));
        let done = epochs.parse::<u32>().expect("a number") - 1;
        let start = match done {
            0 => "start    nothing to resume in parts/checkpoints: from the beginning".to_owned(),
            _ => format!("resuming after epoch {done} of parts/checkpoints/epoch-{done:06}.checkpoint"),
        };
        assert!(out.contains(&start), "{out}");
        assert_eq!(out.lines().filter(|line| line.starts_with("train mean loss=")).count(), 1, "{out}");
    }
    assert_same_run(folder.path(), "parts", "whole");
    let backend = record(&folder.path().join("parts"))["backend"].as_str().expect("a string").to_owned();
    let backends: Vec<&str> = backend.split("; ").collect();
    assert_eq!(backends.len(), 3, "each backend once: {backend}");
    assert!(backends[0].starts_with("reference") && backends[1].starts_with("cpu"), "{backend}");
    assert_eq!(checkpoints(folder.path(), "parts"), after([4, 5]));
    assert!(!folder.path().join("whole/checkpoints").exists());
}

#[test]
fn a_finished_run_has_nothing_left_to_train_and_gets_the_same_files() {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("2", "whole", &[]));
    succeed(folder.path(), &recipe("2", "o", &[]));
    for name in RESULTS {
        fs::remove_file(folder.path().join("o").join(name)).expect("removed");
    }
    let backend = record(&folder.path().join("o"))["backend"].clone();
    let out = succeed(folder.path(), &recipe("2", "o", &["--resume", "--backend", "reference"]));
    assert!(out.contains("nothing is left to train") && out.contains("2 epochs, 0 of them now"), "{out}");
    assert_same_run(folder.path(), "o", "whole");
    assert_eq!(record(&folder.path().join("o"))["backend"], backend, "another backend trained nothing");
    assert_eq!(checkpoints(folder.path(), "o"), after([1, 2]));
}

#[test]
fn another_run_is_refused_and_every_difference_named_with_both_values() {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("2", "o", &[]));
    let before = fs::read(folder.path().join("o/run.json")).expect("a record");
    let newest = "o/checkpoints/epoch-000002.checkpoint";
    let cases: [(&[&str], &[&str]); 7] = [
        (&["--lr", "0.02"], &["the learning rate is 0.01 there and 0.02 here"]),
        (&["--momentum", "0.8"], &["the momentum is 0.9 there and 0.8 here"]),
        (&["--weight-decay", "0.005001"], &["the weight decay is 0.005 there and 0.005001 here"]),
        (&["--batch-size", "50"], &["the batch size is 100 there and 50 here"]),
        (
            &["--seed", "1", "--lr", "0"],
            &["the seed is 0 there and 1 here", "the learning rate is 0.01 there and 0 here"],
        ),
        (&["--no-shuffle"], &["shuffling is on there and off here"]),
        (&["--epochs", "1"], &["after epoch 2", "the 1 that are asked for", "(--epochs, --out)"]),
    ];
    for (flags, words) in cases {
        let args = recipe("3", "o", &[&["--resume"], flags].concat());
        fail(folder.path(), &args, 1, &[&[newest], words].concat());
    }
    change(&folder.path().join("data"), "t10k-images-idx3-ubyte", |bytes| bytes[500] ^= 1);
    fail(folder.path(), &recipe("3", "o", &["--resume"]), 1, &[newest, "the data set is ", " there and "]);
    assert_eq!(checkpoints(folder.path(), "o"), after([1, 2]));
    assert!(fs::read(folder.path().join("o/run.json")).expect("a record") == before);
}

#[test]
fn a_damaged_newest_checkpoint_is_named_and_the_one_before_it_taken() {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("4", "whole", &[]));
    succeed(folder.path(), &recipe("3", "o", &[]));
    let damaged = folder.path().join("o/checkpoints");
    change(&damaged, "epoch-000003.checkpoint", |bytes| bytes[400_000] ^= 0x10);
    fs::write(damaged.join("epoch-000009.checkpoint"), b"CNNC").expect("written");
    let output = run_in(folder.path(), &recipe("4", "o", &["--resume"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("resuming after epoch 2 of o/checkpoints/epoch-000002.checkpoint"));
    let warnings = stderr(&output);
    for words in
        ["epoch-000003.checkpoint: the checkpoint is damaged", "epoch-000009.checkpoint: the checkpoint is trunc"]
    {
        assert!(warnings.lines().any(|line| line.starts_with("warning:") && line.contains(words)), "{warnings}");
    }
    assert_same_run(folder.path(), "o", "whole");
    let mut left = after([3, 4]);
    left.extend(["epoch-000003.checkpoint.set-aside", "epoch-000009.checkpoint.set-aside"].map(String::from));
    left.sort();
    assert_eq!(checkpoints(folder.path(), "o"), left);

    for name in after([3, 4]) {
        change(&damaged, &name, |bytes| bytes.truncate(100_000));
    }
    let before = contents(&folder.path().join("o"));
    let words = ["epoch-000004.checkpoint: the checkpoint is truncated", "--overwrite", "--out"];
    fail(folder.path(), &recipe("4", "o", &["--resume"]), 1, &words);
    assert!(contents(&folder.path().join("o")) == before, "nothing is lost");
    succeed(folder.path(), &recipe("4", "o", &["--overwrite"]));
    assert_same_run(folder.path(), "o", "whole");
}

#[test]
fn a_checkpoint_of_another_run_is_passed_over_if_one_fits() {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("3", "other", &["--seed", "1"]));
    succeed(folder.path(), &recipe("2", "o", &[]));
    let foreign = "checkpoints/epoch-000003.checkpoint";
    fs::copy(folder.path().join("other").join(foreign), folder.path().join("o").join(foreign)).expect("copied");
    // A name that is not the checkpoint's own.
    let own = folder.path().join("o/checkpoints/epoch-000002.checkpoint");
    fs::copy(&own, own.with_file_name("epoch-000007.checkpoint")).expect("copied");
    let output = run_in(folder.path(), &recipe("3", "o", &["--resume"]));
    assert!(stdout(&output).contains("resuming after epoch 2"), "{}", stdout(&output));
    assert!(stderr(&output).contains("the seed is 1 there and 0 here"), "{}", stderr(&output));
    assert!(stderr(&output).contains("epoch-000007.checkpoint holds epoch 2"), "{}", stderr(&output));
    let mut left = after([2, 3]);
    left.extend(["epoch-000003.checkpoint.set-aside", "epoch-000007.checkpoint.set-aside"].map(String::from));
    left.sort();
    assert_eq!(checkpoints(folder.path(), "o"), left);
    let aside = fs::read(folder.path().join("o").join(format!("{foreign}.set-aside"))).expect("set aside");
    assert!(aside == fs::read(folder.path().join("other").join(foreign)).expect("a checkpoint"), "it is not lost");
}

#[test]
fn checkpoints_are_written_as_often_as_asked_and_after_the_last_epoch() {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("7", "o", &["--checkpoint-every", "3", "--keep-checkpoints"]));
    assert_eq!(checkpoints(folder.path(), "o"), after([3, 6, 7]));
    succeed(folder.path(), &recipe("9", "o", &["--checkpoint-every", "0", "--resume"]));
    assert_eq!(checkpoints(folder.path(), "o"), after([3, 6, 7]), "0 writes none and removes none");
    succeed(folder.path(), &recipe("9", "o", &["--resume", "--keep-checkpoints"]));
    assert_eq!(checkpoints(folder.path(), "o"), after([3, 6, 7, 8, 9]));
    succeed(folder.path(), &recipe("10", "o", &["--resume"]));
    assert_eq!(checkpoints(folder.path(), "o"), after([9, 10]));
}

#[test]
fn a_run_longer_than_a_checkpoint_holds_is_refused_before_training() {
    let folder = folder_with_data();
    fail(folder.path(), &recipe("600000", "o", &[]), 1, &["--epochs", "--checkpoint-every 0"]);
}

#[test]
fn what_a_killed_run_left_unfinished_is_removed() {
    let folder = folder_with_data();
    fs::create_dir_all(folder.path().join("o/checkpoints")).expect("created");
    for name in ["o/.aB3xYz.partial", "o/checkpoints/.q9Q9q9.partial", "o/notes.partial"] {
        fs::write(folder.path().join(name), "half").expect("written");
    }
    succeed(folder.path(), &recipe("1", "o", &[]));
    let left: Vec<String> =
        names(&folder.path().join("o")).into_iter().filter(|name| name.contains("partial")).collect();
    assert_eq!(left, ["notes.partial"]);
    assert_eq!(checkpoints(folder.path(), "o"), after([1]));
}

#[test]
#[cfg(unix)]
fn a_checkpoint_that_cannot_be_written_ends_the_run_and_says_what_is_saved() {
    let folder = folder_with_data();
    let started = runs::Started::new(folder.path(), "100000", &["--backend", "reference"]);
    // A folder stands where a checkpoint is soon to be.
    let newest = checkpoints(folder.path(), "o").last().expect("a checkpoint")["epoch-".len()..][..6].to_owned();
    let epoch = newest.parse::<u32>().expect("a number") + 20;
    let in_the_way = folder.path().join("o/checkpoints").join(&after([epoch])[0]);
    fs::create_dir_all(in_the_way.join("x")).expect("created");
    let output = started.end();
    let message = stderr(&output);
    assert_eq!((output.status.code(), message.lines().count()), (Some(1), 1), "{message}");
    for words in [
        "after epoch ",
        &format!("o/checkpoints/{} is not a regular file", after([epoch])[0]),
        &format!("epochs 1 to {} are saved in o/checkpoints/{}", epoch - 1, after([epoch - 1])[0]),
        "--resume",
    ] {
        assert!(message.contains(words), "'{words}' is not in: {message}");
    }
    let record = record(&folder.path().join("o"));
    let epochs = fingerprints(&record).len() as u32;
    assert!((epoch..epoch + 100).contains(&epochs), "it ended soon after: {epochs}");
    fs::remove_dir_all(in_the_way).expect("removed");
    let epochs = (epochs + 1).to_string();
    succeed(folder.path(), &recipe(&epochs, "o", &["--resume"]));
    succeed(folder.path(), &recipe(&epochs, "whole", &[]));
    assert_same_run(folder.path(), "o", "whole");
}

#[test]
fn verify_repeats_a_part_of_a_recorded_run_from_its_checkpoints() {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("5", "o", &["--keep-checkpoints", "--backend", "reference"]));
    let verify = |more: &[&str]| {
        let out =
            succeed(folder.path(), &[&["verify", "o/run.json", "--data", "data", "--backend", "cpu"], more].concat());
        let repeated: Vec<u32> = out
            .lines()
            .filter_map(|line| line.strip_prefix("epoch ")?.split_whitespace().next()?.parse().ok())
            .collect();
        (out, repeated)
    };
    let (out, repeated) = verify(&[]);
    assert!(out.contains("start    from the beginning") && repeated == [1, 2, 3, 4, 5], "{out}");
    assert_eq!(verify(&["--epochs", "2"]).1, [1, 2]);
    let (out, repeated) = verify(&["--epochs", "4..5"]);
    assert!(out.contains("start    after epoch 3 of o/checkpoints/epoch-000003.checkpoint"), "{out}");
    assert_eq!(repeated, [4, 5]);
    assert_eq!(verify(&["--epochs", "3..3"]).1, [3]);
    assert_eq!(verify(&["--epochs", "1..2"]).1, [1, 2]);

    // Without the checkpoint before it, an epoch is reached from an earlier one, or from the beginning.
    fs::remove_file(folder.path().join("o/checkpoints/epoch-000003.checkpoint")).expect("removed");
    assert_eq!(verify(&["--epochs", "4..4"]).1, [3, 4]);
    fs::rename(folder.path().join("o/checkpoints"), folder.path().join("elsewhere")).expect("renamed");
    assert_eq!(verify(&["--epochs", "2..2"]).1, [1, 2]);
    assert_eq!(verify(&["--epochs", "3..4", "--checkpoints", "elsewhere"]).1, [3, 4]);

    let args = |epochs| ["verify", "o/run.json", "--data", "data", "--epochs", epochs];
    fail(folder.path(), &args("4..6"), 1, &["o/run.json", "epoch 6", "epoch 5"]);
    fail(folder.path(), &args("6"), 1, &["o/run.json", "epoch 6"]);
    fail(folder.path(), &args("3..2"), 2, &["--epochs", "3 comes after 2"]);
    fail(folder.path(), &[&args("2")[..], &["--checkpoints", "absent"]].concat(), 1, &["absent", "--checkpoints"]);
    fail(folder.path(), &["verify", "--data", "data", "--epochs", "1..2"], 2, &["A..B", "record"]);
    fail(folder.path(), &["verify", "--checkpoints", "elsewhere"], 2, &["--checkpoints"]);
}

#[test]
fn verify_starts_from_no_checkpoint_that_its_record_does_not_vouch_for() {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("4", "o", &["--keep-checkpoints"]));
    let path = folder.path().join("o/run.json");
    let mut changed = record(&folder.path().join("o"));
    changed["epochs"][1]["fingerprint"] = changed["epochs"][0]["fingerprint"].clone();
    fs::write(&path, changed.to_string()).expect("written");
    // The third and the second checkpoint contain the epoch that the record does not.
    let args = ["verify", "o/run.json", "--data", "data", "--epochs", "4..4"];
    fail_with_warnings(folder.path(), &args, &["epoch 2 is another one in the record", "epoch 2: the record has"]);

    succeed(folder.path(), &recipe("4", "o", &["--seed", "1", "--overwrite"]));
    fs::rename(folder.path().join("o/checkpoints"), folder.path().join("other")).expect("renamed");
    succeed(folder.path(), &recipe("4", "o", &["--overwrite"]));
    let output = run_in(folder.path(), &[&args[..], &["--checkpoints", "other"]].concat());
    assert!(output.status.success() && stdout(&output).contains("start    from the beginning"), "{}", stderr(&output));
    assert!(stderr(&output).contains("the seed is 1 there and 0 in the record"), "{}", stderr(&output));
}

#[track_caller]
fn fail_with_warnings(folder: &Path, args: &[&str], words: &[&str]) {
    let output = run_in(folder, args);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    for word in words {
        assert!(stderr(&output).contains(word), "'{word}' is not in: {}", stderr(&output));
    }
}
