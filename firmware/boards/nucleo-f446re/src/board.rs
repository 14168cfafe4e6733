//! NUCLEO-F446RE: STM32F446RE at 168 MHz; its serial port and its debug probe share one USB cable.
//!
//! Pins: ST UM1724, tables 19 and 29 (USART2 on PA2 and PA3 to the probe, LD2 on PA5).

use application::{Event, Forward, Int8Forward, System};
use board_support::{CycleCounter, memory};
use cnn_core::protocol::{BAUD_RATE, Memory};
use stm32f4xx_hal::gpio::{Output, Pin};
use stm32f4xx_hal::prelude::*;
use stm32f4xx_hal::rcc::{self, Rcc};
use stm32f4xx_hal::{pac, serial};

use crate::flash::ModelArea;
use crate::port::{self, Port};

const CLOCK_HZ: u32 = 168_000_000;
/// Samples to learn from that there is room for.
pub const SAMPLES: usize = 160;

/// The parts of the board that the application takes.
pub struct Board {
    /// USART2, the probe's virtual serial port.
    pub port: Port,
    /// Sectors 4 to 7.
    pub flash: ModelArea,
    /// The green LED LD2.
    pub led: Pin<'A', 5, Output>,
    /// The rest.
    pub system: Nucleo,
}

/// Clock, memory and log of the board.
pub struct Nucleo {
    cycles: CycleCounter,
    clock_hz: u32,
}

/// Takes the board's parts after a reset.
///
/// # Panics
/// If called twice.
pub fn start() -> Board {
    let core = cortex_m::Peripherals::take().expect("taken once");
    let peripherals = pac::Peripherals::take().expect("taken once");
    let mut rcc = start_clock(peripherals.RCC);
    let clock_hz = rcc.clocks.hclk().raw();
    let pins = peripherals.GPIOA.split(&mut rcc);
    let settings = serial::config::Config::default().baudrate(BAUD_RATE.bps());
    let serial =
        peripherals.USART2.serial((pins.pa2, pins.pa3), settings, &mut rcc).expect("the clock allows the speed");
    Board {
        port: Port::new(serial),
        flash: ModelArea::new(peripherals.FLASH),
        led: pins.pa5.into_push_pull_output(),
        system: Nucleo { cycles: CycleCounter::start(core.SYST), clock_hz },
    }
}

/// 168 MHz from the internal oscillator. It runs after every reset of the silicon; an emulator without a clock tree says
/// that it does not, and is left as it is, for it would never report the PLL as locked.
fn start_clock(rcc: pac::RCC) -> Rcc {
    let oscillator_ready = rcc.cr().read().hsirdy().bit_is_set();
    let config = rcc::Config::hsi();
    rcc.freeze(if oscillator_ready { config.sysclk(CLOCK_HZ.Hz()) } else { config })
}

impl System for Nucleo {
    const BOARD: &'static str = "NUCLEO-F446RE";
    const FORWARD: Forward = board_support::forward;
    const INT8_FORWARD: Int8Forward = board_support::int8_forward;

    fn clock_hz(&self) -> u32 {
        self.clock_hz
    }

    fn cycles(&mut self) -> u64 {
        self.cycles.read()
    }

    fn sleep(&mut self) {
        port::sleep();
    }

    fn memory(&self) -> Memory {
        memory::in_use()
    }

    fn log(&mut self, event: Event) {
        board_support::log(event);
    }
}
