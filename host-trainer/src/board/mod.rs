//! Talks to a board, or to the same firmware in an emulator, through [`cnn_core::protocol`].

mod client;
mod find;
mod image;
mod link;
mod verify;

pub use client::{AnyClassified, BoardError, BoardInfo, Client, Timeouts};
pub use cnn_core::protocol::Wrong;
pub use find::{Asked, NoAnswer, NotOne, UsbPort, ask, only, usb_ports};
pub use image::{Contents, FlashImage, ImageError};
pub use link::{Link, LinkError, open};
pub use verify::{DifferingImage, Verification, verify, verify_int8};
