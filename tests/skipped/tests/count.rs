//! What `.ci/run` counts in the end: no test that skipped counts as passed.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Lines of two test targets: one test ignored on this processor, one that another test runs, two that failed.
const LOG: &str = "\
test at_every_level::neon ... ignored, a level of 64-bit Arm
test full_disk::on_a_small_disk ... ignored, run by a_disk_full_at_any_write_is_named
test src/lib.rs - example (line 3) ... ignored
test result: ok. 40 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 1.00s
skipped: dataset: MNIST_DIR is not set
test result: FAILED. 7 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
";

fn count(log: &str, skipped: &str, name: &str) -> String {
    let folder = std::env::temp_dir().join(format!("count-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("created");
    fs::write(folder.join("log"), log).expect("written");
    fs::write(folder.join("skipped"), skipped).expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ci/count.sh");
    let output = Command::new("bash")
        .arg(script)
        .args([folder.join("log"), folder.join("skipped")])
        .output()
        .expect("bash is there");
    fs::remove_dir_all(&folder).expect("removed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn what_skipped_while_running_counts_as_skipped_and_what_another_test_runs_does_not() {
    let skipped = "test\tdataset::mnist\tMNIST_DIR is not set\n\
                   part\tboard_emulator::logits\trandom images\n\
                   step\tMiri\tthis toolchain has none\n";
    let out = count(LOG, skipped, "all");
    assert_eq!(out.lines().last(), Some("46 passed, 2 failed, 5 skipped"), "{out}");
    for line in [
        "skipped (1×): at_every_level::neon: a level of 64-bit Arm",
        "skipped (1×): src/lib.rs - example (line 3): no reason is given",
        "skipped (1×): dataset::mnist: MNIST_DIR is not set",
        "skipped (1×): board_emulator::logits: random images",
        "skipped (1×): Miri: this toolchain has none",
    ] {
        assert!(out.lines().any(|found| found == line), "'{line}' is not in: {out}");
    }
    assert!(!out.contains("on_a_small_disk"), "{out}");
}

#[test]
fn nothing_skipped_is_said_too() {
    let log = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
    assert_eq!(count(log, "", "none"), "3 passed, 0 failed, 0 skipped\n");
}
