//! The plain form of the integer network: the rules of `docs/integers.md` word by word, for comparison.

use super::parameters::{Kernels, Rescale};
use super::{Activations, Logits, Map, Parameters, image};
use crate::image::Pixels;
use crate::network::flatten;
use crate::shapes::CLASSES;

/// [`super::forward`], slowly.
pub fn forward(pixels: &Pixels, parameters: &Parameters<'_>, activations: &mut Activations) -> Logits {
    let Activations { pool1, pool2, hidden } = activations;
    convolve_pool(image(pixels), parameters.conv1_weight, &parameters.conv1, pool1);
    convolve_pool(pool1, parameters.conv2_weight, &parameters.conv2, pool2);
    let fc1 = &parameters.fc1;
    for (output, value) in hidden.iter_mut().enumerate() {
        *value = activation(fc1, output, dot(flatten(pool2), &parameters.fc1_weight[output], fc1.bias[output]));
    }
    let mut logits = [0; CLASSES];
    for (class, logit) in logits.iter_mut().enumerate() {
        *logit = dot(hidden, &parameters.fc2_weight[class], parameters.fc2_bias[class]);
    }
    logits
}

/// Rule 3.
fn activation<const OUTPUT: usize>(rescale: &Rescale<'_, OUTPUT>, output: usize, sum: i32) -> u8 {
    let shift = rescale.shift[output];
    let product = i64::from(sum) * i64::from(rescale.multiplier[output]);
    ((product + (1i64 << (shift - 1))) >> shift).clamp(0, 255) as u8
}

fn dot(input: &[u8], weight: &[i8], bias: i32) -> i32 {
    input.iter().zip(weight).fold(bias, |sum, (&x, &w)| sum + i32::from(x) * i32::from(w))
}

fn convolve_pool<const INPUT: usize, const SIDE: usize, const OUTPUT: usize, const POOLED: usize>(
    input: &Map<INPUT, SIDE>,
    weight: &Kernels<OUTPUT, INPUT>,
    rescale: &Rescale<'_, OUTPUT>,
    output: &mut Map<OUTPUT, POOLED>,
) {
    let sum_at = |channel: usize, row: usize, column: usize| {
        let mut sum = rescale.bias[channel];
        for (plane, kernel) in input.iter().zip(&weight[channel]) {
            for (place, &w) in kernel.iter().enumerate() {
                sum += i32::from(plane[row + place / 3][column + place % 3]) * i32::from(w);
            }
        }
        sum
    };
    for (channel, map) in output.iter_mut().enumerate() {
        for (row, values) in map.iter_mut().enumerate() {
            for (column, value) in values.iter_mut().enumerate() {
                let window = [(0, 0), (0, 1), (1, 0), (1, 1)];
                let sums = window.map(|(y, x)| sum_at(channel, 2 * row + y, 2 * column + x));
                let largest = sums.into_iter().max().expect("four of them");
                *value = activation(rescale, channel, largest);
            }
        }
    }
}
