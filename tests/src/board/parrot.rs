//! A board that keeps saying the same.

use std::io::{self, Read, Write};

use cnn_core::protocol::{self, Deframer, MAX_FRAME, Reply};
use host_trainer::board::Client;

/// A board that gives one reply to everything, and counts.
pub struct Parrot {
    reply: Reply<'static>,
    request: Deframer,
    said: Vec<u8>,
    requests: usize,
}

/// A client of a board that says nothing but this.
pub fn saying(reply: Reply<'static>) -> Client<Parrot> {
    Client::new(Parrot { reply, request: Deframer::new(), said: vec![], requests: 0 })
}

impl Write for Parrot {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            if let Ok(Some(frame)) = self.request.push(byte) {
                let sequence = protocol::open(frame).expect("a good line").sequence;
                let mut frame = [0; MAX_FRAME];
                let len = protocol::encode(sequence, &self.reply, &mut frame).expect("it fits");
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
