//! The fully connected layers: forward, and the gradients of their inputs. Several images at a time share each weight
//! that is loaded.

use cnn_core::network::{CLASSES, HIDDEN};

use crate::backend::cpu::layout::{
    CLASSES_PADDED, FC1_BLOCK, FC1_BLOCKS, Fc1Block, Fc1Panels, HIDDEN_PADDED, HeadParameters, Hidden, PANEL,
    PaddedLogits, Pool2,
};
use crate::backend::cpu::simd::Simd;
use crate::backend::cpu::simd::dispatch::Kernel;

/// Images that share a tile of registers.
pub const IMAGES: usize = 5;

/// fc1 and ReLU, `cnn_core::linear::linear_relu`. The lanes are outputs.
pub struct Fc1Forward<'a> {
    /// One entry for each block of inputs.
    pub weight: [&'a Fc1Panels; FC1_BLOCKS],
    /// `[output]`
    pub bias: &'a [f32; HIDDEN_PADDED],
    /// One entry for each image.
    pub input: &'a [Pool2],
    /// As many as inputs.
    pub output: &'a mut [Hidden],
}

impl Kernel for Fc1Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if S::REGISTERS >= 32 { self.run_tiled::<S, 4>(simd) } else { self.run_tiled::<S, 2>(simd) }
    }
}

impl Fc1Forward<'_> {
    /// `VECTORS` vectors of outputs at a time.
    #[inline(always)]
    fn run_tiled<S: Simd, const VECTORS: usize>(self, simd: S) {
        let (inputs, input_rest) = self.input.as_chunks::<IMAGES>();
        let (outputs, output_rest) = self.output.as_chunks_mut::<IMAGES>();
        for first in (0..HIDDEN.div_ceil(S::LANES)).step_by(VECTORS) {
            for (input, output) in inputs.iter().zip(&mut *outputs) {
                fc1_tile::<S, VECTORS, IMAGES>(simd, self.weight, self.bias, first, input, output);
            }
            for (input, output) in input_rest.iter().zip(&mut *output_rest) {
                let (input, output) = (std::array::from_ref(input), std::array::from_mut(output));
                fc1_tile::<S, VECTORS, 1>(simd, self.weight, self.bias, first, input, output);
            }
        }
    }
}

#[inline(always)]
fn fc1_tile<S: Simd, const VECTORS: usize, const IMAGES: usize>(
    simd: S,
    weight: [&Fc1Panels; FC1_BLOCKS],
    bias: &[f32; HIDDEN_PADDED],
    first: usize,
    input: &[Pool2; IMAGES],
    output: &mut [Hidden; IMAGES],
) {
    let vectors_of_panel = PANEL / S::LANES;
    let start: [_; VECTORS] = simd.load_all(bias, first);
    let mut sums = [start; IMAGES];
    for (block, panels) in weight.iter().enumerate() {
        for i in 0..FC1_BLOCK {
            let mut w = start;
            for v in 0..VECTORS {
                w[v] = simd.load(&panels[(first + v) / vectors_of_panel][i], (first + v) % vectors_of_panel);
            }
            for (sums, input) in sums.iter_mut().zip(input) {
                let x = simd.splat(input[block * FC1_BLOCK + i]);
                for v in 0..VECTORS {
                    sums[v] = simd.add_product(sums[v], x, w[v]);
                }
            }
        }
    }
    for (sums, output) in sums.iter().zip(output) {
        for v in 0..VECTORS {
            simd.store(&mut output[..], first + v, simd.larger(sums[v], simd.splat(0.0)));
        }
    }
}

/// fc2, `cnn_core::linear::linear`. The lanes are classes.
pub struct Fc2Forward<'a> {
    /// `[input][output]`
    pub weight: &'a [[f32; CLASSES_PADDED]; HIDDEN],
    /// `[output]`
    pub bias: &'a [f32; CLASSES_PADDED],
    /// One entry for each image.
    pub input: &'a [Hidden],
    /// As many as inputs.
    pub output: &'a mut [PaddedLogits],
}

impl Kernel for Fc2Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (inputs, input_rest) = self.input.as_chunks::<IMAGES>();
        let (outputs, output_rest) = self.output.as_chunks_mut::<IMAGES>();
        for vector in 0..CLASSES.div_ceil(S::LANES) {
            for (input, output) in inputs.iter().zip(&mut *outputs) {
                fc2_tile(simd, self.weight, self.bias, vector, input, output);
            }
            for (input, output) in input_rest.iter().zip(&mut *output_rest) {
                let (input, output) = (std::array::from_ref(input), std::array::from_mut(output));
                fc2_tile(simd, self.weight, self.bias, vector, input, output);
            }
        }
    }
}

#[inline(always)]
fn fc2_tile<S: Simd, const IMAGES: usize>(
    simd: S,
    weight: &[[f32; CLASSES_PADDED]; HIDDEN],
    bias: &[f32; CLASSES_PADDED],
    vector: usize,
    input: &[Hidden; IMAGES],
    output: &mut [PaddedLogits; IMAGES],
) {
    let mut sums = [simd.load(bias, vector); IMAGES];
    for (i, weight) in weight.iter().enumerate() {
        let w = simd.load(weight, vector);
        for (sum, input) in sums.iter_mut().zip(input) {
            *sum = simd.add_product(*sum, simd.splat(input[i]), w);
        }
    }
    for (sum, output) in sums.iter().zip(output) {
        simd.store(&mut output[..], vector, *sum);
    }
}

/// The gradient before fc1's ReLU: `cnn_core::linear::linear_backward_input` of fc2, then `relu_backward`. The lanes are
/// fc2's inputs.
pub struct Fc2BackwardInput<'a> {
    /// fc2's weights are among them.
    pub head: &'a HeadParameters,
    /// The gradient of fc2's output.
    pub logits_gradient: &'a PaddedLogits,
    /// fc1's output after ReLU.
    pub hidden: &'a Hidden,
    /// The result.
    pub hidden_gradient: &'a mut Hidden,
}

impl Kernel for Fc2BackwardInput<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let zero = simd.splat(0.0);
        for vector in 0..HIDDEN_PADDED / S::LANES {
            let mut sum = zero;
            for (weight, gradient) in self.head.fc2_weight.iter().zip(&self.logits_gradient[..CLASSES]) {
                sum = simd.add_product(sum, simd.splat(*gradient), simd.load(weight, vector));
            }
            let off = simd.equal(simd.load(&self.hidden[..], vector), zero);
            simd.store(&mut self.hidden_gradient[..], vector, simd.select(off, zero, sum));
        }
    }
}

/// The gradient of fc1's input, `cnn_core::linear::linear_backward_input`. The lanes are inputs.
pub struct Fc1BackwardInput<'a> {
    /// One entry for each block of inputs.
    pub weight: [&'a Fc1Block; FC1_BLOCKS],
    /// One entry for each image.
    pub output_gradient: &'a [Hidden],
    /// As many as output gradients.
    pub input_gradient: &'a mut [Pool2],
}

/// An output that has a gradient in at least one of the images.
#[derive(Clone, Copy)]
struct Term<const IMAGES: usize> {
    output: u32,
    /// `[image]`
    gradient: [f32; IMAGES],
}

/// The outputs of fc1 that have a gradient in one of the images or more, in their order: where ReLU is off there is
/// none, and that is much the same for all images.
#[inline(always)]
fn terms_of<'t, const IMAGES: usize>(
    gradient: &[Hidden; IMAGES],
    terms: &'t mut [Term<IMAGES>; HIDDEN_PADDED],
) -> &'t [Term<IMAGES>] {
    let mut count = 0;
    for output in 0..HIDDEN {
        let gradient = gradient.each_ref().map(|gradient| gradient[output]);
        // Written without a branch: whether there is a gradient cannot be foreseen.
        terms[count % HIDDEN_PADDED] = Term { output: output as u32, gradient };
        count += usize::from(gradient != [0.0; IMAGES]);
    }
    &terms[..count]
}

impl Kernel for Fc1BackwardInput<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if S::REGISTERS >= 32 { self.run_tiled::<S, 5>(simd) } else { self.run_tiled::<S, 2>(simd) }
    }
}

impl Fc1BackwardInput<'_> {
    /// `VECTORS` vectors of inputs at a time.
    #[inline(always)]
    fn run_tiled<S: Simd, const VECTORS: usize>(self, simd: S) {
        let (gradients, gradient_rest) = self.output_gradient.as_chunks::<IMAGES>();
        let (inputs, input_rest) = self.input_gradient.as_chunks_mut::<IMAGES>();
        for (gradient, input) in gradients.iter().zip(inputs) {
            fc1_backward_input::<S, VECTORS, IMAGES>(simd, self.weight, gradient, input);
        }
        for (gradient, input) in gradient_rest.iter().zip(input_rest) {
            let (gradient, input) = (std::array::from_ref(gradient), std::array::from_mut(input));
            fc1_backward_input::<S, VECTORS, 1>(simd, self.weight, gradient, input);
        }
    }
}

/// A block of weights stays in the nearest cache for all its tiles.
#[inline(always)]
fn fc1_backward_input<S: Simd, const VECTORS: usize, const IMAGES: usize>(
    simd: S,
    weight: [&Fc1Block; FC1_BLOCKS],
    output_gradient: &[Hidden; IMAGES],
    input_gradient: &mut [Pool2; IMAGES],
) {
    assert!((FC1_BLOCK / S::LANES).is_multiple_of(VECTORS));
    let mut terms = [Term { output: 0, gradient: [0.0; IMAGES] }; HIDDEN_PADDED];
    let terms = terms_of(output_gradient, &mut terms);
    for (block, weight) in weight.into_iter().enumerate() {
        for first in (0..FC1_BLOCK / S::LANES).step_by(VECTORS) {
            let mut sums = [[simd.splat(0.0); VECTORS]; IMAGES];
            for term in terms {
                let w: [_; VECTORS] = simd.load_all(&weight[term.output as usize], first);
                for (sums, &gradient) in sums.iter_mut().zip(&term.gradient) {
                    let gradient = simd.splat(gradient);
                    for v in 0..VECTORS {
                        sums[v] = simd.add_product(sums[v], gradient, w[v]);
                    }
                }
            }
            for (sums, input) in sums.iter().zip(&mut *input_gradient) {
                for v in 0..VECTORS {
                    simd.store(&mut input[..], block * (FC1_BLOCK / S::LANES) + first + v, sums[v]);
                }
            }
        }
    }
}
