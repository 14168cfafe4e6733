//! Numbers to test with, drawn from a seed: each kind tries a part of binary32 on its own.

use cnn_core::image::Pixels;
use cnn_core::network::{FlatParameters, TENSORS};
use cnn_train::backend::boxed_zeros;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::is_slow;

/// Which numbers are drawn. All are so small that no operation of the network overflows on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Uniform in ±1, as weights and activations are.
    Ordinary,
    /// One of −1, −0.5, −0.0, +0.0, 0.5, 1: sums and pooling windows tie exactly, zeros of both signs meet.
    Ties,
    /// Subnormal numbers among 0 and ±1: their products with 1 stay subnormal, with each other they underflow.
    Subnormal,
    /// Either sign, any exponent from 2⁻⁴⁰ to 2²⁰: most additions lose bits, which makes their order visible.
    Wide,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 4] = [Kind::Ordinary, Kind::Ties, Kind::Subnormal, Kind::Wide];
}

/// Draws of every kind, or pair of kinds: one where that takes minutes.
fn draws() -> u64 {
    if is_slow() { 1 } else { 4 }
}

/// Calls `check(what is drawn, values, kind)` for every draw of every kind.
pub fn for_every_kind(mut check: impl FnMut(&str, &mut Values, Kind)) {
    for seed in 0..draws() {
        for kind in Kind::ALL {
            check(&format!("seed {seed}, {kind:?}"), &mut Values::new(seed), kind);
        }
    }
}

/// Calls `check(what is drawn, values, kind of the inputs, kind of the weights)` for every draw of every pair of kinds.
pub fn for_every_draw(mut check: impl FnMut(&str, &mut Values, Kind, Kind)) {
    for seed in 0..draws() {
        for inputs in Kind::ALL {
            for weights in Kind::ALL {
                let draw = format!("seed {seed}, {inputs:?} inputs, {weights:?} weights");
                check(&draw, &mut Values::new(seed), inputs, weights);
            }
        }
    }
}

/// A generator of test numbers: the same seed gives the same numbers on every machine.
pub struct Values {
    generator: ChaCha8Rng,
}

impl Values {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self { generator: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// A number from 0 to `n` − 1, evenly enough for tests.
    pub fn below(&mut self, n: u32) -> u32 {
        self.generator.next_u32() % n
    }

    /// Uniform in −1 to 1.
    pub fn unit(&mut self) -> f32 {
        (self.generator.next_u32() >> 8) as f32 / 8_388_608.0 - 1.0
    }

    /// One number of a kind.
    pub fn number(&mut self, kind: Kind) -> f32 {
        match kind {
            Kind::Ordinary => self.unit(),
            Kind::Ties => [-1.0, -0.5, -0.0, 0.0, 0.5, 1.0][self.below(6) as usize],
            Kind::Subnormal => match self.below(4) {
                0 => 0.0,
                1 => [1.0, -1.0][self.below(2) as usize],
                // Sign and mantissa at random, exponent field 0.
                _ => f32::from_bits(self.generator.next_u32() & 0x807f_ffff),
            },
            Kind::Wide => {
                let exponent = 127 - 40 + self.below(61);
                f32::from_bits(self.generator.next_u32() & 0x807f_ffff | exponent << 23)
            }
        }
    }

    /// Fills `values` with numbers of a kind.
    pub fn fill(&mut self, kind: Kind, values: &mut [f32]) {
        for value in values {
            *value = self.number(kind);
        }
    }

    /// Parameters of one kind.
    pub fn parameters(&mut self, kind: Kind) -> Box<FlatParameters> {
        let mut parameters = boxed_zeros();
        self.fill(kind, &mut parameters[..]);
        parameters
    }

    /// Parameters of the size that training starts from: uniform in ±1/√fan_in.
    pub fn initial_parameters(&mut self) -> Box<FlatParameters> {
        let mut parameters = boxed_zeros();
        for layer in TENSORS.chunks_exact(2) {
            let fan_in: usize = layer[0].shape[1..].iter().product();
            for parameter in &mut parameters[layer[0].offset..layer[1].range().end] {
                *parameter = self.unit() / (fan_in as f32).sqrt();
            }
        }
        parameters
    }

    /// An image: all black, all white, noise, or a bright disc on black, whose background makes many pooling ties.
    pub fn pixels(&mut self) -> Pixels {
        match self.below(8) {
            0 => [0; 784],
            1 => [255; 784],
            2 => std::array::from_fn(|_| self.generator.next_u32() as u8),
            _ => {
                let (row, column, radius) = (8 + self.below(12), 8 + self.below(12), 3 + self.below(6));
                std::array::from_fn(|i| {
                    let (y, x) = ((i / 28) as i32 - row as i32, (i % 28) as i32 - column as i32);
                    let inside = (radius * radius) as i32 - (y * y + x * x);
                    (inside * 16).clamp(0, 255) as u8
                })
            }
        }
    }
}
