//! How sure the network is, for whoever watches the board.

use cnn_core::network::Logits;
use micromath::F32Ext;

/// The softmax probability of `class`, the one with the largest logit, in thousandths.
///
/// For people alone, so it need not have the bits of `cnn_core::loss::softmax`: micromath's exponential is enough, which
/// puts the result off by at most [`PERMILLE_ERROR`].
pub fn permille(logits: &Logits, class: usize) -> u16 {
    let largest = logits[class];
    // Named by its trait: where the standard library is linked, a method of that name hides it.
    let sum: f32 = logits.iter().map(|logit| F32Ext::exp(logit - largest)).sum();
    (1000.0 / sum) as u16
}

/// How far [`permille`] may be off, in thousandths.
pub const PERMILLE_ERROR: u16 = 1;
