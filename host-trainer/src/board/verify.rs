//! The board against this host, logit by logit.

use std::time::{Duration, Instant};

use cnn_core::image::Pixels;
use cnn_core::network::{self, Activations, FlatParameters, Logits, Parameters};
use cnn_train::fingerprint::Fingerprint;

use super::client::{BoardError, Client};
use super::link::Link;

/// An image for which board and host do not agree.
#[derive(Debug, Clone, PartialEq)]
pub struct DifferingImage {
    /// Index of the image.
    pub image: usize,
    /// The board's logits.
    pub board: Logits,
    /// This host's logits.
    pub host: Logits,
}

/// What came out of a comparison.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verification {
    /// Images that were compared.
    pub images: usize,
    /// Images with a logit that differs in any bit.
    pub differences: Vec<DifferingImage>,
    /// Images that the board classified as their label says.
    pub correct: usize,
    /// Cycles from pixels to logits, over all images, as the board counts them.
    pub cycles: u64,
    /// Time for all images, the line included.
    pub elapsed: Duration,
}

/// Has the board classify `images` and compares every logit with those that `parameters` give on this host, bit for bit.
/// `progress` hears how many images are done.
///
/// # Errors
/// If the board runs another model or none, refuses, contradicts itself or does not answer; if the line breaks; if there
/// are no images.
pub fn verify<'a, L: Link>(
    client: &mut Client<L>,
    parameters: &FlatParameters,
    images: impl IntoIterator<Item = (&'a Pixels, u8)>,
    mut progress: impl FnMut(usize),
) -> Result<Verification, BoardError> {
    let expected = Fingerprint::of(parameters);
    match client.info()?.model {
        Ok(board) if board != expected => return Err(BoardError::OtherModel { board, expected }),
        Ok(_) => {}
        Err(error) => return Err(cnn_core::protocol::Refusal::NoModel(error).into()),
    }
    let parameters = Parameters::of(parameters);
    let mut activations = Activations::new();
    let mut verification = Verification::default();
    let start = Instant::now();
    for (image, (pixels, label)) in images.into_iter().enumerate() {
        let board = client.classify(pixels)?;
        let host = network::logits(pixels, &parameters, &mut activations);
        if host.map(f32::to_bits) != board.logits.map(f32::to_bits) {
            verification.differences.push(DifferingImage { image, board: board.logits, host });
        }
        verification.images += 1;
        verification.correct += usize::from(board.class == label);
        verification.cycles += u64::from(board.cycles);
        progress(verification.images);
    }
    if verification.images == 0 {
        return Err(BoardError::NoImages);
    }
    verification.elapsed = start.elapsed();
    Ok(verification)
}
