//! What is ink in a picture, and what is background.
//!
//! The background is a plane, so that light from one side is allowed for: grey = level + slope·column + slope·row. It
//! is fitted to the picture's edge, most of which is background, by *least trimmed squares*: to the half of the edge
//! that it fits best, so that ink at the edge does not tilt it (P. J. Rousseeuw and K. Van Driessen, *Computing LTS
//! Regression for Large Data Sets*, 2006, <https://doi.org/10.1007/s10618-005-0024-4>; the steps below are their
//! C-steps). A background of one exact grey value on at least half the edge is found exactly.
//!
//! Ink is on the side of the background, darker or lighter, to which the picture deviates more. On the other side
//! there is nothing but noise, so up to twice the distance that it reaches there, or half the contrast if that is
//! less, nothing is taken for ink. What stands out farther keeps its grey.

use super::GrayImage;

/// Ink must differ from its background by this many grey levels somewhere.
const MIN_CONTRAST: u32 = 16;
/// One pixel in so many may exceed what counts as the noise's reach.
const NOISE_OUTLIERS: u32 = 256;
/// Samples of the picture along each of its edges, at most.
const EDGE_SAMPLES: usize = 1024;
/// C-steps at most; two or three are usual.
const MAX_STEPS: usize = 10;

/// Fraction bits of a plane's values.
const FRACTION: u32 = 24;
/// A grey level: values are `(2·grey − 255) · 2²⁴`, so that the negative of a picture has the negated values and every
/// result but its sign.
const LEVEL: i64 = 2 << FRACTION;

/// A value (see [`LEVEL`]) of a grey.
fn value(grey: u8) -> i64 {
    (2 * i64::from(grey) - 255) << FRACTION
}

/// The ink of a picture.
pub(super) struct Ink<'a> {
    image: GrayImage<'a>,
    background: Plane,
    lighter: bool,
    floor: u32,
    mass: u64,
}

/// Counts of the pixels by their distance from the background in grey levels, 255 and above together.
type Histogram = [u32; 256];

impl<'a> Ink<'a> {
    /// Separates ink from background; nothing if there is no ink.
    pub(super) fn find(image: &GrayImage<'a>) -> Option<Self> {
        let background = Plane::fit(image);
        let mut darker: Histogram = [0; 256];
        let mut lighter: Histogram = [0; 256];
        for row in 0..image.height() {
            for column in 0..image.width() {
                let deviation = background.deviation(image, column, row);
                let side = if deviation < 0 { &mut darker } else { &mut lighter };
                side[grey_levels(deviation) as usize] += 1;
            }
        }

        let is_lighter = energy(&lighter) >= energy(&darker);
        let (ink, noise) = if is_lighter { (lighter, darker) } else { (darker, lighter) };
        let contrast = farthest(&ink, 0);
        let pixels = (image.width() * image.height()) as u32;
        let reach = 2 * farthest(&noise, pixels / NOISE_OUTLIERS);
        if contrast < MIN_CONTRAST || contrast <= reach {
            return None;
        }
        let floor = reach.min(contrast / 2);
        let above_floor = ink.iter().zip(0u64..).skip(floor as usize + 1);
        let mass = above_floor.map(|(&count, level)| u64::from(count) * level).sum();
        Some(Self { image: *image, background, lighter: is_lighter, floor, mass })
    }

    pub(super) fn width(&self) -> usize {
        self.image.width()
    }

    pub(super) fn height(&self) -> usize {
        self.image.height()
    }

    /// The sum of all ink; never 0.
    pub(super) fn mass(&self) -> u64 {
        self.mass
    }

    /// The ink of a pixel in grey levels, 0 to 255.
    pub(super) fn at(&self, column: usize, row: usize) -> u64 {
        let deviation = self.background.deviation(&self.image, column, row);
        let levels = grey_levels(deviation);
        if (deviation >= 0) == self.lighter && levels > self.floor { u64::from(levels) } else { 0 }
    }
}

/// A deviation's distance from 0 in whole grey levels, rounded, at most 255.
fn grey_levels(deviation: i64) -> u32 {
    ((deviation.abs() + LEVEL / 2) / LEVEL).min(255) as u32
}

/// The sum of the squared distances.
fn energy(histogram: &Histogram) -> u64 {
    histogram.iter().zip(0u64..).map(|(&count, level)| u64::from(count) * level * level).sum()
}

/// The largest distance when the `outliers` farthest pixels are left out.
fn farthest(histogram: &Histogram, outliers: u32) -> u32 {
    let mut beyond = 0;
    for (level, &count) in histogram.iter().enumerate().rev() {
        beyond += count;
        if beyond > outliers {
            return level as u32;
        }
    }
    0
}

/// A background: [`value`]s that are linear in the place. Places are counted in half pixels from the picture's centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plane {
    level: i64,
    column_slope: i64,
    row_slope: i64,
}

/// A pixel of the picture's edge: place and value.
#[derive(Debug, Clone, Copy)]
struct Sample {
    u: i64,
    v: i64,
    value: i64,
}

/// Half pixels from the middle of `side` to the centre of pixel `i`.
fn from_centre(i: usize, side: usize) -> i64 {
    2 * i as i64 + 1 - side as i64
}

/// The picture's edge, of each of its four sides at most [`EDGE_SAMPLES`]; corners come twice.
fn edge(image: &GrayImage<'_>) -> impl Iterator<Item = Sample> {
    let (width, height) = (image.width(), image.height());
    let columns = (0..width).step_by(width.div_ceil(EDGE_SAMPLES));
    let rows = (0..height).step_by(height.div_ceil(EDGE_SAMPLES));
    let horizontal = columns.flat_map(move |column| [(column, 0), (column, height - 1)]);
    let vertical = rows.flat_map(move |row| [(0, row), (width - 1, row)]);
    horizontal.chain(vertical).map(move |(column, row)| Sample {
        u: from_centre(column, width),
        v: from_centre(row, height),
        value: value(image.at(column, row)),
    })
}

impl Plane {
    /// The background of a picture.
    fn fit(image: &GrayImage<'_>) -> Self {
        let mut plane = Self::median(image);
        for _ in 0..MAX_STEPS {
            let distance = |sample: &Sample| (sample.value - plane.at(sample.u, sample.v)).abs() / LEVEL;
            let mut histogram = [0; 256];
            for sample in edge(image) {
                histogram[distance(&sample).min(255) as usize] += 1;
            }
            let nearest_half = i64::from(medians(&histogram)[0]);
            let next = Self::least_squares(image, edge(image).filter(|sample| distance(sample) <= nearest_half));
            if next == plane {
                break;
            }
            plane = next;
        }
        plane
    }

    /// The flat plane at the median of the edge.
    fn median(image: &GrayImage<'_>) -> Self {
        let mut histogram = [0; 256];
        for sample in edge(image) {
            histogram[((sample.value / (LEVEL / 2) + 255) / 2) as usize] += 1;
        }
        let [lower, upper] = medians(&histogram);
        Self { level: (value(lower) + value(upper)) / 2, column_slope: 0, row_slope: 0 }
    }

    /// The plane of least squares through the samples; the flat one through their mean where they do not determine
    /// the slopes, or where the slopes are steeper than all greys in one picture.
    ///
    /// With n ≤ 2¹² samples, places below 2¹⁴ and values of 2⁸ units of half a level, no product of two moments
    /// exceeds 2⁹⁸, so their shift by [`FRACTION`] fits 127 bits.
    fn least_squares(image: &GrayImage<'_>, samples: impl Iterator<Item = Sample>) -> Self {
        let [mut n, mut u, mut v, mut z] = [0i64; 4];
        let [mut uu, mut uv, mut vv, mut uz, mut vz] = [0i64; 5];
        for sample in samples {
            let value = sample.value >> FRACTION;
            n += 1;
            u += sample.u;
            v += sample.v;
            z += value;
            uu += sample.u * sample.u;
            uv += sample.u * sample.v;
            vv += sample.v * sample.v;
            uz += sample.u * value;
            vz += sample.v * value;
        }
        // n² times the covariances.
        let covariance = |xy: i64, x: i64, y: i64| i128::from(n * xy - x * y);
        let (uu, uv, vv) = (covariance(uu, u, u), covariance(uv, u, v), covariance(vv, v, v));
        let (uz, vz) = (covariance(uz, u, z), covariance(vz, v, z));
        let determinant = uu * vv - uv * uv;
        let slope = |numerator: i128, side: usize| {
            let slope = (numerator << FRACTION).checked_div(determinant)?;
            let steepest = i128::from(255i64 << FRACTION) / side as i128;
            (slope.abs() <= steepest).then_some(slope as i64)
        };
        let slopes = slope(uz * vv - vz * uv, image.width()).zip(slope(vz * uu - uz * uv, image.height()));
        let (column_slope, row_slope) = slopes.unwrap_or((0, 0));
        let level = ((z << FRACTION) - column_slope * u - row_slope * v) / n;
        Self { level, column_slope, row_slope }
    }

    fn at(&self, u: i64, v: i64) -> i64 {
        self.level + self.column_slope * u + self.row_slope * v
    }

    /// A pixel's value less the background's.
    fn deviation(&self, image: &GrayImage<'_>, column: usize, row: usize) -> i64 {
        let background = self.at(from_centre(column, image.width()), from_centre(row, image.height()));
        value(image.at(column, row)) - background
    }
}

/// The lower and the upper median of what a histogram with at least one entry counts.
fn medians(histogram: &Histogram) -> [u8; 2] {
    let count: u32 = histogram.iter().sum();
    let ranked = |rank: u32| {
        let mut below = 0;
        let bin = histogram.iter().position(|&count| {
            below += count;
            below > rank
        });
        bin.expect("the rank is below the count") as u8
    };
    [ranked((count - 1) / 2), ranked(count / 2)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_background_is_found_exactly_beside_ink_on_the_edge() {
        // Ink fills 15 of 32 columns of the top and of the bottom edge.
        let mut pixels = [0x30; 32 * 8];
        for row in pixels.chunks_exact_mut(32) {
            row[..15].fill(0xe0);
        }
        let image = GrayImage::new(32, 8, &pixels).unwrap();
        assert_eq!(Plane::fit(&image), Plane { level: value(0x30), column_slope: 0, row_slope: 0 });
        let ink = Ink::find(&image).unwrap();
        assert_eq!((ink.at(14, 3), ink.at(15, 3)), (0xb0, 0));
        assert_eq!(ink.mass(), 15 * 8 * 0xb0);
    }

    #[test]
    fn a_sloping_background_leaves_the_ink_alone() {
        let mut pixels = [0; 40 * 30];
        for (i, pixel) in pixels.iter_mut().enumerate() {
            *pixel = (60 + 3 * (i % 40) + 2 * (i / 40)) as u8;
        }
        pixels[15 * 40 + 20] -= 50;
        let image = GrayImage::new(40, 30, &pixels).unwrap();
        let ink = Ink::find(&image).unwrap();
        assert_eq!((ink.at(20, 15), ink.mass()), (50, 50));
    }

    #[test]
    fn noise_is_not_ink() {
        let mut pixels = [0; 64 * 64];
        let mut state = 1u32;
        for pixel in &mut pixels {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *pixel = 128 + (state >> 24) as u8 % 40;
        }
        assert!(Ink::find(&GrayImage::new(64, 64, &pixels).unwrap()).is_none());
    }

    #[test]
    fn medians_of_even_and_odd_counts() {
        let mut histogram = [0; 256];
        histogram[3] = 2;
        histogram[200] = 2;
        assert_eq!(medians(&histogram), [3, 200]);
        histogram[0] = 1;
        assert_eq!(medians(&histogram), [3, 3]);
    }
}
