//! The board against this host, logit by logit.

use std::time::{Duration, Instant};

use cnn_core::image::Pixels;
use cnn_core::int8;
use cnn_core::model::Bits;
use cnn_core::network::{self, Activations, FlatParameters, Logits, Parameters};
use cnn_core::protocol::{Classified, ClassifiedInt8, Wrong};
use cnn_train::fingerprint::Fingerprint;

use super::client::{BoardError, Client};
use super::link::Link;
use crate::model_file::LoadedInt8;

/// An image for which board and host do not agree.
#[derive(Debug, Clone, PartialEq)]
pub struct DifferingImage<L = Logits> {
    /// Index of the image.
    pub image: usize,
    /// The board's logits.
    pub board: L,
    /// This host's logits.
    pub host: L,
}

/// What came out of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification<L = Logits> {
    /// Images that were compared.
    pub images: usize,
    /// Images with a logit that differs in any bit.
    pub differences: Vec<DifferingImage<L>>,
    /// Images that the board classified as their label says.
    pub correct: usize,
    /// Cycles from pixels to logits, over all images, as the board counts them.
    pub cycles: u64,
    /// Time for all images, the line included.
    pub elapsed: Duration,
}

/// What both say of an image.
struct Both<L> {
    board: L,
    host: L,
    are_equal: bool,
    class: u8,
    cycles: u32,
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
    progress: impl FnMut(usize),
) -> Result<Verification, BoardError> {
    let expected = Fingerprint::of(parameters);
    let parameters = Parameters::of(parameters);
    let mut activations = Activations::new();
    compare(client, expected, images, progress, |client, pixels| {
        let Classified { logits: board, class, cycles } = client.classify(pixels)?;
        let host = network::logits(pixels, &parameters, &mut activations);
        Ok(Both { board, host, are_equal: host.map(f32::to_bits) == board.map(f32::to_bits), class, cycles })
    })
}

/// [`verify()`] of an int8 model, whose logits are integers.
///
/// # Errors
/// As [`verify()`]; also if the board says that a step of its logits is worth something else than the model does.
pub fn verify_int8<'a, L: Link>(
    client: &mut Client<L>,
    model: &LoadedInt8,
    images: impl IntoIterator<Item = (&'a Pixels, u8)>,
    progress: impl FnMut(usize),
) -> Result<Verification<int8::Logits>, BoardError> {
    let parameters = model.parameters.view();
    let expected_scale = model.scales().logits;
    let mut activations = int8::Activations::new();
    compare(client, model.fingerprint, images, progress, |client, pixels| {
        let ClassifiedInt8 { logits: board, scale, class, cycles } = client.classify_int8(pixels)?;
        if scale.to_bits() != expected_scale.to_bits() {
            return Err(Wrong::Scale(Bits(scale.to_bits())).into());
        }
        let host = int8::forward(pixels, &parameters, &mut activations);
        Ok(Both { board, host, are_equal: board == host, class, cycles })
    })
}

fn compare<'a, L: Link, T>(
    client: &mut Client<L>,
    expected: Fingerprint,
    images: impl IntoIterator<Item = (&'a Pixels, u8)>,
    mut progress: impl FnMut(usize),
    mut ask: impl FnMut(&mut Client<L>, &Pixels) -> Result<Both<T>, BoardError>,
) -> Result<Verification<T>, BoardError> {
    match client.info()?.model {
        Ok(board) if board != expected => return Err(BoardError::OtherModel { board, expected }),
        Ok(_) => {}
        Err(error) => return Err(cnn_core::protocol::Refusal::NoModel(error).into()),
    }
    let mut verification =
        Verification { images: 0, differences: Vec::new(), correct: 0, cycles: 0, elapsed: Duration::ZERO };
    let start = Instant::now();
    for (image, (pixels, label)) in images.into_iter().enumerate() {
        let Both { board, host, are_equal, class, cycles } = ask(client, pixels)?;
        if !are_equal {
            verification.differences.push(DifferingImage { image, board, host });
        }
        verification.images += 1;
        verification.correct += usize::from(class == label);
        verification.cycles += u64::from(cycles);
        progress(verification.images);
    }
    if verification.images == 0 {
        return Err(BoardError::NoImages);
    }
    verification.elapsed = start.elapsed();
    Ok(verification)
}
