//! The chip's own USB as `embedded-io` has it: its USB Serial/JTAG controller, which speaks CDC-ACM by itself
//! (ESP32-C3 Technical Reference Manual, chapter of its name).
//!
//! No byte is lost on the way in: where the controller's 64 bytes are full, USB itself holds the host back.

use board_support::NotFetched;
use embedded_io::{ErrorType, Read, ReadReady, Write};
use esp_hal::Blocking;
use esp_hal::time::{Duration, Instant};
use esp_hal::usb::usb_serial_jtag::UsbSerialJtag;

/// How long a host may take to fetch a packet, until it counts as one that fetches nothing. ESP-IDF has the
/// same patience.
const PATIENCE: Duration = Duration::from_millis(50);

/// The controller, with a byte that was asked for and not taken yet.
pub struct Port {
    controller: UsbSerialJtag<'static, Blocking>,
    /// The controller tells whether there is a byte only by giving it.
    next: Option<u8>,
}

impl Port {
    /// The controller's serial port.
    pub fn new(controller: UsbSerialJtag<'static, Blocking>) -> Self {
        Self { controller, next: None }
    }

    /// Takes a byte from the controller, unless one is waiting already or none is there.
    fn look(&mut self) {
        if self.next.is_none() {
            self.next = self.controller.read_byte().ok();
        }
    }

    /// Tries again until the controller can.
    fn patiently(
        &mut self,
        mut operation: impl FnMut(&mut UsbSerialJtag<'static, Blocking>) -> nb::Result<(), core::convert::Infallible>,
    ) -> Result<(), NotFetched> {
        let start = Instant::now();
        while operation(&mut self.controller).is_err() {
            if start.elapsed() > PATIENCE {
                return Err(NotFetched);
            }
        }
        Ok(())
    }
}

impl ErrorType for Port {
    type Error = NotFetched;
}

impl ReadReady for Port {
    fn read_ready(&mut self) -> Result<bool, NotFetched> {
        self.look();
        Ok(self.next.is_some())
    }
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, NotFetched> {
        let Some(place) = buffer.first_mut() else { return Ok(0) };
        loop {
            self.look();
            if let Some(byte) = self.next.take() {
                *place = byte;
                return Ok(1);
            }
        }
    }
}

impl Write for Port {
    /// Never waits long for a host: it stops where one fetches nothing.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, NotFetched> {
        let Some(&byte) = bytes.first() else { return Ok(0) };
        self.patiently(|controller| controller.write_byte_nb(byte))?;
        Ok(1)
    }

    /// Sends what is no whole packet, and waits until the host has fetched it: a reset would take it away.
    fn flush(&mut self) -> Result<(), NotFetched> {
        self.patiently(UsbSerialJtag::flush_tx_nb)
    }
}
