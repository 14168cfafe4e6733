//! Digits are read in pictures as people draw and photograph them, or doubted. `cargo run --release -p tests --example
//! pictures` takes more of every row and writes the table of `docs/pictures.md`.

use std::thread;

use equality::mnist_dir;
use tests::pictures::{Expectation, ROWS, Reader, Row, Score, read_again};

/// Pictures of a row; ten rows together have every digit as often.
const PICTURES: usize = 3;

/// The scores of all rows, which a few threads share.
fn scores() -> Vec<(&'static Row, Score)> {
    let rows: Vec<(usize, &Row)> = ROWS.iter().enumerate().collect();
    thread::scope(|scope| {
        let threads: Vec<_> = rows
            .chunks(ROWS.len().div_ceil(4))
            .map(|rows| {
                scope.spawn(move || {
                    let mut reader = Reader::committed();
                    let digits = |row: usize| (0..PICTURES).map(move |i| (PICTURES * row + i) % 10);
                    rows.iter().map(|&(i, row)| (row, reader.score(row, digits(i)))).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no row panics")).collect()
    })
}

#[test]
fn every_row_is_read_or_doubted() {
    let (mut read, mut enclosed, mut doubted) = (Score::default(), Score::default(), Score::default());
    for (row, score) in scores() {
        println!("{}: {score:?}", row.name);
        let sum = match row.expectation {
            Expectation::Read => &mut read,
            Expectation::Enclosed => &mut enclosed,
            Expectation::Doubted => &mut doubted,
        };
        sum.add(&score);
        if row.expectation != Expectation::Doubted {
            assert!(score.correct + 1 >= score.pictures, "{}: {score:?}", row.name);
        }
    }
    assert!(100 * read.correct >= 95 * read.pictures, "{read:?}");
    assert!(100 * enclosed.correct >= 90 * enclosed.pictures, "{enclosed:?}");
    assert_eq!(doubted.silent, 0, "{doubted:?}");
    let sure = read.pictures + enclosed.pictures - read.remarked - enclosed.remarked;
    assert!(100 * (read.silent + enclosed.silent) <= 2 * sure, "{read:?} {enclosed:?}");
}

#[cfg_attr(no_mnist, ignore = "MNIST_DIR is not set")]
#[test]
fn digits_of_mnist_are_read_in_photographs_of_paper() {
    let Some(folder) = mnist_dir() else { return };
    let (original, again) = read_again(&mut Reader::committed(), &folder, 227);
    println!("{again} of {original}");
    assert!(100 * again >= 97 * original, "{again} of {original}");
}
