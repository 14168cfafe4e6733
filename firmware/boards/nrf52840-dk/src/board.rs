//! nRF52840-DK: nRF52840 at 64 MHz; its serial port and its debug probe share one USB cable.
//!
//! Pins: Nordic's nRF52840-DK user guide (UART on P0.06 and P0.08 to the probe, LED1 on P0.13, lit when low).

use application::{Event, Forward, Int8Forward, System};
use board_support::{CycleCounter, memory};
use cnn_core::protocol::{MAX_FRAME, Memory};
use cortex_m::singleton;
use embassy_nrf::buffered_uarte::{self, BufferedUarte};
use embassy_nrf::config::{Config, HfclkSource};
use embassy_nrf::gpio::{Level, Output, OutputDrive};
use embassy_nrf::{bind_interrupts, peripherals, uarte};
use embedded_hal::digital::{ErrorType, OutputPin};
use nordic::{ModelArea, Port};

const CLOCK_HZ: u32 = 64_000_000;
/// Samples to learn from that there is room for.
pub const SAMPLES: usize = 400;
/// Length of the model area in memory.x.
const AREA_LEN: usize = 448 * 1024;

bind_interrupts!(struct Interrupts {
    UARTE0 => buffered_uarte::InterruptHandler<peripherals::UARTE0>;
});

/// The parts of the board that the application takes.
pub struct Board {
    /// UARTE0, the probe's virtual serial port.
    pub port: Port,
    /// 448 KB behind the program.
    pub flash: ModelArea<AREA_LEN>,
    /// LED1.
    pub led: ActiveLow,
    /// The rest.
    pub system: Dk,
}

/// Clock, memory and log of the board.
pub struct Dk {
    cycles: CycleCounter,
}

/// Takes the board's parts after a reset.
///
/// # Panics
/// If called twice.
pub fn start() -> Board {
    let core = cortex_m::Peripherals::take().expect("taken once");
    let mut config = Config::default();
    // The serial port needs the crystal's accuracy.
    config.hfclk_source = HfclkSource::ExternalXtal;
    let peripherals = embassy_nrf::init(config);
    let mut settings = uarte::Config::default();
    // The protocol's speed, as the hardware's register has it.
    const { assert!(cnn_core::protocol::BAUD_RATE == 460_800) };
    settings.baudrate = uarte::Baudrate::Baud460800;
    let port = BufferedUarte::new(
        peripherals.UARTE0,
        peripherals.TIMER0,
        peripherals.PPI_CH0,
        peripherals.PPI_CH1,
        peripherals.PPI_GROUP0,
        peripherals.P0_08,
        peripherals.P0_06,
        Interrupts,
        settings,
        singleton!(: [u8; 2 * MAX_FRAME] = [0; 2 * MAX_FRAME]).expect("start runs once"),
        singleton!(: [u8; 256] = [0; 256]).expect("start runs once"),
    );
    Board {
        port: Port::new(port),
        flash: ModelArea::new(peripherals.NVMC),
        led: ActiveLow(Output::new(peripherals.P0_13, Level::High, OutputDrive::Standard)),
        system: Dk { cycles: CycleCounter::start(core.SYST) },
    }
}

/// A light that is lit when its pin is low.
pub struct ActiveLow(Output<'static>);

impl ErrorType for ActiveLow {
    type Error = core::convert::Infallible;
}

impl OutputPin for ActiveLow {
    fn set_low(&mut self) -> Result<(), Self::Error> {
        self.0.set_high();
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Self::Error> {
        self.0.set_low();
        Ok(())
    }
}

impl System for Dk {
    const BOARD: &'static str = "nRF52840-DK";
    const FORWARD: Forward = board_support::forward;
    const INT8_FORWARD: Int8Forward = board_support::int8_forward;

    fn clock_hz(&self) -> u32 {
        CLOCK_HZ
    }

    fn cycles(&mut self) -> u64 {
        self.cycles.read()
    }

    fn memory(&self) -> Memory {
        memory::in_use()
    }

    fn log(&mut self, event: Event) {
        board_support::log(event);
    }
}
