//! Where a digit's ink goes: crop, scale, centre, stretch.

use super::Pixels;
use super::ink::Ink;
use crate::shapes::{IMAGE_PIXELS, IMAGE_SIDE};

/// The side of the box that MNIST's digits were scaled into.
const BOX_SIDE: usize = 20;

/// A row or column without this share of the average line's ink counts as empty.
const EMPTY_SHARE: u64 = 64;
/// Lines set apart that hold less than this share of all ink are dust.
const DUST_SHARE: u64 = 64;
/// This share of the pixels with ink becomes white.
const WHITE_SHARE: usize = 10;

/// The digit as MNIST has it.
pub(super) fn place(ink: &Ink<'_>) -> Pixels {
    let scaled = Scaled::new(ink, &Crop::of(ink));
    let white = scaled.white();
    let (left, top) = scaled.offsets();
    let mut pixels = [0; IMAGE_PIXELS];
    for (y, row) in scaled.rows().enumerate() {
        for (x, &cell) in row.iter().enumerate() {
            let pixel = (cell * 255 + white / 2) / white;
            pixels[(top + y) * IMAGE_SIDE + left + x] = pixel.min(255) as u8;
        }
    }
    pixels
}

/// The box around the ink, dust left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Crop {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Crop {
    fn of(ink: &Ink<'_>) -> Self {
        let row_mass = |row| (0..ink.width()).map(|column| ink.at(column, row)).sum();
        let (top, height) = extent(ink.height(), ink.mass(), row_mass);
        let column_mass = |column| (top..top + height).map(|row| ink.at(column, row)).sum();
        let mass = (top..top + height).map(row_mass).sum();
        let (left, width) = extent(ink.width(), mass, column_mass);
        Self { left, top, width, height }
    }
}

/// The first of `count` lines with ink, and how many lines there are to the last; `mass_of(line)` is a line's ink, all
/// of them together `mass`.
fn extent(count: usize, mass: u64, mass_of: impl Fn(usize) -> u64) -> (usize, usize) {
    let first = first_line(count, mass, &mass_of);
    let last = count - 1 - first_line(count, mass, |line| mass_of(count - 1 - line));
    (first, last + 1 - first)
}

/// The first line of the first run of lines with ink that is more than dust; of all runs, if all are dust.
fn first_line(count: usize, mass: u64, mass_of: impl Fn(usize) -> u64) -> usize {
    let mut outermost = None;
    let mut run = None;
    for line in 0..count {
        let line_mass = mass_of(line);
        if line_mass * count as u64 * EMPTY_SHARE < mass {
            run = None;
            continue;
        }
        let (first, before) = run.unwrap_or((line, 0));
        let run_mass = before + line_mass;
        if run_mass * DUST_SHARE >= mass {
            return first;
        }
        run = Some((first, run_mass));
        outermost = outermost.or(Some(first));
    }
    outermost.unwrap_or(0)
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
    fn dust_apart_from_the_digit_is_no_part_of_it() {
        let masses = [0, 3, 0, 0, 40, 60, 50, 0, 2];
        let extent_of = |masses: &[u64]| extent(masses.len(), masses.iter().sum(), |line| masses[line]);
        assert_eq!(extent_of(&masses), (1, 6), "3 of 155 is too much for dust, 2 is not");
        assert_eq!(extent_of(&masses[2..]), (2, 3));
        assert_eq!(extent_of(&[7]), (0, 1));
        assert_eq!(extent_of(&[1; 100]), (0, 100));
    }

    #[test]
    fn offsets_stay_on_the_image() {
        assert_eq!(offset(0, 1, 20), 8);
        assert_eq!(offset(19, 1, 20), 0);
        assert_eq!(offset(19, 2, 20), 4);
        assert_eq!(offset(0, 5, 1), 14);
    }
}
