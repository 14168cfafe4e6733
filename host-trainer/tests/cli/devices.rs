//! Several GPUs, sound and faulty, and drivers that lack something: the program finds a simulated driver where it looks for
//! NVIDIA's.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::{folder_with_data, record, stderr, stdout};

/// Runs the program with the library at `driver` as its CUDA driver.
fn run_with(driver: &str, settings: &str, folder: &TempDir, args: &[&str]) -> Output {
    let path = folder.path().join("libcuda.so.1");
    if !path.exists() {
        symlink(driver, &path).expect("linked");
    }
    Command::new(env!("CARGO_BIN_EXE_host-trainer"))
        .args(args)
        .current_dir(folder.path())
        .env("LD_LIBRARY_PATH", folder.path())
        .env("CUDA_SIM", settings)
        .env_remove("MNIST_DIR")
        .env_remove("CUDA_VISIBLE_DEVICES")
        .output()
        .expect("the program was built")
}

/// Runs the program on the simulated driver; none where there is none.
fn run(settings: &str, folder: &TempDir, args: &[&str]) -> Option<Output> {
    let Some(library) = cuda_sim::LIBRARY else {
        skipped::skip("no C++ compiler was found to build the simulated GPU");
        return None;
    };
    Some(run_with(library, settings, folder, args))
}

#[track_caller]
fn assert_has(text: &str, all: &[&str]) {
    for words in all {
        assert!(text.contains(words), "'{words}' is not in: {text}");
    }
}

/// It must end with code 1 and one line of error that has all the words.
#[track_caller]
fn assert_fails(output: &Output, words: &[&str]) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert_has(&message, words);
}

#[test]
fn doctor_lists_every_gpu_and_takes_the_first_that_can_be_used() {
    let folder = folder_with_data();
    let settings = "devices=4 0.device_error=46 1.compute_capability=61 2.multiprocessors=8 3.describe_error=999";
    let Some(output) = run(settings, &folder, &["doctor", "--data", "data"]) else { return };
    let out = stdout(&output);
    let line = |start: &str| out.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{out}"));
    assert_has(line("GPU 0"), &["not usable", "CUDA_ERROR_DEVICE_UNAVAILABLE (46)"]);
    assert_has(line("GPU 1"), &["simulated GPU", "compute capability 6.1", "GB", "not usable", "too old"]);
    assert_has(line("GPU 2"), &["simulated GPU", "compute capability 7.0", "8 multiprocessors", ", usable"]);
    assert_has(line("GPU 3"), &["not usable", "999"]);
    assert_has(&out, &["--backend auto takes cuda:2 (simulated GPU"]);

    let output = run(settings, &folder, &["doctor", "--data", "data", "--json"]).expect("as before");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let devices = found["gpu"]["driver"]["devices"].as_array().expect("a list");
    let usable: Vec<_> = devices.iter().map(|device| device["usable"].as_bool().expect("true or false")).collect();
    assert_eq!(usable, [false, false, true, false], "{found}");
    assert_eq!((&devices[1]["device"], &devices[1]["compute_capability"][0]), (&1.into(), &6.into()), "{found}");
    assert!(devices[0]["name"].is_null() && devices[2]["not_usable_because"].is_null(), "{found}");

    let output = run(settings, &folder, &["doctor", "--data", "data", "--device", "1"]).expect("as before");
    assert_has(&stdout(&output), &["--backend auto takes nothing: GPU 1 (simulated GPU): its compute capability 6.1"]);
}

#[test]
fn every_command_that_computes_takes_the_gpu_that_is_named() {
    let folder = folder_with_data();
    let settings = "devices=2 0.multiprocessors=3";
    let train = ["--data", "data", "--epochs", "1", "--out", "o", "--backend", "cuda", "--device", "cuda:1"];
    let Some(output) = run(settings, &folder, &train) else { return };
    assert!(output.status.success(), "{}", stderr(&output));
    let backend = record(&folder.path().join("o"))["backend"].to_string();
    assert_has(&backend, &["cuda:1 (simulated GPU", "4 multiprocessors"]);
    for args in [
        &["evaluate", "o/weights.postcard", "--data", "data", "--device", "1"][..],
        &["verify", "--data", "data", "--epochs", "1", "--backend", "cpu", "--against", "cuda", "--device", "1"],
        &["verify", "o/run.json", "--data", "data", "--device", "1"],
    ] {
        let output = run(settings, &folder, args).expect("as before");
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        assert_has(&stdout(&output), &["cuda:1 (simulated GPU"]);
    }
}

#[test]
fn a_gpu_that_is_named_is_taken_or_refused_never_replaced() {
    let folder = folder_with_data();
    let common = ["--data", "data", "--epochs", "1", "--out", "o"];
    for (device, words) in [
        ("0", &["GPU 0", "CUDA_ERROR_DEVICE_UNAVAILABLE (46)", "CUDA_VISIBLE_DEVICES"][..]),
        ("2", &["no GPU 2", "counts 2", "CUDA_VISIBLE_DEVICES", "doctor"]),
    ] {
        let args = [&common[..], &["--device", device]].concat();
        let Some(output) = run("devices=2 0.context_error=46", &folder, &args) else { return };
        assert_fails(&output, words);
        assert!(!Path::new("o/weights.postcard").exists());
    }
    let output = run("", &folder, &["--backend", "cpu", "--device", "0"]).expect("as before");
    assert_eq!(output.status.code(), Some(2));
    assert_has(&stderr(&output), &["--device names a GPU", "--backend cuda"]);
    let output = run("", &folder, &["--device", "first"]).expect("as before");
    assert_eq!(output.status.code(), Some(2));
    assert_has(&stderr(&output), &["--device", "cuda:0"]);
}

#[test]
fn a_driver_that_lacks_a_function_or_is_too_old_is_told_so() {
    let folder = folder_with_data();
    let args = ["--data", "data", "--epochs", "1", "--out", "o", "--backend", "cuda"];
    // A library that is no driver stands for one that is too old to have the functions.
    let libc = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6", "/lib64/libc.so.6"];
    let libc = libc.into_iter().find(|path| Path::new(path).exists()).expect("a C library");
    assert_fails(&run_with(libc, "", &folder, &args), &["no function cuDriverGetVersion", "525 or newer"]);

    let folder = folder_with_data();
    let Some(output) = run("driver_version=11040", &folder, &args) else { return };
    assert_fails(&output, &["too old", "CUDA 11.4", "525 or newer"]);
}

#[test]
fn a_driver_in_the_folder_of_wsl_is_found() {
    let Some(library) = cuda_sim::LIBRARY else {
        skipped::skip("no C++ compiler was found to build the simulated GPU");
        return;
    };
    let folder = TempDir::new().expect("a temporary folder");
    // In a mount namespace of its own, the system's folder gets what Windows lends a Linux.
    let script = "mount -t tmpfs none \"$PWD\" && cd \"$PWD\" && mkdir upper work && \
                  mount -t overlay overlay -o lowerdir=/usr/lib,upperdir=\"$PWD/upper\",workdir=\"$PWD/work\" /usr/lib && \
                  mkdir -p /usr/lib/wsl/lib && cp \"$1\" /usr/lib/wsl/lib/libcuda.so.1 && echo mounted && \"$2\" doctor";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", library])
        .arg(env!("CARGO_BIN_EXE_host-trainer"))
        .current_dir(folder.path())
        .env_remove("MNIST_DIR")
        .output();
    let Some(output) = output.ok().filter(|output| stdout(output).contains("mounted")) else {
        skipped::skip("this machine has no mount namespaces to lay a folder over the system's");
        return;
    };
    let out = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    // A driver of the machine's own comes first.
    assert!(out.contains("GPU 0      simulated GPU") || Path::new("/dev/nvidiactl").exists(), "{out}");
}
