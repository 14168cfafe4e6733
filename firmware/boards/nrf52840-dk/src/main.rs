//! The firmware on Nordic's nRF52840-DK: the application over this board.
#![no_std]
#![no_main]

mod board;
mod flash;
mod port;

use application::{Application, Buffers};
use cortex_m::singleton;

/// The model file, linked into the flash area that an update replaces.
#[cfg(linked_model)]
#[used]
#[unsafe(link_section = ".model")]
static MODEL: [u8; include_bytes!(env!("LINKED_MODEL")).len()] = *include_bytes!(env!("LINKED_MODEL"));

#[cortex_m_rt::entry]
fn main() -> ! {
    let board = board::start();
    let buffers = singleton!(: Buffers = Buffers::new()).expect("main runs once");
    board_support::run(Application::boot(board.port, board.flash, board.led, board.system, buffers))
}
