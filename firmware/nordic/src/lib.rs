//! What boards with a chip of Nordic's nRF52 series share: the serial port and the flash of the model.
//!
//! Which chip it is, the board's crate tells `embassy-nrf`.
#![no_std]

mod flash;
mod port;

pub use flash::ModelArea;
pub use port::Port;
