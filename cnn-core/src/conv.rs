//! Convolution 3×3 (stride 1, no padding), ReLU and max-pooling 2×2 in one pass, and its gradients.
//!
//! The unpooled map is never stored: four neighbouring sums are formed, their winner is kept. Only the winner has a
//! gradient, which is what makes the backward pass sparse — at most one of four positions, and none where ReLU is off.
//! Value and gradient are those of PyTorch's `Conv2d`, `ReLU`, `MaxPool2d(2)` one after another
//! (<https://docs.pytorch.org/docs/stable/nn.html>).

use crate::shapes::{KERNEL_LEN, Kernels, Map};

/// Which of a pooling window's four values won, in raster order, or [`NO_WINNER`].
pub type Winner = u8;
/// ReLU is off over the whole window: the output is 0 and no position has a gradient.
pub const NO_WINNER: Winner = 4;
/// The winners of a pooled map: `[channel][row][column]`.
pub type Winners<const CHANNELS: usize, const SIDE: usize> = [[[Winner; SIDE]; SIDE]; CHANNELS];

/// Output channels computed together: 4 channels × 4 window positions are 16 sums, which with their inputs and weights
/// fit the 32 registers of a Cortex-M4F's floating-point unit.
const CHANNEL_BLOCK: usize = 4;

/// ReLU and max-pooling of one window, its values in raster order.
///
/// A later value wins only if it is strictly greater; the result is +0.0 unless the winner is greater than 0.
/// That gives the value and the gradient of ReLU followed by pooling in PyTorch.
#[inline(always)]
pub fn relu_pool(window: [f32; 4]) -> (f32, Winner) {
    let mut value = window[0];
    let mut winner = 0;
    for position in 1..4 {
        if window[position as usize] > value {
            value = window[position as usize];
            winner = position;
        }
    }
    if value > 0.0 { (value, winner) } else { (0.0, NO_WINNER) }
}

/// Convolution, ReLU, max-pool: `[INPUT][SIDE][SIDE]` to `[OUTPUT][POOLED][POOLED]`.
///
/// Each convolution sum starts from the bias; its terms follow in the order input channel, kernel row, kernel column.
/// A last row or column that pooling would drop is never computed.
pub fn convolve_relu_pool<const INPUT: usize, const SIDE: usize, const OUTPUT: usize, const POOLED: usize>(
    input: &Map<INPUT, SIDE>,
    weight: &Kernels<OUTPUT, INPUT>,
    bias: &[f32; OUTPUT],
    output: &mut Map<OUTPUT, POOLED>,
) {
    for_each_window::<INPUT, SIDE, OUTPUT, POOLED>(input, weight, bias, |channel, row, column, window| {
        output[channel][row][column] = relu_pool(window).0;
    });
}

/// [`convolve_relu_pool`] that also keeps each window's winner, as the backward pass needs it.
pub fn convolve_relu_pool_winners<const INPUT: usize, const SIDE: usize, const OUTPUT: usize, const POOLED: usize>(
    input: &Map<INPUT, SIDE>,
    weight: &Kernels<OUTPUT, INPUT>,
    bias: &[f32; OUTPUT],
    output: &mut Map<OUTPUT, POOLED>,
    winners: &mut Winners<OUTPUT, POOLED>,
) {
    for_each_window::<INPUT, SIDE, OUTPUT, POOLED>(input, weight, bias, |channel, row, column, window| {
        (output[channel][row][column], winners[channel][row][column]) = relu_pool(window);
    });
}

/// Calls `emit(channel, pooled row, pooled column, the window's four convolution sums)` for every output.
#[inline(always)]
fn for_each_window<const INPUT: usize, const SIDE: usize, const OUTPUT: usize, const POOLED: usize>(
    input: &Map<INPUT, SIDE>,
    weight: &Kernels<OUTPUT, INPUT>,
    bias: &[f32; OUTPUT],
    mut emit: impl FnMut(usize, usize, usize, [f32; 4]),
) {
    const { assert!(POOLED == (SIDE - 2) / 2, "a 3×3 kernel and a 2×2 window") };
    const { assert!(OUTPUT.is_multiple_of(CHANNEL_BLOCK)) };
    let blocks = weight.as_chunks::<CHANNEL_BLOCK>().0.iter().zip(bias.as_chunks::<CHANNEL_BLOCK>().0);
    for (block, (weight, bias)) in blocks.enumerate() {
        for row in 0..POOLED {
            for column in 0..POOLED {
                let windows = convolve_window(input, weight, bias, 2 * row, 2 * column);
                for (lane, window) in windows.into_iter().enumerate() {
                    emit(block * CHANNEL_BLOCK + lane, row, column, window);
                }
            }
        }
    }
}

/// The convolution sums at (`row`, `column`) and its three neighbours to the right and below, in raster order, for a
/// block of output channels.
#[inline(always)]
fn convolve_window<const INPUT: usize, const SIDE: usize>(
    input: &Map<INPUT, SIDE>,
    weight: &[[[f32; KERNEL_LEN]; INPUT]; CHANNEL_BLOCK],
    bias: &[f32; CHANNEL_BLOCK],
    row: usize,
    column: usize,
) -> [[f32; 4]; CHANNEL_BLOCK] {
    let mut sums = bias.map(|bias| [bias; 4]);
    for (channel, plane) in input.iter().enumerate() {
        let patch = patch_at(plane, row, column);
        for kernel_row in 0..3 {
            for kernel_column in 0..3 {
                let window = [
                    patch[kernel_row][kernel_column],
                    patch[kernel_row][kernel_column + 1],
                    patch[kernel_row + 1][kernel_column],
                    patch[kernel_row + 1][kernel_column + 1],
                ];
                for (sums, weight) in sums.iter_mut().zip(weight) {
                    let weight = weight[channel][3 * kernel_row + kernel_column];
                    for (sum, x) in sums.iter_mut().zip(window) {
                        *sum += x * weight;
                    }
                }
            }
        }
    }
    sums
}

/// The 4×4 inputs that a 2×2 window of 3×3 convolutions reads, each row borrowed.
#[inline(always)]
fn patch_at<const SIDE: usize>(plane: &[[f32; SIDE]; SIDE], row: usize, column: usize) -> [&[f32; 4]; 4] {
    let rows: &[[f32; SIDE]; 4] = plane[row..].first_chunk().expect("windows lie inside the map");
    rows.each_ref().map(|values| values[column..].first_chunk().expect("windows lie inside the map"))
}

/// The first input row and column that the winner of a window reads.
#[inline(always)]
fn winner_place(row: usize, column: usize, winner: Winner) -> (usize, usize) {
    (2 * row + usize::from(winner / 2), 2 * column + usize::from(winner % 2))
}

/// One sample's gradients of a convolution's weights and biases, from the gradient of its pooled output.
///
/// Each starts from +0.0; its terms follow in the raster order of the pooled positions.
pub fn convolve_backward_parameters<const INPUT: usize, const SIDE: usize, const OUTPUT: usize, const POOLED: usize>(
    input: &Map<INPUT, SIDE>,
    winners: &Winners<OUTPUT, POOLED>,
    output_gradient: &Map<OUTPUT, POOLED>,
    weight_gradient: &mut Kernels<OUTPUT, INPUT>,
    bias_gradient: &mut [f32; OUTPUT],
) {
    *weight_gradient = [[[0.0; KERNEL_LEN]; INPUT]; OUTPUT];
    *bias_gradient = [0.0; OUTPUT];
    for_each_winner(winners, output_gradient, |output, row, column, gradient| {
        bias_gradient[output] += gradient;
        for (plane, kernel) in input.iter().zip(&mut weight_gradient[output]) {
            for (kernel_row, weights) in kernel.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                for (kernel_column, weight) in weights.iter_mut().enumerate() {
                    *weight += gradient * plane[row + kernel_row][column + kernel_column];
                }
            }
        }
    });
}

/// One sample's gradient of a convolution's input, from the gradient of its pooled output.
///
/// Each starts from +0.0; its terms follow in the order output channel, then pooled position in raster order.
pub fn convolve_backward_input<const INPUT: usize, const SIDE: usize, const OUTPUT: usize, const POOLED: usize>(
    weight: &Kernels<OUTPUT, INPUT>,
    winners: &Winners<OUTPUT, POOLED>,
    output_gradient: &Map<OUTPUT, POOLED>,
    input_gradient: &mut Map<INPUT, SIDE>,
) {
    *input_gradient = [[[0.0; SIDE]; SIDE]; INPUT];
    for_each_winner(winners, output_gradient, |output, row, column, gradient| {
        for (plane, kernel) in input_gradient.iter_mut().zip(&weight[output]) {
            for (kernel_row, weights) in kernel.as_chunks::<3>().0.iter().enumerate() {
                for (kernel_column, weight) in weights.iter().enumerate() {
                    plane[row + kernel_row][column + kernel_column] += gradient * weight;
                }
            }
        }
    });
}

/// Calls `term(output channel, input row, input column, gradient)` for every winner, in the order of the sums above.
#[inline(always)]
fn for_each_winner<const OUTPUT: usize, const POOLED: usize>(
    winners: &Winners<OUTPUT, POOLED>,
    output_gradient: &Map<OUTPUT, POOLED>,
    mut term: impl FnMut(usize, usize, usize, f32),
) {
    for output in 0..OUTPUT {
        for row in 0..POOLED {
            for column in 0..POOLED {
                let winner = winners[output][row][column];
                if winner != NO_WINNER {
                    let (input_row, input_column) = winner_place(row, column, winner);
                    term(output, input_row, input_column, output_gradient[output][row][column]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_values_wins_the_window() {
        assert_eq!(relu_pool([1.0, 1.0, 1.0, 1.0]), (1.0, 0));
        assert_eq!(relu_pool([0.5, 2.0, 2.0, 1.0]), (2.0, 1));
        assert_eq!(relu_pool([-1.0, 1.0e-45, 0.0, 0.0]), (1.0e-45, 1));
    }

    #[test]
    fn a_window_without_a_positive_value_gives_plus_zero_and_no_winner() {
        for window in [[-1.0, -2.0, -3.0, -0.5], [-0.0, -0.0, -0.0, -0.0], [0.0, -0.0, -1.0, 0.0]] {
            let (value, winner) = relu_pool(window);
            assert_eq!(value.to_bits(), 0.0f32.to_bits());
            assert_eq!(winner, NO_WINNER);
        }
    }
}
