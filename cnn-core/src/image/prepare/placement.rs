//! Where a digit's ink goes: crop, scale, centre, stretch.

use super::workspace::Place;
use crate::image::Pixels;
use crate::shapes::{IMAGE_PIXELS, IMAGE_SIDE};

/// The side of the box that MNIST's digits were scaled into.
const BOX_SIDE: usize = 20;
/// The shortest longer side of MNIST's digits.
const SHORTEST: usize = 18;
/// The farthest of their centres of mass from the middle, in half pixels.
const CENTRAL: u64 = 2;

/// A row or column without this share of the average line's ink counts as empty.
const EMPTY_SHARE: u64 = 64;
/// This share of the pixels with ink becomes white.
const WHITE_SHARE: usize = 10;

/// The ink of a digit in rows of `width`; all of it belongs to the digit.
#[derive(Clone, Copy)]
struct Ink<'a> {
    ink: &'a [u8],
    width: usize,
}

impl Ink<'_> {
    fn at(&self, column: usize, row: usize) -> u64 {
        u64::from(self.ink[row * self.width + column])
    }

    fn height(&self) -> usize {
        self.ink.len() / self.width
    }
}

/// The digit as MNIST has it; nothing if there is no ink.
pub(super) fn place(ink: &[u8], width: usize) -> Option<Pixels> {
    let ink = Ink { ink, width };
    let scaled = Scaled::new(&ink, &Crop::of(&ink)?);
    let white = scaled.white();
    let (left, top) = scaled.offsets();
    let mut pixels = [0; IMAGE_PIXELS];
    for (y, row) in scaled.rows().enumerate() {
        for (x, &cell) in row.iter().enumerate() {
            let pixel = (cell * 255 + white / 2) / white;
            pixels[(top + y) * IMAGE_SIDE + left + x] = pixel.min(255) as u8;
        }
    }
    Some(pixels)
}

/// The box of the digit if the image is one as MNIST has them: white on black, at most 20×20 and about as long, the
/// centre of mass on the middle.
pub(super) fn place_in_mnist(pixels: &Pixels) -> Option<Place> {
    let ink = Ink { ink: pixels, width: IMAGE_SIDE };
    let (left, top, width, height) = bounds(&ink)?;
    let longer = width.max(height);
    let [mut mass, mut column_moment, mut row_moment] = [0; 3];
    for (i, &pixel) in pixels.iter().enumerate() {
        mass += u64::from(pixel);
        column_moment += u64::from(pixel) * (2 * (i % IMAGE_SIDE) + 1) as u64;
        row_moment += u64::from(pixel) * (2 * (i / IMAGE_SIDE) + 1) as u64;
    }
    // In half pixels the middle is at 28; the makers rounded it to whole pixels.
    let is_central = |moment: u64| (IMAGE_SIDE as u64 * mass).abs_diff(moment) <= CENTRAL * mass;
    let is_placed = (SHORTEST..=BOX_SIDE).contains(&longer) && is_central(column_moment) && is_central(row_moment);
    is_placed.then_some(Place { left, top, width, height })
}

/// The first column and row with ink, and how many columns and rows there are to the last.
fn bounds(ink: &Ink<'_>) -> Option<(usize, usize, usize, usize)> {
    let inked_row = |&row: &usize| (0..ink.width).any(|column| ink.at(column, row) > 0);
    let (top, last_row) = ((0..ink.height()).find(inked_row)?, (0..ink.height()).rfind(inked_row)?);
    let inked_column = |&column: &usize| (top..=last_row).any(|row| ink.at(column, row) > 0);
    let (left, last_column) = ((0..ink.width).find(inked_column)?, (0..ink.width).rfind(inked_column)?);
    Some((left, top, last_column + 1 - left, last_row + 1 - top))
}

/// The box around the ink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Crop {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Crop {
    fn of(ink: &Ink<'_>) -> Option<Self> {
        let (left, top, width, height) = bounds(ink)?;
        let row_mass = |row| (left..left + width).map(|column| ink.at(column, top + row)).sum::<u64>();
        let (first_row, rows) = extent(height, row_mass);
        let column_mass = |column| (0..rows).map(|row| ink.at(left + column, top + first_row + row)).sum();
        let (first_column, columns) = extent(width, column_mass);
        Some(Self { left: left + first_column, top: top + first_row, width: columns, height: rows })
    }
}

/// The first of `count` lines with more than a trace of ink, and how many lines there are to the last such one;
/// `mass_of(line)` is a line's ink.
fn extent(count: usize, mass_of: impl Fn(usize) -> u64) -> (usize, usize) {
    let mass: u64 = (0..count).map(&mass_of).sum();
    let inked = |&line: &usize| mass_of(line) * count as u64 * EMPTY_SHARE >= mass;
    let first = (0..count).find(inked).unwrap_or(0);
    let last = (0..count).rfind(inked).unwrap_or(count - 1);
    (first, last + 1 - first)
}

/// The crop scaled to at most 20×20.
struct Scaled {
    /// Ink times area: all have the same unit. Only the first `height` rows and `width` columns are used.
    cells: [[u64; BOX_SIDE]; BOX_SIDE],
    width: usize,
    height: usize,
}

impl Scaled {
    /// Every cell is the exact integral of the ink over its area (a box filter), shrinking and enlarging alike.
    fn new(ink: &Ink<'_>, crop: &Crop) -> Self {
        let long = crop.width.max(crop.height);
        // Rounded to nearest, so that the long side has 20 cells, the short one at least 1.
        let cells_of = |side: usize| ((2 * side * BOX_SIDE + long) / (2 * long)).max(1);
        let (width, height) = (cells_of(crop.width), cells_of(crop.height));
        let mut cells = [[0; BOX_SIDE]; BOX_SIDE];
        for y in 0..crop.height {
            let mut line = [0; BOX_SIDE];
            for x in 0..crop.width {
                let ink = ink.at(crop.left + x, crop.top + y);
                for (cell, overlap) in overlaps(x, crop.width, width) {
                    line[cell] += ink * overlap;
                }
            }
            for (row, overlap) in overlaps(y, crop.height, height) {
                for (cell, &ink) in cells[row].iter_mut().zip(&line) {
                    *cell += ink * overlap;
                }
            }
        }
        Self { cells, width, height }
    }

    fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.cells[..self.height].iter().map(|row| &row[..self.width])
    }

    /// The amount that becomes 255: the least of the tenth of the cells that have most ink.
    fn white(&self) -> u64 {
        let mut sorted = self.cells;
        let sorted = sorted.as_flattened_mut();
        sorted.sort_unstable();
        let empty = sorted.partition_point(|&cell| cell == 0);
        let inked = &sorted[empty..];
        inked[inked.len() - 1 - inked.len() / WHITE_SHARE]
    }

    /// Columns to the left and rows above that put the centre of mass on the middle, as far as all cells stay inside.
    fn offsets(&self) -> (usize, usize) {
        let [mut mass, mut column_moment, mut row_moment] = [0; 3];
        for (y, row) in self.rows().enumerate() {
            for (x, &cell) in row.iter().enumerate() {
                mass += cell;
                column_moment += cell * x as u64;
                row_moment += cell * y as u64;
            }
        }
        (offset(column_moment, mass, self.width), offset(row_moment, mass, self.height))
    }
}

/// The target cells that source pixel `i` of `source` covers when `source` pixels become `target` cells, and how much
/// of each it covers: a pixel is `target` long, a cell `source`.
fn overlaps(i: usize, source: usize, target: usize) -> impl Iterator<Item = (usize, u64)> {
    let (start, end) = (i * target, (i + 1) * target);
    (start / source..=(end - 1) / source).map(move |cell| {
        let overlap = end.min((cell + 1) * source) - start.max(cell * source);
        (cell, overlap as u64)
    })
}

/// The shift that brings the centre of mass, `moment / mass`, nearest to pixel 14, the smaller of two. That is MNIST's
/// rule: its centres lie between 13.5 and 14.5.
fn offset(moment: u64, mass: u64, side: usize) -> usize {
    // ⌈13.5 − moment / mass⌉
    let doubled = (IMAGE_SIDE as u64 - 1) * mass;
    let offset = doubled.saturating_sub(2 * moment).div_ceil(2 * mass);
    (offset as usize).min(IMAGE_SIDE - side)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_share_every_pixel_out() {
        for (source, target) in [(1, 20), (7, 20), (20, 20), (33, 20), (16_384, 20), (16_384, 1), (5, 3)] {
            let mut cells = [0; BOX_SIDE];
            for i in 0..source {
                assert_eq!(overlaps(i, source, target).map(|(_, overlap)| overlap).sum::<u64>(), target as u64);
                for (cell, overlap) in overlaps(i, source, target) {
                    cells[cell] += overlap;
                }
            }
            assert!(cells[..target].iter().all(|&area| area == source as u64), "{source} to {target}");
        }
    }

    #[test]
    fn offsets_stay_on_the_image() {
        assert_eq!(offset(0, 1, 20), 8);
        assert_eq!(offset(19, 1, 20), 0);
        assert_eq!(offset(19, 2, 20), 4);
        assert_eq!(offset(0, 5, 1), 14);
    }
}
