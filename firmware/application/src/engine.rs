//! Pixels to logits, of a model of either kind.

use cnn_core::environment::Violation;
use cnn_core::head::Hidden;
use cnn_core::image::{Pixels, normalize};
use cnn_core::int8;
use cnn_core::model::{AnyModel, ModelError};
use cnn_core::network::{Activations, FlatParameters, Logits, Parameters};

use crate::{Forward, Int8Forward};

/// Both forward passes with the memory that they need.
pub struct Engine<'a> {
    /// Whether this machine computes as the contract says.
    pub arithmetic: Result<(), Violation>,
    /// The board's forward pass in f32.
    pub forward: Forward,
    /// Its memory.
    pub activations: &'a mut Activations,
    /// The board's forward pass in integers.
    pub int8_forward: Int8Forward,
    /// Its memory.
    pub int8_activations: &'a mut int8::Activations,
}

/// Parameters where they lie.
pub enum Running<'f> {
    /// In f32.
    Float(&'f FlatParameters),
    /// In integers, and what a step of a logit is worth.
    Int8(int8::Parameters<'f>, f32),
}

impl Engine<'_> {
    /// The logits of an image, in f32.
    pub fn logits(&mut self, pixels: &Pixels, parameters: &Parameters<'_>) -> Logits {
        normalize(pixels, &mut self.activations.image);
        (self.forward)(parameters, self.activations)
    }

    /// What the head sees of an image.
    pub fn hidden(&mut self, pixels: &Pixels, parameters: &Parameters<'_>) -> &Hidden {
        self.logits(pixels, parameters);
        &self.activations.hidden
    }

    /// The logits of an image, in integers.
    pub fn int8_logits(&mut self, pixels: &Pixels, parameters: &int8::Parameters<'_>) -> int8::Logits {
        (self.int8_forward)(pixels, parameters, self.int8_activations)
    }

    /// Whether a model's golden image gives the file's logits, from its parameters where they lie.
    pub fn self_test(&mut self, model: &AnyModel<'_>) -> Result<(), ModelError> {
        match model {
            AnyModel::Float(model) => {
                let parameters = Parameters::of(model.parameters()?);
                model.check_golden(&self.logits(model.golden_pixels(), &parameters))
            }
            AnyModel::Int8(model) => model.check_golden(&self.int8_logits(model.golden_pixels(), &model.parameters()?)),
        }
    }
}
