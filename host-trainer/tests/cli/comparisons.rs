//! Runs with several seeds, and runs side by side.

use super::*;

const SEEDS: [&str; 12] =
    ["train", "--data", "data", "--epochs", "2", "--lr", "0.01", "--seeds", "3..5", "--out", "seeds", "--quiet"];

#[test]
fn every_seed_has_a_run_of_its_own_that_goes_on() {
    let folder = folder_with_data();
    let at = folder.path();
    succeed(at, &SEEDS);
    let single = train(at, "single", &["--seed", "4"]);
    let of_seed = |seed: u64| record(&at.join(format!("seeds/seed-{seed}")));
    assert_eq!(fingerprints(&of_seed(4)), fingerprints(&single));
    for seed in 3..=5 {
        assert_eq!(of_seed(seed)["settings"]["seed"], seed);
    }
    // One of them is there: nothing is trained. One of them is gone: it alone is trained again.
    fs::remove_dir_all(at.join("seeds/seed-3")).expect("removed");
    fail(at, &SEEDS, 1, &["seeds/seed-4", "--resume", "--overwrite"]);
    assert!(!at.join("seeds/seed-3").exists());
    let before = fs::metadata(at.join("seeds/seed-5/checkpoints/epoch-000002.checkpoint")).expect("a checkpoint");
    succeed(at, &[&SEEDS[..], &["--resume", "--tensorboard", "logs"]].concat());
    let after = fs::metadata(at.join("seeds/seed-5/checkpoints/epoch-000002.checkpoint")).expect("a checkpoint");
    assert_eq!(before.modified().expect("a time"), after.modified().expect("a time"));
    assert_eq!(of_seed(3)["status"], "complete");
    assert!(at.join("logs/seed-3").is_dir());
    fail(at, &["--seeds", "0..1", "--seed", "2"], 2, &["--seeds", "--seed"]);
    fail(at, &["--seeds", "5..3"], 2, &["5 comes after 3"]);
}

#[test]
fn runs_are_compared_by_table_picture_and_json() {
    let folder = folder_with_data();
    let at = folder.path();
    train(at, "slow", &[]);
    train(at, "fast", &["--lr", "0.02", "--seed", "7"]);
    let told = succeed(at, &["compare", "slow", "fast/run.json", "--picture", "both.png"]);
    let lines: Vec<_> = told.lines().collect();
    assert!(lines[0].starts_with("run ") && lines[0].ends_with("seed, lr"), "{told}");
    assert!(lines[1].starts_with("slow ") && lines[1].ends_with("0, 0.01"), "{told}");
    assert!(lines[2].starts_with("fast/run.json ") && lines[2].ends_with("7, 0.02"), "{told}");
    assert!(lines[3].starts_with("2 runs: mean ") && lines[3].contains("standard deviation"), "{told}");
    assert!(fs::read(at.join("both.png")).expect("a picture").starts_with(b"\x89PNG"));
    let answer: serde_json::Value =
        serde_json::from_str(&succeed(at, &["compare", "slow", "fast", "--json"])).expect("JSON");
    let accuracy = |run: usize| answer["runs"][run]["test_accuracy"].as_f64().expect("a number");
    let mean = answer["summary"]["mean"].as_f64().expect("a number");
    assert_eq!(mean, (accuracy(0) + accuracy(1)) / 2.0);
    assert_eq!(answer["runs"][1]["settings"]["seed"], 7);
    fail(at, &["compare"], 2, &["RUN"]);
    fail(at, &["compare", "slow", "absent"], 1, &["absent"]);
    fail(at, &["compare", "slow", "data"], 1, &["data", "run.json"]);
    let before = fs::read(at.join("slow/run.json")).expect("a record");
    fail(at, &["compare", "slow", "--picture", "slow/run.json"], 1, &["the very file that is read"]);
    assert!(fs::read(at.join("slow/run.json")).expect("a record") == before);
}
