//! A person's own digit prepared as MNIST's were.
//!
//! A network that saw MNIST alone misreads a digit that is placed, sized or lit differently, so [`prepare`] repeats
//! what MNIST's makers did (<https://yann.lecun.org/exdb/mnist/>): "size normalized to fit in a 20x20 pixel box while
//! preserving their aspect ratio", with grey levels from anti-aliasing, then "centered in a 28x28 image by computing
//! the center of mass of the pixels, and translating the image so as to position this point at the center".
//!
//! Before that it finds the digit, in steps that have a file each:
//!
//! 1. `view`: the picture, or a part of it, becomes a working picture of at most [`WORKING_SIDE`] pixels a side.
//! 2. `ink`: how much every pixel differs from the background around it, in one colour channel, towards dark or light.
//! 3. `rules`: the lines of ruled and squared paper are taken out.
//! 4. `parts`: connected parts of ink; which of them are the digit, and which are frames, edges and specks.
//! 5. `placement`: the digit's ink goes where MNIST has it.
//!
//! A digit that is small in the picture is looked at a second time, closer. All of it is integer arithmetic in memory
//! that the caller lends ([`Workspace`]): the same picture gives the same pixels everywhere.

mod ink;
mod parts;
mod placement;
mod rules;
mod view;

use super::Pixels;
use crate::shapes::{IMAGE_PIXELS, IMAGE_SIDE};
use parts::Digit;
use view::{Area, Channel};

/// A colour: red, green and blue.
pub type Rgb = [u8; 3];

/// A colour with its opacity.
pub type Rgba = [u8; 4];

/// The ground on which a picture with transparent places shows its ink: white (255), or black (0) where what is opaque
/// is light. A picture that is opaque for the most part is its own ground, which is continued.
pub fn ground(pixels: &[Rgba]) -> u8 {
    let (mut opacity, mut light) = (0u64, 0u64);
    for &[red, green, blue, alpha] in pixels {
        opacity += u64::from(alpha);
        light += u64::from(alpha) * u64::from(view::mean([red, green, blue]));
    }
    let is_light = light >= 128 * opacity;
    let is_opaque = opacity * 2 >= 255 * pixels.len() as u64;
    if is_light == is_opaque || opacity == 0 { 255 } else { 0 }
}

/// A colour as it shows on a [`ground`].
#[inline]
pub fn over(ground: u8, [red, green, blue, alpha]: Rgba) -> Rgb {
    if alpha == 255 {
        return [red, green, blue];
    }
    let (ground, alpha) = (u32::from(ground), u32::from(alpha));
    [red, green, blue].map(|value| ((u32::from(value) * alpha + ground * (255 - alpha) + 127) / 255) as u8)
}

/// A picture of any size up to [`Picture::MAX_SIDE`], borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    width: usize,
    height: usize,
    pixels: &'a [Rgb],
}

impl<'a> Picture<'a> {
    /// The largest width and height: what the sums of the preparation have room for.
    pub const MAX_SIDE: usize = 16_384;

    /// A picture of `width` × `height` pixels in raster order.
    ///
    /// # Errors
    /// [`ImageError::Empty`], [`ImageError::TooLarge`] and [`ImageError::Length`].
    pub fn new(width: usize, height: usize, pixels: &'a [Rgb]) -> Result<Self, ImageError> {
        if width == 0 || height == 0 {
            return Err(ImageError::Empty { width, height });
        }
        if width > Self::MAX_SIDE || height > Self::MAX_SIDE {
            return Err(ImageError::TooLarge { width, height });
        }
        if pixels.len() != width * height {
            return Err(ImageError::Length { width, height, found: pixels.len() });
        }
        Ok(Self { width, height, pixels })
    }

    /// Pixels of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    fn row(&self, row: usize) -> &'a [Rgb] {
        &self.pixels[row * self.width..][..self.width]
    }

    fn is_grey(&self) -> bool {
        self.pixels.iter().all(|&[red, green, blue]| red == green && green == blue)
    }
}

/// Why a picture does not become a network input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// A side is zero.
    #[error("the image has no pixels: it is {width}×{height}")]
    Empty {
        /// Pixels of a row.
        width: usize,
        /// Number of rows.
        height: usize,
    },
    /// A side is longer than [`Picture::MAX_SIDE`].
    #[error("the image is too large: {width}×{height}, at most {max}×{max} is read; make it smaller", max = Picture::MAX_SIDE)]
    TooLarge {
        /// Pixels of a row.
        width: usize,
        /// Number of rows.
        height: usize,
    },
    /// The number of pixels is not width times height.
    #[error("an image of {width}×{height} has {} pixels, but there are {found}", width * height)]
    Length {
        /// Pixels of a row.
        width: usize,
        /// Number of rows.
        height: usize,
        /// Number of pixels.
        found: usize,
    },
    /// Nothing stands out from the background.
    #[error(
        "the image is blank: no ink stands out from its background; draw or photograph one digit with more contrast"
    )]
    NoInk,
    /// An image that is to be taken as it is has another size than the network's input.
    #[error("the image is {width}×{height}, but only {side}×{side} can be taken as it is; have it prepared", side = IMAGE_SIDE)]
    NotPrepared {
        /// Pixels of a row.
        width: usize,
        /// Number of rows.
        height: usize,
    },
}

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
    queue: &'a mut [u32],
    /// The part that a pixel belongs to, 0 where it is none.
    labels: &'a mut [u16],
    colours: &'a mut [Rgb],
    /// The colour channel in use, dark where there may be ink.
    plane: &'a mut [u8],
    background: &'a mut [u8],
    ink: &'a mut [u8],
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

    /// The ink that the last [`prepare`] took, in [`Prepared::working_size`], 0 to 255.
    pub fn ink(&self, prepared: &Prepared) -> &[u8] {
        &self.ink[..prepared.working_size.0 * prepared.working_size.1]
    }
}

/// A digit is looked at again, closer, if its longer side is less than 1/`CLOSER` of its working picture's.
const CLOSER: usize = 3;

/// The shortest longer side of a digit, in pixels of the overview, that shows whether it is dark or light.
const SEEN_SIDE: usize = 16;

/// Prepares a picture of one digit as MNIST's were: finds the digit, dark on light or light on dark, on a background
/// that may be noisy, ruled and unevenly lit; scales the ink's box into 20×20 with its aspect kept; puts the centre of
/// mass on the middle of 28×28; stretches the contrast to 255. An image of MNIST, or its negative, keeps its pixels.
///
/// # Errors
/// [`ImageError::NoInk`] if nothing stands out from the background.
pub fn prepare(picture: &Picture<'_>, workspace: &mut Workspace<'_>) -> Result<Prepared, ImageError> {
    if let Some(prepared) = already_prepared(picture, workspace) {
        return Ok(prepared);
    }
    let mut search = Search { picture, workspace, held: None };
    let mut best = search.whole().ok_or(ImageError::NoInk)?;
    if let Some(sheet) = best.digit.sheet {
        best = search.on_sheet(best.look.view.part(&sheet)).unwrap_or(best);
    }
    if best.is_small() {
        let several_digits = best.digit.doubts.several_digits;
        let closer = Look { view: best.look.view.around(&best.digit.bounds, picture), ..best.look };
        best = search.look(closer).filter(|second| second.is_same_as(&best)).unwrap_or(best);
        best.digit.doubts.several_digits |= several_digits;
    }
    let Found { look, digit } = best;
    if search.held != Some(look) {
        // Something else was looked at since.
        search.look(look);
    }
    let (width, height) = look.view.working_size();
    parts::keep(&digit, width, height, workspace);
    let pixels = placement::place(&workspace.ink[..width * height], width).ok_or(ImageError::NoInk)?;
    Ok(Prepared {
        pixels,
        place: look.view.place_of(&digit.bounds),
        doubts: digit.doubts,
        working_size: (width, height),
        shown: look.view.place(),
    })
}

/// How a picture is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    view: Area,
    channel: Channel,
    /// Whether ink is lighter than its background.
    negative: bool,
    /// Whether what lies along the picture's edge is background.
    beyond: bool,
}

/// A digit, and how it was seen.
#[derive(Debug, Clone, Copy)]
struct Found {
    look: Look,
    digit: Digit,
}

impl Found {
    /// Whether a closer look shows more.
    fn is_small(&self) -> bool {
        let (width, height) = self.look.view.working_size();
        self.look.view.factor > 1 && self.digit.longer_side() * CLOSER < width.max(height)
    }

    fn place(&self) -> Place {
        self.look.view.place_of(&self.digit.bounds)
    }

    /// Whether two looks found the same digit: most of either's box is in the other's.
    fn is_same_as(&self, other: &Self) -> bool {
        let (a, b) = (self.place(), other.place());
        let overlap = |start: usize, len: usize, other_start: usize, other_len: usize| {
            (start + len).min(other_start + other_len).saturating_sub(start.max(other_start))
        };
        let common =
            overlap(a.left, a.width, b.left, b.width) as u64 * overlap(a.top, a.height, b.top, b.height) as u64;
        2 * common > (a.width * a.height).max(b.width * b.height) as u64
    }
}

/// The second if it is clearly better; so brightness wins against a colour and dark against light.
fn better(first: Option<Found>, second: Option<Found>) -> Option<Found> {
    match (first, second) {
        (Some(a), Some(b)) if !b.digit.is_better_than(&a.digit) => Some(a),
        (a, b) => b.or(a),
    }
}

/// The second, in which the picture's edge is background, if it is better and more than a piece of the first.
fn better_beyond(first: Option<Found>, second: Option<Found>) -> Option<Found> {
    match (first, second) {
        (Some(a), Some(b)) if a.digit.is_cut_to(&b.digit) => Some(a),
        _ => better(first, second),
    }
}

/// A picture, and what it is looked at in.
struct Search<'a, 'p, 'w> {
    picture: &'a Picture<'p>,
    workspace: &'a mut Workspace<'w>,
    /// The look that the workspace holds.
    held: Option<Look>,
}

impl Search<'_, '_, '_> {
    /// The best digit of the whole picture. Which channel shows it, and whether it is dark or light, is seen at half
    /// size; of what is too small for that, as of small pictures, at full size.
    fn whole(&mut self) -> Option<Found> {
        let view = Area::whole(self.picture);
        let seen = Area::overview(self.picture).and_then(|overview| self.best(overview));
        let Some(Found { look, .. }) = seen.filter(|seen| seen.digit.longer_side() >= SEEN_SIDE) else {
            return self.best(view);
        };
        let look = |beyond| Look { view, beyond, ..look };
        let first = self.look(look(false));
        if first.is_some_and(|first| !first.digit.doubts.at_edge) {
            return first;
        }
        let second = self.look(look(true));
        better_beyond(first, second).or_else(|| self.best(view))
    }

    /// The digit on a sheet of paper, if there is one that leaves no doubt.
    fn on_sheet(&mut self, sheet: Area) -> Option<Found> {
        let found = self.best(sheet)?;
        let Doubts { at_edge, low_contrast, odd_shape, .. } = found.digit.doubts;
        Some(found).filter(|_| !at_edge && !low_contrast && !odd_shape)
    }

    /// The best of all channels, dark or light.
    fn best(&mut self, view: Area) -> Option<Found> {
        let first = self.best_of_channels(view, false);
        if first.is_some_and(|first| !first.digit.doubts.at_edge) {
            return first;
        }
        better_beyond(first, self.best_of_channels(view, true))
    }

    fn best_of_channels(&mut self, view: Area, beyond: bool) -> Option<Found> {
        let channels: &[Channel] = if self.picture.is_grey() {
            &[Channel::Green]
        } else {
            &[Channel::Mean, Channel::Red, Channel::Green, Channel::Blue]
        };
        let mut best = None;
        for negative in [false, true] {
            view.read(self.picture, negative, self.workspace.colours, self.workspace.queue);
            for &channel in channels {
                best = better(best, self.find(Look { view, channel, negative, beyond }));
            }
        }
        best
    }

    fn look(&mut self, look: Look) -> Option<Found> {
        look.view.read(self.picture, look.negative, self.workspace.colours, self.workspace.queue);
        self.find(look)
    }

    /// The digit in the working picture that was read.
    fn find(&mut self, look: Look) -> Option<Found> {
        let workspace = &mut *self.workspace;
        let (width, height) = look.view.working_size();
        look.channel.write(&workspace.colours[..width * height], workspace.plane);
        let noise = ink::find(width, height, look.beyond, workspace);
        self.held = Some(look);
        parts::find(width, height, noise, workspace).map(|digit| Found { look, digit })
    }
}

/// Takes a picture that is prepared already: 28×28, light ink on black. Colours become their mean.
///
/// # Errors
/// [`ImageError::NotPrepared`] if it has another size.
pub fn as_is(picture: &Picture<'_>) -> Result<Pixels, ImageError> {
    let &Picture { width, height, pixels } = picture;
    if (width, height) != (IMAGE_SIDE, IMAGE_SIDE) {
        return Err(ImageError::NotPrepared { width, height });
    }
    Ok(core::array::from_fn(|i| view::mean(pixels[i])))
}

/// A picture that has MNIST's size, or its negative, with the digit where MNIST has it: as it is.
fn already_prepared(picture: &Picture<'_>, workspace: &mut Workspace<'_>) -> Option<Prepared> {
    if !picture.is_grey() {
        return None;
    }
    let mut pixels = as_is(picture).ok()?;
    if pixels[0] == 255 {
        pixels = pixels.map(|pixel| 255 - pixel);
    }
    let place = placement::place_in_mnist(&pixels)?;
    workspace.ink[..IMAGE_PIXELS].copy_from_slice(&pixels);
    let whole = Place { left: 0, top: 0, width: IMAGE_SIDE, height: IMAGE_SIDE };
    let working_size = (IMAGE_SIDE, IMAGE_SIDE);
    Some(Prepared { pixels, place, doubts: Doubts::default(), working_size, shown: whole })
}
