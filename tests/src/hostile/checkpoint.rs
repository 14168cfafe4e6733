//! Checkpoints.

use std::sync::LazyLock;

use cnn_core::model::HEADER_LEN;
use cnn_core::network::{FlatParameters, Layers, PARAMETER_COUNT};
use cnn_core::text::is_one_line;
use cnn_train::backend::TrainingState;
use cnn_train::checkpoint::{Checkpoint, MAGIC, MAX_BACKENDS, MAX_BYTES};
use cnn_train::consistency::MAX_INITIAL_FILE;
use cnn_train::dataset::DatasetRecord;
use cnn_train::fingerprint::Fingerprint;
use cnn_train::metrics::{EpochMetrics, Metrics};
use cnn_train::random::initial_parameters;
use cnn_train::recipe::Recipe;
use cnn_train::schedule::RateSchedule;
use cnn_train::trainer::EpochReport;

use super::script::Script;
use super::{limited, put_header_right};

/// Bytes of parameters and momentum at the end of a file, each behind its length.
const BLOCKS_LEN: usize = 2 * (3 + size_of::<FlatParameters>());

/// A run of three epochs after its second one.
static BASE: LazyLock<Checkpoint> = LazyLock::new(|| {
    let state = TrainingState { parameters: initial_parameters(1), momentum: initial_parameters(2) };
    let epoch = |epoch| EpochReport {
        metrics: EpochMetrics {
            epoch,
            train: Metrics { loss: 0.3, correct: 9, count: 10 },
            test: Metrics { loss: 0.25, correct: 5, count: 5 },
        },
        fingerprint: Fingerprint::of(&state.parameters),
        training_seconds: 1.5,
        evaluation_seconds: 0.25,
    };
    Checkpoint {
        settings: Recipe {
            epochs: 3,
            batch_size: 2,
            learning_rate: 1e-4,
            momentum: 0.9,
            weight_decay: 5e-3,
            seed: u64::MAX,
            ..Recipe::TUTORIAL
        },
        dataset: DatasetRecord { name: "ten".into(), sha256: [0xab; 32], train_count: 10, test_count: 5 },
        initial_file: None,
        initial_fingerprint: Fingerprint::from([1; 32]),
        backends: vec!["reference".into(), "cpu".into()],
        epochs: vec![epoch(1), epoch(2)],
        state,
    }
});

/// The file of [`BASE`], and that of a run which needs the second version.
static FILES: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let settings = Recipe {
        schedule: RateSchedule::Step { every: 30, factor: 0.1 },
        layers: Layers::parse("fc1,fc2").expect("two layers"),
        ..BASE.settings
    };
    let extended = Checkpoint { settings, initial_file: Some("weights.postcard".into()), ..BASE.clone() };
    [BASE.to_bytes(), extended.to_bytes()]
});

/// Of the first byte, the lowest two bits say how the file is made, bit 2 leaves length and checksum as they are, and bit
/// 3 takes the second version:
///
/// - 0: it is the rest of the input;
/// - 1: its head is the rest of the input, its parameters and its momentum are good;
/// - 2: it is a good file, its head damaged as the rest says;
/// - 3: all of it is.
pub fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let options = script.byte();
    let version = options >> 3 & 1;
    let good = &FILES[usize::from(version)];
    let (start, blocks) = good.split_at(good.len() - BLOCKS_LEN);
    let mut file = match options & 3 {
        0 => script.rest().to_vec(),
        1 => [&start[..HEADER_LEN], script.rest(), blocks].concat(),
        2 => {
            let mut head = start.to_vec();
            script.damage(&mut head);
            [&head, blocks].concat()
        }
        _ => {
            let mut file = good.clone();
            script.damage(&mut file);
            file
        }
    };
    if options & 4 == 0 {
        put_header_right(&mut file, MAGIC, u32::from(version) + 1);
    }
    limited(|| check(&file));
}

/// What is read is a possible point of a run, and its file is this one, byte for byte.
fn check(file: &[u8]) {
    let Ok(checkpoint) = Checkpoint::parse(file) else { return };
    assert!(file.len() as u64 <= MAX_BYTES);
    assert_eq!(checkpoint.to_bytes(), file);
    let Checkpoint { settings, dataset, initial_file, backends, epochs, state, .. } = &checkpoint;
    assert!(initial_file.iter().all(|name| is_one_line(name) && (1..=MAX_INITIAL_FILE).contains(&name.len())));
    let rate = settings.rate(settings.epochs.min(1000));
    assert!((0.0..=settings.learning_rate).contains(&rate), "{rate}");
    assert!((1..=settings.epochs as usize).contains(&epochs.len()) && settings.batch_size >= 1);
    assert!(dataset.train_count >= 1 && dataset.test_count >= 1);
    assert!((1..=MAX_BACKENDS).contains(&backends.len()));
    assert!(backends.iter().chain([&dataset.name]).all(|text| is_one_line(text)));
    let rates = [settings.learning_rate, settings.momentum, settings.weight_decay];
    assert!(rates.iter().all(|rate| rate.is_finite() && *rate >= 0.0));
    for (number, epoch) in (1..).zip(epochs) {
        let EpochMetrics { epoch, train, test } = &epoch.metrics;
        assert_eq!(*epoch, number);
        assert!(train.count == dataset.train_count && train.correct <= train.count && train.loss >= 0.0);
        assert!(test.count == dataset.test_count && test.correct <= test.count && test.loss >= 0.0);
    }
    assert!([&state.parameters, &state.momentum].iter().all(|values| values.iter().all(|value| value.is_finite())));
    assert_eq!(epochs.last().map(|epoch| epoch.fingerprint), Some(Fingerprint::of(&state.parameters)));
    assert_eq!(checkpoint.epoch() as usize, epochs.len());
}

/// Every way to make a file, each once good.
pub fn seeds() -> Vec<Vec<u8>> {
    let [file, extended] = &*FILES;
    let head = &file[HEADER_LEN..file.len() - BLOCKS_LEN];
    let last_parameter = (file.len() - 3 - (PARAMETER_COUNT + 1) * size_of::<f32>()) as u32;
    // The byte 220 stands before a place of four bytes.
    let at = |place: u32| [&[220][..], &place.to_le_bytes()].concat();
    vec![
        [&[4], &file[..64]].concat(),
        [&[1], head].concat(),
        // As if there were 4 billion epochs.
        [&[1], &head[..head.len() - 2 * 69 - 1], &[0xff, 0xff, 0xff, 0xff, 0x0f], &head[head.len() - 2 * 69..]]
            .concat(),
        vec![2],
        vec![3],
        vec![3 | 4, 0, 40],
        // The last parameter and the last momentum become NaN.
        [&[3, 1][..], &at(last_parameter), &[3, 0, 0, 0xc0, 0x7f]].concat(),
        vec![3, 1, 104, 3, 0, 0, 0xc0, 0x7f],
        [&[8 | 1], &extended[HEADER_LEN..extended.len() - BLOCKS_LEN]].concat(),
        vec![8 | 2],
        vec![8 | 3],
        // The message of one version under the number of the other.
        [&[8 | 1], head].concat(),
        [&[1], &extended[HEADER_LEN..extended.len() - BLOCKS_LEN]].concat(),
    ]
}
