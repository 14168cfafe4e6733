//! ESP32-C3 at 160 MHz on a board whose USB socket leads to the chip itself, as the ESP32-C3 SuperMini's: over one cable it
//! brings a serial port, a debug probe and the power.
//!
//! Pins: the SuperMini's schematic (a blue light on GPIO8, lit when low).

use application::{Event, System};
use cnn_core::protocol;
use embedded_hal::digital::{ErrorType, OutputPin};
use esp_hal::clock::CpuClock;
use esp_hal::gpio::{Level, Output, OutputConfig};
use esp_hal::timer::systimer::{SystemTimer, Unit};
use esp_hal::usb::usb_serial_jtag::UsbSerialJtag;

use crate::flash::ModelArea;
use crate::memory;
use crate::port::Port;

/// `CpuClock::max()`.
const CLOCK_HZ: u32 = 160_000_000;
/// Samples to learn from that there is room for.
pub const SAMPLES: usize = 400;

/// The parts of the board that the application takes.
pub struct Board {
    /// The chip's own USB.
    pub port: Port,
    /// The partition `model`.
    pub flash: ModelArea,
    /// The light on GPIO8.
    pub led: ActiveLow,
    /// The rest.
    pub system: Esp32C3,
}

/// Clock, memory and log of the board.
pub struct Esp32C3 {
    /// Cycles of the processor's clock in one of the system timer's.
    cycles_per_tick: u64,
}

/// Takes the board's parts after a reset.
///
/// # Panics
/// If called twice.
pub fn start() -> Board {
    let peripherals = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    let light = Output::new(peripherals.GPIO8, Level::High, OutputConfig::default());
    Board {
        port: Port::new(UsbSerialJtag::new(peripherals.USB_DEVICE)),
        flash: ModelArea::new(peripherals.FLASH),
        led: ActiveLow(light),
        system: Esp32C3 { cycles_per_tick: u64::from(CLOCK_HZ) / SystemTimer::ticks_per_second() },
    }
}

/// A light between the supply and a pin.
pub struct ActiveLow(Output<'static>);

impl ErrorType for ActiveLow {
    type Error = <Output<'static> as ErrorType>::Error;
}

impl OutputPin for ActiveLow {
    fn set_low(&mut self) -> Result<(), Self::Error> {
        OutputPin::set_high(&mut self.0)
    }

    fn set_high(&mut self) -> Result<(), Self::Error> {
        OutputPin::set_low(&mut self.0)
    }
}

impl System for Esp32C3 {
    const BOARD: &'static str = "ESP32-C3";

    fn clock_hz(&self) -> u32 {
        CLOCK_HZ
    }

    /// By the system timer, which esp-hal has started and which has the same crystal as the processor's clock: to ten cycles.
    fn cycles(&mut self) -> u64 {
        SystemTimer::unit_value(Unit::Unit0) * self.cycles_per_tick
    }

    fn memory(&self) -> protocol::Memory {
        memory::in_use()
    }

    fn log(&mut self, event: Event) {
        board_support::log(event);
    }
}
