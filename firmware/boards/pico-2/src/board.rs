//! Raspberry Pi Pico 2: RP2350, two Cortex-M33 at 150 MHz, of which one is used. Its floating-point unit takes the
//! Cortex-M4F's inner loops.

use application::{Forward, Int8Forward};

/// Samples to learn from that there is room for.
pub const SAMPLES: usize = 800;

/// The board's name and forward pass.
pub struct Pico2;

impl rp::Kind for Pico2 {
    const NAME: &'static str = "Raspberry Pi Pico 2";
    const FORWARD: Forward = board_support::forward;
    const INT8_FORWARD: Int8Forward = board_support::int8_forward;
}

/// Takes the board's parts after a reset.
///
/// # Panics
/// If called twice.
pub fn start() -> rp::Board<Pico2> {
    rp::Board::start()
}
