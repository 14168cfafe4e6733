//! Pixels to logits.

use cnn_core::environment::Violation;
use cnn_core::image::{Pixels, normalize};
use cnn_core::network::{Activations, FlatParameters, Logits, Parameters};

use crate::Forward;

/// The forward pass with the memory that it needs.
pub struct Engine<'a> {
    /// Whether this machine computes as the contract says.
    pub arithmetic: Result<(), Violation>,
    /// The board's forward pass.
    pub forward: Forward,
    /// Its memory.
    pub activations: &'a mut Activations,
}

impl Engine<'_> {
    /// The logits of an image.
    pub fn logits(&mut self, pixels: &Pixels, parameters: &FlatParameters) -> Logits {
        normalize(pixels, &mut self.activations.image);
        (self.forward)(&Parameters::of(parameters), self.activations)
    }
}
