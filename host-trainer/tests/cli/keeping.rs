//! What a run leaves is not lost: not by a second run, not by a file that is its own input, not by a killed program.

use std::os::unix::fs::symlink;

use host_trainer::model_file::LoadedModel;

use super::runs::{Started, after, assert_same_run, assert_whole, checkpoints, names, recipe};
use super::*;

#[test]
fn a_folder_that_holds_a_run_is_refused_before_anything_is_changed() {
    let folder = folder_with_data();
    let path = |name: &str| folder.path().join(name);
    let refused = |out: &str, file: &str| {
        let before = contents(&path(out));
        let words = [file, "holds a run", "--resume", "--overwrite", "--out"];
        fail(folder.path(), &recipe("1", out, &[]), 1, &words);
        // The data are not looked for before.
        fail(folder.path(), &["--data", "absent", "--out", out], 1, &words);
        assert!(contents(&path(out)) == before, "{out} is as it was");
    };
    // One that has ended, and what each of its files alone says.
    succeed(folder.path(), &recipe("1", "o", &[]));
    refused("o", "o/run.json");
    for name in ["weights.postcard", "loss_image.png", "accuracy_image.png", "metrics.csv", "run.json"] {
        fs::create_dir(path("alone")).expect("created");
        fs::copy(path("o").join(name), path("alone").join(name)).expect("copied");
        refused("alone", &format!("alone/{name}"));
        fs::remove_dir_all(path("alone")).expect("removed");
    }
    // A link to nothing holds a place too.
    fs::create_dir(path("links")).expect("created");
    symlink("/nowhere/model", path("links/weights.postcard")).expect("linked");
    refused("links", "links/weights.postcard");
    // One that was killed.
    let killed = recipe("100000", "k", &["--backend", "reference"]);
    let mut program = Command::new(env!("CARGO_BIN_EXE_host-trainer"));
    Started::spawn(program.args(killed).current_dir(folder.path())).end_with("-KILL");
    refused("k", "k/");
    // A folder with other things is no run.
    fs::create_dir(path("other")).expect("created");
    fs::write(path("other/notes.txt"), "mine").expect("written");
    succeed(folder.path(), &recipe("1", "other", &[]));
    assert_eq!(fs::read(path("other/notes.txt")).expect("still there"), b"mine");
    fail(folder.path(), &recipe("1", "o", &["--resume", "--overwrite"]), 2, &["--resume", "--overwrite"]);
}

#[test]
fn overwrite_replaces_a_run_and_leaves_nothing_of_it() {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("4", "o", &["--keep-checkpoints"]));
    assert_eq!(checkpoints(folder.path(), "o"), after(1..=4));
    let out = succeed(folder.path(), &recipe("1", "o", &["--seed", "1", "--overwrite"]));
    assert!(out.contains("start    from the beginning; the run in o is replaced"), "{out}");
    assert_eq!(checkpoints(folder.path(), "o"), after([1]));
    succeed(folder.path(), &recipe("1", "whole", &["--seed", "1", "--overwrite"]));
    assert_same_run(folder.path(), "o", "whole");
    // A killed run that replaces another can be resumed: nothing of the other is in its way.
    Started::new(folder.path(), "100000", &["--backend", "reference", "--seed", "2", "--overwrite"]).end_with("-KILL");
    let newest = checkpoints(folder.path(), "o").last().expect("a checkpoint")["epoch-".len()..][..6].to_owned();
    let epochs = (newest.parse::<u32>().expect("a number") + 1).to_string();
    succeed(folder.path(), &recipe(&epochs, "o", &["--seed", "2", "--resume"]));
}

#[test]
fn overwrite_without_checkpoints_leaves_nothing_of_the_run_before_either() {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("1", "first", &[]));
    succeed(folder.path(), &recipe("2", "o", &["--init", "first"]));
    let path = |name: &str| folder.path().join(name);
    fs::write(path("o/checkpoints/epoch-000007.checkpoint"), "of a newer program").expect("written");
    let plain = ["--checkpoint-every", "0"];
    succeed(folder.path(), &recipe("1", "plain", &plain));
    succeed(folder.path(), &recipe("1", "o", &[&plain[..], &["--overwrite"]].concat()));
    assert_same_run(folder.path(), "o", "plain");
    assert!(!path("o/initial.postcard").exists());
    assert_eq!(names(&path("o/checkpoints")), ["epoch-000007.checkpoint.set-aside"]);
}

#[test]
fn what_resume_cannot_read_is_refused_and_left_as_it_is() {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("3", "whole", &["--keep-checkpoints"]));
    type Damage = fn(&Path);
    let newer: Damage =
        |path| change(path.parent().unwrap(), path.file_name().unwrap().to_str().unwrap(), |it| it[4] = 3);
    let to_nothing: Damage = |path| {
        fs::rename(path, path.with_extension("moved")).expect("moved");
        symlink("nowhere", path).expect("linked");
    };
    let a_folder: Damage = |path| {
        fs::rename(path, path.with_extension("moved")).expect("moved");
        fs::create_dir(path).expect("created");
    };
    let a_pipe: Damage = |path| {
        fs::rename(path, path.with_extension("moved")).expect("moved");
        assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
    };
    for (damage, words) in [
        (newer, "format version 3"),
        (to_nothing, "No such file"),
        (a_folder, "not a regular file"),
        (a_pipe, "not a regular file"),
    ] {
        for epochs in [&[3][..], &[2, 3], &[1, 2, 3]] {
            let out = folder.path().join("o");
            if out.exists() {
                fs::remove_dir_all(&out).expect("removed");
            }
            succeed(folder.path(), &recipe("3", "o", &["--keep-checkpoints"]));
            for epoch in epochs {
                damage(&out.join("checkpoints").join(&after([*epoch])[0]));
            }
            let before = contents(&out);
            let words = ["o/checkpoints/epoch-00000", words, "left as it is", "move it away"];
            fail(folder.path(), &recipe("5", "o", &["--resume"]), 1, &words);
            assert!(contents(&out) == before, "{words:?} {epochs:?}");
        }
    }
    // Only older than the one that is taken: it is not needed, and it stays.
    let out = folder.path().join("o");
    fs::remove_dir_all(&out).expect("removed");
    succeed(folder.path(), &recipe("3", "o", &["--keep-checkpoints"]));
    newer(&out.join("checkpoints/epoch-000001.checkpoint"));
    let old = fs::read(out.join("checkpoints/epoch-000001.checkpoint")).expect("a checkpoint");
    succeed(folder.path(), &recipe("5", "o", &["--resume"]));
    let aside = out.join("checkpoints/epoch-000001.checkpoint.set-aside");
    assert!(fs::read(aside).expect("set aside") == old);
    // The folder itself is on a disk that is not mounted.
    fs::rename(out.join("checkpoints"), folder.path().join("disk")).expect("moved");
    symlink("../absent", out.join("checkpoints")).expect("linked");
    let before = contents(&out);
    fail(folder.path(), &recipe("6", "o", &["--resume"]), 1, &["o/checkpoints", "No such file"]);
    assert!(contents(&out) == before);
}

#[test]
fn results_that_are_not_of_the_resumed_run_are_refused_and_left_as_they_are() {
    let folder = folder_with_data();
    let path = |name: &str| folder.path().join(name);
    let refused = |flags: &[&str], words: &[&str]| {
        let before = contents(&path("o"));
        fail(folder.path(), &recipe("3", "o", &[flags, &["--resume"]].concat()), 1, words);
        assert!(contents(&path("o")) == before, "{words:?}");
    };
    succeed(folder.path(), &recipe("2", "o", &[]));
    succeed(folder.path(), &recipe("2", "other", &["--seed", "1"]));
    for (name, text, words) in [
        ("run.json", fs::read(path("other/run.json")).expect("a record"), "the seed is 1 there and 0 here"),
        ("run.json", b"{\"versions\": {\"record\": 3}}".to_vec(), "version 3"),
        ("run.json", b"{}".to_vec(), "not a run record"),
    ] {
        let own = fs::read(path("o").join(name)).expect("its own");
        fs::write(path("o").join(name), text).expect("written");
        refused(&[], &[&format!("o/{name}"), words, "--resume would replace it", "--out"]);
        fs::write(path("o").join(name), own).expect("written");
    }
    let record = fs::read(path("o/run.json")).expect("a record");
    fs::remove_file(path("o/run.json")).expect("removed");
    let model = fs::read(path("o/weights.postcard")).expect("a model");
    fs::copy(path("other/weights.postcard"), path("o/weights.postcard")).expect("copied");
    refused(&[], &["o/weights.postcard is of another run", "--resume would replace it"]);
    fs::write(path("o/weights.postcard"), model).expect("written");
    // Results without a checkpoint: those of another run, or of nobody knows which, are not begun anew.
    fs::write(path("o/run.json"), record).expect("written");
    fs::rename(path("o/checkpoints"), path("gone")).expect("moved");
    refused(&["--seed", "1"], &["o/run.json is of another run: the seed is 0 there and 1 here"]);
    fs::create_dir(path("plots")).expect("created");
    fs::copy(path("o/loss_image.png"), path("plots/loss_image.png")).expect("copied");
    let words = ["nothing to resume in plots/checkpoints", "plots/loss_image.png", "--overwrite"];
    fail(folder.path(), &recipe("3", "plots", &["--resume"]), 1, &words);
    // Those of this very run are no obstacle: nothing of them is replaced before it has come further.
    let words = ["o has the results of 2 epochs, beyond --epochs 1"];
    fail(folder.path(), &recipe("1", "o", &["--resume"]), 1, &words);
    let out = succeed(folder.path(), &recipe("3", "o", &["--resume", "--checkpoint-every", "0"]));
    assert!(out.contains("nothing to resume in o/checkpoints: from the beginning"), "{out}");
    succeed(folder.path(), &recipe("3", "three", &[]));
    assert_same_run(folder.path(), "o", "three");
    // Results of more epochs than are asked for.
    fs::rename(path("gone"), path("o/checkpoints")).expect("moved");
    succeed(folder.path(), &recipe("5", "o", &["--resume", "--checkpoint-every", "0"]));
    refused(&[], &["o has the results of 5 epochs, beyond --epochs 3"]);
    succeed(folder.path(), &recipe("6", "o", &["--resume"]));
    succeed(folder.path(), &recipe("6", "whole", &[]));
    assert_same_run(folder.path(), "o", "whole");
}

#[test]
fn a_killed_run_has_left_model_plots_table_and_a_record_that_can_be_verified() {
    let folder = folder_with_data();
    for flags in [&[][..], &["--checkpoint-every", "0"], &["--checkpoint-every", "1000"]] {
        let mut started =
            Started::new(folder.path(), "100000", &[&["--backend", "reference", "--overwrite"], flags].concat());
        let record = folder.path().join("o/run.json");
        let unfinished = || fs::read_to_string(&record).is_ok_and(|text| text.contains("\"status\": \"unfinished\""));
        let seen = started.lines().any(|_| unfinished());
        assert!(seen, "{flags:?}: the files follow the run");
        started.end_with("-KILL");
        // It may have been killed while it wrote them.
        if record.exists() {
            let trained = fingerprints(&super::record(&folder.path().join("o"))).len();
            let epochs = trained.to_string();
            let newest = checkpoints(folder.path(), "o").pop().unwrap_or_else(|| after([0]).remove(0));
            let newest = newest["epoch-".len()..][..6].parse().expect("a number");
            let all = trained.max(newest).to_string();
            succeed(folder.path(), &recipe(&all, "whole", &["--overwrite"]));
            assert_whole(&folder.path().join("o"), &folder.path().join("whole"));
            for name in ["weights.postcard", "metrics.csv", "loss_image.png", "accuracy_image.png"] {
                assert!(names(&folder.path().join("o")).contains(&name.to_owned()), "{name}");
            }
            let verify = ["verify", "o/run.json", "--data", "data", "--backend", "cpu", "--epochs", &epochs];
            succeed(folder.path(), &verify);
        }
    }
}

#[test]
fn a_closed_terminal_saves_as_sigterm_does_however_often_it_is_told() {
    let folder = folder_with_data();
    let mut started = Started::new(folder.path(), "100000", &["--checkpoint-every", "1000", "--backend", "reference"]);
    // The system, the shell and the session's manager each send one.
    for signal in ["-HUP", "-HUP", "-TERM"] {
        started.program.send(signal);
    }
    let output = started.end();
    let code = output.status.code();
    assert!(code == Some(129) || code == Some(143), "{code:?}: {}", stderr(&output));
    let record = record(&folder.path().join("o"));
    assert_eq!(record["status"], "interrupted");
    let epochs = fingerprints(&record).len().to_string();
    succeed(folder.path(), &recipe(&epochs, "whole", &[]));
    assert_eq!(assert_whole(&folder.path().join("o"), &folder.path().join("whole")).0.to_string(), epochs);
    let mut started = Started::new(folder.path(), "100000", &["--overwrite", "--backend", "reference"]);
    started.program.send("-HUP");
    assert_eq!(started.end().status.code(), Some(129));
}

#[test]
fn every_command_that_takes_a_model_takes_a_checkpoint() {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("2", "o", &[]));
    let [model, checkpoint] = ["o/weights.postcard", "o/checkpoints/epoch-000002.checkpoint"];
    let printed = |args: &[&str]| {
        let [model, checkpoint] = [model, checkpoint].map(|file| {
            let args: Vec<&str> = args.iter().map(|&arg| if arg == "MODEL" { file } else { arg }).collect();
            succeed(folder.path(), &args).replace(file, "MODEL")
        });
        assert_eq!(model, checkpoint, "{args:?}");
    };
    printed(&["evaluate", "MODEL", "--data", "data"]);
    printed(&["predict", "MODEL", "--data", "data", "--index", "7"]);
    printed(&["summary", "MODEL"]);
    printed(&["export", "MODEL", "net.safetensors"]);
    let exported = |name| LoadedModel::read(&folder.path().join(name)).expect("a model").fingerprint;
    assert_eq!(exported(model), exported(checkpoint));
    change(&folder.path().join("o/checkpoints"), "epoch-000002.checkpoint", |bytes| bytes[500_000] ^= 1);
    fail(folder.path(), &["summary", checkpoint], 1, &[checkpoint, "the checkpoint is damaged"]);
    fs::write(folder.path().join("long"), vec![0; 900_000]).expect("written");
    fail(folder.path(), &["summary", "long"], 1, &["long is larger than"]);
}

#[test]
fn no_command_writes_over_what_it_reads_by_whatever_name() {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("1", "o", &[]));
    let path = |name: &str| folder.path().join(name);
    fs::copy(path("o/weights.postcard"), path("m")).expect("copied");
    succeed(folder.path(), &["export", "m", "f"]);
    for (command, input) in [("export", "m"), ("import", "f")] {
        let before = fs::read(path(input)).expect("a file");
        for link in ["hard", "soft", "chain"] {
            let _ = fs::remove_file(path(link));
        }
        fs::hard_link(path(input), path("hard")).expect("linked");
        symlink(input, path("soft")).expect("linked");
        symlink("soft", path("chain")).expect("linked");
        let absolute = path(input).to_str().expect("UTF-8").to_owned();
        let dotted = format!("./o/../{input}");
        for output in [input, "hard", "soft", "chain", &absolute, &dotted] {
            fail(folder.path(), &[command, input, output], 1, &[output, "the very file that is read"]);
            fail(folder.path(), &[command, output, input], 1, &[input, "the very file that is read"]);
            assert!(fs::read(path(input)).expect("a file") == before, "{command} {output}");
        }
    }
}

#[test]
fn a_dash_is_standard_input_or_output() {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("1", "o", &[]));
    let shell = |script: &str| {
        let script = script.replace("PROGRAM", env!("CARGO_BIN_EXE_host-trainer"));
        let output = Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().expect("sh runs");
        assert!(output.status.success() && output.stderr.is_empty(), "{script}: {}", stderr(&output));
        output.stdout
    };
    let read = |name: &str| fs::read(folder.path().join(name)).expect("a file");
    succeed(folder.path(), &["export", "o/weights.postcard", "f"]);
    assert!(shell("PROGRAM export o/weights.postcard -") == read("f"));
    assert!(shell("PROGRAM export - - < o/weights.postcard") == read("f"));
    succeed(folder.path(), &["import", "f", "m"]);
    assert!(shell("PROGRAM import - - < f") == read("m"));
    shell("PROGRAM export o/checkpoints/epoch-000001.checkpoint - | PROGRAM import - piped");
    assert!(read("piped") == read("m"));
    assert!(!folder.path().join("-").exists());
    let output = Command::new("sh")
        .args(["-c", "exec \"$0\" export m - >> m", env!("CARGO_BIN_EXE_host-trainer")])
        .current_dir(folder.path())
        .output()
        .expect("sh runs");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(read("piped") == read("m"), "it did not write after what it read");
}

#[test]
fn a_file_that_cannot_be_written_keeps_no_other_from_it_and_the_advice_works() {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("2", "whole", &[]));
    let path = |name: &str| folder.path().join("o").join(name);
    for name in ["loss_image.png", "accuracy_image.png", "metrics.csv", "weights.postcard"] {
        fs::create_dir_all(path(name)).expect("created");
        let words = [&format!("o/{name} is not a regular file"), "the 2 complete epochs are saved in a checkpoint"];
        fail(folder.path(), &recipe("2", "o", &["--overwrite"]), 1, &words);
        if name != "weights.postcard" {
            for other in ["weights.postcard", "loss_image.png", "accuracy_image.png", "metrics.csv"] {
                assert_eq!(path(other).is_file(), other != name, "{name} alone is missing, but {other}");
            }
            assert_eq!(path("run.json").exists(), name != "metrics.csv");
        }
        fs::remove_dir(path(name)).expect("removed");
        succeed(folder.path(), &recipe("2", "o", &["--resume"]));
        assert_same_run(folder.path(), "o", "whole");
        fs::remove_dir_all(folder.path().join("o")).expect("removed");
    }
}

#[test]
fn a_folder_made_again_in_mid_run_is_locked() {
    let folder = folder_with_data();
    // It may go in the middle of a write, which cannot but fail.
    let locked = (0..10).any(|_| {
        let out = folder.path().join("o");
        if out.exists() {
            fs::remove_dir_all(&out).expect("removed");
        }
        let mut started = Started::new(folder.path(), "100000", &["--backend", "reference"]);
        let gone = folder.path().join("gone");
        fs::rename(&out, &gone).expect("moved away");
        fs::remove_dir_all(&gone).expect("removed");
        let again = started.lines().any(|_| !checkpoints(folder.path(), "o").is_empty());
        if !again {
            return false;
        }
        let process = format!("(process {})", started.program.child().id());
        fail(folder.path(), &recipe("3", "o", &["--resume"]), 1, &["o: another run", &process]);
        started.end_with("-KILL");
        true
    });
    assert!(locked);
}
