//! Pictures: PNG, JPEG, WebP, GIF, BMP, TIFF and the portable maps.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use host_trainer::picture::{ColourPicture, KEPT_SIDE, parse};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, RgbaImage};

use super::limited_to;
use super::script::Script;

/// The first bytes of a PNG file.
const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";
/// Data of a PNG file are repeated up to this many bytes: with one bit a pixel, four megapixels.
const MOST_DATA: usize = 1 << 19;
/// Pictures up to this many pixels are prepared for the network too; larger ones would take too long for this.
const MOST_PREPARED: usize = 1 << 14;
/// What reading and preparing may take, in bytes: `MAX_MEMORY` for decoding, and what is kept of a large picture with
/// and without opacity and while it is turned.
const MEMORY: usize = 160 << 20;

/// A type of picture files: a fuzz target each, since what one finds says nothing of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Bmp,
    Gif,
    Jpeg,
    Png,
    Pnm,
    Tiff,
    WebP,
}

impl Type {
    /// How the type's files begin.
    fn signatures(self) -> &'static [&'static [u8]] {
        match self {
            Self::Bmp => &[b"BM"],
            Self::Gif => &[b"GIF89a", b"GIF87a"],
            Self::Jpeg => &[b"\xff\xd8\xff"],
            Self::Png => &[SIGNATURE],
            Self::Pnm => &[b"P1\n", b"P2\n", b"P3\n", b"P4\n", b"P5\n", b"P6\n", b"P7\n"],
            Self::Tiff => &[b"II*\0", b"MM\0*"],
            Self::WebP => &[b"RIFF\xff\0\0\0WEBPVP8 ", b"RIFF\xff\0\0\0WEBPVP8L", b"RIFF\xff\0\0\0WEBPVP8X"],
        }
    }

    /// The extension of the type's files in the program's tests.
    fn extension(self) -> &'static str {
        match self {
            Self::Bmp => "bmp",
            Self::Gif => "gif",
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Pnm => "pnm",
            Self::Tiff => "tif",
            Self::WebP => "webp",
        }
    }
}

/// Of the first byte, the lowest two bits say how the file is made:
///
/// - 0: it is the rest of the input;
/// - 1: it is the rest of the input behind a signature of the type, in a PNG file cut into chunks whose checksums are put
///   right;
/// - 2: it is a file of the type of a small picture of the rest, damaged where the next bytes say;
/// - 3: as 2, but of a PNG file the next bytes say the header and whether there is a palette, a transparent colour and a
///   colour profile, and its data unpack to the rest.
///
/// Of a portable map the next bytes say the numbers of the header in 2 and 3, and the rest follows.
pub fn run(kind: Type, input: &[u8]) {
    let mut script = Script::new(input);
    let file = match (script.byte() & 3, kind) {
        (0, _) => script.rest().to_vec(),
        (1, Type::Png) => with_checksums(script.rest()),
        (1, _) => {
            let signatures = kind.signatures();
            [signatures[usize::from(script.byte()) % signatures.len()], script.rest()].concat()
        }
        (_, Type::Pnm) => portable_map(&mut script),
        (3, Type::Png) => png(&mut script),
        _ => damaged(kind, &mut script),
    };
    limited_to(MEMORY, || check(&file));
}

/// What is read keeps the limits, is read again from a file written of it, and becomes a network's input or is refused.
fn check(file: &[u8]) {
    let Ok(picture) = parse(file, Path::new("picture")) else { return };
    let ColourPicture { width, height, pixels } = &picture;
    assert!(*width >= 1 && *height >= 1 && *width.max(height) <= KEPT_SIDE);
    assert_eq!(pixels.len(), width * height);
    picture.borrowed().expect("a picture that is read can be prepared");
    if pixels.len() <= MOST_PREPARED {
        if let Ok(digit) = picture.prepare() {
            let place = digit.prepared.place;
            assert!(place.left + place.width <= *width && place.top + place.height <= *height);
            assert!(digit.prepared.pixels.contains(&255) || (*width, *height) == (28, 28));
        }
        let map = [format!("P6\n{width} {height}\n255\n").as_bytes(), pixels.as_flattened()].concat();
        assert_eq!(parse(&map, Path::new("written")).expect("what was written can be read"), picture);
    }
}

/// A file of a type that the image crate writes, of a picture of at most 32×32 pixels, with some bytes changed.
fn damaged(kind: Type, script: &mut Script<'_>) -> Vec<u8> {
    let [width, height, changes] = script.array();
    let (width, height) = (u32::from(width % 32) + 1, u32::from(height % 32) + 1);
    let changes: Vec<(u16, u8)> = (0..changes % 16).map(|_| (script.u16(), script.byte())).collect();
    let mut pixels = script.rest().to_vec();
    pixels.resize(4 * width as usize * height as usize, 200);
    let picture = DynamicImage::from(RgbaImage::from_raw(width, height, pixels).expect("four bytes a pixel"));
    let mut file = Cursor::new(Vec::new());
    match kind {
        Type::Jpeg => picture.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut file, 80)),
        Type::WebP => picture.write_to(&mut file, ImageFormat::WebP),
        Type::Gif => picture.write_to(&mut file, ImageFormat::Gif),
        Type::Bmp => picture.write_to(&mut file, ImageFormat::Bmp),
        Type::Tiff => picture.write_to(&mut file, ImageFormat::Tiff),
        Type::Png => picture.write_to(&mut file, ImageFormat::Png),
        Type::Pnm => picture.to_rgb8().write_to(&mut file, ImageFormat::Pnm),
    }
    .expect("memory takes everything");
    let mut file = file.into_inner();
    for (at, value) in changes {
        let at = usize::from(at) % file.len();
        file[at] = value;
    }
    file
}

/// The chunks that lie in `bytes`, each as long as it says or as there is, with a right checksum.
fn with_checksums(mut bytes: &[u8]) -> Vec<u8> {
    let mut file = SIGNATURE.to_vec();
    while let Some((&[a, b, c, d], rest)) = bytes.split_first_chunk() {
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        let (kind, rest) = rest.split_at(rest.len().min(4));
        let (data, rest) = rest.split_at(rest.len().min(len));
        file.extend(chunk(kind, data));
        bytes = rest.get(4..).unwrap_or_default();
    }
    file
}

fn chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    let mut checksum = Crc::new();
    checksum.update(&body);
    [&(data.len() as u32).to_be_bytes()[..], &body, &checksum.sum().to_be_bytes()].concat()
}

fn zlib(contents: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(contents).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

fn png(script: &mut Script<'_>) -> Vec<u8> {
    let (width, height) = (size(script), size(script));
    let [depth, colour, interlace, extras] = script.array();
    let depth = [1, 2, 4, 8, 16][usize::from(depth) % 5];
    let colour = [0, 2, 3, 4, 6, colour][usize::from(colour) % 6];
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, colour, 0, 0, interlace % 3]].concat();
    let mut file = [&SIGNATURE[..], &chunk(b"IHDR", &header)].concat();
    if extras & 1 != 0 {
        let palette_len = 3 * usize::from(script.byte());
        file.extend(chunk(b"PLTE", script.take(palette_len)));
    }
    if extras & 2 != 0 {
        let len = usize::from(script.byte() % 8);
        file.extend(chunk(b"tRNS", script.take(len)));
    }
    if extras & 4 != 0 {
        // As much as 2 MB, of a few kilobytes.
        let profile = zlib(&vec![0; usize::from(script.byte()) << 13], 1);
        file.extend(chunk(b"iCCP", &[b"p\0\0", &profile[..]].concat()));
    }
    // The data, and how often they follow themselves: what is white everywhere takes few bytes.
    let (repeated, rows) = (1_usize << (script.byte() % 16), script.rest());
    let data = zlib(&rows.repeat(repeated.min(MOST_DATA / rows.len().max(1))), 1);
    let pieces = usize::from(extras >> 4) + 1;
    for piece in data.chunks(data.len().div_ceil(pieces)) {
        file.extend(chunk(b"IDAT", piece));
    }
    file.extend(chunk(b"IEND", b""));
    file
}

/// A side of a picture: mostly small, sometimes anything.
fn size(script: &mut Script<'_>) -> u32 {
    match script.byte() {
        small @ ..=199 => u32::from(small),
        200..=239 => u32::from(script.u16()),
        _ => script.u32(),
    }
}

fn portable_map(script: &mut Script<'_>) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let kind = script.byte() % 7 + 1;
    let (width, height) = (size(script), size(script));
    let most = size(script);
    let header = match kind {
        1 | 4 => format!("P{kind}\n{width} {height}\n"),
        7 => {
            let depth = script.byte() % 6;
            let tuple = ["GRAYSCALE", "GRAYSCALE_ALPHA", "RGB", "RGB_ALPHA", "BLACKANDWHITE", "BLACKANDWHITE_ALPHA"]
                [usize::from(script.byte()) % 6];
            format!("P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL {most}\nTUPLTYPE {tuple}\nENDHDR\n")
        }
        _ => format!("P{kind}\n{width} {height}\n{most}\n"),
    };
    file.write_all(header.as_bytes()).expect("memory takes everything");
    file.write_all(script.rest()).expect("memory takes everything");
    file.into_inner()
}

/// Every way to make a file of the type, right and wrong, and its files in the program's tests.
pub fn seeds(kind: Type) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host-trainer/tests/pictures");
    let mut files: Vec<_> = fs::read_dir(folder).expect("it is committed").map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == kind.extension()));
    files.sort();
    let mut seeds: Vec<_> = files.iter().map(|path| [&[0], &fs::read(path).unwrap()[..]].concat()).collect();
    seeds.extend(kind.signatures().iter().zip(0..).map(|(_, which)| vec![1, which, 1, 2, 3, 4]));
    match kind {
        Type::Png => seeds.extend(png_seeds()),
        Type::Pnm => seeds.extend(portable_map_seeds()),
        _ => {}
    }
    seeds.extend([
        b"\x02\x1f\x1f\x00\x10\x20\x30".to_vec(),
        b"\x02\x1f\x1f\x02\x00\xa0\xff\x00\xb0\x00".to_vec(),
        // What is recognised but not read.
        b"\0\0\0\0\x18ftypheic".to_vec(),
    ]);
    seeds
}

fn png_seeds() -> Vec<Vec<u8>> {
    let grey = |depth: u8, colour: u8, interlace: u8| vec![3, 4, 4, depth, colour, interlace, 0, 0];
    let rows = [0, 10, 20, 30, 40].repeat(24);
    let bomb = {
        let header = [&8000_u32.to_be_bytes()[..], &8000_u32.to_be_bytes(), &[1, 0, 0, 0, 0]].concat();
        let data = zlib(&vec![0; 8000 * 1001], 9);
        [&[0][..], SIGNATURE, &chunk(b"IHDR", &header), &chunk(b"IDAT", &data), &chunk(b"IEND", b"")].concat()
    };
    let chunks = png(&mut Script::new(&[&grey(3, 0, 0)[1..], &rows].concat()));
    vec![
        [&[0], &chunks[..]].concat(),
        [&[1], &chunks[SIGNATURE.len()..]].concat(),
        [&grey(3, 0, 0)[..], &rows].concat(),
        [&grey(3, 1, 1)[..], &rows].concat(),
        [&grey(4, 4, 0)[..], &[1; 132]].concat(),
        [&grey(0, 0, 0)[..], &[0, 0xa0].repeat(4)].concat(),
        // A palette of two colours, one of them transparent.
        [&[3, 4, 4, 0, 2, 0, 3, 2, 0, 0, 0, 255, 255, 255, 1, 0, 0][..], &[0, 0xa0].repeat(4)].concat(),
        // A colour profile of 2 MB.
        [&[3, 4, 4, 3, 0, 0, 4, 255, 0][..], &rows].concat(),
        [&[3, 240, 255, 255, 255, 255, 240, 255, 255, 255, 255, 3, 0, 0, 0, 0][..], &rows].concat(),
        bomb,
    ]
}

/// In text and in binary.
fn portable_map_seeds() -> Vec<Vec<u8>> {
    vec![
        b"\0P1\n# a comment\n2 2\n1 0\n0 1\n".to_vec(),
        b"\0P2\n2 2\n255\n0 255\n255 0\n".to_vec(),
        b"\0P3\n1 1\n65535\n0 256 65535\n".to_vec(),
        b"\0P4\n9 2\n\x80\x40\xff\x00".to_vec(),
        b"\0P5\n4294967295 4294967295\n255\n".to_vec(),
        b"\0P6\n1 1\n65535\n\x00\x00\xff\xff\xff\xff".to_vec(),
        b"\0P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n\x01\x02\x03\x04".to_vec(),
        b"\x02\x04\x02\x02\xff\x01\x02\x03\x04".to_vec(),
        b"\x02\x06\x02\x02\xff\x04\x03\x01\x02\x03\x04".to_vec(),
    ]
}
