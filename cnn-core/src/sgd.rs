//! Stochastic gradient descent with momentum and weight decay, exactly as PyTorch's `SGD`
//! (<https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html>; dampening 0, no Nesterov).

/// The optimiser's settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// Learning rate lr, finite and not negative.
    pub learning_rate: f32,
    /// Momentum μ, finite and not negative.
    pub momentum: f32,
    /// Weight decay λ, finite and not negative; it applies to weights and biases alike.
    pub weight_decay: f32,
}

impl Sgd {
    /// The tutorial's recipe: lr 0.0001, momentum 0.9, weight decay 0.005.
    pub const RECIPE: Sgd = Sgd { learning_rate: 0.0001, momentum: 0.9, weight_decay: 0.005 };

    /// One parameter's step: `g ← g + λ·w; v ← μ·v + g; w ← w − lr·v`, each product rounded before it is added.
    #[inline(always)]
    pub fn update(&self, parameter: &mut f32, momentum: &mut f32, gradient: f32) {
        let gradient = gradient + self.weight_decay * *parameter;
        *momentum = self.momentum * *momentum + gradient;
        *parameter -= self.learning_rate * *momentum;
    }

    /// [`Sgd::update`] of every parameter. The slices have one length.
    pub fn step(&self, parameters: &mut [f32], momentum: &mut [f32], gradient: &[f32]) {
        for ((parameter, momentum), gradient) in parameters.iter_mut().zip(momentum).zip(gradient) {
            self.update(parameter, momentum, *gradient);
        }
    }
}
