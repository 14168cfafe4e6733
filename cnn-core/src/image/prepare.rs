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
mod picture;
mod placement;
mod rules;
mod view;
mod workspace;

use super::Pixels;
use crate::shapes::{IMAGE_PIXELS, IMAGE_SIDE};
use parts::Digit;
use picture::mean;
use view::{Area, Channel};

pub use picture::{ImageError, Picture, Rgb, Rgba, ground, over};
pub use workspace::{Doubts, Place, Prepared, WORKING_SIDE, Workspace};

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
    Ok(core::array::from_fn(|i| mean(pixels[i])))
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
