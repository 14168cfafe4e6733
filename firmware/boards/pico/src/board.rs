//! Raspberry Pi Pico: RP2040, two Cortex-M0+ at 125 MHz, of which one is used. It has no floating-point unit: the
//! compiler's own functions compute, with the contract's bits.

use application::{Forward, Int8Forward};

/// Samples to learn from that there is room for.
pub const SAMPLES: usize = 400;

/// The board's name and forward pass.
pub struct Pico;

impl rp::Kind for Pico {
    const NAME: &'static str = "Raspberry Pi Pico";
    const FORWARD: Forward = cnn_core::network::forward;
    const INT8_FORWARD: Int8Forward = board_support::int8_forward;
}

/// Takes the board's parts after a reset.
///
/// # Panics
/// If called twice.
pub fn start() -> rp::Board<Pico> {
    rp::Board::start()
}
