//! Pixels to network input; a person's own digit prepared as MNIST's were.
//!
//! A network that saw MNIST alone misreads a digit that is placed, sized or lit differently, so [`prepare`] repeats
//! what MNIST's makers did (<https://yann.lecun.org/exdb/mnist/>): "size normalized to fit in a 20x20 pixel box while
//! preserving their aspect ratio", with grey levels from anti-aliasing, then "centered in a 28x28 image by computing
//! the center of mass of the pixels, and translating the image so as to position this point at the center". It is
//! integer arithmetic throughout: the same picture gives the same pixels everywhere.

mod ink;
mod placement;

use crate::shapes::{IMAGE_PIXELS, IMAGE_SIDE, Image};
use ink::Ink;

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

/// A grey picture of any size up to [`GrayImage::MAX_SIDE`], borrowed; 0 is black, 255 is white.
#[derive(Debug, Clone, Copy)]
pub struct GrayImage<'a> {
    width: usize,
    height: usize,
    pixels: &'a [u8],
}

impl<'a> GrayImage<'a> {
    /// The largest width and height: what the sums of the preparation have room for.
    pub const MAX_SIDE: usize = 16_384;

    /// A picture of `width` × `height` pixels in raster order.
    ///
    /// # Errors
    /// [`ImageError::Empty`], [`ImageError::TooLarge`] and [`ImageError::Length`].
    pub fn new(width: usize, height: usize, pixels: &'a [u8]) -> Result<Self, ImageError> {
        if width == 0 || height == 0 {
            return Err(ImageError::Empty { width, height });
        }
        if width > Self::MAX_SIDE || height > Self::MAX_SIDE {
            return Err(ImageError::TooLarge { width, height });
        }
        if pixels.len() != width * height {
            return Err(ImageError::Length { width, height, found: pixels.len() });
        }
        Ok(Self { width, height, pixels })
    }

    /// Pixels of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    fn at(&self, column: usize, row: usize) -> u8 {
        self.pixels[row * self.width + column]
    }
}

/// Why a picture does not become a network input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// A side is zero.
    #[error("the image has no pixels: it is {width}×{height}")]
    Empty {
        /// Pixels of a row.
        width: usize,
        /// Number of rows.
        height: usize,
    },
    /// A side is longer than [`GrayImage::MAX_SIDE`].
    #[error("the image is too large: {width}×{height}, at most {max}×{max} is read; make it smaller", max = GrayImage::MAX_SIDE)]
    TooLarge {
        /// Pixels of a row.
        width: usize,
        /// Number of rows.
        height: usize,
    },
    /// The number of pixels is not width times height.
    #[error("an image of {width}×{height} has {} pixels, but there are {found}", width * height)]
    Length {
        /// Pixels of a row.
        width: usize,
        /// Number of rows.
        height: usize,
        /// Number of pixels.
        found: usize,
    },
    /// Nothing stands out from the background.
    #[error(
        "the image is blank: no ink stands out from its background; draw or photograph one digit with more contrast"
    )]
    NoInk,
    /// An image that is to be taken as it is has another size than the network's input.
    #[error("the image is {width}×{height}, but only {side}×{side} can be taken as it is; have it prepared", side = IMAGE_SIDE)]
    NotPrepared {
        /// Pixels of a row.
        width: usize,
        /// Number of rows.
        height: usize,
    },
}

/// Prepares a picture of one digit as MNIST's were: finds the ink, dark on light or light on dark, on a background
/// that may be noisy and unevenly lit; scales the ink's box into 20×20 with its aspect kept; puts the centre of mass
/// on the middle of 28×28; stretches the contrast to 255. An image of MNIST comes out as it was, but for a little
/// contrast.
///
/// The picture should show the digit and its background, nothing else, and most of its edge should be background.
/// A picture and its negative give the same result.
///
/// # Errors
/// [`ImageError::NoInk`] if nothing stands out from the background.
pub fn prepare(image: &GrayImage<'_>) -> Result<Pixels, ImageError> {
    let ink = Ink::find(image).ok_or(ImageError::NoInk)?;
    Ok(placement::place(&ink))
}

/// Takes a picture that is prepared already: 28×28, light ink on black.
///
/// # Errors
/// [`ImageError::NotPrepared`] if it has another size.
pub fn as_is(image: &GrayImage<'_>) -> Result<Pixels, ImageError> {
    let &GrayImage { width, height, pixels } = image;
    if (width, height) != (IMAGE_SIDE, IMAGE_SIDE) {
        return Err(ImageError::NotPrepared { width, height });
    }
    pixels.try_into().map_err(|_| ImageError::Length { width, height, found: pixels.len() })
}
