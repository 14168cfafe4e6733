//! The forward pass in integers on a Cortex-M0+: the integers of [`cnn_core::int8::forward`].
//!
//! A processor with a single multiplication of 32 bits and eight registers for most of its instructions: the compiler moves
//! the sums of a window to the stack and back, and reads weights a byte at a time. Here they become words once for each
//! output channel, of which one instruction loads a row of three.

use cnn_core::image::Pixels;
use cnn_core::int8::conv::largest;
use cnn_core::int8::linear::linear;
use cnn_core::int8::parameters::Kernels;
use cnn_core::int8::{Activations, Logits, Map, Parameters, Rescale, image};
use cnn_core::network::{CLASSES, flatten};

core::arch::global_asm!(include_str!("window.s"));

const KERNEL: usize = 9;

/// Adds the products of a window, which begins at `input`, with the weights from `weights` up to `end` to its four sums.
type AddWindow = unsafe extern "C" fn(
    input: *const u8,
    weights: *const [i32; KERNEL],
    end: *const [i32; KERNEL],
    sums: *mut [i32; 4],
);

unsafe extern "C" {
    /// Of maps of 28×28, of which there is one.
    fn int8_conv1_window(
        input: *const u8,
        weights: *const [i32; KERNEL],
        end: *const [i32; KERNEL],
        sums: *mut [i32; 4],
    );

    /// Of maps of 13×13.
    fn int8_conv2_window(
        input: *const u8,
        weights: *const [i32; KERNEL],
        end: *const [i32; KERNEL],
        sums: *mut [i32; 4],
    );
}

/// The forward pass: the logits of an image's pixels.
#[inline(never)]
pub fn int8_forward(pixels: &Pixels, parameters: &Parameters<'_>, activations: &mut Activations) -> Logits {
    let Activations { pool1, pool2, hidden } = activations;
    // SAFETY: each function is that of its input's side, and the first has one input channel.
    unsafe {
        convolve_pool(image(pixels), parameters.conv1_weight, &parameters.conv1, pool1, int8_conv1_window);
        convolve_pool(pool1, parameters.conv2_weight, &parameters.conv2, pool2, int8_conv2_window);
    }
    linear(flatten(pool2), parameters.fc1_weight, parameters.fc1.bias, |output, sum| {
        hidden[output] = parameters.fc1.activation(output, sum);
    });
    let mut logits = [0; CLASSES];
    linear(hidden, parameters.fc2_weight, parameters.fc2_bias, |class, sum| logits[class] = sum);
    logits
}

/// `cnn_core::int8::conv::convolve_pool`.
///
/// # Safety
/// `add_window` must be that of maps of `SIDE` by `SIDE`, and of `INPUT` of them.
unsafe fn convolve_pool<const INPUT: usize, const SIDE: usize, const OUTPUT: usize, const POOLED: usize>(
    input: &Map<INPUT, SIDE>,
    weight: &Kernels<OUTPUT, INPUT>,
    rescale: &Rescale<'_, OUTPUT>,
    output: &mut Map<OUTPUT, POOLED>,
    add_window: AddWindow,
) {
    const { assert!(2 * POOLED + 2 <= SIDE, "windows lie inside the map") };
    for (channel, (kernels, map)) in weight.iter().zip(output).enumerate() {
        let words = kernels.map(|kernel| kernel.map(i32::from));
        let ends = words.as_ptr_range();
        for (row, values) in map.iter_mut().enumerate() {
            for (column, value) in values.iter_mut().enumerate() {
                let mut sums = [rescale.bias[channel]; 4];
                let start = input.as_ptr().cast::<u8>().wrapping_add(2 * row * SIDE + 2 * column);
                // SAFETY: the window's 4×4 inputs lie in each of the input's maps, as asserted above, and the weights are
                // those of the same number of channels; the caller has chosen the function.
                unsafe { add_window(start, ends.start, ends.end, &mut sums) };
                *value = rescale.activation(channel, largest(sums));
            }
        }
    }
}
