//! The forward pass in integers with the Cortex-M4F's and M33's multiplications of pairs: the integers of
//! [`cnn_core::int8::forward`].
//!
//! A word of four 8-bit numbers becomes two pairs of 16-bit ones, the even and the odd ones; `SMLAD` adds both products of a
//! pair. Inputs and weights are split alike, so that pairs meet as they are.

mod instructions;

use cnn_core::image::Pixels;
use cnn_core::int8::conv::largest;
use cnn_core::int8::parameters::Kernels;
use cnn_core::int8::{Activations, Logits, Parameters, Rescale, flatten, image};
use cnn_core::network::{CLASSES, CONV1_CHANNELS, CONV2_CHANNELS, IMAGE_SIDE, POOL1_SIDE, POOL2_SIDE};

use bytemuck::cast_slice;
use instructions::{even, even_signed, odd, odd_signed, smlabb, smlad, smlatb};

core::arch::global_asm!(include_str!("window.s"));

/// Channels of an element of conv1's output here: a word.
const QUAD: usize = 4;
const QUADS: usize = CONV1_CHANNELS / QUAD;
/// Output channels of a call of `add_window`.
const CHANNEL_BLOCK: usize = 2;
/// Outputs that are summed together.
const OUTPUT_BLOCK: usize = 4;
const KERNEL: usize = 9;

/// conv1's output with the channels of a quad side by side.
type Quads = [[[[u8; QUAD]; POOL1_SIDE]; POOL1_SIDE]; QUADS];
/// Two output channels' weights of conv2, as pairs: `[quad][half][place][output channel]`.
type Pairs = [[[[u32; CHANNEL_BLOCK]; KERNEL]; 2]; QUADS];

unsafe extern "C" {
    /// Adds conv2's sums at a pooling window's four positions for two output channels. Reads a patch of 4×4 elements of
    /// every quad from `input` on.
    fn add_window(sums: *mut [[i32; 4]; CHANNEL_BLOCK], input: *const [u8; QUAD], weights: *const Pairs);
}

/// The forward pass: the logits of an image's pixels. `activations.pool1` holds [`Quads`].
#[inline(never)]
pub fn int8_forward(pixels: &Pixels, parameters: &Parameters<'_>, activations: &mut Activations) -> Logits {
    let Activations { pool1, pool2, hidden } = activations;
    let quads: &mut Quads = bytemuck::cast_mut(pool1);
    conv1(&image(pixels)[0], parameters.conv1_weight, &parameters.conv1, quads);
    conv2(quads, parameters.conv2_weight, &parameters.conv2, pool2);
    linear(flatten(pool2), parameters.fc1_weight, parameters.fc1.bias, |output, sum| {
        hidden[output] = parameters.fc1.activation(output, sum);
    });
    let mut logits = [0; CLASSES];
    linear(hidden, parameters.fc2_weight, parameters.fc2_bias, |class, sum| logits[class] = sum);
    logits
}

/// conv1 and max-pool. A kernel's nine weights stay in six registers: of each row the outer two as a pair, and the middle one.
fn conv1(
    image: &[[u8; IMAGE_SIDE]; IMAGE_SIDE],
    weight: &Kernels<CONV1_CHANNELS, 1>,
    rescale: &Rescale<'_, CONV1_CHANNELS>,
    output: &mut Quads,
) {
    for (channel, [kernel]) in weight.iter().enumerate() {
        let rows: [(u32, u32); 3] = core::array::from_fn(|row| {
            let [first, middle, last] = [0, 1, 2].map(|column| kernel[3 * row + column]);
            (pair(first, last), pair(middle, 0))
        });
        for row in 0..POOL1_SIDE {
            let patch: &[[u8; IMAGE_SIDE]; 4] = image[2 * row..].first_chunk().expect("windows lie inside the image");
            for column in 0..POOL1_SIDE {
                let mut sums = [rescale.bias[channel]; 4];
                for (patch_row, inputs) in patch.iter().enumerate() {
                    let word = u32::from_le_bytes(*inputs[2 * column..].first_chunk().expect("inside the image"));
                    let (even, odd) = (even(word), odd(word));
                    for (upper, sums) in sums.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                        if let Some(&(outer, middle)) = patch_row.checked_sub(upper).and_then(|row| rows.get(row)) {
                            sums[0] = smlabb(odd, middle, smlad(even, outer, sums[0]));
                            sums[1] = smlatb(even, middle, smlad(odd, outer, sums[1]));
                        }
                    }
                }
                output[channel / QUAD][row][column][channel % QUAD] = rescale.activation(channel, largest(sums));
            }
        }
    }
}

/// conv2 and max-pool.
fn conv2(
    input: &Quads,
    weight: &Kernels<CONV2_CHANNELS, CONV1_CHANNELS>,
    rescale: &Rescale<'_, CONV2_CHANNELS>,
    output: &mut [[[u8; POOL2_SIDE]; POOL2_SIDE]; CONV2_CHANNELS],
) {
    for (block, weights) in weight.as_chunks::<CHANNEL_BLOCK>().0.iter().enumerate() {
        let pairs = pairs(weights);
        for row in 0..POOL2_SIDE {
            for column in 0..POOL2_SIDE {
                let channels = [0, 1].map(|channel| CHANNEL_BLOCK * block + channel);
                let mut sums = channels.map(|channel| [rescale.bias[channel]; 4]);
                // SAFETY: the patch's last row and column are 2·(POOL2_SIDE − 1) + 3 < POOL1_SIDE, so that it lies inside
                // each of the quads, and both are as `window.s` has them.
                unsafe { add_window(&mut sums, &raw const input[0][2 * row][2 * column], &raw const pairs) };
                for (channel, sums) in channels.into_iter().zip(sums) {
                    output[channel][row][column] = rescale.activation(channel, largest(sums));
                }
            }
        }
    }
}

/// Two output channels' weights as `add_window` takes them.
fn pairs(weights: &[[[i8; KERNEL]; CONV1_CHANNELS]; CHANNEL_BLOCK]) -> Pairs {
    core::array::from_fn(|quad| {
        core::array::from_fn(|half| {
            core::array::from_fn(|place| {
                let first = QUAD * quad + half;
                weights.each_ref().map(|kernels| pair(kernels[first][place], kernels[first + 2][place]))
            })
        })
    })
}

/// Two numbers as 16 bits each, the first in the lower half.
fn pair(first: i8, second: i8) -> u32 {
    u32::from(i16::from(first) as u16) | u32::from(i16::from(second) as u16) << 16
}

/// [`cnn_core::int8::linear::linear`]. The last block starts early enough to be whole; its sums come out the same again.
#[inline(always)]
fn linear<const INPUT: usize, const OUTPUT: usize>(
    input: &[u8; INPUT],
    weight: &[[i8; INPUT]; OUTPUT],
    bias: &[i32; OUTPUT],
    mut emit: impl FnMut(usize, i32),
) {
    const { assert!(INPUT.is_multiple_of(8) && OUTPUT >= OUTPUT_BLOCK) };
    let input: &[[u32; 2]] = cast_slice(input);
    for block in 0..OUTPUT.div_ceil(OUTPUT_BLOCK) {
        let start = (block * OUTPUT_BLOCK).min(OUTPUT - OUTPUT_BLOCK);
        let weights: &[[i8; INPUT]; OUTPUT_BLOCK] = weight[start..].first_chunk().expect("the block is whole");
        let mut sums: [i32; OUTPUT_BLOCK] = core::array::from_fn(|output| bias[start + output]);
        let weights: [&[[u32; 2]]; OUTPUT_BLOCK] = weights.each_ref().map(|weights| cast_slice(weights));
        for (index, inputs) in input.iter().enumerate() {
            let inputs = inputs.map(|word| (even(word), odd(word)));
            for (sum, weights) in sums.iter_mut().zip(weights) {
                for (word, (even_inputs, odd_inputs)) in weights[index].into_iter().zip(inputs) {
                    *sum = smlad(even_inputs, even_signed(word), *sum);
                    *sum = smlad(odd_inputs, odd_signed(word), *sum);
                }
            }
        }
        for (output, sum) in sums.into_iter().enumerate() {
            emit(start + output, sum);
        }
    }
}
