//! A run's curves as TensorBoard reads them: event files.
//!
//! A file is a series of records (TFRecord): length, its checksum, an `Event` message, its checksum
//! (<https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details>); the messages are those of
//! `tensorboard/compat/proto/event.proto` and `summary.proto`, as far as scalars need them.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use cnn_train::metrics::EpochMetrics;
use crc::{CRC_32_ISCSI, Crc};
use prost::Message;

use crate::files::{FileError, create_folder};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// `Event`.
#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

/// `SessionLog`.
#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

impl SessionLog {
    /// Of what an earlier file of the folder says, the event's step and all after it is void.
    const START: Self = Self { status: 1 };
}

/// `Summary`.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

/// `Summary.Value` of a scalar.
#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// An event file that follows a run.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Makes a new file in a folder, and the folder. It begins with epoch `first`: curves of a run that this one goes on
    /// from stay up to there, those of a run that it replaces do not.
    ///
    /// # Errors
    /// If one of them cannot be made.
    pub fn create(folder: &Path, first: u32) -> Result<Self, FileError> {
        create_folder(folder)?;
        let now = now();
        // TensorBoard takes the files of a folder in the order of their names. Two runs may begin in one second.
        let name = format!("events.out.tfevents.{:010}.host-trainer.{}", now as u64, process::id());
        let path = folder.join(name);
        let file = File::create(&path).map_err(|cause| FileError::Write { path: path.clone(), cause })?;
        let mut events = Self { path, file };
        events.write(&Event { wall_time: now, file_version: Some("brain.Event:2".into()), ..Event::default() })?;
        let start =
            Event { wall_time: now, step: first.into(), session_log: Some(SessionLog::START), ..Event::default() };
        events.write(&start)?;
        Ok(events)
    }

    /// Adds an epoch: loss and accuracy of both splits, and the learning rate; the step is the epoch.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn epoch(&mut self, metrics: &EpochMetrics, learning_rate: f32) -> Result<(), FileError> {
        let EpochMetrics { epoch, train, test } = metrics;
        let scalars = [
            ("loss/train", train.loss as f32),
            ("loss/test", test.loss as f32),
            ("accuracy/train", train.accuracy() as f32),
            ("accuracy/test", test.accuracy() as f32),
            ("learning_rate", learning_rate),
        ];
        let value = scalars.map(|(tag, value)| Scalar { tag: tag.into(), simple_value: Some(value) });
        let summary = Some(Summary { value: value.into() });
        self.write(&Event { wall_time: now(), step: i64::from(*epoch), summary, ..Event::default() })
    }

    fn write(&mut self, event: &Event) -> Result<(), FileError> {
        let written = self.file.write_all(&record(&event.encode_to_vec()));
        written.map_err(|cause| FileError::Write { path: self.path.clone(), cause })
    }
}

/// Data with its length and both checksums.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), data, &masked(data)].concat()
}

/// A checksum of data that may itself hold checksums.
fn masked(data: &[u8]) -> [u8; 4] {
    CRC.checksum(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use cnn_train::metrics::Metrics;

    use super::*;

    #[test]
    fn a_record_is_what_tensorflow_writes() {
        // The first record of every event file that TensorBoard's own writer made at second 0.
        let event = Event { file_version: Some("brain.Event:2".into()), ..Event::default() };
        let expected = b"\x1a\x0dbrain.Event:2";
        assert_eq!(event.encode_to_vec(), expected);
        // The check value of the catalogue of CRCs (CRC-32/ISCSI), and what the mask makes of it.
        assert_eq!(CRC.checksum(b"123456789"), 0xe306_9283);
        assert_eq!(masked(b"123456789"), 0xc78a_b0e5_u32.to_le_bytes());
        assert_eq!(record(b"123456789").len(), 8 + 4 + 9 + 4);
    }

    #[test]
    fn every_epoch_is_a_record_with_five_scalars() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(&folder.path().join("deep/logs"), 1).unwrap();
        let test = Metrics { loss: 0.25, correct: 3, count: 4 };
        let train = Metrics { loss: 0.5, correct: 1, count: 4 };
        for epoch in [1, 2] {
            events.epoch(&EpochMetrics { epoch, train, test }, 0.01).unwrap();
        }
        let bytes = std::fs::read(&events.path).unwrap();
        let mut rest = &bytes[..];
        let mut read = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked(&rest[..8]));
            assert_eq!(rest[12 + length..16 + length], masked(&rest[12..12 + length]));
            read.push(Event::decode(&rest[12..12 + length]).unwrap());
            rest = &rest[16 + length..];
        }
        assert_eq!(read.iter().map(|event| event.step).collect::<Vec<_>>(), [0, 1, 1, 2]);
        assert_eq!(read[1].session_log, Some(SessionLog::START));
        let scalars: Vec<_> = read[3].summary.as_ref().unwrap().value.iter().collect();
        assert_eq!(scalars.len(), 5);
        assert_eq!((&*scalars[3].tag, scalars[3].simple_value), ("accuracy/test", Some(0.75)));
        assert!(read[2].wall_time > 1.7e9);
    }
}
