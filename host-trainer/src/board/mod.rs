//! Talks to a board, or to the same firmware in an emulator, through [`cnn_core::protocol`].

mod client;
mod find;
mod image;
mod lesson;
mod link;
mod teach;
mod verify;

pub use client::{AnyClassified, BoardError, BoardInfo, Client, Timeouts};
pub use cnn_core::protocol::Wrong;
pub use find::{Asked, NoAnswer, NotOne, UsbPort, ask, only, usb_ports};
pub use image::{Contents, FlashImage, ImageError};
pub use lesson::{LessonError, labelled_pictures, read_lesson, write_lesson};
pub use link::{Link, LinkError, open};
pub use teach::{EqualEpoch, Lesson, Sample, choose_ordinary, learn, teach, with_head};
pub use verify::{DifferingImage, Verification, verify, verify_int8};
