//! A large picture made smaller while its rows arrive.

use std::ops::Range;
use std::sync::mpsc::sync_channel;
use std::thread;

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
        Self::with_factor(width, height, factor(width, height))
    }

    fn with_factor(width: usize, height: usize, factor: usize) -> Self {
        let (across, down) = (width.div_ceil(factor), height.div_ceil(factor));
        let pixels = Vec::with_capacity(across * down);
        Self { width, height, factor, sums: vec![[0; 4]; across], lines: Vec::new(), rows: 0, pixels }
    }

    /// The next rows, one behind the other, in colours of so many channels.
    pub fn rows(&mut self, channels: usize, rows: &[u8]) {
        for row in rows.chunks_exact(self.width * channels) {
            match channels {
                1 => self.row::<1>(row),
                2 => self.row::<2>(row),
                3 => self.row::<3>(row),
                _ => self.row::<4>(row),
            }
        }
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
        for (sums, square) in self.sums.iter_mut().zip(self.lines.as_chunks::<N>().0.chunks(self.factor)) {
            for colour in square {
                for k in 0..3 {
                    sums[k] += u32::from(colour[k.min(N - 1)]);
                }
            }
        }
        self.lines.fill(0);
    }

    fn finish_squares(&mut self, has_opacity: bool) {
        let rows = (self.rows - 1) % self.factor + 1;
        let whole = Divisor::new((rows * self.factor) as u32);
        let last = Divisor::new((rows * (self.width - (self.sums.len() - 1) * self.factor)) as u32);
        let columns = self.sums.len();
        for (column, sums) in self.sums.iter_mut().enumerate() {
            let [red, green, blue, weight] = std::mem::take(sums);
            let pixels = if column + 1 == columns { last } else { whole };
            self.pixels.push(if has_opacity {
                let colour = [red, green, blue].map(|sum| (sum / weight.max(1)) as u8);
                [colour[0], colour[1], colour[2], pixels.divide(weight)]
            } else {
                [pixels.divide(red), pixels.divide(green), pixels.divide(blue), 255]
            });
        }
    }

    /// The picture, if every row came.
    pub fn finish(self) -> Option<Decoded> {
        let (width, height) = (self.width.div_ceil(self.factor), self.height.div_ceil(self.factor));
        (self.pixels.len() == width * height).then_some(Decoded { width, height, pixels: self.pixels })
    }
}

/// A number to divide sums of that many bytes by: a division proper for each square takes a tenth of the whole time.
#[derive(Debug, Clone, Copy)]
struct Divisor(u64);

impl Divisor {
    fn new(divisor: u32) -> Self {
        Self((1 << 32) / u64::from(divisor) + 1)
    }

    /// The quotient, rounded down, of a sum of at most as many bytes as the divisor says. It is exact for divisors up to
    /// 4103: the reciprocal is too large by at most divisor ÷ 2³², which 255 × divisor must not make a whole one.
    fn divide(self, sum: u32) -> u8 {
        ((u64::from(sum) * self.0) >> 32) as u8
    }
}

/// So many pixels become one, across and down.
fn factor(width: usize, height: usize) -> usize {
    width.max(height).div_ceil(KEPT_SIDE)
}

/// Makes a picture smaller whose rows `decode` hands over in blocks, one behind the other, in colours of `channels`
/// channels: of a large one on a second thread, while the next block is decoded. `None` if rows are missing.
///
/// # Errors
/// That of `decode`.
pub fn while_decoding<E>(
    [width, height, channels]: [usize; 3],
    decode: impl FnOnce(&mut dyn FnMut(&mut Vec<u8>)) -> Result<(), E>,
) -> Result<Option<Decoded>, E> {
    thread::scope(|scope| {
        let (sender, blocks) = sync_channel::<Vec<u8>>(4);
        let work = move || {
            let mut shrinker = Shrinker::new(width, height);
            blocks.into_iter().for_each(|block| shrinker.rows(channels, &block));
            shrinker.finish()
        };
        let is_large = factor(width, height) > 1;
        // A system that grants no thread is no reason to read no picture.
        if let Some(Ok(worker)) = is_large.then(|| thread::Builder::new().spawn_scoped(scope, work)) {
            decode(&mut |block| {
                let next = Vec::with_capacity(block.capacity());
                sender.send(std::mem::replace(block, next)).expect("it takes blocks until the last");
            })?;
            drop(sender);
            return Ok(worker.join().expect("it does not panic"));
        }
        let mut shrinker = Shrinker::new(width, height);
        decode(&mut |block| {
            shrinker.rows(channels, block);
            block.clear();
        })?;
        Ok(shrinker.finish())
    })
}

/// Makes a picture smaller of which every row is there: of a large one, the halves side by side. `rows` hands rows of a
/// range to a shrinker.
pub fn in_halves(width: usize, height: usize, rows: impl Fn(Range<usize>, &mut Shrinker) + Sync) -> Decoded {
    let factor = factor(width, height);
    let part = |range: Range<usize>| {
        let mut shrinker = Shrinker::with_factor(width, range.len(), factor);
        rows(range, &mut shrinker);
        shrinker.finish().expect("every row came")
    };
    let middle = if factor > 1 { (height / 2).next_multiple_of(factor).min(height) } else { height };
    if middle == height {
        return part(0..height);
    }
    thread::scope(|scope| {
        let lower = thread::Builder::new().spawn_scoped(scope, || part(middle..height));
        let mut whole = part(0..middle);
        let lower = lower.map_or_else(|_| part(middle..height), |lower| lower.join().expect("it does not panic"));
        whole.height += lower.height;
        whole.pixels.extend(lower.pixels);
        whole
    })
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
    fn a_divisor_is_exact_for_every_sum_of_a_square() {
        for divisor in 1..=(MAX_FACTOR as u32).pow(2).min(400) {
            let reciprocal = Divisor::new(divisor);
            for sum in 0..=255 * divisor {
                assert_eq!(u32::from(reciprocal.divide(sum)), sum / divisor, "{sum} / {divisor}");
            }
        }
    }

    #[test]
    fn blocks_on_another_thread_and_halves_give_what_rows_give() {
        let (width, height) = (2 * KEPT_SIDE + 5, 23);
        let pixels: Vec<u8> = (0..3 * width * height).map(|i| (i * i % 251) as u8).collect();
        let mut shrinker = Shrinker::new(width, height);
        shrinker.rows(3, &pixels);
        let expected = shrinker.finish().unwrap();
        let in_blocks = |pixels: &[u8]| {
            while_decoding([width, height, 3], |take| {
                pixels.chunks(5 * 3 * width).for_each(|block| take(&mut block.to_vec()));
                Ok::<_, ()>(())
            })
            .unwrap()
        };
        let halves = in_halves(width, height, |rows, shrinker| {
            shrinker.rows(3, &pixels[rows.start * 3 * width..rows.end * 3 * width]);
        });
        for found in [in_blocks(&pixels).unwrap(), halves] {
            assert_eq!((found.width, found.height), (expected.width, expected.height));
            assert!(found.pixels == expected.pixels);
        }
        assert!(in_blocks(&pixels[3 * width..]).is_none(), "a row is missing");
        assert_eq!(while_decoding([width, height, 3], |_| Err::<(), _>("broken")).err(), Some("broken"));
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
