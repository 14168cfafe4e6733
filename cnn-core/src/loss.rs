//! Softmax cross-entropy of one sample: PyTorch's `CrossEntropyLoss`
//! (<https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html>).

use crate::math::{exp, ln};
use crate::shapes::{CLASSES, Logits};

/// `exponentials[j] = exp(logits[j] − m)` with m the largest logit, their sum in class order, and m.
#[inline]
fn exponentials(logits: &Logits) -> ([f32; CLASSES], f32, f32) {
    let mut largest = logits[0];
    for &logit in &logits[1..] {
        if logit > largest {
            largest = logit;
        }
    }
    let exponentials = logits.map(|logit| exp(logit - largest));
    let mut sum = exponentials[0];
    for exponential in &exponentials[1..] {
        sum += exponential;
    }
    (exponentials, sum, largest)
}

/// The probabilities of the classes: `exp(z_j − m) / Σ exp(z_k − m)`, the sum in class order.
pub fn softmax(logits: &Logits) -> [f32; CLASSES] {
    let (exponentials, sum, _) = exponentials(logits);
    exponentials.map(|exponential| exponential / sum)
}

/// The loss of one sample: `ln(Σ exp(z_k − m)) − (z_label − m)`.
///
/// # Panics
/// If `label` is not a class.
pub fn cross_entropy(logits: &Logits, label: u8) -> f32 {
    let (_, sum, largest) = exponentials(logits);
    ln(sum) - (logits[usize::from(label)] - largest)
}

/// The loss of one sample and its share of the gradient of the batch's mean loss:
/// `(p_j − [j = label]) / batch length`.
///
/// # Panics
/// If `label` is not a class.
pub fn cross_entropy_backward(logits: &Logits, label: u8, batch_length: usize) -> (f32, Logits) {
    let (exponentials, sum, largest) = exponentials(logits);
    let loss = ln(sum) - (logits[usize::from(label)] - largest);
    (loss, gradient(exponentials, sum, label, batch_length))
}

/// The gradient of [`cross_entropy_backward`] alone, without the loss's logarithm.
///
/// # Panics
/// If `label` is not a class.
pub fn cross_entropy_gradient(logits: &Logits, label: u8, batch_length: usize) -> Logits {
    let (exponentials, sum, _) = exponentials(logits);
    gradient(exponentials, sum, label, batch_length)
}

#[inline]
fn gradient(exponentials: [f32; CLASSES], sum: f32, label: u8, batch_length: usize) -> Logits {
    let mut gradient = exponentials.map(|exponential| exponential / sum);
    gradient[usize::from(label)] -= 1.0;
    gradient.map(|value| value / batch_length as f32)
}
