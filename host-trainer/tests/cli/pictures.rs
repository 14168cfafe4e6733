//! `predict` and pictures: one in full, several as a table, and what is said of those that cannot be read.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{fail, run_in, stderr, stdout, succeed};

/// The committed model.
const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware/model/mnist.cnnm");

/// A portable map, dark sevens on white paper, each with its left upper corner at one of the places.
fn sevens(width: usize, height: usize, places: &[(f64, f64)]) -> Vec<u8> {
    let corners = [(0.0, 0.0), (60.0, 0.0), (25.0, 110.0)];
    let mut file = format!("P5\n{width} {height}\n255\n").into_bytes();
    for i in 0..width * height {
        let (x, y) = ((i % width) as f64, (i / width) as f64);
        let distance = |&(left, top): &(f64, f64)| {
            let pieces = corners.windows(2).map(|ends| {
                let (dx, dy) = (ends[1].0 - ends[0].0, ends[1].1 - ends[0].1);
                let (px, py) = (x - left - ends[0].0, y - top - ends[0].1);
                let along = ((px * dx + py * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
                (px - along * dx).hypot(py - along * dy)
            });
            pieces.fold(f64::INFINITY, f64::min)
        };
        let nearest = places.iter().map(distance).fold(f64::INFINITY, f64::min);
        file.push(255 - ((6.0 - nearest).clamp(0.0, 1.0) * 235.0) as u8);
    }
    file
}

/// A folder with `seven.pgm`, `two.ppm` with two digits, `blank.pgm`, `phone.heic`, and `notes.txt`, which is no picture.
fn folder_of_pictures() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let write = |name: &str, contents: &[u8]| fs::write(folder.path().join(name), contents).expect("written");
    write("seven.pgm", &sevens(240, 200, &[(80.0, 40.0)]));
    write("two.pgm", &sevens(400, 200, &[(60.0, 40.0), (240.0, 40.0)]));
    write("blank.pgm", b"P5\n3 3\n255\n\x09\x09\x09\x09\x09\x09\x09\x09\x09");
    write("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    write("notes.txt", b"no picture");
    folder
}

fn json(folder: &Path, args: &[&str]) -> Value {
    let output = run_in(folder, args);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stdout(&output)))
}

#[test]
fn one_picture_is_shown_in_full_with_what_there_is_to_doubt() {
    let folder = folder_of_pictures();
    let one = succeed(folder.path(), &["predict", MODEL, "seven.pgm"]);
    let is_bar = |line: &&str| line.contains('%') && line.chars().nth(2).is_some_and(|digit| digit.is_ascii_digit());
    let bars = one.lines().filter(is_bar).count();
    assert!(bars == 10 && one.lines().count() > 14 + 10, "{one}");
    assert!(one.ends_with("prediction 7\n") && !one.contains("more than one digit"), "{one}");
    let two = succeed(folder.path(), &["predict", MODEL, "two.pgm"]);
    assert!(two.contains("remark: there is more than one digit: the largest alone was read\n"), "{two}");
}

#[test]
fn several_pictures_are_a_table_in_which_each_failure_has_its_line() {
    let folder = folder_of_pictures();
    let names = ["seven.pgm", "blank.pgm", "phone.heic", "two.pgm"];
    let output = run_in(folder.path(), &[&["predict", MODEL], &names[..]].concat());
    let table = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 5, "{table}");
    assert!(lines[0].starts_with("picture     digit  probability  remarks"), "{table}");
    for (line, name) in lines[1..].iter().zip(names) {
        assert!(line.starts_with(name), "{table}");
    }
    let digit = |line: &str| line.split_whitespace().nth(1).map(String::from);
    assert_eq!([1, 2, 3, 4].map(|i| digit(lines[i])), ["7", "-", "-", "7"].map(|text| Some(text.into())), "{table}");
    assert!(
        lines[2].contains("blank: no ink stands out") && lines[3].contains("HEIC") && lines[4].contains("more than")
    );
    assert!(stderr(&output).contains("2 of 4 pictures could not be read"), "{}", stderr(&output));
    // Without what cannot be read, all is well.
    let well = succeed(folder.path(), &["predict", MODEL, "seven.pgm", "two.pgm"]);
    assert_eq!(well.lines().count(), 3, "{well}");
}

#[test]
fn a_folder_stands_for_its_pictures_in_order() {
    let folder = folder_of_pictures();
    fs::remove_file(folder.path().join("blank.pgm")).expect("removed");
    fs::remove_file(folder.path().join("phone.heic")).expect("removed");
    let table = succeed(folder.path(), &["predict", MODEL, "."]);
    let names: Vec<&str> = table.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["./seven.pgm", "./two.pgm"], "{table}");
    fs::create_dir(folder.path().join("empty")).expect("created");
    fail(folder.path(), &["predict", MODEL, "empty"], 1, &["the folder empty has no pictures"]);
}

#[test]
fn a_picture_comes_from_standard_input_too() {
    let folder = folder_of_pictures();
    let predict = |contents: &[u8]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_host-trainer"))
            .args(["predict", MODEL, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built");
        program.stdin.take().expect("piped").write_all(contents).expect("read");
        program.wait_with_output().expect("it ends")
    };
    let output = predict(&fs::read(folder.path().join("seven.pgm")).expect("read"));
    assert!(output.status.success() && stdout(&output).ends_with("prediction 7\n"), "{}", stderr(&output));
    let output = predict(b"P5\n200 200\n255\n\xff\xff");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "error: standard input is truncated: the picture ends before its last pixel\n");
}

#[test]
fn show_writes_picture_ink_and_input_side_by_side() {
    let folder = folder_of_pictures();
    let said = succeed(folder.path(), &["predict", MODEL, "seven.pgm", "--show", "seen.png"]);
    assert!(said.contains("seen.png: the picture, the ink that was taken, the network's input"), "{said}");
    let seen = image::open(folder.path().join("seen.png")).expect("a PNG file").into_rgb8();
    assert_eq!((seen.width(), seen.height()), (1308, 444));
    // The paper is light, the ink and the network's input are light on black.
    let light = |from: u32| {
        let pixels = (from..from + 420).flat_map(|x| (12..432).map(move |y| (x, y)));
        pixels.filter(|&(x, y)| seen.get_pixel(x, y)[0] >= 200).count()
    };
    let [picture, ink, input] = [12, 444, 876].map(light);
    assert!(
        picture > 100_000 && (1000..40_000).contains(&ink) && (1000..60_000).contains(&input),
        "{picture} {ink} {input}"
    );
    let several = &["predict", MODEL, "seven.pgm", "two.pgm", "--show", "both.png"];
    fail(folder.path(), several, 1, &["--show writes one picture, but several are given"]);
    assert!(!folder.path().join("both.png").exists());
    fail(folder.path(), &["predict", MODEL, "seven.pgm", "--show", "absent/seen.png"], 1, &["absent/seen.png"]);
}

#[test]
fn json_has_place_remarks_and_errors() {
    let folder = folder_of_pictures();
    let answer = json(folder.path(), &["predict", MODEL, "seven.pgm", "two.pgm", "blank.pgm", "--json"]);
    let results = answer["results"].as_array().expect("three of them");
    let [seven, two, blank] = results.as_slice() else { panic!("{answer}") };
    assert_eq!((&seven["picture"], &seven["prediction"]), (&"seven.pgm".into(), &7.into()), "{answer}");
    let place: Vec<i64> = seven["place"].as_array().expect("four").iter().filter_map(Value::as_i64).collect();
    for (found, drawn) in place.iter().zip([74, 34, 72, 122]) {
        assert!((found - drawn).abs() <= 3, "{place:?}");
    }
    let several = |result: &Value| result["remarks"].to_string().contains("there is more than one digit");
    assert!(several(two) && !several(seven), "{answer}");
    assert!(blank["prediction"].is_null() && blank["error"].as_str().is_some_and(|error| error.contains("blank")));
}

#[test]
fn what_cannot_be_read_is_named_with_what_to_do() {
    let folder = folder_of_pictures();
    let seven = fs::read(folder.path().join("seven.pgm")).expect("read");
    fs::write(folder.path().join("cut.pgm"), &seven[..seven.len() / 2]).expect("written");
    fs::write(folder.path().join("large.bmp"), bmp_that_claims(20_000, 3)).expect("written");
    for (name, words) in [
        ("phone.heic", &["HEIC", "export or share it as JPEG"][..]),
        ("notes.txt", &["notes.txt is not a picture that is known here", "JPEG, PNG"]),
        ("blank.pgm", &["blank.pgm", "no ink stands out", "more contrast"]),
        ("cut.pgm", &["cut.pgm is truncated"]),
        ("large.bmp", &["large.bmp has 20000×3 pixels", "at most 16384", "smaller"]),
        ("absent.png", &["absent.png"]),
    ] {
        fail(folder.path(), &["predict", MODEL, name], 1, words);
    }
}

/// A BMP file of 24 bits a pixel whose header says this size.
fn bmp_that_claims(width: u32, height: u32) -> Vec<u8> {
    let mut file = b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    file.extend(width.to_le_bytes());
    file.extend(height.to_le_bytes());
    file.extend([1, 0, 24, 0]);
    file.resize(54 + 64, 0);
    file
}
