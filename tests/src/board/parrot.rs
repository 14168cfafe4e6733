//! Boards that know their lines only: each request has its reply, whatever a real board would say.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use cnn_core::protocol::{self, Deframer, MAX_FRAME, Reply, Request};
use host_trainer::board::{Client, Timeouts};

/// A board that gives the reply of a closure, and counts.
pub struct Parrot {
    reply: Box<dyn FnMut(Request<'_>) -> Reply<'static>>,
    request: Deframer,
    said: Vec<u8>,
    requests: usize,
}

/// A client of a board that says nothing but this.
pub fn saying(reply: Reply<'static>) -> Client<Parrot> {
    answering(move |_| reply)
}

/// A client of a board that answers so.
pub fn answering(reply: impl FnMut(Request<'_>) -> Reply<'static> + 'static) -> Client<Parrot> {
    Client::new(Parrot::new(reply))
}

impl Parrot {
    /// The board itself.
    pub fn new(reply: impl FnMut(Request<'_>) -> Reply<'static> + 'static) -> Self {
        Self { reply: Box::new(reply), request: Deframer::new(), said: vec![], requests: 0 }
    }
}

impl Write for Parrot {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            if let Ok(Some(frame)) = self.request.push(byte) {
                let message = protocol::open(frame).expect("a good line");
                let reply = (self.reply)(message.request().expect("the host's own requests make sense"));
                let mut frame = [0; MAX_FRAME];
                let len = protocol::encode(message.sequence, &reply, &mut frame).expect("it fits");
                self.said.extend(&frame[..len]);
                self.requests += 1;
                assert!(self.requests < 1000, "this never ends");
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Parrot {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.said.len().min(buffer.len());
        buffer[..len].copy_from_slice(&self.said[..len]);
        self.said.drain(..len);
        Ok(len)
    }
}

/// The other end of a line where no board is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoBoard {
    /// Nobody reads and nobody writes.
    Wall,
    /// What is sent comes back.
    Loop,
    /// A byte comes with every read, for ever, and never a delimiter.
    Drip,
}

/// A client of such a line, with short timeouts.
pub fn without_board(kind: NoBoard) -> Client<impl Read + Write> {
    let soon = Duration::from_millis(50);
    let timeouts = Timeouts { quick: soon, compute: soon, erase: soon, ..Timeouts::default() };
    Client::with_timeouts(line(kind), timeouts)
}

/// The line itself.
pub fn line(kind: NoBoard) -> impl Read + Write {
    Line { kind, looped: vec![] }
}

struct Line {
    kind: NoBoard,
    looped: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.kind {
            NoBoard::Wall => Err(ErrorKind::WouldBlock.into()),
            NoBoard::Loop => {
                self.looped.extend(bytes);
                Ok(bytes.len())
            }
            NoBoard::Drip => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.kind == NoBoard::Drip {
            buffer[0] = b'x';
            return Ok(1);
        }
        let len = self.looped.len().min(buffer.len());
        buffer[..len].copy_from_slice(&self.looped[..len]);
        self.looped.drain(..len);
        if len > 0 { Ok(len) } else { Err(ErrorKind::TimedOut.into()) }
    }
}
