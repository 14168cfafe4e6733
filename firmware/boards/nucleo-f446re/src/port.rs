//! The serial port as `embedded-io` has it.

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};
use nb::block;
use stm32f4xx_hal::pac::USART2;
use stm32f4xx_hal::prelude::*;
use stm32f4xx_hal::serial::{Error, RxISR, Serial};

/// USART2, polled.
pub struct Port(Serial<USART2>);

/// The port noticed a fault: a byte was lost or came garbled.
#[derive(Debug)]
pub struct PortError(#[allow(dead_code, reason = "for the debugger")] Error);

impl core::fmt::Display for PortError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the serial port lost a byte")
    }
}

impl core::error::Error for PortError {}

impl embedded_io::Error for PortError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl Port {
    /// The port, set up.
    pub fn new(serial: Serial<USART2>) -> Self {
        Self(serial)
    }
}

impl ErrorType for Port {
    type Error = PortError;
}

impl ReadReady for Port {
    fn read_ready(&mut self) -> Result<bool, PortError> {
        Ok(self.0.is_rx_not_empty())
    }
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PortError> {
        let Some(place) = buffer.first_mut() else { return Ok(0) };
        *place = block!(self.0.read()).map_err(PortError)?;
        Ok(1)
    }
}

impl Write for Port {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, PortError> {
        let Some(&byte) = bytes.first() else { return Ok(0) };
        block!(self.0.write(byte)).map_err(PortError)?;
        Ok(1)
    }

    fn flush(&mut self) -> Result<(), PortError> {
        block!(self.0.flush()).map_err(PortError)
    }
}
