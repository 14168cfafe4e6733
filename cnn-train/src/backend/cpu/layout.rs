//! The parameters and activations in the order in which the vector loops read them.
//!
//! Maps are stored channel last, so that a vector holds neighbouring channels of one place. The layers that follow read
//! them in the order that the contract names, whatever the memory's order is.

use std::mem::offset_of;
use std::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable};
use cnn_core::network::{
    CLASSES, CONV1_CHANNELS, CONV2_CHANNELS, FlatParameters, HIDDEN, IMAGE_SIDE, KERNEL_LEN, Layer, POOL2_LEN,
    POOL2_SIDE, ParametersMut,
};

use super::simd::prefetch;

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
/// The winners of conv2's pooled map.
#[derive(Debug, Clone, Default)]
pub struct Winners2 {
    /// Of every place the channels that have one: channel c is bit c.
    pub on: [u32; POOL2_PLACES],
    /// `[place][channel]`: the first place of the input that the winner's sum reads, where there is a winner.
    pub places: Aligned<[[u32; CONV2_CHANNELS]; POOL2_PLACES]>,
}
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

/// Values of a type that is made of them alone, one after another; whole vectors of every level.
macro_rules! as_values {
    ($type:ty) => {
        impl $type {
            const LEN: usize = {
                assert!(size_of::<Self>().is_multiple_of(PANEL * size_of::<f32>()));
                size_of::<Self>() / size_of::<f32>()
            };

            /// All values one after another.
            pub fn values(&self) -> &[f32; Self::LEN] {
                bytemuck::must_cast_ref(self)
            }

            /// All values one after another, for writing.
            pub fn values_mut(&mut self) -> &mut [f32; Self::LEN] {
                bytemuck::must_cast_mut(self)
            }
        }

        impl Default for $type {
            fn default() -> Self {
                Self::zeroed()
            }
        }
    };
}

as_values!(ConvParameters);
as_values!(HeadParameters);

impl ConvParameters {
    /// The layer whose parameters come first among the values, the other one, and where it begins.
    pub const LAYERS: ([Layer; 2], usize) = ([Layer::Conv2, Layer::Conv1], offset_of!(Self, conv1_weight) / 4);
}

impl HeadParameters {
    /// The layer whose parameters come first among the values, the other one, and where it begins.
    pub const LAYERS: ([Layer; 2], usize) = ([Layer::Fc1, Layer::Fc2], offset_of!(Self, fc2_weight) / 4);
}

const _: () = assert!(ConvParameters::LAYERS.1.is_multiple_of(PANEL) && HeadParameters::LAYERS.1.is_multiple_of(PANEL));

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

/// Places for all parameters, or for their momentum.
pub struct Places<'a> {
    /// Both convolutions.
    pub conv: &'a mut ConvParameters,
    /// fc1's weights, one entry for each block of inputs.
    pub fc1: [&'a mut Fc1Block; FC1_BLOCKS],
    /// fc1's biases and fc2.
    pub head: &'a mut HeadParameters,
}

impl Places<'_> {
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

/// conv2's weights as the forward pass reads them: `[input channel][kernel place][output channel]`.
pub type Conv2ForwardWeight = Aligned<[[[f32; CONV2_CHANNELS]; KERNEL_LEN]; CONV1_CHANNELS]>;
/// fc2's weights as the forward pass reads them: `[input][output]`.
pub type Fc2ForwardWeight = Aligned<[[f32; CLASSES_PADDED]; HIDDEN]>;

/// Copies conv2's weights into the order of the forward pass.
pub fn fill_conv2_forward(parameters: &ConvParameters, forward: &mut Conv2ForwardWeight) {
    for (i, kernels) in forward.iter_mut().enumerate() {
        for (k, weights) in kernels.iter_mut().enumerate() {
            for (o, weight) in weights.iter_mut().enumerate() {
                *weight = parameters.conv2_weight[o][k][i];
            }
        }
    }
}

/// Copies fc2's weights into the order of the forward pass.
pub fn fill_fc2_forward(parameters: &HeadParameters, forward: &mut Fc2ForwardWeight) {
    for (i, weights) in forward.iter_mut().enumerate() {
        for (o, weight) in weights[..CLASSES].iter_mut().enumerate() {
            *weight = parameters.fc2_weight[o][i];
        }
    }
}

/// Copies a block of fc1's weights into the panels that the forward pass reads. Meanwhile the lines of `next`, the block
/// that comes next, are fetched: half of all weights were written last by another core, and to wait for one line after
/// the other would take longer than the copy.
pub fn fill_panels(block: &Fc1Block, next: Option<&Fc1Block>, panels: &mut Fc1Panels) {
    let mut lines = next.into_iter().flat_map(|next| next.as_flattened().chunks(prefetch::LINE));
    for (rows, panel) in block.chunks(PANEL).zip(panels.iter_mut()) {
        for (i, outputs) in panel.iter_mut().enumerate() {
            if let Some(line) = lines.next() {
                prefetch::for_reading(line);
            }
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

    struct Parameters {
        conv: Box<ConvParameters>,
        fc1: Vec<Fc1Block>,
        head: Box<HeadParameters>,
    }

    impl Parameters {
        fn numbered() -> (Box<FlatParameters>, Self) {
            let flat: Box<FlatParameters> = Box::new(std::array::from_fn(|i| i as f32 + 1.0));
            let fc1 = vec![Aligned::default(); FC1_BLOCKS];
            let mut parameters = Self { conv: bytemuck::zeroed_box(), fc1, head: bytemuck::zeroed_box() };
            parameters.places().read(&flat);
            (flat, parameters)
        }

        fn places(&mut self) -> Places<'_> {
            let fc1: &mut [Fc1Block; FC1_BLOCKS] = self.fc1.as_mut_slice().try_into().expect("there are FC1_BLOCKS");
            let fc1 = fc1.each_mut();
            Places { conv: &mut self.conv, fc1, head: &mut self.head }
        }
    }

    #[test]
    fn every_parameter_has_one_place_and_comes_back_from_it() {
        let (flat, mut parameters) = Parameters::numbered();
        let mut back = Box::new([0.0; PARAMETER_COUNT]);
        parameters.places().write(&mut back);
        assert_eq!(flat, back);
    }

    #[test]
    fn forward_weights_are_the_parameters_with_outputs_last() {
        let (flat, parameters) = Parameters::numbered();
        let named = cnn_core::network::Parameters::of(&flat);
        let mut conv2 = Conv2ForwardWeight::default();
        fill_conv2_forward(&parameters.conv, &mut conv2);
        assert_eq!(conv2[3][7][30], named.conv2_weight[30][3][7]);
        let mut panels = Fc1Panels::default();
        fill_panels(&parameters.fc1[9], None, &mut panels);
        assert_eq!(panels[7][79][7], named.fc1_weight[119][799]);
        assert_eq!(panels[7][79][8], 0.0);
        let mut fc2 = Fc2ForwardWeight::default();
        fill_fc2_forward(&parameters.head, &mut fc2);
        assert_eq!(fc2[119][9], named.fc2_weight[9][119]);
        assert_eq!(fc2[119][10], 0.0);
    }
}
