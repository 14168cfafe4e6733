//! The working picture: a part of the picture, made smaller by averaging squares of pixels.

use super::parts::Bounds;
use super::picture::{Picture, Rgb, mean};
use super::workspace::{Place, WORKING_SIDE};

/// What of a colour is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    /// The mean of all three.
    Mean,
    Red,
    Green,
    Blue,
}

impl Channel {
    /// The channel of every colour.
    pub(super) fn write(self, colours: &[Rgb], plane: &mut [u8]) {
        for (value, &colour) in plane.iter_mut().zip(colours) {
            *value = match self {
                Self::Mean => mean(colour),
                Self::Red => colour[0],
                Self::Green => colour[1],
                Self::Blue => colour[2],
            };
        }
    }
}

/// A part of a picture, of which every square of `factor` × `factor` pixels is one pixel of the working picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    place: Place,
    pub(super) factor: usize,
}

impl Area {
    pub(super) fn whole(picture: &Picture<'_>) -> Self {
        Self::new(Place { left: 0, top: 0, width: picture.width(), height: picture.height() })
    }

    /// The whole picture at half of [`Self::whole`]'s size; nothing if the picture is that small itself.
    pub(super) fn overview(picture: &Picture<'_>) -> Option<Self> {
        let whole = Self::whole(picture);
        let factor = picture.width().max(picture.height()).div_ceil(WORKING_SIDE / 2);
        (factor > whole.factor).then_some(Self { factor, ..whole })
    }

    fn new(place: Place) -> Self {
        Self { place, factor: place.width.max(place.height).div_ceil(WORKING_SIDE) }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Columns and rows of the working picture.
    pub(super) fn working_size(&self) -> (usize, usize) {
        (self.place.width.div_ceil(self.factor), self.place.height.div_ceil(self.factor))
    }

    /// A closer look at a box alone.
    pub(super) fn part(&self, bounds: &Bounds) -> Self {
        Self::new(self.place_of(bounds))
    }

    /// A closer look: the box with as much around it as its longer side, half of it on each side.
    pub(super) fn around(&self, bounds: &Bounds, picture: &Picture<'_>) -> Self {
        let place = self.place_of(bounds);
        let margin = place.width.max(place.height) / 2 + self.factor;
        let (left, top) = (place.left.saturating_sub(margin), place.top.saturating_sub(margin));
        let right = (place.left + place.width + margin).min(picture.width());
        let bottom = (place.top + place.height + margin).min(picture.height());
        Self::new(Place { left, top, width: right - left, height: bottom - top })
    }

    /// The place in the picture of a box of the working picture.
    pub(super) fn place_of(&self, bounds: &Bounds) -> Place {
        let across = |first: usize, last: usize, len: usize| {
            let start = first * self.factor;
            (start, ((last + 1) * self.factor).min(len) - start)
        };
        let (left, width) = across(bounds.left, bounds.right, self.place.width);
        let (top, height) = across(bounds.top, bounds.bottom, self.place.height);
        Place { left: self.place.left + left, top: self.place.top + top, width, height }
    }

    /// The working picture: means, rounded down, of the picture or of its negative, in which light ink is dark. Squares
    /// at the right and the bottom may be cut. The scratch memory has room for a row of the picture.
    ///
    /// The negative is taken before the means are rounded, so that it is looked at as exactly as the picture.
    pub(super) fn read(&self, picture: &Picture<'_>, negative: bool, colours: &mut [Rgb], scratch: &mut [u32]) {
        let flip = if negative { 255 } else { 0 };
        let (width, height) = self.working_size();
        let Place { left, top, width: across, height: down } = self.place;
        // A factor of 43 rows at most, of 255 each.
        let sums: &mut [u16] = &mut bytemuck::cast_slice_mut(scratch)[..3 * across];
        for (row, line) in colours.chunks_exact_mut(width).take(height).enumerate() {
            sums.fill(0);
            let first = row * self.factor;
            let rows = self.factor.min(down - first);
            for y in first..first + rows {
                let source = picture.row(top + y)[left..left + across].as_flattened();
                for (sum, &value) in sums.iter_mut().zip(source) {
                    *sum += u16::from(value ^ flip);
                }
            }
            let (sums, _) = sums.as_chunks::<3>();
            for (colour, square) in line.iter_mut().zip(sums.chunks(self.factor)) {
                let mut sum = [0u32; 3];
                for part in square {
                    for (sum, &part) in sum.iter_mut().zip(part) {
                        *sum += u32::from(part);
                    }
                }
                *colour = sum.map(|sum| (sum / (square.len() * rows) as u32) as u8);
            }
        }
    }
}
