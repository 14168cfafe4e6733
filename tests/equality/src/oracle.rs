//! The network in its obvious form: one loop for each dimension, one operation after another, every value stored.
//!
//! Easy to check against the contract of `cnn-core`, term by term; the blocked, fused and sparse forms must equal it
//! bit for bit. The backward pass is dense: positions that lost their pooling window take part with a gradient of zero,
//! in their window's turn. Only `exp` and `ln` come from `cnn-core`, whose own tests check them over their whole range.
#![expect(clippy::needless_range_loop, reason = "indices show which term is added when")]

use cnn_core::image::Pixels;
use cnn_core::math::{exp, ln};
use cnn_core::network::{
    CLASSES, CONV1_CHANNELS, CONV2_CHANNELS, FlatParameters, HIDDEN, Image, KERNEL_LEN, Kernels, Logits,
    PARAMETER_COUNT, POOL2_LEN, Parameters, ParametersMut, Pool1, Pool2,
};
use cnn_core::sgd::Sgd;

/// Side of conv1's map before pooling.
const CONV1_SIDE: usize = 26;
/// Side of conv2's map before pooling.
const CONV2_SIDE: usize = 11;

type Map<const CHANNELS: usize, const SIDE: usize> = [[[f32; SIDE]; SIDE]; CHANNELS];

/// `(pixel / 255 − 0.5) / 0.5`
pub fn normalize(pixels: &Pixels) -> Image {
    let mut image = [[[0.0; 28]; 28]];
    for row in 0..28 {
        for column in 0..28 {
            image[0][row][column] = (f32::from(pixels[28 * row + column]) / 255.0 - 0.5) / 0.5;
        }
    }
    image
}

/// Convolution 3×3, `RESULT` = `SIDE` − 2: from the bias; input channel, kernel row, kernel column.
pub fn convolve<const INPUT: usize, const SIDE: usize, const OUTPUT: usize, const RESULT: usize>(
    input: &Map<INPUT, SIDE>,
    weight: &Kernels<OUTPUT, INPUT>,
    bias: &[f32; OUTPUT],
) -> Map<OUTPUT, RESULT> {
    let mut output = [[[0.0; RESULT]; RESULT]; OUTPUT];
    for o in 0..OUTPUT {
        for row in 0..RESULT {
            for column in 0..RESULT {
                output[o][row][column] = bias[o];
                for i in 0..INPUT {
                    for kernel_row in 0..3 {
                        for kernel_column in 0..3 {
                            output[o][row][column] += weight[o][i][3 * kernel_row + kernel_column]
                                * input[i][row + kernel_row][column + kernel_column];
                        }
                    }
                }
            }
        }
    }
    output
}

/// Gradients of weight and bias: from +0.0; pooled positions in raster order, within each its window's positions.
pub fn convolve_backward_parameters<const INPUT: usize, const SIDE: usize, const OUTPUT: usize, const RESULT: usize>(
    input: &Map<INPUT, SIDE>,
    gradient: &Map<OUTPUT, RESULT>,
) -> (Kernels<OUTPUT, INPUT>, [f32; OUTPUT]) {
    let mut weight_gradient = [[[0.0; KERNEL_LEN]; INPUT]; OUTPUT];
    let mut bias_gradient = [0.0; OUTPUT];
    for o in 0..OUTPUT {
        for (row, column) in positions_by_window(RESULT) {
            bias_gradient[o] += gradient[o][row][column];
            for i in 0..INPUT {
                for kernel_row in 0..3 {
                    for kernel_column in 0..3 {
                        weight_gradient[o][i][3 * kernel_row + kernel_column] +=
                            gradient[o][row][column] * input[i][row + kernel_row][column + kernel_column];
                    }
                }
            }
        }
    }
    (weight_gradient, bias_gradient)
}

/// Gradient of the input: from +0.0; output channel, then pooled positions in raster order, within each its window's.
pub fn convolve_backward_input<const INPUT: usize, const SIDE: usize, const OUTPUT: usize, const RESULT: usize>(
    weight: &Kernels<OUTPUT, INPUT>,
    gradient: &Map<OUTPUT, RESULT>,
) -> Map<INPUT, SIDE> {
    let mut input_gradient = [[[0.0; SIDE]; SIDE]; INPUT];
    for i in 0..INPUT {
        for o in 0..OUTPUT {
            for (row, column) in positions_by_window(RESULT) {
                for kernel_row in 0..3 {
                    for kernel_column in 0..3 {
                        input_gradient[i][row + kernel_row][column + kernel_column] +=
                            gradient[o][row][column] * weight[o][i][3 * kernel_row + kernel_column];
                    }
                }
            }
        }
    }
    input_gradient
}

/// The positions of a map of the given side, window after window; a last odd row and column belong to none.
fn positions_by_window(side: usize) -> Vec<(usize, usize)> {
    let mut positions = Vec::new();
    for pooled_row in 0..side / 2 {
        for pooled_column in 0..side / 2 {
            for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                positions.push((2 * pooled_row + row, 2 * pooled_column + column));
            }
        }
    }
    positions
}

/// A value that is not greater than 0 becomes +0.0.
pub fn relu(values: &mut [f32]) {
    for value in values {
        *value = if *value > 0.0 { *value } else { 0.0 };
    }
}

/// +0.0 where ReLU's input was not greater than 0.
pub fn relu_backward(input: &[f32], gradient: &mut [f32]) {
    for i in 0..gradient.len() {
        gradient[i] = if input[i] > 0.0 { gradient[i] } else { 0.0 };
    }
}

/// The first largest value of each 2×2 window; `POOLED` = `SIDE` / 2, rounded down.
pub fn max_pool<const CHANNELS: usize, const SIDE: usize, const POOLED: usize>(
    input: &Map<CHANNELS, SIDE>,
) -> Map<CHANNELS, POOLED> {
    let mut output = [[[0.0; POOLED]; POOLED]; CHANNELS];
    for channel in 0..CHANNELS {
        for row in 0..POOLED {
            for column in 0..POOLED {
                let (winner_row, winner_column) = first_largest(&input[channel], row, column);
                output[channel][row][column] = input[channel][winner_row][winner_column];
            }
        }
    }
    output
}

/// Each window's gradient goes to its first largest value, +0.0 to all others.
pub fn max_pool_backward<const CHANNELS: usize, const SIDE: usize, const POOLED: usize>(
    input: &Map<CHANNELS, SIDE>,
    gradient: &Map<CHANNELS, POOLED>,
) -> Map<CHANNELS, SIDE> {
    let mut input_gradient = [[[0.0; SIDE]; SIDE]; CHANNELS];
    for channel in 0..CHANNELS {
        for row in 0..POOLED {
            for column in 0..POOLED {
                let (winner_row, winner_column) = first_largest(&input[channel], row, column);
                input_gradient[channel][winner_row][winner_column] = gradient[channel][row][column];
            }
        }
    }
    input_gradient
}

/// The place of the first largest value in the window of a pooled position.
fn first_largest<const SIDE: usize>(
    plane: &[[f32; SIDE]; SIDE],
    pooled_row: usize,
    pooled_column: usize,
) -> (usize, usize) {
    let mut best = (2 * pooled_row, 2 * pooled_column);
    for row in 2 * pooled_row..2 * pooled_row + 2 {
        for column in 2 * pooled_column..2 * pooled_column + 2 {
            if plane[row][column] > plane[best.0][best.1] {
                best = (row, column);
            }
        }
    }
    best
}

/// From the bias; terms in input order.
pub fn linear<const INPUT: usize, const OUTPUT: usize>(
    input: &[f32; INPUT],
    weight: &[[f32; INPUT]; OUTPUT],
    bias: &[f32; OUTPUT],
) -> [f32; OUTPUT] {
    let mut output = *bias;
    for o in 0..OUTPUT {
        for i in 0..INPUT {
            output[o] += weight[o][i] * input[i];
        }
    }
    output
}

/// Adds one sample's term to the batch's gradients of weight and bias.
pub fn linear_backward_parameters<const INPUT: usize, const OUTPUT: usize>(
    input: &[f32; INPUT],
    gradient: &[f32; OUTPUT],
    weight_gradient: &mut [[f32; INPUT]; OUTPUT],
    bias_gradient: &mut [f32; OUTPUT],
) {
    for o in 0..OUTPUT {
        bias_gradient[o] += gradient[o];
        for i in 0..INPUT {
            weight_gradient[o][i] += gradient[o] * input[i];
        }
    }
}

/// Gradient of the input: from +0.0; terms in the order of the outputs.
pub fn linear_backward_input<const INPUT: usize, const OUTPUT: usize>(
    weight: &[[f32; INPUT]; OUTPUT],
    gradient: &[f32; OUTPUT],
) -> [f32; INPUT] {
    let mut input_gradient = [0.0; INPUT];
    for i in 0..INPUT {
        for o in 0..OUTPUT {
            input_gradient[i] += gradient[o] * weight[o][i];
        }
    }
    input_gradient
}

/// Loss of a sample and its gradient: m = max z; e_j = exp(z_j − m); s = Σ e_j in class order;
/// loss = ln s − (z_label − m); gradient_j = (e_j / s − \[j = label\]) / batch length.
pub fn cross_entropy(logits: &Logits, label: u8, batch_length: usize) -> (f32, Logits) {
    let mut largest = logits[0];
    for j in 1..CLASSES {
        if logits[j] > largest {
            largest = logits[j];
        }
    }
    let mut sum = 0.0;
    for j in 0..CLASSES {
        sum += exp(logits[j] - largest);
    }
    let mut gradient = [0.0; CLASSES];
    for j in 0..CLASSES {
        let target = if j == usize::from(label) { 1.0 } else { 0.0 };
        gradient[j] = (exp(logits[j] - largest) / sum - target) / batch_length as f32;
    }
    (ln(sum) - (logits[usize::from(label)] - largest), gradient)
}

/// g ← g + λ·w; v ← μ·v + g; w ← w − lr·v.
pub fn sgd(settings: &Sgd, parameters: &mut [f32], momentum: &mut [f32], gradient: &[f32]) {
    for i in 0..parameters.len() {
        let decayed = gradient[i] + settings.weight_decay * parameters[i];
        momentum[i] = settings.momentum * momentum[i] + decayed;
        parameters[i] -= settings.learning_rate * momentum[i];
    }
}

/// Every value of one sample's forward pass.
pub struct Forward {
    image: Image,
    conv1: Map<CONV1_CHANNELS, CONV1_SIDE>,
    relu1: Map<CONV1_CHANNELS, CONV1_SIDE>,
    pool1: Pool1,
    conv2: Map<CONV2_CHANNELS, CONV2_SIDE>,
    relu2: Map<CONV2_CHANNELS, CONV2_SIDE>,
    pool2: Pool2,
    fc1: [f32; HIDDEN],
    hidden: [f32; HIDDEN],
    /// The scores of the ten classes.
    pub logits: Logits,
}

/// The forward pass of one image.
pub fn forward(parameters: &Parameters<'_>, pixels: &Pixels) -> Forward {
    let image = normalize(pixels);
    let conv1 = convolve(&image, parameters.conv1_weight, parameters.conv1_bias);
    let mut relu1 = conv1;
    relu(relu1.as_flattened_mut().as_flattened_mut());
    let pool1 = max_pool(&relu1);
    let conv2 = convolve(&pool1, parameters.conv2_weight, parameters.conv2_bias);
    let mut relu2 = conv2;
    relu(relu2.as_flattened_mut().as_flattened_mut());
    let pool2: Pool2 = max_pool(&relu2);
    let fc1 = linear(flatten(&pool2), parameters.fc1_weight, parameters.fc1_bias);
    let mut hidden = fc1;
    relu(&mut hidden);
    let logits = linear(&hidden, parameters.fc2_weight, parameters.fc2_bias);
    Forward { image, conv1, relu1, pool1, conv2, relu2, pool2, fc1, hidden, logits }
}

/// Gradient of the batch's mean loss and the sum of the samples' losses. Linear gradients take each sample's term as it
/// comes; convolution gradients are summed within the sample first.
pub fn batch_gradient(parameters: &FlatParameters, batch: &[(Pixels, u8)]) -> (Box<FlatParameters>, f64) {
    let parameters = Parameters::of(parameters);
    let mut flat = zeros();
    let mut loss = 0.0;
    for (pixels, label) in batch {
        let sum = ParametersMut::of(&mut flat);
        let forward = forward(&parameters, pixels);
        let (sample_loss, logits_gradient) = cross_entropy(&forward.logits, *label, batch.len());
        loss += f64::from(sample_loss);

        linear_backward_parameters(&forward.hidden, &logits_gradient, sum.fc2_weight, sum.fc2_bias);
        let mut fc1_gradient = linear_backward_input(parameters.fc2_weight, &logits_gradient);
        relu_backward(&forward.fc1, &mut fc1_gradient);
        linear_backward_parameters(flatten(&forward.pool2), &fc1_gradient, sum.fc1_weight, sum.fc1_bias);
        let pool2_gradient = unflatten(&linear_backward_input(parameters.fc1_weight, &fc1_gradient));

        let mut conv2_gradient = max_pool_backward(&forward.relu2, &pool2_gradient);
        relu_backward(flat_map(&forward.conv2), conv2_gradient.as_flattened_mut().as_flattened_mut());
        let (weight, bias) = convolve_backward_parameters(&forward.pool1, &conv2_gradient);
        add(sum.conv2_weight.as_flattened_mut().as_flattened_mut(), flat_map(&weight));
        add(sum.conv2_bias, &bias);
        let pool1_gradient: Pool1 = convolve_backward_input(parameters.conv2_weight, &conv2_gradient);

        let mut conv1_gradient = max_pool_backward(&forward.relu1, &pool1_gradient);
        relu_backward(flat_map(&forward.conv1), conv1_gradient.as_flattened_mut().as_flattened_mut());
        let (weight, bias) = convolve_backward_parameters(&forward.image, &conv1_gradient);
        add(sum.conv1_weight.as_flattened_mut().as_flattened_mut(), flat_map(&weight));
        add(sum.conv1_bias, &bias);
    }
    (flat, loss)
}

fn zeros() -> Box<FlatParameters> {
    vec![0.0; PARAMETER_COUNT].try_into().expect("the length is PARAMETER_COUNT")
}

fn add(sum: &mut [f32], terms: &[f32]) {
    for i in 0..sum.len() {
        sum[i] += terms[i];
    }
}

fn flat_map<const A: usize, const B: usize, const C: usize>(map: &[[[f32; A]; B]; C]) -> &[f32] {
    map.as_flattened().as_flattened()
}

/// fc1's input: channel·25 + row·5 + column.
fn flatten(map: &Pool2) -> &[f32; POOL2_LEN] {
    flat_map(map).try_into().expect("32·5·5 is 800")
}

fn unflatten(values: &[f32; POOL2_LEN]) -> Pool2 {
    let mut map = [[[0.0; 5]; 5]; CONV2_CHANNELS];
    for channel in 0..CONV2_CHANNELS {
        for row in 0..5 {
            for column in 0..5 {
                map[channel][row][column] = values[25 * channel + 5 * row + column];
            }
        }
    }
    map
}
