//! Run records, `run.json`.

use cnn_core::shapes::Layers;
use cnn_core::text::is_one_line;
use cnn_train::dataset::DatasetRecord;
use cnn_train::fingerprint::Fingerprint;
use cnn_train::recipe::Recipe;
use cnn_train::schedule::RateSchedule;
use host_trainer::report::record::{EpochRecord, Host, RunRecord, Seconds, Status, Versions};

use super::limited;
use super::script::Script;

/// Of the first byte, the lowest two bits say how the text is made:
///
/// - 0: it is the rest of the input;
/// - 1: it is a good record, damaged as the rest says;
/// - 2 and 3: it is a good record, of the first and the second version, in which values, chosen by number, are replaced with pieces of the rest.
pub fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let text = match script.byte() & 3 {
        0 => script.rest().to_vec(),
        1 => {
            let mut text = good_record(false);
            script.damage(&mut text);
            text
        }
        kind => with_values_replaced(&mut script, kind == 3),
    };
    limited(|| check(&text));
}

/// What is read keeps its limits and is the same when it is written and read again.
fn check(text: &[u8]) {
    let Ok(record) = RunRecord::parse(text) else { return };
    let Recipe { epochs, batch_size, learning_rate, momentum, weight_decay, .. } = record.settings;
    assert!(epochs >= 1 && batch_size >= 1 && record.dataset.train_count >= 1 && record.dataset.test_count >= 1);
    assert!([learning_rate, momentum, weight_decay].iter().all(|rate| rate.is_finite() && *rate >= 0.0));
    assert!(record.epochs.len() <= epochs as usize);
    let Host { arch, os } = &record.host;
    assert!([&record.dataset.name, &record.backend, arch, os].iter().all(|text| is_one_line(text)));
    assert!(record.status != Status::Complete || record.epochs.len() == epochs as usize);
    for (number, epoch) in (1..).zip(&record.epochs) {
        assert_eq!(epoch.epoch, number);
        assert!([epoch.train_loss, epoch.test_loss].iter().all(|loss| (0.0..=f64::MAX).contains(loss)));
        assert!((0.0..=1.0).contains(&epoch.train_accuracy) && (0.0..=1.0).contains(&epoch.test_accuracy));
    }
    let written = record.to_json().expect("what was read can be written");
    let read = RunRecord::parse(written.as_bytes()).expect("what was written can be read");
    assert_eq!(read, record);
    assert_eq!(read.to_json().expect("the same again"), written, "every float by its bits");
}

fn good_record(extended: bool) -> Vec<u8> {
    let mut settings = Recipe { epochs: 2, seed: u64::MAX, ..Recipe::TUTORIAL };
    let initial_file = extended.then(|| "weights.postcard".to_owned());
    if extended {
        settings.schedule = RateSchedule::Cosine { minimum: 0.00001 };
        settings.layers = Layers::parse("fc1,fc2").expect("two layers");
    }
    let epoch = |epoch: u32| EpochRecord {
        epoch,
        train_loss: 0.25,
        train_accuracy: 0.5,
        test_loss: 1e-3,
        test_accuracy: 1.0,
        fingerprint: Fingerprint::from([epoch as u8; 32]),
    };
    let record = RunRecord {
        versions: Versions::current(&settings, initial_file.as_deref()),
        status: Status::Complete,
        settings,
        dataset: DatasetRecord { name: "MNIST".into(), sha256: [0xab; 32], train_count: 60_000, test_count: 10_000 },
        backend: "reference".into(),
        host: Host { arch: "x86_64".into(), os: "linux".into() },
        seconds: Seconds { training: 1.25, evaluation: 0.5, total: 2.0 },
        initial_file,
        initial_fingerprint: Fingerprint::from([0; 32]),
        epochs: vec![epoch(1), epoch(2)],
    };
    record.to_json().expect("a good record").into_bytes()
}

/// Steps of a value's number, a length, and as many bytes to stand in its place.
fn with_values_replaced(script: &mut Script<'_>, extended: bool) -> Vec<u8> {
    let mut text = good_record(extended);
    while !script.is_empty() {
        let (number, len) = (usize::from(script.byte()), usize::from(script.byte()));
        let starts: Vec<usize> = (0..text.len()).filter(|&i| text[i] == b':').map(|i| i + 1).collect();
        let Some(&start) = starts.get(number % starts.len().max(1)) else { return text };
        let end = text[start..].iter().position(|byte| b",\n".contains(byte)).map_or(text.len(), |len| start + len);
        text.splice(start..end, script.take(len).iter().copied());
    }
    text
}

/// A record, and what JSON readers trip over.
pub fn seeds() -> Vec<Vec<u8>> {
    let raw = |text: &[u8]| [&[0], text].concat();
    vec![
        raw(&good_record(false)),
        raw(&good_record(true)),
        raw(br#"{"versions": {"record": 2, "new": 1}, "other": []}"#),
        raw(&b"[".repeat(2000)),
        raw(&br#"{"versions":"#.repeat(200)),
        vec![1],
        vec![2],
        vec![3],
        b"\x03\x09\x0f\"step:1:0.5\"    ".to_vec(),
        b"\x02\x05\x044e-7\x08\x051e400\x09\x08\"\\ud800\"".to_vec(),
        b"\x02\x04\x09123456789\x0d\x020.".to_vec(),
        b"\x02\x05\x0399.\x06\x0318446744073709551616".to_vec(),
    ]
}
