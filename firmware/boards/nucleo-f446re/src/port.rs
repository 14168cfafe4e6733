//! The serial port as `embedded-io` has it. An interrupt takes each byte, so that none is lost while the board computes.

use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::interrupt::{Mutex, free};
use cortex_m::peripheral::NVIC;
use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};
use heapless::Deque;
use nb::block;
use stm32f4xx_hal::pac::{Interrupt, USART2, interrupt};
use stm32f4xx_hal::prelude::*;
use stm32f4xx_hal::serial::{Rx, Serial, Tx};

use cnn_core::protocol::MAX_FRAME;

/// What the interrupt fills. A host that waits for its replies never has more than a frame under way.
static RECEIVED: Mutex<RefCell<Deque<u8, MAX_FRAME>>> = Mutex::new(RefCell::new(Deque::new()));
static RECEIVER: Mutex<RefCell<Option<Rx<USART2>>>> = Mutex::new(RefCell::new(None));
/// A byte was lost or came garbled since the port was read last.
static FAULT: AtomicBool = AtomicBool::new(false);

#[interrupt]
fn USART2() {
    free(|section| {
        let Some(receiver) = &mut *RECEIVER.borrow(section).borrow_mut() else { return };
        let byte = match receiver.read() {
            Ok(byte) => Some(byte),
            Err(nb::Error::WouldBlock) => return,
            Err(nb::Error::Other(_)) => None,
        };
        let taken = byte.is_some_and(|byte| RECEIVED.borrow(section).borrow_mut().push_back(byte).is_ok());
        if !taken {
            FAULT.store(true, Ordering::Relaxed);
        }
    });
}

/// Whether the port has something to say: bytes or a fault.
fn is_ready() -> bool {
    FAULT.load(Ordering::Relaxed) || free(|section| !RECEIVED.borrow(section).borrow().is_empty())
}

/// Stops the core until the next interrupt, unless the port has something to say.
pub fn sleep() {
    // An interrupt that comes after the look at the port still ends the wait: WFI wakes on it though it is held back.
    free(|_| {
        if !is_ready() {
            cortex_m::asm::wfi();
        }
    });
}

/// USART2.
pub struct Port(Tx<USART2>);

/// The port lost a byte, or one came garbled.
#[derive(Debug)]
pub struct PortError;

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
    /// Starts to receive.
    pub fn new(serial: Serial<USART2>) -> Self {
        let (sender, mut receiver) = serial.split();
        receiver.listen();
        free(|section| RECEIVER.borrow(section).replace(Some(receiver)));
        // SAFETY: the handler takes nothing that is not behind a mutex.
        unsafe { NVIC::unmask(Interrupt::USART2) };
        Self(sender)
    }
}

impl ErrorType for Port {
    type Error = PortError;
}

impl ReadReady for Port {
    fn read_ready(&mut self) -> Result<bool, PortError> {
        Ok(is_ready())
    }
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PortError> {
        let Some(place) = buffer.first_mut() else { return Ok(0) };
        loop {
            if FAULT.swap(false, Ordering::Relaxed) {
                return Err(PortError);
            }
            if let Some(byte) = free(|section| RECEIVED.borrow(section).borrow_mut().pop_front()) {
                *place = byte;
                return Ok(1);
            }
            sleep();
        }
    }
}

impl Write for Port {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, PortError> {
        let Some(&byte) = bytes.first() else { return Ok(0) };
        block!(self.0.write(byte)).map_err(|_| PortError)?;
        Ok(1)
    }

    fn flush(&mut self) -> Result<(), PortError> {
        block!(self.0.flush()).map_err(|_| PortError)
    }
}
