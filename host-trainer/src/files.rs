//! Files that are written whole or not at all, and read up to a limit.

mod error;
pub mod read;
mod streams;
mod write;

pub use error::FileError;
pub use read::read_limited;
pub use streams::{STANDARD_STREAM, is_same_file, read_input, write_output};
pub use write::{Staged, create_folder, exists, remove, remove_abandoned, remove_temporary, write_whole};
