//! The model file: what a trained network needs to run anywhere, in one piece that is read in place.
//!
//! ```text
//! offset  0   magic  "CNNM"
//!         4   version of the format, u32
//!         8   length of the whole file in bytes, u32
//!        12   CRC-32 (ISO-HDLC) of all other bytes of the file, u32
//!        16   one postcard message: metadata, padding, parameters
//! ```
//!
//! Header numbers are little-endian. The message's last field is the parameters as little-endian f32; the padding
//! before it puts them on a 16-byte border of the file, so that a microcontroller borrows them from flash.
//! `docs/model-file.md` is the specification of every byte.

use bytemuck::try_cast_slice;
use serde::{Deserialize, Serialize};

use crate::environment::Violation;
use crate::image::Pixels;
use crate::network::{self, Activations, FlatParameters, Logits, Parameters, TENSORS};
use crate::range::first_out_of_range;
use crate::sgd::Sgd;
use crate::text::is_one_line;

/// The first four bytes of a model file.
pub const MAGIC: [u8; 4] = *b"CNNM";
/// The format's version. A reader takes this one alone.
pub const VERSION: u32 = 1;
/// The parameters start at a multiple of this many bytes from the start of the file.
pub const ALIGNMENT: usize = 16;
/// What stands between header and parameters - metadata with the longest name, padding, the parameters' length - takes
/// no more bytes than this.
pub const MAX_START: usize = 2048;
/// No model file is longer: header, start and parameters, in bytes.
pub const MAX_LEN: usize = HEADER_LEN + MAX_START + PARAMETER_BYTES;
/// The longest name of a data set, in bytes.
pub const MAX_DATASET_NAME: usize = 255;

/// Bytes of the header: magic, version, length, checksum.
pub const HEADER_LEN: usize = 16;
const CRC_RANGE: core::ops::Range<usize> = 12..16;
const PARAMETER_BYTES: usize = size_of::<FlatParameters>();
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// What a model file says of its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata<'a> {
    /// PyTorch's shape of each tensor, filled up with ones: [`SHAPES`].
    pub shapes: [[u16; 4]; TENSORS.len()],
    /// How the parameters were trained; nothing for imported ones.
    #[serde(borrow)]
    pub training: Option<Training<'a>>,
    /// SHA-256 of the parameters as little-endian f32.
    pub fingerprint: [u8; 32],
    /// An image whose logits are known.
    #[serde(borrow)]
    pub golden: Golden<'a>,
}

impl Metadata<'_> {
    /// Whether a model of this network can have them.
    fn check(&self) -> Result<(), ModelError> {
        if self.shapes != SHAPES {
            return Err(ModelError::Shapes);
        }
        if self.golden.pixels.len() != size_of::<Pixels>()
            || self.training.is_some_and(|training| training.dataset.len() > MAX_DATASET_NAME)
        {
            return Err(ModelError::Malformed);
        }
        self.check_values()
    }

    /// Whether the values are such as a model can have.
    fn check_values(&self) -> Result<(), ModelError> {
        // A network in range gives no other logits.
        if !self.golden.logits.iter().all(|logit| logit.is_finite()) {
            return Err(Impossible::GoldenLogit.into());
        }
        Ok(self.training.map_or(Ok(()), |training| training.check())?)
    }
}

/// The run that trained the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Training<'a> {
    /// The data set's name, [one line](crate::text) of at most [`MAX_DATASET_NAME`] bytes.
    pub dataset: &'a str,
    /// The data set's hash, as the run record has it.
    pub dataset_hash: [u8; 32],
    /// The seed of the initial parameters and of the shuffles.
    pub seed: u64,
    /// Epochs that were trained, at least 1.
    pub epochs: u32,
    /// Images of a step, at least 1.
    pub batch_length: u32,
    /// Whether each epoch had an order of its own.
    pub shuffle: bool,
    /// Learning rate; like momentum and weight decay finite and not negative.
    pub learning_rate: f32,
    /// Momentum.
    pub momentum: f32,
    /// Weight decay.
    pub weight_decay: f32,
    /// Images of the test split that these parameters classify correctly, at most all of them.
    pub test_correct: u32,
    /// Images of the test split, at least 1.
    pub test_count: u32,
}

impl Training<'_> {
    /// The optimiser's settings.
    pub fn sgd(&self) -> Sgd {
        Sgd { learning_rate: self.learning_rate, momentum: self.momentum, weight_decay: self.weight_decay }
    }

    /// Whether a run can have been so.
    fn check(&self) -> Result<(), Impossible> {
        let is_rate = |rate: f32| rate.is_finite() && rate >= 0.0;
        if !is_one_line(self.dataset) {
            Err(Impossible::DatasetName)
        } else if self.epochs == 0 {
            Err(Impossible::Epochs)
        } else if self.batch_length == 0 {
            Err(Impossible::BatchLength)
        } else if !is_rate(self.learning_rate) {
            Err(Impossible::LearningRate)
        } else if !is_rate(self.momentum) {
            Err(Impossible::Momentum)
        } else if !is_rate(self.weight_decay) {
            Err(Impossible::WeightDecay)
        } else if self.test_count == 0 {
            Err(Impossible::TestCount)
        } else if self.test_correct > self.test_count {
            Err(Impossible::TestCorrect)
        } else {
            Ok(())
        }
    }
}

/// An image and the logits that the parameters give for it, bit for bit, on any machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Golden<'a> {
    /// 784 pixels in raster order.
    pub pixels: &'a [u8],
    /// Their logits.
    pub logits: Logits,
}

/// The shapes of this network's tensors as a model file has them.
pub const SHAPES: [[u16; 4]; TENSORS.len()] = {
    let mut shapes = [[1; 4]; TENSORS.len()];
    let mut tensor = 0;
    while tensor < TENSORS.len() {
        let mut dimension = 0;
        while dimension < TENSORS[tensor].shape.len() {
            shapes[tensor][dimension] = TENSORS[tensor].shape[dimension] as u16;
            dimension += 1;
        }
        tensor += 1;
    }
    shapes
};

/// Why bytes are not a model that this network runs.
///
/// A board sends it to its host as it is, so the order of the variants is part of [`crate::protocol`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ModelError {
    /// The first bytes are something else.
    #[error("not a model file: it does not start with 'CNNM'")]
    Magic,
    /// Written by another version of the format.
    #[error("the model file has format version {found}, this program reads version {VERSION}")]
    Version {
        /// The file's version.
        found: u32,
    },
    /// The file ends too early.
    #[error("the model file is truncated: {found} of {expected} bytes")]
    Truncated {
        /// Length that the header states, or the header's own.
        expected: usize,
        /// Length of what is there.
        found: usize,
    },
    /// The file goes on after its end.
    #[error("the model file has {0} bytes after its end")]
    Trailing(usize),
    /// The header states a length that no model file has.
    #[error("the model file's header states a length of {0} bytes, which no model of this network has")]
    Length(u32),
    /// A byte was changed.
    #[error("the model file is damaged: its checksum does not match")]
    Checksum,
    /// The checksum is right but the message inside makes no sense: another program wrote it.
    #[error("the model file's contents are malformed")]
    Malformed,
    /// The parameters of another network.
    #[error("the model file holds another network: its tensors have other shapes")]
    Shapes,
    /// A parameter that is NaN, infinite or too large ([`crate::range`]).
    #[error("parameter {0} of the model file is not a number below 2^24 in magnitude")]
    OutOfRange(usize),
    /// The bytes do not lie on a 4-byte border, or the machine is big-endian: copy instead of borrowing.
    #[error("the model's parameters cannot be borrowed from where they lie")]
    NotInPlace,
    /// The golden image gives other logits: this machine does not compute as the contract says.
    #[error("self-test failed: the golden image's logit {class} is {found} where the model file says {expected}")]
    SelfTest {
        /// The first class that differs.
        class: usize,
        /// The file's logit.
        expected: Bits,
        /// This machine's logit.
        found: Bits,
    },
    /// Metadata too long for the format, or room for the file too small.
    #[error("the model's metadata does not fit")]
    NoRoom,
    /// Metadata that no model has.
    #[error("the model file is not consistent: {0}")]
    Impossible(#[from] Impossible),
    /// This machine cannot give any model's bits, whatever the golden image says.
    #[error("this machine does not compute as the contract says: {0}")]
    Arithmetic(#[from] Violation),
}

/// Metadata that no model has; the order of the variants is part of [`crate::protocol`] too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Impossible {
    /// A logit of the golden image is NaN or infinite.
    #[error("a logit of its golden image is not a finite number")]
    GoldenLogit,
    /// Control characters, or others that break or reorder the line.
    #[error("the name of its data set is not one line of plain text")]
    DatasetName,
    /// None.
    #[error("it was trained for 0 epochs")]
    Epochs,
    /// No images in a step.
    #[error("it was trained in batches of 0 images")]
    BatchLength,
    /// NaN, infinite or negative.
    #[error("its learning rate is negative or not a finite number")]
    LearningRate,
    /// NaN, infinite or negative.
    #[error("its momentum is negative or not a finite number")]
    Momentum,
    /// NaN, infinite or negative.
    #[error("its weight decay is negative or not a finite number")]
    WeightDecay,
    /// None.
    #[error("it was tested on 0 images")]
    TestCount,
    /// More correct ones than there are.
    #[error("it classifies more test images correctly than there are")]
    TestCorrect,
}

/// A float known by its bits, shown as number and bits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bits(
    /// IEEE-754 binary32.
    pub u32,
);

impl core::fmt::Display for Bits {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} (0x{:08x})", f32::from_bits(self.0), self.0)
    }
}

impl core::fmt::Debug for Bits {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// A model file whose every byte was checked, borrowed from where it lies.
#[derive(Debug, Clone)]
pub struct Model<'a> {
    metadata: Metadata<'a>,
    parameters: &'a [u8],
}

impl<'a> Model<'a> {
    /// Checks a file: magic, version, length, checksum, structure, shapes, range of the parameters.
    ///
    /// # Errors
    /// The first check that fails. It never panics, whatever the bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let (model, rest) = Self::parse_prefix(bytes)?;
        if rest.is_empty() { Ok(model) } else { Err(ModelError::Trailing(rest.len())) }
    }

    /// The same for bytes that may go on after the file, as a region of flash does; returns what follows it.
    ///
    /// # Errors
    /// As [`Model::parse`].
    pub fn parse_prefix(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ModelError> {
        let (file, rest) = frame(bytes)?;
        let start = read_start(file.len(), &file[HEADER_LEN..])?;
        let Start { metadata, parameters_at } = start.ok_or(ModelError::Malformed)?;
        let parameters = file.get(parameters_at..).ok_or(ModelError::Malformed)?;
        let model = Model { metadata, parameters };
        first_out_of_range(model.values()).map_or(Ok((model, rest)), |index| Err(ModelError::OutOfRange(index)))
    }

    /// What the file says of its parameters.
    pub fn metadata(&self) -> &Metadata<'a> {
        &self.metadata
    }

    /// The golden image.
    pub fn golden_pixels(&self) -> &'a Pixels {
        self.metadata.golden.pixels.try_into().expect("the length was checked")
    }

    /// The parameters where they lie, without a copy.
    ///
    /// # Errors
    /// [`ModelError::NotInPlace`] if the file does not lie on a 4-byte border or the machine is big-endian.
    pub fn parameters(&self) -> Result<&'a FlatParameters, ModelError> {
        if cfg!(target_endian = "big") {
            return Err(ModelError::NotInPlace);
        }
        let values: &[f32] = try_cast_slice(self.parameters).map_err(|_| ModelError::NotInPlace)?;
        Ok(values.try_into().expect("the length was checked"))
    }

    /// Copies the parameters, on any machine and from any place.
    pub fn copy_parameters(&self, parameters: &mut FlatParameters) {
        for (parameter, value) in parameters.iter_mut().zip(self.values()) {
            *parameter = value;
        }
    }

    /// Runs the golden image through the network: its logits must be the file's, bit for bit.
    ///
    /// # Errors
    /// [`ModelError::SelfTest`] with the first logit that differs.
    pub fn self_test(&self, parameters: &Parameters<'_>, activations: &mut Activations) -> Result<(), ModelError> {
        self.check_golden(&network::logits(self.golden_pixels(), parameters, activations))
    }

    /// Compares logits that were computed of the golden image with the file's, bit for bit.
    ///
    /// # Errors
    /// [`ModelError::SelfTest`] with the first logit that differs.
    pub fn check_golden(&self, logits: &Logits) -> Result<(), ModelError> {
        for (class, (found, expected)) in logits.iter().zip(&self.metadata.golden.logits).enumerate() {
            if found.to_bits() != expected.to_bits() {
                let (expected, found) = (Bits(expected.to_bits()), Bits(found.to_bits()));
                return Err(ModelError::SelfTest { class, expected, found });
            }
        }
        Ok(())
    }

    fn values(&self) -> impl Iterator<Item = f32> + '_ {
        self.parameters.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))
    }
}

/// The first bytes of a model file: magic, version, length, checksum.
pub type FileHeader = [u8; HEADER_LEN];

/// Checks magic, version and length of a header and returns the length of the file that it starts.
///
/// # Errors
/// [`ModelError::Magic`], [`ModelError::Version`] or [`ModelError::Length`].
pub fn file_len(header: &FileHeader) -> Result<usize, ModelError> {
    if !header.starts_with(&MAGIC) {
        return Err(ModelError::Magic);
    }
    let [_, version, length, _] = header_words(header);
    if version != VERSION {
        return Err(ModelError::Version { found: version });
    }
    let len = length as usize;
    if (HEADER_LEN + PARAMETER_BYTES..=MAX_LEN).contains(&len) { Ok(len) } else { Err(ModelError::Length(length)) }
}

/// Checks the checksum in `header` against all that follows it in the file.
///
/// # Errors
/// [`ModelError::Checksum`].
pub fn check_contents(header: &FileHeader, contents: &[u8]) -> Result<(), ModelError> {
    let [_, _, _, checksum] = header_words(header);
    if checksum_of(header, contents) == checksum { Ok(()) } else { Err(ModelError::Checksum) }
}

/// Checks the start of a file of `len` bytes while it arrives: `contents` is what there is of it behind the header.
/// Whether it reaches to the parameters; if so, all that stands in front of them was checked.
///
/// # Errors
/// What [`Model::parse`] would say of the whole file, if the start tells already.
pub fn check_start(len: usize, contents: &[u8]) -> Result<bool, ModelError> {
    match read_start(len, contents)? {
        Some(_) => Ok(true),
        None if contents.len() < MAX_START => Ok(false),
        None => Err(ModelError::Malformed),
    }
}

/// What stands between header and parameters.
struct Start<'a> {
    metadata: Metadata<'a>,
    /// Where in the file the parameters begin; they end it.
    parameters_at: usize,
}

/// Reads and checks the start of a file of `len` bytes; nothing if `contents` ends before it does.
fn read_start(len: usize, contents: &[u8]) -> Result<Option<Start<'_>>, ModelError> {
    let Some((metadata, message)) = take::<Metadata<'_>>(contents)? else { return Ok(None) };
    metadata.check()?;
    let Some((_padding, message)) = take::<&[u8]>(message)? else { return Ok(None) };
    // A byte slice is its length and the bytes.
    let Some((parameter_bytes, message)) = take::<usize>(message)? else { return Ok(None) };
    let parameters_at = HEADER_LEN + contents.len() - message.len();
    let well_formed = parameters_at.is_multiple_of(ALIGNMENT)
        && parameter_bytes == PARAMETER_BYTES
        && parameters_at.checked_add(PARAMETER_BYTES) == Some(len);
    if well_formed { Ok(Some(Start { metadata, parameters_at })) } else { Err(ModelError::Malformed) }
}

/// A value at the start of `message`, and what follows; nothing if the message ends within it.
fn take<'a, T: Deserialize<'a>>(message: &'a [u8]) -> Result<Option<(T, &'a [u8])>, ModelError> {
    match postcard::take_from_bytes(message) {
        Ok(taken) => Ok(Some(taken)),
        Err(postcard::Error::DeserializeUnexpectedEnd) => Ok(None),
        Err(_) => Err(ModelError::Malformed),
    }
}

fn header_words(header: &FileHeader) -> [u32; 4] {
    core::array::from_fn(|i| u32::from_le_bytes(core::array::from_fn(|byte| header[4 * i + byte])))
}

/// Cuts the file out of `bytes` by its header and checks its checksum.
fn frame(bytes: &[u8]) -> Result<(&[u8], &[u8]), ModelError> {
    let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
        let start = bytes.len().min(MAGIC.len());
        return Err(if bytes[..start] == MAGIC[..start] {
            ModelError::Truncated { expected: HEADER_LEN, found: bytes.len() }
        } else {
            ModelError::Magic
        });
    };
    let len = file_len(header)?;
    let Some((file, rest)) = bytes.split_at_checked(len) else {
        return Err(ModelError::Truncated { expected: len, found: bytes.len() });
    };
    check_contents(header, &file[HEADER_LEN..])?;
    Ok((file, rest))
}

/// CRC-32 of a whole file but for the place of the checksum itself, the last of the header.
fn checksum_of(header: &FileHeader, contents: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&header[..CRC_RANGE.start]);
    digest.update(contents);
    digest.finalize()
}

/// Writes a model file to the start of `file` and returns its length, at most [`MAX_LEN`].
///
/// # Errors
/// [`ModelError::OutOfRange`] for a parameter that is, [`ModelError::Malformed`] if the golden image does not have 784
/// pixels, [`ModelError::NoRoom`] if `file` is too short or a name too long, [`ModelError::Impossible`] for values that no
/// model has.
pub fn encode(metadata: &Metadata<'_>, parameters: &FlatParameters, file: &mut [u8]) -> Result<usize, ModelError> {
    if let Some(index) = first_out_of_range(parameters.iter().copied()) {
        return Err(ModelError::OutOfRange(index));
    }
    if metadata.golden.pixels.len() != size_of::<Pixels>() {
        return Err(ModelError::Malformed);
    }
    if metadata.training.is_some_and(|training| training.dataset.len() > MAX_DATASET_NAME) {
        return Err(ModelError::NoRoom);
    }
    metadata.check_values()?;
    let mut end = HEADER_LEN;
    end += write_message(metadata, file, end)?;
    // The padding's own length takes one byte, the length of the parameters as a varint three.
    let padding = [0; ALIGNMENT];
    let padding = &padding[..(end + 1 + 3).next_multiple_of(ALIGNMENT) - (end + 1 + 3)];
    end += write_message(&padding, file, end)?;
    end += write_message(&PARAMETER_BYTES, file, end)?;
    debug_assert!(end.is_multiple_of(ALIGNMENT));
    let block = file.get_mut(end..end + PARAMETER_BYTES).ok_or(ModelError::NoRoom)?;
    for (bytes, value) in block.as_chunks_mut().0.iter_mut().zip(parameters) {
        *bytes = value.to_le_bytes();
    }
    end += PARAMETER_BYTES;

    let file = &mut file[..end];
    file[..4].copy_from_slice(&MAGIC);
    file[4..8].copy_from_slice(&VERSION.to_le_bytes());
    file[8..12].copy_from_slice(&(end as u32).to_le_bytes());
    seal(file);
    Ok(end)
}

/// Writes the checksum into a file's header.
fn seal(file: &mut [u8]) {
    if let Some((header, contents)) = file.split_first_chunk_mut() {
        let checksum = checksum_of(header, contents);
        header[CRC_RANGE].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Serialises `value` at `file[start..]`; returns the bytes it took.
fn write_message(value: &impl Serialize, file: &mut [u8], start: usize) -> Result<usize, ModelError> {
    let room = file.get_mut(start..).ok_or(ModelError::NoRoom)?;
    Ok(postcard::to_slice(value, room).map_err(|_| ModelError::NoRoom)?.len())
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::boxed::Box;
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::network::PARAMETER_COUNT;
    use crate::range::PARAMETER_LIMIT;

    const PIXELS: Pixels = [7; size_of::<Pixels>()];

    fn parameters() -> Box<FlatParameters> {
        let values: Vec<f32> = (0..PARAMETER_COUNT).map(|i| (i % 251) as f32 / 2048.0 - 0.05).collect();
        values.into_boxed_slice().try_into().expect("the length is PARAMETER_COUNT")
    }

    fn metadata(parameters: &FlatParameters) -> Metadata<'static> {
        let mut activations = Activations::new();
        let logits = network::logits(&PIXELS, &Parameters::of(parameters), &mut activations);
        let training = Training {
            dataset: "MNIST",
            dataset_hash: [3; 32],
            seed: 1 << 40,
            epochs: 100,
            batch_length: 100,
            shuffle: true,
            learning_rate: 1e-4,
            momentum: 0.9,
            weight_decay: 5e-3,
            test_correct: 9_770,
            test_count: 10_000,
        };
        Metadata {
            shapes: SHAPES,
            training: Some(training),
            fingerprint: [9; 32],
            golden: Golden { pixels: &PIXELS, logits },
        }
    }

    /// A file on a 16-byte border, as a linker or an allocator of pages would place it.
    struct Placed {
        words: Vec<u128>,
        len: usize,
    }

    impl Placed {
        fn new(metadata: &Metadata<'_>, parameters: &FlatParameters) -> Self {
            let mut words = vec![0u128; MAX_LEN.div_ceil(16)];
            let len = encode(metadata, parameters, bytemuck::cast_slice_mut(&mut words)).expect("it fits");
            Self { words, len }
        }

        fn bytes(&self) -> &[u8] {
            &bytemuck::cast_slice(&self.words)[..self.len]
        }

        fn bytes_mut(&mut self) -> &mut [u8] {
            &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
        }

        /// Makes the checksum right again after a change that a checksum alone would catch.
        fn seal(&mut self) {
            seal(self.bytes_mut());
        }
    }

    #[test]
    fn what_was_written_is_read_back_bit_for_bit() {
        let parameters = parameters();
        let placed = Placed::new(&metadata(&parameters), &parameters);
        let model = Model::parse(placed.bytes()).expect("a whole file");
        assert_eq!(model.metadata(), &metadata(&parameters));
        let mut copy = Box::new([0.0; PARAMETER_COUNT]);
        model.copy_parameters(&mut copy);
        assert!(copy.iter().zip(parameters.iter()).all(|(a, b)| a.to_bits() == b.to_bits()));
        model.self_test(&Parameters::of(&copy), &mut Activations::new()).expect("the same machine");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn parameters_are_borrowed_where_they_lie() {
        let parameters = parameters();
        let placed = Placed::new(&metadata(&parameters), &parameters);
        let borrowed = Model::parse(placed.bytes()).expect("a whole file").parameters().expect("aligned");
        assert_eq!(borrowed.as_ptr().addr() - placed.bytes().as_ptr().addr(), placed.len - PARAMETER_BYTES);
        assert_eq!(borrowed, &*parameters);

        let mut shifted = vec![0u128; MAX_LEN.div_ceil(16)];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut shifted);
        bytes[1..=placed.len].copy_from_slice(placed.bytes());
        let model = Model::parse(&bytes[1..=placed.len]).expect("bytes may lie anywhere");
        assert_eq!(model.parameters().unwrap_err(), ModelError::NotInPlace);
    }

    #[test]
    fn the_self_test_notices_one_changed_bit_of_a_logit() {
        let parameters = parameters();
        let mut metadata = metadata(&parameters);
        metadata.golden.logits[4] = f32::from_bits(metadata.golden.logits[4].to_bits() ^ 1);
        let placed = Placed::new(&metadata, &parameters);
        let model = Model::parse(placed.bytes()).expect("a whole file");
        let result = model.self_test(&Parameters::of(&parameters), &mut Activations::new());
        assert!(matches!(result, Err(ModelError::SelfTest { class: 4, .. })), "{result:?}");
    }

    #[test]
    fn every_changed_bit_of_the_head_and_every_truncation_is_noticed() {
        let parameters = parameters();
        let mut placed = Placed::new(&metadata(&parameters), &parameters);
        let head = placed.len - PARAMETER_BYTES;
        for index in (0..head).chain((head..placed.len).step_by(997)) {
            placed.bytes_mut()[index] ^= 1 << (index % 8);
            assert!(Model::parse(placed.bytes()).is_err(), "byte {index}");
            placed.bytes_mut()[index] ^= 1 << (index % 8);
        }
        for len in (0..head).chain((head..placed.len).step_by(997)) {
            let result = Model::parse(&placed.bytes()[..len]);
            assert!(matches!(result, Err(ModelError::Truncated { .. })), "{len} bytes: {result:?}");
        }
        assert!(Model::parse(placed.bytes()).is_ok());
    }

    #[test]
    fn each_fault_is_called_by_its_name() {
        let parameters = parameters();
        let good = metadata(&parameters);
        let parse = |bytes: &[u8]| Model::parse(bytes).map(|_| ()).unwrap_err();

        assert_eq!(parse(b"PK\x03\x04 something else"), ModelError::Magic);
        assert_eq!(parse(b"CN"), ModelError::Truncated { expected: 16, found: 2 });

        let mut placed = Placed::new(&good, &parameters);
        placed.bytes_mut()[4] = 2;
        assert_eq!(parse(placed.bytes()), ModelError::Version { found: 2 });

        let mut placed = Placed::new(&good, &parameters);
        placed.bytes_mut()[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(parse(placed.bytes()), ModelError::Length(u32::MAX));

        let placed = Placed::new(&good, &parameters);
        let mut longer = placed.bytes().to_vec();
        longer.extend([0; 3]);
        assert_eq!(parse(&longer), ModelError::Trailing(3));
        assert!(Model::parse_prefix(&longer).is_ok_and(|(_, rest)| rest.len() == 3));

        let mut placed = Placed::new(&good, &parameters);
        let last = placed.len - 4;
        placed.bytes_mut()[last..].copy_from_slice(&f32::NAN.to_le_bytes());
        assert_eq!(parse(placed.bytes()), ModelError::Checksum);
        placed.seal();
        assert_eq!(parse(placed.bytes()), ModelError::OutOfRange(PARAMETER_COUNT - 1));

        let mut other = good.clone();
        other.shapes[0][0] = 8;
        assert_eq!(parse(Placed::new(&other, &parameters).bytes()), ModelError::Shapes);

        let mut placed = Placed::new(&good, &parameters);
        placed.bytes_mut()[HEADER_LEN..][..64].fill(0xff);
        placed.seal();
        assert_eq!(parse(placed.bytes()), ModelError::Malformed);
    }

    /// A file as `encode` writes it, but for its checks.
    fn forged(metadata: &Metadata<'_>, parameters: &FlatParameters) -> Vec<u8> {
        let mut file = vec![0; HEADER_LEN];
        let mut room = [0; 2 * MAX_START];
        file.extend_from_slice(postcard::to_slice(metadata, &mut room).expect("room"));
        let padding = (file.len() + 4).next_multiple_of(ALIGNMENT) - (file.len() + 4);
        file.push(padding as u8);
        file.extend(vec![0; padding]);
        file.extend_from_slice(postcard::to_slice(&PARAMETER_BYTES, &mut room).expect("room"));
        file.extend(parameters.iter().flat_map(|value| value.to_le_bytes()));
        let header = [&MAGIC[..], &VERSION.to_le_bytes(), &(file.len() as u32).to_le_bytes()].concat();
        file[..CRC_RANGE.start].copy_from_slice(&header);
        seal(&mut file);
        file
    }

    #[test]
    fn a_longer_name_than_any_is_refused_even_behind_a_right_checksum() {
        let parameters = parameters();
        let good = metadata(&parameters);
        for len in [MAX_DATASET_NAME, MAX_DATASET_NAME + 1] {
            let name = "x".repeat(len);
            let training = Training { dataset: &name, ..good.training.expect("it is there") };
            let file = forged(&Metadata { training: Some(training), ..good.clone() }, &parameters);
            let refused = Model::parse(&file).map(|_| ()).err();
            assert_eq!(refused, (len > MAX_DATASET_NAME).then_some(ModelError::Malformed), "{len}");
        }
    }

    #[test]
    fn metadata_that_no_model_has_are_neither_read_nor_written() {
        let parameters = parameters();
        let good = metadata(&parameters);
        type Change = fn(&mut Training<'_>);
        let cases: [(Change, Impossible); 17] = [
            (|it| it.dataset = "MNIST\ntest         10000 of 10000 correct", Impossible::DatasetName),
            (|it| it.dataset = "\u{202e}TSINM", Impossible::DatasetName),
            (|it| it.dataset = "\x1b[2J", Impossible::DatasetName),
            (|it| it.epochs = 0, Impossible::Epochs),
            (|it| it.batch_length = 0, Impossible::BatchLength),
            (|it| it.learning_rate = f32::NAN, Impossible::LearningRate),
            (|it| it.learning_rate = -f32::from_bits(1), Impossible::LearningRate),
            (|it| it.momentum = f32::INFINITY, Impossible::Momentum),
            (|it| it.momentum = -0.9, Impossible::Momentum),
            (|it| it.weight_decay = f32::NEG_INFINITY, Impossible::WeightDecay),
            (|it| it.weight_decay = -f32::NAN, Impossible::WeightDecay),
            (|it| (it.test_correct, it.test_count) = (0, 0), Impossible::TestCount),
            (|it| (it.test_correct, it.test_count) = (u32::MAX, 1), Impossible::TestCorrect),
            (|it| it.test_correct = 10_001, Impossible::TestCorrect),
            // Among several faults the first counts, as the fields stand in the file.
            (|it| (it.epochs, it.test_count) = (0, 0), Impossible::Epochs),
            (|it| (it.batch_length, it.momentum) = (0, -1.0), Impossible::BatchLength),
            (|it| (it.dataset, it.epochs) = ("\u{2028}", 0), Impossible::DatasetName),
        ];
        let mut file = vec![0; MAX_LEN];
        let mut refused = |metadata: &Metadata<'_>, expected: Impossible| {
            let expected = ModelError::Impossible(expected);
            assert_eq!(encode(metadata, &parameters, &mut file), Err(expected));
            let forged = forged(metadata, &parameters);
            assert_eq!(Model::parse(&forged).map(|_| ()), Err(expected));
            assert_eq!(check_start(forged.len(), &forged[HEADER_LEN..][..MAX_START]), Err(expected));
        };
        for (change, expected) in cases {
            let mut training = good.training.expect("it is there");
            change(&mut training);
            refused(&Metadata { training: Some(training), ..good.clone() }, expected);
        }
        for logit in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut metadata = good.clone();
            metadata.golden.logits[3] = logit;
            refused(&metadata, Impossible::GoldenLogit);
        }
        let mut limits = good.training.expect("it is there");
        (limits.epochs, limits.batch_length, limits.test_correct, limits.test_count) = (1, 1, u32::MAX, u32::MAX);
        (limits.learning_rate, limits.momentum, limits.weight_decay) = (f32::MAX, 0.0, f32::from_bits(1));
        let limits = Metadata { training: Some(limits), ..good.clone() };
        assert_eq!(Model::parse(Placed::new(&limits, &parameters).bytes()).expect("possible").metadata(), &limits);
    }

    #[test]
    fn the_start_of_a_file_is_checked_as_soon_as_it_is_there() {
        let parameters = parameters();
        let placed = Placed::new(&metadata(&parameters), &parameters);
        let contents = &placed.bytes()[HEADER_LEN..];
        let start = contents.len() - PARAMETER_BYTES;
        for len in 0..start {
            assert_eq!(check_start(placed.len, &contents[..len]), Ok(false), "{len}");
        }
        for len in start..=MAX_START {
            assert_eq!(check_start(placed.len, &contents[..len]), Ok(true), "{len}");
        }
        // A start that never ends, and one of a file of another length.
        let mut endless = contents[..MAX_START].to_vec();
        endless[start - 4..][..3].fill(0xff);
        assert_eq!(check_start(placed.len, &endless), Err(ModelError::Malformed));
        assert_eq!(check_start(placed.len + 16, &contents[..start]), Err(ModelError::Malformed));
        assert_eq!(check_start(placed.len, &[0xff; MAX_START]), Err(ModelError::Malformed));
    }

    #[test]
    fn nothing_is_written_that_could_not_be_read() {
        let mut parameters = parameters();
        let good = metadata(&parameters);
        let mut file = vec![0; MAX_LEN];
        let long = "x".repeat(MAX_DATASET_NAME + 1);
        let training = Training { dataset: &long, ..good.training.expect("it is there") };
        let named = Metadata { training: Some(training), ..good.clone() };
        assert_eq!(encode(&named, &parameters, &mut file), Err(ModelError::NoRoom));
        let short = Metadata { golden: Golden { pixels: &PIXELS[1..], ..good.golden }, ..good.clone() };
        assert_eq!(encode(&short, &parameters, &mut file), Err(ModelError::Malformed));
        assert_eq!(encode(&good, &parameters, &mut file[..PARAMETER_BYTES]), Err(ModelError::NoRoom));
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut unsound = good.clone();
            unsound.golden.logits[7] = value;
            assert_eq!(encode(&unsound, &parameters, &mut file), Err(Impossible::GoldenLogit.into()), "{value}");
        }
        for value in [f32::NAN, f32::INFINITY, PARAMETER_LIMIT, -1.0e30] {
            parameters[5] = value;
            assert_eq!(encode(&good, &parameters, &mut file), Err(ModelError::OutOfRange(5)), "{value}");
        }
    }
}
