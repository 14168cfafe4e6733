//! The firmware in QEMU.
