//! Training in its plain form: the gradient of a sample, one step over a batch.
//!
//! Every backend must equal [`Trainer::step`] bit for bit.

use crate::conv::{Winners, convolve_backward_input, convolve_backward_parameters, convolve_relu_pool_winners};
use crate::image::{Pixels, normalize};
use crate::linear::{linear, linear_backward_input, linear_backward_parameters, linear_relu, relu_backward};
use crate::loss::cross_entropy_backward;
use crate::network::{
    Activations, CLASSES, CONV1_CHANNELS, CONV2_CHANNELS, FlatParameters, HIDDEN, IMAGE_SIDE, KERNEL_LEN, Kernels,
    Logits, PARAMETER_COUNT, POOL1_SIDE, POOL2_SIDE, Parameters, ParametersMut, Pool1, Pool2, flatten,
};
use crate::range::first_out_of_range;
use crate::sgd::Sgd;
use crate::shapes::Layers;

/// After the step a parameter is out of range ([`crate::range`]): the training has diverged, and what the step left is
/// of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the training has diverged: a parameter is no longer below 2^24 in magnitude")]
pub struct Diverged;

/// The memory of a training step, about 0.5 MB: activations, winners, gradients.
#[derive(Debug)]
pub struct Trainer {
    activations: Activations,
    winners1: Winners<CONV1_CHANNELS, POOL1_SIDE>,
    winners2: Winners<CONV2_CHANNELS, POOL2_SIDE>,
    hidden_gradient: [f32; HIDDEN],
    pool2_gradient: Pool2,
    pool1_gradient: Pool1,
    conv1_weight: Kernels<CONV1_CHANNELS, 1>,
    conv1_bias: [f32; CONV1_CHANNELS],
    conv2_weight: Kernels<CONV2_CHANNELS, CONV1_CHANNELS>,
    conv2_bias: [f32; CONV2_CHANNELS],
    gradient: FlatParameters,
}

impl Trainer {
    /// Zeroed memory; `const`, so that it can be a `static`.
    pub const fn new() -> Self {
        Self {
            activations: Activations::new(),
            winners1: [[[0; POOL1_SIDE]; POOL1_SIDE]; CONV1_CHANNELS],
            winners2: [[[0; POOL2_SIDE]; POOL2_SIDE]; CONV2_CHANNELS],
            hidden_gradient: [0.0; HIDDEN],
            pool2_gradient: [[[0.0; POOL2_SIDE]; POOL2_SIDE]; CONV2_CHANNELS],
            pool1_gradient: [[[0.0; POOL1_SIDE]; POOL1_SIDE]; CONV1_CHANNELS],
            conv1_weight: [[[0.0; KERNEL_LEN]; 1]; CONV1_CHANNELS],
            conv1_bias: [0.0; CONV1_CHANNELS],
            conv2_weight: [[[0.0; KERNEL_LEN]; CONV1_CHANNELS]; CONV2_CHANNELS],
            conv2_bias: [0.0; CONV2_CHANNELS],
            gradient: [0.0; PARAMETER_COUNT],
        }
    }

    /// One step of stochastic gradient descent over the batch's images and labels, in their order.
    ///
    /// The parameters are in range ([`crate::range`]). Returns the sum of the samples' losses, added in batch order. The
    /// gradients of the batch start from +0.0.
    ///
    /// # Errors
    /// [`Diverged`] if the parameters no longer are.
    ///
    /// # Panics
    /// If a label is not a class.
    pub fn step<'a>(
        &mut self,
        sgd: &Sgd,
        parameters: &mut FlatParameters,
        momentum: &mut FlatParameters,
        batch: impl ExactSizeIterator<Item = (&'a Pixels, u8)>,
    ) -> Result<f64, Diverged> {
        self.step_layers(Layers::ALL, sgd, parameters, momentum, batch)
    }

    /// [`Trainer::step`] of these layers alone: parameters and momentum of the others stay as they are, bit for bit. The
    /// gradient is that of a step of all layers.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    ///
    /// # Panics
    /// As [`Trainer::step`].
    pub fn step_layers<'a>(
        &mut self,
        layers: Layers,
        sgd: &Sgd,
        parameters: &mut FlatParameters,
        momentum: &mut FlatParameters,
        batch: impl ExactSizeIterator<Item = (&'a Pixels, u8)>,
    ) -> Result<f64, Diverged> {
        let loss = self.batch_gradient(parameters, batch);
        for layer in layers.iter() {
            let range = layer.range();
            sgd.step(&mut parameters[range.clone()], &mut momentum[range.clone()], &self.gradient[range]);
        }
        if first_out_of_range(parameters.iter().copied()).is_some() {
            return Err(Diverged);
        }
        Ok(loss)
    }

    /// Computes the gradient of the batch's mean loss, then to be read with [`Trainer::gradient`].
    ///
    /// Returns the sum of the samples' losses, added in batch order.
    ///
    /// # Panics
    /// If a label is not a class.
    pub fn batch_gradient<'a>(
        &mut self,
        parameters: &FlatParameters,
        batch: impl ExactSizeIterator<Item = (&'a Pixels, u8)>,
    ) -> f64 {
        let parameters = Parameters::of(parameters);
        let batch_length = batch.len();
        self.gradient.fill(0.0);
        let mut loss = 0.0;
        for (pixels, label) in batch {
            normalize(pixels, &mut self.activations.image);
            let logits = self.forward(&parameters);
            let (sample_loss, logits_gradient) = cross_entropy_backward(&logits, label, batch_length);
            loss += f64::from(sample_loss);
            self.backward(&parameters, &logits_gradient);
        }
        loss
    }

    /// The gradient that the last [`Trainer::batch_gradient`] computed.
    pub fn gradient(&self) -> &FlatParameters {
        &self.gradient
    }

    /// The forward pass of the image in `activations`, winners kept.
    fn forward(&mut self, parameters: &Parameters<'_>) -> Logits {
        let Activations { image, pool1, pool2, hidden } = &mut self.activations;
        convolve_relu_pool_winners(image, parameters.conv1_weight, parameters.conv1_bias, pool1, &mut self.winners1);
        convolve_relu_pool_winners(pool1, parameters.conv2_weight, parameters.conv2_bias, pool2, &mut self.winners2);
        linear_relu(flatten(pool2), parameters.fc1_weight, parameters.fc1_bias, hidden);
        let mut logits = [0.0; CLASSES];
        linear(hidden, parameters.fc2_weight, parameters.fc2_bias, &mut logits);
        logits
    }

    /// Adds the sample's gradients to the batch's, from the last layer to the first.
    fn backward(&mut self, parameters: &Parameters<'_>, logits_gradient: &Logits) {
        let Activations { image, pool1, pool2, hidden } = &self.activations;
        let batch = ParametersMut::of(&mut self.gradient);

        linear_backward_parameters(hidden, logits_gradient, batch.fc2_weight, batch.fc2_bias);
        linear_backward_input(parameters.fc2_weight, logits_gradient, &mut self.hidden_gradient);
        relu_backward(hidden, &mut self.hidden_gradient);

        linear_backward_parameters(flatten(pool2), &self.hidden_gradient, batch.fc1_weight, batch.fc1_bias);
        let pool2_gradient = self.pool2_gradient.as_flattened_mut().as_flattened_mut();
        let pool2_gradient = pool2_gradient.try_into().expect("32·5·5 is 800");
        linear_backward_input(parameters.fc1_weight, &self.hidden_gradient, pool2_gradient);

        let gradient = &self.pool2_gradient;
        convolve_backward_parameters(pool1, &self.winners2, gradient, &mut self.conv2_weight, &mut self.conv2_bias);
        convolve_backward_input(parameters.conv2_weight, &self.winners2, gradient, &mut self.pool1_gradient);

        let gradient = &self.pool1_gradient;
        convolve_backward_parameters::<1, IMAGE_SIDE, CONV1_CHANNELS, POOL1_SIDE>(
            image,
            &self.winners1,
            gradient,
            &mut self.conv1_weight,
            &mut self.conv1_bias,
        );

        add(batch.conv2_weight.as_flattened_mut().as_flattened_mut(), self.conv2_weight.as_flattened().as_flattened());
        add(batch.conv2_bias, &self.conv2_bias);
        add(batch.conv1_weight.as_flattened_mut().as_flattened_mut(), self.conv1_weight.as_flattened().as_flattened());
        add(batch.conv1_bias, &self.conv1_bias);
    }
}

impl Default for Trainer {
    fn default() -> Self {
        Self::new()
    }
}

/// Adds one sample's gradient to the batch's.
fn add(batch: &mut [f32], sample: &[f32]) {
    for (batch, sample) in batch.iter_mut().zip(sample) {
        *batch += sample;
    }
}
