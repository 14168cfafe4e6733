//! The forward pass of a few images at a time.

use cnn_core::image::Pixels;
use cnn_core::loss::cross_entropy;
use cnn_core::network::{CLASSES, Logits, predict};

use super::kernels::conv1::{self, Marks};
use super::kernels::conv2;
use super::kernels::linear::{Fc1Forward, Fc2Forward, IMAGES};
use super::layout::{FC1_BLOCKS, Fc1Panels, Hidden, Image, PaddedLogits, Pool1, Pool2, Winners2};
use super::pieces::{ConvPiece, HeadPiece, PixelTable};
use super::simd::dispatch::Dispatch;
use crate::backend::Outcome;

/// Images that evaluation takes as one unit of work.
pub const IMAGES_OF_EVALUATION: usize = 4 * IMAGES;

/// What evaluating a few images needs beside the network.
#[derive(Default)]
pub struct EvaluationScratch {
    image: Image,
    pool1: Pool1,
    marks: Marks,
    pool2: Box<[Pool2; IMAGES]>,
    hidden: [Hidden; IMAGES],
    logits: [PaddedLogits; IMAGES],
}

/// A network that is not being changed.
#[derive(Clone, Copy)]
pub struct Forward<'a> {
    /// The instruction set.
    pub dispatch: Dispatch,
    /// Input values.
    pub pixel_table: &'a PixelTable,
    /// Both convolutions.
    pub conv: &'a ConvPiece,
    /// fc1's weights.
    pub fc1: [&'a Fc1Panels; FC1_BLOCKS],
    /// fc1's biases and fc2.
    pub head: &'a HeadPiece,
}

impl Forward<'_> {
    /// The outcomes of some images; all three slices have one length.
    pub fn evaluate(
        &self,
        scratch: &mut EvaluationScratch,
        images: &[Pixels],
        labels: &[u8],
        outcomes: &mut [Outcome],
    ) {
        let EvaluationScratch { image, pool1, marks, pool2, hidden, logits } = scratch;
        let chunks = images.chunks(IMAGES).zip(labels.chunks(IMAGES)).zip(outcomes.chunks_mut(IMAGES));
        for ((images, labels), outcomes) in chunks {
            let pool2 = &mut pool2[..images.len()];
            for (pixels, pool2) in images.iter().zip(&mut *pool2) {
                self.convolutions(pixels, image, pool1, marks, None, pool2, None);
            }
            self.head(pool2, &mut hidden[..images.len()], &mut logits[..images.len()]);
            for ((logits, &label), outcome) in logits.iter().zip(labels).zip(outcomes) {
                let logits = unpadded(logits);
                *outcome = Outcome { loss: cross_entropy(logits, label), prediction: predict(logits) as u8 };
            }
        }
    }

    /// Both convolutions of one image; leaves it normalised in `image`.
    #[expect(clippy::too_many_arguments, reason = "each is a buffer of its own, and some callers keep only a few")]
    pub fn convolutions(
        &self,
        pixels: &Pixels,
        image: &mut Image,
        pool1: &mut Pool1,
        marks: &mut Marks,
        winners1: Option<&mut Pool1>,
        pool2: &mut Pool2,
        winners2: Option<&mut Winners2>,
    ) {
        let ConvPiece { parameters, conv2_forward, background, .. } = self.conv;
        self.pixel_table.normalize(pixels, image);
        self.dispatch.run(conv1::Forward {
            pixels,
            image,
            weight: &parameters.conv1_weight,
            bias: &parameters.conv1_bias,
            pool1,
            winners: winners1,
            marks,
        });
        self.dispatch.run(conv2::Forward {
            pool1,
            marks,
            weight: conv2_forward,
            bias: &parameters.conv2_bias,
            background,
            pool2,
            winners: winners2,
        });
    }

    /// Both fully connected layers of some images; the slices have one length.
    pub fn head(&self, pool2: &[Pool2], hidden: &mut [Hidden], logits: &mut [PaddedLogits]) {
        let HeadPiece { parameters, fc2_forward, .. } = self.head;
        self.dispatch.run(Fc1Forward { weight: self.fc1, bias: &parameters.fc1_bias, input: pool2, output: hidden });
        self.dispatch.run(Fc2Forward {
            weight: fc2_forward,
            bias: &parameters.fc2_bias,
            input: hidden,
            output: logits,
        });
    }
}

/// The logits alone.
pub fn unpadded(logits: &PaddedLogits) -> &Logits {
    logits.first_chunk::<CLASSES>().expect("padding only adds")
}
