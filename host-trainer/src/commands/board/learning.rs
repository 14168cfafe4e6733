//! `board teach`, `learn`, `forget`, `keep`, `export`: a board that learns, beside this host that does the same.

use std::path::Path;

use anyhow::bail;
use cnn_core::learn::Settings;
use cnn_core::protocol::{HeadStatus, Refusal};
use cnn_train::dataset::Split;
use cnn_train::fingerprint::Fingerprint;
use cnn_train::ordinary::POOL;
use host_trainer::board::{
    self, BoardError, EqualEpoch, Lesson, choose_ordinary, labelled_pictures, read_lesson, with_head, write_lesson,
};
use host_trainer::files;
use host_trainer::model_file::{self, LoadedModel};

use super::Board;
use crate::cli::{DataArgs, LessonArgs};
use crate::commands::data;
use crate::commands::output::{progress, result, say};
use crate::commands::predict::from_picture;

/// Prepares pictures, has the board keep them, and keeps them here.
pub fn teach(
    board: &mut Board,
    picture: &Path,
    label: Option<u8>,
    as_is: bool,
    args: &LessonArgs,
) -> anyhow::Result<()> {
    let pictures = match label {
        Some(label) if picture.is_dir() => {
            bail!(
                "{}: --label {label} is for one picture; the pictures of a folder lie in folders 0 to 9",
                picture.display()
            )
        }
        Some(label) => vec![(picture.to_owned(), label)],
        None if picture.is_dir() => labelled_pictures(picture)?,
        None => bail!("{}: which digit is it? Say so with --label", picture.display()),
    };
    let model = running(board, &args.model)?;
    let mut own = read_lesson(&args.lesson)?;
    for (path, label) in &pictures {
        own.push((from_picture(path, as_is)?, *label));
    }
    let lesson = Lesson { own, ordinary: vec![] };
    send(board, &model, &lesson)?;
    write_lesson(&args.lesson, &lesson.own)?;
    result!("the board has {} samples to learn from; {} keeps them here", lesson.own.len(), args.lesson.display());
    Ok(())
}

/// The model that the board runs.
fn running(board: &mut Board, path: &Path) -> anyhow::Result<LoadedModel> {
    let model = LoadedModel::read(path)?;
    match board.info()?.model {
        Ok(running) if running == model.fingerprint => Ok(model),
        Ok(running) => Err(BoardError::OtherModel { board: running, expected: model.fingerprint }.into()),
        Err(error) => Err(BoardError::Refused(Refusal::NoModel(error)).into()),
    }
}

fn send(board: &mut Board, model: &LoadedModel, lesson: &Lesson) -> anyhow::Result<()> {
    let bar = progress(lesson.len() as u64, "{wide_bar} {pos}/{len} samples");
    let taught = board::teach(board, &model.parameters, lesson, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    Ok(taught?)
}

/// Learns on the board and here, and says after every epoch that both are equal.
pub fn learn(
    board: &mut Board,
    settings: &Settings,
    ordinary: Option<usize>,
    args: &LessonArgs,
    data: &DataArgs,
) -> anyhow::Result<()> {
    let model = running(board, &args.model)?;
    let own = read_lesson(&args.lesson)?;
    if own.is_empty() {
        bail!("{}: nothing was taught yet: 'board teach' comes first", args.lesson.display());
    }
    let room = (board.head()?.capacity as usize).saturating_sub(own.len());
    let ordinary = match ordinary.unwrap_or_else(|| room.min(2 * own.len())) {
        0 => vec![],
        count => {
            let (name, samples) = data::open_split(data, Split::Train)?;
            say!("ordinary  {count} of {name}");
            let images = samples.images().iter().zip(samples.labels().iter().copied()).take(POOL);
            choose_ordinary(&model.parameters, images, count)
        }
    };
    let lesson = Lesson { own, ordinary };
    send(board, &model, &lesson)?;
    let equal = |EqualEpoch { epoch, loss, fingerprint, cycles }| {
        result!("epoch {epoch:3}  loss {loss:.5}  {}  equal  ({cycles} cycles)", fingerprint.short());
    };
    let head = board::learn(board, &model.parameters, &lesson, settings, equal)?;
    result!("the board uses the learned head {}, the same as this host's", Fingerprint::of(&head));
    Ok(())
}

/// Forgets on the board and here.
pub fn forget(board: &mut Board, lesson: &Path) -> anyhow::Result<()> {
    // What is no lesson is not removed.
    read_lesson(lesson)?;
    board.forget(true)?;
    if files::exists(lesson) {
        files::remove(lesson)?;
    }
    result!("the board has forgotten what it was taught and had learned");
    Ok(())
}

/// Keeps the learned head in the board's flash.
pub fn keep(board: &mut Board) -> anyhow::Result<()> {
    let status = board.keep()?;
    match status.kept {
        Ok(Some(kept)) if status.learned == Some(kept) => {
            result!("the board keeps the learned head {}, as it reports", Fingerprint::from(kept));
            Ok(())
        }
        _ => bail!("the board says that it kept the learned head, and then that it has not: try again"),
    }
}

/// Writes the model with the learned head.
pub fn export(board: &mut Board, out: &Path, model: &Path) -> anyhow::Result<()> {
    let model = running(board, model)?;
    let parameters = with_head(&model.parameters, &*board.read_head()?);
    model_file::write(out, None, &parameters, model.golden())?;
    result!("{}: the model {}", out.display(), Fingerprint::of(&parameters));
    Ok(())
}

/// What the board says of its samples and heads; nothing of one that does not know the question.
pub fn status(board: &mut Board) -> anyhow::Result<()> {
    let HeadStatus { capacity, own, ordinary, learned, kept, .. } = match board.head() {
        Err(BoardError::Refused(Refusal::UnknownRequest)) => return Ok(()),
        status => status?,
    };
    result!("samples   {own} taught and {ordinary} ordinary, room for {capacity}");
    match learned {
        Some(head) => result!("head      learned: {}", Fingerprint::from(head)),
        None => result!("head      the model's own"),
    }
    match kept {
        Ok(Some(head)) => result!("kept      {}", Fingerprint::from(head)),
        Ok(None) => {}
        Err(error) => result!("kept      a head that is not used: {error}"),
    }
    Ok(())
}
