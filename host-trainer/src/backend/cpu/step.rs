//! A training step: first every image by itself, then every parameter by itself.

use std::sync::Mutex;

use cnn_core::image::Pixels;
use cnn_core::loss::cross_entropy_backward;
use cnn_core::sgd::Sgd;
use cnn_core::train::NonFiniteLoss;
use rayon::prelude::*;

use super::forward::{self, PixelTable, unpadded};
use super::kernels::linear::{Fc1BackwardInput, Fc2BackwardInput, IMAGES};
use super::kernels::update::{CONV_PART, ConvUpdate, Fc1Update, HeadUpdate, Segment, Updated};
use super::kernels::{conv1, conv2};
use super::layout::{
    Aligned, ConvParameters, ForwardWeights, Hidden, Image, PaddedLogits, Parameters, Pool1, Pool2, Winners2,
    fill_panels,
};
use super::scratch_of_thread;
use super::simd::dispatch::Dispatch;
use crate::backend::{TrainingState, boxed_zeros};
use crate::dataset::Samples;

/// A longer batch is worked through in segments of so many samples, which bounds the memory of a step.
const SEGMENT: usize = 240;

/// The network in training and the memory of its steps.
pub struct Network {
    /// The instruction set it runs on.
    pub dispatch: Dispatch,
    /// The parameters.
    pub parameters: Parameters,
    /// Their copies for the forward pass.
    pub forward: ForwardWeights,
    /// Input values.
    pub pixel_table: PixelTable,
    momentum: Parameters,
    /// The gradient so far of a batch of several segments.
    gradient: Parameters,
    samples: SampleResults,
    /// One for each thread of the pool.
    scratch: Vec<Mutex<Scratch>>,
}

/// What the first phase leaves for the second: one entry for each sample of a segment.
#[derive(Default)]
struct SampleResults {
    pool2: Vec<Pool2>,
    hidden: Vec<Hidden>,
    hidden_gradient: Vec<Hidden>,
    logits_gradient: Vec<PaddedLogits>,
    conv_gradient: Vec<ConvParameters>,
    loss: Vec<f32>,
}

/// The entries of a few samples.
struct Results<'a> {
    pool2: &'a mut [Pool2],
    hidden: &'a mut [Hidden],
    hidden_gradient: &'a mut [Hidden],
    logits_gradient: &'a mut [PaddedLogits],
    conv_gradient: &'a mut [ConvParameters],
    loss: &'a mut [f32],
}

/// What a thread needs for a few images at a time and then no more.
#[derive(Default)]
struct Scratch {
    images: Box<[ImageScratch; IMAGES]>,
    logits: [PaddedLogits; IMAGES],
    pool2_gradient: Box<[Pool2; IMAGES]>,
    pool1_gradient: Box<Pool1>,
}

#[derive(Default)]
struct ImageScratch {
    pixels: Aligned<Pixels>,
    image: Image,
    pool1: Pool1,
    winners1: Pool1,
    winners2: Winners2,
}

impl Network {
    /// A network of zeros for a pool of `threads` threads.
    pub fn new(dispatch: Dispatch, threads: usize) -> Self {
        Self {
            dispatch,
            parameters: Parameters::zeros(),
            forward: ForwardWeights::zeros(),
            pixel_table: PixelTable::default(),
            momentum: Parameters::zeros(),
            gradient: Parameters::zeros(),
            samples: SampleResults::default(),
            scratch: (0..threads).map(|_| Mutex::default()).collect(),
        }
    }

    /// Takes parameters and momentum from `state`.
    pub fn load(&mut self, state: &TrainingState) {
        self.parameters.read(&state.parameters);
        self.momentum.read(&state.momentum);
        self.forward.copy(&self.parameters);
    }

    /// A copy of parameters and momentum.
    pub fn state(&mut self) -> TrainingState {
        let mut state = TrainingState { parameters: boxed_zeros(), momentum: boxed_zeros() };
        self.parameters.write(&mut state.parameters);
        self.momentum.write(&mut state.momentum);
        state
    }

    /// Makes room for steps of `batch_length` samples: the steps themselves allocate nothing.
    pub fn reserve(&mut self, batch_length: usize) {
        self.samples.reserve(batch_length.min(SEGMENT));
    }

    /// One step over the samples with these indices, `cnn_core::train::Trainer::step`. Runs in the pool, after
    /// [`Network::reserve`].
    ///
    /// # Errors
    /// If the loss of a sample is not finite; the parameters are then as they were.
    pub fn step(&mut self, sgd: &Sgd, samples: &Samples, batch: &[u32]) -> Result<(), NonFiniteLoss> {
        let segments = batch.len().div_ceil(SEGMENT);
        for (number, indices) in batch.chunks(SEGMENT).enumerate() {
            self.sample_gradients(samples, indices, batch.len());
            if !self.samples.loss[..indices.len()].iter().all(|loss| loss.is_finite()) {
                return Err(NonFiniteLoss);
            }
            let last = number + 1 == segments;
            let segment = Segment { first: number == 0, last: last.then_some(*sgd) };
            self.sum_and_update(segment, indices.len());
        }
        self.forward.copy_small(&self.parameters);
        Ok(())
    }

    /// The first phase: forward and backward pass of each sample, threads sharing the samples.
    fn sample_gradients(&mut self, samples: &Samples, indices: &[u32], batch_length: usize) {
        let mut results = std::mem::take(&mut self.samples);
        let network = &*self;
        let blocks = indices.par_chunks(IMAGES).zip(results.par_blocks(indices.len())).with_max_len(1);
        blocks.for_each(|(indices, results)| {
            let scratch = &mut *scratch_of_thread(&network.scratch);
            network.block_gradients(samples, indices, batch_length, scratch, results);
        });
        self.samples = results;
    }

    /// Forward and backward pass of up to [`IMAGES`] samples.
    fn block_gradients(
        &self,
        samples: &Samples,
        indices: &[u32],
        batch_length: usize,
        scratch: &mut Scratch,
        results: Results<'_>,
    ) {
        let Results { pool2, hidden, hidden_gradient, logits_gradient, conv_gradient, loss } = results;
        // Copied first, so that the block's images, scattered over memory as they are, are waited for together.
        for (&index, scratch) in indices.iter().zip(&mut *scratch.images) {
            *scratch.pixels = samples.images()[index as usize];
        }
        for (scratch, pool2) in scratch.images.iter_mut().zip(&mut *pool2) {
            let ImageScratch { pixels, image, pool1, winners1, winners2 } = scratch;
            forward::convolutions(self, pixels, image, pool1, Some(winners1), pool2, Some(winners2));
        }

        let logits = &mut scratch.logits[..indices.len()];
        forward::head(self, pool2, hidden, logits);
        for (i, &index) in indices.iter().enumerate() {
            let label = samples.labels()[index as usize];
            let (sample_loss, gradient) = cross_entropy_backward(unpadded(&logits[i]), label, batch_length);
            loss[i] = sample_loss;
            logits_gradient[i][..gradient.len()].copy_from_slice(&gradient);
            self.dispatch.run(Fc2BackwardInput {
                head: &self.parameters.head,
                logits_gradient: &logits_gradient[i],
                hidden: &hidden[i],
                hidden_gradient: &mut hidden_gradient[i],
            });
        }

        let pool2_gradient = &mut scratch.pool2_gradient[..indices.len()];
        self.dispatch.run(Fc1BackwardInput {
            weight: &self.parameters.fc1,
            output_gradient: hidden_gradient,
            input_gradient: pool2_gradient,
        });
        let images = scratch.images.iter().zip(pool2_gradient);
        for ((image, pool2_gradient), gradient) in images.zip(conv_gradient) {
            self.convolution_gradients(image, pool2_gradient, &mut scratch.pool1_gradient, gradient);
        }
    }

    /// The gradients of both convolutions' parameters for one sample.
    fn convolution_gradients(
        &self,
        scratch: &ImageScratch,
        pool2_gradient: &Pool2,
        pool1_gradient: &mut Pool1,
        gradient: &mut ConvParameters,
    ) {
        self.dispatch.run(conv2::Backward {
            pool1: &scratch.pool1,
            winners: &scratch.winners2,
            pool2_gradient,
            weight: &self.parameters.conv.conv2_weight,
            weight_gradient: &mut gradient.conv2_weight,
            bias_gradient: &mut gradient.conv2_bias,
            pool1_gradient,
        });
        self.dispatch.run(conv1::Backward {
            pixels: &scratch.pixels,
            image: &scratch.image,
            winners: &scratch.winners1,
            pool1_gradient,
            weight_gradient: &mut gradient.conv1_weight,
            bias_gradient: &mut gradient.conv1_bias,
        });
    }

    /// The second phase: sums over the samples and the optimiser's step, threads sharing the parameters.
    fn sum_and_update(&mut self, segment: Segment, samples: usize) {
        let Self { dispatch, parameters, momentum, gradient, forward, samples: results, .. } = self;
        let pool2 = &results.pool2[..samples];
        let hidden_gradient = &results.hidden_gradient[..samples];
        let update_fc1 = || {
            let blocks = parameters.fc1.par_iter_mut().zip(&mut momentum.fc1).zip(&mut gradient.fc1);
            blocks.zip(&mut forward.fc1).enumerate().with_max_len(1).for_each(
                |(block, (((parameters, momentum), gradient), panels))| {
                    let weight = Updated { parameters: &mut *parameters, momentum, gradient };
                    dispatch.run(Fc1Update { segment, input: pool2, output_gradient: hidden_gradient, block, weight });
                    if segment.last.is_some() {
                        fill_panels(parameters, panels);
                    }
                },
            );
        };
        let update_head = || {
            dispatch.run(HeadUpdate {
                segment,
                hidden: &results.hidden[..samples],
                hidden_gradient,
                logits_gradient: &results.logits_gradient[..samples],
                head: Updated {
                    parameters: &mut *parameters.head,
                    momentum: &mut *momentum.head,
                    gradient: &mut *gradient.head,
                },
            });
        };
        let update_conv = || {
            let parts = (
                parameters.conv.values_mut().par_chunks_mut(CONV_PART),
                momentum.conv.values_mut().par_chunks_mut(CONV_PART),
                gradient.conv.values_mut().par_chunks_mut(CONV_PART),
            );
            parts.into_par_iter().enumerate().with_max_len(1).for_each(|(part, (parameters, momentum, gradient))| {
                dispatch.run(ConvUpdate {
                    segment,
                    gradients: &results.conv_gradient[..samples],
                    part,
                    conv: Updated { parameters, momentum, gradient },
                });
            });
        };
        rayon::join(update_fc1, || rayon::join(update_head, update_conv));
    }
}

impl SampleResults {
    /// Room for `samples` entries.
    fn reserve(&mut self, samples: usize) {
        if samples > self.loss.len() {
            self.pool2.resize(samples, Pool2::default());
            self.hidden.resize(samples, Hidden::default());
            self.hidden_gradient.resize(samples, Hidden::default());
            self.logits_gradient.resize(samples, PaddedLogits::default());
            self.conv_gradient.resize(samples, bytemuck::Zeroable::zeroed());
            self.loss.resize(samples, 0.0);
        }
    }

    /// The first `samples` entries in blocks of [`IMAGES`].
    fn par_blocks(&mut self, samples: usize) -> impl IndexedParallelIterator<Item = Results<'_>> {
        let Self { pool2, hidden, hidden_gradient, logits_gradient, conv_gradient, loss } = self;
        let blocks = (
            pool2[..samples].par_chunks_mut(IMAGES),
            hidden[..samples].par_chunks_mut(IMAGES),
            hidden_gradient[..samples].par_chunks_mut(IMAGES),
            logits_gradient[..samples].par_chunks_mut(IMAGES),
            conv_gradient[..samples].par_chunks_mut(IMAGES),
            loss[..samples].par_chunks_mut(IMAGES),
        );
        blocks.into_par_iter().map(|(pool2, hidden, hidden_gradient, logits_gradient, conv_gradient, loss)| Results {
            pool2,
            hidden,
            hidden_gradient,
            logits_gradient,
            conv_gradient,
            loss,
        })
    }
}
