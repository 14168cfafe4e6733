//! The 25 lights: rows and columns of pins. A light is lit where its row is high and its column low; one row at a time is.

use core::convert::Infallible;
use core::sync::atomic::{AtomicBool, Ordering};

use application::GLYPHS;
use embassy_nrf::Peri;
use embassy_nrf::gpio::{AnyPin, Level, Output, OutputDrive};
use embedded_hal::digital::{ErrorType, OutputPin};

/// Rows, and columns.
const SIDE: usize = 5;
/// The light in the middle alone.
const MIDDLE: [u8; SIDE] = [0, 0, 0b00100, 0, 0];

/// Whether the light in the middle is lit while there is no digit to show.
static MIDDLE_IS_LIT: AtomicBool = AtomicBool::new(false);

/// The light in the middle, which the application has.
pub struct Middle;

impl ErrorType for Middle {
    type Error = Infallible;
}

impl OutputPin for Middle {
    fn set_low(&mut self) -> Result<(), Infallible> {
        MIDDLE_IS_LIT.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        MIDDLE_IS_LIT.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// All lights.
pub struct Matrix {
    rows: [Output<'static>; SIDE],
    columns: [Output<'static>; SIDE],
    digit: Option<u8>,
    /// The row that is lit.
    row: usize,
    /// How long a row is lit, in cycles.
    cycles_of_row: u64,
    /// When the next row is due, in cycles.
    due: u64,
}

impl Matrix {
    /// All dark, from now on a row every 2 ms.
    pub fn new(rows: [Peri<'static, AnyPin>; SIDE], columns: [Peri<'static, AnyPin>; SIDE], clock_hz: u32) -> Self {
        Self {
            rows: rows.map(|pin| Output::new(pin, Level::Low, OutputDrive::Standard)),
            columns: columns.map(|pin| Output::new(pin, Level::High, OutputDrive::Standard)),
            digit: None,
            row: 0,
            cycles_of_row: u64::from(clock_hz) / 500,
            due: 0,
        }
    }

    /// Shows a digit from now on, or none.
    pub fn show(&mut self, digit: Option<u8>) {
        self.digit = digit;
    }

    /// Lights the next row when it is due.
    pub fn refresh(&mut self, now: u64) {
        if now < self.due {
            return;
        }
        self.due = now + self.cycles_of_row;
        self.rows[self.row].set_low();
        self.row = (self.row + 1) % SIDE;
        let lights = match self.digit.and_then(|digit| GLYPHS.get(usize::from(digit))) {
            Some(glyph) => *glyph,
            None if MIDDLE_IS_LIT.load(Ordering::Relaxed) => MIDDLE,
            None => [0; SIDE],
        }[self.row];
        for (column, pin) in self.columns.iter_mut().rev().enumerate() {
            pin.set_level(if lights >> column & 1 == 1 { Level::Low } else { Level::High });
        }
        self.rows[self.row].set_high();
    }
}
