//! The firmware without its board: it checks the model in flash, talks to a host over a line, classifies images,
//! takes new models, learns from samples, and shows digits on a light.
//!
//! [`Application`] is generic over everything that a board brings: a line (`embedded-io`), the flash area of the model
//! (`embedded-storage`), a light (`embedded-hal`), and [`System`] for the rest. A binary puts a board under it and calls
//! [`Application::poll`] for ever; the host's tests put a modelled flash and a faulty line under it.
//!
//! It never panics and never waits for a host: whatever the line brings, the next good request is answered.
#![no_std]
#![forbid(unsafe_code)]

mod area;
mod confidence;
mod device;
mod engine;
mod glyphs;
mod kept;
mod light;

use cnn_core::environment::{self, Violation};
use cnn_core::head::Hidden;
use cnn_core::image::Pixels;
use cnn_core::int8;
use cnn_core::learn::{self, Learner, Samples};
use cnn_core::model::{MAX_START, ModelError};
use cnn_core::network::{Activations, HIDDEN, Logits, Parameters};
use cnn_core::protocol::{self, Deframer, FrameError, KeptError, LineCounters, MAX_FRAME, Memory, Refusal, SILENCE_MS};
use embedded_hal::digital::OutputPin;
use embedded_io::{Read, ReadReady, Write};

pub use area::{ModelFlash, NotTaken, install};
pub use confidence::{PERMILLE_ERROR, permille};
use device::Device;
use engine::Engine;
pub use glyphs::GLYPHS;

/// The firmware's version, as [`protocol::Info`] gives it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// [`cnn_core::network::forward`] or its equal.
pub type Forward = fn(&Parameters<'_>, &mut Activations) -> Logits;

/// [`cnn_core::int8::forward`] or its equal.
pub type Int8Forward = fn(&Pixels, &int8::Parameters<'_>, &mut int8::Activations) -> int8::Logits;

/// What the application needs of a board beside line, flash and light.
pub trait System {
    /// The board's name, at most [`protocol::MAX_NAME`] bytes.
    const BOARD: &'static str;

    /// The forward pass: cnn-core's, or one that gives the same bits faster.
    const FORWARD: Forward = cnn_core::network::forward;

    /// Whether the core computes as the contract says; asked once, at boot. No model runs where it does not.
    ///
    /// # Errors
    /// What it does otherwise.
    fn arithmetic(&self) -> Result<(), Violation> {
        environment::check()
    }

    /// The forward pass of an int8 model: cnn-core's, or one that gives the same integers faster.
    const INT8_FORWARD: Int8Forward = int8::forward;

    /// Cycles of the core's clock in a second.
    fn clock_hz(&self) -> u32;

    /// Cycles of the core's clock since some moment. It may fall behind while flash is erased or written.
    fn cycles(&mut self) -> u64;

    /// Nothing is to be done: sleep until the line has something to say, or for some milliseconds.
    fn sleep(&mut self) {}

    /// Flash and RAM in use.
    fn memory(&self) -> Memory;

    /// Says to whoever watches the board what happened.
    fn log(&mut self, event: Event);
}

/// What happened, for the log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// The model in flash passed every check and runs.
    ModelRuns {
        /// SHA-256 of its parameters.
        fingerprint: [u8; 32],
    },
    /// There is no model that could run; the board waits for one.
    ModelMissing(ModelError),
    /// An image was classified.
    Classified {
        /// The digit.
        class: u8,
        /// Its probability in thousandths.
        permille: u16,
        /// Cycles of the core's clock from pixels to logits.
        cycles: u32,
    },
    /// A learned head in flash passed every check and takes the place of the model's own.
    HeadRuns {
        /// SHA-256 of its parameters.
        fingerprint: [u8; 32],
    },
    /// The learned head in flash is not used.
    HeadRefused(KeptError),
    /// An epoch over all samples was learned.
    Learned {
        /// Cycles of the core's clock that it took.
        cycles: u32,
    },
    /// An update begins, or goes on, at this offset of the file.
    UpdateFrom(u32),
    /// A request was refused.
    Refused(Refusal),
    /// A frame was dropped.
    Dropped(FrameError),
    /// The line fell silent in the middle of a frame, which was dropped.
    TimedOut,
    /// The line's port reported an error.
    PortError,
}

/// What [`Application::poll`] asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Call it again.
    Poll,
    /// Reset the board.
    Reset,
}

/// The large part of an application's memory, for a `static`, with room for so many samples to learn from.
#[derive(Debug)]
pub struct Buffers<const SAMPLES: usize> {
    received: Deframer,
    reply: [u8; MAX_FRAME],
    start: area::StartBuffer,
    activations: Activations,
    int8_activations: int8::Activations,
    hidden: [Hidden; SAMPLES],
    labels: [u8; SAMPLES],
    learning: learn::Memory,
}

impl<const SAMPLES: usize> Buffers<SAMPLES> {
    /// All zeros.
    pub const fn new() -> Self {
        Self {
            received: Deframer::new(),
            reply: [0; MAX_FRAME],
            start: [0; MAX_START],
            activations: Activations::new(),
            int8_activations: int8::Activations::new(),
            hidden: [[0.0; HIDDEN]; SAMPLES],
            labels: [0; SAMPLES],
            learning: learn::Memory::new(),
        }
    }
}

impl<const SAMPLES: usize> Default for Buffers<SAMPLES> {
    fn default() -> Self {
        Self::new()
    }
}

/// The firmware over a line `L`, a model area in flash `F`, a light `P` and the rest of a board `S`.
pub struct Application<'a, L, F, P, S> {
    line: L,
    received: &'a mut Deframer,
    reply: &'a mut [u8; MAX_FRAME],
    counters: LineCounters,
    /// When the last byte came, in cycles.
    last_byte: u64,
    device: Device<'a, F, P, S>,
}

impl<'a, L, F, P, S> Application<'a, L, F, P, S>
where
    L: Read + ReadReady + Write,
    F: ModelFlash,
    P: OutputPin,
    S: System,
{
    /// Checks the model in flash and says in the log whether it runs.
    pub fn boot<const SAMPLES: usize>(
        line: L,
        flash: F,
        light: P,
        system: S,
        buffers: &'a mut Buffers<SAMPLES>,
    ) -> Self {
        let Buffers { received, reply, start, activations, int8_activations, hidden, labels, learning } = buffers;
        received.discard();
        let arithmetic = system.arithmetic();
        let (forward, int8_forward) = (S::FORWARD, S::INT8_FORWARD);
        let engine = Engine { arithmetic, forward, activations, int8_forward, int8_activations };
        let learner = Learner::new(Samples::new(hidden, labels), learning);
        let device = Device::boot(flash, light, system, start, engine, learner);
        Self { line, received, reply, counters: LineCounters::default(), last_byte: 0, device }
    }

    /// Gives the parts of the board back.
    pub fn release(self) -> (L, F, P, S) {
        let (flash, light, system) = self.device.release();
        (self.line, flash, light, system)
    }

    /// Does what is due: moves the light, takes a byte from the line if there is one and replies if it ends a request.
    pub fn poll(&mut self) -> Next {
        let now = self.device.system.cycles();
        self.device.show(now);
        match self.line.read_ready() {
            Ok(true) => {
                self.last_byte = now;
                return self.receive();
            }
            Ok(false) => {
                self.drop_stale_frame(now);
                self.device.system.sleep();
            }
            Err(_) => self.note_port_error(),
        }
        Next::Poll
    }

    fn receive(&mut self) -> Next {
        let mut byte = [0];
        match self.line.read(&mut byte) {
            Ok(1) => {}
            Ok(_) => return Next::Poll,
            Err(_) => {
                self.note_port_error();
                return Next::Poll;
            }
        }
        let frame = match self.received.push(byte[0]) {
            Ok(None) => return Next::Poll,
            Ok(Some(frame)) => protocol::open(frame),
            Err(error) => Err(error),
        };
        match frame {
            Ok(message) => {
                count(&mut self.counters.good);
                let (reply, next) = self.device.carry_out(message.request(), self.counters);
                // A reply that finds no way out is missed by the host, which asks again.
                if let Ok(len) = protocol::encode(message.sequence, &reply, self.reply) {
                    send(&mut self.line, &self.reply[..len]);
                }
                self.device.report(&reply);
                next
            }
            Err(error) => {
                count(match error {
                    FrameError::Damaged => &mut self.counters.damaged,
                    FrameError::TooLong => &mut self.counters.too_long,
                });
                self.device.system.log(Event::Dropped(error));
                Next::Poll
            }
        }
    }

    fn drop_stale_frame(&mut self, now: u64) {
        let silence = u64::from(SILENCE_MS) * u64::from(self.device.system.clock_hz()) / 1000;
        if self.received.is_inside_frame() && now.wrapping_sub(self.last_byte) > silence {
            self.received.discard();
            count(&mut self.counters.timed_out);
            self.device.system.log(Event::TimedOut);
        }
    }

    fn note_port_error(&mut self) {
        count(&mut self.counters.port_errors);
        self.device.system.log(Event::PortError);
    }
}

fn count(counter: &mut u32) {
    *counter = counter.wrapping_add(1);
}

/// Writes all of `bytes`, or stops at the first error.
fn send(line: &mut impl Write, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match line.write(bytes) {
            Ok(written @ 1..) => bytes = bytes.get(written..).unwrap_or_default(),
            Ok(0) | Err(_) => return,
        }
    }
    let _ = line.flush();
}
