//! Files of pictures to pixels.

use std::io::{self, Cursor, ErrorKind};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbaImage};
use memmap2::MmapMut;

use super::shrink::{Decoded, in_halves, while_decoding};
use super::{MAX_MEMORY, MAX_SIDE, PictureError, tiff};

/// The memory for all that a PNG file has beside its pixels, in bytes: a row, a colour profile, texts.
const MAX_EXTRAS_BYTES: usize = 1 << 20;

/// Rows of a PNG file are handed on when there are so many bytes of them: no more than the allocator keeps at hand.
const BLOCK_BYTES: usize = 1 << 16;

/// Decodes a file's contents, turned upright; `path` is for the errors.
pub fn decode(bytes: &[u8], path: &Path) -> Result<Decoded, PictureError> {
    let format = recognize(bytes, path)?;
    let (decoded, orientation) = match format {
        ImageFormat::Png => png(bytes, path)?,
        _ => whole(bytes, format, path)?,
    };
    Ok(upright(decoded, orientation))
}

/// Types that are not read: what they begin with and where, their name, and what to do.
const OTHERS: [(usize, &[u8], &str, &str); 10] = [
    (0, b"\xff\x0a", "JPEG XL", CONVERT),
    (4, b"JXL ", "JPEG XL", CONVERT),
    (4, b"jP  ", "JPEG 2000", CONVERT),
    (0, b"%PDF", "PDF", "export the page as PNG"),
    (0, b"8BPS", "Photoshop", "export it as PNG"),
    (0, b"<svg", "SVG", "export it as PNG"),
    (0, b"<?xml", "XML or SVG", "export the drawing as PNG"),
    (0, b"gimp xcf", "GIMP", "export it as PNG"),
    (0, b"qoif", "QOI", CONVERT),
    (0, b"\0\0\x01\0", "icon (ICO)", CONVERT),
];
const CONVERT: &str = "convert it to JPEG or PNG";
const FROM_PHONE: &str =
    "export or share it as JPEG (on an iPhone, Settings, Camera, Formats, Most Compatible takes JPEGs)";

fn recognize(bytes: &[u8], path: &Path) -> Result<ImageFormat, PictureError> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
    let wrong = |format, advice| PictureError::WrongType { path: path.into(), format, advice };
    // ISO base media: the brand follows the box's name.
    if bytes.get(4..8) == Some(b"ftyp") {
        return Err(match bytes.get(8..12) {
            Some(b"avif" | b"avis") => wrong("AVIF", CONVERT),
            Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1") => {
                wrong("HEIC", FROM_PHONE)
            }
            _ => wrong("video", "give a picture"),
        });
    }
    if let Some((_, _, format, advice)) =
        OTHERS.iter().find(|(at, magic, ..)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(magic)))
    {
        return Err(wrong(format, advice));
    }
    match image::guess_format(bytes) {
        Ok(format @ (Bmp | Gif | Jpeg | Png | Pnm | Tiff | WebP)) => Ok(format),
        _ => Err(PictureError::NotAPicture { path: path.into() }),
    }
}

/// A type's usual name.
fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Gif => "GIF",
        ImageFormat::Tiff => "TIFF",
        ImageFormat::Bmp => "BMP",
        _ => "portable map (PNM)",
    }
}

/// A kind's name, and the bytes that a pixel takes while it is decoded: the decoder's own buffers and its result.
fn cost(bytes: &[u8], format: ImageFormat, depth: u64) -> (&'static str, u64) {
    match format {
        // Three coefficients of two bytes stay until the last scan.
        ImageFormat::Jpeg if is_progressive(bytes) => ("progressive JPEG", depth + 2 * depth.max(3)),
        ImageFormat::Png => ("interlaced PNG", depth),
        // A frame beside the canvas of an animation.
        ImageFormat::WebP => (name(format), depth + 8),
        ImageFormat::Gif => (name(format), depth + 4),
        ImageFormat::Tiff => (name(format), 2 * depth),
        _ => (name(format), depth),
    }
}

/// Whether a JPEG's frame is of the progressive kind: the first marker of a frame tells.
fn is_progressive(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let Some(&[0xff, marker, high, low]) = rest.first_chunk() {
        match marker {
            0xff => rest = &rest[1..],
            0xc2 | 0xc6 | 0xca | 0xce => return true,
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => return false,
            _ => rest = rest.get(2 + usize::from(u16::from_be_bytes([high, low]))..).unwrap_or_default(),
        }
    }
    // Whatever it is, it counts as what takes more.
    true
}

fn check_sides(width: u32, height: u32, path: &Path) -> Result<(), PictureError> {
    if width.max(height) > MAX_SIDE {
        return Err(PictureError::TooLong { path: path.into(), width, height });
    }
    if width == 0 || height == 0 {
        return Err(PictureError::Damaged { path: path.into(), cause: "it has no pixels".into() });
    }
    Ok(())
}

/// Decodes a picture as a whole and makes it smaller then.
fn whole(bytes: &[u8], format: ImageFormat, path: &Path) -> Result<(Decoded, Orientation), PictureError> {
    if format == ImageFormat::Tiff && tiff::claims_too_many_values(bytes) {
        let cause = "its directory claims more values than a picture has".into();
        return Err(PictureError::Damaged { path: path.into(), cause });
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_MEMORY);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| broken(error, name(format), path))?;
    let (width, height) = decoder.dimensions();
    check_sides(width, height, path)?;
    let (kind, cost) = cost(bytes, format, decoder.color_type().bytes_per_pixel().into());
    let most = MAX_MEMORY / cost;
    if u64::from(width) * u64::from(height) > most {
        return Err(PictureError::TooLarge { path: path.into(), format: kind, width, height, most });
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    if let (ImageFormat::Jpeg, channels @ (1 | 3)) = (format, decoder.color_type().bytes_per_pixel())
        && let Ok(mut pixels) = large_pages(decoder.total_bytes() as usize)
    {
        decoder.read_image(&mut pixels).map_err(|error| broken(error, name(format), path))?;
        let decoded = shrunk_bytes(width as usize, height as usize, channels.into(), &pixels);
        return Ok((decoded, orientation));
    }
    let image = DynamicImage::from_decoder(decoder).map_err(|error| broken(error, name(format), path))?;
    Ok((shrunk(&image), orientation))
}

/// Zeros, in large pages where the system has them: of a photograph a fault for each small page took a seventh of the
/// whole time.
fn large_pages(len: usize) -> io::Result<MmapMut> {
    let memory = MmapMut::map_anon(len)?;
    // Where it is refused, the pages are small.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    Ok(memory)
}

/// The picture made smaller, row by row: a whole one in between would take as much memory again.
fn shrunk(image: &DynamicImage) -> Decoded {
    let (width, height) = (image.width() as usize, image.height() as usize);
    match image {
        DynamicImage::ImageLuma8(image) => shrunk_bytes(width, height, 1, image.as_raw()),
        DynamicImage::ImageRgb8(image) => shrunk_bytes(width, height, 3, image.as_raw()),
        DynamicImage::ImageRgba8(image) => shrunk_bytes(width, height, 4, image.as_raw()),
        other => in_halves(width, height, |rows, shrinker| {
            for row in rows {
                shrinker.row::<4>(&other.crop_imm(0, row as u32, width as u32, 1).into_rgba8());
            }
        }),
    }
}

/// The picture made smaller whose colours have `channels` channels of a byte each.
fn shrunk_bytes(width: usize, height: usize, channels: usize, pixels: &[u8]) -> Decoded {
    let row = width * channels;
    in_halves(width, height, |rows, shrinker| shrinker.rows(channels, &pixels[rows.start * row..rows.end * row]))
}

/// Decodes a PNG file row by row; an interlaced one, whose rows come in seven parts, as a whole.
fn png(bytes: &[u8], path: &Path) -> Result<(Decoded, Orientation), PictureError> {
    let failed = |error: png::DecodingError| match error {
        png::DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            PictureError::Truncated { path: path.into() }
        }
        error => PictureError::Damaged { path: path.into(), cause: error.to_string() },
    };
    let limits = png::Limits { bytes: MAX_EXTRAS_BYTES };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let (width, height) = {
        let header = decoder.read_header_info().map_err(failed)?;
        check_sides(header.width, header.height, path)?;
        if header.interlaced {
            return whole(bytes, ImageFormat::Png, path);
        }
        (header.width as usize, header.height as usize)
    };
    let mut reader = decoder.read_info().map_err(failed)?;
    let (colour, _) = reader.output_color_type();
    let picture = while_decoding([width, height, colour.samples()], |take| {
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        for _ in 0..height {
            let Some(row) = reader.next_row().map_err(failed)? else {
                return Err(PictureError::Truncated { path: path.into() });
            };
            block.extend_from_slice(row.data());
            if block.len() + row.data().len() > BLOCK_BYTES {
                take(&mut block);
            }
        }
        take(&mut block);
        Ok(())
    })?;
    // What follows the last row is part of the picture too: its checksum, and perhaps the orientation.
    reader.finish().map_err(failed)?;
    let exif = reader.info().exif_metadata.as_deref();
    let orientation = exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    let picture = picture.ok_or_else(|| PictureError::Truncated { path: path.into() })?;
    Ok((picture, orientation))
}

/// The picture as it was held.
fn upright(picture: Decoded, orientation: Orientation) -> Decoded {
    if orientation == Orientation::NoTransforms {
        return picture;
    }
    let pixels = picture.pixels.into_flattened();
    let image = RgbaImage::from_raw(picture.width as u32, picture.height as u32, pixels).expect("four bytes a pixel");
    let mut image = DynamicImage::from(image);
    image.apply_orientation(orientation);
    let image = image.into_rgba8();
    let (width, height) = (image.width() as usize, image.height() as usize);
    Decoded { width, height, pixels: image.pixels().map(|pixel| pixel.0).collect() }
}

fn broken(error: ImageError, format: &'static str, path: &Path) -> PictureError {
    let path = path.into();
    match error {
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => PictureError::Truncated { path },
        ImageError::Unsupported(error) => PictureError::WrongKind { path, format, cause: error.to_string() },
        error => PictureError::Damaged { path, cause: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::picture::parse;

    /// The files of `tests/pictures`: 16×16 pixels, the left half black and the right one white.
    fn kinds() -> Vec<(PathBuf, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures");
        let files = fs::read_dir(folder).expect("it is committed").map(|entry| entry.expect("it is committed").path());
        let mut kinds: Vec<_> = files
            .filter(|path| path.extension().is_some_and(|extension| extension != "sh"))
            .map(|path| (path.clone(), fs::read(path).expect("it can be read")))
            .collect();
        kinds.sort();
        kinds
    }

    #[test]
    fn every_kind_of_every_type_is_read_as_the_same_picture() {
        assert_eq!(kinds().len(), 23);
        for (path, bytes) in kinds() {
            let picture = parse(&bytes, &path).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((picture.width, picture.height), (16, 16), "{}", path.display());
            for (i, colour) in picture.pixels.iter().enumerate() {
                // JPEG and lossy WebP are not exact.
                let expected = if i % 16 < 8 { 0 } else { 255 };
                assert!(
                    colour.iter().all(|value| value.abs_diff(expected) <= 12),
                    "{}: {colour:?} at {i}",
                    path.display()
                );
            }
        }
    }

    /// A file that ends too early, wherever that is.
    #[test]
    fn a_cut_file_is_an_error_that_names_it_or_a_picture_of_its_size() {
        for (path, bytes) in kinds() {
            for length in 0..bytes.len() {
                match parse(&bytes[..length], &path) {
                    Ok(picture) => {
                        assert_eq!((picture.width, picture.height), (16, 16), "{} at {length}", path.display())
                    }
                    Err(error) => assert!(error.to_string().starts_with(&*path.to_string_lossy()), "{error}"),
                }
            }
            // With nothing but its header, it is no picture.
            let half = parse(&bytes[..bytes.len().min(24)], &path).unwrap_err();
            assert!(!matches!(half, PictureError::File(_)), "{half}");
        }
    }

    #[test]
    fn a_kind_that_is_not_read_is_not_called_damaged() {
        let (path, mut bytes) = kinds().into_iter().find(|(path, _)| path.ends_with("cmyk.tif")).unwrap();
        // The photometric interpretation: tag 262, a SHORT, one value, CMYK (5) becomes CIELab (8).
        let tag = [6, 1, 3, 0, 1, 0, 0, 0, 5, 0];
        let at = bytes.windows(tag.len()).position(|window| window == tag).unwrap();
        bytes[at + 8] = 8;
        let message = parse(&bytes, &path).unwrap_err().to_string();
        assert!(
            message.contains("is a kind of TIFF file that is not read here") && message.contains("save it as"),
            "{message}"
        );
    }
}
