//! The bytes of a checkpoint; `docs/checkpoint.md` is their specification.
//!
//! ```text
//! offset  0   magic  "CNNC"
//!         4   version of the format, u32
//!         8   length of the whole file in bytes, u32
//!        12   CRC-32 (ISO-HDLC) of all other bytes of the file, u32
//!        16   one postcard message: the run so far, parameters, momentum
//! ```

use crate::backend::{TrainingState, boxed_zeros};
use crate::consistency::{Inconsistent, check_initial_file, is_extended, not_negative, one_line, require};
use crate::fingerprint::Fingerprint;
use crate::recipe::Recipe;
use crate::schedule::RateSchedule;
use crate::trainer::EpochReport;
use cnn_core::network::FlatParameters;
use cnn_core::range::{PARAMETER_LIMIT, first_out_of_range};
use cnn_core::shapes::Layers;
use crc::{CRC_32_ISO_HDLC, Crc, Table};
use serde::{Deserialize, Serialize};

use super::{Checkpoint, MAX_BACKENDS};

/// The first four bytes of a checkpoint.
pub const MAGIC: [u8; 4] = *b"CNNC";
/// The format's newest version: of runs with a schedule of the learning rate, with layers that are not trained, or with
/// parameters that they were given to start from. All others have version 1, which lacks the fields for these.
pub const VERSION: u32 = 2;
/// No checkpoint is longer, in bytes.
pub const MAX_BYTES: u64 = 64 << 20;
/// The most epochs that a checkpoint holds, whatever their values: a longer run cannot be checkpointed.
pub const MAX_EPOCHS: u32 = ((MAX_BYTES - (1 << 20) - 2 * BLOCK_LEN as u64) / MAX_EPOCH_LEN as u64) as u32;

/// Bytes of the header: magic, version, length, checksum.
const HEADER_LEN: usize = 16;
/// Bytes of the parameters, and of their momentum.
const BLOCK_LEN: usize = size_of::<FlatParameters>();
/// Bytes that an epoch takes at least: its five integers as varints of one byte each.
const MIN_EPOCH_LEN: usize = 5 + 4 * 8 + 32;
/// Bytes that an epoch takes at most: the epoch in five bytes, the other integers in ten.
const MAX_EPOCH_LEN: usize = 5 + 4 * 10 + 4 * 8 + 32;

/// Sixteen tables take 0.4 ms for a checkpoint where one takes 3.2 ms, of a core that the next epoch trains on. A page waits
/// for them to be loaded.
const TABLES: usize = if cfg!(target_family = "wasm") { 1 } else { 16 };
const CRC: Crc<u32, Table<TABLES>> = Crc::<u32, Table<TABLES>>::new(&CRC_32_ISO_HDLC);

/// Why bytes are not a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The first bytes are something else.
    #[error("not a checkpoint: it does not start with 'CNNC'")]
    Magic,
    /// Written by another version of the format.
    #[error("the checkpoint has format version {found}, this program reads versions 1 and {VERSION}")]
    Version {
        /// The file's version.
        found: u32,
    },
    /// The file ends too early.
    #[error("the checkpoint is truncated: {found} of {expected} bytes")]
    Truncated {
        /// Length that the header states, or the header's own.
        expected: usize,
        /// Length of what is there.
        found: usize,
    },
    /// The file goes on after its end.
    #[error("the checkpoint has {0} bytes after its end")]
    Trailing(usize),
    /// The header states a length that no checkpoint has.
    #[error("the checkpoint's header states a length of {0} bytes, which no checkpoint of this network has")]
    Length(u32),
    /// A byte was changed.
    #[error("the checkpoint is damaged: its checksum does not match")]
    Checksum,
    /// The checksum is right but the message inside makes no sense: another program wrote it.
    #[error("the checkpoint's contents are malformed")]
    Malformed,
    /// A value that no run has.
    #[error("the checkpoint is not consistent: {0}")]
    Inconsistent(#[from] Inconsistent),
    /// A parameter that is NaN, infinite or too large ([`cnn_core::range`]).
    #[error("parameter {index} of the checkpoint is not a number below {PARAMETER_LIMIT} in magnitude")]
    OutOfRange {
        /// Its place in PyTorch's order.
        index: usize,
    },
    /// NaN or infinity among the momentum.
    #[error("momentum {index} of the checkpoint is not a finite number")]
    NonFinite {
        /// Its place in PyTorch's order.
        index: usize,
    },
    /// The parameters are not those that the last epoch ended with.
    #[error("the checkpoint's parameters have the fingerprint {found}, its last epoch ended with {expected}")]
    Fingerprint {
        /// What the last epoch says.
        expected: Fingerprint,
        /// What the parameters give.
        found: Fingerprint,
    },
}

impl From<postcard::Error> for CheckpointError {
    fn from(_: postcard::Error) -> Self {
        Self::Malformed
    }
}

/// A recipe as both versions have it.
#[derive(Serialize, Deserialize)]
struct Settings {
    epochs: u32,
    batch_size: u32,
    learning_rate: f32,
    momentum: f32,
    weight_decay: f32,
    seed: u64,
    shuffle: bool,
}

impl From<&Recipe> for Settings {
    fn from(recipe: &Recipe) -> Self {
        let &Recipe { epochs, batch_size, learning_rate, momentum, weight_decay, seed, shuffle, .. } = recipe;
        Self { epochs, batch_size, learning_rate, momentum, weight_decay, seed, shuffle }
    }
}

/// What version 2 has after that.
#[derive(Serialize, Deserialize)]
struct Extension {
    schedule: RateSchedule,
    layers: String,
    initial_file: Option<String>,
}

impl Extension {
    /// The whole recipe, and the name of the initial parameters' file.
    fn extend(self, settings: Settings) -> Result<(Recipe, Option<String>), CheckpointError> {
        let layers = Layers::parse(&self.layers).map_err(|_| CheckpointError::Malformed)?;
        let Settings { epochs, batch_size, learning_rate, momentum, weight_decay, seed, shuffle } = settings;
        let schedule = self.schedule;
        let recipe =
            Recipe { epochs, batch_size, learning_rate, momentum, weight_decay, seed, shuffle, schedule, layers };
        Ok((recipe, self.initial_file))
    }
}

impl Default for Extension {
    /// What a file of version 1 means.
    fn default() -> Self {
        Self { schedule: RateSchedule::Constant, layers: Layers::ALL.to_string(), initial_file: None }
    }
}

impl Checkpoint {
    /// The version of its file.
    fn version(&self) -> u32 {
        if is_extended(&self.settings, self.initial_file.as_deref()) { VERSION } else { 1 }
    }

    /// The file's contents.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut file = vec![0; HEADER_LEN];
        file.reserve((1 << 12) + self.epochs.len() * MAX_EPOCH_LEN + 2 * BLOCK_LEN);
        write(&mut file, &Settings::from(&self.settings));
        if self.version() == VERSION {
            let (schedule, layers) = (self.settings.schedule, self.settings.layers.to_string());
            write(&mut file, &Extension { schedule, layers, initial_file: self.initial_file.clone() });
        }
        write(&mut file, &self.dataset);
        write(&mut file, &self.initial_fingerprint);
        write(&mut file, &self.backends);
        write(&mut file, &self.epochs);
        for values in [&self.state.parameters, &self.state.momentum] {
            write(&mut file, &BLOCK_LEN);
            file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        let length = u32::try_from(file.len()).expect("MAX_EPOCHS epochs fit");
        file[..4].copy_from_slice(&MAGIC);
        file[4..8].copy_from_slice(&self.version().to_le_bytes());
        file[8..12].copy_from_slice(&length.to_le_bytes());
        seal(&mut file);
        file
    }

    /// Reads a checkpoint. What is accepted is what [`Checkpoint::to_bytes`] writes of a checkpoint of a possible run,
    /// byte for byte.
    ///
    /// # Errors
    /// The first check that fails. It never panics, whatever the bytes, and reserves no more memory than a small
    /// multiple of their length.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let (version, rest) = check_frame(bytes)?;
        let mut message = Message { rest };
        let settings = message.take()?;
        let extension = if version == VERSION { message.take()? } else { Extension::default() };
        let (settings, initial_file) = extension.extend(settings)?;
        let dataset = message.take()?;
        let initial_fingerprint = message.take()?;
        let backends = message.take_list(1, MAX_BACKENDS)?;
        let epochs: Vec<EpochReport> = message.take_list(MIN_EPOCH_LEN, MAX_EPOCHS as usize)?;
        let (mut parameters, mut momentum) = (boxed_zeros(), boxed_zeros());
        message.take_values(&mut parameters)?;
        message.take_values(&mut momentum)?;
        let state = TrainingState { parameters, momentum };
        let checkpoint = Self { settings, dataset, initial_file, initial_fingerprint, backends, epochs, state };
        checkpoint.check()?;
        // Varints have longer forms too, and something may follow the message; what is accepted has one form alone.
        if checkpoint.to_bytes() == bytes { Ok(checkpoint) } else { Err(CheckpointError::Malformed) }
    }

    /// Whether a run can have come to this. The last epoch's fingerprint must be that of the parameters.
    fn check(&self) -> Result<(), CheckpointError> {
        let TrainingState { parameters, momentum } = &self.state;
        if let Some(index) = first_out_of_range(parameters.iter().copied()) {
            return Err(CheckpointError::OutOfRange { index });
        }
        if let Some(index) = momentum.iter().position(|value| !value.is_finite()) {
            return Err(CheckpointError::NonFinite { index });
        }
        self.check_contents()?;
        let found = Fingerprint::of(&self.state.parameters);
        let expected = self.epochs[self.epochs.len() - 1].fingerprint;
        if found == expected { Ok(()) } else { Err(CheckpointError::Fingerprint { expected, found }) }
    }

    fn check_contents(&self) -> Result<(), Inconsistent> {
        self.settings.check()?;
        check_initial_file(self.initial_file.as_deref())?;
        self.dataset.check()?;
        let (trained, planned) = (self.epochs.len(), self.settings.epochs);
        require(trained >= 1, "the number of epochs", trained, "at least 1")?;
        require(trained as u64 <= u64::from(planned), "the number of epochs", trained, format!("at most {planned}"))?;
        require(!self.backends.is_empty(), "the number of backends", 0, "at least 1")?;
        self.backends.iter().try_for_each(|backend| one_line("a backend's description", backend))?;
        (1..).zip(&self.epochs).try_for_each(|(expected, epoch)| self.check_epoch(expected, epoch))
    }

    fn check_epoch(&self, expected: u32, epoch: &EpochReport) -> Result<(), Inconsistent> {
        let field = |name: &str| format!("{name} of epoch {expected}");
        let metrics = &epoch.metrics;
        require(metrics.epoch == expected, &field("the number"), metrics.epoch, expected)?;
        let splits =
            [("training", &metrics.train, self.dataset.train_count), ("test", &metrics.test, self.dataset.test_count)];
        for (name, split, count) in splits {
            not_negative(&field(&format!("the {name} loss")), split.loss)?;
            require(split.count == count, &field(&format!("the {name} count")), split.count, count)?;
            let correct = field(&format!("the number of correct {name} images"));
            require(split.correct <= count, &correct, split.correct, format!("at most {count}"))?;
        }
        not_negative(&field("the training time"), epoch.training_seconds)?;
        not_negative(&field("the evaluation time"), epoch.evaluation_seconds)
    }
}

fn write(file: &mut Vec<u8>, value: &impl Serialize) {
    *file = postcard::to_extend(value, std::mem::take(file)).expect("a Vec takes everything");
}

/// Writes the checksum into a file's header.
fn seal(file: &mut [u8]) {
    let checksum = checksum_of(file);
    file[12..16].copy_from_slice(&checksum.to_le_bytes());
}

/// CRC-32 of a whole file but for the place of the checksum itself.
fn checksum_of(file: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&file[..12]);
    digest.update(&file[HEADER_LEN..]);
    digest.finalize()
}

/// Checks magic, version, length and checksum; returns the version and the message.
fn check_frame(bytes: &[u8]) -> Result<(u32, &[u8]), CheckpointError> {
    let start = bytes.len().min(MAGIC.len());
    if bytes[..start] != MAGIC[..start] {
        return Err(CheckpointError::Magic);
    }
    let Some((header, message)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Err(CheckpointError::Truncated { expected: HEADER_LEN, found: bytes.len() });
    };
    let [_, version, length, checksum]: [u32; 4] =
        std::array::from_fn(|word| u32::from_le_bytes(std::array::from_fn(|byte| header[4 * word + byte])));
    if !(1..=VERSION).contains(&version) {
        return Err(CheckpointError::Version { found: version });
    }
    let expected = length as usize;
    if u64::from(length) > MAX_BYTES || expected < HEADER_LEN + 2 * BLOCK_LEN {
        return Err(CheckpointError::Length(length));
    }
    match bytes.len() {
        found if found < expected => return Err(CheckpointError::Truncated { expected, found }),
        found if found > expected => return Err(CheckpointError::Trailing(found - expected)),
        _ => {}
    }
    if checksum_of(bytes) == checksum { Ok((version, message)) } else { Err(CheckpointError::Checksum) }
}

/// What is left of a postcard message.
struct Message<'a> {
    rest: &'a [u8],
}

impl<'a> Message<'a> {
    fn take<T: Deserialize<'a>>(&mut self) -> Result<T, CheckpointError> {
        let (value, rest) = postcard::take_from_bytes(self.rest)?;
        self.rest = rest;
        Ok(value)
    }

    /// A list of at most `limit` elements of at least `min_len` bytes. Its length is checked before memory is reserved.
    fn take_list<T: Deserialize<'a>>(&mut self, min_len: usize, limit: usize) -> Result<Vec<T>, CheckpointError> {
        let length: usize = self.take()?;
        if length > limit.min(self.rest.len() / min_len) {
            return Err(CheckpointError::Malformed);
        }
        let mut list = Vec::with_capacity(length);
        for _ in 0..length {
            list.push(self.take()?);
        }
        Ok(list)
    }

    /// A byte slice that holds little-endian floats.
    fn take_values(&mut self, values: &mut FlatParameters) -> Result<(), CheckpointError> {
        let block: &[u8] = self.take()?;
        if block.len() != BLOCK_LEN {
            return Err(CheckpointError::Malformed);
        }
        for (value, &bytes) in values.iter_mut().zip(block.as_chunks().0) {
            *value = f32::from_le_bytes(bytes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cnn_core::network::PARAMETER_COUNT;

    use super::super::tests::checkpoint;
    use super::*;

    /// The checkpoint's bytes after a change that a checksum alone would catch.
    fn parsed_with(change: impl FnOnce(&mut Checkpoint)) -> Result<Checkpoint, CheckpointError> {
        let mut changed = checkpoint();
        change(&mut changed);
        Checkpoint::parse(&changed.to_bytes())
    }

    #[test]
    fn what_was_written_is_read_back_bit_for_bit() {
        let checkpoint = checkpoint();
        let bytes = checkpoint.to_bytes();
        let read = Checkpoint::parse(&bytes).expect("a whole file");
        assert_eq!(read, checkpoint);
        for (read, written) in
            [(&read.state.parameters, &checkpoint.state.parameters), (&read.state.momentum, &checkpoint.state.momentum)]
        {
            assert!(read.iter().zip(written.iter()).all(|(read, written)| read.to_bits() == written.to_bits()));
        }
        assert!(read.state.momentum[1].is_sign_negative(), "−0.0 stays −0.0");
    }

    /// A checkpoint of a run that version 1 has no fields for.
    fn extended() -> Checkpoint {
        let mut extended = checkpoint();
        extended.settings.schedule = "step:30:0.1".parse().unwrap();
        extended.settings.layers = Layers::parse("fc1,fc2").unwrap();
        extended.initial_file = Some("weights.postcard".into());
        extended
    }

    #[test]
    fn what_the_tutorial_does_not_have_makes_a_file_of_version_2() {
        let good = extended().to_bytes();
        assert_eq!((checkpoint().to_bytes()[4], good[4]), (1, 2));
        assert_eq!(Checkpoint::parse(&good), Ok(extended()));
        for change in [
            |it: &mut Checkpoint| it.settings.schedule = RateSchedule::Constant,
            |it: &mut Checkpoint| it.settings.layers = Layers::ALL,
            |it: &mut Checkpoint| it.initial_file = None,
        ] {
            let mut changed = extended();
            change(&mut changed);
            assert_eq!(changed.to_bytes()[4], 2);
            assert_eq!(Checkpoint::parse(&changed.to_bytes()), Ok(changed));
        }
        // Either message under the other version's number.
        for (mut file, version) in [(good.clone(), 1), (checkpoint().to_bytes(), 2)] {
            file[4] = version;
            seal(&mut file);
            assert_eq!(Checkpoint::parse(&file), Err(CheckpointError::Malformed));
        }
        let with = |from: &[u8], to: &[u8]| {
            let mut file = good.clone();
            let place = file.windows(from.len()).position(|window| window == from).expect("it is there");
            file.splice(place..place + from.len(), to.iter().copied());
            seal(&mut file);
            Checkpoint::parse(&file)
        };
        let malformed: [(&[u8], &[u8]); 5] = [
            (b"step:30:0.1", b"step:30:1.1"),
            (b"step:30:0.1", b"step:30:.10"),
            (b"step:30:0.1", b"cosine:-0.1"),
            (b"fc1,fc2", b"fc2,fc1"),
            (b"fc1,fc2", b"fc1,fc3"),
        ];
        for (from, to) in malformed {
            assert_eq!(with(from, to), Err(CheckpointError::Malformed), "{to:?}");
        }
        let message = with(b"weights.postcard", b"weights\npostcard").unwrap_err().to_string();
        assert!(message.contains("initial_file is"), "{message}");
    }

    #[test]
    fn each_fault_of_the_frame_is_called_by_its_name() {
        let good = checkpoint().to_bytes();
        let parse = |bytes: &[u8]| Checkpoint::parse(bytes).expect_err("it is damaged");
        let with = |place: usize, value: &[u8]| {
            let mut bytes = good.clone();
            bytes[place..place + value.len()].copy_from_slice(value);
            bytes
        };
        assert_eq!(parse(b"CNNM and so on"), CheckpointError::Magic);
        assert_eq!(parse(b""), CheckpointError::Truncated { expected: 16, found: 0 });
        assert_eq!(parse(b"CNNC"), CheckpointError::Truncated { expected: 16, found: 4 });
        assert_eq!(parse(&with(4, &[3])), CheckpointError::Version { found: 3 });
        assert_eq!(parse(&with(4, &[0])), CheckpointError::Version { found: 0 });
        assert_eq!(parse(&with(8, &[0xff; 4])), CheckpointError::Length(u32::MAX));
        assert_eq!(parse(&with(8, &[16, 0, 0, 0])), CheckpointError::Length(16));
        assert_eq!(parse(&[&good[..], b"abc"].concat()), CheckpointError::Trailing(3));
        let (expected, found) = (good.len(), good.len() - 1);
        assert_eq!(parse(&good[..found]), CheckpointError::Truncated { expected, found });
        assert_eq!(parse(&with(good.len() - 1, &[1])), CheckpointError::Checksum);
    }

    #[test]
    fn values_that_no_run_has_are_refused_and_named() {
        type Change = fn(&mut Checkpoint);
        let cases: [(Change, &str); 17] = [
            (|it| it.settings.epochs = 1, "the number of epochs is 2, but must be at most 1"),
            (|it| it.settings.batch_size = 0, "settings.batch_size is 0"),
            (|it| it.settings.momentum = f32::NAN, "settings.momentum is NaN"),
            (|it| it.dataset.test_count = 0, "dataset.test_count is 0"),
            (|it| it.dataset.train_count = 9, "the training count of epoch 1 is 10, but must be 9"),
            (|it| it.epochs.clear(), "the number of epochs is 0"),
            (|it| it.epochs[1].metrics.epoch = 3, "the number of epoch 2 is 3"),
            (|it| it.epochs[0].metrics.test.loss = f64::INFINITY, "the test loss of epoch 1 is inf"),
            (|it| it.epochs[0].metrics.test.correct = 6, "the number of correct test images of epoch 1 is 6"),
            (|it| it.epochs[1].training_seconds = -1.0, "the training time of epoch 2 is -1"),
            (|it| it.epochs[1].evaluation_seconds = f64::NAN, "the evaluation time of epoch 2 is NaN"),
            (|it| it.epochs[1].metrics.train.loss = -0.5, "the training loss of epoch 2 is -0.5"),
            (|it| it.dataset.name = "ten\nepoch 3".into(), r#"dataset.name is "ten\nepoch 3""#),
            (|it| it.dataset.name = "\u{2066}".into(), r#"dataset.name is "\u{2066}""#),
            (|it| it.backends[0] = "\u{1b}[2J".into(), "a backend's description is"),
            (|it| it.backends.clear(), "the number of backends is 0"),
            (|it| it.state.momentum[7] = f32::INFINITY, "momentum 7 of the checkpoint is not a finite number"),
        ];
        for (change, expected) in cases {
            let message = parsed_with(change).expect_err(expected).to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn parameters_must_be_those_of_the_last_epoch() {
        let result = parsed_with(|it| it.state.parameters[PARAMETER_COUNT - 1] = -0.0);
        assert!(matches!(result, Err(CheckpointError::Fingerprint { .. })), "{result:?}");
    }

    /// A file whose checksum is right and whose message is `head`, then parameters and momentum.
    fn file_of(head: &[u8]) -> Vec<u8> {
        let good = checkpoint().to_bytes();
        let blocks = good.len() - 2 * (BLOCK_LEN + 3);
        let mut file = [&good[..HEADER_LEN], head, &good[blocks..]].concat();
        let length = file.len() as u32;
        file[8..12].copy_from_slice(&length.to_le_bytes());
        seal(&mut file);
        file
    }

    /// The message up to the backends.
    fn start_of_head() -> Vec<u8> {
        let checkpoint = checkpoint();
        let mut head = Vec::new();
        write(&mut head, &Settings::from(&checkpoint.settings));
        write(&mut head, &checkpoint.dataset);
        write(&mut head, &checkpoint.initial_fingerprint);
        head
    }

    #[test]
    fn lists_longer_than_the_file_are_refused_before_memory_is_reserved() {
        let checkpoint = checkpoint();
        let mut name = Vec::new();
        write(&mut name, &Settings::from(&checkpoint.settings));
        write(&mut name, &usize::MAX);
        assert_eq!(Checkpoint::parse(&file_of(&name)), Err(CheckpointError::Malformed));
        let mut backends = start_of_head();
        write(&mut backends, &usize::MAX);
        assert_eq!(Checkpoint::parse(&file_of(&backends)), Err(CheckpointError::Malformed));
        let mut epochs = start_of_head();
        write(&mut epochs, &checkpoint.backends);
        write(&mut epochs, &(MAX_EPOCHS as usize));
        assert_eq!(Checkpoint::parse(&file_of(&epochs)), Err(CheckpointError::Malformed));
    }

    #[test]
    fn a_longer_form_of_a_number_is_refused() {
        let checkpoint = checkpoint();
        let mut head = start_of_head();
        write(&mut head, &checkpoint.backends);
        let mut usual = head.clone();
        write(&mut usual, &checkpoint.epochs);
        assert!(Checkpoint::parse(&file_of(&usual)).is_ok());
        // The two epochs' count as 0x82 0x00 in place of 0x02.
        head.extend([0x82, 0]);
        head.extend(&usual[head.len() - 1..]);
        assert_eq!(Checkpoint::parse(&file_of(&head)), Err(CheckpointError::Malformed));
    }

    #[test]
    fn the_longest_checkpoint_is_within_the_limit() {
        let epoch = EpochReport {
            metrics: crate::metrics::EpochMetrics {
                epoch: u32::MAX,
                train: crate::metrics::Metrics { loss: 1.0, correct: u64::MAX, count: u64::MAX },
                test: crate::metrics::Metrics { loss: 1.0, correct: u64::MAX, count: u64::MAX },
            },
            fingerprint: Fingerprint::from([0xff; 32]),
            training_seconds: 1.0,
            evaluation_seconds: 1.0,
        };
        let mut bytes = Vec::new();
        write(&mut bytes, &epoch);
        assert_eq!(bytes.len(), MAX_EPOCH_LEN);
        let head = (1 << 12) + MAX_BACKENDS * (super::super::MAX_BACKEND_LEN + 2);
        let longest = (head + MAX_EPOCHS as usize * MAX_EPOCH_LEN + 2 * BLOCK_LEN) as u64;
        assert!(longest <= MAX_BYTES, "{longest}");
    }
}
