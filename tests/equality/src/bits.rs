//! Equality of bits, and what to say when it fails.

use cnn_core::network::{FlatParameters, TENSORS};

/// # Panics
/// If a value differs from the expected one in any bit: names the tensor, the index in memory order and both values.
#[track_caller]
pub fn assert_same_bits(tensor: &str, actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len(), "{tensor}: number of values");
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        assert_eq!(
            actual.to_bits(),
            expected.to_bits(),
            "{tensor}[{index}] is {actual:e} ({:#010x}), expected {expected:e} ({:#010x})",
            actual.to_bits(),
            expected.to_bits()
        );
    }
}

/// [`assert_same_bits`] of each of the network's tensors: `what` says of which kind (parameters, momentum, …).
///
/// # Panics
/// If a value differs in any bit.
#[track_caller]
pub fn assert_same_parameters(what: &str, actual: &FlatParameters, expected: &FlatParameters) {
    for tensor in &TENSORS {
        let name = format!("{what}, {}", tensor.name);
        assert_same_bits(&name, &actual[tensor.range()], &expected[tensor.range()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bits_pass() {
        assert_same_bits("a", &[0.0, -0.0, 1.0e-45], &[0.0, -0.0, 1.0e-45]);
    }

    #[test]
    #[should_panic(expected = "a[1] is -0e0 (0x80000000), expected 0e0 (0x00000000)")]
    fn zeros_of_different_sign_differ() {
        assert_same_bits("a", &[0.0, -0.0], &[0.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "number of values")]
    fn a_missing_value_is_a_difference() {
        assert_same_bits("a", &[1.0], &[1.0, 2.0]);
    }
}
