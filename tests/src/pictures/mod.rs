//! Pictures of digits as people draw and photograph them, made from seeds: what `predict` must read, and what it must
//! doubt.

mod canvas;
mod rows;
mod strokes;
mod table;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

pub use canvas::Canvas;
pub use rows::{Expectation, ROWS, Row, png};
pub use strokes::Drawing;
pub use table::{Reader, Score, large, markdown, read_again};

/// The random numbers of one picture.
pub struct Random(ChaCha8Rng);

impl Random {
    /// Those of picture `index` of a row.
    pub fn new(row: &str, index: usize) -> Self {
        let mut key = [0u8; 32];
        for (i, byte) in row.bytes().enumerate() {
            key[i % 24] = key[i % 24].wrapping_mul(31).wrapping_add(byte);
        }
        key[24..].copy_from_slice(&(index as u64).to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.0.next_u32()) * n as u64) >> 32) as usize
    }

    /// Uniform in `low..high`.
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.0.next_u32() >> 8) as f32 / 16_777_216.0)
    }

    /// Bell-shaped around 0, never beyond three standard deviations.
    pub fn bell(&mut self, deviation: f32) -> f32 {
        (self.uniform(-1.0, 1.0) + self.uniform(-1.0, 1.0) + self.uniform(-1.0, 1.0)) * deviation
    }
}
