//! The file in which the host keeps what it taught: a name of eight bytes, then of every sample its label and its 784
//! pixels.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cnn_core::image::Pixels;
use cnn_core::network::CLASSES;

use super::teach::Sample;
use crate::files::{self, FileError, read_limited, write_whole};

const MAGIC: &[u8; 8] = b"CNNLESN1";
const SAMPLE_LEN: usize = 1 + size_of::<Pixels>();
/// No board has room for as many samples.
const MOST_SAMPLES: usize = 10_000;

/// Why there is no lesson.
#[derive(Debug, thiserror::Error)]
pub enum LessonError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// Other contents.
    #[error("{}: not a file of taught samples as 'board teach' writes it; name another one with --lesson", .0.display())]
    Contents(PathBuf),
    /// A folder that cannot be listed.
    #[error("{}: {error}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A folder without pictures.
    #[error(
        "{}: no pictures there; expected folders named 0 to 9, each with pictures of that digit, or one picture and --label",
        .0.display()
    )]
    NoPictures(PathBuf),
}

/// The samples in a file; none if it does not exist.
///
/// # Errors
/// If it cannot be read or holds something else.
pub fn read_lesson(path: &Path) -> Result<Vec<Sample>, LessonError> {
    if !files::exists(path) {
        return Ok(vec![]);
    }
    let bytes = read_limited(path, (MAGIC.len() + MOST_SAMPLES * SAMPLE_LEN) as u64)?;
    parse(&bytes).ok_or_else(|| LessonError::Contents(path.into()))
}

fn parse(bytes: &[u8]) -> Option<Vec<Sample>> {
    let (samples, rest) = bytes.strip_prefix(MAGIC)?.as_chunks::<SAMPLE_LEN>();
    if !rest.is_empty() {
        return None;
    }
    let sample = |bytes: &[u8; SAMPLE_LEN]| {
        let (&label, pixels) = bytes.split_first()?;
        Some((pixels.try_into().ok()?, label)).filter(|_| usize::from(label) < CLASSES)
    };
    samples.iter().map(sample).collect()
}

/// Writes samples, whole or not at all.
///
/// # Errors
/// If the file cannot be written.
pub fn write_lesson(path: &Path, samples: &[Sample]) -> Result<(), LessonError> {
    let mut bytes = MAGIC.to_vec();
    for (pixels, label) in samples {
        bytes.push(*label);
        bytes.extend(pixels);
    }
    Ok(write_whole(path, &bytes)?)
}

/// The pictures of a folder with one folder for each digit, in the order of their names.
///
/// # Errors
/// If a folder cannot be listed, or there are none.
pub fn labelled_pictures(folder: &Path) -> Result<Vec<(PathBuf, u8)>, LessonError> {
    let mut pictures = vec![];
    for label in 0..CLASSES as u8 {
        let path = folder.join(label.to_string());
        if !path.is_dir() {
            continue;
        }
        let list = || -> io::Result<Vec<PathBuf>> { fs::read_dir(&path)?.map(|entry| Ok(entry?.path())).collect() };
        let mut found = list().map_err(|error| LessonError::Folder { path: path.clone(), error })?;
        found.retain(|path| path.is_file() && !is_hidden(path));
        found.sort();
        pictures.extend(found.into_iter().map(|picture| (picture, label)));
    }
    if pictures.is_empty() { Err(LessonError::NoPictures(folder.into())) } else { Ok(pictures) }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lesson_is_read_as_it_was_written_and_nothing_else_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lesson");
        assert_eq!(read_lesson(&path).unwrap(), vec![]);
        let samples: Vec<Sample> = (0..12).map(|i| ([i * 20; 784], i % 10)).collect();
        write_lesson(&path, &samples).unwrap();
        assert_eq!(read_lesson(&path).unwrap(), samples);
        let good = fs::read(&path).unwrap();
        let mut label = good.clone();
        label[8] = 10;
        for bytes in [&good[..good.len() - 1], &good[1..], &[], &label, b"CNNLESN2"] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(read_lesson(&path), Err(LessonError::Contents(_))));
        }
    }

    #[test]
    fn pictures_are_labelled_by_their_folders_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(labelled_pictures(folder.path()), Err(LessonError::NoPictures(_))));
        for name in ["7/b.png", "7/a.png", "0/z.png", "10/no.png", "other/no.png", "3/.hidden"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        let found = labelled_pictures(folder.path()).unwrap();
        let expected = [("0/z.png", 0), ("7/a.png", 7), ("7/b.png", 7)];
        assert_eq!(found, expected.map(|(name, label)| (folder.path().join(name), label)));
    }
}
