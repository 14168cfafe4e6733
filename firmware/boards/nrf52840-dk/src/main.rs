//! The firmware on Nordic's nRF52840-DK: the application over this board.
#![no_std]
#![no_main]

mod board;

board_support::firmware!();
