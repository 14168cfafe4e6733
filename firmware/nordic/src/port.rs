//! The serial port as `embedded-io` has it. Bytes arrive by DMA, while the processor computes too.

use embassy_futures::block_on;
use embassy_nrf::buffered_uarte::{BufferedUarte, Error};
use embedded_io::{ErrorType, Read, ReadReady, Write};

/// UARTE0 with its buffers.
pub struct Port(BufferedUarte<'static>);

impl Port {
    /// The port, set up.
    pub fn new(uarte: BufferedUarte<'static>) -> Self {
        Self(uarte)
    }
}

impl ErrorType for Port {
    type Error = Error;
}

impl ReadReady for Port {
    fn read_ready(&mut self) -> Result<bool, Error> {
        embedded_io_async::ReadReady::read_ready(&mut self.0)
    }
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        block_on(self.0.read(buffer))
    }
}

impl Write for Port {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        block_on(self.0.write(bytes))
    }

    fn flush(&mut self) -> Result<(), Error> {
        block_on(self.0.flush())
    }
}
