//! Runs that are killed at any moment: what they leave, and what the next start makes of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::runs::{Program, assert_same_run, assert_whole, names, recipe};
use super::*;

/// Starts that must have been killed.
const KILLS: usize = 50;
/// Kills that must have hit while a checkpoint was being written, and while a file of the end was.
const KILLS_IN_WRITES: usize = 3;
/// Starts after which the above must be reached.
const MAX_STARTS: usize = 1000;
const EPOCHS: &str = "6";
const KILL: i32 = 9;

/// What the starts take in turn.
const BACKENDS: [&[&str]; 4] = [
    &["--backend", "reference"],
    &["--backend", "cpu", "--threads", "1"],
    &["--backend", "cpu", "--threads", "2"],
    &["--backend", "cpu", "--threads", "2", "--simd", "portable"],
];

/// When a start is ended.
enum Moment {
    /// After so long.
    Delay(Duration),
    /// As soon as the nth new name is seen in the output folder or its checkpoints.
    Write { folder: &'static str, nth: usize },
}

impl Moment {
    /// Two of three are delays of up to a little more than an uninterrupted run takes with that backend, so that some starts
    /// end by themselves.
    fn draw(random: &mut ChaCha8Rng, whole: Duration) -> Self {
        let nth = random.next_u32() as usize % 8 + 1;
        match random.next_u32() % 6 {
            0 => Self::Write { folder: "o", nth },
            1 => Self::Write { folder: "o/checkpoints", nth },
            _ => Self::Delay(whole.mul_f64(f64::from(random.next_u32()) / f64::from(u32::MAX) * 1.2)),
        }
    }

    /// Waits for it; false if the program ended before.
    fn wait(&self, child: &mut Child, folder: &Path) -> bool {
        let names_in = |name| fs::read_dir(folder.join(name)).into_iter().flatten().flatten().map(|it| it.file_name());
        let start = Instant::now();
        let mut seen: BTreeSet<_> = ["o", "o/checkpoints"].into_iter().flat_map(names_in).collect();
        let old = seen.len();
        loop {
            let reached = match *self {
                Self::Delay(delay) => {
                    std::thread::sleep(delay.saturating_sub(start.elapsed()).min(Duration::from_millis(1)));
                    start.elapsed() >= delay
                }
                Self::Write { folder, nth } => {
                    seen.extend(names_in(folder));
                    seen.len() >= old + nth
                }
            };
            if reached {
                return true;
            }
            if child.try_wait().expect("a child").is_some() {
                return false;
            }
        }
    }
}

/// How many starts were killed, and in what.
#[derive(Debug, Default)]
struct Killed {
    starts: usize,
    killed: usize,
    while_writing_checkpoints: usize,
    while_writing_results: usize,
    asked_to_end: usize,
}

impl Killed {
    fn enough(&self) -> bool {
        self.killed >= KILLS
            && self.while_writing_checkpoints >= KILLS_IN_WRITES
            && self.while_writing_results >= KILLS_IN_WRITES
    }
}

#[test]
fn a_run_killed_again_and_again_ends_with_the_bytes_of_one_that_never_paused() {
    let seed = std::env::var("FAULT_SEED").ok().map(|seed| seed.parse().expect("FAULT_SEED is a number"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let seed = seed.unwrap_or(now);
    println!("FAULT_SEED={seed} draws the same moments");
    let mut random = ChaCha8Rng::seed_from_u64(seed);

    let folder = folder_with_data();
    let whole = BACKENDS.map(|backend| {
        let start = Instant::now();
        succeed(folder.path(), &recipe(EPOCHS, "whole", &[backend, &["--overwrite"]].concat()));
        start.elapsed()
    });
    let mut killed = Killed::default();
    while !killed.enough() {
        run_to_its_end(folder.path(), &mut random, &whole, &mut killed);
        assert_same_run(folder.path(), "o", "whole");
        assert!(killed.starts < MAX_STARTS, "{killed:?}");
    }
    println!("{killed:?}");
}

/// Starts a run again and again, each time killed at a random moment, until a start comes to its end.
fn run_to_its_end(folder: &Path, random: &mut ChaCha8Rng, whole: &[Duration], killed: &mut Killed) {
    let out = folder.join("o");
    if out.exists() {
        fs::remove_dir_all(&out).expect("removed");
    }
    let mut newest = 0;
    let mut temporary = BTreeSet::new();
    loop {
        let turn = killed.starts % BACKENDS.len();
        killed.starts += 1;
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| folder.join(name));
        let mut program = Program::start(
            Command::new(env!("CARGO_BIN_EXE_host-trainer"))
                .args(recipe(EPOCHS, "o", &[BACKENDS[turn], &["--resume"]].concat()))
                .current_dir(folder)
                .stdout(Stdio::from(File::create(&stdout).expect("created")))
                .stderr(Stdio::from(File::create(&stderr).expect("created"))),
        );
        if Moment::draw(random, whole[turn]).wait(program.child(), folder) {
            // Some are asked to end, so that there are files of a part of the run for later ones to replace.
            match random.next_u32() % 4 {
                0 => program.send("-INT"),
                _ => program.child().kill().expect("killed"),
            }
        }
        let status = program.end().status;
        let [printed, errors] = [stdout, stderr].map(|path| fs::read_to_string(path).expect("UTF-8"));
        if let Some(start) = printed.lines().find(|line| line.starts_with("start ")) {
            let expected = match newest {
                0 => "nothing to resume in o/checkpoints: from the beginning".to_owned(),
                _ => format!("resuming after epoch {newest} of o/checkpoints/epoch-{newest:06}.checkpoint"),
            };
            assert!(start.contains(&expected), "{start}, but {expected}");
        }
        let interrupted = status.code() == Some(130) || status.signal() == Some(2);
        let ended = status.success() || interrupted;
        assert!(ended || status.signal() == Some(KILL), "{status}: {errors}");
        assert!(errors.is_empty() || interrupted, "{errors}");
        if !out.exists() {
            continue;
        }
        let (now, left) = assert_whole(&out, &folder.join("whole"));
        assert!(now >= newest, "a checkpoint of epoch {newest} was there, now the newest is of {now}");
        newest = now;
        if status.signal() == Some(KILL) {
            let fresh: Vec<_> = left.difference(&temporary).collect();
            killed.killed += 1;
            killed.while_writing_checkpoints += usize::from(fresh.iter().any(|path| path.parent() != Some(&out)));
            killed.while_writing_results += usize::from(fresh.iter().any(|path| path.parent() == Some(&out)));
        }
        killed.asked_to_end += usize::from(interrupted);
        temporary = left;
        if status.success() {
            assert!(temporary.is_empty(), "{:?} {temporary:?}", names(&out));
            return;
        }
    }
}
