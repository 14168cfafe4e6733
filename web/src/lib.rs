//! What the page in `web/page` needs of the network, compiled to WebAssembly.
//!
//! | module | subject |
//! |---|---|
//! | [`look`] | a picture or a digit goes through the network; every value on the way can be read |
//! | [`training`] | a run in steps, so that a worker can report and pause between them |
//! | [`lesson`] | the head learns a person's digits, as on a board |
//! | [`board`] | a microcontroller at the other end of a serial port |
//! | [`idx`] | the files of MNIST |
//! | [`exports`] | the plain functions that JavaScript calls |
//!
//! The arithmetic is that of `cnn-core` and of the CPU backend, so that the page's bits are the program's.

pub mod board;
pub mod exports;
pub mod idx;
pub mod lesson;
pub mod look;
pub mod training;
