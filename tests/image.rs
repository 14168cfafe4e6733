//! A person's own digit is prepared as MNIST's were, whatever the picture it comes in.

use cnn_core::image::{self, ImageError, Pixels, Prepared, Rgb, Workspace, as_is};
use cnn_core::network::IMAGE_SIDE;
use cnn_train::dataset::Split;
use equality::mnist_dir;
use host_trainer::dataset::{idx, mnist};
use proptest::prelude::*;

/// A picture that owns its pixels.
#[derive(Debug, Clone)]
struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    fn new(width: usize, height: usize, mut pixel: impl FnMut(usize, usize) -> u8) -> Self {
        let pixels = (0..width * height).map(|i| pixel(i % width, i / width)).collect();
        Self { width, height, pixels }
    }

    fn map(&self, mut change: impl FnMut(usize, usize, u8) -> u8) -> Self {
        Self::new(self.width, self.height, |x, y| change(x, y, self.pixels[y * self.width + x]))
    }

    fn negative(&self) -> Self {
        self.map(|_, _, pixel| 255 - pixel)
    }

    fn prepare(&self) -> Result<Pixels, ImageError> {
        Ok(prepare(self.width, self.height, &colours(&self.pixels))?.pixels)
    }
}

fn prepare(width: usize, height: usize, pixels: &[Rgb]) -> Result<Prepared, ImageError> {
    let mut memory: Box<[u32; Workspace::WORDS]> =
        vec![0; Workspace::WORDS].into_boxed_slice().try_into().expect("it has that length");
    image::prepare(&image::Picture::new(width, height, pixels)?, &mut Workspace::new(&mut memory))
}

/// Greys as colours.
fn colours(greys: &[u8]) -> Vec<Rgb> {
    greys.iter().map(|&grey| [grey; 3]).collect()
}

impl From<&Pixels> for Picture {
    fn from(pixels: &Pixels) -> Self {
        Self { width: IMAGE_SIDE, height: IMAGE_SIDE, pixels: pixels.to_vec() }
    }
}

/// A seven, white on black with grey edges, in a picture of its own shape: `size` from top to bottom, at (`left`,
/// `top`), the pen `size` / 8 wide.
fn seven(width: usize, height: usize, left: f64, top: f64, size: f64) -> Picture {
    let corners = [(0.15, 0.06), (0.62, 0.06), (0.28, 0.94)];
    Picture::new(width, height, |x, y| {
        let point = ((x as f64 + 0.5 - left) / size, (y as f64 + 0.5 - top) / size);
        let distance =
            corners.windows(2).map(|ends| distance(point, ends[0], ends[1])).fold(f64::INFINITY, f64::min) * size;
        ((size / 16.0 - distance + 0.5).clamp(0.0, 1.0) * 255.0).round() as u8
    })
}

/// The distance of a point from the line between two points.
fn distance((x, y): (f64, f64), (x0, y0): (f64, f64), (x1, y1): (f64, f64)) -> f64 {
    let (dx, dy) = (x1 - x0, y1 - y0);
    let along = (((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
    (x - x0 - along * dx).hypot(y - y0 - along * dy)
}

/// How far `image` is from `reference`: their mean absolute difference as a share of the one that a shift of the
/// reference by one column makes; the least over shifts of `image` by up to one pixel, since the centre of mass may be
/// rounded to either of two pixels.
fn distance_between(image: &Pixels, reference: &Pixels) -> f64 {
    // Prepared digits have an empty last row and column or an empty first one: what leaves the image is hardly ink.
    let difference = |a: &Pixels, b: &Pixels, shift: usize| -> f64 {
        (0..a.len()).map(|i| f64::from(a[(i + shift) % a.len()].abs_diff(b[i]))).sum()
    };
    let pixels = reference.len();
    let shifts = [0, 1, pixels - 1, IMAGE_SIDE, pixels - IMAGE_SIDE];
    let nearest = shifts.map(|shift| difference(image, reference, shift)).into_iter().fold(f64::INFINITY, f64::min);
    nearest / difference(reference, reference, 1)
}

/// First and last column and row with ink.
fn ink_box(pixels: &Pixels) -> [usize; 4] {
    let inked = (0..pixels.len()).filter(|&i| pixels[i] > 0);
    inked.fold([IMAGE_SIDE, 0, IMAGE_SIDE, 0], |[left, right, top, bottom], i| {
        let (x, y) = (i % IMAGE_SIDE, i / IMAGE_SIDE);
        [left.min(x), right.max(x), top.min(y), bottom.max(y)]
    })
}

/// How the pixels look, for messages.
fn drawn(pixels: &Pixels) -> String {
    let shades: Vec<char> = " .:-=+*#%@".chars().collect();
    let rows = pixels.chunks(IMAGE_SIDE).map(|row| row.iter().map(|&pixel| shades[usize::from(pixel) * 10 / 256]));
    rows.map(|row| row.collect::<String>() + "\n").collect()
}

/// A generator of noise: uniform in ±`amplitude`.
fn noise(amplitude: i32) -> impl FnMut() -> i32 {
    let mut state = 12_345u32;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as i32 % (2 * amplitude + 1) - amplitude
    }
}

#[test]
fn a_prepared_digit_stays_as_it_is() {
    let once = seven(300, 260, 60.0, 20.0, 200.0).prepare().unwrap();
    assert_eq!(Picture::from(&once).prepare().unwrap(), once, "{}", drawn(&once));
}

#[test]
fn place_and_size_in_the_picture_do_not_matter() {
    let reference = seven(200, 200, 50.0, 20.0, 160.0).prepare().unwrap();
    // A digit as large as the picture, a small one in a corner, one that must be enlarged.
    for (width, height, left, top, size) in [
        (105, 160, 0.0, 0.0, 160.0),
        (1000, 1200, 900.0, 1100.0, 80.0),
        (2000, 2000, 333.3, 100.1, 1500.0),
        (40, 30, 8.0, 6.0, 18.0),
    ] {
        let prepared = seven(width, height, left, top, size).prepare().unwrap();
        let distance = distance_between(&prepared, &reference);
        assert!(distance < 0.5, "{width}×{height}: {distance}\n{}{}", drawn(&prepared), drawn(&reference));
    }
}

#[test]
fn a_noisy_photo_with_light_from_one_side_shows_the_same_digit() {
    let digit = seven(400, 300, 120.0, 60.0, 180.0);
    let clean = digit.prepare().unwrap();
    // Paper from 110 to 230 grey levels, ink with a third of the paper's light, noise of ±5 %.
    let mut noise = noise(13);
    let photo = digit.map(|x, y, ink| {
        let paper = 110 + x as i32 * 80 / 400 + y as i32 * 40 / 300;
        (paper - paper * 2 / 3 * i32::from(ink) / 255 + noise()).clamp(0, 255) as u8
    });
    let prepared = photo.prepare().unwrap();
    let distance = distance_between(&prepared, &clean);
    assert!(distance < 0.5, "{distance}\n{}{}", drawn(&prepared), drawn(&clean));
    assert_eq!(ink_box(&prepared), ink_box(&clean), "{}{}", drawn(&prepared), drawn(&clean));
}

#[test]
fn dust_does_not_shrink_the_digit() {
    let digit = seven(200, 200, 60.0, 40.0, 120.0);
    let clean = digit.prepare().unwrap();
    let dusty = digit.map(|x, y, ink| if (x, y) == (3, 5) || (x, y) == (190, 195) { 255 } else { ink });
    assert_eq!(dusty.prepare().unwrap(), clean);
}

#[test]
fn symmetric_shapes_end_in_the_middle() {
    for side in [20, 28, 41, 100, 257] {
        for offset in [0, 7] {
            // A ring whose centre is off the picture's when `offset` is not 0.
            let centre = side as f64 / 2.0;
            let ring = Picture::new(side + offset, side + 2 * offset + 2, |x, y| {
                let radius = (x as f64 + 0.5 - centre).hypot(y as f64 - 0.5 - centre);
                if (0.25 * side as f64..0.4 * side as f64).contains(&radius) { 200 } else { 20 }
            });
            let prepared = ring.prepare().unwrap();
            assert_eq!(ink_box(&prepared), [4, 23, 4, 23], "{}", drawn(&prepared));
            for y in 0..IMAGE_SIDE {
                for x in 0..IMAGE_SIDE {
                    let at = |x: usize, y: usize| prepared[y * IMAGE_SIDE + x];
                    assert_eq!(at(x, y), at(IMAGE_SIDE - 1 - x, y));
                    assert_eq!(at(x, y), at(x, IMAGE_SIDE - 1 - y));
                }
            }
        }
    }
}

#[test]
fn a_single_pixel_of_ink_becomes_the_whole_box() {
    let square: Pixels = std::array::from_fn(|i| {
        let inside = |i| (4..24).contains(&i);
        if inside(i % IMAGE_SIDE) && inside(i / IMAGE_SIDE) { 255 } else { 0 }
    });
    for (ink, paper) in [(255, 0), (0, 255), (100, 140)] {
        let picture = Picture::new(30, 50, |x, y| if (x, y) == (29, 17) { ink } else { paper });
        assert_eq!(picture.prepare().unwrap(), square);
    }
}

#[test]
fn blank_pictures_have_no_ink() {
    for (width, height) in [(1, 1), (1, 9), (9, 1), (28, 28), (300, 200)] {
        for grey in [0, 1, 127, 128, 255] {
            assert_eq!(Picture::new(width, height, |_, _| grey).prepare(), Err(ImageError::NoInk));
        }
    }
    let mut noise = noise(13);
    let paper = Picture::new(300, 200, |x, _| (180 + x as i32 / 10 + noise()) as u8);
    assert_eq!(paper.prepare(), Err(ImageError::NoInk), "noise on unevenly lit paper");
}

#[test]
fn pictures_of_any_shape_are_taken() {
    // A bar across a picture that is as narrow as its stroke, upright and lying, light and dark.
    for width in 1..=8 {
        let bar = Picture::new(width, 40, |_, y| if (10..30).contains(&y) { 255 } else { 0 });
        let lying = Picture::new(40, width, |x, _| if (10..30).contains(&x) { 255 } else { 0 });
        for (picture, place) in [(&bar, (0, 10, width, 20)), (&lying, (10, 0, 20, width))] {
            for picture in [picture, &picture.negative()] {
                let found = prepare(picture.width, picture.height, &colours(&picture.pixels)).unwrap().place;
                assert_eq!((found.left, found.top, found.width, found.height), place);
            }
        }
    }
    let upright = Picture::new(1, 40, |_, y| if (10..30).contains(&y) { 255 } else { 0 });
    assert_eq!(ink_box(&upright.prepare().unwrap()), [14, 14, 4, 23]);
    let max = image::Picture::MAX_SIDE;
    let dash = Picture::new(max, 5, |x, y| if y == 2 && (2000..8000).contains(&x) { 0 } else { 255 });
    // Its ends fall into the middle of what becomes a pixel: the mean of its ink lies a little beside that of its box.
    assert_eq!(ink_box(&dash.prepare().unwrap()), [5, 24, 14, 14]);
    // A rule from edge to edge is no digit.
    let thread = Picture::new(max, 100, |_, y| if (40..60).contains(&y) { 0 } else { 255 });
    assert_eq!(thread.prepare(), Err(ImageError::NoInk));
}

#[test]
fn what_is_no_picture_is_refused() {
    let max = image::Picture::MAX_SIDE;
    let refused = |width, height, pixels: &[Rgb]| image::Picture::new(width, height, pixels).unwrap_err();
    assert_eq!(refused(0, 3, &[]), ImageError::Empty { width: 0, height: 3 });
    assert_eq!(refused(3, 0, &[]), ImageError::Empty { width: 3, height: 0 });
    assert_eq!(refused(3, 2, &[[0; 3]; 5]), ImageError::Length { width: 3, height: 2, found: 5 });
    assert_eq!(refused(3, 2, &[[0; 3]; 7]), ImageError::Length { width: 3, height: 2, found: 7 });
    assert_eq!(refused(max + 1, 1, &[]), ImageError::TooLarge { width: max + 1, height: 1 });
    assert_eq!(refused(usize::MAX, usize::MAX, &[]), ImageError::TooLarge { width: usize::MAX, height: usize::MAX });
}

#[test]
fn a_prepared_image_is_taken_as_it_is() {
    let pixels: Pixels = std::array::from_fn(|i| i as u8);
    let pixels_in_colour = colours(&pixels);
    let picture = image::Picture::new(IMAGE_SIDE, IMAGE_SIDE, &pixels_in_colour).unwrap();
    assert_eq!(as_is(&picture), Ok(pixels));
    let picture = image::Picture::new(14, 56, &pixels_in_colour).unwrap();
    assert_eq!(as_is(&picture), Err(ImageError::NotPrepared { width: 14, height: 56 }));
}

#[test]
fn images_of_mnist_and_their_negatives_keep_their_pixels() {
    let Some(folder) = mnist_dir() else { return };
    for split in [Split::Train, Split::Test] {
        let file = mnist::files(split)[0].find(&folder).expect("MNIST_DIR holds the images");
        for (index, digit) in idx::read_images(&file).unwrap().iter().enumerate() {
            // Every one of the tests' images; of the 60,000 others a tenth.
            if split == Split::Test || index % 10 == 0 {
                assert_eq!(Picture::from(digit).prepare().as_ref(), Ok(digit), "{split} {index}");
                assert_eq!(Picture::from(digit).negative().prepare().as_ref(), Ok(digit), "{split} {index}");
            }
        }
    }
}

/// What stands beside a digit, and what is to be said of it.
#[test]
fn doubts_are_said() {
    let digit = seven(300, 260, 30.0, 40.0, 180.0);
    let doubts = |picture: &Picture| {
        prepare(picture.width, picture.height, &colours(&picture.pixels)).map(|prepared| prepared.doubts)
    };
    assert_eq!(doubts(&digit), Ok(image::Doubts::default()));
    let second = seven(300, 260, 160.0, 40.0, 180.0);
    let two = digit.map(|x, y, ink| ink.max(second.pixels[y * 300 + x]));
    assert!(doubts(&two).unwrap().several_digits);
    assert!(doubts(&seven(300, 260, 60.0, 120.0, 180.0)).unwrap().at_edge);
    let faint = digit.map(|_, _, ink| 200 - ink / 9);
    assert!(doubts(&faint).unwrap().low_contrast);
    let blot = Picture::new(300, 260, |x, y| if (90..200).contains(&x) && (70..160).contains(&y) { 0 } else { 255 });
    assert!(doubts(&blot).unwrap().odd_shape);
}

#[test]
fn ink_of_another_colour_is_found_where_it_is_as_bright_as_the_paper() {
    let digit = seven(300, 260, 60.0, 40.0, 180.0);
    let grey = digit.prepare().unwrap();
    for (ink, paper) in
        [([205, 75, 60], [60, 150, 130]), ([250, 240, 60], [255, 255, 255]), ([30, 60, 220], [170, 70, 70])]
    {
        let pixels: Vec<Rgb> = digit
            .pixels
            .iter()
            .map(|&cover| {
                let mix = |ink: i32, paper: i32| (paper + (ink - paper) * i32::from(cover) / 255) as u8;
                std::array::from_fn(|k| mix([ink[0], ink[1], ink[2]][k], [paper[0], paper[1], paper[2]][k]))
            })
            .collect();
        let prepared = prepare(300, 260, &pixels).unwrap().pixels;
        let distance = distance_between(&prepared, &grey);
        assert!(distance < 0.3, "{ink:?} on {paper:?}: {distance}\n{}", drawn(&prepared));
    }
}

#[cfg_attr(no_mnist, ignore = "MNIST_DIR is not set")]
#[test]
fn digits_of_mnist_come_back_from_a_large_picture_in_dark_ink() {
    let Some(folder) = mnist_dir() else { return };
    let file = mnist::files(Split::Test)[0].find(&folder).expect("MNIST_DIR holds the test images");
    let digits = idx::read_images(&file).unwrap();
    let differences: Vec<f64> = digits[..500]
        .iter()
        .map(|digit| {
            // Eight times as large, dark on light, off the middle.
            let picture = Picture::new(320, 300, |x, y| match (x.checked_sub(30), y.checked_sub(50)) {
                (Some(x), Some(y)) if x < 8 * IMAGE_SIDE && y < 8 * IMAGE_SIDE => {
                    255 - digit[y / 8 * IMAGE_SIDE + x / 8]
                }
                _ => 255,
            });
            let prepared = picture.prepare().unwrap();
            digit.iter().zip(&prepared).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / digit.len() as f64
        })
        .collect();
    // Stretching the contrast changes inked pixels by few grey levels, 0.21 on average over all pixels. A digit that is
    // placed one pixel off differs by about 10; MNIST has few (24 of the 10,000 differ by more than 3) whose stray ink is
    // taken for dust here or whose centre of mass is rounded otherwise.
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    let elsewhere = differences.iter().filter(|&&difference| difference > 2.0).count();
    println!("mean difference {mean:.3} grey levels, {elsewhere} of 500 placed otherwise");
    assert!(mean < 0.5 && elsewhere <= 5, "mean {mean}, {elsewhere} of 500 placed otherwise");
}

/// Any picture: noise of few or many grey values, of any small shape.
fn pictures() -> impl Strategy<Value = Picture> {
    let values = prop_oneof![
        Just(vec![0u8, 255]),
        Just(vec![0, 0, 0, 0, 0, 0, 0, 255]),
        Just(vec![90, 91, 92, 93, 200]),
        Just((0..=255).collect())
    ];
    (1usize..50, 1usize..50, values).prop_flat_map(|(width, height, values)| {
        proptest::collection::vec(proptest::sample::select(values), width * height).prop_map(move |pixels| Picture {
            width,
            height,
            pixels,
        })
    })
}

proptest! {
    #[test]
    fn every_picture_becomes_a_digit_in_its_box_or_is_blank(picture in pictures()) {
        match picture.prepare() {
            Ok(pixels) => {
                let [left, right, top, bottom] = ink_box(&pixels);
                prop_assert!(right - left < 20 && bottom - top < 20, "{}", drawn(&pixels));
                prop_assert_eq!(pixels.iter().max(), Some(&255));
            }
            Err(error) => prop_assert_eq!(error, ImageError::NoInk),
        }
    }

    #[test]
    fn a_negative_gives_the_same_digit(left in 0.0..200.0f64, top in 0.0..100.0f64, size in 40.0..150.0f64) {
        let digit = seven(400, 300, left, top, size);
        prop_assert_eq!(digit.prepare(), digit.negative().prepare());
    }
}
