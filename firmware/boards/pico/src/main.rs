//! The firmware on the Raspberry Pi Pico: the application over this board.
#![no_std]
#![no_main]

mod board;

board_support::firmware!();
