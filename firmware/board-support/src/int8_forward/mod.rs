//! The forward pass in integers with the Cortex-M4F's and M33's multiplications of pairs: the integers of
//! [`cnn_core::int8::forward`].
//!
//! `SMLAD` adds both products of two pairs of 16-bit numbers. A word of four 8-bit numbers becomes two pairs, the even and the
//! odd ones, by one instruction each. The loops are in assembly: the compiler moves their values to the stack and back.

use bytemuck::cast_slice_mut;
use cnn_core::image::Pixels;
use cnn_core::int8::linear::linear;
use cnn_core::int8::parameters::Kernels;
use cnn_core::int8::{Activations, Logits, Parameters, Rescale, image};
use cnn_core::network::{
    CLASSES, CONV1_CHANNELS, CONV2_CHANNELS, HIDDEN, IMAGE_SIDE, POOL1_SIDE, POOL2_LEN, POOL2_SIDE, flatten,
};

/// Instructions on pairs are an option of the Cortex-M33's architecture, and LLVM reads the symbols of a library's assembly
/// without looking at `target-cpu`.
#[cfg(cortex_m33)]
macro_rules! processor {
    () => {
        ".cpu cortex-m33"
    };
}
#[cfg(not(cortex_m33))]
macro_rules! processor {
    () => {
        ""
    };
}

core::arch::global_asm!(processor!(), include_str!("conv1.s"), include_str!("conv2.s"), include_str!("fc1.s"));

/// Channels of an element of conv1's output here: a word.
const QUAD: usize = 4;
const QUADS: usize = CONV1_CHANNELS / QUAD;
/// Output channels of a call of `int8_conv2`.
const CHANNEL_BLOCK: usize = 2;
/// Outputs of a call of `int8_fc1`.
const OUTPUT_BLOCK: usize = 5;
const KERNEL: usize = 9;

/// conv1's output with the channels of a quad side by side.
type Quads = [[[[u8; QUAD]; POOL1_SIDE]; POOL1_SIDE]; QUADS];
/// Two output channels' weights of conv2, as pairs: `[quad][half][place][output channel]`.
type Pairs = [[[[u32; CHANNEL_BLOCK]; KERNEL]; 2]; QUADS];
/// fc1's inputs as pairs: of each four the even and the odd ones.
type InputPairs = [[u32; 2]; POOL2_LEN / 4];

/// What a channel makes of its sums, for shifts above 32: then the lower word of a product decides nothing
/// ([`Rescale::activation`]), and `SMMLA` adds its upper word to the half.
#[repr(C)]
struct Scale {
    bias: i32,
    multiplier: i32,
    /// `2^(shift − 1)`'s upper word.
    half: i32,
    /// `shift − 32`.
    shift: u32,
}

unsafe extern "C" {
    /// One output channel of conv1: every fourth byte from `output` on, 13·13 of them.
    fn int8_conv1(
        image: *const [[u8; IMAGE_SIDE]; IMAGE_SIDE],
        output: *mut u8,
        weights: *const [u32; 5],
        scale: *const Scale,
    );

    /// Two output channels of conv2.
    fn int8_conv2(
        input: *const Quads,
        output: *mut [[[u8; POOL2_SIDE]; POOL2_SIDE]; CHANNEL_BLOCK],
        weights: *const Pairs,
        scales: *const [Scale; CHANNEL_BLOCK],
    );

    /// Adds the products of fc1's inputs with five outputs' weights, which lie on a border of words.
    fn int8_fc1(
        sums: *mut [i32; OUTPUT_BLOCK],
        inputs: *const InputPairs,
        weights: *const [[i8; POOL2_LEN]; OUTPUT_BLOCK],
    );
}

/// The forward pass: the logits of an image's pixels. `activations.pool1` holds [`Quads`], then [`InputPairs`].
///
/// Parameters with a shift below 33, which stands for a factor above 1/4 and hardly exists, or that do not lie on a border
/// of words take [`cnn_core::int8::forward`].
#[inline(never)]
pub fn int8_forward(pixels: &Pixels, parameters: &Parameters<'_>, activations: &mut Activations) -> Logits {
    let shifts = parameters.conv1.shift.iter().chain(parameters.conv2.shift).chain(parameters.fc1.shift);
    if shifts.min().is_some_and(|&shift| shift <= 32) || !parameters.fc1_weight.as_ptr().cast::<u32>().is_aligned() {
        return cnn_core::int8::forward(pixels, parameters, activations);
    }
    let Activations { pool1, pool2, hidden } = activations;
    let quads: &mut Quads = bytemuck::cast_mut(pool1);
    conv1(&image(pixels)[0], parameters.conv1_weight, &parameters.conv1, quads);
    conv2(quads, parameters.conv2_weight, &parameters.conv2, pool2);
    let pairs = cast_slice_mut(pool1).first_chunk_mut().expect("the pairs are 1,600 bytes");
    split(flatten(pool2), pairs);
    fc1(pairs, parameters.fc1_weight, &parameters.fc1, hidden);
    let mut logits = [0; CLASSES];
    linear(hidden, parameters.fc2_weight, parameters.fc2_bias, |class, sum| logits[class] = sum);
    logits
}

/// conv1 and max-pool.
fn conv1(
    image: &[[u8; IMAGE_SIDE]; IMAGE_SIDE],
    weight: &Kernels<CONV1_CHANNELS, 1>,
    rescale: &Rescale<'_, CONV1_CHANNELS>,
    output: &mut Quads,
) {
    for (channel, [kernel]) in weight.iter().enumerate() {
        let [a, b, c, d, e, f, g, h, i] = *kernel;
        let weights = [pair(a, c), pair(d, f), pair(g, i), pair(b, e), pair(h, 0)];
        let output = (&raw mut output[channel / QUAD]).cast::<u8>();
        // SAFETY: a quad is [13][13][4], of which every fourth byte from one of the first four on is written.
        unsafe { int8_conv1(image, output.add(channel % QUAD), &weights, &scale(rescale, channel)) };
    }
}

/// conv2 and max-pool.
fn conv2(
    input: &Quads,
    weight: &Kernels<CONV2_CHANNELS, CONV1_CHANNELS>,
    rescale: &Rescale<'_, CONV2_CHANNELS>,
    output: &mut [[[u8; POOL2_SIDE]; POOL2_SIDE]; CONV2_CHANNELS],
) {
    let outputs = output.as_chunks_mut::<CHANNEL_BLOCK>().0;
    for (block, (weights, output)) in weight.as_chunks::<CHANNEL_BLOCK>().0.iter().zip(outputs).enumerate() {
        let scales = [0, 1].map(|channel| scale(rescale, CHANNEL_BLOCK * block + channel));
        // SAFETY: the arrays are as `conv2.s` has them; the input, conv1's in `Activations`, lies on a border of words.
        unsafe { int8_conv2(input, output, &pairs(weights), &scales) };
    }
}

/// Two output channels' weights as `int8_conv2` takes them.
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

fn scale<const OUTPUT: usize>(rescale: &Rescale<'_, OUTPUT>, channel: usize) -> Scale {
    let shift = u32::from(rescale.shift[channel]) - 32;
    Scale { bias: rescale.bias[channel], multiplier: rescale.multiplier[channel], half: 1 << (shift - 1), shift }
}

fn split(input: &[u8; POOL2_LEN], pairs: &mut InputPairs) {
    for (pair, &quad) in pairs.iter_mut().zip(input.as_chunks().0) {
        let word = u32::from_le_bytes(quad);
        *pair = [word & 0x00ff_00ff, word >> 8 & 0x00ff_00ff];
    }
}

fn fc1(
    input: &InputPairs,
    weight: &[[i8; POOL2_LEN]; HIDDEN],
    rescale: &Rescale<'_, HIDDEN>,
    output: &mut [u8; HIDDEN],
) {
    const { assert!(HIDDEN.is_multiple_of(OUTPUT_BLOCK)) };
    for (block, weights) in weight.as_chunks::<OUTPUT_BLOCK>().0.iter().enumerate() {
        let start = block * OUTPUT_BLOCK;
        let mut sums: [i32; OUTPUT_BLOCK] = core::array::from_fn(|output| rescale.bias[start + output]);
        // SAFETY: the arrays are as `fc1.s` has them; the caller looked at the weights' address.
        unsafe { int8_fc1(&mut sums, input, weights) };
        for (place, sum) in sums.into_iter().enumerate() {
            output[start + place] = rescale.activation(start + place, sum);
        }
    }
}
