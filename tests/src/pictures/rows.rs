//! The rows of the table: one kind of picture each.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageBuffer, ImageEncoder, ImageFormat, Rgb, RgbaImage};

use super::{Canvas, Drawing, Random};

/// What a person would say of the pictures of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// They can be read: 95 %.
    Read,
    /// They can be read, but a line is around the digit: 90 %.
    Enclosed,
    /// The answer is wrong or may be: it has a remark.
    Doubted,
}

/// A kind of picture.
pub struct Row {
    /// Its name in the table.
    pub name: &'static str,
    /// What is asked of it.
    pub expectation: Expectation,
    make: fn(usize, &mut Random) -> Vec<u8>,
}

impl Row {
    /// The file of picture `index`, which shows the digit `index % 10`.
    pub fn file(&self, index: usize) -> Vec<u8> {
        (self.make)(index % 10, &mut Random::new(self.name, index))
    }
}

const fn read(name: &'static str, make: fn(usize, &mut Random) -> Vec<u8>) -> Row {
    Row { name, expectation: Expectation::Read, make }
}

const fn enclosed(name: &'static str, make: fn(usize, &mut Random) -> Vec<u8>) -> Row {
    Row { name, expectation: Expectation::Enclosed, make }
}

const fn doubted(name: &'static str, make: fn(usize, &mut Random) -> Vec<u8>) -> Row {
    Row { name, expectation: Expectation::Doubted, make }
}

/// All rows.
pub const ROWS: &[Row] = &[
    read("paint program, thick brush", |digit, random| png(&plain(digit, random, 0.14, 0.6))),
    read("pencil", |digit, random| {
        let mut canvas = Canvas::new(600, 500, [238.0, 236.0, 230.0]);
        canvas.draw(&drawn(digit, random), [300.0, 250.0], random.uniform(220.0, 330.0), 7.0, [130.0; 3], 0.9);
        canvas.noise(4.0, random);
        png(&canvas)
    }),
    read("thin pen", |digit, random| png(&plain(digit, random, 0.02, 0.6))),
    read("thick pen", |digit, random| png(&plain(digit, random, 0.18, 0.7))),
    read("tiny on A4", |digit, random| {
        let mut canvas = Canvas::new(1240, 1754, [255.0; 3]);
        let middle = [random.uniform(100.0, 1100.0), random.uniform(100.0, 1600.0)];
        canvas.draw(&drawn(digit, random), middle, 60.0, 6.0, [20.0; 3], 1.0);
        png(&canvas)
    }),
    read("off centre", |digit, random| {
        let mut canvas = Canvas::new(640, 480, [255.0; 3]);
        let middle = [random.uniform(90.0, 550.0), random.uniform(90.0, 390.0)];
        canvas.draw(&drawn(digit, random), middle, 130.0, 13.0, [0.0; 3], 1.0);
        png(&canvas)
    }),
    read("coloured ink on coloured paper", |digit, random| {
        let mut canvas = Canvas::new(400, 400, [250.0, 235.0, 170.0]);
        let ink =
            [[30.0, 60.0, 200.0], [190.0, 30.0, 40.0], [20.0, 120.0, 50.0], [120.0, 40.0, 140.0]][random.below(4)];
        canvas.draw(&drawn(digit, random), [200.0, 200.0], 230.0, 22.0, ink, 1.0);
        png(&canvas)
    }),
    read("white on black", |digit, random| {
        let mut canvas = Canvas::new(500, 500, [25.0, 30.0, 28.0]);
        canvas.draw(&drawn(digit, random), [250.0, 250.0], 300.0, random.uniform(15.0, 45.0), [235.0; 3], 1.0);
        canvas.noise(4.0, random);
        png(&canvas)
    }),
    read("16 bit", |digit, random| {
        let canvas = plain(digit, random, 0.08, 0.6);
        let deep = DynamicImage::ImageRgba8(rgba(&canvas)).into_rgb16();
        encoded(&DynamicImage::ImageRgb16(deep), ImageFormat::Png)
    }),
    read("cropped to the digit's ink", |digit, random| {
        let mut canvas = plain(digit, random, 0.1, 0.6);
        canvas.crop_to_ink();
        png(&canvas)
    }),
    read("digit from one side to the other", |digit, random| {
        let mut canvas = plain(digit, random, 0.1, 0.6);
        let (width, height) = (canvas.width, canvas.height);
        canvas.crop_to_ink();
        canvas.widen(if random.below(2) == 0 { (width, canvas.height) } else { (canvas.width, height) });
        png(&canvas)
    }),
    read("turned by up to 15°", |digit, random| {
        let mut canvas = Canvas::new(500, 500, [255.0; 3]);
        let drawing = Drawing::of(digit, random.uniform(-15.0, 15.0), random);
        canvas.draw(&drawing, [250.0, 250.0], 280.0, 24.0, [10.0; 3], 1.0);
        png(&canvas)
    }),
    read("JPEG", |digit, random| {
        let quality = 30 + random.below(66) as u8;
        jpeg(&plain(digit, random, 0.08, 0.6), quality)
    }),
    read("WebP", |digit, random| saved(&plain(digit, random, 0.08, 0.6), ImageFormat::WebP)),
    read("BMP", |digit, random| saved(&plain(digit, random, 0.08, 0.6), ImageFormat::Bmp)),
    read("GIF (palette)", |digit, random| saved(&plain(digit, random, 0.08, 0.6), ImageFormat::Gif)),
    read("TIFF", |digit, random| saved(&plain(digit, random, 0.08, 0.6), ImageFormat::Tiff)),
    read("shadow edge, 15 % darker", |digit, random| png(&shadowed(digit, random, 0.15))),
    read("shadow edge, 25 % darker", |digit, random| png(&shadowed(digit, random, 0.25))),
    read("shadow edge, 35 % darker", |digit, random| png(&shadowed(digit, random, 0.35))),
    read("shadow edge, 50 % darker", |digit, random| png(&shadowed(digit, random, 0.5))),
    read("soft shadow", |digit, random| {
        let mut canvas = paper(digit, random);
        let (x0, y0, size) = (random.uniform(0.1, 0.9), random.uniform(0.1, 0.9), random.uniform(0.2, 0.6));
        canvas.light(|x, y| 1.0 - 0.1 * (-((x - x0).powi(2) + (y - y0).powi(2)) / (size * size)).exp());
        png(&canvas)
    }),
    read("photo: vignette, blur, noise, JPEG", photo),
    read("lined paper", |digit, random| png(&ruled(digit, random, [110.0, 140.0, 200.0], false))),
    read("faintly lined paper", |digit, random| png(&ruled(digit, random, [205.0, 215.0, 228.0], false))),
    read("squared paper", |digit, random| png(&ruled(digit, random, [130.0, 150.0, 200.0], true))),
    read("lined paper, pencil as dark as the lines", |digit, random| {
        let mut canvas = Canvas::new(800, 600, [245.0; 3]);
        let start = random.uniform(0.0, 40.0);
        canvas.rule(44.0, 2.5, random.uniform(-0.05, 0.05), [120.0; 3], false, start);
        canvas.draw(&drawn(digit, random), [400.0, 300.0], random.uniform(200.0, 380.0), 11.0, [110.0; 3], 1.0);
        canvas.noise(2.0, random);
        png(&canvas)
    }),
    read("edge of a table", |digit, random| {
        let mut canvas = paper(digit, random);
        let (slope, start) = (random.uniform(-0.2, 0.2), random.uniform(0.04, 0.14));
        let wood = [90.0, 62.0, 40.0];
        let from_left = random.below(2) == 0;
        canvas.map(|x, y, colour| {
            let place = if from_left { x + slope * y * 0.3 } else { 1.0 - y + slope * x * 0.3 };
            if place < start { wood } else { colour }
        });
        canvas.noise(3.0, random);
        png(&canvas)
    }),
    read("black edge of a scan", |digit, random| {
        let mut canvas = paper(digit, random);
        let (width, height) = (canvas.width, canvas.height);
        let edge = 4 + random.below(30);
        canvas.fill(width - edge..width, 0..height, [8.0; 3]);
        canvas.fill(0..width, 0..edge / 2, [8.0; 3]);
        png(&canvas)
    }),
    read("toolbar of a screenshot", |digit, random| {
        let mut canvas = Canvas::new(800, 600, [255.0; 3]);
        canvas.draw(&drawn(digit, random), [400.0, 330.0], random.uniform(200.0, 360.0), 26.0, [0.0; 3], 1.0);
        canvas.fill(0..800, 0..48, [225.0, 228.0, 232.0]);
        canvas.fill(0..800, 48..50, [150.0; 3]);
        for i in 0..12 {
            let colour = [random.uniform(0.0, 255.0), random.uniform(0.0, 255.0), random.uniform(0.0, 255.0)];
            canvas.fill(12 + i * 44..40 + i * 44, 10..38, colour);
        }
        png(&canvas)
    }),
    enclosed("drawn box", |digit, random| png(&ringed(digit, random, false))),
    enclosed("drawn circle", |digit, random| png(&ringed(digit, random, true))),
    read("black frame of two pixels", |digit, random| {
        let mut canvas = plain(digit, random, 0.08, 0.6);
        let (width, height) = (canvas.width, canvas.height);
        canvas.fill(0..width, 0..2, [0.0; 3]);
        canvas.fill(0..width, height - 2..height, [0.0; 3]);
        canvas.fill(0..2, 0..height, [0.0; 3]);
        canvas.fill(width - 2..width, 0..height, [0.0; 3]);
        png(&canvas)
    }),
    read("white ink, transparent PNG", |digit, random| png(&transparent(digit, random, [255.0; 3]))),
    read("black ink, transparent PNG", |digit, random| png(&transparent(digit, random, [0.0; 3]))),
    read("EXIF orientation 1 to 8", |digit, random| {
        let orientation = 1 + random.below(8) as u8;
        oriented(&plain(digit, random, 0.08, 0.6), orientation)
    }),
    read("red ink on green paper as bright", |digit, random| {
        let mut canvas = Canvas::new(400, 400, [60.0, 150.0, 60.0]);
        canvas.draw(&drawn(digit, random), [200.0, 200.0], 230.0, 22.0, [205.0, 75.0, 60.0], 1.0);
        png(&canvas)
    }),
    read("specks and crumbs", |digit, random| {
        let mut canvas = paper(digit, random);
        for _ in 0..12 {
            let middle = [random.uniform(0.0, 800.0), random.uniform(0.0, 600.0)];
            let size = random.uniform(2.0, 9.0);
            canvas.draw(&Drawing::ring(0.1, 0.1, true), middle, 1.0, size, [60.0; 3], 1.0);
        }
        png(&canvas)
    }),
    read("shadow on lined paper, JPEG", |digit, random| {
        let mut canvas = ruled(digit, random, [130.0, 150.0, 200.0], false);
        shade(&mut canvas, random, 0.35);
        jpeg(&canvas, 60)
    }),
    read("edge of a table and squared paper, JPEG", |digit, random| {
        let mut canvas = ruled(digit, random, [150.0, 170.0, 210.0], true);
        let start = random.uniform(0.03, 0.12);
        canvas.map(|x, y, colour| if x + 0.1 * y < start { [70.0, 50.0, 35.0] } else { colour });
        jpeg(&canvas, 75)
    }),
    read("shadow and noise", |digit, random| {
        let mut canvas = shadowed(digit, random, 0.4);
        canvas.noise(9.0, random);
        png(&canvas)
    }),
    read("scan edge and soft shadow", |digit, random| {
        let mut canvas = paper(digit, random);
        canvas.light(|x, _| 1.0 - 0.25 * x);
        canvas.fill(0..14, 0..600, [5.0; 3]);
        jpeg(&canvas, 80)
    }),
    enclosed("drawn box on lined paper", |digit, random| {
        let mut canvas = ringed(digit, random, false);
        canvas.map(|_, y, colour| if (y * 15.0).fract() < 0.05 { colour.map(|value| value * 0.8) } else { colour });
        png(&canvas)
    }),
    read("sheet of paper on a table, turned", |digit, random| {
        let mut canvas = Canvas::new(800, 600, [236.0, 232.0, 222.0]);
        canvas.draw(&drawn(digit, random), [400.0, 300.0], random.uniform(150.0, 200.0), 13.0, [30.0, 32.0, 60.0], 1.0);
        let wood = [random.uniform(50.0, 130.0), 70.0, random.uniform(30.0, 60.0)];
        let (sin, cos) = random.uniform(-0.78, 0.78).sin_cos();
        canvas.map(|x, y, colour| {
            let (x, y) = ((x - 0.5) * 800.0, (y - 0.5) * 600.0);
            let is_on_sheet = (x * cos + y * sin).abs() < 210.0 && (y * cos - x * sin).abs() < 185.0;
            if is_on_sheet { colour } else { wood }
        });
        canvas.noise(3.0, random);
        jpeg(&canvas, 80)
    }),
    doubted("two digits", |digit, random| {
        let mut canvas = Canvas::new(700, 500, [255.0; 3]);
        let other = random.below(10);
        canvas.draw(&drawn(digit, random), [220.0, 250.0], 240.0, 22.0, [0.0; 3], 1.0);
        canvas.draw(&drawn(other, random), [470.0, 250.0], 240.0, 22.0, [0.0; 3], 1.0);
        png(&canvas)
    }),
    doubted("upside down", |digit, random| {
        let mut canvas = Canvas::new(500, 500, [255.0; 3]);
        let drawing = Drawing::of(digit, 180.0, random);
        canvas.draw(&drawing, [250.0, 250.0], 280.0, 24.0, [10.0; 3], 1.0);
        png(&canvas)
    }),
    doubted("cut off by the picture's edge", |digit, random| {
        let mut canvas = Canvas::new(400, 400, [255.0; 3]);
        canvas.draw(&drawn(digit, random), [200.0, 350.0], 260.0, 24.0, [0.0; 3], 1.0);
        png(&canvas)
    }),
];

fn drawn(digit: usize, random: &mut Random) -> Drawing {
    Drawing::of(digit, 0.0, random)
}

/// Black on white; the pen and the digit as shares of the picture and of the digit.
fn plain(digit: usize, random: &mut Random, pen: f32, share: f32) -> Canvas {
    let side = [200, 280, 500, 900][random.below(4)];
    let mut canvas = Canvas::new(side, side, [255.0; 3]);
    let size = side as f32 * share * random.uniform(0.9, 1.1);
    canvas.draw(&drawn(digit, random), [side as f32 / 2.0; 2], size * (1.0 - pen), size * pen, [0.0; 3], 1.0);
    canvas
}

/// A pen on grainy paper.
fn paper(digit: usize, random: &mut Random) -> Canvas {
    let white = random.uniform(215.0, 240.0);
    let mut canvas = Canvas::new(800, 600, [white, white - 2.0, white - 8.0]);
    let middle = [400.0 + random.bell(40.0), 300.0 + random.bell(30.0)];
    let size = random.uniform(180.0, 340.0);
    let ink = [[40.0, 44.0, 50.0], [35.0, 45.0, 120.0], [45.0, 40.0, 40.0]][random.below(3)];
    canvas.draw(&drawn(digit, random), middle, size, size * random.uniform(0.05, 0.1), ink, 0.95);
    canvas.noise(2.0, random);
    canvas
}

fn shadowed(digit: usize, random: &mut Random, darker: f32) -> Canvas {
    let mut canvas = paper(digit, random);
    shade(&mut canvas, random, darker);
    canvas
}

/// The straight, slightly soft edge of a shadow, anywhere.
fn shade(canvas: &mut Canvas, random: &mut Random, darker: f32) {
    let (turn, off, soft) =
        (random.uniform(0.0, std::f32::consts::TAU), random.uniform(-0.3, 0.3), random.uniform(0.003, 0.03));
    canvas.light(|x, y| {
        let depth = ((x - 0.5) * turn.cos() + (y - 0.5) * turn.sin() + off) / soft;
        1.0 - darker * (depth + 0.5).clamp(0.0, 1.0)
    });
}

fn ruled(digit: usize, random: &mut Random, colour: [f32; 3], squared: bool) -> Canvas {
    let mut canvas = Canvas::new(800, 600, [240.0, 240.0, 236.0]);
    let (spacing, slope) = (random.uniform(28.0, 55.0), random.uniform(-0.04, 0.04));
    let start = random.uniform(0.0, 40.0);
    canvas.rule(spacing, 2.2, slope, colour, false, start);
    if squared {
        canvas.rule(spacing, 2.2, slope, colour, true, start / 2.0);
    }
    let size = random.uniform(200.0, 360.0);
    let middle = [400.0 + random.bell(40.0), 300.0 + random.bell(30.0)];
    canvas.draw(&drawn(digit, random), middle, size, size * random.uniform(0.05, 0.09), [30.0, 34.0, 60.0], 0.95);
    canvas.noise(2.0, random);
    canvas
}

fn ringed(digit: usize, random: &mut Random, is_round: bool) -> Canvas {
    let mut canvas = Canvas::new(600, 600, [250.0; 3]);
    let size = random.uniform(200.0, 280.0);
    let pen = size * random.uniform(0.05, 0.09);
    canvas.draw(&drawn(digit, random), [300.0, 300.0], size, pen, [20.0; 3], 1.0);
    let ring = Drawing::ring(random.uniform(1.5, 1.8), random.uniform(1.6, 1.9), is_round);
    canvas.draw(&ring, [300.0, 300.0], size, pen * random.uniform(0.5, 1.0), [20.0; 3], 1.0);
    canvas
}

fn transparent(digit: usize, random: &mut Random, ink: [f32; 3]) -> Canvas {
    let mut canvas = Canvas::new(400, 400, ink);
    canvas.pixels.fill([ink[0], ink[1], ink[2], 0.0]);
    canvas.draw(&drawn(digit, random), [200.0, 200.0], 230.0, 22.0, ink, 1.0);
    canvas
}

fn photo(digit: usize, random: &mut Random) -> Vec<u8> {
    let mut canvas = Canvas::new(1000, 750, [206.0, 200.0, 188.0]);
    canvas.texture(4.0, 6, random);
    canvas.texture(6.0, 90, random);
    let size = random.uniform(200.0, 450.0);
    let drawing = Drawing::of(digit, random.uniform(-8.0, 8.0), random);
    canvas.draw(
        &drawing,
        [500.0 + random.bell(60.0), 375.0 + random.bell(30.0)],
        size,
        size * 0.07,
        [60.0, 62.0, 80.0],
        0.9,
    );
    let strength = random.uniform(0.1, 0.5);
    canvas.light(|x, y| 1.0 - strength * 2.0 * ((x - 0.5).powi(2) + (y - 0.5).powi(2)));
    canvas.blur(1 + random.below(4));
    canvas.noise(5.0, random);
    jpeg(&canvas, 40 + random.below(50) as u8)
}

fn rgba(canvas: &Canvas) -> RgbaImage {
    RgbaImage::from_raw(canvas.width as u32, canvas.height as u32, canvas.bytes()).expect("every pixel has four bytes")
}

fn rgb(canvas: &Canvas) -> ImageBuffer<Rgb<u8>, Vec<u8>> {
    DynamicImage::ImageRgba8(rgba(canvas)).into_rgb8()
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format).expect("memory takes everything");
    file.into_inner()
}

fn saved(canvas: &Canvas, format: ImageFormat) -> Vec<u8> {
    encoded(&DynamicImage::ImageRgba8(rgba(canvas)), format)
}

/// A PNG file of a canvas.
pub fn png(canvas: &Canvas) -> Vec<u8> {
    saved(canvas, ImageFormat::Png)
}

fn jpeg(canvas: &Canvas, quality: u8) -> Vec<u8> {
    let mut file = Vec::new();
    rgb(canvas).write_with_encoder(JpegEncoder::new_with_quality(&mut file, quality)).expect("memory takes everything");
    file
}

/// A JPEG whose pixels are turned so that the EXIF orientation turns them back.
fn oriented(canvas: &Canvas, exif: u8) -> Vec<u8> {
    let orientation = Orientation::from_exif(exif).expect("1 to 8");
    let back = match orientation {
        Orientation::Rotate90 => Orientation::Rotate270,
        Orientation::Rotate270 => Orientation::Rotate90,
        other => other,
    };
    let mut picture = DynamicImage::ImageRgb8(rgb(canvas));
    picture.apply_orientation(back);
    // TIFF header, one directory of one entry: Orientation (0x0112), a SHORT.
    let tag = [0x49, 0x49, 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, exif, 0, 0, 0, 0, 0, 0, 0];
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut file, 90);
    encoder.set_exif_metadata(tag.to_vec()).expect("JPEG takes EXIF");
    picture.write_with_encoder(encoder).expect("memory takes everything");
    file
}
