//! Convolution 3×3 (stride 1, no padding), max-pooling 2×2 of the sums, and their rescaling, in one pass.

use super::Map;
use super::parameters::{Kernels, Rescale};
use crate::shapes::KERNEL_LEN;

/// `[INPUT][SIDE][SIDE]` to `[OUTPUT][POOLED][POOLED]`; a last row or column that pooling would drop is never computed.
pub fn convolve_pool<const INPUT: usize, const SIDE: usize, const OUTPUT: usize, const POOLED: usize>(
    input: &Map<INPUT, SIDE>,
    weight: &Kernels<OUTPUT, INPUT>,
    rescale: &Rescale<'_, OUTPUT>,
    output: &mut Map<OUTPUT, POOLED>,
) {
    const { assert!(POOLED == (SIDE - 2) / 2, "a 3×3 kernel and a 2×2 window") };
    for (channel, (kernels, map)) in weight.iter().zip(output).enumerate() {
        for (row, values) in map.iter_mut().enumerate() {
            for (column, value) in values.iter_mut().enumerate() {
                let mut sums = [rescale.bias[channel]; 4];
                for (plane, kernel) in input.iter().zip(kernels) {
                    add_window(&mut sums, plane, kernel, 2 * row, 2 * column);
                }
                *value = rescale.activation(channel, largest(sums));
            }
        }
    }
}

/// The largest sum of a pooling window.
#[inline(always)]
pub fn largest([a, b, c, d]: [i32; 4]) -> i32 {
    a.max(b).max(c.max(d))
}

/// Adds one input channel's products to the sums at (`row`, `column`) and its three neighbours to the right and below.
///
/// Each of the 4×4 inputs is loaded once and meets every weight that it is multiplied with.
#[inline(always)]
fn add_window<const SIDE: usize>(
    sums: &mut [i32; 4],
    plane: &[[u8; SIDE]; SIDE],
    kernel: &[i8; KERNEL_LEN],
    row: usize,
    column: usize,
) {
    let rows: &[[u8; SIDE]; 4] = plane[row..].first_chunk().expect("windows lie inside the map");
    for (patch_row, inputs) in rows.iter().enumerate() {
        let inputs: &[u8; 4] = inputs[column..].first_chunk().expect("windows lie inside the map");
        let inputs = inputs.map(i32::from);
        for kernel_column in 0..3 {
            let [left, right] = [inputs[kernel_column], inputs[kernel_column + 1]];
            if patch_row < 3 {
                let weight = i32::from(kernel[3 * patch_row + kernel_column]);
                sums[0] += left * weight;
                sums[1] += right * weight;
            }
            if patch_row > 0 {
                let weight = i32::from(kernel[3 * (patch_row - 1) + kernel_column]);
                sums[2] += left * weight;
                sums[3] += right * weight;
            }
        }
    }
}
