//! Random numbers: initial parameters and the order of an epoch, pure functions of the run's seed.
//!
//! The generator is ChaCha8 (Bernstein, with 8 rounds, a 64-bit block counter and a 64-bit stream number, as
//! `rand_chacha` implements it). Its 256-bit key is the run's seed as a little-endian u64, then 24 zero bytes. Stream 0
//! draws the initial parameters; stream e shuffles epoch e, counted from 1. So every epoch's order is known without
//! drawing the ones before it.

use cnn_core::network::{FlatParameters, TENSORS, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::backend::boxed_zeros;

/// The stream of the initial parameters.
const PARAMETER_STREAM: u64 = 0;

fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut generator = ChaCha8Rng::from_seed(key);
    generator.set_stream(stream);
    generator
}

/// PyTorch's default initialisation: every weight and bias uniform in ±1/√fan_in
/// (`kaiming_uniform_` with a = √5 gives just that bound;
/// <https://github.com/pytorch/pytorch/blob/main/torch/nn/modules/conv.py>, `reset_parameters`).
///
/// The parameters are drawn in their flat order. Each takes 24 bits, the upper ones of a u32: u = bits · 2⁻²⁴, then
/// `(2·u − 1) · bound`, of which only the last product rounds.
pub fn initial_parameters(seed: u64) -> Box<FlatParameters> {
    let mut generator = generator(seed, PARAMETER_STREAM);
    let mut parameters = boxed_zeros();
    for layer in TENSORS.chunks_exact(2) {
        let bound = 1.0 / (fan_in(&layer[0]) as f32).sqrt();
        for value in &mut parameters[layer[0].offset..layer[1].range().end] {
            let bits = generator.next_u32() >> 8;
            *value = (bits as f32 * (2.0 / 16_777_216.0) - 1.0) * bound;
        }
    }
    parameters
}

/// Inputs of one output: the product of all dimensions of the weight but the first.
fn fan_in(weight: &Tensor) -> usize {
    weight.shape[1..].iter().product()
}

/// The order of epoch `epoch` (counted from 1) over `length` samples: a Fisher–Yates shuffle of 0, 1, 2, …
///
/// For i from the last index down to 1, the values at i and at j are exchanged, j uniform in 0..=i: with n = i + 1 and
/// u32 draws x, j is the upper half of the 64-bit product x·n, and x is drawn again while the lower half is below
/// 2³² mod n (Lemire, *Fast Random Integer Generation in an Interval*, <https://arxiv.org/abs/1805.10941>).
///
/// # Panics
/// If `length` does not fit 32 bits.
pub fn shuffled(seed: u64, epoch: u32, length: usize) -> Vec<u32> {
    let mut generator = generator(seed, u64::from(epoch));
    let mut order = in_sequence(length);
    for i in (1..length).rev() {
        order.swap(i, below(&mut generator, i as u32 + 1) as usize);
    }
    order
}

/// The order of an epoch without shuffling.
///
/// # Panics
/// If `length` does not fit 32 bits.
pub fn in_sequence(length: usize) -> Vec<u32> {
    (0..u32::try_from(length).expect("a split has fewer than 2³² samples")).collect()
}

/// A uniform number below `n`, exactly.
fn below(generator: &mut ChaCha8Rng, n: u32) -> u32 {
    let rejected = n.wrapping_neg() % n;
    loop {
        let product = u64::from(generator.next_u32()) * u64::from(n);
        if product as u32 >= rejected {
            return (product >> 32) as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_parameters_fill_their_range() {
        let parameters = initial_parameters(0);
        for layer in TENSORS.chunks_exact(2) {
            let bound = 1.0 / (fan_in(&layer[0]) as f32).sqrt();
            let values = &parameters[layer[0].range()];
            let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            assert!(largest <= bound && largest > 0.9 * bound, "{}", layer[0].name);
            let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
            // The mean of n uniform values in ±b has the standard deviation b/√(3n); five of them are never reached.
            assert!(mean.abs() < 5.0 * f64::from(bound) / (3.0 * values.len() as f64).sqrt(), "{}", layer[0].name);
        }
    }

    #[test]
    fn every_epoch_is_a_permutation_of_its_own() {
        let first = shuffled(7, 1, 1000);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, in_sequence(1000));
        assert_eq!(first, shuffled(7, 1, 1000));
        assert_ne!(first, shuffled(7, 2, 1000));
        assert_ne!(first, shuffled(8, 1, 1000));
        assert_eq!(shuffled(7, 1, 1), [0]);
    }

    #[test]
    fn small_shuffles_reach_every_order_equally_often() {
        let mut counts = std::collections::BTreeMap::new();
        for epoch in 0..6000 {
            *counts.entry(shuffled(3, epoch, 3)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        // Each count is binomial with mean 1000 and standard deviation 29.
        assert!(counts.values().all(|&count| (850..1150).contains(&count)), "{counts:?}");
    }
}
