//! Digits are read in pictures as people draw and photograph them, or doubted. `cargo run --release -p tests --example
//! pictures` takes more of every row and writes the table of `docs/pictures.md`.

use host_trainer::dataset::{Split, idx, mnist};
use tests::mnist_dir;
use tests::pictures::{Expectation, ROWS, Reader, Score, large, png};

/// Pictures of a row: every other digit.
const PICTURES: usize = 5;

#[test]
fn every_row_is_read_or_doubted() {
    let mut reader = Reader::committed();
    let (mut read, mut enclosed, mut doubted) = (Score::default(), Score::default(), Score::default());
    for row in ROWS {
        let score = reader.score(row, PICTURES);
        println!("{}: {score:?}", row.name);
        match row.expectation {
            Expectation::Read => {
                assert!(score.correct + 1 >= score.pictures, "{}: {score:?}", row.name);
                read.add(&score);
            }
            Expectation::Enclosed => {
                assert!(score.correct + 1 >= score.pictures, "{}: {score:?}", row.name);
                enclosed.add(&score);
            }
            Expectation::Doubted => doubted.add(&score),
        }
    }
    assert!(100 * read.correct >= 95 * read.pictures, "{read:?}");
    assert!(100 * enclosed.correct >= 90 * enclosed.pictures, "{enclosed:?}");
    assert_eq!(doubted.silent, 0, "{doubted:?}");
    let sure = read.pictures + enclosed.pictures - read.remarked - enclosed.remarked;
    assert!(100 * (read.silent + enclosed.silent) <= 2 * sure, "{read:?} {enclosed:?}");
}

#[test]
fn digits_of_mnist_are_read_in_photographs_of_paper() {
    let Some(folder) = mnist_dir() else { return };
    let [images, labels] =
        mnist::files(Split::Test).map(|file| file.find(&folder).expect("MNIST_DIR holds the test set"));
    let (digits, labels) = (idx::read_images(&images).unwrap(), idx::read_labels(&labels).unwrap());
    let mut reader = Reader::committed();
    let (mut original, mut again) = (0, 0);
    for index in (0..digits.len()).step_by(97) {
        let label = usize::from(labels[index]);
        let small = [b"P5\n28 28\n255\n", &digits[index][..]].concat();
        if reader.read(&small).expect("it has ink").prediction == label {
            original += 1;
            let reading = reader.read(&png(&large(&digits[index], index)));
            again += usize::from(reading.is_some_and(|reading| reading.prediction == label));
        }
    }
    println!("{again} of {original}");
    assert!(100 * again >= 97 * original, "{again} of {original}");
}
