//! Every file that a run goes on from or that others run: no changed byte and no missing one goes unnoticed.

use std::path::Path;

use cnn_core::model::{HEADER_LEN, Model};
use cnn_train::backend::TrainingState;
use cnn_train::checkpoint::Checkpoint;
use cnn_train::dataset::DatasetRecord;
use cnn_train::fingerprint::Fingerprint;
use cnn_train::metrics::{EpochMetrics, Metrics};
use cnn_train::random::{initial_parameters, shuffled};
use cnn_train::recipe::Recipe;
use cnn_train::threads;
use cnn_train::trainer::EpochReport;
use host_trainer::model_file;

/// Bytes of the start of a file that are all changed, header and metadata among them.
const HEAD: usize = 1200;
/// Bytes behind them that are changed, each at a place of its own.
const CHANGES: usize = 10_000;

fn checkpoint() -> Vec<u8> {
    let parameters = initial_parameters(1);
    let fingerprint = Fingerprint::of(&parameters);
    let metrics = |count| Metrics { loss: 2.3, correct: count / 10, count };
    let epoch = |epoch| EpochReport {
        metrics: EpochMetrics { epoch, train: metrics(60_000), test: metrics(10_000) },
        fingerprint,
        training_seconds: 1.5,
        evaluation_seconds: 0.5,
    };
    let state = TrainingState { momentum: initial_parameters(2), parameters };
    Checkpoint {
        settings: Recipe::TUTORIAL,
        dataset: DatasetRecord { name: "MNIST".into(), sha256: [7; 32], train_count: 60_000, test_count: 10_000 },
        initial_file: None,
        initial_fingerprint: fingerprint,
        backends: vec!["reference".into()],
        epochs: (1..=5).map(epoch).collect(),
        state,
    }
    .to_bytes()
}

fn model(folder: &Path) -> Vec<u8> {
    let path = folder.join("model");
    model_file::write(&path, None, &initial_parameters(1), &[9; 784]).expect("written");
    std::fs::read(path).expect("read")
}

#[test]
fn every_changed_byte_of_a_checkpoint_is_noticed() {
    changes_are_noticed(&checkpoint(), |bytes| Checkpoint::parse(bytes).is_ok());
}

#[test]
fn every_changed_byte_of_a_model_file_is_noticed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    changes_are_noticed(&model(folder.path()), |bytes| Model::parse(bytes).is_ok());
}

#[test]
fn every_truncation_is_noticed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (checkpoint, model) = (checkpoint(), model(folder.path()));
    for len in 0..checkpoint.len() {
        assert!(Checkpoint::parse(&checkpoint[..len]).is_err(), "{len} bytes of a checkpoint");
    }
    for len in 0..model.len() {
        assert!(Model::parse(&model[..len]).is_err(), "{len} bytes of a model file");
    }
}

/// Every other value of every byte of the header; every byte of the head and [`CHANGES`] others changed once.
fn changes_are_noticed(file: &[u8], accepted: impl Fn(&[u8]) -> bool + Sync) {
    assert!(accepted(file));
    let header = (0..HEADER_LEN).flat_map(|place| (1..=255).map(move |change| (place, change)));
    let body = shuffled(0, 1, file.len() - HEAD).into_iter().take(CHANGES).map(|place| HEAD + place as usize);
    let once = (HEADER_LEN..HEAD).chain(body).map(|place| (place, 1 + (place % 255) as u8));
    let changes: Vec<(usize, u8)> = header.chain(once).collect();
    let mut parts: Vec<_> = changes.chunks(256).collect();
    threads::for_each(&mut parts, &|_, changes| {
        let mut file = file.to_vec();
        for &(place, change) in *changes {
            file[place] ^= change;
            assert!(!accepted(&file), "byte {place} changed by {change:#04x}");
            file[place] ^= change;
        }
        assert!(accepted(&file), "all changes were undone");
    });
}
