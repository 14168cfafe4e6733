//! How a test says that it skips.
//!
//! What is known when the tests are compiled makes a test *ignored*, which libtest counts: see [`build`]. What is
//! found out while they run, libtest counts as passed, and it swallows what such a test prints. So [`skip`] writes to the
//! standard error itself, and to the file that the variable [`FILE`] names, from which `.ci/run` counts.

pub mod build;

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::{env, thread};

/// Names the file that collects what was skipped, a line each: kind, test and reason, with tabs between them.
pub const FILE: &str = "CNN_SKIPPED";

/// Says that this thread's test skips, and why. The test must return at once.
pub fn skip(why: impl Display) {
    tell("test", &why);
}

/// Says that this thread's test leaves out a part, and why; the rest is tested.
pub fn skip_part(why: impl Display) {
    tell("part", &why);
}

fn tell(kind: &str, why: &dyn Display) {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let why = why.to_string().replace(['\n', '\t'], " ");
    // Not through eprintln, whose output libtest keeps to itself. One write each, since tests run side by side.
    let _ = io::stderr().write_all(format!("skipped: {test}: {why}\n").as_bytes());
    if let Some(file) = env::var_os(FILE) {
        let line = format!("{kind}\t{}::{test}\t{why}\n", program());
        let mut file = OpenOptions::new().append(true).create(true).open(&file).expect("CNN_SKIPPED can be written");
        file.write_all(line.as_bytes()).expect("CNN_SKIPPED can be written");
    }
}

/// The test target's name, without the hash that cargo gives its file.
fn program() -> String {
    let program = env::current_exe().unwrap_or_default();
    let name = Path::new(&program).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    name.rsplit_once('-').map_or(name.clone(), |(name, _)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    /// Runs the test below, which skips, as libtest runs any other.
    #[test]
    fn what_skips_is_seen_past_libtest_and_collected() {
        let file = env::temp_dir().join(format!("skipped-{}", std::process::id()));
        let output = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "tests::one_that_skips", "--ignored"])
            .env(FILE, &file)
            .output()
            .expect("it runs");
        let collected = fs::read_to_string(&file).expect("it was written");
        fs::remove_file(&file).expect("removed");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && error.contains("skipped: tests::one_that_skips: on purpose"), "{error}");
        assert_eq!(collected, "test\tskipped::tests::one_that_skips\ton purpose\n");
    }

    #[test]
    #[ignore = "run by what_skips_is_seen_past_libtest_and_collected"]
    fn one_that_skips() {
        skip("on\npurpose");
    }
}
