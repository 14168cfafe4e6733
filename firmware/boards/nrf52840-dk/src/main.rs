//! The firmware on Nordic's nRF52840-DK: the application over this board.
#![no_std]
#![no_main]

mod board;
mod flash;
mod port;

board_support::firmware!();
