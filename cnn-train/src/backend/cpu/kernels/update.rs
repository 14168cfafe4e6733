//! The gradients of a batch, formed in the order of its samples, and the optimiser's step.
//!
//! Gradients of few values are added up as the samples come: both convolutions' and the head's. fc1's weights are too
//! many for that; a second phase sums each of them over all samples of a segment in registers, and when the batch ends
//! with the segment the optimiser's step follows at once: the gradient of a batch of one segment is never written.

use cnn_core::network::{CLASSES, HIDDEN, POOL2_LEN};
use cnn_core::range::PARAMETER_LIMIT;
use cnn_core::sgd::Sgd;

use crate::backend::cpu::layout::{
    CLASSES_PADDED, ConvParameters, FC1_BLOCK, Fc1Block, HIDDEN_PADDED, HeadParameters, Hidden, PANEL, PaddedLogits,
    Pool2,
};
use crate::backend::cpu::simd::dispatch::Kernel;
use crate::backend::cpu::simd::{Simd, prefetch};

/// A longer batch is worked through in segments of so many samples, which bounds the memory of a step.
pub const SEGMENT: usize = 240;

/// Adds the gradients of some more samples to the sums so far, one after another.
pub struct Accumulate<'a> {
    /// The sums.
    pub sums: &'a mut ConvParameters,
    /// One entry for each sample.
    pub gradients: &'a [ConvParameters],
}

impl Kernel for Accumulate<'_> {
    type Output = ();

    /// Sums stay in their registers for all samples.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        const VECTORS: usize = 4;
        let sums = self.sums.values_mut();
        assert!(sums.len().is_multiple_of(VECTORS * S::LANES));
        for first in (0..sums.len() / S::LANES).step_by(VECTORS) {
            let mut vectors: [_; VECTORS] = simd.load_all(sums, first);
            for gradient in self.gradients {
                for v in 0..VECTORS {
                    vectors[v] = simd.add(vectors[v], simd.load(gradient.values(), first + v));
                }
            }
            for v in 0..VECTORS {
                simd.store(sums, first + v, vectors[v]);
            }
        }
    }
}

/// The gradient of fc1's biases and of all of fc2, `cnn_core::linear::linear_backward_parameters`: adds the terms of
/// some more samples. The lanes are hidden outputs, and classes for fc2's biases.
pub struct HeadGradient<'a> {
    /// fc1's output, one entry for each sample.
    pub hidden: &'a [Hidden],
    /// The gradient of fc1's output before ReLU.
    pub hidden_gradient: &'a [Hidden],
    /// The gradient of fc2's output.
    pub logits_gradient: &'a [PaddedLogits],
    /// The sums so far.
    pub sums: &'a mut HeadParameters,
}

impl Kernel for HeadGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { hidden, hidden_gradient, logits_gradient, sums } = self;
        for vector in 0..HIDDEN_PADDED / S::LANES {
            let mut weights = [simd.splat(0.0); CLASSES];
            for class in 0..CLASSES {
                weights[class] = simd.load(&sums.fc2_weight[class], vector);
            }
            let mut bias = simd.load(&sums.fc1_bias, vector);
            for ((hidden, hidden_gradient), logits_gradient) in hidden.iter().zip(hidden_gradient).zip(logits_gradient)
            {
                bias = simd.add(bias, simd.load(&hidden_gradient[..], vector));
                let hidden = simd.load(&hidden[..], vector);
                for class in 0..CLASSES {
                    weights[class] = simd.add_product(weights[class], simd.splat(logits_gradient[class]), hidden);
                }
            }
            for class in 0..CLASSES {
                simd.store(&mut sums.fc2_weight[class], vector, weights[class]);
            }
            simd.store(&mut sums.fc1_bias, vector, bias);
        }
        for vector in 0..CLASSES_PADDED / S::LANES {
            let mut bias = simd.load(&sums.fc2_bias, vector);
            for gradient in logits_gradient {
                bias = simd.add(bias, simd.load(&gradient[..], vector));
            }
            simd.store(&mut sums.fc2_bias, vector, bias);
        }
    }
}

/// The optimiser's step, [`Sgd::step`]; whether all parameters are in range after it. The slices have one length, whole
/// vectors of every level.
pub struct Step<'a> {
    /// The optimiser's settings.
    pub sgd: Sgd,
    /// The parameters.
    pub parameters: &'a mut [f32],
    /// Their momentum.
    pub momentum: &'a mut [f32],
    /// Their gradient.
    pub gradient: &'a [f32],
}

impl Kernel for Step<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> bool {
        let mut watch = RangeWatch::new(simd);
        let parameters = self.parameters.as_chunks_mut::<PANEL>().0.iter_mut();
        let momentum = self.momentum.as_chunks_mut::<PANEL>().0.iter_mut();
        let gradient = self.gradient.as_chunks::<PANEL>().0;
        for ((parameters, momentum), gradient) in parameters.zip(momentum).zip(gradient) {
            for v in 0..PANEL / S::LANES {
                step_vector(&mut watch, &self.sgd, parameters, momentum, v, simd.load(gradient, v));
            }
        }
        watch.saw_nothing_else()
    }
}

/// Sees whether parameters are in range, [`cnn_core::range::in_range`]: a lane that was once not stays so.
struct RangeWatch<S: Simd> {
    simd: S,
    in_range: S::Vector,
}

impl<S: Simd> RangeWatch<S> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        Self { simd, in_range: simd.splat(1.0) }
    }

    #[inline(always)]
    fn look(&mut self, parameters: S::Vector) {
        let simd = self.simd;
        // |w| < 2²⁴ exactly if the rounded w² is less than 2⁴⁸; NaN is not.
        const SQUARE: f32 = PARAMETER_LIMIT * PARAMETER_LIMIT;
        let in_range = simd.greater(simd.splat(SQUARE), simd.mul(parameters, parameters));
        self.in_range = simd.select(in_range, self.in_range, simd.splat(0.0));
    }

    /// Whether all were in range.
    #[inline(always)]
    fn saw_nothing_else(self) -> bool {
        self.simd.bits(self.simd.equal(self.in_range, self.simd.splat(0.0))) == 0
    }
}

/// [`Sgd::update`] of vector number `index`.
#[inline(always)]
fn step_vector<S: Simd>(
    watch: &mut RangeWatch<S>,
    sgd: &Sgd,
    parameters: &mut [f32],
    momentum: &mut [f32],
    index: usize,
    gradient: S::Vector,
) {
    let simd = watch.simd;
    let parameter = simd.load(parameters, index);
    let gradient = simd.add_product(gradient, simd.splat(sgd.weight_decay), parameter);
    let velocity = simd.add(simd.mul(simd.splat(sgd.momentum), simd.load(momentum, index)), gradient);
    let parameter = simd.sub(parameter, simd.mul(simd.splat(sgd.learning_rate), velocity));
    watch.look(parameter);
    simd.store(parameters, index, parameter);
    simd.store(momentum, index, velocity);
}

/// Outputs of fc1 whose gradients are formed together: they share the inputs that are loaded.
const GROUP: usize = 4;
const GROUPS: usize = HIDDEN / GROUP;
const _: () = assert!(HIDDEN.is_multiple_of(GROUP));

/// A sample that has a gradient at one or more of a group's outputs.
#[derive(Debug, Clone, Copy, Default)]
struct Term {
    /// Its number in the segment.
    sample: u32,
    /// `[output of the group]`
    gradient: [f32; GROUP],
}

/// Of every group of fc1's outputs, the samples of a segment that have a gradient there, in their order. Where ReLU is
/// off there is none: for a third of the samples.
///
/// Some outputs are off for nearly all samples, others for nearly none, and that changes slowly. So outputs form a group
/// that were alike in it in the segment before: nine in ten of a group's products are then with a gradient. In the order
/// of the outputs it would be six to seven.
pub struct Fc1Terms {
    terms: Vec<[Term; SEGMENT]>,
    lens: [usize; GROUPS],
    groups: [[u8; GROUP]; GROUPS],
    /// Of every output the samples so far that have a gradient there.
    samples: [u16; HIDDEN],
}

impl Default for Fc1Terms {
    fn default() -> Self {
        Self {
            terms: vec![[Term::default(); SEGMENT]; GROUPS],
            lens: [0; GROUPS],
            groups: std::array::from_fn(|group| std::array::from_fn(|i| (group * GROUP + i) as u8)),
            samples: [0; HIDDEN],
        }
    }
}

impl Fc1Terms {
    /// Forgets all samples.
    pub fn clear(&mut self) {
        let samples = std::mem::replace(&mut self.samples, [0; HIDDEN]);
        self.groups.as_flattened_mut().sort_unstable_by_key(|&output| samples[usize::from(output)]);
        self.lens = [0; GROUPS];
    }

    /// Takes the gradient of fc1's output before ReLU for sample number `sample` of the segment, the one after those
    /// before.
    pub fn push(&mut self, sample: usize, gradient: &Hidden) {
        for (samples, &gradient) in self.samples.iter_mut().zip(&gradient[..]) {
            *samples += u16::from(gradient != 0.0);
        }
        for ((terms, len), group) in self.terms.iter_mut().zip(&mut self.lens).zip(&self.groups) {
            let gradient = group.map(|output| gradient[usize::from(output)]);
            // Written without a branch: whether there is a gradient cannot be foreseen.
            terms[*len] = Term { sample: sample as u32, gradient };
            *len += usize::from(gradient.map(f32::to_bits) != [0; GROUP]);
        }
    }

    fn of_group(&self, group: usize) -> &[Term] {
        &self.terms[group][..self.lens[group]]
    }
}

/// fc1's weights of one block of inputs, `cnn_core::linear::linear_backward_parameters`, and the optimiser's step;
/// whether all are in range after it. The lanes are inputs.
pub struct Fc1Update<'a> {
    /// Whether the sums start from +0.0 rather than from what the segments before have added up.
    pub first: bool,
    /// The optimiser's step follows, with these settings; else the sums are kept for the next segment.
    pub last: Option<Sgd>,
    /// fc1's input, one entry for each sample of the segment.
    pub input: &'a [Pool2],
    /// The gradient of its output.
    pub terms: &'a Fc1Terms,
    /// Which block of inputs.
    pub block: usize,
    /// The block's weights.
    pub weight: &'a mut Fc1Block,
    /// Their momentum.
    pub momentum: &'a mut Fc1Block,
    /// Their gradient, where it outlives a segment.
    pub gradient: &'a mut Fc1Block,
}

impl Kernel for Fc1Update<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> bool {
        if S::REGISTERS >= 32 { self.run_tiled::<S, 4, 5>(simd) } else { self.run_tiled::<S, 2, 5>(simd) }
    }
}

impl Fc1Update<'_> {
    /// `OUTPUTS` outputs of a group and `VECTORS` vectors of inputs at a time.
    #[inline(always)]
    fn run_tiled<S: Simd, const OUTPUTS: usize, const VECTORS: usize>(mut self, simd: S) -> bool {
        let mut watch = RangeWatch::new(simd);
        assert!((FC1_BLOCK / S::LANES).is_multiple_of(VECTORS) && GROUP.is_multiple_of(OUTPUTS));
        // Where they begin, looked up: below 16 lanes a multiplication would wait for a unit that does arithmetic.
        let mut inputs = [&[0.0; FC1_BLOCK]; SEGMENT];
        for (of_block, input) in inputs.iter_mut().zip(self.input) {
            let input: &[f32; POOL2_LEN] = input;
            *of_block = &input.as_chunks().0[self.block];
        }
        for (group, outputs) in self.terms.groups.iter().enumerate() {
            // All threads read the weights since their last step: this takes those that come next back from them.
            for &output in self.terms.groups.get(group + 1).into_iter().flatten() {
                prefetch::for_writing(&mut self.weight[usize::from(output)]);
            }
            for input in self.input.iter().skip(group).step_by(GROUPS) {
                if let Some(next) = input.as_chunks::<FC1_BLOCK>().0.get(self.block + 1) {
                    prefetch::for_reading(next);
                }
            }
            let terms = self.terms.of_group(group);
            for (tile, outputs) in outputs.as_chunks::<OUTPUTS>().0.iter().enumerate() {
                for first in (0..FC1_BLOCK / S::LANES).step_by(VECTORS) {
                    let outputs = outputs.map(usize::from);
                    self.tile::<S, OUTPUTS, VECTORS>(&mut watch, &inputs, terms, tile, outputs, first);
                }
            }
        }
        watch.saw_nothing_else()
    }

    /// The group's outputs number `tile * OUTPUTS` on, which are `outputs`, and the block's inputs from vector number
    /// `first` on.
    #[inline(always)]
    fn tile<S: Simd, const OUTPUTS: usize, const VECTORS: usize>(
        &mut self,
        watch: &mut RangeWatch<S>,
        inputs: &[&[f32; FC1_BLOCK]; SEGMENT],
        terms: &[Term],
        tile: usize,
        outputs: [usize; OUTPUTS],
        first: usize,
    ) {
        let simd = watch.simd;
        let mut sums = [[simd.splat(0.0); VECTORS]; OUTPUTS];
        if !self.first {
            sums = outputs.map(|output| simd.load_all(&self.gradient[output], first));
        }
        for term in terms {
            let input: [_; VECTORS] = simd.load_all(inputs[term.sample as usize], first);
            let gradient: &[_; OUTPUTS] = &term.gradient.as_chunks().0[tile];
            for (sums, &gradient) in sums.iter_mut().zip(gradient) {
                let gradient = simd.splat(gradient);
                for v in 0..VECTORS {
                    sums[v] = simd.add_product(sums[v], gradient, input[v]);
                }
            }
        }
        for (sums, output) in sums.into_iter().zip(outputs) {
            for v in 0..VECTORS {
                match &self.last {
                    Some(sgd) => {
                        let (weight, momentum) = (&mut self.weight[output], &mut self.momentum[output]);
                        step_vector(watch, sgd, weight, momentum, first + v, sums[v]);
                    }
                    None => simd.store(&mut self.gradient[output], first + v, sums[v]),
                }
            }
        }
    }
}
