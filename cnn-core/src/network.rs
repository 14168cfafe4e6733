//! The network: the forward pass. Its shapes and parameters are those of [`crate::shapes`], named here too.
//!
//! ```text
//! image 1×28×28 ─ conv1 3×3 ─ ReLU ─ max-pool 2 ─ 16×13×13 ─ conv2 3×3 ─ ReLU ─ max-pool 2 ─ 32×5×5
//!               ─ flatten 800 ─ fc1 ─ ReLU ─ 120 ─ fc2 ─ 10 logits
//! ```

use crate::conv::convolve_relu_pool;
use crate::image::{Pixels, normalize};
use crate::linear::{linear, linear_relu};

pub use crate::shapes::*;

/// The memory that one forward pass needs beside the parameters and the stack.
#[derive(Debug, Clone)]
pub struct Activations {
    /// The normalised image.
    pub image: Image,
    /// conv1, ReLU, max-pool.
    pub pool1: Pool1,
    /// conv2, ReLU, max-pool; flattened it is fc1's input.
    pub pool2: Pool2,
    /// fc1, ReLU.
    pub hidden: [f32; HIDDEN],
}

/// Bytes of RAM of [`Activations`]: all that a forward pass needs beside its stack frame.
pub const FORWARD_RAM: usize = size_of::<Activations>();
const _: () = assert!(FORWARD_RAM < 20_000, "a forward pass must fit a microcontroller");

impl Activations {
    /// All zeros; `const`, so that it can be a `static` on a microcontroller.
    pub const fn new() -> Self {
        Self {
            image: [[[0.0; IMAGE_SIDE]; IMAGE_SIDE]; 1],
            pool1: [[[0.0; POOL1_SIDE]; POOL1_SIDE]; CONV1_CHANNELS],
            pool2: [[[0.0; POOL2_SIDE]; POOL2_SIDE]; CONV2_CHANNELS],
            hidden: [0.0; HIDDEN],
        }
    }
}

impl Default for Activations {
    fn default() -> Self {
        Self::new()
    }
}

/// The forward pass: logits of `activations.image`, which the caller has filled (see [`normalize`]).
pub fn forward(parameters: &Parameters<'_>, activations: &mut Activations) -> Logits {
    let Activations { image, pool1, pool2, hidden } = activations;
    convolve_relu_pool(image, parameters.conv1_weight, parameters.conv1_bias, pool1);
    convolve_relu_pool(pool1, parameters.conv2_weight, parameters.conv2_bias, pool2);
    linear_relu(flatten(pool2), parameters.fc1_weight, parameters.fc1_bias, hidden);
    let mut logits = [0.0; CLASSES];
    linear(hidden, parameters.fc2_weight, parameters.fc2_bias, &mut logits);
    logits
}

/// The logits of an image's pixels: [`normalize`], then [`forward`].
pub fn logits(pixels: &Pixels, parameters: &Parameters<'_>, activations: &mut Activations) -> Logits {
    normalize(pixels, &mut activations.image);
    forward(parameters, activations)
}

/// fc1's input, of floats or integers: pool2 in memory order, as PyTorch's `view` gives it.
pub fn flatten<T>(pool2: &[[[T; POOL2_SIDE]; POOL2_SIDE]; CONV2_CHANNELS]) -> &[T; POOL2_LEN] {
    pool2.as_flattened().as_flattened().try_into().expect("32·5·5 is 800")
}

/// The class with the first largest logit, of floats or integers.
pub fn predict<T: PartialOrd>(logits: &[T; CLASSES]) -> usize {
    let mut best = 0;
    for class in 1..CLASSES {
        if logits[class] > logits[best] {
            best = class;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_logits_is_predicted() {
        let mut logits = [-1.0; CLASSES];
        logits[3] = 2.0;
        logits[7] = 2.0;
        assert_eq!(predict(&logits), 3);
        assert_eq!(predict(&[0.0; CLASSES]), 0);
        assert_eq!(predict(&[-7, -7, 2, -7, 2, -7, -7, -7, -7, -7]), 2);
        assert_eq!(predict(&[i32::MIN; CLASSES]), 0);
    }
}
