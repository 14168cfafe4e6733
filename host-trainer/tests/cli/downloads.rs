//! A download folder with half of what it should hold.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// Trains on what is in `data/mnist`, without a network.
fn train_offline(folder: &Path, source: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_host-trainer"))
        .args(["--dataset", source, "--mirror", "http://127.0.0.1:9/", "--epochs", "1", "--out", "o"])
        .current_dir(folder)
        .env_remove("MNIST_DIR")
        .envs(["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"].map(|name| (name, "")))
        .envs(["all_proxy", "http_proxy", "https_proxy"].map(|name| (name, "")))
        .output()
        .expect("the program was built")
}

/// The data set of [`folder_with_data`], packed, in the folder that downloads go to.
fn folder_with_downloads() -> TempDir {
    let folder = folder_with_data();
    let downloads = folder.path().join("data/mnist");
    fs::create_dir(&downloads).expect("created");
    for path in entries(&folder.path().join("data")).into_iter().filter(|path| path.is_file()) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&fs::read(&path).expect("readable")).expect("a Vec takes everything");
        let name = format!("{}.gz", path.file_name().expect("a name").to_str().expect("UTF-8"));
        fs::write(downloads.join(name), encoder.finish().expect("a Vec takes everything")).expect("written");
    }
    folder
}

#[test]
fn half_a_download_is_named_with_what_to_do() {
    type Damage = fn(&mut Vec<u8>);
    let cases: [(&str, Damage, &str); 5] = [
        ("train-images-idx3-ubyte.gz", |bytes| bytes.truncate(bytes.len() / 2), "is a damaged .gz archive"),
        ("train-labels-idx1-ubyte.gz", |bytes| bytes.truncate(bytes.len() - 1), "is a damaged .gz archive"),
        ("train-labels-idx1-ubyte.gz", |bytes| bytes.clear(), "is cut"),
        ("train-images-idx3-ubyte.gz", |bytes| *bytes = b"<!DOCTYPE html><title>Log in</title>".into(), "starts with"),
        // Whole, but of another data set.
        ("train-images-idx3-ubyte.gz", |_| (), "is not the file of MNIST"),
    ];
    for (name, damage, words) in cases {
        let folder = folder_with_downloads();
        change(&folder.path().join("data/mnist"), name, damage);
        for source in ["auto", "mnist"] {
            let output = train_offline(folder.path(), source);
            let message = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{message}");
            let told =
                [&format!("error: data/mnist/{name} {words}"), "remove it, and the next start downloads it again"];
            assert!(told.iter().all(|words| message.contains(words)), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
        assert!(entries(&folder.path().join("o")).is_empty(), "nothing was begun");
    }
}

#[test]
fn a_file_that_is_missing_is_asked_for_again_whatever_a_killed_download_left() {
    let folder = folder_with_downloads();
    let downloads = folder.path().join("data/mnist");
    fs::rename(downloads.join("t10k-images-idx3-ubyte.gz"), downloads.join(".aB3xYz.partial")).expect("renamed");
    let output = train_offline(folder.path(), "mnist");
    assert!(!downloads.join(".aB3xYz.partial").exists(), "what a killed download left is gone");
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    let told = ["error: t10k-images-idx3-ubyte could not be downloaded", "127.0.0.1:9/t10k-images-idx3-ubyte.gz"];
    assert!(told.iter().all(|words| message.contains(words)), "{message}");
    assert!(!message.contains("train-"), "what is there is not asked for: {message}");
}
