//! The head: fc2 alone, which learns from the 120 values before it while the layers below stay as they are.
//!
//! One step of it gives the bits of [`Trainer::step_layers`](crate::train::Trainer::step_layers) with fc2 as the one
//! trained layer, over images whose hidden values these are: the same operations in the same order. It takes 4,840 bytes
//! for each of head, momentum and gradient, and 480 for a sample, which a microcontroller has.

use crate::linear::{linear, linear_backward_parameters};
use crate::loss::cross_entropy_backward;
use crate::range::first_out_of_range;
use crate::sgd::Sgd;
use crate::shapes::{CLASSES, FC2_BIAS, FC2_WEIGHT, FlatParameters, HIDDEN, Layer, Parameters};
use crate::train::Diverged;

/// Parameters of the head: 1,210.
pub const HEAD_LEN: usize = FC2_WEIGHT.len + FC2_BIAS.len;

/// fc2's weight `[10][120]` and bias `[10]` one behind the other, as they end the [`FlatParameters`]; or their momentum,
/// or their gradient.
pub type FlatHead = [f32; HEAD_LEN];

/// fc1's outputs after ReLU: what the head sees of an image.
pub type Hidden = [f32; HIDDEN];

/// The head of all parameters.
pub fn of(parameters: &FlatParameters) -> &FlatHead {
    parameters[Layer::Fc2.range()].try_into().expect("fc2 has 1,210 parameters")
}

/// Weight and bias.
pub fn split(head: &FlatHead) -> (&[[f32; HIDDEN]; CLASSES], &[f32; CLASSES]) {
    const FITS: &str = "1,200 weights and 10 biases";
    let (weight, bias) = head.split_first_chunk::<{ FC2_WEIGHT.len }>().expect(FITS);
    (weight.as_chunks().0.try_into().expect(FITS), bias.try_into().expect(FITS))
}

/// The network with `head` in the place of its own; nothing is copied.
pub fn with<'a>(parameters: Parameters<'a>, head: &'a FlatHead) -> Parameters<'a> {
    let (fc2_weight, fc2_bias) = split(head);
    Parameters { fc2_weight, fc2_bias, ..parameters }
}

/// One step of stochastic gradient descent over the batch's hidden values and labels, in their order.
///
/// `gradient` is memory. Returns the sum of the samples' losses, added in batch order.
///
/// # Errors
/// [`Diverged`] if a parameter of the head is no longer in range ([`crate::range`]).
///
/// # Panics
/// If a label is not a class.
pub fn step<'a>(
    sgd: &Sgd,
    head: &mut FlatHead,
    momentum: &mut FlatHead,
    gradient: &mut FlatHead,
    batch: impl ExactSizeIterator<Item = (&'a Hidden, u8)>,
) -> Result<f64, Diverged> {
    let batch_length = batch.len();
    gradient.fill(0.0);
    let mut loss = 0.0;
    for (hidden, label) in batch {
        let (weight, bias) = split(head);
        let mut logits = [0.0; CLASSES];
        linear(hidden, weight, bias, &mut logits);
        let (sample_loss, logits_gradient) = cross_entropy_backward(&logits, label, batch_length);
        loss += f64::from(sample_loss);
        let (weight, bias) = split_mut(gradient);
        linear_backward_parameters(hidden, &logits_gradient, weight, bias);
    }
    sgd.step(head, momentum, gradient);
    if first_out_of_range(head.iter().copied()).is_some() { Err(Diverged) } else { Ok(loss) }
}

fn split_mut(head: &mut FlatHead) -> (&mut [[f32; HIDDEN]; CLASSES], &mut [f32; CLASSES]) {
    const FITS: &str = "1,200 weights and 10 biases";
    let (weight, bias) = head.split_first_chunk_mut::<{ FC2_WEIGHT.len }>().expect(FITS);
    (weight.as_chunks_mut().0.try_into().expect(FITS), bias.try_into().expect(FITS))
}
