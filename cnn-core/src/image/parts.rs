//! Connected parts of ink, and which of them are the digit.
//!
//! Parts are taken strongest ink first: everything above a share of the strongest that is left becomes parts, then
//! what is left is looked at in the same way, so that a black frame does not hide a digit in pencil. The digit is the
//! part of most contrast and size that is no edge of the picture, no filled area and no ruler's line; if it encloses
//! another part, as a box or a circle around a digit does, it is that one; and what lies beside it belongs to it.

use super::{Doubts, Workspace, rules};

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
    labels: [u16; MAX_JOINED],
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
    let mut sheet = Sheet { width, height, noise, margin: 0, workspace };
    // Behind what may be a thin frame.
    let inset = width.max(height) / 32;
    let inner = Bounds {
        left: inset,
        right: width - 1 - inset.min(width - 1),
        top: inset,
        bottom: height - 1 - inset.min(height - 1),
    };
    sheet.margin = sheet.around(&inner, 0).unwrap_or(0);
    rules::erase(width, height, noise.max(LEAST_INK / 2), sheet.workspace);
    let parts = sheet.parts();
    sheet.choose(&parts)
}

/// Leaves in `workspace.ink` nothing but the digit and its faint edge.
pub(super) fn keep(digit: &Digit, width: usize, height: usize, workspace: &mut Workspace<'_>) {
    let mut sheet = Sheet { width, height, noise: digit.noise, margin: 0, workspace };
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

struct Sheet<'a, 'b> {
    width: usize,
    height: usize,
    noise: u8,
    /// The usual value near the picture's edge.
    margin: u8,
    workspace: &'a mut Workspace<'b>,
}

impl Sheet<'_, '_> {
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
        if self.margin.abs_diff(inside) < self.margin.abs_diff(behind) {
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

    /// The edge of a table, a scanner's margin, a frame: it lies along the picture's edge.
    fn is_edge(&self, part: &Part) -> bool {
        part.edge * 4 > self.width + self.height
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
    fn is_gap(&self, part: &Part) -> bool {
        let (inside, behind) = self.light(part);
        let away = (part.bounds.longer_side() / 4).max(3);
        let Some(around) = self.around(&part.bounds, away) else { return false };
        around.abs_diff(inside) < around.abs_diff(behind)
    }

    /// The median of the plane on a frame around a box, this far away, where that is in the picture.
    fn around(&self, bounds: &Bounds, away: usize) -> Option<u8> {
        let away = away as isize;
        let (left, right) = (bounds.left as isize - away, bounds.right as isize + away);
        let (top, bottom) = (bounds.top as isize - away, bounds.bottom as isize + away);
        let rows = (left..=right).flat_map(|x| [(x, top), (x, bottom)]);
        let columns = (top..=bottom).flat_map(|y| [(left, y), (right, y)]);
        let (mut counts, mut total) = ([0u32; 256], 0);
        for (x, y) in rows.chain(columns) {
            if (0..self.width as isize).contains(&x) && (0..self.height as isize).contains(&y) {
                counts[usize::from(self.workspace.plane[y as usize * self.width + x as usize])] += 1;
                total += 1;
            }
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
        doubts.odd_shape = first.is_filled()
            || self.is_across(first)
            || 10 * bounds.width() > 13 * bounds.height()
            || self.is_edge(first);
        let along_edge = self.is_edge(first);
        Digit { bounds, doubts, along_edge, labels, score, noise: self.noise }
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
