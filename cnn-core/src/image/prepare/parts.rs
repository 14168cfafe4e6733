//! Connected parts of ink, and which of them are the digit.
//!
//! Parts are taken strongest ink first: everything above a share of the strongest that is left becomes parts, then
//! what is left is looked at in the same way, so that a black frame does not hide a digit in pencil. The digit is the
//! part of most contrast and size that is no edge of the picture, no filled area and no ruler's line; if it encloses
//! another part, as a box or a circle around a digit does, it is that one; and what lies beside it belongs to it.

use super::rules;
use super::workspace::{Doubts, Workspace};

/// Ink of less than this is none.
const LEAST_INK: u8 = 16;
/// Parts begin where there is this share of the strongest ink, in per cent, and go on to half of it.
const STRONG_PERCENT: u32 = 45;
/// One pixel in so many may be stronger than what counts as the strongest ink.
const STRONGEST_OUTLIERS: usize = 8192;
/// How often the strongest ink is taken and the rest looked at again.
const ROUNDS: usize = 5;
/// How far parts grow into faint ink around them, in pixels.
const FAINT_PIXELS: usize = 3;
/// A digit's edge, down to no ink, is as wide as its longer side divided by this, at most.
const EDGES: usize = 20;
/// Parts that are looked at; of more, the largest.
const MAX_PARTS: usize = 64;
/// Parts of a digit, at most.
const MAX_JOINED: usize = 12;
/// Smaller parts are specks: one pixel in so many.
const SPECK: usize = 12_000;
/// So far from a part, in pixels, there is background.
const OUTSIDE: usize = 4;
/// Ink below this is low in contrast.
const LOW_CONTRAST: u32 = 40;

/// A box of pixels, all four ends in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) left: usize,
    pub(super) right: usize,
    pub(super) top: usize,
    pub(super) bottom: usize,
}

impl Bounds {
    fn of_pixel(x: usize, y: usize) -> Self {
        Self { left: x, right: x, top: y, bottom: y }
    }

    fn joined(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            right: self.right.max(other.right),
            top: self.top.min(other.top),
            bottom: self.bottom.max(other.bottom),
        }
    }

    fn width(&self) -> usize {
        self.right + 1 - self.left
    }

    fn height(&self) -> usize {
        self.bottom + 1 - self.top
    }

    fn longer_side(&self) -> usize {
        self.width().max(self.height())
    }

    fn shorter_side(&self) -> usize {
        self.width().min(self.height())
    }

    pub(super) fn contains(&self, other: &Self) -> bool {
        self.joined(*other) == *self
    }

    fn encloses(&self, other: &Self) -> bool {
        self.left < other.left && self.right > other.right && self.top < other.top && self.bottom > other.bottom
    }

    /// Columns and rows between two boxes; 0 where they overlap.
    fn gaps(&self, other: &Self) -> (usize, usize) {
        let gap = |end: usize, start: usize| start.saturating_sub(end);
        let across = gap(self.right, other.left).max(gap(other.right, self.left));
        let down = gap(self.bottom, other.top).max(gap(other.bottom, self.top));
        (across, down)
    }
}

/// The digit in a working picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digit {
    pub(super) bounds: Bounds,
    pub(super) doubts: Doubts,
    /// Whether it is rather something that lies along the picture's edge.
    pub(super) along_edge: bool,
    /// Where to look if it is an area with a digit on it, as a sheet of paper on a table is.
    pub(super) sheet: Option<Bounds>,
    labels: [u16; MAX_JOINED],
    /// Pixels and ink of the largest part.
    area: usize,
    ink: u64,
    score: u64,
    noise: u8,
}

impl Digit {
    pub(super) fn longer_side(&self) -> usize {
        self.bounds.longer_side()
    }

    /// Whether this is more of a digit, clearly enough to matter.
    pub(super) fn is_better_than(&self, other: &Self) -> bool {
        self.score * 8 > other.score * 9
    }

    /// Whether `other` is what remains of this at the edge of the picture, and what is missing is ink as well: not
    /// fainter by half.
    pub(super) fn is_cut_to(&self, other: &Self) -> bool {
        let missing = (self.area.saturating_sub(other.area), self.ink.saturating_sub(other.ink));
        self.doubts.at_edge
            && !self.along_edge
            && self.bounds.contains(&other.bounds)
            && 2 * other.longer_side() > self.longer_side()
            && 2 * missing.1 * other.area as u64 >= other.ink * missing.0 as u64
    }
}

/// Connected ink.
#[derive(Debug, Clone, Copy)]
struct Part {
    label: u16,
    bounds: Bounds,
    area: usize,
    ink: u64,
    /// Pixels on the edge of the picture.
    edge: usize,
}

impl Part {
    fn contrast(&self) -> u32 {
        (self.ink / self.area as u64) as u32
    }

    fn is_like(&self, other: &Self) -> bool {
        2 * self.contrast() >= other.contrast()
    }

    /// An area rather than strokes: a blot, a thumb, a piece of a table.
    fn is_filled(&self) -> bool {
        let (longer, shorter) = (self.bounds.longer_side(), self.bounds.shorter_side());
        self.area * 100 > 72 * longer * shorter && longer * 5 < shorter * 9 && shorter > 8
    }
}

/// Ends of a part's runs, by what is beyond: the same as inside, or the background.
#[derive(Default)]
struct Ends {
    soft: usize,
    hard: usize,
}

/// The parts found so far.
struct Parts {
    parts: [Part; MAX_PARTS],
    count: usize,
}

impl Parts {
    fn all(&self) -> &[Part] {
        &self.parts[..self.count]
    }

    fn add(&mut self, part: Part) {
        if self.count < MAX_PARTS {
            self.parts[self.count] = part;
            self.count += 1;
        } else if let Some(least) = self.parts.iter_mut().min_by_key(|part| part.ink)
            && least.ink < part.ink
        {
            *least = part;
        }
    }
}

/// Finds the digit in `workspace.ink`, of which up to `noise` is noise; nothing if there is no ink.
pub(super) fn find(width: usize, height: usize, noise: u8, workspace: &mut Workspace<'_>) -> Option<Digit> {
    let mut sheet = InkMap { width, height, noise, margin: 0, workspace };
    sheet.margin = sheet.margin().unwrap_or(0);
    rules::erase(width, height, noise.max(LEAST_INK / 2), sheet.workspace);
    let parts = sheet.parts();
    sheet.choose(&parts)
}

/// Leaves in `workspace.ink` nothing but the digit and its faint edge.
pub(super) fn keep(digit: &Digit, width: usize, height: usize, workspace: &mut Workspace<'_>) {
    let mut sheet = InkMap { width, height, noise: digit.noise, margin: 0, workspace };
    // Edges as wide as a pixel of the 20×20 that the digit becomes.
    for _ in 0..digit.longer_side().div_ceil(EDGES) {
        if !sheet.grow_edge(&digit.labels) {
            break;
        }
    }
    let Workspace { ink, labels, .. } = workspace;
    for (ink, label) in ink[..width * height].iter_mut().zip(labels.iter()) {
        if *label == 0 || !digit.labels.contains(label) {
            *ink = 0;
        }
    }
}

struct InkMap<'a, 'b> {
    width: usize,
    height: usize,
    noise: u8,
    /// The usual value near the picture's corners.
    margin: u8,
    workspace: &'a mut Workspace<'b>,
}

impl InkMap<'_, '_> {
    fn pixels(&self) -> usize {
        self.width * self.height
    }

    fn ink(&self, pixel: usize) -> u8 {
        self.workspace.ink[pixel]
    }

    /// The label of the place, if it is in the picture and has one.
    fn label(&self, x: usize, y: usize) -> u16 {
        self.workspace.labels[y * self.width + x]
    }

    fn parts(&mut self) -> Parts {
        let pixels = self.pixels();
        self.workspace.labels[..pixels].fill(0);
        let nothing = Part { label: 0, bounds: Bounds::of_pixel(0, 0), area: 0, ink: 0, edge: 0 };
        let mut parts = Parts { parts: [nothing; MAX_PARTS], count: 0 };
        let mut next_label = 1;
        for _ in 0..ROUNDS {
            let strongest = self.strongest();
            if strongest < LEAST_INK || strongest <= self.noise {
                break;
            }
            let strong = (u32::from(strongest) * STRONG_PERCENT / 100) as u8;
            let strong = strong.max(self.noise.saturating_add(1)).max(LEAST_INK / 2);
            for pixel in 0..pixels {
                if self.workspace.labels[pixel] == 0 && self.ink(pixel) >= strong && next_label < u16::MAX {
                    let part = self.fill(pixel, next_label, (strong / 2).max(self.noise.saturating_add(1)));
                    next_label += 1;
                    if part.area * SPECK >= pixels {
                        parts.add(part);
                    }
                }
            }
            for _ in 0..FAINT_PIXELS {
                self.grow();
            }
        }
        parts
    }

    /// The strongest ink that belongs to no part yet, few pixels left out.
    fn strongest(&self) -> u8 {
        let mut counts = [0u32; 256];
        let pixels = self.pixels();
        for (&ink, _) in
            self.workspace.ink[..pixels].iter().zip(self.workspace.labels.iter()).filter(|(_, label)| **label == 0)
        {
            counts[usize::from(ink)] += 1;
        }
        let mut stronger = 0;
        let outliers = pixels / STRONGEST_OUTLIERS;
        let strongest = counts.iter().rposition(|&count| {
            stronger += count as usize;
            stronger > outliers
        });
        strongest.unwrap_or(0) as u8
    }

    /// The pixels around, diagonal ones too.
    fn neighbours(&self, pixel: usize) -> impl Iterator<Item = usize> + use<> {
        let (width, x, y) = (self.width, pixel % self.width, pixel / self.width);
        let (columns, rows) =
            (x.saturating_sub(1)..=(x + 1).min(width - 1), y.saturating_sub(1)..=(y + 1).min(self.height - 1));
        rows.flat_map(move |row| columns.clone().map(move |column| row * width + column))
    }

    /// Labels the ink above `least` that is connected with `start`.
    fn fill(&mut self, start: usize, label: u16, least: u8) -> Part {
        let (width, height) = (self.width, self.height);
        let bounds = Bounds::of_pixel(start % width, start / width);
        let mut part = Part { label, bounds, area: 0, ink: 0, edge: 0 };
        self.workspace.labels[start] = label;
        self.workspace.queue[0] = start as u32;
        let (mut next, mut end) = (0, 1);
        while next < end {
            let pixel = self.workspace.queue[next] as usize;
            next += 1;
            let (x, y) = (pixel % width, pixel / width);
            part.bounds = part.bounds.joined(Bounds::of_pixel(x, y));
            part.area += 1;
            part.ink += u64::from(self.ink(pixel));
            part.edge += usize::from(x == 0 || y == 0 || x == width - 1 || y == height - 1);
            for neighbour in self.neighbours(pixel) {
                if self.workspace.labels[neighbour] == 0 && self.ink(neighbour) >= least {
                    self.workspace.labels[neighbour] = label;
                    self.workspace.queue[end] = neighbour as u32;
                    end += 1;
                }
            }
        }
        part
    }

    /// Lets every part grow by a pixel into ink that is no noise.
    fn grow(&mut self) {
        let mut end = 0;
        for pixel in 0..self.pixels() {
            if self.workspace.labels[pixel] == 0
                && self.ink(pixel) > self.noise
                && self.neighbours(pixel).any(|neighbour| self.workspace.labels[neighbour] != 0)
            {
                self.workspace.queue[end] = pixel as u32;
                end += 1;
            }
        }
        for i in 0..end {
            let pixel = self.workspace.queue[i] as usize;
            // Of several neighbours' labels the first; those of this step come later in the queue's order or are the same.
            let label =
                self.neighbours(pixel).map(|neighbour| self.workspace.labels[neighbour]).find(|&label| label != 0);
            self.workspace.labels[pixel] = label.unwrap_or(0);
        }
    }

    /// Lets the parts with these labels grow by a pixel into fainter ink that came in a later round or in none; says
    /// whether they did.
    fn grow_edge(&mut self, digit: &[u16; MAX_JOINED]) -> bool {
        let mut end = 0;
        for pixel in 0..self.pixels() {
            let (label, ink) = (self.workspace.labels[pixel], self.ink(pixel));
            let is_free = label == 0 || (label > digit[0] && !digit.contains(&label));
            let mut neighbours = self.neighbours(pixel);
            let mut leads_here = |neighbour: usize| {
                let label = self.workspace.labels[neighbour];
                label != 0 && digit.contains(&label) && self.ink(neighbour) >= ink
            };
            if is_free && ink > self.noise && neighbours.any(&mut leads_here) {
                self.workspace.queue[end] = pixel as u32;
                end += 1;
            }
        }
        for &pixel in &self.workspace.queue[..end] {
            self.workspace.labels[pixel as usize] = digit[0];
        }
        end > 0
    }

    fn choose(&self, parts: &Parts) -> Option<Digit> {
        let score = |part: &&Part| self.score(part);
        let mut digit = parts.all().iter().max_by_key(score)?;
        let score = self.score(digit);
        while let Some(inner) =
            parts.all().iter().filter(|part| self.is_boxed(part, digit)).max_by_key(|part| self.score(part))
        {
            digit = inner;
        }
        Some(self.assemble(digit, parts, score))
    }

    /// How much a part looks like a digit: contrast times size, less for what digits seldom are.
    fn score(&self, part: &Part) -> u64 {
        let side = part.bounds.longer_side();
        let mut score = u64::from(part.contrast()) * side as u64 * 256;
        if part.edge > 0 {
            score /= 4;
        }
        if self.is_edge(part) {
            score /= 64;
        }
        if part.is_filled() {
            score /= 3;
        }
        if self.is_across(part) {
            score /= 3;
        }
        let (inside, behind) = self.light(part);
        if self.is_gap(part) {
            score /= 64;
        }
        if self.ends_in_background(part) {
            score /= 16;
        }
        if 2 * u16::from(self.margin.abs_diff(inside)) < u16::from(self.margin.abs_diff(behind)) {
            score /= 4;
        }
        // At the corners two thirds of what it is in the middle.
        let from_middle = |first: usize, last: usize, side: usize| (first + last + 1).abs_diff(side) * 100 / side;
        let off = from_middle(part.bounds.left, part.bounds.right, self.width).max(from_middle(
            part.bounds.top,
            part.bounds.bottom,
            self.height,
        ));
        score * (300 - off as u64) / 300
    }

    /// Whether much of a part is inside it, a tenth of its length and more from where it ends: strokes, however broad, are
    /// not, a sheet is, whichever way it is turned and whatever is drawn on it.
    fn is_sheet(&self, part: &Part) -> bool {
        const LEAST_SIDE: usize = 20;
        let &Part { label, bounds, area, .. } = part;
        if bounds.shorter_side() < LEAST_SIDE {
            return false;
        }
        let far = bounds.longer_side() / 10;
        let is_inside = |&(x, y): &(usize, usize)| {
            let around = [(x, y), (x - far, y), (x + far, y), (x, y - far), (x, y + far)];
            around.into_iter().all(|(x, y)| self.label(x, y) == label)
        };
        let rows = bounds.top + far..=bounds.bottom.saturating_sub(far);
        let places = rows.flat_map(|y| (bounds.left + far..=bounds.right.saturating_sub(far)).map(move |x| (x, y)));
        3 * places.filter(is_inside).count() > area
    }

    /// The largest box in the middle of a sheet with its corners on it: all of the sheet if it lies straight, half of its
    /// sides if it stands on a corner.
    fn within(&self, sheet: &Part) -> Bounds {
        let Bounds { left, top, right, bottom } = sheet.bounds;
        let inset = |part: usize| {
            let (across, down) = (sheet.bounds.width() * part / 64, sheet.bounds.height() * part / 64);
            Bounds { left: left + across, top: top + down, right: right - across, bottom: bottom - down }
        };
        let is_on_sheet = |bounds: &Bounds| {
            let Bounds { left, top, right, bottom } = *bounds;
            let corners = [(left, top), (right, top), (left, bottom), (right, bottom)];
            corners.into_iter().all(|(x, y)| self.label(x, y) == sheet.label)
        };
        (0..=17).map(inset).find(is_on_sheet).unwrap_or(sheet.bounds)
    }

    /// The edge of a table, a scanner's margin, a frame: it lies along the picture's edge and in a corner, and not, as a
    /// digit that fills the picture, from side to side and in the middle.
    fn is_edge(&self, part: &Part) -> bool {
        let (last_column, last_row) = (self.width - 1, self.height - 1);
        let is_at = |(x, y)| self.label(x, y) == part.label;
        part.edge * 4 > self.width + self.height
            && [(0, 0), (last_column, 0), (0, last_row), (last_column, last_row)].into_iter().any(is_at)
            && !(part.bounds.width() == self.width && part.bounds.height() == self.height && self.is_in_middle(part))
    }

    /// Whether a twentieth and more of the picture's inner half is of this part.
    fn is_in_middle(&self, part: &Part) -> bool {
        let inner = |side: usize| side / 4..(3 * side).div_ceil(4);
        let row = |y| inner(self.width).filter(|&x| self.label(x, y) == part.label).count();
        let inside: usize = inner(self.height).map(row).sum();
        inside * 20 > inner(self.width).len() * inner(self.height).len()
    }

    /// A straight line that crosses nearly the whole picture.
    fn is_across(&self, part: &Part) -> bool {
        let (longer, shorter) = (part.bounds.longer_side(), part.bounds.shorter_side());
        longer * 4 > 3 * self.width.max(self.height) && longer > 12 * shorter
    }

    /// The mean value of a part in the plane and of the background behind it.
    fn light(&self, part: &Part) -> (u8, u8) {
        let (mut inside, mut behind, mut pixels) = (0u64, 0u64, 0u64);
        let Bounds { left, right, top, bottom } = part.bounds;
        for y in top..=bottom {
            for x in left..=right {
                if self.label(x, y) == part.label {
                    pixels += 1;
                    inside += u64::from(self.workspace.plane[y * self.width + x]);
                    behind += u64::from(self.workspace.background[y * self.width + x]);
                }
            }
        }
        ((inside / pixels.max(1)) as u8, (behind / pixels.max(1)) as u8)
    }

    /// Background between strokes of the other kind of ink, such as what a 0 encloses: around it, it goes on as it is.
    ///
    /// That is looked at on a frame around its box, every place compared with the ink that is next to it, since light may
    /// differ from one side to the other.
    fn is_gap(&self, part: &Part) -> bool {
        let away = (part.bounds.longer_side() / 4).max(3);
        let Bounds { left, right, top, bottom } = part.bounds;
        let before = |first: usize| (first > 0).then(|| first.saturating_sub(away));
        let behind = |last: usize, side: usize| (last + 1 < side).then(|| (last + away).min(side - 1));
        let (mut same, mut other) = (0, 0);
        let mut compare =
            |place: Option<usize>, at: &dyn Fn(usize) -> usize, inward: &mut dyn Iterator<Item = usize>| {
                // At the picture's edge there is nothing around.
                let Some(place) = place else { return };
                let around = self.workspace.plane[at(place)];
                let ink = inward
                    .map(at)
                    .skip_while(|&pixel| self.workspace.labels[pixel] != part.label)
                    .take_while(|&pixel| self.workspace.labels[pixel] == part.label)
                    .min_by_key(|&pixel| self.workspace.plane[pixel]);
                let Some(ink) = ink else { return };
                let (inside, behind) = (self.workspace.plane[ink], self.workspace.background[ink]);
                *(if around.abs_diff(inside) < around.abs_diff(behind) { &mut same } else { &mut other }) += 1;
            };
        for x in left..=right {
            let at = |y: usize| y * self.width + x;
            compare(before(top), &at, &mut (top..=bottom));
            compare(behind(bottom, self.height), &at, &mut (top..=bottom).rev());
        }
        for y in top..=bottom {
            let at = |x: usize| y * self.width + x;
            compare(before(left), &at, &mut (left..=right));
            compare(behind(right, self.width), &at, &mut (left..=right).rev());
        }
        same > other
    }

    /// A piece of background that lies between shadows and strokes, in which no window has room: for a good part of its
    /// outline, the picture goes on beyond it as it is inside.
    fn ends_in_background(&self, part: &Part) -> bool {
        let Bounds { left, right, top, bottom } = part.bounds;
        let mut ends = Ends::default();
        for y in top..=bottom {
            self.count_ends(part, &mut ends, left..right + 1, self.width, |x| y * self.width + x);
        }
        for x in left..=right {
            self.count_ends(part, &mut ends, top..bottom + 1, self.height, |y| y * self.width + x);
        }
        4 * ends.soft > ends.hard
    }

    /// Counts the ends of a part's runs in a line of `side` pixels.
    fn count_ends(
        &self,
        part: &Part,
        ends: &mut Ends,
        range: core::ops::Range<usize>,
        side: usize,
        pixel: impl Fn(usize) -> usize,
    ) {
        let is_in = |i: usize| self.workspace.labels[pixel(i)] == part.label;
        let mut next = range.start;
        while next < range.end {
            if !is_in(next) {
                next += 1;
                continue;
            }
            let first = next;
            let mut inmost = pixel(first);
            while next < range.end && is_in(next) {
                if self.ink(pixel(next)) > self.ink(inmost) {
                    inmost = pixel(next);
                }
                next += 1;
            }
            let (inside, behind) = (self.workspace.plane[inmost], self.workspace.background[inmost]);
            for beyond in [first.checked_sub(OUTSIDE), Some(next - 1 + OUTSIDE).filter(|&i| i < side)] {
                let Some(beyond) = beyond.map(&pixel).filter(|&at| self.workspace.labels[at] != part.label) else {
                    continue;
                };
                let value = self.workspace.plane[beyond];
                let is_soft = value.abs_diff(inside) < value.abs_diff(behind);
                *(if is_soft { &mut ends.soft } else { &mut ends.hard }) += 1;
            }
        }
    }

    /// The usual value near the picture's corners, behind what may be a thin frame.
    fn margin(&self) -> Option<u8> {
        let inset = self.width.max(self.height) / 32;
        let ends = |side: usize| {
            let inset = inset.min((side - 1) / 2);
            let quarter = (side / 4).max(inset + 1);
            (inset..quarter).chain(side - quarter..side - inset)
        };
        let lines = |side: usize| [inset.min((side - 1) / 2), side - 1 - inset.min((side - 1) / 2)];
        let across = lines(self.height).into_iter().flat_map(|y| ends(self.width).map(move |x| (x, y)));
        let down = lines(self.width).into_iter().flat_map(|x| ends(self.height).map(move |y| (x, y)));
        self.median(across.chain(down))
    }

    /// The median of the plane at some places.
    fn median(&self, places: impl Iterator<Item = (usize, usize)>) -> Option<u8> {
        let (mut counts, mut total) = ([0u32; 256], 0);
        for (x, y) in places {
            counts[usize::from(self.workspace.plane[y * self.width + x])] += 1;
            total += 1;
        }
        let mut below = 0;
        let median = counts.iter().position(|&count| {
            below += count;
            2 * below > total
        });
        median.map(|value| value as u8)
    }

    /// Whether `part` is what the box or circle `frame` was drawn around.
    fn is_boxed(&self, part: &Part, frame: &Part) -> bool {
        let (inner, outer) = (&part.bounds, &frame.bounds);
        if !outer.encloses(inner)
            || 4 * inner.longer_side() < outer.longer_side()
            || !part.is_like(frame)
            || part.is_filled()
            || self.is_gap(part)
        {
            return false;
        }
        let (x, y) = ((inner.left + inner.right) / 2, (inner.top + inner.bottom) / 2);
        let on = |x, y| self.label(x, y) == frame.label;
        (outer.left..inner.left).any(|x| on(x, y))
            && (inner.right + 1..=outer.right).any(|x| on(x, y))
            && (outer.top..inner.top).any(|y| on(x, y))
            && (inner.bottom + 1..=outer.bottom).any(|y| on(x, y))
    }

    /// The digit with the parts that belong to it, and what is doubtful about it.
    fn assemble(&self, first: &Part, parts: &Parts, score: u64) -> Digit {
        let mut labels = [0; MAX_JOINED];
        labels[0] = first.label;
        let (mut count, mut bounds) = (1, first.bounds);
        let mut doubts = Doubts::default();
        loop {
            let joins = |part: &&Part| {
                !labels.contains(&part.label) && self.belongs(part, first, &bounds) && !self.is_another(part, first)
            };
            let Some(part) = parts.all().iter().find(joins).filter(|_| count < MAX_JOINED) else { break };
            labels[count] = part.label;
            count += 1;
            bounds = bounds.joined(part.bounds);
            doubts.several_parts |= 4 * part.area >= first.area;
        }
        doubts.several_digits =
            parts.all().iter().any(|part| !labels.contains(&part.label) && self.is_another(part, first));
        doubts.at_edge = first.edge > 0;
        doubts.low_contrast = first.contrast() < LOW_CONTRAST;
        let sheet = self.is_sheet(first).then(|| self.within(first));
        doubts.odd_shape = first.is_filled()
            || sheet.is_some()
            || self.is_across(first)
            || 10 * bounds.width() > 13 * bounds.height()
            || self.is_edge(first);
        let along_edge = self.is_edge(first);
        let &Part { area, ink, .. } = first;
        Digit { bounds, doubts, along_edge, sheet, labels, area, ink, score, noise: self.noise }
    }

    /// Whether a part is near enough to the digit and enough like it to be a piece of it.
    fn belongs(&self, part: &Part, digit: &Part, bounds: &Bounds) -> bool {
        let (across, down) = bounds.gaps(&part.bounds);
        part.edge == 0
            && part.is_like(digit)
            && 50 * part.area >= digit.area
            && 5 * across.max(down) <= bounds.longer_side()
            && !part.bounds.encloses(&digit.bounds)
            && !self.is_gap(part)
    }

    /// Whether a part is another digit: as large, and beside it or elsewhere.
    fn is_another(&self, part: &Part, digit: &Part) -> bool {
        let (across, down) = digit.bounds.gaps(&part.bounds);
        let height = digit.bounds.height().max(part.bounds.height());
        2 * part.bounds.height() >= height
            && part.bounds.height() <= 2 * digit.bounds.height()
            && (12 * across >= height || 3 * down >= height)
            && part.is_like(digit)
            && digit.is_like(part)
            && part.edge == 0
            && !part.is_filled()
            && !self.is_across(part)
            && !self.is_gap(part)
    }
}
