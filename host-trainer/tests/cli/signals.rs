//! Runs that are asked to end, and runs that get into each other's way.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::runs::{Program, Started, after, assert_same_run, checkpoints, recipe};
use super::*;

/// Far more than any test waits for.
const ENDLESS: &str = "100000";
/// What a busy machine may need.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn after_ctrl_c_sigterm_or_a_hangup_the_last_complete_epoch_is_a_checkpoint() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let folder = folder_with_data();
        let output = Started::new(folder.path(), ENDLESS, &["--checkpoint-every", "1000"]).end_with(signal);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains("interrupted in epoch"), "{}", stderr(&output));
        let record = record(&folder.path().join("o"));
        assert_eq!(record["status"], "interrupted");
        let complete = fingerprints(&record).len() as u32;
        assert_eq!(checkpoints(folder.path(), "o"), after([complete]));
        let epochs = (complete + 2).to_string();
        let out = succeed(folder.path(), &recipe(&epochs, "o", &["--resume", "--backend", "reference"]));
        assert!(out.contains(&format!("resuming after epoch {complete} of")), "{out}");
        succeed(folder.path(), &recipe(&epochs, "whole", &[]));
        assert_same_run(folder.path(), "o", "whole");
    }
}

#[test]
fn a_hangup_that_is_ignored_stays_ignored() {
    let folder = folder_with_data();
    // As nohup does it.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_host-trainer")]);
    let mut started =
        Started::spawn(command.args(recipe("60", "o", &["--backend", "cpu", "--threads", "1"])).current_dir(&folder));
    started.program.send("-HUP");
    let output = started.end();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(fingerprints(&record(&folder.path().join("o"))).len(), 60);
}

#[test]
fn a_second_run_into_the_folder_is_refused_until_the_first_has_ended_however_it_ended() {
    let folder = folder_with_data();
    let mut started = Started::new(folder.path(), ENDLESS, &["--backend", "reference"]);
    let process = format!("process {}", started.program.child().id());
    fail(folder.path(), &recipe("3", "o", &[]), 1, &["o: another run", &process, "--out"]);
    fail(folder.path(), &recipe("3", "o", &["--resume"]), 1, &[&process]);
    started.end_with("-KILL");
    let newest = checkpoints(folder.path(), "o").last().expect("a checkpoint").clone();
    let newest: u32 = newest["epoch-".len()..][..6].parse().expect("a number");
    let epochs = (newest + 1).to_string();
    let out = succeed(folder.path(), &recipe(&epochs, "o", &["--resume"]));
    assert!(out.contains(&format!("resuming after epoch {newest} of")), "{out}");
    succeed(folder.path(), &recipe(&epochs, "whole", &[]));
    assert_same_run(folder.path(), "o", "whole");
}

#[test]
fn of_runs_started_at_once_exactly_one_goes_on() {
    let folder = folder_with_data();
    for flags in [&[][..], &["--resume"], &["--resume"]] {
        let mut programs = [0, 1, 2].map(|_| {
            Program::start(
                Command::new(env!("CARGO_BIN_EXE_host-trainer"))
                    .args(recipe(ENDLESS, "o", flags))
                    .current_dir(&folder)
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped()),
            )
        });
        let start = Instant::now();
        let mut running = vec![0, 1, 2];
        while running.len() > 1 {
            assert!(start.elapsed() < PATIENCE, "more than one goes on: {running:?}");
            std::thread::sleep(Duration::from_millis(5));
            running.retain(|&index| programs[index].child().try_wait().expect("a child").is_none());
        }
        let [winner] = running[..] else { panic!("none goes on") };
        // It trains until it is asked to end: the others have not merely been slower.
        while checkpoints(folder.path(), "o").is_empty() {
            assert!(start.elapsed() < PATIENCE, "no checkpoint");
            std::thread::sleep(Duration::from_millis(5));
        }
        programs[winner].send("-KILL");
        for (index, program) in programs.into_iter().enumerate() {
            let output = program.end();
            let message = stderr(&output);
            if index == winner {
                assert_eq!(output.status.code(), None, "{message}");
            } else {
                assert_eq!(output.status.code(), Some(1), "{message}");
                assert!(message.starts_with("error: o: another run"), "{message}");
                assert_eq!(message.lines().count(), 1, "{message}");
            }
        }
    }
}
