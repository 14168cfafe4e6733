//! Every fuzz target on ordinary ground: its corpus, what once failed, and some seconds of random damage, each input
//! within the memory limit. `HOSTILE_SECONDS` lengthens it, `HOSTILE_SEED` starts elsewhere.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::hint::black_box;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tests::hostile::mutation::mutated;
use tests::hostile::{CountingAllocator, TARGETS, Target, measured};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Seconds of random damage for each target.
const SECONDS: u64 = 3;

/// A test for each target, and the list of them.
macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            survives(Target::named(stringify!($name)));
        })*
        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

targets! { checkpoint idx idx_gz model picture protocol_board protocol_host run_record safetensors }

/// Keeps its promises on all known inputs and on random ones.
fn survives(target: &Target) {
    let mut pool = (target.seeds)();
    for folder in ["corpus", "regressions"] {
        for path in files_in(&fuzz_folder().join(folder).join(target.name)) {
            pool.push(fs::read(&path).expect("a file of the corpus"));
        }
    }
    for input in &pool {
        check(target, input, "a known input");
    }
    let number = |name: &str, default| env::var(name).map_or(default, |text| text.parse().expect(name));
    let (seed, seconds) = (number("HOSTILE_SEED", 0), number("HOSTILE_SECONDS", SECONDS));
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut case = 0;
    while Instant::now() < deadline {
        let input = mutated(seed, case, &pool, target.max_len);
        check(target, &input, &format!("case {case} of HOSTILE_SEED={seed}"));
        case += 1;
    }
    println!("{}: {} known inputs, {case} random ones", target.name, pool.len());
}

/// On a broken promise, keeps the input and says where.
fn check(target: &Target, input: &[u8], what: &str) {
    if catch_unwind(|| target.check(input)).is_err() {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hostile-{}", target.name));
        fs::write(&path, input).expect("room for a small file");
        panic!("{what} broke a promise; it lies in {}: keep it in fuzz/regressions/{}", path.display(), target.name);
    }
}

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// The files of a folder, in the order of their names; none if there is no such folder.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    files
}

#[test]
fn every_fuzz_target_is_tested_here_and_nothing_else_is() {
    let manifest = fs::read_to_string(fuzz_folder().join("Cargo.toml")).expect("fuzz/Cargo.toml");
    let bins = manifest.split("[[bin]]").skip(1);
    let fuzzed: BTreeSet<&str> = bins
        .map(|bin| {
            let line = bin.lines().find(|line| line.starts_with("name = ")).expect("a name");
            line.trim_start_matches("name = ").trim_matches('"')
        })
        .collect();
    assert_eq!(fuzzed, TESTED.iter().copied().collect(), "fuzz/Cargo.toml and this test");
    assert_eq!(fuzzed, TARGETS.iter().map(|target| target.name).collect(), "fuzz/Cargo.toml and tests::hostile");
    for target in &TARGETS {
        let corpus = files_in(&fuzz_folder().join("corpus").join(target.name));
        assert!(!corpus.is_empty(), "fuzz/corpus/{} is empty: cargo run -p tests --example fuzz_corpus", target.name);
    }
}

#[test]
fn the_memory_of_an_input_is_counted() {
    let ((), used) = measured(|| {
        drop(black_box(vec![1_u8; 3 << 20]));
        drop(black_box([vec![1_u8; 1 << 20], vec![1_u8; 1 << 20]]));
    });
    assert_eq!(used.largest, 3 << 20);
    assert_eq!(used.peak, 3 << 20);
    let (_, used) = measured(|| black_box(Vec::<u8>::with_capacity(1 << 20)).resize(5 << 20, 0));
    assert_eq!((used.largest, used.peak), (5 << 20, 5 << 20));
}
