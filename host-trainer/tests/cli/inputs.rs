//! What stands where a file should: pipes, devices, folders, files without an end. Every command says so and ends.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// Far more than any of these commands needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends a program that does not end by itself.
#[track_caller]
pub fn ended(mut child: Child, what: &str) -> Output {
    let begin = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if begin.elapsed() > PATIENCE {
            child.kill().expect("it runs");
            panic!("{what}: still waiting after {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("it ended")
}

/// Starts the program with an open pipe as its standard input.
fn started(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_host-trainer"))
        .args(args)
        .current_dir(folder)
        .env_remove("MNIST_DIR")
        .env_remove("NO_COLOR")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built")
}

/// The program ends with 1 and one line that has these words.
#[track_caller]
fn refuses(folder: &Path, args: &[&str], variables: &[(&str, &str)], words: &[&str]) {
    let mut child = started(folder, args, variables);
    // Nobody ever writes to it, and it stays open.
    let stdin = child.stdin.take();
    let output = ended(child, &args.join(" "));
    drop(stdin);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {message}");
    assert!(words.iter().all(|words| message.contains(words)), "{args:?}: {words:?}: {message}");
    assert_eq!(message.lines().count(), 1, "{args:?}: {message}");
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
}

#[test]
fn a_pipe_in_place_of_any_file_is_refused_at_once() {
    let folder = folder_with_data();
    train(folder.path(), "o", &[]);
    make_pipe(&folder.path().join("pipe"));
    for args in [
        &["summary", "pipe"][..],
        &["evaluate", "pipe", "--data", "data"],
        &["predict", "pipe", "--index", "0", "--data", "data"],
        &["predict", "o/weights.postcard", "pipe"],
        &["export", "pipe", "net.safetensors"],
        &["import", "pipe", "m.postcard"],
        &["verify", "pipe", "--data", "data"],
        &["verify", "--data", "pipe"],
        &["evaluate", "o/weights.postcard", "--data", "pipe"],
        &["--data", "pipe", "--out", "p"],
        &["summary", "/dev/stdin"],
        &["import", "/dev/fd/0", "m.postcard"],
    ] {
        refuses(folder.path(), args, &[], &["is a pipe, not a regular file"]);
    }
    refuses(folder.path(), &["--out", "p"], &[("MNIST_DIR", "pipe")], &["pipe is a pipe, not a regular file"]);
    for path in ["/dev/zero", "/dev/tty"] {
        refuses(folder.path(), &["summary", path], &[], &[path, "is a device, not a regular file"]);
    }
    refuses(folder.path(), &["import", "o", "m.postcard"], &[], &["o is a folder, not a regular file"]);
    refuses(folder.path(), &["summary", "data"], &[], &["data/weights.postcard"]);
    assert!(!folder.path().join("m.postcard").exists() && !folder.path().join("net.safetensors").exists());
}

#[test]
fn a_pipe_among_the_files_of_a_folder_is_refused_at_once() {
    let folder = folder_with_data();
    for name in ["t10k-labels-idx1-ubyte", "train-images-idx3-ubyte"] {
        let path = folder.path().join("data").join(name);
        let kept = fs::read(&path).expect("readable");
        fs::remove_file(&path).expect("removed");
        make_pipe(&path);
        refuses(folder.path(), &["--data", "data", "--out", "o"], &[], &[name, "is a pipe"]);
        fs::remove_file(&path).expect("removed");
        fs::write(&path, kept).expect("written");
    }
    // A checkpoint.
    train(folder.path(), "o", &[]);
    let newest = entries(&folder.path().join("o/checkpoints")).pop().expect("a checkpoint");
    fs::remove_file(&newest).expect("removed");
    make_pipe(&newest);
    let args = ["train", "--data", "data", "--epochs", "2", "--lr", "0.01", "--out", "o", "--resume"];
    let output = ended(started(folder.path(), &args, &[]), "--resume");
    assert!(stderr(&output).contains("is a pipe, not a regular file"), "{}", stderr(&output));
}

#[test]
#[cfg(target_os = "linux")]
fn files_that_the_system_makes_up_and_files_that_grow_are_refused() {
    let folder = TempDir::new().expect("a temporary folder");
    refuses(folder.path(), &["summary", "/proc/self/status"], &[], &["/proc/self/status has no length"]);
    refuses(folder.path(), &["import", "/proc/self/maps", "m"], &[], &["/proc/self/maps has no length"]);
    let log = folder.path().join("log");
    fs::write(&log, [0; 4096]).expect("written");
    let mut writer = Command::new("sh")
        .args(["-c", "while :; do printf '%04096d' 0; done >> log"])
        .current_dir(folder.path())
        .spawn()
        .expect("sh runs");
    refuses(folder.path(), &["summary", "log"], &[], &["log"]);
    refuses(folder.path(), &["verify", "log"], &[], &["log"]);
    writer.kill().expect("it runs");
    writer.wait().expect("it ended");
}
