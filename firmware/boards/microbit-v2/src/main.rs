//! The firmware on the BBC micro:bit v2: the application over this board.
#![no_std]
#![no_main]

mod board;
mod matrix;

board_support::firmware!();
