//! Talks to a board, or to the same firmware in an emulator, through [`cnn_core::protocol`].

mod client;
mod link;
mod verify;

pub use client::{AnyClassified, BoardError, BoardInfo, Client, Timeouts};
pub use cnn_core::protocol::Wrong;
pub use link::{Link, LinkError, open};
pub use verify::{DifferingImage, Verification, verify, verify_int8};
