//! BBC micro:bit v2: nRF52833 at 64 MHz; a second chip makes its serial port and its debug probe of one USB cable.
//!
//! Pins: the micro:bit's schematic, version 2 (UART on P0.06 and P1.08 to the interface chip; rows of lights on P0.21, 22, 15,
//! 24, 19, columns on P0.28, 11, 31, P1.05, P0.30).

use application::{Event, Forward, Int8Forward, System};
use board_support::{CycleCounter, memory};
use cnn_core::protocol::{MAX_FRAME, Memory};
use cortex_m::singleton;
use embassy_nrf::buffered_uarte::{self, BufferedUarte};
use embassy_nrf::config::{Config, HfclkSource};
use embassy_nrf::{bind_interrupts, peripherals, uarte};
use nordic::{ModelArea, Port};

use crate::matrix::{Matrix, Middle};

const CLOCK_HZ: u32 = 64_000_000;
/// Samples to learn from that there is room for.
pub const SAMPLES: usize = 150;
/// Length of the model area in memory.x.
const AREA_LEN: usize = 412 * 1024;

bind_interrupts!(struct Interrupts {
    UARTE0 => buffered_uarte::InterruptHandler<peripherals::UARTE0>;
});

/// The parts of the board that the application takes.
pub struct Board {
    /// UARTE0, the interface chip's virtual serial port.
    pub port: Port,
    /// What the program leaves of the flash.
    pub flash: ModelArea<AREA_LEN>,
    /// The light in the middle.
    pub led: Middle,
    /// The rest.
    pub system: Microbit,
}

/// Clock, memory, log and lights of the board.
pub struct Microbit {
    cycles: CycleCounter,
    matrix: Matrix,
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
    let pins = embassy_nrf::init(config);
    let mut settings = uarte::Config::default();
    // The protocol's speed, as the hardware's register has it.
    const { assert!(cnn_core::protocol::BAUD_RATE == 460_800) };
    settings.baudrate = uarte::Baudrate::Baud460800;
    let port = BufferedUarte::new(
        pins.UARTE0,
        pins.TIMER0,
        pins.PPI_CH0,
        pins.PPI_CH1,
        pins.PPI_GROUP0,
        pins.P1_08,
        pins.P0_06,
        Interrupts,
        settings,
        singleton!(: [u8; 2 * MAX_FRAME] = [0; 2 * MAX_FRAME]).expect("start runs once"),
        singleton!(: [u8; 256] = [0; 256]).expect("start runs once"),
    );
    let rows = [pins.P0_21.into(), pins.P0_22.into(), pins.P0_15.into(), pins.P0_24.into(), pins.P0_19.into()];
    let columns = [pins.P0_28.into(), pins.P0_11.into(), pins.P0_31.into(), pins.P1_05.into(), pins.P0_30.into()];
    let matrix = Matrix::new(rows, columns, CLOCK_HZ);
    Board {
        port: Port::new(port),
        flash: ModelArea::new(pins.NVMC),
        led: Middle,
        system: Microbit { cycles: CycleCounter::start(core.SYST), matrix },
    }
}

impl System for Microbit {
    const BOARD: &'static str = "micro:bit v2";
    const FORWARD: Forward = board_support::forward;
    const INT8_FORWARD: Int8Forward = board_support::int8_forward;

    fn clock_hz(&self) -> u32 {
        CLOCK_HZ
    }

    fn cycles(&mut self) -> u64 {
        self.cycles.read()
    }

    /// Without sleep: the lights go on.
    fn sleep(&mut self) {
        self.matrix.refresh(self.cycles.read());
    }

    fn memory(&self) -> Memory {
        memory::in_use()
    }

    fn log(&mut self, event: Event) {
        match event {
            Event::Classified { class, .. } => self.matrix.show(Some(class)),
            Event::ModelMissing(_) | Event::UpdateFrom(_) => self.matrix.show(None),
            _ => {}
        }
        board_support::log(event);
    }
}
