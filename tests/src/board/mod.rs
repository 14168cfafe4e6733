//! Boards to test with: the firmware's application over modelled hardware, and the firmware itself in QEMU.

pub mod emulator;
pub mod flash;
pub mod learning;
pub mod line;
pub mod model;
pub mod modelled;
pub mod parrot;
