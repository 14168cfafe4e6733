//! The run record, `run.json`: all that a run depends on and all that came out of it.
//!
//! A run is a pure function of its data set, its settings and its seed. The record states these three and the
//! fingerprint of the parameters after every epoch, so that anyone can repeat the run and compare every epoch.
//! Every floating-point number in it reads back as the bits that were written.

use cnn_train::consistency::{Inconsistent, check_initial_file, is_extended, not_negative, one_line, require};
use cnn_train::dataset::DatasetRecord;
use cnn_train::fingerprint::Fingerprint;
use cnn_train::recipe::Recipe;
use cnn_train::trainer::EpochReport;
use serde::{Deserialize, Serialize};

/// The version of a record with the fields that every run has.
pub const RECORD_VERSION: u32 = 1;
/// The version of a record of a run that needs one more: a schedule of the learning rate, layers that are not trained, or
/// parameters that it was given to start from. Such a run has no record of the first version, and no other run one of
/// this.
pub const EXTENDED_RECORD_VERSION: u32 = 2;

/// The longest record that is read, in bytes: that of about 200,000 epochs.
pub const MAX_RECORD_BYTES: u64 = 64 << 20;

/// A run: what it depends on, where it ran, what came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// Versions of the record and of the program.
    pub versions: Versions,
    /// Whether every epoch was trained.
    pub status: Status,
    /// The recipe.
    pub settings: Recipe,
    /// The data.
    pub dataset: DatasetRecord,
    /// The backend's description.
    pub backend: String,
    /// The machine.
    pub host: Host,
    /// Wall-clock time.
    pub seconds: Seconds,
    /// The name of the file that the initial parameters came from, if they are not the seed's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_file: Option<String>,
    /// Fingerprint of the parameters before the first epoch.
    pub initial_fingerprint: Fingerprint,
    /// What every epoch gave, from epoch 1 on without a gap.
    pub epochs: Vec<EpochRecord>,
}

/// Versions, checked before anything else is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// Version of the record: [`RECORD_VERSION`] or [`EXTENDED_RECORD_VERSION`].
    pub record: u32,
    /// Version of the program that wrote it.
    pub program: String,
}

impl Versions {
    /// Those of this program, for the record of a run of this recipe, with or without parameters that it was given.
    pub fn current(recipe: &Recipe, initial_file: Option<&str>) -> Self {
        Self { record: record_version(recipe, initial_file), program: env!("CARGO_PKG_VERSION").into() }
    }
}

/// The version of a run's record.
fn record_version(recipe: &Recipe, initial_file: Option<&str>) -> u32 {
    if is_extended(recipe, initial_file) { EXTENDED_RECORD_VERSION } else { RECORD_VERSION }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every epoch was trained.
    Complete,
    /// The run went on when this was written; if it does no more, it was killed.
    Unfinished,
    /// The run was stopped before its last epoch ended.
    Interrupted,
}

/// The machine of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Processor architecture, as [`std::env::consts::ARCH`] names it.
    pub arch: String,
    /// Operating system, as [`std::env::consts::OS`] names it.
    pub os: String,
}

impl Host {
    /// This machine.
    pub fn current() -> Self {
        Self { arch: std::env::consts::ARCH.into(), os: std::env::consts::OS.into() }
    }
}

/// Wall-clock time of a run, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seconds {
    /// Training all epochs.
    pub training: f64,
    /// Evaluating both splits after every epoch.
    pub evaluation: f64,
    /// The whole run.
    pub total: f64,
}

/// What an epoch gave, evaluated over whole splits after its last step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// The epoch, counted from 1.
    pub epoch: u32,
    /// Mean loss over the training split, finite and not negative.
    pub train_loss: f64,
    /// Share of the training split predicted correctly, 0 to 1.
    pub train_accuracy: f64,
    /// Mean loss over the test split, finite and not negative.
    pub test_loss: f64,
    /// Share of the test split predicted correctly, 0 to 1.
    pub test_accuracy: f64,
    /// Fingerprint of the parameters.
    pub fingerprint: Fingerprint,
}

impl From<&EpochReport> for EpochRecord {
    fn from(EpochReport { metrics, fingerprint, .. }: &EpochReport) -> Self {
        Self {
            epoch: metrics.epoch,
            train_loss: metrics.train.loss,
            train_accuracy: metrics.train.accuracy(),
            test_loss: metrics.test.loss,
            test_accuracy: metrics.test.accuracy(),
            fingerprint: *fingerprint,
        }
    }
}

/// Why bytes are not a run record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not JSON, or a field is missing, unknown or of the wrong type.
    #[error("not a run record: {0}")]
    Json(serde_json::Error),
    /// Written by a program with another form of record.
    #[error(
        "the run record has version {0}, but this program reads versions {RECORD_VERSION} and {EXTENDED_RECORD_VERSION}; \
         use the program that wrote it"
    )]
    Version(u32),
    /// A value that no run has.
    #[error("the run record is not consistent: {0}")]
    Inconsistent(#[from] Inconsistent),
}

impl RunRecord {
    /// The contents of `run.json`, readable by people too.
    ///
    /// # Errors
    /// If the record is one that [`RunRecord::parse`] would refuse.
    pub fn to_json(&self) -> Result<String, RecordError> {
        self.check()?;
        let mut json = serde_json::to_string_pretty(self).map_err(RecordError::Json)?;
        json.push('\n');
        Ok(json)
    }

    /// Reads the contents of a `run.json`. What is accepted is a record that [`RunRecord::to_json`] could have written.
    ///
    /// # Errors
    /// If the bytes are not JSON, of another version, lack a field or have one too many, or if a value is out of range.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Versioned {
            versions: VersionOnly,
        }
        #[derive(Deserialize)]
        struct VersionOnly {
            record: u32,
        }
        let version = serde_json::from_slice::<Versioned>(bytes).map_err(RecordError::Json)?.versions.record;
        if !matches!(version, RECORD_VERSION | EXTENDED_RECORD_VERSION) {
            return Err(RecordError::Version(version));
        }
        let record: Self = serde_json::from_slice(bytes).map_err(RecordError::Json)?;
        record.check()?;
        Ok(record)
    }

    fn check(&self) -> Result<(), Inconsistent> {
        one_line("versions.program", &self.versions.program)?;
        self.settings.check()?;
        check_initial_file(self.initial_file.as_deref())?;
        let version = record_version(&self.settings, self.initial_file.as_deref());
        require(self.versions.record == version, "versions.record", self.versions.record, version)?;
        self.dataset.check()?;
        one_line("backend", &self.backend)?;
        one_line("host.arch", &self.host.arch)?;
        one_line("host.os", &self.host.os)?;
        not_negative("seconds.training", self.seconds.training)?;
        not_negative("seconds.evaluation", self.seconds.evaluation)?;
        not_negative("seconds.total", self.seconds.total)?;
        self.check_epochs()
    }

    fn check_epochs(&self) -> Result<(), Inconsistent> {
        for (expected, epoch) in (1u64..).zip(&self.epochs) {
            let field = |name: &str| format!("{name} of epoch {expected}");
            require(u64::from(epoch.epoch) == expected, &field("the number"), epoch.epoch, expected)?;
            for (name, loss) in [("train_loss", epoch.train_loss), ("test_loss", epoch.test_loss)] {
                not_negative(&field(name), loss)?;
            }
            let DatasetRecord { train_count, test_count, .. } = self.dataset;
            for (name, accuracy, count) in [
                ("train_accuracy", epoch.train_accuracy, train_count),
                ("test_accuracy", epoch.test_accuracy, test_count),
            ] {
                let expected = format_args!("a number of images from 0 to {count} divided by {count}");
                require(is_share(accuracy, count), &field(name), accuracy, expected)?;
            }
        }
        let (trained, planned) = (self.epochs.len(), self.settings.epochs as usize);
        match self.status {
            Status::Complete => require(trained == planned, "the number of epochs", trained, planned),
            Status::Unfinished | Status::Interrupted => {
                require(trained <= planned, "the number of epochs", trained, format!("at most {planned}"))
            }
        }
    }
}

/// Whether an accuracy is that of a number of correct images among `count`, bit for bit.
fn is_share(accuracy: f64, count: u64) -> bool {
    let correct = (accuracy * count as f64).round();
    (0.0..=1.0).contains(&accuracy) && (correct / count as f64).to_bits() == accuracy.to_bits()
}

#[cfg(test)]
mod tests {
    use cnn_core::shapes::Layers;
    use cnn_train::schedule::RateSchedule;

    use super::*;

    fn epoch(epoch: u32) -> EpochRecord {
        EpochRecord {
            epoch,
            train_loss: 0.1 + 0.2,
            train_accuracy: 1.0 / 3.0,
            test_loss: f64::MIN_POSITIVE,
            test_accuracy: 1.0,
            fingerprint: Fingerprint::from([epoch as u8; 32]),
        }
    }

    fn record() -> RunRecord {
        RunRecord {
            versions: Versions::current(&Recipe::TUTORIAL, None),
            status: Status::Complete,
            settings: Recipe { epochs: 2, seed: u64::MAX, ..Recipe::TUTORIAL },
            dataset: DatasetRecord {
                name: "MNIST".into(),
                sha256: [0xab; 32],
                train_count: 60_000,
                test_count: 10_000,
            },
            backend: "reference".into(),
            host: Host::current(),
            seconds: Seconds { training: 1.25, evaluation: 0.5, total: 2.0 },
            initial_file: None,
            initial_fingerprint: Fingerprint::from([0; 32]),
            epochs: vec![epoch(1), epoch(2)],
        }
    }

    /// The record as JSON with one value replaced, parsed.
    fn parsed_with(path: &str, value: serde_json::Value) -> Result<RunRecord, RecordError> {
        let mut json: serde_json::Value = serde_json::from_str(&record().to_json().unwrap()).unwrap();
        *json.pointer_mut(path).unwrap_or_else(|| panic!("{path} exists")) = value;
        RunRecord::parse(json.to_string().as_bytes())
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let mut record = record();
        assert_eq!(RunRecord::parse(record.to_json().unwrap().as_bytes()).unwrap(), record);
        record.status = Status::Interrupted;
        record.epochs.clear();
        assert_eq!(RunRecord::parse(record.to_json().unwrap().as_bytes()).unwrap(), record);
        record.status = Status::Unfinished;
        assert_eq!(RunRecord::parse(record.to_json().unwrap().as_bytes()).unwrap(), record);
    }

    #[test]
    fn every_float_reads_back_bit_for_bit() {
        let mut record = record();
        // A walk through the non-negative finite values of both types, subnormals included.
        for step in 0..4000 {
            let rate = f32::from_bits(step * (f32::INFINITY.to_bits() / 4000) + step % 7);
            let loss = f64::from_bits(u64::from(step) * (f64::INFINITY.to_bits() / 4000) + u64::from(step % 7));
            record.settings.learning_rate = rate;
            record.epochs[0].train_loss = loss;
            let read = RunRecord::parse(record.to_json().unwrap().as_bytes()).unwrap();
            assert_eq!(read.settings.learning_rate.to_bits(), rate.to_bits());
            assert_eq!(read.epochs[0].train_loss.to_bits(), loss.to_bits());
        }
    }

    #[test]
    fn json_shows_settings_as_they_were_typed() {
        let json = record().to_json().unwrap();
        assert!(json.contains("\"learning_rate\": 0.0001,"), "{json}");
        assert!(json.contains("\"status\": \"complete\""), "{json}");
        assert!(json.contains("\"seed\": 18446744073709551615,"), "{json}");
    }

    #[test]
    fn values_that_no_run_has_are_refused() {
        use serde_json::json;
        let cases = [
            ("/epochs/0/epoch", json!(0), "the number of epoch 1"),
            ("/epochs/1/epoch", json!(3), "the number of epoch 2"),
            ("/epochs/1/test_accuracy", json!(1.5), "test_accuracy of epoch 2"),
            ("/epochs/0/train_accuracy", json!(0.5000001), "train_accuracy of epoch 1"),
            ("/epochs/0/train_accuracy", json!((1.0f64 / 3.0).next_up()), "train_accuracy of epoch 1"),
            ("/epochs/0/train_loss", json!(-1e-300), "train_loss of epoch 1"),
            ("/dataset/train_count", json!(59_999), "train_accuracy of epoch 1"),
            ("/dataset/name", json!("MNIST\nepoch   3  the same"), "dataset.name"),
            ("/dataset/name", json!("\u{202e}TSINM"), "dataset.name"),
            ("/backend", json!("cpu\u{1b}[2J"), "backend"),
            ("/versions/program", json!("\u{85}"), "versions.program"),
            ("/host/arch", json!("\u{2028}"), "host.arch"),
            ("/host/os", json!("\r"), "host.os"),
            ("/epochs/1", json!([]), "EpochRecord"),
            ("/epochs/0/fingerprint", json!("abcd"), "string length"),
            ("/epochs/0/train_loss", json!(null), "null"),
            ("/epochs", json!([]), "the number of epochs"),
            ("/initial_fingerprint", json!("x".repeat(64)), "character"),
            ("/dataset/sha256", json!("ab".repeat(31)), "string length"),
            ("/dataset/test_count", json!(0), "dataset.test_count"),
            ("/settings/epochs", json!(3), "the number of epochs"),
            ("/settings/batch_size", json!(-1), "-1"),
            ("/settings/learning_rate", json!(-0.1), "settings.learning_rate"),
            ("/settings/momentum", json!(1e300), "out of range"),
            ("/seconds/total", json!("2"), "string"),
            ("/status", json!("failed"), "failed"),
            ("/host", json!({"arch": "x86_64", "os": "linux", "name": "x"}), "unknown field `name`"),
        ];
        for (path, value, expected) in cases {
            let message = parsed_with(path, value).expect_err(path).to_string();
            assert!(message.contains(expected), "{path}: {message}");
        }
    }

    #[test]
    fn another_version_is_named_before_its_fields_are_read() {
        let message =
            RunRecord::parse(br#"{"versions": {"record": 3, "new": 1}, "other": []}"#).unwrap_err().to_string();
        assert!(message.contains("version 3") && message.contains("versions 1 and 2"), "{message}");
    }

    /// A record of a run with all that the second version adds.
    fn extended() -> RunRecord {
        let settings = Recipe {
            schedule: RateSchedule::Cosine { minimum: 0.00001 },
            layers: Layers::parse("fc1,fc2").unwrap(),
            ..record().settings
        };
        let initial_file = Some("weights.postcard".to_owned());
        RunRecord {
            versions: Versions::current(&settings, initial_file.as_deref()),
            settings,
            initial_file,
            ..record()
        }
    }

    #[test]
    fn what_the_tutorial_does_not_have_stands_in_a_record_of_the_second_version() {
        let json = record().to_json().unwrap();
        assert!(json.contains("\"record\": 1,"), "{json}");
        assert!(!["schedule", "layers", "initial_file"].iter().any(|name| json.contains(name)), "{json}");
        let json = extended().to_json().unwrap();
        for words in [
            "\"record\": 2,",
            "\"learning_rate_schedule\": \"cosine:0.00001\",",
            "\"trained_layers\": \"fc1,fc2\"",
            "\"initial_file\": \"weights.postcard\",",
        ] {
            assert!(json.contains(words), "{words} is not in {json}");
        }
        assert_eq!(RunRecord::parse(json.as_bytes()).unwrap(), extended());
        let cases = [
            ("\"record\": 2", "\"record\": 1", "versions.record is 1, but must be 2"),
            ("cosine:0.00001", "cosine:1e-5", "expected constant, step"),
            ("cosine:0.00001", "step:0:0.1", "EVERY must be"),
            ("cosine:0.00001", "cosine:0.5", "the minimum of settings.learning_rate_schedule is 0.5"),
            ("fc1,fc2", "fc2,fc1", "another order"),
            ("fc1,fc2", "fc1,fc3", "\"fc3\" is not a layer"),
            ("fc1,fc2", "", "a layer's name is empty"),
            ("weights.postcard", "", "the length of initial_file"),
            ("weights.postcard", "a\\nb", "initial_file is"),
            ("weights.postcard", &"x".repeat(256), "the length of initial_file"),
        ];
        for (from, to, words) in cases {
            let message = RunRecord::parse(json.replace(from, to).as_bytes()).expect_err(to).to_string();
            assert!(message.contains(words), "{to}: {message}");
        }
        let plain = record().to_json().unwrap().replace("\"record\": 1", "\"record\": 2");
        assert!(RunRecord::parse(plain.as_bytes()).unwrap_err().to_string().contains("versions.record is 2"));
    }

    #[test]
    fn truncated_or_trailing_text_is_refused() {
        let json = record().to_json().unwrap();
        for length in 0..json.trim_end().len() {
            assert!(RunRecord::parse(&json.as_bytes()[..length]).is_err(), "{length} bytes");
        }
        assert!(RunRecord::parse(format!("{json}}}").as_bytes()).is_err());
        assert!(RunRecord::parse(&[0xff; 16]).is_err());
    }

    #[test]
    fn a_number_that_is_not_finite_is_not_written() {
        let mut record = record();
        record.epochs[1].test_loss = f64::NAN;
        assert!(record.to_json().unwrap_err().to_string().contains("test_loss of epoch 2 is NaN"));
    }
}
