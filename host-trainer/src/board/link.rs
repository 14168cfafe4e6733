//! The line to a board: a serial port, or a socket that an emulator listens on.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use cnn_core::protocol::BAUD_RATE;

/// Bytes in both directions. A read that finds none for a short while fails with `TimedOut` or `WouldBlock`.
pub trait Link: Read + Write {}

impl<T: Read + Write + ?Sized> Link for T {}

/// How long a read waits for the first byte.
const READ_TIMEOUT: Duration = Duration::from_millis(10);

/// A port that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot open the board's port '{port}': {cause}; give a serial port such as /dev/ttyACM0 or COM3, tcp:HOST:PORT, or unix:PATH"
)]
pub struct LinkError {
    port: String,
    cause: io::Error,
}

/// Opens `tcp:HOST:PORT`, `unix:PATH` or a serial port.
///
/// # Errors
/// If there is no such port, or it may not be opened.
pub fn open(port: &str) -> Result<Box<dyn Link>, LinkError> {
    let opened = if let Some(address) = port.strip_prefix("tcp:") {
        open_tcp(address)
    } else if let Some(path) = port.strip_prefix("unix:") {
        open_unix(path)
    } else {
        open_serial(port)
    };
    opened.map_err(|cause| LinkError { port: port.to_owned(), cause })
}

fn open_tcp(address: &str) -> io::Result<Box<dyn Link>> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

#[cfg(unix)]
fn open_unix(path: &str) -> io::Result<Box<dyn Link>> {
    let stream = std::os::unix::net::UnixStream::connect(path)?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    Ok(Box::new(stream))
}

#[cfg(not(unix))]
fn open_unix(_path: &str) -> io::Result<Box<dyn Link>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets"))
}

fn open_serial(path: &str) -> io::Result<Box<dyn Link>> {
    Ok(Box::new(serialport::new(path, BAUD_RATE).timeout(READ_TIMEOUT).open_native()?))
}
