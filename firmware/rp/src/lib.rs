//! What the Raspberry Pi Pico and Pico 2 share, which is all but chip, name and forward pass: the protocol over USB, the
//! flash of the model, the light.
//!
//! Which chip it is, the board's crate tells `embassy-rp`. Its feature `intrinsics`, the floats of the boot ROM, flushes
//! subnormals: `boards/build.rs` refuses it, and the boot check would.
#![no_std]

mod flash;
mod usb;

use core::marker::PhantomData;

use application::{Event, Forward, Int8Forward, System};
use board_support::{CycleCounter, memory};
use cnn_core::protocol::Memory;
use embassy_rp::gpio::{Level, Output};

pub use flash::ModelArea;
pub use usb::Port;

/// What tells one board from the other.
pub trait Kind {
    /// The board's name.
    const NAME: &'static str;
    /// Its forward pass in f32.
    const FORWARD: Forward;
    /// Its forward pass in integers.
    const INT8_FORWARD: Int8Forward;
}

/// The parts of a board that the application takes.
pub struct Board<K> {
    /// A serial port over the board's own USB.
    pub port: Port,
    /// 448 KB behind the program.
    pub flash: ModelArea,
    /// The light beside the USB socket: GP25 on boards without Wi-Fi.
    pub led: Output<'static>,
    /// The rest.
    pub system: Pico<K>,
}

/// Clock, memory and log of a board.
pub struct Pico<K> {
    cycles: CycleCounter,
    kind: PhantomData<K>,
}

impl<K: Kind> Board<K> {
    /// Takes the board's parts after a reset.
    ///
    /// # Panics
    /// If called twice.
    pub fn start() -> Self {
        let core = cortex_m::Peripherals::take().expect("taken once");
        let peripherals = embassy_rp::init(embassy_rp::config::Config::default());
        Self {
            port: Port::new(peripherals.USB, K::NAME),
            flash: ModelArea::new(peripherals.FLASH),
            led: Output::new(peripherals.PIN_25, Level::Low),
            system: Pico { cycles: CycleCounter::start(core.SYST), kind: PhantomData },
        }
    }
}

impl<K: Kind> System for Pico<K> {
    const BOARD: &'static str = K::NAME;
    const FORWARD: Forward = K::FORWARD;
    const INT8_FORWARD: Int8Forward = K::INT8_FORWARD;

    fn clock_hz(&self) -> u32 {
        embassy_rp::clocks::clk_sys_freq()
    }

    fn cycles(&mut self) -> u64 {
        self.cycles.read()
    }

    fn sleep(&mut self) {
        usb::sleep();
    }

    fn memory(&self) -> Memory {
        memory::in_use()
    }

    fn log(&mut self, event: Event) {
        board_support::log(event);
    }
}
