//! The lines of ruled and squared paper: long, thin, straight from one edge of the picture to the other.
//!
//! A line's pixels are voted for by the thin places of ink (P. V. C. Hough, *Method and means for recognizing complex
//! patterns*, 1962), in all slopes up to 1/4. Where ink is thicker than the line is elsewhere, a stroke crosses it,
//! which stays.

use super::workspace::{WORKING_SIDE, Workspace};

/// Slopes are counted in this part of a pixel a pixel.
const SLOPE_UNIT: i32 = 192;
/// The steepest slope, in [`SLOPE_UNIT`]s: 15°, and a little more.
const STEEPEST: i32 = 54;
/// Lines at most in either direction.
const MAX_LINES: usize = 48;
/// Votes of a line that goes from edge to edge, in per cent of the side; of lines that have parallel ones.
const LONE_PERCENT: usize = 55;
const PARALLEL_PERCENT: usize = 40;
/// Parallel lines that make ruled paper even where they do not reach the edges.
const PARALLEL_LINES: usize = 3;
/// A line is covered by ink, be it thin or a stroke that crosses it, on this much of its way, in per cent.
const COVERED_PERCENT: usize = 90;
/// Rules are as long as the longest of them, in per cent.
const AS_LONG_PERCENT: usize = 85;

/// Rows of ink, or columns of it as if they were rows.
struct Sheet<'a> {
    ink: &'a mut [u8],
    width: usize,
    height: usize,
    /// Distance in memory of neighbours along and across.
    along: usize,
    across: usize,
    /// Ink above this counts.
    floor: u8,
}

/// A straight line: `y = start + slope · x`.
#[derive(Debug, Clone, Copy)]
struct Line {
    slope: i32,
    start: i32,
    votes: usize,
}

impl Line {
    fn at(&self, x: usize) -> i32 {
        self.start + rise(self.slope, x)
    }
}

/// The rise of a slope over `x` pixels, rounded down.
fn rise(slope: i32, x: usize) -> i32 {
    (slope * x as i32).div_euclid(SLOPE_UNIT)
}

/// Takes the rules out of `workspace.ink`; `floor` is the noise.
pub(super) fn erase(width: usize, height: usize, floor: u8, workspace: &mut Workspace<'_>) {
    let Workspace { ink, queue, .. } = workspace;
    let ink = &mut ink[..width * height];
    let mut sheet = Sheet { ink, width, height, along: 1, across: width, floor };
    sheet.erase_lines(queue);
    let mut sheet = Sheet { width: height, height: width, along: width, across: 1, ..sheet };
    sheet.erase_lines(queue);
}

impl Sheet<'_> {
    fn is_inked(&self, x: usize, y: i32) -> bool {
        (0..self.height as i32).contains(&y) && self.ink[x * self.along + y as usize * self.across] > self.floor
    }

    /// The thickest that a line may be.
    fn thickest(&self) -> usize {
        (self.width.max(self.height) / 48).max(2)
    }

    fn erase_lines(&mut self, queue: &mut [u32]) {
        let mut slopes = -STEEPEST..=STEEPEST;
        let mut lines = [Line { slope: 0, start: 0, votes: 0 }; MAX_LINES];
        let mut count = 0;
        let points = self.thin_places(queue);
        let points = &mut queue[..points];
        let mut left = points.len();
        while count < MAX_LINES {
            let Some(line) = self.most_votes(&points[..left], slopes.clone()) else { break };
            if line.votes * 100 < self.width * PARALLEL_PERCENT {
                break;
            }
            if count == 0 {
                slopes = line.slope - 4..=line.slope + 4;
            }
            // Its voters have voted.
            let mut kept = 0;
            for i in 0..left {
                let [x, y] = unpack(points[i]);
                if (y as i32 - line.at(x)).abs() > 2 {
                    points[kept] = points[i];
                    kept += 1;
                }
            }
            left = kept;
            lines[count] = line;
            count += 1;
        }
        // Rules are equally long; a digit's bar or the side of a box is shorter.
        let lines = &lines[..count];
        let longest = lines.iter().map(|line| self.covered(line)).max().unwrap_or(0);
        let is_as_long = |sheet: &Self, line: &Line| sheet.covered(line) * 100 >= longest * AS_LONG_PERCENT;
        let parallel = lines.iter().filter(|line| is_as_long(self, line)).count();
        let mut erased = [false; MAX_LINES];
        for (erased, line) in erased.iter_mut().zip(lines) {
            let lone = line.votes * 100 >= self.width * LONE_PERCENT && self.is_covered(line);
            *erased = lone || (parallel >= PARALLEL_LINES && is_as_long(self, line));
        }
        for (line, _) in lines.iter().zip(erased).filter(|(_, erased)| *erased) {
            self.erase_line(line);
        }
    }

    /// Writes the middle of every thin run of ink across to the queue.
    fn thin_places(&self, queue: &mut [u32]) -> usize {
        let mut count = 0;
        for x in 0..self.width {
            let mut y = 0;
            while y < self.height {
                let first = y;
                while self.is_inked(x, y as i32) {
                    y += 1;
                }
                if (1..=self.thickest()).contains(&(y - first)) {
                    queue[count] = ((x as u32) << 16) | ((first + y) / 2) as u32;
                    count += 1;
                }
                y += 1;
            }
        }
        count
    }

    fn most_votes(&self, points: &[u32], slopes: core::ops::RangeInclusive<i32>) -> Option<Line> {
        // Room for what rises or falls over the whole width.
        const MARGIN: i32 = WORKING_SIDE as i32 / 3 + 4;
        let mut best: Option<Line> = None;
        for slope in slopes {
            let mut votes = [0u16; WORKING_SIDE + 2 * MARGIN as usize + 2];
            for &point in points {
                let [x, y] = unpack(point);
                votes[(y as i32 - rise(slope, x) + MARGIN) as usize] += 1;
            }
            for (start, pair) in (0..).zip(votes.windows(2)) {
                let votes = usize::from(pair[0] + pair[1]);
                let start = start - MARGIN + i32::from(pair[1] > pair[0]);
                if votes > best.map_or(0, |best| best.votes) {
                    best = Some(Line { slope, start, votes });
                }
            }
        }
        best
    }

    /// On how many columns ink follows the line.
    fn covered(&self, line: &Line) -> usize {
        (0..self.width).filter(|&x| self.is_near(line, x)).count()
    }

    fn is_near(&self, line: &Line, x: usize) -> bool {
        (-2..=2).any(|off| self.is_inked(x, line.at(x) + off))
    }

    /// Whether ink follows the line from edge to edge.
    fn is_covered(&self, line: &Line) -> bool {
        let inside = |x: &usize| (0..self.height as i32).contains(&line.at(*x));
        let places = (0..self.width).filter(inside).count();
        // The first and the last twentieth too.
        let end = (self.width / 20).max(1);
        let ends = [0..end, self.width - end..self.width];
        let reaches = |mut end: core::ops::Range<usize>| end.any(|x| !inside(&x) || self.is_near(line, x));
        self.covered(line) * 100 >= places * COVERED_PERCENT && ends.into_iter().all(reaches)
    }

    /// The run of ink across the line at `x`: its first row and its end.
    fn run(&self, line: &Line, x: usize) -> Option<(i32, i32)> {
        let y = [0, 1, -1, 2, -2].map(|off| line.at(x) + off).into_iter().find(|&y| self.is_inked(x, y))?;
        let (mut first, mut end) = (y, y + 1);
        while self.is_inked(x, first - 1) {
            first -= 1;
        }
        while self.is_inked(x, end) {
            end += 1;
        }
        Some((first, end))
    }

    /// Takes out the runs that are not thicker than the line is. Strokes along it may cover most of it: the thinner third
    /// tells.
    fn erase_line(&mut self, line: &Line) {
        let mut counts = [0usize; 16];
        for (first, end) in (0..self.width).filter_map(|x| self.run(line, x)) {
            counts[((end - first) as usize).min(15)] += 1;
        }
        let total: usize = counts.iter().sum();
        let mut below = 0;
        let thin = counts.iter().position(|&count| {
            below += count;
            3 * below >= total
        });
        let thickest = (thin.unwrap_or(1) + 1).min(self.thickest() + 1) as i32;
        for x in 0..self.width {
            let Some((first, end)) = self.run(line, x) else { continue };
            if end - first <= thickest {
                for y in first..end {
                    self.ink[x * self.along + y as usize * self.across] = 0;
                }
            }
        }
    }
}

fn unpack(point: u32) -> [usize; 2] {
    [(point >> 16) as usize, (point & 0xffff) as usize]
}
