//! The forward pass with the Cortex-M4F's own inner loops: the bits of [`cnn_core::network::forward`].
//!
//! Shapes and borders are cnn-core's; only the sums of a block are formed in assembly (`kernels.s`).

use cnn_core::conv::relu_pool;
use cnn_core::network::{Activations, CLASSES, Kernels, Logits, Map, Parameters, flatten};

core::arch::global_asm!(include_str!("kernels.s"));

/// Output channels of a call of `convolve_window`.
const CHANNEL_BLOCK: usize = 4;
/// Outputs of a call of `add_products`.
const OUTPUT_BLOCK: usize = 8;

unsafe extern "C" {
    /// Adds the convolution at a pooling window's four positions for four output channels. Reads a patch of 4×4 inputs
    /// of every input channel from `input` on, and `4 · input_channels · 9` weights.
    fn convolve_window(
        sums: *mut [[f32; 4]; CHANNEL_BLOCK],
        input: *const f32,
        weight: *const f32,
        input_channels: u32,
        row_bytes: u32,
        channel_bytes: u32,
    );

    /// Adds the products of `inputs` inputs with the weights of eight outputs. `inputs` is a multiple of 4, and not 0.
    fn add_products(sums: *mut [f32; OUTPUT_BLOCK], input: *const f32, weight: *const f32, inputs: u32);
}

/// The forward pass: logits of `activations.image`.
#[inline(never)]
pub fn forward(parameters: &Parameters<'_>, activations: &mut Activations) -> Logits {
    let Activations { image, pool1, pool2, hidden } = activations;
    convolve_relu_pool(image, parameters.conv1_weight, parameters.conv1_bias, pool1);
    convolve_relu_pool(pool1, parameters.conv2_weight, parameters.conv2_bias, pool2);
    linear(flatten(pool2), parameters.fc1_weight, parameters.fc1_bias, hidden);
    for value in hidden.iter_mut() {
        *value = if *value > 0.0 { *value } else { 0.0 };
    }
    let mut logits = [0.0; CLASSES];
    linear(hidden, parameters.fc2_weight, parameters.fc2_bias, &mut logits);
    logits
}

/// [`cnn_core::conv::convolve_relu_pool`].
fn convolve_relu_pool<const INPUT: usize, const SIDE: usize, const OUTPUT: usize, const POOLED: usize>(
    input: &Map<INPUT, SIDE>,
    weight: &Kernels<OUTPUT, INPUT>,
    bias: &[f32; OUTPUT],
    output: &mut Map<OUTPUT, POOLED>,
) {
    const { assert!(POOLED == (SIDE - 2) / 2 && INPUT > 0) };
    const { assert!(OUTPUT.is_multiple_of(CHANNEL_BLOCK)) };
    let weight_blocks = weight.as_chunks::<CHANNEL_BLOCK>().0;
    let bias_blocks = bias.as_chunks::<CHANNEL_BLOCK>().0;
    let output_blocks = output.as_chunks_mut::<CHANNEL_BLOCK>().0;
    for ((weight, bias), output) in weight_blocks.iter().zip(bias_blocks).zip(output_blocks) {
        for row in 0..POOLED {
            for column in 0..POOLED {
                let mut sums = bias.map(|bias| [bias; 4]);
                // SAFETY: the patch's last row and column are 2·(POOLED − 1) + 3 < SIDE, so that it lies inside each of
                // the INPUT channels; the weights are those of four output channels.
                unsafe {
                    convolve_window(
                        &mut sums,
                        input.as_ptr().cast::<f32>().add(2 * row * SIDE + 2 * column),
                        weight.as_ptr().cast(),
                        INPUT as u32,
                        size_of::<[f32; SIDE]>() as u32,
                        size_of::<[[f32; SIDE]; SIDE]>() as u32,
                    );
                }
                for (output, window) in output.iter_mut().zip(sums) {
                    output[row][column] = relu_pool(window).0;
                }
            }
        }
    }
}

/// [`cnn_core::linear::linear`]. The last block starts early enough to be whole; what it computes again comes out the same.
fn linear<const INPUT: usize, const OUTPUT: usize>(
    input: &[f32; INPUT],
    weight: &[[f32; INPUT]; OUTPUT],
    bias: &[f32; OUTPUT],
    output: &mut [f32; OUTPUT],
) {
    const { assert!(INPUT.is_multiple_of(4) && INPUT > 0 && OUTPUT >= OUTPUT_BLOCK) };
    for block in 0..OUTPUT.div_ceil(OUTPUT_BLOCK) {
        let start = (block * OUTPUT_BLOCK).min(OUTPUT - OUTPUT_BLOCK);
        let mut sums: [f32; OUTPUT_BLOCK] = core::array::from_fn(|o| bias[start + o]);
        // SAFETY: the outputs from `start` on are OUTPUT_BLOCK, each with the weights of INPUT inputs.
        unsafe { add_products(&mut sums, input.as_ptr(), weight[start..].as_ptr().cast(), INPUT as u32) };
        output[start..start + OUTPUT_BLOCK].copy_from_slice(&sums);
    }
}
