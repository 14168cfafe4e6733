//! A line that loses, doubles and flips bytes, and adds noise; and bytes that nobody should send.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;

use cnn_core::model::HEADER_LEN;
use cnn_core::protocol::{self, DELIMITER, MAX_CHUNK, MAX_FRAME, Request};
use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};
use equality::values::Values;
use serde::ser::{Serialize, SerializeTuple, Serializer};

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

/// Bytes that no host of ours sends: noise, floods, frames that are damaged, cut, glued or too long, and good frames whose
/// messages make no sense. `file` is a model file that they do not get through with.
pub fn hostile_bytes(file: &[u8]) -> Vec<u8> {
    let mut values = Values::new(77);
    let mut noise = |len: usize| -> Vec<u8> { (0..len).map(|_| values.below(256) as u8).collect() };
    let mut bytes = [noise(3000), vec![DELIMITER; 500], vec![0xff; 3 * MAX_FRAME], vec![DELIMITER]].concat();
    let good = frame_of(&Request::Classify { pixels: &[0xa5; 784] });
    for cut in [1, 253, 254, 255, 400, good.len() - 2] {
        bytes.extend(&good[..cut]);
        bytes.extend(&good);
    }
    for at in [0, 1, 5, 500] {
        let mut damaged = good.clone();
        damaged[at] ^= 0x10;
        bytes.extend(damaged);
    }
    // An update whose start is that of a model file but for its metadata.
    let header = *file.first_chunk().expect("a header");
    bytes.extend(frame_of(&Request::UpdateBegin { header }));
    let mut start = file[HEADER_LEN..HEADER_LEN + MAX_CHUNK].to_vec();
    for at in [0, 3, 70, 900] {
        start[at] ^= 0x55;
        bytes.extend(frame_of(&Request::UpdateChunk { offset: HEADER_LEN as u32, data: &start }));
    }
    bytes.extend(frame_of(&Request::UpdateCommit { header }));
    // No message is a whole one: those of a length that could be are left out.
    for kind in 0..8 {
        for len in [1, 2, 7, 15, 18, 300] {
            let body: Vec<u8> = [vec![kind], noise(len)].concat();
            bytes.extend(frame_of(&Raw(&body)));
        }
    }
    bytes
}

fn frame_of(message: &impl Serialize) -> Vec<u8> {
    let mut frame = [0; MAX_FRAME];
    let len = protocol::encode(4, message, &mut frame).expect("it fits");
    frame[..len].to_vec()
}

/// Bytes that are written as they are: postcard puts nothing around a tuple.
pub struct Raw<'a>(
    /// The bytes.
    pub &'a [u8],
);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for byte in self.0 {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }
}
