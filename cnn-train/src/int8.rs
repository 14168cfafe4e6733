//! The network in integers ([`cnn_core::int8`]) on a host: made of f32 parameters, and run over many images.

pub mod batch;
pub mod quantize;

use cnn_core::int8::{BLOCK_LEN, Block, OwnedParameters};

pub use batch::Evaluator;
pub use quantize::{Ranges, calibrate, calibration_images, quantize};

use crate::fingerprint::Fingerprint;

/// Integer parameters on the heap, without a copy on the stack; those of [`OwnedParameters::ZERO`].
pub fn boxed_zeros() -> Box<OwnedParameters> {
    Box::new(OwnedParameters::ZERO)
}

/// The parameters as a model file has them.
///
/// # Panics
/// Never: the lengths are constants.
pub fn block(parameters: &OwnedParameters) -> Box<Block> {
    let mut block: Box<Block> = vec![0; BLOCK_LEN].into_boxed_slice().try_into().expect("the length is BLOCK_LEN");
    parameters.copy_to(&mut block);
    block
}

/// The identity of integer parameters: SHA-256 of them as a model file has them.
pub fn fingerprint(block: &Block) -> Fingerprint {
    Fingerprint::of_bytes(block)
}
