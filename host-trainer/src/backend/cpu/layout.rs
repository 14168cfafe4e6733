//! The parameters and activations in the order in which the vector loops read them.
//!
//! Maps are stored channel last, so that a vector holds neighbouring channels of one place. The layers that follow read
//! them in the order that the contract names, whatever the memory's order is.

use std::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable};
use cnn_core::network::{
    CLASSES, CONV1_CHANNELS, CONV2_CHANNELS, FlatParameters, HIDDEN, IMAGE_SIDE, KERNEL_LEN, POOL2_LEN, POOL2_SIDE,
    ParametersMut,
};

/// Side of the part of conv1's pooled map that conv2 reads: its 13th row and column only reach sums that pooling drops,
/// so they have no influence and no gradient, and are never computed here.
pub const POOL1_SIDE: usize = 12;
const _: () = assert!(POOL1_SIDE == 2 * POOL2_SIDE + 2 && POOL1_SIDE < cnn_core::network::POOL1_SIDE);
/// Places of the pooled maps.
pub const POOL1_PLACES: usize = POOL1_SIDE * POOL1_SIDE;
/// Places of conv2's pooled map.
pub const POOL2_PLACES: usize = POOL2_SIDE * POOL2_SIDE;

/// The fully connected layers' outputs are padded with zeros to whole vectors of every level.
pub const PANEL: usize = 16;
/// fc1's outputs, padded.
pub const HIDDEN_PADDED: usize = HIDDEN.next_multiple_of(PANEL);
/// fc2's outputs, padded.
pub const CLASSES_PADDED: usize = CLASSES.next_multiple_of(PANEL);
/// fc1's inputs are cut into blocks. Each block's weights are a unit of work and lie together.
pub const FC1_BLOCK: usize = 80;
/// Number of those blocks.
pub const FC1_BLOCKS: usize = POOL2_LEN / FC1_BLOCK;
const _: () = assert!(POOL2_LEN.is_multiple_of(FC1_BLOCK) && FC1_BLOCK.is_multiple_of(PANEL));

/// A value at the start of a cache line, so that no vector of it crosses one; by default all 0.
#[derive(Debug, Clone, Copy, Zeroable)]
#[repr(C, align(64))]
pub struct Aligned<T>(pub T);

impl<T: Zeroable> Default for Aligned<T> {
    fn default() -> Self {
        Self::zeroed()
    }
}

impl<T> Deref for Aligned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// A normalised image.
pub type Image = Aligned<[[f32; IMAGE_SIDE]; IMAGE_SIDE]>;
/// conv1's pooled map, `[row][column][channel]`.
pub type Pool1 = Aligned<[[[f32; CONV1_CHANNELS]; POOL1_SIDE]; POOL1_SIDE]>;
/// The winners of conv2's pooled map, `[place][channel]`.
pub type Winners2 = Aligned<[[u32; CONV2_CHANNELS]; POOL2_PLACES]>;
/// conv2's pooled map as fc1 reads it: channel · 25 + row · 5 + column.
pub type Pool2 = Aligned<[f32; POOL2_LEN]>;
/// fc1's outputs after ReLU, or their gradient; +0.0 in the padding.
pub type Hidden = Aligned<[f32; HIDDEN_PADDED]>;
/// The logits, or their gradient; 0 in the padding.
pub type PaddedLogits = Aligned<[f32; CLASSES_PADDED]>;

/// Parameters of both convolutions, or their gradient.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct ConvParameters {
    /// `[output channel][kernel place][input channel]`
    pub conv2_weight: [[[f32; CONV1_CHANNELS]; KERNEL_LEN]; CONV2_CHANNELS],
    /// `[output channel]`
    pub conv2_bias: [f32; CONV2_CHANNELS],
    /// `[kernel place][output channel]`
    pub conv1_weight: [[f32; CONV1_CHANNELS]; KERNEL_LEN],
    /// `[output channel]`
    pub conv1_bias: [f32; CONV1_CHANNELS],
}

/// Values of [`ConvParameters`].
pub const CONV_LEN: usize = size_of::<ConvParameters>() / size_of::<f32>();

impl ConvParameters {
    /// All values one after another.
    pub fn values(&self) -> &[f32; CONV_LEN] {
        bytemuck::must_cast_ref(self)
    }

    /// All values one after another, for writing.
    pub fn values_mut(&mut self) -> &mut [f32; CONV_LEN] {
        bytemuck::must_cast_mut(self)
    }
}

/// fc1's weights of one block of inputs: `[output][input within the block]`.
pub type Fc1Block = Aligned<[[f32; FC1_BLOCK]; HIDDEN]>;
/// The same weights as the forward pass reads them: `[panel][input within the block][output within the panel]`.
pub type Fc1Panels = Aligned<[[[f32; PANEL]; FC1_BLOCK]; HIDDEN_PADDED / PANEL]>;

/// fc1's biases and all of fc2, or their gradient; 0 in the padding, which stays 0 under every step.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct HeadParameters {
    /// `[output]`
    pub fc1_bias: [f32; HIDDEN_PADDED],
    /// `[output][input]`
    pub fc2_weight: [[f32; HIDDEN_PADDED]; CLASSES],
    /// `[output]`
    pub fc2_bias: [f32; CLASSES_PADDED],
}

/// All parameters, or their momentum, or their gradient.
#[derive(Debug, Clone)]
pub struct Parameters {
    /// Both convolutions.
    pub conv: Box<ConvParameters>,
    /// fc1's weights, one entry for each block of inputs.
    pub fc1: Vec<Fc1Block>,
    /// fc1's biases and fc2.
    pub head: Box<HeadParameters>,
}

impl Parameters {
    /// All 0.
    pub fn zeros() -> Self {
        Self { conv: bytemuck::zeroed_box(), fc1: vec![Aligned::default(); FC1_BLOCKS], head: bytemuck::zeroed_box() }
    }

    /// Takes all values from the flat array.
    pub fn read(&mut self, flat: &FlatParameters) {
        // The mapping below wants both sides exclusive; a copy at the start of a run costs nothing.
        let mut flat = Box::new(*flat);
        self.for_each_pair(&mut flat, |own, flat| *own = *flat);
    }

    /// Writes all values to the flat array.
    pub fn write(&mut self, flat: &mut FlatParameters) {
        self.for_each_pair(flat, |own, flat| *flat = *own);
    }

    /// Calls `exchange(value here, value in the flat array)` for every parameter.
    fn for_each_pair(&mut self, flat: &mut FlatParameters, exchange: impl Fn(&mut f32, &mut f32)) {
        let flat = ParametersMut::of(flat);
        let conv = &mut *self.conv;
        for o in 0..CONV1_CHANNELS {
            exchange(&mut conv.conv1_bias[o], &mut flat.conv1_bias[o]);
            for k in 0..KERNEL_LEN {
                exchange(&mut conv.conv1_weight[k][o], &mut flat.conv1_weight[o][0][k]);
            }
        }
        for o in 0..CONV2_CHANNELS {
            exchange(&mut conv.conv2_bias[o], &mut flat.conv2_bias[o]);
            for i in 0..CONV1_CHANNELS {
                for k in 0..KERNEL_LEN {
                    exchange(&mut conv.conv2_weight[o][k][i], &mut flat.conv2_weight[o][i][k]);
                }
            }
        }
        for o in 0..HIDDEN {
            exchange(&mut self.head.fc1_bias[o], &mut flat.fc1_bias[o]);
            for i in 0..POOL2_LEN {
                exchange(&mut self.fc1[i / FC1_BLOCK][o][i % FC1_BLOCK], &mut flat.fc1_weight[o][i]);
            }
        }
        for o in 0..CLASSES {
            exchange(&mut self.head.fc2_bias[o], &mut flat.fc2_bias[o]);
            for i in 0..HIDDEN {
                exchange(&mut self.head.fc2_weight[o][i], &mut flat.fc2_weight[o][i]);
            }
        }
    }
}

/// Copies of the weights that the forward pass reads, with the outputs in the lanes; made anew after every step.
#[derive(Debug, Clone)]
pub struct ForwardWeights {
    /// `[input channel][kernel place][output channel]`
    pub conv2: Box<Aligned<[[[f32; CONV2_CHANNELS]; KERNEL_LEN]; CONV1_CHANNELS]>>,
    /// One for each block of inputs.
    pub fc1: Vec<Fc1Panels>,
    /// `[input][output]`
    pub fc2: Box<Aligned<[[f32; CLASSES_PADDED]; HIDDEN]>>,
}

impl ForwardWeights {
    /// All 0.
    pub fn zeros() -> Self {
        Self { conv2: Box::default(), fc1: vec![Aligned::default(); FC1_BLOCKS], fc2: Box::default() }
    }

    /// Copies all but fc1's weights, for which see [`fill_panels`].
    pub fn copy_small(&mut self, parameters: &Parameters) {
        for (i, kernels) in self.conv2.iter_mut().enumerate() {
            for (k, weights) in kernels.iter_mut().enumerate() {
                for (o, weight) in weights.iter_mut().enumerate() {
                    *weight = parameters.conv.conv2_weight[o][k][i];
                }
            }
        }
        for (i, weights) in self.fc2.iter_mut().enumerate() {
            for (o, weight) in weights[..CLASSES].iter_mut().enumerate() {
                *weight = parameters.head.fc2_weight[o][i];
            }
        }
    }

    /// Copies everything.
    pub fn copy(&mut self, parameters: &Parameters) {
        self.copy_small(parameters);
        for (block, panels) in parameters.fc1.iter().zip(&mut self.fc1) {
            fill_panels(block, panels);
        }
    }
}

/// Copies a block of fc1's weights into the panels that the forward pass reads.
pub fn fill_panels(block: &Fc1Block, panels: &mut Fc1Panels) {
    for (rows, panel) in block.chunks(PANEL).zip(panels.iter_mut()) {
        for (i, outputs) in panel.iter_mut().enumerate() {
            for (output, row) in outputs.iter_mut().zip(rows) {
                *output = row[i];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cnn_core::network::PARAMETER_COUNT;

    use super::*;

    #[test]
    fn every_parameter_has_one_place_and_comes_back_from_it() {
        let flat: Box<FlatParameters> = Box::new(std::array::from_fn(|i| i as f32 + 1.0));
        let mut parameters = Parameters::zeros();
        parameters.read(&flat);
        let mut back = Box::new([0.0; PARAMETER_COUNT]);
        parameters.write(&mut back);
        assert_eq!(flat, back);
    }

    #[test]
    fn forward_weights_are_the_parameters_with_outputs_last() {
        let flat: Box<FlatParameters> = Box::new(std::array::from_fn(|i| i as f32 + 1.0));
        let mut parameters = Parameters::zeros();
        parameters.read(&flat);
        let mut forward = ForwardWeights::zeros();
        forward.copy(&parameters);
        let named = cnn_core::network::Parameters::of(&flat);
        assert_eq!(forward.conv2[3][7][30], named.conv2_weight[30][3][7]);
        assert_eq!(forward.fc1[9][7][79][7], named.fc1_weight[119][799]);
        assert_eq!(forward.fc1[9][7][79][8], 0.0);
        assert_eq!(forward.fc2[119][9], named.fc2_weight[9][119]);
        assert_eq!(forward.fc2[119][10], 0.0);
    }
}
