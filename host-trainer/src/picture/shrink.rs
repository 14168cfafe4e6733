//! A large picture made smaller while its rows arrive.

use cnn_core::image::Rgba;

/// The longest side of a picture that is kept as it is; of a larger one, squares of pixels become their mean.
pub const KEPT_SIDE: usize = 1536;

/// A picture with opacity.
pub struct Decoded {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<Rgba>,
}

/// Takes rows and keeps the means of squares.
pub struct Shrinker {
    width: usize,
    height: usize,
    factor: usize,
    /// Of every square the sums of its colours, each times its opacity, and of its opacities.
    sums: Vec<[u32; 4]>,
    /// Of an opaque picture the sums of the rows that came since the last squares were finished.
    lines: Vec<u16>,
    rows: usize,
    pixels: Vec<Rgba>,
}

/// What [`Shrinker::lines`] has room for: the sums of so many rows.
const MAX_FACTOR: usize = u16::MAX as usize / 255;
const _: () = assert!(super::MAX_SIDE as usize / KEPT_SIDE < MAX_FACTOR);

impl Shrinker {
    /// For a picture of this size.
    pub fn new(width: usize, height: usize) -> Self {
        let factor = width.max(height).div_ceil(KEPT_SIDE);
        let (across, down) = (width.div_ceil(factor), height.div_ceil(factor));
        let pixels = Vec::with_capacity(across * down);
        Self { width, height, factor, sums: vec![[0; 4]; across], lines: Vec::new(), rows: 0, pixels }
    }

    /// The next row in colours of `N` channels: grey, grey and opacity, colours, or colours and opacity.
    pub fn row<const N: usize>(&mut self, row: &[u8]) {
        let (colours, _) = row.as_chunks::<N>();
        if self.factor == 1 {
            self.pixels.extend(colours.iter().map(|&colour| rgba(colour)));
            return;
        }
        let has_opacity = N == 2 || N == 4;
        if has_opacity {
            self.add_weighted(colours);
        } else {
            self.lines.resize(row.len(), 0);
            for (sum, &value) in self.lines.iter_mut().zip(row) {
                *sum += u16::from(value);
            }
        }
        self.rows += 1;
        if self.rows.is_multiple_of(self.factor) || self.rows == self.height {
            if !has_opacity {
                self.add_lines::<N>();
            }
            self.finish_squares(has_opacity);
        }
    }

    fn add_weighted<const N: usize>(&mut self, colours: &[[u8; N]]) {
        for (sums, square) in self.sums.iter_mut().zip(colours.chunks(self.factor)) {
            for &colour in square {
                let [red, green, blue, opacity] = rgba(colour).map(u32::from);
                sums[0] += red * opacity;
                sums[1] += green * opacity;
                sums[2] += blue * opacity;
                sums[3] += opacity;
            }
        }
    }

    /// The sums of squares of the sums of rows.
    fn add_lines<const N: usize>(&mut self) {
        let rows = ((self.rows - 1) % self.factor + 1) as u32;
        for (sums, square) in self.sums.iter_mut().zip(self.lines.as_chunks::<N>().0.chunks(self.factor)) {
            for colour in square {
                for k in 0..3 {
                    sums[k] += u32::from(colour[k.min(N - 1)]);
                }
            }
            sums[3] = rows * square.len() as u32;
        }
        self.lines.fill(0);
    }

    fn finish_squares(&mut self, has_opacity: bool) {
        let rows = (self.rows - 1) % self.factor + 1;
        for (column, sums) in self.sums.iter_mut().enumerate() {
            let [red, green, blue, weight] = std::mem::take(sums);
            let pixels = (rows * self.factor.min(self.width - column * self.factor)) as u32;
            let [red, green, blue] = [red, green, blue].map(|sum| (sum / weight.max(1)) as u8);
            let opacity = if has_opacity { (weight / pixels) as u8 } else { 255 };
            self.pixels.push([red, green, blue, opacity]);
        }
    }

    /// The picture, if every row came.
    pub fn finish(self) -> Option<Decoded> {
        let (width, height) = (self.width.div_ceil(self.factor), self.height.div_ceil(self.factor));
        (self.pixels.len() == width * height).then_some(Decoded { width, height, pixels: self.pixels })
    }
}

/// The colour of one, two, three or four channels.
fn rgba<const N: usize>(colour: [u8; N]) -> Rgba {
    match *colour.as_slice() {
        [grey] => [grey, grey, grey, 255],
        [grey, opacity] => [grey, grey, grey, opacity],
        [red, green, blue] => [red, green, blue, 255],
        [red, green, blue, opacity] => [red, green, blue, opacity],
        _ => unreachable!("colours have one to four channels"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_become_their_mean_and_those_at_the_ends_are_cut() {
        let width = 2 * KEPT_SIDE - 1;
        let mut shrinker = Shrinker::new(width, 3);
        let row: Vec<u8> = (0..width).flat_map(|x| [if x % 2 == 0 { 10 } else { 20 }, 0, 7]).collect();
        for _ in 0..3 {
            shrinker.row::<3>(&row);
        }
        let picture = shrinker.finish().unwrap();
        assert_eq!((picture.width, picture.height), (KEPT_SIDE, 2));
        for (i, pixel) in picture.pixels.iter().enumerate() {
            assert_eq!(*pixel, [if i % KEPT_SIDE == KEPT_SIDE - 1 { 10 } else { 15 }, 0, 7, 255]);
        }
    }

    #[test]
    fn what_is_transparent_gives_no_colour() {
        let mut shrinker = Shrinker::new(KEPT_SIDE + 1, 2);
        let row: Vec<u8> = (0..=KEPT_SIDE).flat_map(|x| if x % 2 == 0 { [200, 10, 20, 255] } else { [0; 4] }).collect();
        shrinker.row::<4>(&row);
        shrinker.row::<4>(&row);
        assert_eq!(shrinker.finish().unwrap().pixels[0], [200, 10, 20, 127]);
    }

    #[test]
    fn a_row_that_never_came_is_missed() {
        let mut shrinker = Shrinker::new(2, 2);
        shrinker.row::<1>(&[1, 2]);
        assert!(shrinker.finish().is_none());
    }
}
