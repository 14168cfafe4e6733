//! All that the program prints.
//!
//! A line that cannot be written never ends the program: the first failure of standard output is kept, and [`close`]
//! tells of it. What is printed as a line stays one line and shows nothing but what can be seen
//! ([`one_line`]), whoever wrote the text; [`block`] is for text of the program's own.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, OnceLock, PoisonError};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use host_trainer::files::{is_same_file, write_whole};
use host_trainer::text::{is_visible, one_line};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use terminal_size::{Width, terminal_size};

/// Errors and warnings, on terminals that want colours.
const RED: Style = AnsiColor::Red.on_default().bold();

/// How much is printed on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Everything, for people.
    #[default]
    Full,
    /// Results alone.
    Quiet,
    /// One JSON object, for programs.
    Json,
}

static MODE: OnceLock<Mode> = OnceLock::new();
/// Why standard output did not take something, the first time.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Says how much is printed. To be called once, before anything is.
pub fn choose(mode: Mode) {
    MODE.get_or_init(|| mode);
}

/// How much is printed.
pub fn mode() -> Mode {
    MODE.get().copied().unwrap_or_default()
}

/// A line of what people like to know beside a result.
macro_rules! say {
    () => { $crate::commands::output::line("") };
    ($($argument:tt)*) => { $crate::commands::output::line(format_args!($($argument)*)) };
}

/// A line that was asked for: `--quiet` leaves it.
macro_rules! result {
    ($($argument:tt)*) => { $crate::commands::output::result_line(format_args!($($argument)*)) };
}

pub(crate) use {result, say};

/// As [`say!`].
pub fn line(text: impl Display) {
    if mode() == Mode::Full {
        to_stdout(&format!("{}\n", one_line(text)));
    }
}

/// As [`result!`].
pub fn result_line(text: impl Display) {
    if mode() != Mode::Json {
        to_stdout(&format!("{}\n", one_line(text)));
    }
}

/// Lines of the program's own, such as a table, and an empty line after them. They may have colours.
pub fn block(text: &str) {
    if mode() == Mode::Full {
        to_stdout(&format!("{text}\n"));
    }
}

/// The answer of `--json`: an object on a line.
pub fn json(object: &impl Serialize) -> anyhow::Result<()> {
    if mode() != Mode::Json {
        return Ok(());
    }
    let mut text = String::new();
    for character in serde_json::to_string(object)?.chars() {
        if is_visible(character) {
            text.push(character);
        } else {
            // It stands within a string: all else in compact JSON is visible.
            let mut units = [0; 2];
            text.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    to_stdout(&format!("{text}\n"));
    Ok(())
}

/// A file for standard output, whatever the mode.
pub fn file(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    keep(stdout.write_all(bytes).and_then(|()| stdout.flush()));
}

/// Writes a picture to a file that is none of those that were read.
pub fn picture(path: &Path, inputs: &[&Path], png: &[u8]) -> anyhow::Result<()> {
    check_picture(path, inputs)?;
    Ok(write_whole(path, png)?)
}

/// Makes sure that a picture would be written over nothing that is read.
pub fn check_picture(path: &Path, inputs: &[&Path]) -> anyhow::Result<()> {
    let is_read = inputs.iter().any(|input| is_same_file(path, input));
    anyhow::ensure!(!is_read, "{} is the very file that is read; choose another name", path.display());
    Ok(())
}

/// A line on standard error.
pub fn note(text: impl Display) {
    to_stderr(&format!("{}\n", one_line(text)));
}

/// A line on standard error that begins with `warning:`.
pub fn warning(text: impl Display) {
    to_stderr(&format!("{RED}warning:{RED:#} {}\n", one_line(text)));
}

/// A warning that cannot be missed between lines of output.
pub fn framed_warning(text: impl Display) {
    let rule = "!".repeat(width().unwrap_or(80).min(80));
    to_stderr(&format!("{RED}{rule}\n{}\n{rule}{RED:#}\n", one_line(text)));
}

/// The line of an error.
pub fn error(text: impl Display) {
    to_stderr(&format!("{RED}error:{RED:#} {}\n", one_line(text)));
}

/// What clap has to say: help, the version, or what is wrong with the flags.
pub fn usage(mut error: clap::Error) -> ExitCode {
    use clap::error::ContextValue;
    // The words of the command line stand in it.
    let words: Vec<_> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
    for (kind, value) in words {
        match value {
            ContextValue::String(word) => error.insert(kind, ContextValue::String(one_line(word))),
            ContextValue::Strings(words) => {
                error.insert(kind, ContextValue::Strings(words.iter().map(one_line).collect()))
            }
            _ => None,
        };
    }
    let text = error.render().ansi().to_string();
    // Colours, and no other control character.
    let text = text.replace(|character| !is_visible(character) && !matches!(character, '\n' | '\x1b'), "\u{fffd}");
    let code = ExitCode::from(error.exit_code() as u8);
    if error.use_stderr() {
        to_stderr(&text);
        return code;
    }
    to_stdout(&text);
    close(code, false)
}

fn to_stdout(text: &str) {
    let mut stdout = AutoStream::auto(io::stdout()).lock();
    keep(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
}

fn keep(written: io::Result<()>) {
    if let Err(error) = written {
        LOST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// There is nowhere to tell that standard error failed.
fn to_stderr(text: &str) {
    let _ = AutoStream::auto(io::stderr()).lock().write_all(text.as_bytes());
}

/// The last line and the exit code of a command that ended with `code`.
///
/// Whoever closed the pipe has seen enough. Other failures of standard output are an error, but for a command whose
/// results lie in files.
pub fn close(code: ExitCode, results_in_files: bool) -> ExitCode {
    let lost = LOST.lock().unwrap_or_else(PoisonError::into_inner).take();
    match lost.filter(|lost| lost.kind() != ErrorKind::BrokenPipe) {
        None => code,
        Some(lost) if results_in_files => {
            warning(format_args!("standard output could not be written: {lost}; some lines are lost"));
            code
        }
        Some(lost) => {
            error(format_args!("standard output cannot be written: {lost}"));
            ExitCode::FAILURE
        }
    }
}

/// Columns of the terminal that reads standard output, if one does.
pub fn width() -> Option<usize> {
    let (Width(columns), _) = terminal_size().filter(|_| io::stdout().is_terminal())?;
    Some(columns.into())
}

/// Whether standard output shows colours and blocks: a terminal that can, and NO_COLOR not set
/// (<https://no-color.org>).
pub fn in_colour() -> bool {
    io::stdout().is_terminal() && !dumb() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A terminal that only prints one character after the other.
fn dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb")
}

/// Whether standard error shows progress bars where it is a terminal: not if that cannot move the cursor.
pub fn shows_progress() -> bool {
    mode() != Mode::Quiet && !dumb()
}

/// A progress bar on standard error, on terminals that can move the cursor.
pub fn progress(len: u64, template: &str) -> ProgressBar {
    let target = if shows_progress() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(len), target).with_style(style.progress_chars("━╸ "))
}
