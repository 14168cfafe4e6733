//! A line that loses, doubles and flips bytes, and adds noise.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};

use equality::values::Values;

/// What goes wrong, each in this many bytes of 10,000.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Bytes that do not arrive.
    pub lost: u32,
    /// Bytes that arrive twice.
    pub doubled: u32,
    /// Bytes that arrive with one bit flipped.
    pub flipped: u32,
    /// Random bytes in front of one.
    pub noise: u32,
}

/// Passes bytes on, faults included.
pub struct Channel {
    faults: Faults,
    values: Values,
    queue: VecDeque<u8>,
}

impl Channel {
    /// A channel whose faults come from a seed.
    pub fn new(faults: Faults, seed: u64) -> Self {
        Self { faults, values: Values::new(seed), queue: VecDeque::new() }
    }

    /// Sends a byte.
    pub fn send(&mut self, byte: u8) {
        let mut happens = |chance: u32| self.values.below(10_000) < chance;
        let Faults { lost, doubled, flipped, noise } = self.faults;
        let [lost, doubled, flipped, noise] = [happens(lost), happens(doubled), happens(flipped), happens(noise)];
        if noise {
            self.queue.push_back(self.values.below(256) as u8);
        }
        let byte = if flipped { byte ^ (1 << self.values.below(8)) } else { byte };
        for _ in 0..u32::from(!lost) + u32::from(doubled) {
            self.queue.push_back(byte);
        }
    }

    /// Takes a byte that has arrived.
    pub fn receive(&mut self) -> Option<u8> {
        self.queue.pop_front()
    }

    /// Whether nothing has arrived.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// The board's end of a line.
pub struct BoardPort {
    /// From the host to the board.
    pub inward: Channel,
    /// From the board to the host.
    pub outward: Channel,
    /// The next so many reads fail as a port does that was overrun.
    pub overruns: u32,
}

impl BoardPort {
    /// A line with the same faults in both directions.
    pub fn new(faults: Faults, seed: u64) -> Self {
        Self { inward: Channel::new(faults, seed), outward: Channel::new(faults, !seed), overruns: 0 }
    }
}

/// A [`BoardPort`] that the board and the test both hold.
#[derive(Clone)]
pub struct SharedPort(Rc<RefCell<BoardPort>>);

impl SharedPort {
    /// Shares a port.
    pub fn new(port: BoardPort) -> Self {
        Self(Rc::new(RefCell::new(port)))
    }

    /// The test's hand on it.
    pub fn borrow_mut(&self) -> RefMut<'_, BoardPort> {
        self.0.borrow_mut()
    }
}

impl ErrorType for SharedPort {
    type Error = ErrorKind;
}

impl ReadReady for SharedPort {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(!self.0.borrow().inward.is_empty())
    }
}

impl Read for SharedPort {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        let mut port = self.borrow_mut();
        if port.overruns > 0 {
            port.overruns -= 1;
            port.inward.receive();
            return Err(ErrorKind::Other);
        }
        match (buffer.first_mut(), port.inward.receive()) {
            (Some(place), Some(byte)) => {
                *place = byte;
                Ok(1)
            }
            _ => Ok(0),
        }
    }
}

impl Write for SharedPort {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        for &byte in bytes {
            self.borrow_mut().outward.send(byte);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}
