//! Files that a command reads or writes, or standard input and output in their place.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use super::error::FileError;
use super::read::{self, read_limited};
use super::write::write_whole;

/// The name that stands for standard input or output.
pub const STANDARD_STREAM: &str = "-";

/// [`read_limited`], or standard input for [`STANDARD_STREAM`]. How long it may be depends on its first four bytes.
///
/// # Errors
/// As [`read_limited`].
pub fn read_input(path: &Path, limit: impl Fn(&[u8]) -> u64) -> Result<Vec<u8>, FileError> {
    let failed = |cause| FileError::Read { path: path.into(), cause };
    if path == Path::new(STANDARD_STREAM) {
        return read_stream(io::stdin().lock(), path, limit);
    }
    // Most files are short enough for any limit.
    let (file, length) = read::open(path).map_err(|cause| read::refused(path, cause))?;
    let start = if length <= limit(b"") { Vec::new() } else { read_start(file).map_err(failed)? };
    read_limited(path, limit(&start))
}

fn read_start(file: File) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    file.take(4).read_to_end(&mut start)?;
    Ok(start)
}

fn read_stream(mut stream: impl Read, path: &Path, limit: impl Fn(&[u8]) -> u64) -> Result<Vec<u8>, FileError> {
    let failed = |cause| FileError::Read { path: path.into(), cause };
    let mut bytes = Vec::new();
    stream.by_ref().take(4).read_to_end(&mut bytes).map_err(failed)?;
    let limit = limit(&bytes);
    stream.take((limit + 1).saturating_sub(bytes.len() as u64)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit { Err(FileError::TooLarge { path: path.into(), limit }) } else { Ok(bytes) }
}

/// [`write_whole`], or standard output for [`STANDARD_STREAM`]. `input` is what the bytes come from, and is not written
/// over, by whatever name.
///
/// # Errors
/// As [`write_whole`]; if the file is the input; and if standard output is a terminal.
pub fn write_output(path: &Path, input: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let failed = |cause| FileError::Write { path: path.into(), cause };
    if path != Path::new(STANDARD_STREAM) {
        if is_same_file(path, input) {
            return Err(FileError::Input { path: path.into() });
        }
        return write_whole(path, bytes);
    }
    let mut output = io::stdout().lock();
    if output.is_terminal() {
        return Err(FileError::Terminal);
    }
    #[cfg(unix)]
    if is_same_file(Path::new("/dev/stdout"), input) {
        return Err(FileError::Input { path: path.into() });
    }
    output.write_all(bytes).and_then(|()| output.flush()).map_err(failed)
}

/// Whether both name the same file, through links too.
pub fn is_same_file(first: &Path, second: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let identity = |path| std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
        matches!((identity(first), identity(second)), (Ok(first), Ok(second)) if first == second)
    }
    #[cfg(not(unix))]
    {
        matches!((first.canonicalize(), second.canonicalize()), (Ok(first), Ok(second)) if first == second)
    }
}
