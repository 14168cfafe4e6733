//! Built-in digits for machines without MNIST: drawn from strokes, each a little different.
//!
//! An image is a pure function of the seed, its split and its index, the same on every platform: only integers and the
//! operations that IEEE 754 rounds correctly (+ − · / and the square root) are used, rotations included. Its random
//! numbers come from a ChaCha8 stream of its own, so images can be drawn in any order, and a shorter data set is the
//! beginning of a longer one. The key is the seed as a little-endian u64 followed by the 24 bytes
//! `synthetic digits, v. 1.0` (the streams of [`crate::random`] have zeros there); the stream number is the image's index,
//! plus 2⁶³ for the test split.
//!
//! The digits are prepared as MNIST's were: fitted into 20×20 pixels with their aspect kept, and placed in the 28×28
//! image by their centre of mass.

use cnn_core::image::Pixels;
use cnn_core::network::{IMAGE_PIXELS, IMAGE_SIDE};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::skeletons::{SKELETONS, Skeleton, Stroke};
use super::{Dataset, Samples, Split};
use crate::threads;

/// Images of the training split, as many as MNIST has.
pub const TRAIN_LEN: usize = 60_000;
/// Images of the test split, as many as MNIST has.
pub const TEST_LEN: usize = 10_000;
/// The seed of the data set that stands in for MNIST.
pub const DEFAULT_SEED: u64 = 0;

/// The last 24 bytes of the generator's key.
const KEY_TAIL: &[u8; 24] = b"synthetic digits, v. 1.0";
/// Straight pieces for each pair of neighbouring points of a stroke.
const PIECES: usize = 6;
/// Half the square that digits are fitted into.
const HALF_BOX: f32 = 10.0;

/// The digits that stand in for MNIST: as many images, seed [`DEFAULT_SEED`].
pub fn standard() -> Dataset {
    synthetic(DEFAULT_SEED, TRAIN_LEN, TEST_LEN)
}

/// A split of [`standard`].
pub fn standard_split(split: Split) -> Samples {
    let length = match split {
        Split::Train => TRAIN_LEN,
        Split::Test => TEST_LEN,
    };
    samples(DEFAULT_SEED, split, length)
}

/// A data set of `train_len` and `test_len` digits.
///
/// # Panics
/// If a length is 0.
pub fn synthetic(seed: u64, train_len: usize, test_len: usize) -> Dataset {
    let train = samples(seed, Split::Train, train_len);
    let test = samples(seed, Split::Test, test_len);
    Dataset::new(name(seed), train, test)
}

/// What a data set of this seed is called.
pub fn name(seed: u64) -> String {
    format!("synthetic digits (seed {seed})")
}

/// The first `length` digits of a split, drawn on all processors.
///
/// # Panics
/// If `length` is 0.
pub fn samples(seed: u64, split: Split, length: usize) -> Samples {
    let (mut images, mut labels) = (vec![[0; IMAGE_PIXELS]; length], vec![0; length]);
    let mut places: Vec<_> = images.iter_mut().zip(&mut labels).collect();
    threads::for_each(&mut places, &|index, (image, label)| {
        (**image, **label) = sample(seed, split, index as u64);
    });
    Samples::new(images, labels)
}

/// The digit of that index of a split, and its label.
pub fn sample(seed: u64, split: Split, index: u64) -> (Pixels, u8) {
    digit(Random::new(seed, split, index))
}

/// A digit and its label.
fn digit(mut random: Random) -> (Pixels, u8) {
    let label = random.below(SKELETONS.len());
    let skeleton = SKELETONS[label][random.below(SKELETONS[label].len())];
    let mut curve = Curve::write(skeleton, &mut random);
    curve.distort(&mut random);
    let pen = Pen::pick(&mut random);
    curve.place(pen.radius, &mut random);
    (pen.draw(&curve, &mut random), label as u8)
}

/// The random numbers of one image.
struct Random(ChaCha8Rng);

impl Random {
    fn new(seed: u64, split: Split, index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..].copy_from_slice(KEY_TAIL);
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(match split {
            Split::Train => index,
            Split::Test => index + (1 << 63),
        });
        Self(generator)
    }

    /// Below `n`; all equally likely but for a difference of n/2³².
    fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.0.next_u32()) * n as u64) >> 32) as usize
    }

    /// Uniform in `low..high`.
    fn uniform(&mut self, low: f32, high: f32) -> f32 {
        let unit = (self.0.next_u32() >> 8) as f32 / 16_777_216.0;
        low + (high - low) * unit
    }

    /// Bell-shaped around 0 with the given standard deviation, never beyond three of them: a sum of three uniform
    /// numbers, each of variance 1/3.
    fn bell(&mut self, deviation: f32) -> f32 {
        let sum = self.uniform(-1.0, 1.0) + self.uniform(-1.0, 1.0) + self.uniform(-1.0, 1.0);
        sum * deviation
    }
}

/// The centre line of a digit as straight pieces.
struct Curve {
    /// Both ends of every piece, x and y.
    pieces: Vec<[[f32; 2]; 2]>,
}

impl Curve {
    /// The skeleton as an unsteady hand follows it, in units of the digit's height.
    fn write(skeleton: Skeleton, random: &mut Random) -> Self {
        let unsteadiness = random.uniform(0.01, 0.04);
        let mut pieces = Vec::with_capacity(64);
        for stroke in skeleton {
            let points = unsteady(stroke, unsteadiness, random);
            let last = points.len() - 1;
            for i in 0..last {
                let neighbours = [points[i.saturating_sub(1)], points[i], points[i + 1], points[(i + 2).min(last)]];
                let mut from = points[i];
                for piece in 1..=PIECES {
                    let to = catmull_rom(&neighbours, piece as f32 / PIECES as f32);
                    pieces.push([from, to]);
                    from = to;
                }
            }
        }
        Self { pieces }
    }

    /// Bends, narrows, slants and turns the digit.
    fn distort(&mut self, random: &mut Random) {
        let bend = [random.bell(0.08), random.bell(0.08)];
        let width = random.uniform(0.62, 1.15);
        let slant = 0.14 + random.bell(0.22);
        // With t the tangent of half the angle, these are its cosine and sine.
        let t = random.bell(0.07);
        let (cosine, sine) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
        self.transform(|[x, y]| {
            let (x, y) = (x - 0.5, y - 0.5);
            let (x, y) = (x + bend[0] * (1.0 - 4.0 * y * y), y + bend[1] * (1.0 - 4.0 * x * x));
            let x = x * width - slant * y;
            [cosine * x - sine * y, sine * x + cosine * y]
        });
    }

    /// Fits the digit, drawn with a pen of `radius`, into its box in pixels, and puts its centre of mass near the middle.
    fn place(&mut self, radius: f32, random: &mut Random) {
        let [low, high] = self.bounds();
        let extent = larger(high[0] - low[0], high[1] - low[1]);
        let size = 2.0 * HALF_BOX * random.uniform(0.88, 1.04) - 2.0 * radius;
        let scale = size / extent;
        let centre = self.centre_of_mass();
        let middle = IMAGE_SIDE as f32 / 2.0;
        let shift = [middle + random.bell(0.5), middle + random.bell(0.5)];
        self.transform(|[x, y]| [(x - centre[0]) * scale + shift[0], (y - centre[1]) * scale + shift[1]]);
    }

    fn transform(&mut self, map: impl Fn([f32; 2]) -> [f32; 2]) {
        for point in self.pieces.as_flattened_mut() {
            *point = map(*point);
        }
    }

    /// The corners of the bounding box.
    fn bounds(&self) -> [[f32; 2]; 2] {
        let first = self.pieces[0][0];
        self.pieces.as_flattened().iter().fold([first, first], |[low, high], point| {
            [
                [smaller(low[0], point[0]), smaller(low[1], point[1])],
                [larger(high[0], point[0]), larger(high[1], point[1])],
            ]
        })
    }

    /// Each piece weighs what it is long.
    fn centre_of_mass(&self) -> [f32; 2] {
        let mut mass = 0.0;
        let mut moment = [0.0; 2];
        for [from, to] in &self.pieces {
            let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
            let length = (dx * dx + dy * dy).sqrt();
            mass += length;
            moment[0] += length * (from[0] + to[0]) * 0.5;
            moment[1] += length * (from[1] + to[1]) * 0.5;
        }
        [moment[0] / mass, moment[1] / mass]
    }
}

/// The stroke's points, each a little off; both points of a corner alike.
fn unsteady(stroke: Stroke, unsteadiness: f32, random: &mut Random) -> Vec<[f32; 2]> {
    let mut points: Vec<[f32; 2]> = Vec::with_capacity(stroke.len());
    for (i, point) in stroke.iter().enumerate() {
        points.push(if i > 0 && stroke[i - 1] == *point {
            points[i - 1]
        } else {
            point.map(|coordinate| f32::from(coordinate) / 100.0 + random.bell(unsteadiness))
        });
    }
    points
}

/// The Catmull–Rom spline from the second of four points (t = 0) to the third (t = 1).
fn catmull_rom([before, from, to, after]: &[[f32; 2]; 4], t: f32) -> [f32; 2] {
    std::array::from_fn(|axis| {
        let (a, b, c, d) = (before[axis], from[axis], to[axis], after[axis]);
        let linear = c - a;
        let square = 2.0 * a - 5.0 * b + 4.0 * c - d;
        let cube = 3.0 * (b - c) + d - a;
        b + 0.5 * t * (linear + t * (square + t * cube))
    })
}

/// What the digit is drawn with.
struct Pen {
    /// Half the width of its line, in pixels.
    radius: f32,
    /// Width of the line's blurred edge, in pixels.
    softness: f32,
    /// How much the ink's darkness varies from pixel to pixel.
    grain: f32,
    /// The brightest speck on the paper, as a fraction of full ink.
    specks: f32,
}

impl Pen {
    fn pick(random: &mut Random) -> Self {
        Self {
            radius: random.uniform(0.75, 1.95),
            softness: random.uniform(1.0, 1.7),
            grain: random.uniform(0.0, 0.2),
            specks: larger(random.uniform(-0.3, 0.3), 0.0),
        }
    }

    /// Draws the digit.
    fn draw(&self, curve: &Curve, random: &mut Random) -> Pixels {
        let squares = self.squared_distances(curve);
        let mut noise = [0; 2 * IMAGE_PIXELS];
        random.0.fill_bytes(&mut noise);
        std::array::from_fn(|i| {
            let ink = unit((self.radius - squares[i].sqrt()) / self.softness + 0.5);
            let grain = self.grain * f32::from(noise[2 * i]) / 255.0;
            let speck = self.specks * (f32::from(noise[2 * i + 1]) - 243.0) / 12.0;
            (unit(larger(ink * (1.0 - grain), speck)) * 255.0 + 0.5) as u8
        })
    }

    /// The squared distance of each pixel's centre to the curve, right wherever ink may be, large elsewhere.
    fn squared_distances(&self, curve: &Curve) -> [f32; IMAGE_PIXELS] {
        let reach = self.radius + self.softness;
        let mut squares = [f32::MAX; IMAGE_PIXELS];
        for [from, to] in &curve.pieces {
            let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
            let length_squared = larger(dx * dx + dy * dy, f32::MIN_POSITIVE);
            let columns = pixels_between(smaller(from[0], to[0]) - reach, larger(from[0], to[0]) + reach);
            for row in pixels_between(smaller(from[1], to[1]) - reach, larger(from[1], to[1]) + reach) {
                for column in columns.clone() {
                    let (x, y) = (column as f32 + 0.5 - from[0], row as f32 + 0.5 - from[1]);
                    let along = unit((x * dx + y * dy) / length_squared);
                    let (x, y) = (x - along * dx, y - along * dy);
                    let nearest = &mut squares[row * IMAGE_SIDE + column];
                    *nearest = smaller(*nearest, x * x + y * y);
                }
            }
        }
        squares
    }
}

/// The rows or columns whose pixels touch the range, as far as they are in the image.
fn pixels_between(low: f32, high: f32) -> std::ops::Range<usize> {
    // Conversions to integers cut towards zero and stop at the ends of their range.
    let end = (high as usize).saturating_add(1);
    (low as usize).min(IMAGE_SIDE)..end.min(IMAGE_SIDE)
}

fn smaller(a: f32, b: f32) -> f32 {
    if b < a { b } else { a }
}

fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// The nearest value in 0 to 1.
fn unit(value: f32) -> f32 {
    smaller(larger(value, 0.0), 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = 2000;

    /// Changes whenever any pixel or label does: whoever means that changes [`KEY_TAIL`] too, and these.
    #[test]
    fn the_standard_digits_are_these_on_every_platform() {
        let few = synthetic(DEFAULT_SEED, 100, 100);
        assert_eq!(hex::encode(few.hash), "69a995680ad7452275fd4ccc120a97fe0926dc0a499af4be3bc046037dc3a530");
        let standard = standard();
        assert_eq!((standard.train.len(), standard.test.len()), (TRAIN_LEN, TEST_LEN));
        assert_eq!(hex::encode(standard.hash), "7db0a7f7a991e4d93641b3bb0798dade1278d6273953dd9af23d7d14e441a8ee");
        assert_eq!(few.train.images(), &standard.train.images()[..100]);
        assert_eq!(few.test.labels(), &standard.test.labels()[..100]);
        assert_eq!(standard_split(Split::Test), standard.test);
    }

    #[test]
    fn seeds_and_splits_have_digits_of_their_own() {
        let first = samples(0, Split::Train, LEN);
        for other in [samples(1, Split::Train, LEN), samples(0, Split::Test, LEN)] {
            assert!(first.images().iter().all(|image| !other.images().contains(image)));
            assert_ne!(first.labels(), other.labels());
        }
    }

    #[test]
    fn labels_are_equally_frequent() {
        let mut counts = [0; 10];
        samples(0, Split::Train, 10_000).labels().iter().for_each(|&label| counts[usize::from(label)] += 1);
        // Each count is binomial with mean 1000 and standard deviation 30.
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }

    #[test]
    fn digits_are_placed_as_those_of_mnist() {
        for image in samples(0, Split::Train, LEN).images() {
            let (mut mass, mut moment) = (0, [0, 0]);
            let (mut rows, mut columns) = ([false; IMAGE_SIDE], [false; IMAGE_SIDE]);
            // Ink, not the specks of the paper.
            for (i, &pixel) in image.iter().enumerate().filter(|&(_, &pixel)| pixel >= 128) {
                let (row, column) = (i / IMAGE_SIDE, i % IMAGE_SIDE);
                mass += u32::from(pixel);
                moment[0] += u32::from(pixel) * row as u32;
                moment[1] += u32::from(pixel) * column as u32;
                (rows[row], columns[column]) = (true, true);
            }
            assert!(mass > 20 * 128, "hardly any ink");
            for sum in moment {
                let centre = f64::from(sum) / f64::from(mass);
                assert!((centre - 13.5).abs() < 3.0, "the centre of mass is off: {centre}");
            }
            let extent = |line: [bool; IMAGE_SIDE]| {
                line.iter().rposition(|&ink| ink).unwrap() - line.iter().position(|&ink| ink).unwrap() + 1
            };
            let longer = extent(rows).max(extent(columns));
            assert!((14..=22).contains(&longer), "{longer} pixels instead of about 20");
        }
    }

    #[test]
    fn every_skeleton_is_written_within_its_frame() {
        for skeleton in SKELETONS.iter().copied().flatten() {
            for stroke in *skeleton {
                assert!(stroke.len() >= 2);
                assert!(stroke.iter().flatten().all(|&coordinate| coordinate <= 100));
            }
        }
    }
}
