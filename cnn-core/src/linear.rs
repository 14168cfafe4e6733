//! Fully connected layers and their gradients: PyTorch's `Linear` (<https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html>).

/// Outputs computed together, so that each input is loaded once for all of them.
const OUTPUT_BLOCK: usize = 8;

/// `output[o] = bias[o] + Σ_i input[i] · weight[o][i]`, terms in the order of the inputs.
pub fn linear<const INPUT: usize, const OUTPUT: usize>(
    input: &[f32; INPUT],
    weight: &[[f32; INPUT]; OUTPUT],
    bias: &[f32; OUTPUT],
    output: &mut [f32; OUTPUT],
) {
    *output = *bias;
    let (weight_blocks, weight_rest) = weight.as_chunks::<OUTPUT_BLOCK>();
    let (output_blocks, output_rest) = output.as_chunks_mut::<OUTPUT_BLOCK>();
    for (weight, output) in weight_blocks.iter().zip(output_blocks) {
        add_products(input, weight, output);
    }
    for (weight, output) in weight_rest.iter().zip(output_rest) {
        add_products(input, core::array::from_ref(weight), core::array::from_mut(output));
    }
}

/// [`linear`], then ReLU: an output that is not greater than 0 becomes +0.0.
pub fn linear_relu<const INPUT: usize, const OUTPUT: usize>(
    input: &[f32; INPUT],
    weight: &[[f32; INPUT]; OUTPUT],
    bias: &[f32; OUTPUT],
    output: &mut [f32; OUTPUT],
) {
    linear(input, weight, bias, output);
    for value in output {
        *value = if *value > 0.0 { *value } else { 0.0 };
    }
}

/// Adds the terms of a block of outputs to the sums that `output` holds.
#[inline(always)]
fn add_products<const INPUT: usize, const BLOCK: usize>(
    input: &[f32; INPUT],
    weight: &[[f32; INPUT]; BLOCK],
    output: &mut [f32; BLOCK],
) {
    let mut sums = *output;
    for (i, x) in input.iter().enumerate() {
        for (sum, weight) in sums.iter_mut().zip(weight) {
            *sum += x * weight[i];
        }
    }
    *output = sums;
}

/// Adds one sample's terms to the batch's gradients: `weight[o][i] += output_gradient[o] · input[i]`,
/// `bias[o] += output_gradient[o]`.
///
/// Started from +0.0 and called for the samples in batch order, this gives each gradient's terms in that order.
pub fn linear_backward_parameters<const INPUT: usize, const OUTPUT: usize>(
    input: &[f32; INPUT],
    output_gradient: &[f32; OUTPUT],
    weight_gradient: &mut [[f32; INPUT]; OUTPUT],
    bias_gradient: &mut [f32; OUTPUT],
) {
    for (o, gradient) in output_gradient.iter().enumerate() {
        bias_gradient[o] += gradient;
        for (weight, x) in weight_gradient[o].iter_mut().zip(input) {
            *weight += gradient * x;
        }
    }
}

/// `input_gradient[i] = Σ_o output_gradient[o] · weight[o][i]`: starts from +0.0, terms in the order of the outputs.
pub fn linear_backward_input<const INPUT: usize, const OUTPUT: usize>(
    weight: &[[f32; INPUT]; OUTPUT],
    output_gradient: &[f32; OUTPUT],
    input_gradient: &mut [f32; INPUT],
) {
    *input_gradient = [0.0; INPUT];
    for (weight, gradient) in weight.iter().zip(output_gradient) {
        for (sum, weight) in input_gradient.iter_mut().zip(weight) {
            *sum += gradient * weight;
        }
    }
}

/// The gradient before a ReLU from the one after it: +0.0 where the activation was 0.
pub fn relu_backward<const N: usize>(activation: &[f32; N], gradient: &mut [f32; N]) {
    for (gradient, activation) in gradient.iter_mut().zip(activation) {
        if *activation == 0.0 {
            *gradient = 0.0;
        }
    }
}
