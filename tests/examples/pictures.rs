//! Writes the table of `docs/pictures.md`: how well the committed model reads pictures of digits, COUNT (20) of each row
//! and fifty times as many of MNIST (MNIST_DIR). With a folder, the pictures that were read wrongly are left there.
//!
//!     cargo run --release -p tests --example pictures -- [COUNT [FOLDER]]

use std::path::PathBuf;
use std::{env, fs};

use equality::mnist_dir;
use tests::pictures::{Expectation, ROWS, Reader, Score, markdown, read_again};

/// The lines of the page between which the table stands.
const BEGIN: &str = "<!-- table: written by tests/examples/pictures.rs -->\n";
const END: &str = "<!-- end of the table -->\n";

fn main() {
    let mut arguments = env::args().skip(1);
    let count = arguments.next().map_or(20, |count| count.parse().expect("COUNT is a number"));
    let folder = arguments.next().map(PathBuf::from);
    let mut reader = Reader::committed();
    let mut scores = Vec::new();
    for row in ROWS {
        let score = reader.score(row, 0..count);
        println!("{:45} {score:?}", row.name);
        scores.push((row, score));
        if let Some(folder) = &folder {
            leave_wrong(row, count, &mut reader, folder);
        }
    }
    let mut sure = Score::default();
    for (_, score) in scores.iter().filter(|(row, _)| row.expectation != Expectation::Doubted) {
        sure.add(score);
    }
    let folder = mnist_dir().expect("MNIST_DIR names the folder of MNIST");
    let (original, again) = read_again(&mut reader, &folder, (200 / count.max(1)).max(1));
    let text = format!(
        "{BEGIN}\n{}\nOf the {} answers without a remark on pictures that can be read, {} are wrong. Of {original} digits of \
         MNIST's test set that the model reads, it reads {again} again when they are drawn large on photographs of \
         paper.\n\n{END}",
        markdown(&scores),
        sure.pictures - sure.remarked,
        sure.silent
    );
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures.md");
    let old = fs::read_to_string(&page).expect("the page can be read");
    let (head, rest) = old.split_once(BEGIN).expect("the page has a table");
    let (_, tail) = rest.split_once(END).expect("the table has an end");
    fs::write(&page, format!("{head}{text}{tail}")).expect("the page can be written");
}

fn leave_wrong(row: &tests::pictures::Row, count: usize, reader: &mut Reader, folder: &std::path::Path) {
    for index in 0..count {
        let file = row.file(index);
        if reader.read(&file).is_none_or(|reading| reading.prediction != index % 10) {
            let name = format!("{}-{index}", row.name.replace(|character: char| !character.is_alphanumeric(), "-"));
            fs::write(folder.join(name), file).expect("the folder can be written to");
        }
    }
}
