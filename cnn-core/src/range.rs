//! The range that parameters keep to, so that nothing can overflow.
//!
//! Terms that are ±0.0 may be left out of a sum only while their other factor is finite (rule 3 of the contract): zero
//! times infinity is NaN. So all arithmetic has to stay finite, and it is enough to look at the parameters for that.
//! From parameters below [`PARAMETER_LIMIT`] and pixels, whose inputs are −1 to 1, every value of the forward and the
//! backward pass of a batch of any length is finite: the magnitudes below, computed at compile time, say so.
//!
//! What the optimiser makes of finite gradients may overflow. Then the momentum is infinite or NaN, and since
//! `w ← w − lr·v` the parameter is too. A step after which every parameter is in range is therefore one in which
//! nothing overflowed, momentum included; any other ends the training, see [`crate::train`].

use crate::shapes::{CLASSES, CONV1_CHANNELS, CONV2_CHANNELS, HIDDEN, KERNEL_LEN, POOL1_SIDE, POOL2_LEN, POOL2_SIDE};

/// Every parameter's magnitude is less than this: 2²⁴.
///
/// Trained parameters of this network are below 1. A run that reaches the limit has diverged.
pub const PARAMETER_LIMIT: f32 = 16_777_216.0;

/// Whether a parameter is in range; NaN and infinity are not.
#[inline(always)]
pub const fn in_range(parameter: f32) -> bool {
    parameter.abs() < PARAMETER_LIMIT
}

/// The place of the first parameter that is not in range.
pub fn first_out_of_range(parameters: impl IntoIterator<Item = f32>) -> Option<usize> {
    parameters.into_iter().position(|parameter| !in_range(parameter))
}

/// The largest magnitude of a sum of `terms` terms of at most `term`. Rounding makes it no more than a thousandth
/// larger: a term passes through fewer than a thousand operations, each of which adds at most 2⁻²⁴ of its result.
const fn sum(terms: usize, term: f64) -> f64 {
    terms as f64 * term * 1.001
}

/// The largest magnitude of a sum of any number of terms of at most `term`: where 2²⁵ of them have come together, one
/// more is less than half of the distance to the next float.
const fn sum_of_any_length(term: f64) -> f64 {
    sum((1 << 25) + 1, term)
}

const _: () = {
    let parameter = PARAMETER_LIMIT as f64;
    // Forward. Biases are no larger than the products beside them: inputs of magnitude 1 or more are assumed.
    let pool1 = sum(KERNEL_LEN + 1, parameter);
    let pool2 = sum(CONV1_CHANNELS * KERNEL_LEN + 1, parameter * pool1);
    let hidden = sum(POOL2_LEN + 1, parameter * pool2);
    let logits = sum(HIDDEN + 1, parameter * hidden);
    let loss = sum(3, 2.0 * logits);
    // Backward. Probabilities are at most 1, so a logit's gradient is too, whatever the length of the batch.
    let hidden_gradient = sum(CLASSES, parameter);
    let pool2_gradient = sum(HIDDEN, parameter * hidden_gradient);
    let pool1_gradient = sum(CONV2_CHANNELS * KERNEL_LEN, parameter * pool2_gradient);
    let gradients = [
        sum_of_any_length(hidden),
        sum_of_any_length(hidden_gradient * pool2),
        sum_of_any_length(sum(POOL2_SIDE * POOL2_SIDE, pool2_gradient * pool1)),
        sum_of_any_length(sum(POOL1_SIDE * POOL1_SIDE, pool1_gradient)),
    ];
    assert!(loss < f32::MAX as f64);
    let mut i = 0;
    while i < gradients.len() {
        assert!(gradients[i] < f32::MAX as f64);
        i += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_itself_is_out_of_range() {
        let below = f32::from_bits(PARAMETER_LIMIT.to_bits() - 1);
        let out = [PARAMETER_LIMIT, -PARAMETER_LIMIT, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, f32::MAX];
        for value in out {
            assert_eq!(first_out_of_range([0.0, -below, below, value, value]), Some(3), "{value}");
        }
        assert_eq!(first_out_of_range([0.0, -0.0, below, -below, f32::from_bits(1)]), None);
    }
}
