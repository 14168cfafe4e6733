//! Hostile input: for every format that this project reads, one function that takes any bytes, reads them, and panics
//! unless all that is promised holds.
//!
//! `fuzz/` runs each function as a fuzz target, `hostile_input.rs` runs them with random damage. An input is not always
//! the file itself: behind checksums nothing would ever be reached, so its first byte says how the file is made of the
//! rest: as it is, or with lengths and checksums put right, or as damage to a good file.

mod allocator;
mod board;
mod checkpoint;
mod host;
mod idx;
mod model;
pub mod mutation;
mod npz;
mod onnx;
mod picture;
mod run_record;
mod safetensors;
mod script;

use std::fmt::Debug;

use cnn_core::model::HEADER_LEN;
use cnn_core::network::FlatParameters;
use host_trainer::exchange::MAX_FILE_BYTES;

use picture::Type;

pub use allocator::{CountingAllocator, Used, measured};

/// No input but a picture may make a program hold more than this beyond what it held before, or ask for a block of more,
/// in bytes.
pub const MEMORY_LIMIT: usize = 64 << 20;

/// A format or an end of the protocol, and what is promised of it.
pub struct Target {
    /// The name of the fuzz target and of its folders.
    pub name: &'static str,
    /// Inputs are at most this long, in bytes.
    pub max_len: usize,
    /// Reads an input; panics if a promise is broken.
    run: fn(&[u8]),
    /// Inputs to start from: one for every way to make a file, good ones among them.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target, in the order of their names.
pub const TARGETS: [Target; 17] = [
    Target { name: "checkpoint", max_len: 1 << 12, run: checkpoint::run, seeds: checkpoint::seeds },
    Target { name: "idx", max_len: 1 << 14, run: idx::run, seeds: idx::seeds },
    Target { name: "idx_gz", max_len: 1 << 14, run: idx::run_packed, seeds: idx::packed_seeds },
    Target { name: "model", max_len: 1 << 12, run: model::run, seeds: model::seeds },
    Target { name: "npz", max_len: 1 << 14, run: npz::run, seeds: npz::seeds },
    Target { name: "onnx", max_len: 1 << 14, run: onnx::run, seeds: onnx::seeds },
    picture("picture_bmp", |input| picture::run(Type::Bmp, input), || picture::seeds(Type::Bmp)),
    picture("picture_gif", |input| picture::run(Type::Gif, input), || picture::seeds(Type::Gif)),
    picture("picture_jpeg", |input| picture::run(Type::Jpeg, input), || picture::seeds(Type::Jpeg)),
    picture("picture_png", |input| picture::run(Type::Png, input), || picture::seeds(Type::Png)),
    picture("picture_pnm", |input| picture::run(Type::Pnm, input), || picture::seeds(Type::Pnm)),
    picture("picture_tiff", |input| picture::run(Type::Tiff, input), || picture::seeds(Type::Tiff)),
    picture("picture_webp", |input| picture::run(Type::WebP, input), || picture::seeds(Type::WebP)),
    Target { name: "protocol_board", max_len: 1 << 12, run: board::run, seeds: board::seeds },
    Target { name: "protocol_host", max_len: 1 << 12, run: host::run, seeds: host::seeds },
    Target { name: "run_record", max_len: 1 << 14, run: run_record::run, seeds: run_record::seeds },
    Target { name: "safetensors", max_len: 1 << 14, run: safetensors::run, seeds: safetensors::seeds },
];

/// The target of a type of pictures.
const fn picture(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target { name, max_len: 1 << 14, run, seeds }
}

impl Target {
    /// The target of a name.
    ///
    /// # Panics
    /// If there is none.
    pub fn named(name: &str) -> &'static Self {
        TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no target is called {name}"))
    }

    /// Reads an input.
    ///
    /// # Panics
    /// If a promise is broken, that of [`MEMORY_LIMIT`] among them.
    pub fn check(&self, input: &[u8]) {
        (self.run)(input);
    }
}

/// What is read of another program's file is finite and comes back from a file written of it, bit for bit.
fn assert_round_trip<E: Debug>(
    parameters: &FlatParameters,
    export: fn(&FlatParameters) -> Vec<u8>,
    import: fn(&[u8]) -> Result<Box<FlatParameters>, E>,
) {
    assert!(parameters.iter().all(|value| value.is_finite()));
    let written = export(parameters);
    assert!(written.len() as u64 <= MAX_FILE_BYTES);
    let read = import(&written).expect("what was written can be read");
    assert!(read.iter().zip(parameters.iter()).all(|(read, value)| read.to_bits() == value.to_bits()));
}

/// Does what reads a file, within the memory that it may take.
///
/// # Panics
/// If it takes more.
fn limited<T>(work: impl FnOnce() -> T) -> T {
    limited_to(MEMORY_LIMIT, work)
}

/// As [`limited`], for what is promised to take `limit` bytes.
fn limited_to<T>(limit: usize, work: impl FnOnce() -> T) -> T {
    let (result, used) = measured(work);
    assert!(used.peak <= limit, "{} bytes were held", used.peak);
    assert!(used.largest <= limit, "a block of {} bytes was asked for", used.largest);
    result
}

/// The header that model files and checkpoints share, right for whatever follows it: magic, version, length, checksum.
fn put_header_right(file: &mut Vec<u8>, magic: [u8; 4], version: u32) {
    file.resize(file.len().max(HEADER_LEN), 0);
    let len = file.len() as u32;
    file[..4].copy_from_slice(&magic);
    file[4..8].copy_from_slice(&version.to_le_bytes());
    file[8..12].copy_from_slice(&len.to_le_bytes());
    crate::board::model::seal(file);
}
