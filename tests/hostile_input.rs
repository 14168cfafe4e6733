//! Every fuzz target on ordinary ground: its corpus, what once failed, and some seconds of random damage, each input
//! within the memory limit. `HOSTILE_SECONDS` lengthens it, `HOSTILE_SEED` starts elsewhere.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::hint::black_box;
use std::io::Write;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::write::{GzEncoder, ZlibEncoder};
use flate2::{Compression, Crc};
use host_trainer::dataset::idx::{MAX_COUNT, parse_images};
use host_trainer::exchange::safetensors::import;
use host_trainer::picture;
use tests::hostile::mutation::mutated;
use tests::hostile::{CountingAllocator, MEMORY_LIMIT, TARGETS, Target, measured};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Seconds of random damage for each target.
const SECONDS: u64 = 3;

/// A test for each target, and the list of them.
macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            survives(Target::named(stringify!($name)));
        })*
        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

targets! {
    checkpoint idx idx_gz model npz onnx picture_bmp picture_gif picture_jpeg picture_png picture_pnm picture_tiff picture_webp
    protocol_board protocol_host run_record safetensors
}

/// Keeps its promises on all known inputs and on random ones.
fn survives(target: &Target) {
    let mut pool = (target.seeds)();
    for folder in ["corpus", "regressions"] {
        for path in files_in(&fuzz_folder().join(folder).join(target.name)) {
            pool.push(fs::read(&path).expect("a file of the corpus"));
        }
    }
    for input in &pool {
        check(target, input, "a known input");
    }
    let number = |name: &str, default| env::var(name).map_or(default, |text| text.parse().expect(name));
    let (seed, seconds) = (number("HOSTILE_SEED", 0), number("HOSTILE_SECONDS", SECONDS));
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut case = 0;
    while Instant::now() < deadline {
        let input = mutated(seed, case, &pool, target.max_len);
        check(target, &input, &format!("case {case} of HOSTILE_SEED={seed}"));
        case += 1;
    }
    println!("{}: {} known inputs, {case} random ones", target.name, pool.len());
}

/// On a broken promise, keeps the input and says where.
fn check(target: &Target, input: &[u8], what: &str) {
    if catch_unwind(|| target.check(input)).is_err() {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hostile-{}", target.name));
        fs::write(&path, input).expect("room for a small file");
        panic!("{what} broke a promise; it lies in {}: keep it in fuzz/regressions/{}", path.display(), target.name);
    }
}

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// The files of a folder, in the order of their names; none if there is no such folder.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    files
}

#[test]
fn every_fuzz_target_is_tested_here_and_nothing_else_is() {
    let manifest = fs::read_to_string(fuzz_folder().join("Cargo.toml")).expect("fuzz/Cargo.toml");
    let bins = manifest.split("[[bin]]").skip(1);
    let fuzzed: BTreeSet<&str> = bins
        .map(|bin| {
            let line = bin.lines().find(|line| line.starts_with("name = ")).expect("a name");
            line.trim_start_matches("name = ").trim_matches('"')
        })
        .collect();
    assert_eq!(fuzzed, TESTED.iter().copied().collect(), "fuzz/Cargo.toml and this test");
    assert_eq!(fuzzed, TARGETS.iter().map(|target| target.name).collect(), "fuzz/Cargo.toml and tests::hostile");
    for target in &TARGETS {
        let corpus = files_in(&fuzz_folder().join("corpus").join(target.name));
        assert!(!corpus.is_empty(), "fuzz/corpus/{} is empty: cargo run -p tests --example fuzz_corpus", target.name);
    }
}

/// `zeros` zero bytes behind `start`, unpacked: at 1/1000 of their length the worst that can be packed.
fn bomb<W: Write>(mut encoder: W, start: &[u8], zeros: usize) -> W {
    encoder.write_all(start).expect("memory takes everything");
    for _ in 0..zeros >> 20 {
        encoder.write_all(&[0; 1 << 20]).expect("memory takes everything");
    }
    encoder
}

#[test]
fn an_archive_that_breaks_off_takes_no_more_memory_than_it_unpacked() {
    // Long enough for a million images, of which 10 MB are there.
    let header = [0x0803, MAX_COUNT, 28, 28].map(u32::to_be_bytes).concat();
    let encoder = bomb(GzEncoder::new(vec![], Compression::best()), &header, 10 << 20);
    let mut archive = encoder.finish().expect("memory takes everything");
    archive.resize(1 << 20, 0xff);
    let (result, used) = measured(|| parse_images(&archive).map(|images| images.len()));
    assert!(result.is_err(), "{result:?}");
    assert!(used.peak <= MEMORY_LIMIT, "{used:?}");
}

/// A PNG chunk.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut checksum = Crc::new();
    checksum.update(kind);
    checksum.update(data);
    [&(data.len() as u32).to_be_bytes()[..], kind, data, &checksum.sum().to_be_bytes()].concat()
}

/// A PNG file with these chunks between its header and its data, which unpack to zeros.
fn png(sides: [u32; 2], depth_colour_interlace: [u8; 3], chunks: &[u8], zeros: usize) -> Vec<u8> {
    let [depth, colour, interlace] = depth_colour_interlace;
    let header = [&sides.map(u32::to_be_bytes).concat()[..], &[depth, colour, 0, 0, interlace]].concat();
    let rest = vec![0; zeros % (1 << 20)];
    let data = bomb(ZlibEncoder::new(vec![], Compression::best()), &rest, zeros).finish().expect("memory is there");
    let parts = [&chunk(b"IHDR", &header)[..], chunks, &chunk(b"IDAT", &data), &chunk(b"IEND", b"")];
    [b"\x89PNG\r\n\x1a\n", &parts.concat()[..]].concat()
}

#[test]
fn the_largest_pictures_are_read_within_the_limit() {
    // Width and height, depth, colour and interlace, and to what the data unpack; the longest rows are among them.
    let cases = [
        ([4096, 3840], [8, 2, 0], 3840 * (1 + 3 * 4096)),
        ([16_384, 1919], [8, 0, 0], 1919 * (1 + 16_384)),
        ([16_384, 1919], [1, 0, 0], 1919 * (1 + 2048)),
        ([3000, 2300], [16, 6, 0], 2300 * (1 + 8 * 3000)),
        // Interlaced, in seven passes; more data than needed do no harm.
        ([4096, 3840], [8, 2, 1], 3840 * (8 + 3 * 4096)),
    ];
    for (sides, kind, zeros) in cases {
        let file = png(sides, kind, &[], zeros);
        let (result, used) = measured(|| picture::parse(&file, Path::new("large")));
        assert!(result.is_ok(), "{sides:?}: {result:?}");
        assert!(used.peak <= MEMORY_LIMIT, "{sides:?}: {used:?}");
    }
}

#[test]
fn the_longest_header_of_a_safetensors_file_stays_within_the_limit() {
    let tensor =
        |name: usize, shape: &str| format!(r#""{name}":{{"dtype":"F32","shape":[{shape}],"data_offsets":[0,0]}}"#);
    let shapes = tensor(0, &["0"; 500_000].join(","));
    let tensors = (0..18_000).map(|name| tensor(name, "0")).collect::<Vec<_>>().join(",");
    for contents in [shapes, tensors] {
        let header = format!("{{{contents}}}");
        assert!((900_000..=1 << 20).contains(&header.len()), "{}", header.len());
        let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
        let (result, used) = measured(|| import(&file));
        assert!(result.is_err());
        assert!(used.peak <= MEMORY_LIMIT, "{used:?}");
    }
}

#[test]
fn a_picture_takes_no_memory_for_what_is_packed_beside_its_pixels() {
    let encoder = bomb(ZlibEncoder::new(vec![], Compression::best()), b"", 100 << 20);
    let packed = encoder.finish().expect("memory takes everything");
    for (kind, keyword) in
        [(b"iCCP", &b"bomb\0\0"[..]), (b"zTXt", b"bomb\0\0"), (b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0")]
    {
        let file = png([2, 2], [8, 0, 0], &chunk(kind, &[keyword, &packed[..]].concat()), 6);
        let (_, used) = measured(|| picture::parse(&file, Path::new("bomb")));
        // Whether the picture is read or not.
        assert!(used.peak <= 4 << 20, "{kind:?}: {used:?}");
    }
}

#[test]
fn the_memory_of_an_input_is_counted() {
    let ((), used) = measured(|| {
        drop(black_box(vec![1_u8; 3 << 20]));
        drop(black_box([vec![1_u8; 1 << 20], vec![1_u8; 1 << 20]]));
    });
    assert_eq!(used.largest, 3 << 20);
    assert_eq!(used.peak, 3 << 20);
    let (_, used) = measured(|| black_box(Vec::<u8>::with_capacity(1 << 20)).resize(5 << 20, 0));
    assert_eq!((used.largest, used.peak), (5 << 20, 5 << 20));
}
