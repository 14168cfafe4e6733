//! Data sets as a run meets them: real MNIST, its download, and digits that can be learnt.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use cnn_core::sgd::Sgd;
use cnn_core::shapes::Layers;
use cnn_train::backend::{Backend, Epoch, Outcome, Reference, TrainingState};
use cnn_train::dataset::{Dataset, Split, synthetic};
use cnn_train::random::{initial_parameters, shuffled};
use equality::mnist_dir;
use host_trainer::dataset::download::{DownloadOptions, Proxies};
use host_trainer::dataset::{Notice, Options, Source, mnist, open, open_split};
use host_trainer::model_file::{LoadedModel, quantize};

/// SHA-256 of the SHA-256 digests of MNIST's four files, one after the other.
const MNIST_HASH: &str = "e9914cff2ade526da2ab1ac60c072f9173cc53e35b9411692de8207cb1b9009d";

fn assert_is_mnist(dataset: &Dataset) {
    assert_eq!(dataset.name, "MNIST");
    assert_eq!(hex::encode(dataset.hash), MNIST_HASH);
    assert_eq!((dataset.train.len(), dataset.test.len()), (60_000, 10_000));
    assert_eq!(dataset.train.labels()[..8], [5, 0, 4, 1, 9, 2, 1, 3]);
    assert_eq!(dataset.test.labels()[..8], [7, 2, 1, 0, 4, 1, 4, 9]);
}

#[cfg_attr(no_mnist, ignore = "MNIST_DIR is not set")]
#[test]
fn the_original_is_recognised() {
    let Some(folder) = mnist_dir() else { return };
    let opened = open(&Options { data: Some(folder), ..Options::default() }).unwrap();
    assert_eq!(opened.notice, None);
    assert_is_mnist(&opened.dataset);
}

/// A mirror on this machine that serves a folder, and the names it was asked for.
fn mirror_of(folder: PathBuf) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                request.push(byte[0]);
            }
            let request = String::from_utf8(request).unwrap();
            let name = request.split(' ').nth(1).unwrap().trim_start_matches('/');
            let (status, body) =
                fs::read(folder.join(name)).map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).unwrap();
            stream.write_all(&body).unwrap();
            sender.send(name.to_string()).unwrap();
        }
    });
    (url, requests)
}

fn download_into(folder: &Path, mirror: &str) -> Options {
    Options {
        source: Source::Mnist,
        download_folder: folder.into(),
        mirrors: vec![mirror.into()],
        download: DownloadOptions {
            answer: Duration::from_secs(60),
            stall: Duration::from_secs(20),
            proxies: Some(Proxies::default()),
            ..DownloadOptions::default()
        },
        ..Options::default()
    }
}

#[cfg_attr(no_mnist, ignore = "MNIST_DIR is not set")]
#[test]
fn only_what_is_missing_is_downloaded() {
    let Some(folder) = mnist_dir() else { return };
    let packed = |split: Split| mnist::files(split).map(|file| format!("{}.gz", file.name));
    if !packed(Split::Train).iter().chain(&packed(Split::Test)).all(|name| folder.join(name).is_file()) {
        skipped::skip("MNIST_DIR does not hold the four .gz files");
        return;
    }
    let (url, requests) = mirror_of(folder);
    let downloads = tempfile::tempdir().unwrap();
    let options = download_into(&downloads.path().join("mnist"), &url);
    let test = open_split(&options, Split::Test).unwrap();
    let Some(Notice::Remark(remark)) = &test.notice else { panic!("{:?}", test.notice) };
    assert!(remark.contains(&format!("{url} is not encrypted")) && remark.contains("SHA-256"), "{remark}");
    assert_eq!((test.name.as_str(), test.samples.len()), ("MNIST", 10_000));
    assert_eq!(requests.try_iter().collect::<Vec<_>>(), packed(Split::Test));
    assert_is_mnist(&open(&options).unwrap().dataset);
    assert_eq!(requests.try_iter().collect::<Vec<_>>(), packed(Split::Train));
    assert_is_mnist(&open(&options).unwrap().dataset);
    assert_eq!(requests.try_iter().count(), 0);
}

#[cfg_attr(no_mnist, ignore = "MNIST_DIR is not set")]
#[test]
fn a_named_mirror_that_has_half_of_the_files_is_an_error_and_nothing_stands_in() {
    let Some(folder) = mnist_dir() else { return };
    let half = tempfile::tempdir().unwrap();
    for name in ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"] {
        if fs::copy(folder.join(name), half.path().join(name)).is_err() {
            skipped::skip("MNIST_DIR does not hold the four .gz files");
            return;
        }
    }
    let (url, _requests) = mirror_of(half.path().into());
    let downloads = tempfile::tempdir().unwrap();
    for source in [Source::Auto, Source::Mnist] {
        let options = Options { source, ..download_into(downloads.path(), &url) };
        let message = open(&options).unwrap_err().to_string();
        assert!(message.contains("t10k-images-idx3-ubyte could not be downloaded"), "{message}");
        assert!(message.contains("404"), "{message}");
    }
    // What came is MNIST's, and is kept.
    assert_eq!(fs::read_dir(downloads.path()).unwrap().count(), 2);
}

#[test]
fn the_network_learns_synthetic_digits_it_has_never_seen() {
    let dataset = Arc::new(synthetic::synthetic(0, 5000, 1000));
    let mut backend = Reference::new(Arc::clone(&dataset));
    backend.load(&TrainingState::new(initial_parameters(0))).unwrap();
    let sgd = Sgd { learning_rate: 0.005, ..Sgd::RECIPE };
    for epoch in 1..=2 {
        let order = shuffled(0, epoch, dataset.train.len());
        let epoch = Epoch { order: &order, batch_length: 20, sgd, layers: Layers::ALL };
        backend.train_epoch(epoch, &mut |_| ControlFlow::Continue(())).unwrap();
    }
    let mut outcomes = vec![Outcome::default(); dataset.test.len()];
    backend.evaluate(Split::Test, &mut outcomes, &mut |_| ControlFlow::Continue(())).unwrap();
    let right =
        outcomes.iter().zip(dataset.test.labels()).filter(|&(outcome, &label)| outcome.prediction == label).count();
    assert!(right >= 900, "{right} of {} digits are told right", dataset.test.len());
    assert!(right < dataset.test.len(), "too easy to stand in for MNIST");
}

/// The committed int8 model is what quantising gives of the committed model, byte for byte, on this machine too.
#[cfg_attr(no_mnist, ignore = "MNIST_DIR is not set")]
#[test]
fn quantising_the_committed_model_gives_the_committed_integers() {
    let Some(folder) = mnist_dir() else { return };
    let committed = |name| Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware/model").join(name);
    let model = LoadedModel::read(&committed("mnist.cnnm")).expect("the committed model can be read");
    let train = open_split(&Options { data: Some(folder), ..Options::default() }, Split::Train).unwrap().samples;
    let quantized = quantize(&model, train.images(), Path::new("int8")).expect("it can be quantised");
    let path = committed("mnist-int8.cnnm");
    assert!(quantized.file() == fs::read(&path).expect("the committed int8 model can be read"), "{}", path.display());
}
