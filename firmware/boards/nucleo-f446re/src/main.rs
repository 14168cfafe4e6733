//! The firmware on ST's NUCLEO-F446RE: the application over this board.
#![no_std]
#![no_main]

mod board;
mod flash;
mod port;

board_support::firmware!();
