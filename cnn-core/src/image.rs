//! Pixels to network input; a person's own digit prepared as MNIST's were (feature `prepare`).

#[cfg(feature = "prepare")]
mod prepare;

use crate::shapes::{IMAGE_PIXELS, Image};

#[cfg(feature = "prepare")]
pub use prepare::*;

/// An image as data sets and boards have it: 28×28 grey values in raster order, 0 the background, 255 the ink.
pub type Pixels = [u8; IMAGE_PIXELS];

/// The network's input value of a pixel: `(pixel / 255 − 0.5) / 0.5`, from −1 to 1.
#[inline]
pub fn normalize_pixel(pixel: u8) -> f32 {
    (f32::from(pixel) / 255.0 - 0.5) / 0.5
}

/// [`normalize_pixel`] of every pixel.
pub fn normalize(pixels: &Pixels, image: &mut Image) {
    for (value, &pixel) in image.as_flattened_mut().as_flattened_mut().iter_mut().zip(pixels) {
        *value = normalize_pixel(pixel);
    }
}
