//! A system that refuses: threads, locks, and the reading of files.

use std::process::Stdio;

use super::runs::{Started, assert_same_run, checkpoints, names, recipe};
use super::*;

/// Errors of Linux: no locks available, not implemented, not supported.
const NO_LOCKS: [&str; 3] = ["37", "38", "95"];

/// The library that makes calls fail, and a folder with data.
struct Faults {
    folder: TempDir,
}

impl Faults {
    fn new() -> Self {
        let folder = folder_with_data();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/faults.c");
        // Whoever builds this test has a C compiler: Rust links with it.
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(folder.path().join("faults.so"))
            .arg(source)
            .arg("-ldl")
            .output()
            .expect("cc runs");
        assert!(compiled.status.success(), "{}", stderr(&compiled));
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, fault: (&str, &str), args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_host-trainer"));
        command.args(args).current_dir(self.path()).env_remove("MNIST_DIR");
        command.env("LD_PRELOAD", self.path().join("faults.so")).env(fault.0, fault.1);
        command
    }

    fn run(&self, fault: (&str, &str), args: &[&str]) -> Output {
        self.command(fault, args).stdin(Stdio::null()).output().expect("it runs")
    }
}

#[track_caller]
fn assert_failed(output: &Output, words: &[&str]) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with("error:") && message.lines().count() == 1, "{message}");
    words.iter().for_each(|word| assert!(message.contains(word), "'{word}' is not in: {message}"));
}

#[test]
fn one_thread_does_wherever_no_other_is_to_be_had() {
    let faults = Faults::new();
    succeed(faults.path(), &recipe("3", "whole", &[]));
    for limit in [("FAULT_THREADS", "0"), ("FAULT_THREADS_EVER", "1"), ("FAULT_THREADS_EVER", "9")] {
        for flags in [&["--threads", "1", "--backend", "cpu"][..], &["--backend", "reference"], &["--backend", "cpu"]] {
            println!("{limit:?} {flags:?}");
            let output = faults.run(limit, &recipe("3", "o", &[flags, &["--overwrite"]].concat()));
            assert!(output.status.success(), "{}", stderr(&output));
            assert_same_run(faults.path(), "o", "whole");
            let warnings = stderr(&output);
            assert!(warnings.lines().count() <= usize::from(!flags.contains(&"1")), "{warnings}");
            assert!(
                warnings.is_empty() || warnings.starts_with("warning: the system starts no more than"),
                "{warnings}"
            );
        }
    }
}

#[test]
fn threads_that_were_asked_for_and_cannot_be_had_are_an_error_line() {
    let faults = Faults::new();
    for threads in ["2", "64"] {
        let output = faults.run(("FAULT_THREADS", "1"), &recipe("1", "o", &["--backend", "cpu", "--threads", threads]));
        assert_failed(&output, &[&format!("does not start {threads} threads"), "ask for fewer"]);
    }
    assert!(checkpoints(faults.path(), "o").is_empty());
}

#[test]
fn every_command_runs_on_one_thread() {
    let faults = Faults::new();
    succeed(faults.path(), &recipe("1", "o", &[]));
    for args in [
        &["evaluate", "o/weights.postcard", "--data", "data"][..],
        &["verify", "o/run.json", "--data", "data"],
        &["verify", "--data", "data", "--epochs", "1"],
        &["predict", "o/weights.postcard", "--data", "data", "--index", "1"],
        &["predict", "o/weights.postcard", "--dataset", "synthetic", "--index", "1"],
        &["summary", "o/checkpoints/epoch-000001.checkpoint"],
        &["export", "o/weights.postcard", "net.safetensors"],
        &["import", "net.safetensors", "model"],
        &["doctor", "--data", "data"],
    ] {
        let output = faults.run(("FAULT_THREADS", "0"), args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{args:?}: {}", stderr(&output));
    }
    // A name is resolved on a thread.
    let download = ["--mirror", "http://localhost:1/", "--dataset", "mnist", "--out", "d"];
    let output = faults.run(("FAULT_THREADS", "0"), &download);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        !stderr(&output).contains("panicked") && stderr(&output).contains("starts no thread"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn without_locks_a_run_goes_on_and_says_so_and_a_second_one_is_refused() {
    let faults = Faults::new();
    for reason in NO_LOCKS {
        let fault = ("FAULT_FLOCK", reason);
        let args = recipe("100000", "o", &["--backend", "reference", "--overwrite"]);
        let mut started = Started::spawn(&mut faults.command(fault, &args));
        let process = format!("(process {})", started.program.child().id());
        let second = faults.run(fault, &recipe("3", "o", &["--resume"]));
        assert_failed(&second, &["o: another run", &process, "--out"]);
        assert_failed(&faults.run(fault, &recipe("3", "o", &[])), &["o: another run", &process]);
        // Nor one that can lock files, as from another machine.
        fail(faults.path(), &recipe("3", "o", &["--resume"]), 1, &["o: another run", &process]);
        let first = started.end_with("-TERM");
        assert_eq!(first.status.code(), Some(143), "{}", stderr(&first));
        let warning = stderr(&first);
        assert!(warning.starts_with("warning: o cannot be locked (") && warning.contains(".lock-owner"), "{warning}");
        assert!(!names(&faults.path().join("o")).contains(&".lock-owner".to_owned()), "it is gone with its run");
    }
    let fault = ("FAULT_FLOCK", NO_LOCKS[0]);
    let args = recipe("100000", "o", &["--backend", "reference", "--overwrite"]);
    Started::spawn(&mut faults.command(fault, &args)).end_with("-KILL");
    let newest = checkpoints(faults.path(), "o").last().expect("a checkpoint")["epoch-".len()..][..6].to_owned();
    let epochs = (newest.parse::<u32>().expect("a number") + 1).to_string();
    // What a killed run left keeps nobody out.
    let output = faults.run(fault, &recipe(&epochs, "o", &["--resume"]));
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn checkpoints_on_a_broken_disk_are_neither_removed_nor_replaced() {
    let faults = Faults::new();
    succeed(faults.path(), &recipe("2", "o", &[]));
    let before = contents(&faults.path().join("o"));
    for place in [".checkpoint", "epoch-000002", "o/run.json"] {
        let output = faults.run(("FAULT_EIO", place), &recipe("4", "o", &["--resume"]));
        assert_failed(&output, &[place, "Input/output error", "away"]);
        assert!(contents(&faults.path().join("o")) == before, "{place}");
    }
    // Replacing the run is what is asked for: those that cannot be read stay all the same.
    let output = faults.run(("FAULT_EIO", ".checkpoint"), &recipe("1", "o", &["--overwrite", "--seed", "1"]));
    assert!(output.status.success(), "{}", stderr(&output));
    for name in ["epoch-000001.checkpoint", "epoch-000002.checkpoint"] {
        let old = before.iter().find(|(path, _)| path.ends_with(name)).expect("it was there");
        let aside = faults.path().join(format!("o/checkpoints/{name}.set-aside"));
        assert!(fs::read(aside).expect("set aside") == old.1, "{name}");
    }
    succeed(faults.path(), &recipe("2", "o", &["--resume", "--seed", "1"]));
}

/// Whoever ignores SIGHUP outlives the terminal, and every write to it fails from then on.
#[test]
fn a_run_whose_terminal_is_closed_goes_on_to_its_end() {
    let faults = Faults::new();
    succeed(faults.path(), &recipe("3", "whole", &[]));
    for writes in 0..12 {
        let output = faults.run(("FAULT_TERMINAL", &writes.to_string()), &recipe("3", "o", &["--overwrite"]));
        assert_eq!(output.status.code(), Some(0), "{writes}: {}", stderr(&output));
        assert_same_run(faults.path(), "o", "whole");
        let printed = stdout(&output).lines().count() + stderr(&output).lines().count();
        assert!(printed > 0 || writes == 0, "{writes} writes were printed");
    }
    // A command that is there for what it prints has failed.
    for args in [&["summary"][..], &["evaluate", "o/weights.postcard", "--data", "data"], &["doctor", "--json"]] {
        let output = faults.run(("FAULT_TERMINAL", "0"), args);
        assert_eq!((output.status.code(), &*stderr(&output)), (Some(1), ""), "{args:?}");
    }
}

/// Flushing subnormals and rounding towards zero: the second alone would change every fingerprint.
#[test]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn a_library_that_computes_floats_in_another_way_changes_no_result() {
    const OTHER_WAYS: [&str; 2] =
        if cfg!(target_arch = "x86_64") { ["0x8040", "0xe040"] } else { ["0x1000000", "0x1c00000"] };
    let faults = Faults::new();
    for backend in ["reference", "cpu"] {
        succeed(faults.path(), &recipe("2", "whole", &["--backend", backend, "--overwrite"]));
        for bits in OTHER_WAYS {
            let fault = ("FAULT_FLOAT", bits);
            let output = faults.run(fault, &recipe("2", "o", &["--backend", backend, "--overwrite"]));
            assert!(output.status.success(), "{}", stderr(&output));
            assert_same_run(faults.path(), "o", "whole");
            let commands = [
                &["evaluate", "o/weights.postcard", "--data", "data", "--backend", backend][..],
                &["verify", "whole/run.json", "--data", "data", "--backend", backend],
            ];
            for args in commands {
                let output = faults.run(fault, args);
                assert!(output.status.success(), "{args:?}: {}", stderr(&output));
                assert_eq!(stdout(&output), succeed(faults.path(), args), "{args:?}");
            }
        }
    }
}
