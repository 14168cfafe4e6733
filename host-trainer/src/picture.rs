//! Pictures of digits: read from files of any size, drawn in a terminal.

use std::fmt::Write;
use std::io::{Cursor, ErrorKind};
use std::path::{Path, PathBuf};

use cnn_core::image::{GrayImage, Pixels};
use cnn_core::network::{CLASSES, IMAGE_SIDE, predict};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use crate::files::{FileError, read_limited};

/// The memory that a picture may take while it is read, in bytes: its pixels as the file has them and, one byte each, as
/// grey. Room for 15 megapixels in colour, 12 with transparency.
pub const MAX_MEMORY: u64 = 60 << 20;
/// The longest side of a picture, in pixels.
pub const MAX_SIDE: u32 = GrayImage::MAX_SIDE as u32;
/// The longest picture file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// The memory for all that a PNG file has beside its pixels, in bytes: a row, a colour profile, texts.
const MAX_EXTRAS_BYTES: u64 = 1 << 20;

/// A picture in shades of grey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GreyPicture {
    /// Pixels across, at least 1.
    pub width: usize,
    /// Pixels from top to bottom, at least 1.
    pub height: usize,
    /// `width · height` values in raster order, 0 black, 255 white.
    pub pixels: Vec<u8>,
}

/// Why a file is not a picture that can be read.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The file cannot be read, or is too long.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file begins like no picture.
    #[error("{} is not a picture that is known here; give a PNG, PGM, PPM or PBM file", path.display())]
    NotAPicture {
        /// The file.
        path: PathBuf,
    },
    /// A picture, but of a type that is not read.
    #[error("{} is a {format} picture, which is not read here; convert it to PNG, PGM, PPM or PBM", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// Name of its type.
        format: String,
    },
    /// A side longer than [`MAX_SIDE`], or more memory needed than [`MAX_MEMORY`].
    #[error("{} has {width}×{height} pixels of {depth} bytes: sides of at most {MAX_SIDE} pixels and at most \
        {} pixels of that depth are read; crop it or make it smaller", path.display(), most_pixels(*depth))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Pixels across.
        width: u32,
        /// Pixels from top to bottom.
        height: u32,
        /// Bytes of a pixel.
        depth: u8,
    },
    /// The picture ends too early.
    #[error("{} is truncated: the picture ends before its last pixel", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
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

/// The most pixels that a picture of `depth` bytes a pixel may have.
fn most_pixels(depth: u8) -> u64 {
    MAX_MEMORY / (u64::from(depth) + 1)
}

/// Reads a PNG, PBM, PGM, PPM or PAM file of any colour type and depth as shades of grey.
///
/// Colours become their luma; what is transparent shows a white background. The type is told by the contents, not by the
/// name. The size is checked before memory is reserved.
///
/// # Errors
/// If the file cannot be read or is not a whole picture of these types within [`MAX_SIDE`] and [`MAX_MEMORY`].
pub fn read(path: &Path) -> Result<GreyPicture, PictureError> {
    parse(&read_limited(path, MAX_FILE_BYTES)?, path)
}

/// [`read`] of a file's contents; `path` is for the errors.
///
/// # Errors
/// As [`read`].
pub fn parse(bytes: &[u8], path: &Path) -> Result<GreyPicture, PictureError> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_EXTRAS_BYTES);
    let format = match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Pnm)) => format,
        Ok(other) => return Err(PictureError::WrongType { path: path.into(), format: name(other) }),
        Err(_) => return Err(PictureError::NotAPicture { path: path.into() }),
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|error| broken(error, path))?;
    let ((width, height), depth) = (decoder.dimensions(), decoder.color_type().bytes_per_pixel());
    let pixels = u64::from(width) * u64::from(height);
    if width.max(height) > MAX_SIDE || pixels > most_pixels(depth) {
        return Err(PictureError::TooLarge { path: path.into(), width, height, depth });
    }
    if pixels == 0 {
        return Err(PictureError::Damaged { path: path.into(), cause: "it has no pixels".into() });
    }
    let image = DynamicImage::from_decoder(decoder).map_err(|error| broken(error, path))?;
    Ok(GreyPicture { width: width as usize, height: height as usize, pixels: on_white(&image) })
}

/// The picture as grey on white. Row by row: a whole picture in between would take as much memory again.
fn on_white(image: &DynamicImage) -> Vec<u8> {
    let (width, height) = (image.width(), image.height());
    let mut grey = Vec::with_capacity(width as usize * height as usize);
    for row in 0..height {
        let row = image.crop_imm(0, row, width, 1).into_luma_alpha8();
        grey.extend(row.pixels().map(|pixel| over_white(pixel.0)));
    }
    grey
}

/// A picture type's usual name.
fn name(format: ImageFormat) -> String {
    format!("{format:?}").to_uppercase()
}

fn broken(error: ImageError, path: &Path) -> PictureError {
    let truncated = match &error {
        ImageError::IoError(error) => error.kind() == ErrorKind::UnexpectedEof,
        _ => false,
    };
    if truncated {
        return PictureError::Truncated { path: path.into() };
    }
    PictureError::Damaged { path: path.into(), cause: error.to_string() }
}

/// A grey value with its opacity, as it shows on a white background.
fn over_white([grey, opacity]: [u8; 2]) -> u8 {
    let (grey, opacity) = (u32::from(grey), u32::from(opacity));
    ((grey * opacity + 255 * (255 - opacity) + 127) / 255) as u8
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

    fn decoded(bytes: &[u8]) -> Result<GreyPicture, PictureError> {
        parse(bytes, Path::new("digit"))
    }

    fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn grey(width: usize, height: usize, pixels: &[u8]) -> GreyPicture {
        GreyPicture { width, height, pixels: pixels.into() }
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
    fn colours_become_their_luma() {
        let picture =
            RgbImage::from_fn(3, 1, |x, _| Rgb(std::array::from_fn(|channel| 255 * u8::from(channel == x as usize))));
        let [red, green, blue]: [u8; 3] = decoded(&png(picture)).unwrap().pixels.try_into().unwrap();
        assert!(
            blue < red && red < green && (250..=255).contains(&(u16::from(red) + u16::from(green) + u16::from(blue)))
        );
    }

    #[test]
    fn transparent_pixels_show_white() {
        let picture = RgbaImage::from_raw(3, 1, vec![0, 0, 0, 0, 0, 0, 0, 128, 0, 0, 0, 255]).unwrap();
        assert_eq!(decoded(&png(picture)).unwrap(), grey(3, 1, &[255, 127, 0]));
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
        assert!(message(b"\xff\xd8\xff\xe0\0\x10JFIF").contains("is a JPEG picture"));
        assert!(message(b"GIF89a").contains("is a GIF picture"));
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
        for header in [
            "P5\n100000 100000\n255\n",
            "P2\n4294967295 4294967295\n255\n",
            "P6\n16385 1\n255\n",
            "P6\n4000 4000\n255\n",
            "P6\n3000 3000\n65535\n",
        ] {
            assert!(matches!(decoded(header.as_bytes()), Err(PictureError::TooLarge { .. })), "{header}");
        }
        let result = decoded(&png_that_claims(70_000, 70_000));
        assert!(matches!(result, Err(PictureError::TooLarge { width: 70_000, height: 70_000, depth: 1, .. })));
        let message = decoded(&png_that_claims(6000, 6000)).unwrap_err().to_string();
        assert!(message.starts_with("digit has 6000×6000 pixels of 1 bytes: "), "{message}");
        assert!(message.contains("at most 31457280 pixels of that depth"), "{message}");
    }

    #[test]
    fn a_photograph_of_twelve_megapixels_has_room() {
        let header = b"P7\nWIDTH 4032\nHEIGHT 3024\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n";
        let picture = decoded(&[&header[..], &[255; 4 * 4032 * 3024]].concat()).unwrap();
        assert_eq!((picture.width, picture.height), (4032, 3024));
        assert!(picture.pixels.iter().all(|&pixel| pixel == 255));
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
