//! The line to a board: a serial port, or a socket that an emulator listens on.
//!
//! Nothing here waits for ever: not opening, not reading, not writing to somebody who does not read.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use cnn_core::protocol::BAUD_RATE;

/// Bytes in both directions. A read that finds none and a write that finds no room for a short while fail with `TimedOut`
/// or `WouldBlock`.
pub trait Link: Read + Write {}

impl<T: Read + Write + ?Sized> Link for T {}

/// How long a read waits for the first byte, and a write for room.
const TIMEOUT: Duration = Duration::from_millis(10);
/// After this long without room the thread of a serial port gives up; whoever waited for it has done so long before.
const GIVEN_UP: Duration = Duration::from_secs(60);
/// How long opening may take, the search for the host's address included.
const OPENING: Duration = Duration::from_secs(10);

/// A port that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the board's port '{port}': {cause}")]
pub struct LinkError {
    port: String,
    cause: NoLink,
}

/// Why, and what to do.
#[derive(Debug, thiserror::Error)]
enum NoLink {
    #[error("{0}; give a serial port such as /dev/ttyACM0 or COM3, tcp:HOST:PORT, or unix:PATH")]
    Io(#[from] io::Error),
    #[error("nothing answers within {} seconds; is this its address, and does something listen there?", OPENING.as_secs())]
    Slow,
    #[error(
        "you may not use it; join the group that owns it, dialout on most systems \
         (sudo usermod -a -G dialout $USER, then log in again)"
    )]
    Permission,
    #[error("another program has it open; close that one: a serial monitor, a modem manager, another host-trainer")]
    Busy,
    #[error("there is no such port; {}", ports())]
    Missing,
    #[error("it is no serial port ({0}); {ports}", ports = ports())]
    NotSerial(String),
}

/// Opens `tcp:HOST:PORT`, `unix:PATH` or a serial port.
///
/// # Errors
/// If there is no such port, it may not be opened, or nothing answers within ten seconds.
pub fn open(port: &str) -> Result<Box<dyn Link>, LinkError> {
    let name = port.to_owned();
    let opened = within(OPENING, move || {
        if let Some(address) = name.strip_prefix("tcp:") {
            open_tcp(address)
        } else if let Some(path) = name.strip_prefix("unix:") {
            open_unix(path)
        } else {
            open_serial(&name)
        }
    });
    match opened.unwrap_or(Err(NoLink::Slow)) {
        Ok(link) => Ok(link),
        Err(cause) => Err(LinkError { port: port.to_owned(), cause }),
    }
}

/// A link that goes from the thread that opened it to the one that waits.
type OpenLink = Box<dyn Link + Send>;

/// What `work` gives, unless it takes longer; then it is left alone on its thread.
fn within<T: Send + 'static>(time: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = channel();
    let worker = thread::Builder::new().name("port".into()).spawn(move || drop(done.send(work())));
    worker.ok().and_then(|_| result.recv_timeout(time).ok())
}

fn open_tcp(address: &str) -> Result<OpenLink, NoLink> {
    let deadline = Instant::now() + OPENING;
    let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
    for address in address.to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NoLink::Slow);
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                stream.set_nodelay(true)?;
                return Ok(Box::new(stream));
            }
            Err(error) => last = error,
        }
    }
    Err(last.into())
}

#[cfg(unix)]
fn open_unix(path: &str) -> Result<OpenLink, NoLink> {
    let stream = std::os::unix::net::UnixStream::connect(path)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(Box::new(stream))
}

#[cfg(not(unix))]
fn open_unix(_path: &str) -> Result<OpenLink, NoLink> {
    Err(io::Error::new(ErrorKind::Unsupported, "this system has no Unix sockets").into())
}

fn open_serial(path: &str) -> Result<OpenLink, NoLink> {
    let port = serialport::new(path, BAUD_RATE).timeout(TIMEOUT).open_native().map_err(why_not)?;
    let writer = port.try_clone_native().map_err(why_not)?;
    Ok(Box::new(SerialLink { port, writer: Background::new(writer)? }))
}

/// What the library's error means for somebody who plugged a board in.
fn why_not(error: serialport::Error) -> NoLink {
    use serialport::ErrorKind as Kind;
    match error.kind() {
        Kind::Io(ErrorKind::PermissionDenied) if cfg!(windows) => NoLink::Busy,
        Kind::Io(ErrorKind::PermissionDenied) => NoLink::Permission,
        Kind::NoDevice if cfg!(windows) => NoLink::Missing,
        // So the library calls EBUSY and a lock that somebody else holds.
        Kind::NoDevice => NoLink::Busy,
        Kind::Io(ErrorKind::NotFound) => NoLink::Missing,
        Kind::Io(_) => NoLink::Io(error.into()),
        Kind::Unknown | Kind::InvalidInput => NoLink::NotSerial(error.description),
    }
}

/// The serial ports of this machine, in words.
fn ports() -> String {
    let names: Vec<String> =
        serialport::available_ports().unwrap_or_default().into_iter().map(|port| port.port_name).collect();
    match names.as_slice() {
        [] => "this machine has no serial port now: is the board plugged in?".into(),
        names => format!("the serial ports of this machine are {}", names.join(", ")),
    }
}

/// A serial port. The library looks whether there is room for a byte and then writes them all, which may take for ever
/// where nobody reads; so a thread does it, which can be left alone.
struct SerialLink<P> {
    port: P,
    writer: Background,
}

impl<P: Read> Read for SerialLink<P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.port.read(buffer)
    }
}

impl<P> Write for SerialLink<P> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Writes on a thread of its own, one piece after the other.
struct Background {
    work: Sender<Vec<u8>>,
    done: Receiver<io::Result<()>>,
    /// A piece was handed over and is not known to be written.
    busy: bool,
}

impl Background {
    fn new(mut port: impl Write + Send + 'static) -> io::Result<Self> {
        let (work, pieces) = channel::<Vec<u8>>();
        let (report, done) = channel();
        thread::Builder::new().name("port writer".into()).spawn(move || {
            for piece in pieces {
                if report.send(write_patiently(&mut port, &piece)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { work, done, busy: false })
    }
}

/// Writes all, even if there is no room for a while.
fn write_patiently(port: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    let deadline = Instant::now() + GIVEN_UP;
    while !bytes.is_empty() {
        match port.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if is_timeout(&error) && Instant::now() < deadline => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether a read or a write failed only because there was nothing to read, or no room, for a while.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

impl Write for Background {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        self.work.send(bytes.to_vec()).map_err(|_| io::Error::from(ErrorKind::BrokenPipe))?;
        self.busy = true;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.busy {
            return Ok(());
        }
        match self.done.recv_timeout(TIMEOUT) {
            Ok(result) => {
                self.busy = false;
                result
            }
            Err(RecvTimeoutError::Timeout) => Err(ErrorKind::TimedOut.into()),
            Err(RecvTimeoutError::Disconnected) => Err(ErrorKind::BrokenPipe.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Writes until there is no room for a while; at most `limit` bytes, lest it never ends.
    fn fill(link: &mut dyn Link, limit: usize) -> io::Error {
        let start = Instant::now();
        for _ in 0..limit.div_ceil(1024) {
            if let Err(error) = link.write(&[b'x'; 1024]).and_then(|_| link.flush()) {
                assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
                return error;
            }
        }
        panic!("the other end took {limit} bytes that nobody read");
    }

    fn message(port: &str) -> String {
        open(port).err().expect("it cannot be opened").to_string()
    }

    #[test]
    fn a_socket_that_nobody_reads_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut link = open(&format!("tcp:{}", listener.local_addr().unwrap())).unwrap();
        assert!(is_timeout(&fill(&mut *link, 64 << 20)));
        let error = link.read(&mut [0]).expect_err("nobody writes");
        assert!(is_timeout(&error), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn a_unix_socket_that_nobody_reads_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("board");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut link = open(&format!("unix:{}", path.display())).unwrap();
        assert!(is_timeout(&fill(&mut *link, 64 << 20)));
    }

    #[test]
    #[cfg(unix)]
    fn a_serial_port_that_nobody_reads_is_not_waited_for() {
        use serialport::{SerialPort, TTYPort};

        let (mut board, host) = TTYPort::pair().unwrap();
        let name = host.name().unwrap();
        drop(host);
        let mut link = open(&name).unwrap();
        // What is written arrives, in order.
        link.write_all(b"first").unwrap();
        link.write_all(b" second").unwrap();
        let mut heard = [0; 12];
        board.set_timeout(Duration::from_secs(10)).unwrap();
        board.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"first second");
        board.write_all(b"reply").unwrap();
        let mut reply = [0; 5];
        link.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"reply");
        assert!(is_timeout(&fill(&mut *link, 64 << 20)));
    }

    #[test]
    #[cfg(unix)]
    fn a_port_that_another_program_has_open_is_called_busy() {
        use serialport::{SerialPort, TTYPort};

        let (_board, host) = TTYPort::pair().unwrap();
        let name = host.name().unwrap();
        drop(host);
        let _first = open(&name).unwrap();
        let message = message(&name);
        assert!(message.contains(&name) && message.contains("another program has it open"), "{message}");
    }

    #[test]
    fn what_work_takes_too_long_is_left_alone() {
        let start = Instant::now();
        let late = within(Duration::from_millis(20), || {
            thread::sleep(Duration::from_secs(60));
            1
        });
        assert_eq!(late, None);
        assert!(start.elapsed() < Duration::from_secs(30));
        assert_eq!(within(Duration::from_secs(60), || 2), Some(2));
    }

    #[test]
    #[cfg(unix)]
    fn every_error_says_what_to_do() {
        let denied =
            serialport::Error::new(serialport::ErrorKind::Io(ErrorKind::PermissionDenied), "Permission denied");
        let words = why_not(denied).to_string();
        assert!(words.contains("dialout") && words.contains("usermod"), "{words}");
        for (port, expected) in [
            ("/dev/no-such-port", "there is no such port; "),
            ("/dev/null", "it is no serial port"),
            ("unix:/no/such/socket", "tcp:HOST:PORT"),
            ("tcp:127.0.0.1", "tcp:HOST:PORT"),
            ("tcp:127.0.0.1:1", "refused"),
        ] {
            let message = message(port);
            assert!(message.contains(port) && message.contains(expected), "{message}");
        }
    }
}
