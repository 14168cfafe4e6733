//! What a preparation works in, and what it finds.

use super::picture::Rgb;
use crate::image::Pixels;

/// What makes a prepared digit doubtful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Doubts {
    /// The digit touches the picture's edge: some of it may be missing.
    pub at_edge: bool,
    /// Beside the digit there is another of its kind.
    pub several_digits: bool,
    /// The digit was put together from large parts that do not touch.
    pub several_parts: bool,
    /// The ink hardly stands out from its background.
    pub low_contrast: bool,
    /// What was taken is shaped like no digit: a filled area, or a straight line across the picture.
    pub odd_shape: bool,
}

impl Doubts {
    /// What there is to say of each that holds, a line each.
    pub fn remarks(&self) -> impl Iterator<Item = &'static str> {
        let lines = [
            (self.at_edge, "the ink touches the picture's edge: part of the digit may be missing"),
            (self.several_digits, "there is more than one digit: the largest alone was read"),
            (self.several_parts, "the digit was put together from large parts that do not touch"),
            (self.low_contrast, "the ink hardly stands out from its background"),
            (self.odd_shape, "no digit has this shape: it is wider than tall, a filled area or a straight line across"),
        ];
        lines.into_iter().filter(|(holds, _)| *holds).map(|(_, line)| line)
    }
}

/// The place of the digit in its picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The first column.
    pub left: usize,
    /// The first row.
    pub top: usize,
    /// Number of columns, at least 1.
    pub width: usize,
    /// Number of rows, at least 1.
    pub height: usize,
}

/// A digit as MNIST has it, and what there is to say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepared {
    /// The network's input.
    pub pixels: Pixels,
    /// Where the digit was found.
    pub place: Place,
    /// What makes it doubtful.
    pub doubts: Doubts,
    /// Size of the working picture that the ink was taken from: of [`Workspace::ink`].
    pub working_size: (usize, usize),
    /// The part of the picture that it shows.
    pub shown: Place,
}

/// The longest side of a working picture.
pub const WORKING_SIDE: usize = 384;
const WORKING_PIXELS: usize = WORKING_SIDE * WORKING_SIDE;
const WORKSPACE_WORDS: usize = 3 * WORKING_PIXELS;

/// What a preparation works in, made of memory that the caller lends.
pub struct Workspace<'a> {
    /// Pixels that wait for their neighbours to be visited.
    pub(super) queue: &'a mut [u32],
    /// The part that a pixel belongs to, 0 where it is none.
    pub(super) labels: &'a mut [u16],
    pub(super) colours: &'a mut [Rgb],
    /// The colour channel in use, dark where there may be ink.
    pub(super) plane: &'a mut [u8],
    pub(super) background: &'a mut [u8],
    pub(super) ink: &'a mut [u8],
}

impl<'a> Workspace<'a> {
    /// The memory of a preparation: 12 bytes for every pixel of the largest working picture, 1.7 MB.
    pub const WORDS: usize = WORKSPACE_WORDS;

    /// A workspace in `memory`, whose contents do not matter.
    pub fn new(memory: &'a mut [u32; WORKSPACE_WORDS]) -> Self {
        let (queue, memory) = memory.split_at_mut(WORKING_PIXELS);
        let (labels, memory) = memory.split_at_mut(WORKING_PIXELS / 2);
        let (colours, memory) = bytemuck::cast_slice_mut(memory).split_at_mut(3 * WORKING_PIXELS);
        let (plane, memory) = memory.split_at_mut(WORKING_PIXELS);
        let (background, ink) = memory.split_at_mut(WORKING_PIXELS);
        Self {
            queue,
            labels: bytemuck::cast_slice_mut(labels),
            colours: bytemuck::cast_slice_mut(colours),
            plane,
            background,
            ink,
        }
    }

    /// The ink that the last [preparation](super::prepare) took, in [`Prepared::working_size`], 0 to 255.
    pub fn ink(&self, prepared: &Prepared) -> &[u8] {
        &self.ink[..prepared.working_size.0 * prepared.working_size.1]
    }
}
