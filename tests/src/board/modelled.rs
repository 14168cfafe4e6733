//! The firmware's application over a modelled board, in the test's own process.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::{self, ErrorKind, Read, Write};
use std::ptr::NonNull;
use std::rc::Rc;
use std::time::Duration;

use application::{Application, Event, Next, System};
use cnn_core::environment::{self, Violation};
use cnn_core::protocol::Memory;
use embedded_hal::digital::{ErrorType, OutputPin};
use host_trainer::board::{Client, Timeouts};

use super::flash::{Flash, Geometry, Power};
use super::line::{BoardPort, Faults, SharedPort};

/// What the application said so far.
pub type Events = Rc<RefCell<Vec<Event>>>;

/// Clock, arithmetic and log of the modelled board. The clock goes on by a millisecond with every look at it.
pub struct Clock {
    cycles: u64,
    arithmetic: Result<(), Violation>,
    events: Events,
}

/// Samples that the modelled board has room for.
pub const SAMPLES: usize = 110;

type Buffers = application::Buffers<SAMPLES>;

const CLOCK_HZ: u32 = 1_000_000;

impl System for Clock {
    const BOARD: &'static str = "modelled";

    fn arithmetic(&self) -> Result<(), Violation> {
        self.arithmetic
    }

    fn clock_hz(&self) -> u32 {
        CLOCK_HZ
    }

    fn cycles(&mut self) -> u64 {
        self.cycles += u64::from(CLOCK_HZ / 1000);
        self.cycles
    }

    fn memory(&self) -> Memory {
        Memory::default()
    }

    fn log(&mut self, event: Event) {
        self.events.borrow_mut().push(event);
    }
}

/// A light nobody looks at.
pub struct Light;

impl ErrorType for Light {
    type Error = Infallible;
}

impl OutputPin for Light {
    fn set_low(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

type App<G> = Application<'static, SharedPort, Flash<G>, Light, Clock>;

/// A board; as a link it is the host's end of the line.
pub struct Board<G: Geometry> {
    /// Nothing only while it is being reset.
    application: Option<App<G>>,
    /// The application's memory; declared behind it, so that it goes later.
    memory: Ram,
    /// The line.
    pub port: SharedPort,
    /// What the application said since the first boot.
    pub events: Events,
    /// The flash's supply, which is the whole board's.
    pub power: Power,
    /// What the next boot finds out of the arithmetic.
    pub arithmetic: Result<(), Violation>,
}

impl<G: Geometry> Board<G> {
    /// A board whose model area holds `file`, at the end of a line with `faults` drawn from `seed`.
    pub fn holding(file: &[u8], faults: Faults, seed: u64) -> Self {
        let power = Power::default();
        Self::with_flash(Flash::holding(file, power.clone()), power, faults, seed)
    }

    /// A board with this flash.
    pub fn with_flash(flash: Flash<G>, power: Power, faults: Faults, seed: u64) -> Self {
        let port = SharedPort::new(BoardPort::new(faults, seed));
        let events = Events::default();
        let arithmetic = environment::check();
        let clock = Clock { cycles: 0, arithmetic, events: events.clone() };
        let memory = Ram::new();
        // SAFETY: nothing else borrows the new memory, and the application goes first.
        let application = Some(boot(port.clone(), flash, clock, unsafe { memory.lend() }));
        Self { application, memory, port, events, power, arithmetic }
    }

    /// Power off and on, or a reset: flash stays, everything else starts anew.
    pub fn reboot(&mut self) {
        self.power.restore();
        if let Some(application) = self.application.take() {
            let (port, flash, _, clock) = application.release();
            let clock = Clock { arithmetic: self.arithmetic, ..clock };
            // SAFETY: the application that borrowed the memory is gone, and the new one goes before the memory.
            self.application = Some(boot(port, flash, clock, unsafe { self.memory.lend() }));
        }
    }

    /// The flash as it is; the board is gone.
    pub fn into_flash(mut self) -> Option<Flash<G>> {
        self.application.take().map(|application| application.release().1)
    }

    /// A client of this board that does not wait long.
    pub fn client(&mut self) -> Client<&mut Self> {
        let timeout = Duration::from_millis(2);
        Client::with_timeouts(
            self,
            Timeouts { quick: timeout, compute: timeout, erase: timeout, ..Timeouts::default() },
        )
    }

    /// Lets the application run until it has nothing to do, and longer than it waits for the rest of a frame.
    pub fn run(&mut self) {
        let mut idle = 0;
        while idle < 300 && !self.power.is_off() {
            idle = if self.port.borrow_mut().inward.is_empty() { idle + 1 } else { 0 };
            self.poll();
        }
    }

    /// Lets the application do one thing, a reset included.
    pub fn poll(&mut self) {
        if self.application.as_mut().is_some_and(|application| application.poll() == Next::Reset) {
            self.reboot();
        }
    }
}

fn boot<G: Geometry>(port: SharedPort, flash: Flash<G>, clock: Clock, buffers: &'static mut Buffers) -> App<G> {
    Application::boot(port, flash, Light, clock, buffers)
}

/// The memory that a board's applications use one after the other. Firmware has it in a `static`; here it is given back,
/// for fuzzing boots millions of boards.
struct Ram(NonNull<Buffers>);

impl Ram {
    fn new() -> Self {
        Self(NonNull::from(Box::leak(Box::default())))
    }

    /// # Safety
    /// Of what was lent before nothing may be alive, and what is lent now must go before `self` does.
    unsafe fn lend(&self) -> &'static mut Buffers {
        // SAFETY: the pointer is that of a box that lives as long as `self`; the caller vouches for the rest.
        unsafe { &mut *self.0.as_ptr() }
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        // SAFETY: the pointer is that of a leaked box, and nothing borrows it any more, as `lend` asks.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl<G: Geometry> Read for Board<G> {
    /// Lets the board run until it has something to say.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.power.is_off() {
                // What a board was about to say when power failed is lost, and it hears nothing.
                let mut port = self.port.borrow_mut();
                while port.outward.receive().is_some() || port.inward.receive().is_some() {}
                return Err(ErrorKind::TimedOut.into());
            }
            if !self.port.borrow_mut().outward.is_empty() {
                break;
            }
            if self.port.borrow_mut().inward.is_empty() {
                self.run();
                if self.port.borrow_mut().outward.is_empty() {
                    return Err(ErrorKind::TimedOut.into());
                }
            }
            self.poll();
        }
        let mut port = self.port.borrow_mut();
        let mut count = 0;
        for (place, byte) in buffer.iter_mut().zip(std::iter::from_fn(|| port.outward.receive())) {
            *place = byte;
            count += 1;
        }
        Ok(count)
    }
}

impl<G: Geometry> Write for Board<G> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut port = self.port.borrow_mut();
        for &byte in bytes {
            port.inward.send(byte);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
