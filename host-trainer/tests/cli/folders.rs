//! Output folders that are not what a run needs, or stop being it.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use super::runs::{RESULTS, Started, after, assert_same_run, assert_whole, checkpoints, recipe};
use super::*;

/// The user and the group that own nothing, on any Linux.
const NOBODY: u32 = 65_534;

/// Enough epochs for a test to do what it does before the run ends.
const EPOCHS: &str = "60";
const LONG: [&str; 4] = ["--backend", "cpu", "--threads", "1"];

/// A folder with data whose owner permissions bind, and who runs the program there.
struct Bound {
    folder: TempDir,
    privileged: bool,
}

impl Bound {
    /// None, which is said, if that cannot be had here.
    fn new() -> Option<Self> {
        let folder = folder_with_data();
        let privileged = fs::metadata(folder.path()).expect("it is there").uid() == 0;
        let bound = Self { folder, privileged };
        if privileged {
            fs::copy(env!("CARGO_BIN_EXE_host-trainer"), bound.path().join("program")).expect("copied");
            chown(bound.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
            let works = bound.command(&["--version"]).output().is_ok_and(|output| output.status.success());
            if !works {
                skipped::skip("root cannot become nobody here");
                return None;
            }
        }
        Some(bound)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = if self.privileged {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(self.path().join("program"));
            command
        } else {
            Command::new(env!("CARGO_BIN_EXE_host-trainer"))
        };
        command.args(args).current_dir(self.path()).env_remove("MNIST_DIR");
        command
    }

    /// The program ends with 1 and one line that has these words.
    #[track_caller]
    fn fail(&self, args: &[&str], words: &[&str]) {
        failed(&self.command(args).output().expect("it runs"), words);
    }

    #[track_caller]
    fn succeed(&self, args: &[&str]) {
        let output = self.command(args).output().expect("it runs");
        assert!(output.status.success(), "{}", stderr(&output));
    }

    fn allow(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path().join(name), fs::Permissions::from_mode(mode)).expect("root or the owner may");
    }
}

#[track_caller]
fn failed(output: &Output, words: &[&str]) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with("error:") && message.lines().count() == 1, "{message}");
    words.iter().for_each(|word| assert!(message.contains(word), "'{word}' is not in: {message}"));
}

#[test]
fn a_folder_that_may_not_be_written_is_refused_before_training() {
    let Some(bound) = Bound::new() else { return };
    bound.succeed(&recipe("1", "o", &[]));
    let before = fs::read(bound.path().join("o/run.json")).expect("a record");
    for (name, words) in [("o", "o: the output folder"), ("o/checkpoints", "o/checkpoints: the checkpoints")] {
        bound.allow(name, 0o555);
        bound.fail(&recipe("2", "o", &["--resume"]), &[words, "--out", "cannot be written", "Permission denied"]);
        bound.allow(name, 0o755);
    }
    assert!(fs::read(bound.path().join("o/run.json")).expect("a record") == before);
    assert_eq!(checkpoints(bound.path(), "o"), after([1]));
}

#[test]
fn checkpoints_that_may_no_longer_be_written_end_the_run_and_say_what_is_saved() {
    let Some(bound) = Bound::new() else { return };
    let started = Started::spawn(&mut bound.command(&recipe("100000", "o", &["--backend", "reference"])));
    bound.allow("o/checkpoints", 0o555);
    failed(&started.end(), &["cannot write o/checkpoints/epoch-", "Permission denied", "are saved in", "--resume"]);
    bound.allow("o/checkpoints", 0o755);
    let epochs = fingerprints(&record(&bound.path().join("o"))).len();
    assert!(epochs < 1000, "it ended soon after: {epochs}");
    let epochs = (epochs + 1).to_string();
    bound.succeed(&recipe(&epochs, "o", &["--resume"]));
    bound.succeed(&recipe(&epochs, "whole", &[]));
    assert_same_run(bound.path(), "o", "whole");
}

#[test]
fn results_that_may_no_longer_be_written_are_saved_as_a_checkpoint() {
    let Some(bound) = Bound::new() else { return };
    bound.succeed(&recipe("1", "o", &[]));
    bound.succeed(&recipe(EPOCHS, "whole", &[]));
    let started = Started::spawn(&mut bound.command(&recipe(EPOCHS, "o", &[&LONG[..], &["--resume"]].concat())));
    bound.allow("o", 0o555);
    let words = ["cannot write o/weights.postcard", "Permission denied", "the 60 complete epochs", "--resume"];
    failed(&started.end(), &words);
    assert_whole(&bound.path().join("o"), &bound.path().join("whole"));
    RESULTS.iter().for_each(|name| assert!(bound.path().join("o").join(name).exists(), "{name} is still there"));
    bound.allow("o", 0o755);
    bound.succeed(&recipe(EPOCHS, "o", &["--resume"]));
    assert_same_run(bound.path(), "o", "whole");
}

#[test]
fn a_checkpoint_that_may_not_be_read_is_refused_and_left_as_it_is() {
    let Some(bound) = Bound::new() else { return };
    bound.succeed(&recipe("2", "o", &[]));
    bound.allow("o/checkpoints/epoch-000002.checkpoint", 0);
    for name in after([2, 1]) {
        let words = ["epoch-000002.checkpoint: Permission denied", "left as it is", "make it readable"];
        bound.fail(&recipe("3", "o", &["--resume"]), &words);
        bound.allow(&format!("o/checkpoints/{name}"), 0);
    }
    assert_eq!(checkpoints(bound.path(), "o"), after([1, 2]));
    after([1, 2]).iter().for_each(|name| bound.allow(&format!("o/checkpoints/{name}"), 0o644));
    bound.succeed(&recipe("3", "o", &["--resume"]));
    bound.succeed(&recipe("3", "whole", &[]));
    assert_same_run(bound.path(), "o", "whole");
}

#[test]
fn a_folder_that_is_gone_in_mid_run_is_made_again() {
    for flags in [&[][..], &["--checkpoint-every", "0"]] {
        // It may go in the middle of a write, which cannot but fail.
        let went_on = (0..10).any(|_| {
            let folder = folder_with_data();
            let started = Started::new(folder.path(), EPOCHS, &[&LONG, flags].concat());
            fs::rename(folder.path().join("o"), folder.path().join("gone")).expect("moved away");
            let output = started.end();
            if !output.status.success() {
                failed(&output, &["cannot ", " o/", "No such file"]);
                return false;
            }
            succeed(folder.path(), &recipe(EPOCHS, "whole", &[]));
            assert_same_run(folder.path(), "o", "whole");
            true
        });
        assert!(went_on, "{flags:?}");
    }
}

#[test]
fn a_record_never_lies_beside_files_of_another_run() {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("1", "o", &[]));
    succeed(folder.path(), &recipe("2", "whole", &[]));
    let path = |name: &str| folder.path().join("o").join(name);
    fs::remove_file(path("metrics.csv")).expect("removed");
    fs::create_dir(path("metrics.csv")).expect("created");
    let words = ["o/metrics.csv is not a regular file", "the 2 complete epochs are saved in a checkpoint", "--resume"];
    fail(folder.path(), &recipe("2", "o", &["--resume"]), 1, &words);
    let model = fs::read(folder.path().join("whole/weights.postcard")).expect("a model");
    assert!(fs::read(path("weights.postcard")).expect("a model") == model, "the model is the new one");
    assert!(!path("run.json").exists(), "the record of the old one is gone");
    fs::remove_dir(path("metrics.csv")).expect("removed");
    succeed(folder.path(), &recipe("2", "o", &["--resume"]));
    assert_same_run(folder.path(), "o", "whole");
}

#[test]
fn checkpoints_that_are_no_folder_are_refused_before_training() {
    let folder = folder_with_data();
    fs::create_dir(folder.path().join("o")).expect("created");
    fs::write(folder.path().join("o/checkpoints"), "in the way").expect("written");
    for flags in [&[][..], &["--resume"]] {
        fail(folder.path(), &recipe("1", "o", flags), 1, &["o/checkpoints", "Not a directory"]);
    }
    assert_eq!(fs::read(folder.path().join("o/checkpoints")).expect("still there"), b"in the way");
}

#[test]
fn whatever_lies_among_the_checkpoints_is_passed_over_and_stays() {
    let folder = folder_with_data();
    succeed(folder.path(), &recipe("4", "whole", &[]));
    succeed(folder.path(), &recipe("2", "o", &[]));
    let inside = |name: &str| folder.path().join("o/checkpoints").join(name);
    let foreign = ["notes.txt", "epoch-1.checkpoint", "epoch-000009.checkpoint.bak", "epoch-99999999999.checkpoint"];
    for name in foreign {
        fs::write(inside(name), "of somebody else").expect("written");
    }
    fs::write(inside("epoch-000011.checkpoint"), "").expect("written");
    fs::write(inside("epoch-000012.checkpoint"), [0xff; 900_000]).expect("written");
    // A link to what is somebody else's: it is neither followed nor removed.
    fs::write(folder.path().join("precious"), "of somebody else").expect("written");
    symlink("../../precious", inside("epoch-000003.checkpoint")).expect("linked");

    let output = run_in(folder.path(), &recipe("4", "o", &["--resume"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("resuming after epoch 2 of"), "{}", stdout(&output));
    for epoch in [3, 11, 12] {
        let name = &after([epoch])[0];
        let named = stderr(&output).lines().any(|line| line.starts_with("warning:") && line.contains(name));
        assert!(named, "{name}: {}", stderr(&output));
    }
    assert_same_run(folder.path(), "o", "whole");
    let left = checkpoints(folder.path(), "o");
    let aside = after([3, 11, 12]).into_iter().map(|name| format!("{name}.set-aside"));
    let mut expected: Vec<String> = foreign.iter().map(ToString::to_string).chain(after([3, 4])).chain(aside).collect();
    expected.sort();
    assert_eq!(left, expected);
    assert_eq!(fs::read(folder.path().join("precious")).expect("still there"), b"of somebody else");
}
