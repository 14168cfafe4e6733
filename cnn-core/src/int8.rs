//! The network in integers: a second contract of bits, for processors without floating point and for small memories.
//!
//! ```text
//! pixels u8 ─ conv1 ─ max-pool ─ u8 16×13×13 ─ conv2 ─ max-pool ─ u8 32×5×5 ─ fc1 ─ u8 120 ─ fc2 ─ 10 logits i32
//! ```
//!
//! The layers and their shapes are those of [`crate::network`]. Weights are i8 with a scale for each output channel,
//! activations u8 with zero point 0, sums i32. `docs/integers.md` gives the rules and how parameters are made of those
//! in f32; the rules of a forward pass:
//!
//! 1. A sum is the bias plus all products of an input and a weight. **No sum overflows, whatever the order of its
//!    terms** ([`parameters::SUM_LIMIT`]): since integers are exact, any order gives the same sum.
//! 2. Max-pooling takes the largest of a window's four sums. What follows does not decrease, so that is the pooled
//!    activation, and one in four sums is rescaled.
//! 3. A sum becomes the next layer's input by `(sum · multiplier + 2^(shift − 1)) >> shift` in i64, clamped to 0..=255
//!    ([`Rescale::activation`]): rounded to the nearest integer, halves upwards. ReLU is the clamp at 0.
//! 4. The logits are the sums of fc2, whose ten classes have one scale. The prediction is the first largest.
//!
//! [`mod@reference`] is the plain form of these rules; [`forward`] gives the same bits and is quick on processors without
//! vectors. A board with better instructions replaces [`conv`] and [`linear`] by its own.

pub mod conv;
pub mod linear;
pub mod parameters;
pub mod reference;

pub use parameters::{BLOCK_LEN, Block, OutOfRange, OwnedParameters, Parameters, Part, Rescale};

use crate::image::Pixels;
use crate::shapes::{CLASSES, CONV1_CHANNELS, CONV2_CHANNELS, HIDDEN, IMAGE_SIDE, POOL1_SIDE, POOL2_LEN, POOL2_SIDE};

/// A feature map: `[channel][row][column]`.
pub type Map<const CHANNELS: usize, const SIDE: usize> = [[[u8; SIDE]; SIDE]; CHANNELS];

/// The scores of the ten classes, all of one scale.
pub type Logits = [i32; CLASSES];

/// The memory that one forward pass needs beside the parameters, the pixels and the stack; on a border of words, which
/// processors load four values at a time from.
#[derive(Debug, Clone)]
#[repr(C, align(4))]
pub struct Activations {
    /// conv1, max-pool.
    pub pool1: Map<CONV1_CHANNELS, POOL1_SIDE>,
    /// conv2, max-pool; flattened it is fc1's input.
    pub pool2: Map<CONV2_CHANNELS, POOL2_SIDE>,
    /// fc1.
    pub hidden: [u8; HIDDEN],
}

/// Bytes of RAM of [`Activations`]: all that a forward pass needs beside the pixels and its stack frame.
pub const FORWARD_RAM: usize = size_of::<Activations>();
const _: () = assert!(FORWARD_RAM == 3_624);

impl Activations {
    /// All zeros; `const`, so that it can be a `static` on a microcontroller.
    pub const fn new() -> Self {
        Self {
            pool1: [[[0; POOL1_SIDE]; POOL1_SIDE]; CONV1_CHANNELS],
            pool2: [[[0; POOL2_SIDE]; POOL2_SIDE]; CONV2_CHANNELS],
            hidden: [0; HIDDEN],
        }
    }
}

impl Default for Activations {
    fn default() -> Self {
        Self::new()
    }
}

/// The forward pass: the logits of an image's pixels.
pub fn forward(pixels: &Pixels, parameters: &Parameters<'_>, activations: &mut Activations) -> Logits {
    let Activations { pool1, pool2, hidden } = activations;
    conv::convolve_pool(image(pixels), parameters.conv1_weight, &parameters.conv1, pool1);
    conv::convolve_pool(pool1, parameters.conv2_weight, &parameters.conv2, pool2);
    linear::linear(flatten(pool2), parameters.fc1_weight, parameters.fc1.bias, |output, sum| {
        hidden[output] = parameters.fc1.activation(output, sum);
    });
    let mut logits = [0; CLASSES];
    linear::linear(hidden, parameters.fc2_weight, parameters.fc2_bias, |class, sum| logits[class] = sum);
    logits
}

/// The pixels as conv1's input map: as they are, without a copy.
pub fn image(pixels: &Pixels) -> &Map<1, IMAGE_SIDE> {
    let rows: &[[u8; IMAGE_SIDE]; IMAGE_SIDE] = pixels.as_chunks().0.try_into().expect("28·28 is 784");
    core::array::from_ref(rows)
}

/// fc1's input: pool2 in memory order.
pub fn flatten(pool2: &Map<CONV2_CHANNELS, POOL2_SIDE>) -> &[u8; POOL2_LEN] {
    pool2.as_flattened().as_flattened().try_into().expect("32·5·5 is 800")
}

/// The class with the first largest logit.
pub fn predict(logits: &Logits) -> usize {
    let mut best = 0;
    for class in 1..CLASSES {
        if logits[class] > logits[best] {
            best = class;
        }
    }
    best
}

/// The logits in the units of the f32 network: each times the model's scale of the logits, in f32, for their softmax.
pub fn scaled(logits: &Logits, scale: f32) -> crate::shapes::Logits {
    logits.map(|logit| logit as f32 * scale)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::boxed::Box;

    use super::parameters::{BIAS_LIMIT, MULTIPLIERS, SHIFTS, WEIGHT_LIMIT};
    use super::*;

    /// Values of a plain generator, the same at every call.
    pub(super) fn generator(seed: u32) -> impl FnMut() -> u32 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        }
    }

    /// Parameters in range, with every sum far from its limits or near them.
    fn parameters(seed: u32, extreme: bool) -> Box<OwnedParameters> {
        let mut next = generator(seed);
        let mut parameters = Box::new(OwnedParameters::ZERO);
        for weight in &mut parameters.weights {
            *weight = if extreme { 127 * (1 - 2 * (next() & 1) as i8) } else { (next() % 255) as i8 };
            *weight = (*weight).clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT);
        }
        for bias in &mut parameters.biases {
            *bias = if extreme { BIAS_LIMIT * (1 - 2 * (next() & 1) as i32) } else { next() as i32 % 20_000 - 10_000 };
        }
        for (multiplier, shift) in parameters.multipliers.iter_mut().zip(&mut parameters.shifts) {
            *multiplier = (next() as i32) << 7 & *MULTIPLIERS.end() | *MULTIPLIERS.start();
            *shift = if extreme { (next() % 62 + 1) as u8 } else { (next() % 6 + 38) as u8 };
        }
        assert!(SHIFTS.contains(&parameters.shifts[0]));
        parameters
    }

    #[test]
    fn the_quick_form_gives_the_bits_of_the_plain_one() {
        let mut activations = [Activations::new(), Activations::new()];
        let mut varied = 0;
        for seed in 0..40 {
            let parameters = parameters(seed, seed % 4 == 3);
            let mut next = generator(seed + 1000);
            let pixels: Pixels = core::array::from_fn(|_| if seed % 5 == 4 { 255 } else { next() as u8 });
            let [quick, plain] = &mut activations;
            let logits = forward(&pixels, &parameters.view(), quick);
            assert_eq!(logits, reference::forward(&pixels, &parameters.view(), plain), "seed {seed}");
            assert_eq!(quick.pool1, plain.pool1, "seed {seed}");
            assert_eq!(quick.pool2, plain.pool2, "seed {seed}");
            assert_eq!(quick.hidden, plain.hidden, "seed {seed}");
            varied += plain.pool2.as_flattened().as_flattened().iter().filter(|x| !matches!(x, 0 | 255)).count();
        }
        assert!(varied > 5_000, "activations between the clamps were compared: {varied}");
    }

    #[test]
    fn the_first_of_equal_logits_is_predicted() {
        let mut logits = [-7; CLASSES];
        (logits[3], logits[7]) = (2, 2);
        assert_eq!(predict(&logits), 3);
        assert_eq!(predict(&[i32::MIN; CLASSES]), 0);
    }
}
