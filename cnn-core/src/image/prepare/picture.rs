//! Pictures of any size, in colour.

use crate::shapes::IMAGE_SIDE;

/// A colour: red, green and blue.
pub type Rgb = [u8; 3];

/// A colour with its opacity.
pub type Rgba = [u8; 4];

/// The mean of a colour's channels, rounded.
pub(super) fn mean([red, green, blue]: Rgb) -> u8 {
    ((u16::from(red) + u16::from(green) + u16::from(blue) + 1) / 3) as u8
}

/// The ground on which a picture with transparent places shows its ink: white (255), or black (0) where what is opaque
/// is light. A picture that is opaque for the most part is its own ground, which is continued.
pub fn ground(pixels: &[Rgba]) -> u8 {
    let (mut opacity, mut light) = (0u64, 0u64);
    for &[red, green, blue, alpha] in pixels {
        opacity += u64::from(alpha);
        light += u64::from(alpha) * u64::from(mean([red, green, blue]));
    }
    let is_light = light >= 128 * opacity;
    let is_opaque = opacity * 2 >= 255 * pixels.len() as u64;
    if is_light == is_opaque || opacity == 0 { 255 } else { 0 }
}

/// A colour as it shows on a [`ground`].
#[inline]
pub fn over(ground: u8, [red, green, blue, alpha]: Rgba) -> Rgb {
    if alpha == 255 {
        return [red, green, blue];
    }
    let (ground, alpha) = (u32::from(ground), u32::from(alpha));
    [red, green, blue].map(|value| ((u32::from(value) * alpha + ground * (255 - alpha) + 127) / 255) as u8)
}

/// A picture of any size up to [`Picture::MAX_SIDE`], borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: &'a [Rgb],
}

impl<'a> Picture<'a> {
    /// The largest width and height: what the sums of the preparation have room for.
    pub const MAX_SIDE: usize = 16_384;

    /// A picture of `width` × `height` pixels in raster order.
    ///
    /// # Errors
    /// [`ImageError::Empty`], [`ImageError::TooLarge`] and [`ImageError::Length`].
    pub fn new(width: usize, height: usize, pixels: &'a [Rgb]) -> Result<Self, ImageError> {
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

    pub(super) fn row(&self, row: usize) -> &'a [Rgb] {
        &self.pixels[row * self.width..][..self.width]
    }

    pub(super) fn is_grey(&self) -> bool {
        self.pixels.iter().all(|&[red, green, blue]| red == green && green == blue)
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
    /// A side is longer than [`Picture::MAX_SIDE`].
    #[error("the image is too large: {width}×{height}, at most {max}×{max} is read; make it smaller", max = Picture::MAX_SIDE)]
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
