//! Training steps: first every image by itself, then every parameter by itself.

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bytemuck::Zeroable;
use cnn_core::image::Pixels;
use cnn_core::loss::cross_entropy_gradient;
use cnn_core::sgd::Sgd;
use cnn_core::shapes::{Layer, Layers};

use super::forward::{Forward, unpadded};
use super::kernels::conv1::{self, Marks};
use super::kernels::conv2;
use super::kernels::linear::{Fc1BackwardInput, Fc2BackwardInput, IMAGES};
use super::kernels::update::{Accumulate, Fc1Terms, Fc1Update, HeadGradient, SEGMENT, Step};
use super::layout::{
    Aligned, ConvParameters, FC1_BLOCKS, HeadParameters, Hidden, Image, PaddedLogits, Pool1, Pool2, Winners2,
};
use super::network::{Reading, SharedNetwork, read, write};
use super::pieces::{ConvPiece, Fc1Piece, HeadPiece, Panels};
use super::simd::dispatch::Dispatch;
use super::team::Member;
use crate::backend::{BackendError, Epoch};
use crate::dataset::Samples;

/// An epoch in training: what the threads of a team share.
pub struct SharedEpoch<'a> {
    network: &'a SharedNetwork,
    samples: &'a Samples,
    epoch: Epoch<'a>,
    sums: &'a RwLock<BatchSums>,
    /// A parameter is out of range after this step.
    diverged: AtomicBool,
    /// Whoever waits for the epoch wants it to end.
    stop: AtomicBool,
}

/// What the samples leave for the second phase of a step, taken in batch order.
#[derive(Default)]
pub struct BatchSums {
    /// The gradient of the convolutions' parameters so far.
    conv: Box<ConvParameters>,
    /// The gradient so far of fc1's biases and of fc2.
    head: Box<HeadParameters>,
    /// The gradient of fc1's outputs, of this segment.
    fc1_terms: Fc1Terms,
    /// fc1's inputs, of this segment.
    fc1_inputs: Vec<Pool2>,
}

impl BatchSums {
    /// Makes room for steps of `batch_length` samples: the steps themselves allocate nothing.
    pub fn reserve(&mut self, batch_length: usize) {
        let samples = batch_length.min(SEGMENT);
        if samples > self.fc1_inputs.len() {
            self.fc1_inputs.resize(samples, Pool2::default());
        }
    }

    /// Forgets the samples of the segment before, and with a new batch their sums.
    fn begin_segment(&mut self, number: usize) {
        self.fc1_terms.clear();
        if number == 0 {
            *self.conv = Zeroable::zeroed();
            *self.head = Zeroable::zeroed();
        }
    }

    /// Takes the block after those before, what these layers need of it.
    fn add(&mut self, dispatch: Dispatch, block: &BlockResults, layers: Layers) {
        let &BlockResults { number, count, ref pool2, ref hidden, ref hidden_gradient, ref logits_gradient, .. } =
            block;
        if trains_convolutions(layers) {
            dispatch.run(Accumulate { sums: &mut self.conv, gradients: &block.conv_gradient[..count] });
        }
        dispatch.run(HeadGradient {
            hidden: &hidden[..count],
            hidden_gradient: &hidden_gradient[..count],
            logits_gradient: &logits_gradient[..count],
            sums: &mut self.head,
        });
        if !layers.contains(Layer::Fc1) {
            return;
        }
        let start = number * IMAGES;
        for (i, gradient) in hidden_gradient[..count].iter().enumerate() {
            self.fc1_terms.push(start + i, gradient);
        }
        self.fc1_inputs[start..start + count].copy_from_slice(&pool2[..count]);
    }
}

/// Whether one of the layers is a convolution.
fn trains_convolutions(layers: Layers) -> bool {
    layers.contains(Layer::Conv1) || layers.contains(Layer::Conv2)
}

/// What a thread needs for a few samples at a time.
pub struct Scratch {
    images: Box<[ImageScratch; IMAGES]>,
    logits: [PaddedLogits; IMAGES],
    pool2_gradient: Box<[Pool2; IMAGES]>,
    pool1_gradient: Box<Pool1>,
    /// Blocks that are worked through, or are about to be; those that wait for their turn in its order.
    blocks: [Box<BlockResults>; PENDING],
}

/// Blocks that a thread keeps until their turn comes, the one it works at included: threads need not wait for each
/// other where one block takes longer than another.
const PENDING: usize = 3;

impl Default for Scratch {
    fn default() -> Self {
        Self {
            images: Box::default(),
            logits: Default::default(),
            pool2_gradient: Box::default(),
            pool1_gradient: Box::default(),
            // Too large to be made on the stack first, as an unoptimised build would.
            blocks: std::array::from_fn(|_| bytemuck::zeroed_box()),
        }
    }
}

/// What the samples of a block have for the batch's sums.
#[derive(Zeroable)]
struct BlockResults {
    /// The block's number in the segment.
    number: usize,
    count: usize,
    pool2: [Pool2; IMAGES],
    hidden: [Hidden; IMAGES],
    hidden_gradient: [Hidden; IMAGES],
    logits_gradient: [PaddedLogits; IMAGES],
    conv_gradient: [ConvParameters; IMAGES],
}

#[derive(Default)]
struct ImageScratch {
    pixels: Aligned<Pixels>,
    image: Image,
    pool1: Pool1,
    marks: Marks,
    winners1: Pool1,
    winners2: Winners2,
}

impl<'a> SharedEpoch<'a> {
    /// An epoch over `samples`, for which `sums` has room.
    pub fn new(
        network: &'a SharedNetwork,
        samples: &'a Samples,
        epoch: Epoch<'a>,
        sums: &'a RwLock<BatchSums>,
    ) -> Self {
        let (diverged, stop) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { network, samples, epoch, sums, diverged, stop }
    }

    /// Works through the epoch together with the team's other threads. `done` hears of the samples of every step and
    /// may ask to stop.
    ///
    /// # Errors
    /// If a step takes a parameter out of range, or if `done` asked to stop. All threads return the same.
    pub fn run(
        &self,
        member: &Member<'_>,
        scratch: &mut Scratch,
        panels: &mut Panels,
        done: impl Fn(usize) -> Result<(), BackendError>,
    ) -> Result<(), BackendError> {
        for (step, batch) in self.epoch.order.chunks(self.epoch.batch_length).enumerate() {
            let segments = batch.len().div_ceil(SEGMENT);
            for (segment, indices) in batch.chunks(SEGMENT).enumerate() {
                self.work_through_samples(member, scratch, panels, segment, indices, batch.len());
                member.barrier(|| {});
                let last = segment + 1 == segments;
                self.update_parameters(member, segment == 0, last.then_some(self.epoch.sgd), indices.len());
                member.barrier(|| {
                    if last && done(batch.len()).is_err() {
                        self.stop.store(true, Ordering::Relaxed);
                    }
                });
            }
            if self.diverged.load(Ordering::Relaxed) {
                return Err(BackendError::Diverged { step });
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(BackendError::Interrupted);
            }
        }
        Ok(())
    }

    /// The first phase: forward and backward pass of each sample, threads sharing the samples.
    fn work_through_samples(
        &self,
        member: &Member<'_>,
        scratch: &mut Scratch,
        panels: &mut Panels,
        segment: usize,
        indices: &[u32],
        batch_length: usize,
    ) {
        let network = self.network.read();
        let forward = self.network.forward(&network, panels);
        let mut pending = 0;
        while let Some(number) = member.take(indices.len().div_ceil(IMAGES)) {
            let start = number * IMAGES;
            let indices = &indices[start..indices.len().min(start + IMAGES)];
            (scratch.blocks[pending].number, scratch.blocks[pending].count) = (number, indices.len());
            self.forward_and_backward(&network, &forward, scratch, pending, indices, batch_length);
            if trains_convolutions(self.epoch.layers) {
                self.convolution_gradients(&network, scratch, pending);
            }
            pending += 1;
            if pending == PENDING {
                member.wait_for_turn(scratch.blocks[0].number);
            }
            pending = self.add_pending(member, &mut scratch.blocks, pending, segment);
        }
        while pending > 0 {
            member.wait_for_turn(scratch.blocks[0].number);
            pending = self.add_pending(member, &mut scratch.blocks, pending, segment);
        }
    }

    /// From the pixels to the gradient of conv2's pooled map, or as far back as the trained layers need it.
    fn forward_and_backward(
        &self,
        network: &Reading<'_>,
        forward: &Forward<'_>,
        scratch: &mut Scratch,
        block: usize,
        indices: &[u32],
        batch_length: usize,
    ) {
        let dispatch = self.network.dispatch;
        let to_pool2 = trains_convolutions(self.epoch.layers);
        let to_hidden = to_pool2 || self.epoch.layers.contains(Layer::Fc1);
        let Scratch { images, logits, pool2_gradient, blocks, .. } = scratch;
        let BlockResults { count, pool2, hidden, hidden_gradient, logits_gradient, .. } = &mut *blocks[block];
        let count = *count;
        // Copied first, so that the block's images, scattered over memory as they are, are waited for together.
        for (&index, image) in indices.iter().zip(&mut **images) {
            *image.pixels = self.samples.images()[index as usize];
        }
        for (image, pool2) in images[..count].iter_mut().zip(&mut *pool2) {
            let ImageScratch { pixels, image, pool1, marks, winners1, winners2 } = image;
            forward.convolutions(pixels, image, pool1, marks, Some(winners1), pool2, Some(winners2));
        }
        forward.head(&pool2[..count], &mut hidden[..count], &mut logits[..count]);
        for (i, &index) in indices.iter().enumerate() {
            let label = self.samples.labels()[index as usize];
            let gradient = cross_entropy_gradient(unpadded(&logits[i]), label, batch_length);
            logits_gradient[i][..gradient.len()].copy_from_slice(&gradient);
            if to_hidden {
                dispatch.run(Fc2BackwardInput {
                    head: &network.head().parameters,
                    logits_gradient: &logits_gradient[i],
                    hidden: &hidden[i],
                    hidden_gradient: &mut hidden_gradient[i],
                });
            }
        }
        if to_pool2 {
            dispatch.run(Fc1BackwardInput {
                weight: network.fc1_weight(),
                output_gradient: &hidden_gradient[..count],
                input_gradient: &mut pool2_gradient[..count],
            });
        }
    }

    /// The gradients of both convolutions' parameters, sample by sample.
    fn convolution_gradients(&self, network: &Reading<'_>, scratch: &mut Scratch, block: usize) {
        let dispatch = self.network.dispatch;
        let Scratch { images, pool2_gradient, pool1_gradient, blocks, .. } = scratch;
        let BlockResults { count, conv_gradient, .. } = &mut *blocks[block];
        for ((image, pool2_gradient), gradient) in images[..*count].iter().zip(&**pool2_gradient).zip(conv_gradient) {
            let ImageScratch { image, pool1, winners1, winners2, .. } = image;
            dispatch.run(conv2::Backward {
                pool1,
                winners: winners2,
                pool2_gradient,
                weight: &network.conv().parameters.conv2_weight,
                weight_gradient: &mut gradient.conv2_weight,
                bias_gradient: &mut gradient.conv2_bias,
                pool1_gradient,
            });
            dispatch.run(conv1::Backward {
                image,
                winners: winners1,
                pool1_gradient,
                weight_gradient: &mut gradient.conv1_weight,
                bias_gradient: &mut gradient.conv1_bias,
            });
        }
    }

    /// Adds the first `pending` blocks to the batch's sums as far as it is their turn. Returns how many are left; they
    /// are then the first ones.
    fn add_pending(
        &self,
        member: &Member<'_>,
        blocks: &mut [Box<BlockResults>; PENDING],
        pending: usize,
        segment: usize,
    ) -> usize {
        let mut added = 0;
        while added < pending && member.is_turn(blocks[added].number) {
            let sums = &mut *write(self.sums);
            if blocks[added].number == 0 {
                sums.begin_segment(segment);
            }
            sums.add(self.network.dispatch, &blocks[added], self.epoch.layers);
            member.end_turn();
            added += 1;
        }
        // The places of those that were added come next, and are at hand.
        blocks[..pending].rotate_left(added);
        pending - added
    }

    /// The second phase: the rest of the sums over the samples, and the optimiser's step, threads sharing the
    /// parameters. Each has its own blocks of fc1's inputs; what is left is small, and for whoever comes first.
    fn update_parameters(&self, member: &Member<'_>, first: bool, last: Option<Sgd>, samples: usize) {
        let dispatch = self.network.dispatch;
        let sums = read(self.sums);
        let fc1_blocks = if self.epoch.layers.contains(Layer::Fc1) { member.share(FC1_BLOCKS) } else { 0..0 };
        for block in fc1_blocks {
            let Fc1Piece { weight, momentum, gradient } = &mut **write(&self.network.fc1[block]);
            let (input, terms) = (&sums.fc1_inputs[..samples], &sums.fc1_terms);
            self.expect(dispatch.run(Fc1Update { first, last, input, terms, block, weight, momentum, gradient }));
        }
        let Some(sgd) = last else { return };
        while let Some(rest) = member.take(2) {
            if rest == 0 { self.update_conv(sgd, &sums) } else { self.update_head(sgd, &sums) }
        }
    }

    /// Notes whether parameters are in range after their update.
    fn expect(&self, in_range: bool) {
        if !in_range {
            self.diverged.store(true, Ordering::Relaxed);
        }
    }

    fn update_conv(&self, sgd: Sgd, sums: &BatchSums) {
        let piece = &mut **write(&self.network.conv);
        let ConvPiece { parameters, momentum, .. } = piece;
        let values = (&mut parameters.values_mut()[..], &mut momentum.values_mut()[..], &sums.conv.values()[..]);
        self.update_layers(sgd, ConvParameters::LAYERS, values);
        piece.refresh(self.network.dispatch, &self.network.pixel_table);
    }

    fn update_head(&self, sgd: Sgd, sums: &BatchSums) {
        let piece = &mut **write(&self.network.head);
        let HeadPiece { parameters, momentum, .. } = piece;
        let values = (&mut parameters.values_mut()[..], &mut momentum.values_mut()[..], &sums.head.values()[..]);
        self.update_layers(sgd, HeadParameters::LAYERS, values);
        piece.refresh();
    }

    /// The optimiser's step of those of a piece's two layers that are trained: parameters, momentum and gradient, of
    /// which the first layer has the first values and the second layer the others.
    fn update_layers(
        &self,
        sgd: Sgd,
        ([first, second], first_len): ([Layer; 2], usize),
        (parameters, momentum, gradient): (&mut [f32], &mut [f32], &[f32]),
    ) {
        let layers = self.epoch.layers;
        let start = if layers.contains(first) { 0 } else { first_len };
        let end = if layers.contains(second) { gradient.len() } else { first_len };
        if start < end {
            let (parameters, momentum) = (&mut parameters[start..end], &mut momentum[start..end]);
            self.expect(self.network.dispatch.run(Step { sgd, parameters, momentum, gradient: &gradient[start..end] }));
        }
    }
}
