//! The gradients of a whole batch, summed in batch order, and the optimiser's step.
//!
//! The sums stay in registers over all samples of a segment, and when the batch ends with it the step follows at once:
//! the gradient of a batch of one segment is never written.

use cnn_core::network::{CLASSES, HIDDEN, POOL2_LEN};
use cnn_core::sgd::Sgd;

use crate::backend::cpu::layout::{
    CONV_LEN, ConvParameters, FC1_BLOCK, Fc1Block, HIDDEN_PADDED, HeadParameters, Hidden, PaddedLogits, Pool2,
};
use crate::backend::cpu::simd::Simd;
use crate::backend::cpu::simd::dispatch::Kernel;

/// Where a segment of samples stands within its batch.
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    /// The sums start from +0.0 rather than from what the segments before have added up.
    pub first: bool,
    /// The optimiser's step follows, with these settings; else the sums are kept for the next segment.
    pub last: Option<Sgd>,
}

/// Parameters, their momentum, and their gradient where it outlives a segment: corresponding parts of all three.
pub struct Updated<'a, T: ?Sized> {
    /// The parameters.
    pub parameters: &'a mut T,
    /// Their momentum.
    pub momentum: &'a mut T,
    /// Their gradient so far.
    pub gradient: &'a mut T,
}

impl<T: ?Sized> Updated<'_, T> {
    /// Corresponding parts of the three.
    #[inline(always)]
    fn part<U: ?Sized>(&mut self, part: impl Fn(&mut T) -> &mut U) -> Updated<'_, U> {
        Updated { parameters: part(self.parameters), momentum: part(self.momentum), gradient: part(self.gradient) }
    }
}

impl Updated<'_, [f32]> {
    /// Where the sums of vector number `index` start.
    #[inline(always)]
    fn start<S: Simd>(&self, simd: S, segment: Segment, index: usize) -> S::Vector {
        if segment.first { simd.splat(0.0) } else { simd.load(self.gradient, index) }
    }

    /// Takes the sums of vector number `index`: [`Sgd::update`], or keeps them.
    #[inline(always)]
    fn finish<S: Simd>(&mut self, simd: S, segment: Segment, index: usize, gradient: S::Vector) {
        let Some(sgd) = segment.last else {
            return simd.store(self.gradient, index, gradient);
        };
        let parameter = simd.load(self.parameters, index);
        let momentum = simd.load(self.momentum, index);
        let gradient = simd.add_product(gradient, simd.splat(sgd.weight_decay), parameter);
        let momentum = simd.add(simd.mul(simd.splat(sgd.momentum), momentum), gradient);
        let parameter = simd.sub(parameter, simd.mul(simd.splat(sgd.learning_rate), momentum));
        simd.store(self.parameters, index, parameter);
        simd.store(self.momentum, index, momentum);
    }
}

/// fc1's weights of one block of inputs, `cnn_core::linear::linear_backward_parameters`. The lanes are inputs.
pub struct Fc1Update<'a> {
    /// Where the samples stand within the batch.
    pub segment: Segment,
    /// fc1's input, one entry for each sample.
    pub input: &'a [Pool2],
    /// As many as inputs.
    pub output_gradient: &'a [Hidden],
    /// Which block of inputs.
    pub block: usize,
    /// The block's weights.
    pub weight: Updated<'a, Fc1Block>,
}

impl Kernel for Fc1Update<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if S::REGISTERS >= 32 { self.run_tiled::<S, 4, 5>(simd) } else { self.run_tiled::<S, 5, 2>(simd) }
    }
}

impl Fc1Update<'_> {
    /// `ROWS` outputs and `VECTORS` vectors of inputs at a time.
    #[inline(always)]
    fn run_tiled<S: Simd, const ROWS: usize, const VECTORS: usize>(mut self, simd: S) {
        assert!(HIDDEN.is_multiple_of(ROWS) && (FC1_BLOCK / S::LANES).is_multiple_of(VECTORS));
        for first in (0..FC1_BLOCK / S::LANES).step_by(VECTORS) {
            for row in (0..HIDDEN).step_by(ROWS) {
                let mut sums = [[simd.splat(0.0); VECTORS]; ROWS];
                for r in 0..ROWS {
                    for v in 0..VECTORS {
                        sums[r][v] =
                            self.weight.part(|weight| &mut weight[row + r][..]).start(simd, self.segment, first + v);
                    }
                }
                for (input, gradient) in self.input.iter().zip(self.output_gradient) {
                    let input: &[f32; POOL2_LEN] = input;
                    let input = &input.as_chunks::<FC1_BLOCK>().0[self.block];
                    let gradient: &[f32; ROWS] = gradient[row..].first_chunk().expect("the rows are padded");
                    let x: [_; VECTORS] = simd.load_all(input, first);
                    for r in 0..ROWS {
                        let gradient = simd.splat(gradient[r]);
                        for v in 0..VECTORS {
                            sums[r][v] = simd.add_product(sums[r][v], gradient, x[v]);
                        }
                    }
                }
                for r in 0..ROWS {
                    let mut weight = self.weight.part(|weight| &mut weight[row + r][..]);
                    for v in 0..VECTORS {
                        weight.finish(simd, self.segment, first + v, sums[r][v]);
                    }
                }
            }
        }
    }
}

/// fc1's biases and all of fc2, `cnn_core::linear::linear_backward_parameters`. The lanes are hidden outputs, and
/// classes for fc2's biases.
pub struct HeadUpdate<'a> {
    /// Where the samples stand within the batch.
    pub segment: Segment,
    /// fc1's output, one entry for each sample.
    pub hidden: &'a [Hidden],
    /// The gradient of fc1's output before ReLU.
    pub hidden_gradient: &'a [Hidden],
    /// The gradient of fc2's output.
    pub logits_gradient: &'a [PaddedLogits],
    /// The parameters.
    pub head: Updated<'a, HeadParameters>,
}

/// Vectors whose sums run side by side.
const VECTORS: usize = 4;

impl Kernel for HeadUpdate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        const { assert!((HIDDEN_PADDED / S::LANES).is_multiple_of(VECTORS)) };
        let segment = self.segment;
        for first in (0..HIDDEN_PADDED / S::LANES).step_by(VECTORS) {
            for class in 0..CLASSES {
                let weight = self.head.part(|head| &mut head.fc2_weight[class][..]);
                let samples = self.logits_gradient.iter().zip(self.hidden);
                sum_vectors(simd, segment, weight, first, samples, |sum, (gradient, hidden), index| {
                    simd.add_product(sum, simd.splat(gradient[class]), simd.load(&hidden[..], index))
                });
            }
            let bias = self.head.part(|head| &mut head.fc1_bias[..]);
            let samples = self.hidden_gradient.iter();
            sum_vectors(simd, segment, bias, first, samples, |sum, gradient, index| {
                simd.add(sum, simd.load(&gradient[..], index))
            });
        }
        for index in 0..CLASSES.div_ceil(S::LANES) {
            let mut bias = self.head.part(|head| &mut head.fc2_bias[..]);
            let mut sum = bias.start(simd, segment, index);
            for gradient in self.logits_gradient {
                sum = simd.add(sum, simd.load(&gradient[..], index));
            }
            bias.finish(simd, segment, index, sum);
        }
    }
}

/// Sums [`VECTORS`] vectors from number `first` on over the samples, and finishes them.
#[inline(always)]
fn sum_vectors<S: Simd, Sample: Copy>(
    simd: S,
    segment: Segment,
    mut updated: Updated<'_, [f32]>,
    first: usize,
    samples: impl Iterator<Item = Sample>,
    add_term: impl Fn(S::Vector, Sample, usize) -> S::Vector,
) {
    let mut sums = [simd.splat(0.0); VECTORS];
    for v in 0..VECTORS {
        sums[v] = updated.start(simd, segment, first + v);
    }
    for sample in samples {
        for v in 0..VECTORS {
            sums[v] = add_term(sums[v], sample, first + v);
        }
    }
    for v in 0..VECTORS {
        updated.finish(simd, segment, first + v, sums[v]);
    }
}

/// Vectors of convolution parameters whose sums run side by side.
const CONV_VECTORS: usize = 6;
/// Values of [`ConvParameters`] that are a unit of work.
pub const CONV_PART: usize = CONV_LEN / 10;

/// A part of the convolutions' parameters: the samples' gradients, added in batch order.
pub struct ConvUpdate<'a> {
    /// Where the samples stand within the batch.
    pub segment: Segment,
    /// One entry for each sample.
    pub gradients: &'a [ConvParameters],
    /// Which part of [`CONV_PART`] values.
    pub part: usize,
    /// The parameters of this part.
    pub conv: Updated<'a, [f32]>,
}

impl Kernel for ConvUpdate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        const { assert!(CONV_LEN.is_multiple_of(CONV_PART) && (CONV_PART / S::LANES).is_multiple_of(CONV_VECTORS)) };
        for first in (0..CONV_PART / S::LANES).step_by(CONV_VECTORS) {
            let mut sums = [simd.splat(0.0); CONV_VECTORS];
            for v in 0..CONV_VECTORS {
                sums[v] = self.conv.start(simd, self.segment, first + v);
            }
            for gradient in self.gradients {
                let gradient = &gradient.values().as_chunks::<CONV_PART>().0[self.part];
                for v in 0..CONV_VECTORS {
                    sums[v] = simd.add(sums[v], simd.load(gradient, first + v));
                }
            }
            for v in 0..CONV_VECTORS {
                self.conv.finish(simd, self.segment, first + v, sums[v]);
            }
        }
    }
}
