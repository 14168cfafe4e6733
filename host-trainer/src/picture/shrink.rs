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
    rows: usize,
    pixels: Vec<Rgba>,
}

impl Shrinker {
    /// For a picture of this size.
    pub fn new(width: usize, height: usize) -> Self {
        let factor = width.max(height).div_ceil(KEPT_SIDE);
        let (across, down) = (width.div_ceil(factor), height.div_ceil(factor));
        Self { width, height, factor, sums: vec![[0; 4]; across], rows: 0, pixels: Vec::with_capacity(across * down) }
    }

    /// The next row in colours of `N` channels: grey, grey and opacity, colours, or colours and opacity.
    pub fn row<const N: usize>(&mut self, row: &[u8]) {
        let (colours, _) = row.as_chunks::<N>();
        if self.factor == 1 {
            self.pixels.extend(colours.iter().map(|&colour| rgba(colour)));
            return;
        }
        for (sums, square) in self.sums.iter_mut().zip(colours.chunks(self.factor)) {
            for &colour in square {
                let [red, green, blue, opacity] = rgba(colour).map(u32::from);
                // An opaque picture's opacity is one for all and needs no product.
                let weight = if N == 2 || N == 4 { opacity } else { 1 };
                sums[0] += red * weight;
                sums[1] += green * weight;
                sums[2] += blue * weight;
                sums[3] += weight;
            }
        }
        self.rows += 1;
        if self.rows.is_multiple_of(self.factor) || self.rows == self.height {
            self.finish_squares(N == 2 || N == 4);
        }
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
