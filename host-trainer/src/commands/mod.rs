//! What each command does. A command returns its exit code, or an error that [`main`](crate) shows in one line.

pub mod evaluate;
pub mod exchange;
pub mod predict;
pub mod summary;
pub mod train;

mod data;
mod table;

use anstyle::{AnsiColor, Style};

/// Errors and warnings, on terminals that want colours.
pub const RED: Style = AnsiColor::Red.on_default().bold();
