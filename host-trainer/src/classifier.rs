//! One image after another through a model of either kind.

use cnn_core::image::Pixels;
use cnn_core::int8;
use cnn_core::network::{self, Activations, Logits, Parameters, predict};

use crate::model_file::{AnyLoaded, LoadedInt8, LoadedModel};

/// A model and the memory of a forward pass.
#[derive(Debug)]
pub enum Classifier<'a> {
    /// In f32.
    Float(Parameters<'a>, Box<Activations>),
    /// In integers, whose logits have this scale.
    Int8(int8::Parameters<'a>, Box<int8::Activations>, f32),
}

/// What a model makes of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// The logits; of integers, times their scale.
    pub logits: Logits,
    /// The logits of an int8 model as they are.
    pub integers: Option<int8::Logits>,
    /// The class of the first largest.
    pub prediction: usize,
}

impl<'a> Classifier<'a> {
    /// A model of f32.
    pub fn float(model: &'a LoadedModel) -> Self {
        Self::Float(Parameters::of(&model.parameters), Box::new(Activations::new()))
    }

    /// An int8 model.
    pub fn int8(model: &'a LoadedInt8) -> Self {
        Self::Int8(model.parameters.view(), Box::new(int8::Activations::new()), model.scales().logits)
    }

    /// A model of either kind.
    pub fn of(model: &'a AnyLoaded) -> Self {
        match model {
            AnyLoaded::Float(model) => Self::float(model),
            AnyLoaded::Int8(model) => Self::int8(model),
        }
    }

    /// Reads an image.
    pub fn read(&mut self, pixels: &Pixels) -> Answer {
        match self {
            Self::Float(parameters, activations) => {
                let logits = network::logits(pixels, parameters, activations);
                Answer { logits, integers: None, prediction: predict(&logits) }
            }
            Self::Int8(parameters, activations, scale) => {
                Answer::of_integers(int8::forward(pixels, parameters, activations), *scale)
            }
        }
    }
}

impl Answer {
    /// That of an int8 model whose logits have this scale.
    pub fn of_integers(integers: int8::Logits, scale: f32) -> Self {
        // Two integers may be one f32: what is predicted, the integers say.
        let prediction = predict(&integers);
        Self { logits: int8::scaled(&integers, scale), integers: Some(integers), prediction }
    }
}
