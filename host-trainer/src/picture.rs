//! Pictures of digits: read from files of any size and usual type, drawn in a terminal.

mod decode;
mod shrink;
mod tiff;

use std::fmt::Write;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use cnn_core::image::{self as preparation, Pixels, Prepared, Rgb, Workspace};
use cnn_core::network::{CLASSES, IMAGE_SIDE, predict};
use image::imageops::{FilterType, overlay, resize};
use image::{DynamicImage, ImageFormat, RgbImage};

use crate::files::{FileError, STANDARD_STREAM, read_input, write_whole};

pub use shrink::KEPT_SIDE;

/// The memory that decoding a picture may take, in bytes. PNG files are read row by row and need none of it, unless
/// they are interlaced.
pub const MAX_MEMORY: u64 = 120 << 20;
/// The longest side of a picture, in pixels.
pub const MAX_SIDE: u32 = preparation::Picture::MAX_SIDE as u32;
/// The longest picture file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// What messages call the standard input.
const STANDARD_INPUT: &str = "standard input";

/// A picture in colour, upright, made smaller if it was large: its sides are at most [`KEPT_SIDE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColourPicture {
    /// Pixels across, at least 1.
    pub width: usize,
    /// Pixels from top to bottom, at least 1.
    pub height: usize,
    /// `width · height` colours in raster order; what was transparent shows the ground.
    pub pixels: Vec<Rgb>,
}

/// Why a file is not a picture that can be read.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The file cannot be read, or is too long.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file begins like no picture.
    #[error("{} is not a picture that is known here; give a JPEG, PNG, WebP, GIF, BMP, TIFF, PGM, PPM or PBM file", path.display())]
    NotAPicture {
        /// The file.
        path: PathBuf,
    },
    /// A picture, but of a type that is not read.
    #[error("{} is a {format} file, which is not read here; {advice}", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// Name of its type.
        format: &'static str,
        /// How to get one that is.
        advice: &'static str,
    },
    /// A side longer than [`MAX_SIDE`].
    #[error("{} has {width}×{height} pixels: sides of at most {MAX_SIDE} pixels are read; crop it or make it smaller", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Pixels across.
        width: u32,
        /// Pixels from top to bottom.
        height: u32,
    },
    /// More memory needed than [`MAX_MEMORY`].
    #[error("{} has {width}×{height} pixels: of a {format} file at most {most} pixels are read; make it smaller, or save \
        it as PNG without interlacing, of which sides of {MAX_SIDE} pixels are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Name of its type.
        format: &'static str,
        /// Pixels across.
        width: u32,
        /// Pixels from top to bottom.
        height: u32,
        /// The most pixels of such a file.
        most: u64,
    },
    /// The picture ends too early.
    #[error("{} is truncated: the picture ends before its last pixel", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
    },
    /// A picture of a kind of its type that is not read.
    #[error("{} is a kind of {format} file that is not read here ({cause}); save it as PNG or JPEG", path.display())]
    WrongKind {
        /// The file.
        path: PathBuf,
        /// Name of its type.
        format: &'static str,
        /// What the decoder said.
        cause: String,
    },
    /// The picture breaks the rules of its type.
    #[error("{} is damaged: {cause}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        cause: String,
    },
}

/// Reads a picture of a file, or of the standard input if the path is `-`: JPEG, PNG, WebP, GIF (the first frame), BMP,
/// TIFF (the first page), PBM, PGM, PPM or PAM of any colour type and depth.
///
/// The type is told by the contents, not by the name. The size is checked before memory is reserved. The picture is
/// turned as its EXIF orientation says.
///
/// # Errors
/// If the file cannot be read or is not a whole picture of these types within [`MAX_SIDE`] and [`MAX_MEMORY`].
pub fn read(path: &Path) -> Result<ColourPicture, PictureError> {
    let name = if path == Path::new(STANDARD_STREAM) { Path::new(STANDARD_INPUT) } else { path };
    parse(&read_input(path, |_| MAX_FILE_BYTES)?, name)
}

/// [`read`] of a file's contents; `path` is for the errors.
///
/// # Errors
/// As [`read`].
pub fn parse(bytes: &[u8], path: &Path) -> Result<ColourPicture, PictureError> {
    let decoded = decode::decode(bytes, path)?;
    // An opaque picture, as photographs are, shows none of its ground.
    let is_opaque = decoded.pixels.iter().all(|pixel| pixel[3] == 255);
    let ground = if is_opaque { 255 } else { preparation::ground(&decoded.pixels) };
    Ok(ColourPicture {
        width: decoded.width,
        height: decoded.height,
        pixels: decoded.pixels.into_iter().map(|pixel| preparation::over(ground, pixel)).collect(),
    })
}

/// A digit out of a picture, with what `--show` draws.
pub struct Digit {
    /// What the preparation says.
    pub prepared: Prepared,
    /// The ink it took, of [`Prepared::working_size`].
    pub ink: Vec<u8>,
}

impl ColourPicture {
    /// The picture as the preparation wants it.
    ///
    /// # Errors
    /// None for a picture of [`read`].
    pub fn borrowed(&self) -> Result<preparation::Picture<'_>, preparation::ImageError> {
        preparation::Picture::new(self.width, self.height, &self.pixels)
    }

    /// Finds the digit.
    ///
    /// # Errors
    /// [`preparation::ImageError::NoInk`] if there is none.
    pub fn prepare(&self) -> Result<Digit, preparation::ImageError> {
        let mut memory: Box<[u32; Workspace::WORDS]> =
            vec![0; Workspace::WORDS].into_boxed_slice().try_into().expect("it has that length");
        let mut workspace = Workspace::new(&mut memory);
        let prepared = preparation::prepare(&self.borrowed()?, &mut workspace)?;
        Ok(Digit { ink: workspace.ink(&prepared).to_vec(), prepared })
    }

    /// Writes a PNG file: the picture, the ink that was taken, and the network's input, side by side.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn show(&self, digit: &Digit, path: &Path) -> Result<(), FileError> {
        const SIDE: u32 = 15 * IMAGE_SIDE as u32;
        const GAP: u32 = 12;
        let grey = |width: usize, height: usize, pixels: &[u8]| {
            let pixels = pixels.iter().flat_map(|&value| [value; 3]).collect();
            RgbImage::from_raw(width as u32, height as u32, pixels).expect("three bytes a pixel")
        };
        let picture = RgbImage::from_raw(self.width as u32, self.height as u32, self.pixels.as_flattened().to_vec());
        let (width, height) = digit.prepared.working_size;
        let panels = [
            fitted(&picture.expect("three bytes a pixel"), SIDE),
            fitted(&grey(width, height, &digit.ink), SIDE),
            fitted(&grey(IMAGE_SIDE, IMAGE_SIDE, &digit.prepared.pixels), SIDE),
        ];
        let mut sheet = RgbImage::from_pixel(3 * SIDE + 4 * GAP, SIDE + 2 * GAP, image::Rgb([96, 96, 110]));
        for (i, panel) in (0..).zip(&panels) {
            let left = GAP + i * (SIDE + GAP) + (SIDE - panel.width()) / 2;
            overlay(&mut sheet, panel, left.into(), (GAP + (SIDE - panel.height()) / 2).into());
        }
        let mut file = Cursor::new(Vec::new());
        DynamicImage::from(sheet).write_to(&mut file, ImageFormat::Png).expect("memory takes everything");
        write_whole(path, &file.into_inner())
    }
}

/// The image with its longer side made `side`; enlarged, its pixels can be counted.
fn fitted(image: &RgbImage, side: u32) -> RgbImage {
    let longer = image.width().max(image.height());
    let scaled = |len: u32| (u64::from(len) * u64::from(side) / u64::from(longer)).max(1) as u32;
    let filter = if longer > side { FilterType::Triangle } else { FilterType::Nearest };
    resize(image, scaled(image.width()), scaled(image.height()), filter)
}

/// Draws a digit for a terminal, two rows of pixels a line, bright ink on a dark ground; the last line ends with a line
/// feed.
///
/// With `colour`, half-block characters in the 24 greys, black and white of the 256-colour palette; without, ASCII
/// characters that are the denser the brighter the two pixels are, and no escape sequence.
pub fn draw(pixels: &Pixels, colour: bool) -> String {
    let mut text = String::new();
    for rows in pixels.chunks_exact(2 * IMAGE_SIDE) {
        let (upper, lower) = rows.split_at(IMAGE_SIDE);
        let pairs = upper.iter().copied().zip(lower.iter().copied());
        if colour {
            draw_half_blocks(pairs, &mut text)
        } else {
            draw_shades(pairs, &mut text)
        }
        text.push('\n');
    }
    text
}

/// A line of half blocks: the foreground is the upper pixel, the background the lower one.
fn draw_half_blocks(pairs: impl Iterator<Item = (u8, u8)>, text: &mut String) {
    let mut current = None;
    for (upper, lower) in pairs {
        let greys = (palette_grey(upper), palette_grey(lower));
        if current.replace(greys) != Some(greys) {
            write!(text, "\x1b[38;5;{};48;5;{}m", greys.0, greys.1).expect("a String takes everything");
        }
        text.push('▀');
    }
    text.push_str("\x1b[0m");
}

/// The entry of the 256-colour palette next to a grey: 16 is black, 232 to 255 are the greys 8, 18, … 238, 231 is white
/// (<https://invisible-island.net/xterm/xterm.faq.html>, as xterm defines it).
fn palette_grey(grey: u8) -> u8 {
    match grey {
        0..=3 => 16,
        4..=246 => 232 + ((grey - 3) / 10).min(23),
        247.. => 231,
    }
}

/// A line of ASCII characters, each for the mean of its two pixels.
fn draw_shades(pairs: impl Iterator<Item = (u8, u8)>, text: &mut String) {
    const SHADES: &[u8; 10] = b" .:-=+*#%@";
    for (upper, lower) in pairs {
        let sum = usize::from(upper) + usize::from(lower);
        text.push(char::from(SHADES[(sum * (SHADES.len() - 1) + 255) / 510]));
    }
}

/// Ten lines, one for each digit: the digit, its probability in per cent, and a bar; `>` marks the first largest. Bars
/// are of block characters, or of `#`.
pub fn probability_bars(probabilities: &[f32; CLASSES], blocks: bool) -> String {
    let best = predict(probabilities);
    let mut text = String::new();
    for (digit, &probability) in probabilities.iter().enumerate() {
        let mark = if digit == best { '>' } else { ' ' };
        let line = format!("{mark} {digit}  {:6.2} %  {}", 100.0 * probability, bar(probability, blocks));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A bar of 40 characters for 1, in steps of an eighth of a character where there are blocks.
fn bar(share: f32, blocks: bool) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if !blocks {
        return "#".repeat((share.clamp(0.0, 1.0) * 40.0).round() as usize);
    }
    let eighths = (share.clamp(0.0, 1.0) * 320.0).round() as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use image::{GrayAlphaImage, GrayImage, ImageBuffer, Luma, Rgb, RgbImage, RgbaImage};

    use super::*;

    fn decoded(bytes: &[u8]) -> Result<ColourPicture, PictureError> {
        parse(bytes, Path::new("digit"))
    }

    fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn grey(width: usize, height: usize, pixels: &[u8]) -> ColourPicture {
        ColourPicture { width, height, pixels: pixels.iter().map(|&value| [value; 3]).collect() }
    }

    #[test]
    fn every_png_colour_type_is_read_as_grey() {
        let values = [0, 1, 77, 128, 254, 255];
        let expected = grey(3, 2, &values);
        let pictures: [DynamicImage; 5] = [
            GrayImage::from_raw(3, 2, values.to_vec()).unwrap().into(),
            GrayAlphaImage::from_raw(3, 2, values.iter().flat_map(|&v| [v, 255]).collect()).unwrap().into(),
            RgbImage::from_raw(3, 2, values.iter().flat_map(|&v| [v; 3]).collect()).unwrap().into(),
            RgbaImage::from_raw(3, 2, values.iter().flat_map(|&v| [v, v, v, 255]).collect()).unwrap().into(),
            ImageBuffer::<Luma<u16>, _>::from_raw(3, 2, values.iter().map(|&v| u16::from(v) * 257).collect::<Vec<_>>())
                .unwrap()
                .into(),
        ];
        for picture in pictures {
            let colour = picture.color();
            assert_eq!(decoded(&png(picture)).unwrap(), expected, "{colour:?}");
        }
    }

    #[test]
    fn transparent_pixels_show_the_ground_that_the_ink_is_not() {
        let on_nothing =
            |ink: u8| RgbaImage::from_raw(4, 1, vec![ink, ink, ink, 0, 9, 9, 9, 0, 0, 0, 0, 0, ink, ink, ink, 255]);
        assert_eq!(decoded(&png(on_nothing(0).unwrap())).unwrap(), grey(4, 1, &[255, 255, 255, 0]));
        assert_eq!(decoded(&png(on_nothing(255).unwrap())).unwrap(), grey(4, 1, &[0, 0, 0, 255]));
        // A page with a transparent corner goes on.
        let page = RgbaImage::from_raw(3, 1, vec![0, 0, 0, 0, 250, 250, 250, 255, 250, 250, 250, 255]).unwrap();
        assert_eq!(decoded(&png(page)).unwrap(), grey(3, 1, &[255, 250, 250]));
    }

    /// The same picture in every type that this program's tests can write.
    #[test]
    fn every_type_is_read_as_the_same_picture() {
        let picture = RgbImage::from_fn(24, 16, |x, _| Rgb(if x < 8 { [0; 3] } else { [255; 3] }));
        let expected = decoded(&png(picture.clone())).unwrap();
        for format in [
            ImageFormat::Jpeg,
            ImageFormat::WebP,
            ImageFormat::Bmp,
            ImageFormat::Gif,
            ImageFormat::Tiff,
            ImageFormat::Pnm,
        ] {
            let mut file = Cursor::new(Vec::new());
            DynamicImage::from(picture.clone()).write_to(&mut file, format).unwrap();
            let read = decoded(&file.into_inner()).unwrap();
            assert_eq!((read.width, read.height), (24, 16), "{format:?}");
            for (a, b) in read.pixels.as_flattened().iter().zip(expected.pixels.as_flattened()) {
                assert!(a.abs_diff(*b) <= 4, "{format:?}: {a} for {b}");
            }
        }
    }

    /// A file with an EXIF block that says one of the eight orientations, of a picture whose upper left pixel is `first`
    /// when it is upright.
    #[test]
    fn the_exif_orientation_is_honoured() {
        use image::ImageEncoder;
        use image::codecs::png::PngEncoder;
        // Upright: 1 2 3 / 4 5 6. What a camera writes for each orientation.
        let stored: [(u8, u32, u32, [u8; 6]); 8] = [
            (1, 3, 2, [1, 2, 3, 4, 5, 6]),
            (2, 3, 2, [3, 2, 1, 6, 5, 4]),
            (3, 3, 2, [6, 5, 4, 3, 2, 1]),
            (4, 3, 2, [4, 5, 6, 1, 2, 3]),
            (5, 2, 3, [1, 4, 2, 5, 3, 6]),
            (6, 2, 3, [3, 6, 2, 5, 1, 4]),
            (7, 2, 3, [6, 3, 5, 2, 4, 1]),
            (8, 2, 3, [4, 1, 5, 2, 6, 3]),
        ];
        for (orientation, width, height, pixels) in stored {
            let tag =
                [0x49, 0x49, 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0];
            let mut file = Vec::new();
            let mut encoder = PngEncoder::new(&mut file);
            encoder.set_exif_metadata(tag.to_vec()).unwrap();
            GrayImage::from_raw(width, height, pixels.to_vec()).unwrap().write_with_encoder(encoder).unwrap();
            assert_eq!(decoded(&file).unwrap(), grey(3, 2, &[1, 2, 3, 4, 5, 6]), "{orientation}");
        }
    }

    #[test]
    fn forty_eight_megapixels_of_png_are_read_row_by_row() {
        let (width, height) = (8064, 6048);
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(png::ColorType::Rgb);
        let mut writer = encoder.write_header().unwrap();
        let mut rows = writer.stream_writer().unwrap();
        let row = [180; 3 * 8064];
        for _ in 0..height {
            rows.write_all(&row).unwrap();
        }
        rows.finish().unwrap();
        drop(writer);
        let picture = decoded(&file).unwrap();
        assert_eq!((picture.width, picture.height), (8064 / 6, 6048 / 6));
        assert!(picture.pixels.iter().all(|&pixel| pixel == [180; 3]));
    }

    #[test]
    fn portable_maps_are_read_in_text_and_in_binary() {
        let expected = grey(2, 2, &[0, 255, 255, 0]);
        let files: [&[u8]; 7] = [
            b"P2\n# a comment\n2 2\n255\n0 255\n255 0\n",
            b"P5\n2 2\n255\n\x00\xff\xff\x00",
            b"P5\n2 2\n1\n\x00\x01\x01\x00",
            b"P5\n2 2\n65535\n\x00\x00\xff\xff\xff\xff\x00\x00",
            b"P1\n2 2\n1 0\n0 1\n",
            b"P4\n2 2\n\x80\x40",
            b"P3\n2 2\n255\n0 0 0 255 255 255\n255 255 255 0 0 0\n",
        ];
        for file in files {
            assert_eq!(decoded(file).unwrap(), expected, "{}", String::from_utf8_lossy(file));
        }
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let message = |bytes| decoded(bytes).unwrap_err().to_string();
        assert!(message(b"\0\0\0\x18ftypheic\0\0\0\0").contains("is a HEIC file, which is not read here; export"));
        assert!(message(b"\0\0\0\x18ftypmif1\0\0\0\0").contains("is a HEIC file"));
        assert!(message(b"\0\0\0\x18ftypavif").contains("AVIF file, which is not read here; convert"));
        assert!(message(b"%PDF-1.7").contains("is a PDF file, which is not read here; export the page"));
        assert!(message(b"<html>").contains("is not a picture"));
        assert!(message(b"").contains("is not a picture"));
    }

    #[test]
    fn truncated_pictures_are_refused() {
        let picture = RgbImage::from_fn(20, 20, |x, y| Rgb([x as u8 * 12, y as u8 * 12, 90]));
        let bytes = png(picture);
        // The last 12 bytes are the end mark, which holds no pixel.
        for length in 0..bytes.len() - 12 {
            assert!(decoded(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
        }
        let message = decoded(&bytes[..bytes.len() / 2]).unwrap_err().to_string();
        assert_eq!(message, "digit is truncated: the picture ends before its last pixel");
        let message = decoded(b"P5\n2 2\n255\n\x00\xff\xff").unwrap_err().to_string();
        assert_eq!(message, "digit is truncated: the picture ends before its last pixel");
        assert!(decoded(b"P2\n2 2\n255\n0 255 255").is_err());
    }

    #[test]
    fn a_flipped_bit_never_panics() {
        let bytes = png(GrayImage::from_fn(9, 9, |x, y| Luma([(x * y) as u8])));
        for index in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[index / 8] ^= 1 << (index % 8);
            let _ = decoded(&bytes);
        }
    }

    /// A PNG file of one grey pixel whose header says something else.
    fn png_that_claims(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = png(GrayImage::new(1, 1));
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let checksum = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    #[test]
    fn too_many_pixels_are_refused_before_memory_is_reserved() {
        for header in ["P5\n100000 100000\n255\n", "P2\n4294967295 4294967295\n255\n", "P6\n16385 1\n255\n"] {
            assert!(matches!(decoded(header.as_bytes()), Err(PictureError::TooLong { .. })), "{header}");
        }
        for header in ["P6\n7000 7000\n255\n", "P6\n5000 5000\n65535\n"] {
            assert!(matches!(decoded(header.as_bytes()), Err(PictureError::TooLarge { .. })), "{header}");
        }
        let message = decoded(b"P6\n7000 7000\n255\n").unwrap_err().to_string();
        assert!(
            message.starts_with("digit has 7000×7000 pixels: of a portable map (PNM) file at most 41943040"),
            "{message}"
        );
        let result = decoded(&png_that_claims(70_000, 70_000));
        assert!(matches!(result, Err(PictureError::TooLong { width: 70_000, height: 70_000, .. })));
    }

    #[test]
    fn a_photograph_of_twelve_megapixels_has_room() {
        let header = b"P7\nWIDTH 4032\nHEIGHT 3024\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n";
        let picture = decoded(&[&header[..], &[255; 4 * 4032 * 3024]].concat()).unwrap();
        assert_eq!((picture.width, picture.height), (4032 / 3, 3024 / 3));
        assert!(picture.pixels.iter().all(|&pixel| pixel == [255; 3]));
    }

    /// A PNG chunk.
    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let body = [kind, data].concat();
        [&(data.len() as u32).to_be_bytes()[..], &body, &crc32(&body).to_be_bytes()].concat()
    }

    #[test]
    fn a_colour_profile_that_unpacks_without_end_takes_no_memory() {
        let mut profile = ZlibEncoder::new(b"bomb\0\0".to_vec(), Compression::best());
        profile.write_all(&vec![0; 200 << 20]).unwrap();
        let picture = png(GrayImage::new(2, 2));
        // Behind the signature of 8 bytes and the header's chunk of 25.
        let bomb = [&picture[..33], &chunk(b"iCCP", &profile.finish().unwrap()), &picture[33..]].concat();
        // The pixels do not need it.
        match decoded(&bomb) {
            Ok(read) => assert_eq!(read, grey(2, 2, &[0; 4])),
            Err(error) => assert!(matches!(error, PictureError::Damaged { .. }), "{error}"),
        }
    }

    /// The checksum of a PNG chunk (PNG specification, annex D).
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
        })
    }

    #[test]
    fn a_picture_without_pixels_is_refused() {
        assert!(decoded(b"P5\n0 5\n255\n").is_err());
        assert!(decoded(b"P2\n5 0\n255\n").is_err());
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = read(Path::new("no/such/digit.png")).unwrap_err().to_string();
        assert!(message.starts_with("cannot read no/such/digit.png: "), "{message}");
    }

    fn diagonal() -> Pixels {
        std::array::from_fn(|i| if i / IMAGE_SIDE == i % IMAGE_SIDE { 255 } else { 0 })
    }

    #[test]
    fn the_plain_drawing_is_ascii_and_shows_the_digit() {
        let text = draw(&diagonal(), false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 14);
        for (row, line) in lines.iter().enumerate() {
            let expected: String = (0..IMAGE_SIDE).map(|column| if column / 2 == row { '=' } else { ' ' }).collect();
            assert_eq!(line.replace('+', "="), expected);
        }
        assert_eq!(draw(&[255; 784], false), format!("{}\n", "@".repeat(28)).repeat(14));
    }

    #[test]
    fn the_coloured_drawing_gives_both_pixels_of_a_cell() {
        let text = draw(&diagonal(), true);
        let first = text.lines().next().unwrap();
        let rest = "▀".repeat(26);
        assert_eq!(first, format!("\x1b[38;5;231;48;5;16m▀\x1b[38;5;16;48;5;231m▀\x1b[38;5;16;48;5;16m{rest}\x1b[0m"));
        assert!(text.lines().all(|line| line.ends_with("\x1b[0m")));
    }

    #[test]
    fn palette_greys_are_the_nearest() {
        let value = |entry: u8| match entry {
            16 => 0,
            231 => 255,
            grey => i32::from(grey - 232) * 10 + 8,
        };
        for grey in 0..=255u8 {
            let nearest =
                [16, 231].into_iter().chain(232..=255).map(|entry| (value(entry) - i32::from(grey)).abs()).min();
            let error = (value(palette_grey(grey)) - i32::from(grey)).abs();
            assert_eq!(error, nearest.unwrap(), "{grey}");
        }
    }

    #[test]
    fn the_best_digit_is_marked_and_its_bar_is_longest() {
        let mut probabilities = [0.0; 10];
        probabilities[7] = 0.75;
        probabilities[1] = 0.25;
        let text = probability_bars(&probabilities, true);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[0], "  0    0.00 %");
        assert_eq!(lines[1], format!("  1   25.00 %  {}", "█".repeat(10)));
        assert_eq!(lines[7], format!("> 7   75.00 %  {}", "█".repeat(30)));
        assert_eq!(lines.iter().filter(|line| line.starts_with('>')).count(), 1);
        assert_eq!(bar(1.0, true), "█".repeat(40));
        assert_eq!(bar(0.0125, true), "▌");
        assert!(probability_bars(&probabilities, false).contains(&format!("> 7   75.00 %  {}\n", "#".repeat(30))));
    }
}
