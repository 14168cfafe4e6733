//! The pieces of a network's state, and what is computed of one of them alone.

use bytemuck::Zeroable;
use cnn_core::image::{Pixels, normalize_pixel};
use cnn_core::network::CONV2_CHANNELS;

use super::kernels::conv1::{self, Marks};
use super::kernels::conv2;
use super::layout::{
    Aligned, Conv2ForwardWeight, ConvParameters, FC1_BLOCKS, Fc1Block, Fc1Panels, Fc2ForwardWeight, HeadParameters,
    Image, Pool1, fill_conv2_forward, fill_fc2_forward,
};
use super::simd::dispatch::Dispatch;

/// The input value of every possible pixel, as `cnn_core` computes it: looking it up is quicker than dividing.
pub struct PixelTable([f32; 256]);

impl Default for PixelTable {
    fn default() -> Self {
        Self(std::array::from_fn(|pixel| normalize_pixel(pixel as u8)))
    }
}

impl PixelTable {
    /// `cnn_core::image::normalize`.
    pub fn normalize(&self, pixels: &Pixels, image: &mut Image) {
        for (value, &pixel) in image.as_flattened_mut().iter_mut().zip(pixels) {
            *value = self.0[usize::from(pixel)];
        }
    }
}

/// Both convolutions.
#[derive(Zeroable)]
pub struct ConvPiece {
    /// The parameters.
    pub parameters: ConvParameters,
    /// Their momentum.
    pub momentum: ConvParameters,
    /// conv2's weights for the forward pass.
    pub conv2_forward: Conv2ForwardWeight,
    /// conv2's sums where an image is nothing but background.
    pub background: Aligned<[f32; CONV2_CHANNELS]>,
}

/// fc1's weights of one block of inputs.
#[derive(Zeroable)]
pub struct Fc1Piece {
    /// The weights.
    pub weight: Fc1Block,
    /// Their momentum.
    pub momentum: Fc1Block,
    /// The gradient so far of a batch of several segments.
    pub gradient: Fc1Block,
}

/// fc1's weights as the forward pass reads them. Every thread has a copy of its own: on some processors two cores that
/// read the same memory over and over, though nobody writes to it, take half as long again.
pub type Panels = [Fc1Panels; FC1_BLOCKS];

/// fc1's biases and fc2.
#[derive(Zeroable)]
pub struct HeadPiece {
    /// The parameters.
    pub parameters: HeadParameters,
    /// Their momentum.
    pub momentum: HeadParameters,
    /// fc2's weights for the forward pass.
    pub fc2_forward: Fc2ForwardWeight,
}

impl ConvPiece {
    /// Computes anew what depends on the parameters.
    pub fn refresh(&mut self, dispatch: Dispatch, pixel_table: &PixelTable) {
        let Self { parameters, conv2_forward, background, .. } = self;
        fill_conv2_forward(parameters, conv2_forward);
        let pixels: Pixels = [0; size_of::<Pixels>()];
        let (mut image, mut pool1) = (Image::default(), Pool1::default());
        pixel_table.normalize(&pixels, &mut image);
        dispatch.run(conv1::Forward {
            pixels: &pixels,
            image: &image,
            weight: &parameters.conv1_weight,
            bias: &parameters.conv1_bias,
            pool1: &mut pool1,
            winners: None,
            marks: &mut Marks::default(),
        });
        dispatch.run(conv2::Background {
            pool1: &pool1,
            weight: conv2_forward,
            bias: &parameters.conv2_bias,
            sums: background,
        });
    }
}

impl HeadPiece {
    /// Computes anew what depends on the parameters.
    pub fn refresh(&mut self) {
        fill_fc2_forward(&self.parameters, &mut self.fc2_forward);
    }
}
