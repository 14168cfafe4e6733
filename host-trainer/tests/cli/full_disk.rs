//! A disk that is full at every write in turn.

use std::fs::File;
use std::io::Write;

use super::runs::{RESULTS, assert_same_run, assert_whole, names, recipe};
use super::*;

/// Bytes that the disk gives at a time.
const PAGE: u64 = 4096;
/// Pages of the whole disk.
const DISK: u64 = 2048;
const EPOCHS: &str = "3";

/// A file that a run writes.
struct Wanted {
    name: String,
    pages: u64,
    /// Pages that are free again once it has its name.
    freed: u64,
}

fn pages(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len().div_ceil(PAGE))
}

/// The files that a run of three epochs writes, in order, if `earlier` epochs are done and their files are there.
fn wanted(whole: &Path, part: &Path, earlier: u32) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    // The lock of an earlier run is overwritten.
    if earlier == 0 {
        wanted.push(Wanted { name: ".lock".into(), pages: 1, freed: 0 });
    }
    let length = pages(&whole.join("checkpoints/epoch-000003.checkpoint"));
    for epoch in earlier + 1..=3 {
        wanted.push(Wanted { name: format!("checkpoints/epoch-{epoch:06}.checkpoint"), pages: length, freed: 0 });
    }
    for name in ["weights.postcard", "loss_image.png", "accuracy_image.png", "metrics.csv", "run.json"] {
        let mut freed = if earlier > 0 { pages(&part.join(name)) } else { 0 };
        match name {
            // The old record goes before the model comes.
            "weights.postcard" if earlier > 0 => freed += pages(&part.join("run.json")),
            "run.json" => freed = 0,
            _ => {}
        }
        wanted.push(Wanted { name: name.into(), pages: pages(&whole.join(name)), freed });
    }
    wanted
}

/// Numbers of free pages with the file that does not fit: none of it, half of it, or all but its last page.
fn cases(wanted: &[Wanted]) -> Vec<(u64, String)> {
    let mut cases = Vec::new();
    let (mut enough, mut used) = (0, 0);
    for Wanted { name, pages, freed } in wanted {
        let needed = enough.max(used + pages);
        let mut rooms = vec![enough, (enough + needed) / 2, needed.saturating_sub(1)];
        rooms.retain(|room| (enough..needed).contains(room));
        rooms.dedup();
        cases.extend(rooms.into_iter().map(|room| (room, name.clone())));
        enough = needed;
        used = (used + pages).saturating_sub(*freed);
    }
    cases
}

/// Tells the test below that it is on a small disk.
const FOLDER: &str = "SMALL_DISK_IN";

#[test]
fn a_disk_full_at_any_write_is_named_and_nothing_is_lost() {
    let folder = folder_with(20, 10);
    fs::create_dir(folder.path().join("small")).expect("created");
    // The test below runs in a mount namespace of its own.
    let script = format!("mount -t tmpfs -o size={} none small && echo mounted && exec \"$@\"", DISK * PAGE);
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", "full_disk::on_a_small_disk", "--ignored", "--nocapture"])
        .current_dir(folder.path())
        .env(FOLDER, folder.path())
        .output();
    let Some(output) = output.ok().filter(|output| stdout(output).contains("mounted")) else {
        skipped::skip("this machine has no mount namespaces for a small disk");
        return;
    };
    print!("{}", stdout(&output));
    assert!(output.status.success() && stdout(&output).contains("sizes"), "{}", stderr(&output));
}

#[test]
#[ignore = "run by a_disk_full_at_any_write_is_named_and_nothing_is_lost"]
fn on_a_small_disk() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let whole = folder.join("whole");
    let resume = recipe(EPOCHS, "small/o", &["--resume", "--keep-checkpoints"]);
    succeed(&folder, &recipe(EPOCHS, "whole", &[]));
    succeed(&folder, &recipe("1", "part", &[]));
    let part = folder.join("part");
    for earlier in [0, 1] {
        let wanted = wanted(&whole, &part, earlier);
        let cases = cases(&wanted);
        let all = wanted.iter().all(|file| cases.iter().any(|(_, name)| *name == file.name));
        assert!(all || earlier > 0, "every file of a first run is once the one that does not fit");
        for (room, name) in &cases {
            let out = folder.join("small/o");
            if out.exists() {
                fs::remove_dir_all(&out).expect("removed");
            }
            if earlier > 0 {
                copy(&part, &out);
            }
            leave(&folder.join("small"), *room);
            let output = run_in(&folder, &resume);
            let message = stderr(&output);
            let case = format!("{room} pages free, epoch {earlier} done, {name} does not fit: {message}");
            assert_eq!(output.status.code(), Some(1), "{case}");
            assert!(message.starts_with("error:") && message.lines().count() == 1, "{case}");
            let first = message.split("No space left on device").next().expect("a part");
            assert!(message.contains("No space left on device") && first.contains(&**name), "{case}");
            let (_, temporary) = assert_whole(&out, &whole);
            assert!(temporary.is_empty(), "{case}{temporary:?}");
            if earlier > 0 && name == "weights.postcard" {
                for name in RESULTS.iter().chain(&["run.json"]) {
                    let [old, found] = [&part, &out].map(|folder| fs::read(folder.join(name)).expect("a file"));
                    assert!(old == found, "{name} is untouched; {case}");
                }
            }
            let result = name != ".lock" && !name.starts_with("checkpoints");
            assert!(!result || message.contains("the 3 complete epochs are saved in a checkpoint"), "{case}");

            fs::remove_file(folder.join("small/filler")).expect("removed");
            succeed(&folder, &resume);
            assert_same_run(&folder, "small/o", "whole");
        }
        println!("{} sizes, with {earlier} epochs done before", cases.len());
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("created");
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).expect("copied");
        }
    }
}

/// Fills the disk until so many pages are free.
fn leave(disk: &Path, room: u64) {
    let mut filler = File::create(disk.join("filler")).expect("created");
    let mut length = 0;
    while let Ok(written @ 1..) = filler.write(&[0; PAGE as usize]) {
        length += written as u64;
    }
    filler.set_len(length.checked_sub(room * PAGE).expect("the disk is large enough")).expect("cut");
}
