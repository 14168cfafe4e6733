//! What can go wrong on a line over USB.

use core::fmt;

use embedded_io::ErrorKind;

/// The host does not fetch what it is sent.
#[derive(Debug)]
pub struct NotFetched;

impl fmt::Display for NotFetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host does not fetch what it is sent")
    }
}

impl core::error::Error for NotFetched {}

impl embedded_io::Error for NotFetched {
    fn kind(&self) -> ErrorKind {
        ErrorKind::TimedOut
    }
}
