//! The two plots of a run: loss and accuracy of both splits over the epochs, as PNG files in memory.
//!
//! Each has two panels: the axis of the tutorial, the same for every run, and beside it the later epochs at a scale that
//! shows how the curves differ. The curves are told apart without colours: training is a broad line, test a narrow one
//! of dashes over it, so that both are seen where they are equal.
//!
//! The font comes with the program (`assets/README.md`), so that the plots need nothing of the system they are made on.

use cnn_train::metrics::{EpochMetrics, Metrics};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::imageops::{replace, thumbnail};
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use plotters::backend::BitMapBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontStyle, FontTransform, IntoFont, RGBColor, ShapeStyle, TextStyle, WHITE, register_font,
};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, DrawingBackend, DrawingErrorKind};

/// Pixels of a plot across.
const WIDTH: u32 = 1900;
/// Pixels of a plot from top to bottom.
const HEIGHT: u32 = 1000;
/// Every pixel is the mean of this many drawn ones along each side: the drawing library does not smooth lines.
const OVERSAMPLING: u32 = 2;
/// A plot is drawn in so many strips, one below the other, for the memory of the drawn pixels: it is a run's peak.
const STRIPS: u32 = 5;
const _: () = assert!(HEIGHT.is_multiple_of(STRIPS));

/// Sky blue and vermillion of Okabe and Ito's palette, told apart with any colour vision
/// (<https://jfly.uni-koeln.de/color/>).
const TRAIN: Stroke = Stroke { colour: RGBColor(86, 180, 233), width: 10, dashes: None, marker: 11 };
const TEST: Stroke = Stroke { colour: RGBColor(213, 94, 0), width: 4, dashes: Some((16.0, 10.0)), marker: 6 };
const TEXT_COLOUR: RGBColor = RGBColor(34, 34, 34);
const FAINT_TEXT_COLOUR: RGBColor = RGBColor(100, 100, 100);
const AXIS_COLOUR: RGBColor = RGBColor(120, 120, 120);
const GRID_COLOUR: RGBColor = RGBColor(228, 228, 228);

/// How a curve is drawn, in pixels of the finished plot.
#[derive(Clone, Copy)]
struct Stroke {
    colour: RGBColor,
    width: u32,
    /// Lengths of a dash and of the gap after it.
    dashes: Option<(f64, f64)>,
    /// Radius of the markers of single epochs.
    marker: i32,
}

/// Up to this many epochs, every one has a marker.
const MOST_MARKED_EPOCHS: usize = 20;
/// The detail shows the epochs after this share of the run.
const DETAIL_FROM: f64 = 0.2;
/// So many characters of the text under the title have room.
const MOST_CHARACTERS: usize = 105;

pub(super) const FONT: &str = "DejaVu Sans";
static FONT_FILE: &[u8] = include_bytes!("../../assets/DejaVuSans-Latin1.ttf");

/// A plot could not be drawn or encoded.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw the plot: {0}")]
pub struct PlotError(String);

impl PlotError {
    pub(super) fn new(cause: impl std::fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

/// Makes the font known to the drawing library.
pub(super) fn register() -> Result<(), PlotError> {
    register_font(FONT, FontStyle::Normal, FONT_FILE).map_err(|_| PlotError::new("its font is damaged"))
}

/// `loss_image.png`: the mean loss of both splits over the epochs, the loss axis from 0 to 2.5. Every loss is finite.
/// `run` says which run it was: data, seed, backend.
///
/// # Errors
/// If the drawing library fails.
pub fn loss_image(epochs: &[EpochMetrics], run: &str) -> Result<Vec<u8>, PlotError> {
    Plot {
        title: "Mean loss",
        value_label: "mean cross-entropy loss",
        top: 2.5,
        step: 0.5,
        value: |metrics| metrics.loss,
        shown: |loss| if loss < 1000.0 { format!("{loss:.4}") } else { format!("{loss:.1e}") },
    }
    .png(epochs, run)
}

/// `accuracy_image.png`: the accuracy of both splits over the epochs, the accuracy axis from 0 to 1. `run` as above.
///
/// # Errors
/// If the drawing library fails.
pub fn accuracy_image(epochs: &[EpochMetrics], run: &str) -> Result<Vec<u8>, PlotError> {
    ACCURACY.png(epochs, run)
}

const ACCURACY: Plot = Plot {
    title: "Accuracy",
    value_label: "accuracy (share of correct predictions)",
    top: 1.0,
    step: 0.1,
    value: Metrics::accuracy,
    shown: |accuracy| format!("{:.2} %", 100.0 * accuracy),
};

/// A run in [`comparison`]; its training split is not looked at.
#[derive(Debug, Clone)]
pub struct Curve {
    /// What the legend calls it.
    pub name: String,
    /// Its epochs, at least one.
    pub epochs: Vec<EpochMetrics>,
}

/// The colours of Okabe and Ito's palette that are seen on white, one after another; then again with dashes.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(34, 34, 34),
];
const DASHES: [Option<(f64, f64)>; 3] = [None, Some((16.0, 10.0)), Some((4.0, 8.0))];
/// Most names in a legend.
const MOST_NAMED: usize = 16;
/// So many characters of a name have room in a legend.
const MOST_NAME_CHARACTERS: usize = 28;

/// The test accuracy of several runs over the epochs; `about` is the line under the title.
///
/// # Errors
/// If the drawing library fails.
pub fn comparison(runs: &[Curve], about: &str) -> Result<Vec<u8>, PlotError> {
    let curves = runs.iter().enumerate().map(|(number, run)| {
        let points = run.epochs.iter().map(|epoch| (f64::from(epoch.epoch), epoch.test.accuracy())).collect();
        let dashes = DASHES[number / COLOURS.len() % DASHES.len()];
        (points, Stroke { colour: COLOURS[number % COLOURS.len()], width: 4, dashes, marker: 6 })
    });
    let curves: Vec<(Vec<Point>, Stroke)> = curves.collect();
    let longest = runs.iter().max_by_key(|run| last(&run.epochs)).map_or(&[][..], |run| &run.epochs);
    // A short run's later epochs are early ones of a long run.
    let values = || runs.iter().flat_map(|run| later(&run.epochs)).map(|epoch| epoch.test.accuracy());
    ACCURACY.png_of(|area| {
        let frames = [ACCURACY.whole(longest), ACCURACY.detail_of(last(longest), values())];
        ACCURACY.captions("Test accuracy", &[about], area)?;
        ACCURACY.draw_curves(frames, &curves, area)?;
        name_curves(runs, &curves, area)
    })
}

/// Names the curves in the lower right corner of the first panel, where accuracies hardly ever are.
fn name_curves(runs: &[Curve], curves: &[(Vec<Point>, Stroke)], area: &Area<'_>) -> Result<(), PlotError> {
    let named = runs.len().min(MOST_NAMED);
    let rest = runs.len() - named;
    let lines = named + usize::from(rest > 0);
    for (line, (run, (_, stroke))) in (0..).zip(runs.iter().zip(curves)).take(named) {
        let middle = scaled(850 - 30 * (lines as i32 - 1 - line));
        let path = [480, 540].map(|x| (f64::from(scaled(x)), f64::from(middle)));
        draw_curve(&path, *stroke, area)?;
        let at = (scaled(556), middle + to_middle(24));
        let style = text(24, TEXT_COLOUR).pos(Pos::new(HPos::Left, VPos::Center));
        // The end of a path tells runs apart.
        let cut = run.name.chars().count().saturating_sub(MOST_NAME_CHARACTERS);
        let name: String = run.name.chars().skip(cut).collect();
        let name = shortened(&if cut > 0 { format!("...{name}") } else { name });
        area.draw(&Text::new(name, at, style)).map_err(PlotError::new)?;
    }
    if rest > 0 {
        let style = text(24, FAINT_TEXT_COLOUR).pos(Pos::new(HPos::Left, VPos::Center));
        let at = (scaled(556), scaled(850) + to_middle(24));
        area.draw(&Text::new(format!("and {rest} more"), at, style)).map_err(PlotError::new)?;
    }
    Ok(())
}

/// One quantity over the epochs.
struct Plot {
    title: &'static str,
    value_label: &'static str,
    /// The upper end of the value axis, which starts at 0.
    top: f64,
    /// Between two numbers of the value axis.
    step: f64,
    value: fn(&Metrics) -> f64,
    shown: fn(f64) -> String,
}

/// A strip of the drawn plot, from a row on: what is drawn above or below it is cut off.
struct Strip<'a> {
    pixels: BitMapBackend<'a>,
    top: i32,
}

impl Strip<'_> {
    fn within(&self, (x, y): BackendCoord) -> BackendCoord {
        (x, y - self.top)
    }
}

type Drawn<'a> = Result<(), DrawingErrorKind<<BitMapBackend<'a> as DrawingBackend>::ErrorType>>;

/// The library draws everything else with these.
impl<'a> DrawingBackend for Strip<'a> {
    type ErrorType = <BitMapBackend<'a> as DrawingBackend>::ErrorType;

    fn get_size(&self) -> (u32, u32) {
        (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING)
    }

    fn ensure_prepared(&mut self) -> Drawn<'a> {
        self.pixels.ensure_prepared()
    }

    fn present(&mut self) -> Drawn<'a> {
        self.pixels.present()
    }

    fn draw_pixel(&mut self, point: BackendCoord, colour: BackendColor) -> Drawn<'a> {
        self.pixels.draw_pixel(self.within(point), colour)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn<'a> {
        self.pixels.draw_line(self.within(from), self.within(to), style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn<'a> {
        self.pixels.draw_rect(self.within(upper_left), self.within(bottom_right), style, fill)
    }
}

type Area<'a> = DrawingArea<Strip<'a>, Shift>;

impl Plot {
    fn png(&self, epochs: &[EpochMetrics], run: &str) -> Result<Vec<u8>, PlotError> {
        self.png_of(|area| {
            self.captions(self.title, &[run, &self.summary(epochs)], area)?;
            self.draw_curves([self.whole(epochs), self.detail(epochs)], &self.curves(epochs), area)?;
            legend(area)
        })
    }

    /// A picture of what is drawn, strip by strip.
    fn png_of(&self, draw: impl Fn(&Area<'_>) -> Result<(), PlotError>) -> Result<Vec<u8>, PlotError> {
        const ROWS: u32 = HEIGHT / STRIPS;
        register()?;
        let size = (WIDTH * OVERSAMPLING, ROWS * OVERSAMPLING);
        let mut plot = RgbImage::new(WIDTH, HEIGHT);
        let mut drawn = RgbImage::new(size.0, size.1);
        for first_row in (0..HEIGHT).step_by(ROWS as usize) {
            let pixels = BitMapBackend::with_buffer(&mut drawn, size);
            let area = Strip { pixels, top: scaled(first_row as i32) }.into_drawing_area();
            area.fill(&WHITE).map_err(PlotError::new)?;
            draw(&area)?;
            area.present().map_err(PlotError::new)?;
            drop(area);
            replace(&mut plot, &thumbnail(&drawn, WIDTH, ROWS), 0, first_row.into());
        }
        encode(&plot)
    }

    /// The title and the lines under it.
    fn captions(&self, title: &str, lines: &[&str], area: &Area<'_>) -> Result<(), PlotError> {
        let caption = |text: &str, style: TextStyle<'_>, y| {
            area.draw(&Text::new(text.to_owned(), (scaled(150), scaled(y)), style)).map_err(PlotError::new)
        };
        caption(title, text(44, TEXT_COLOUR), 30)?;
        for (line, words) in (0..).zip(lines) {
            caption(&shortened(words), text(26, FAINT_TEXT_COLOUR), 88 + 36 * line)?;
        }
        Ok(())
    }

    /// Both panels with their curves, the later ones above the earlier ones.
    fn draw_curves(
        &self,
        frames: [Frame; 2],
        curves: &[(Vec<Point>, Stroke)],
        area: &Area<'_>,
    ) -> Result<(), PlotError> {
        for frame in &frames {
            self.draw_axes(frame, area)?;
            for (points, stroke) in curves {
                for piece in frame.within(points) {
                    let path: Vec<_> = piece.into_iter().map(|point| frame.exactly(point)).collect();
                    draw_curve(&path, *stroke, area)?;
                }
                let marked = if points.len() <= MOST_MARKED_EPOCHS { &points[..] } else { &[] };
                for &point in marked.iter().filter(|point| frame.holds(point.1)) {
                    let marker = Circle::new(frame.place(point), scaled(stroke.marker), stroke.colour.filled());
                    area.draw(&marker).map_err(PlotError::new)?;
                }
            }
        }
        Ok(())
    }

    /// The axis that is the same for every run.
    fn whole(&self, epochs: &[EpochMetrics]) -> Frame {
        Frame { left: 150.0, right: 930.0, last: last(epochs), bottom: 0.0, top: self.top, step: self.step }
    }

    /// The least axis between round numbers that has all values of the later epochs.
    fn detail(&self, epochs: &[EpochMetrics]) -> Frame {
        let values = later(epochs).flat_map(|epoch| [&epoch.train, &epoch.test]).map(self.value);
        self.detail_of(last(epochs), values)
    }

    /// The least axis between round numbers that has all these values.
    fn detail_of(&self, last: u32, values: impl Iterator<Item = f64>) -> Frame {
        let (mut low, mut high) = (self.top, 0.0_f64);
        for value in values.filter(|&value| value <= self.top) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, self.top);
        }
        // The middle of equal values, or of hardly different ones.
        let step = round_step(((high - low) / 8.0).max(self.top / 10_000.0));
        let bottom = ((low / step).floor() * step).max(0.0);
        let top = ((high / step).ceil() * step).clamp(bottom + step, self.top.max(bottom + step));
        Frame { left: 1080.0, right: 1860.0, last, bottom, top, step }
    }

    /// The grid, the numbers at it and what they mean.
    fn draw_axes(&self, frame: &Frame, area: &Area<'_>) -> Result<(), PlotError> {
        let stroke = |from, to, style| {
            let path = [frame.place(from), frame.place(to)];
            area.draw(&PathElement::new(path, style)).map_err(PlotError::new)
        };
        let write = |label: &str, style: TextStyle<'_>, at| {
            area.draw(&Text::new(label.to_owned(), at, style)).map_err(PlotError::new)
        };
        let numbers = text(26, TEXT_COLOUR);
        let last = f64::from(frame.last);
        for value in frame.ticks() {
            stroke((0.0, value), (last, value), line(GRID_COLOUR, 2))?;
            let (x, y) = frame.place((0.0, value));
            let right = numbers.pos(Pos::new(HPos::Right, VPos::Center));
            write(&frame.number(value), right, (x - scaled(14), y + to_middle(26)))?;
        }
        for epoch in epoch_ticks(frame.last).map(f64::from) {
            stroke((epoch, frame.bottom), (epoch, frame.top), line(GRID_COLOUR, 2))?;
            let (x, y) = frame.place((epoch, frame.bottom));
            write(&format!("{epoch}"), numbers.pos(Pos::new(HPos::Center, VPos::Top)), (x, y + scaled(20)))?;
        }
        stroke((0.0, frame.bottom), (last, frame.bottom), line(AXIS_COLOUR, 2))?;
        stroke((0.0, frame.bottom), (0.0, frame.top), line(AXIS_COLOUR, 2))?;
        let names = text(28, TEXT_COLOUR);
        let (x, _) = frame.place((last / 2.0, frame.bottom));
        write("epoch", names.pos(Pos::new(HPos::Center, VPos::Bottom)), (x, scaled(HEIGHT as i32 - 30)))?;
        let upright = names.transform(FontTransform::Rotate270).pos(Pos::new(HPos::Center, VPos::Top));
        let (x, y) = frame.place((0.0, f64::midpoint(frame.bottom, frame.top)));
        write(self.value_label, upright, (x - scaled(120), y))
    }

    /// The curves in the order of drawing: points (epoch, value), and how they look.
    fn curves(&self, epochs: &[EpochMetrics]) -> [(Vec<Point>, Stroke); 2] {
        let points = |split: fn(&EpochMetrics) -> &Metrics| {
            epochs.iter().map(|epoch| (f64::from(epoch.epoch), (self.value)(split(epoch)))).collect()
        };
        [(points(|epoch| &epoch.train), TRAIN), (points(|epoch| &epoch.test), TEST)]
    }

    /// The last values, and whether some do not fit the axis.
    fn summary(&self, epochs: &[EpochMetrics]) -> String {
        let Some(last) = epochs.last() else { return "no epoch was trained".into() };
        let shown = |metrics| (self.shown)((self.value)(metrics));
        let beyond = epochs.iter().flat_map(|epoch| [&epoch.train, &epoch.test]).any(|m| (self.value)(m) > self.top);
        let note = if beyond { format!("; values above {} are not shown", self.top) } else { String::new() };
        format!("after epoch {}: train {}, test {}{note}", last.epoch, shown(&last.train), shown(&last.test))
    }
}

/// What stands under the title: which run it was.
pub fn named(dataset: &str, seed: u64, backend: &str) -> String {
    format!("{dataset}; seed {seed}; {backend}")
}

/// The epochs of a run that the detail shows.
fn later(epochs: &[EpochMetrics]) -> impl Iterator<Item = &EpochMetrics> {
    let from = DETAIL_FROM * f64::from(last(epochs));
    epochs.iter().filter(move |epoch| f64::from(epoch.epoch) > from)
}

/// The last epoch of the axis.
fn last(epochs: &[EpochMetrics]) -> u32 {
    epochs.last().map_or(1, |epoch| epoch.epoch)
}

/// As much of a text as has room, in characters that the font has: Latin-1.
pub(super) fn shortened(text: &str) -> String {
    let known = |character: char| match character {
        ' '..='~' | '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{ff}' => character,
        _ => '?',
    };
    let count = text.chars().count();
    let kept = if count > MOST_CHARACTERS { MOST_CHARACTERS - 3 } else { count };
    text.chars().take(kept).map(known).chain("...".chars().filter(|_| kept < count)).collect()
}

/// Epoch and value.
type Point = (f64, f64);

/// A plane of the curves: epochs 0 to `last` from left to right, values `bottom` to `top` upwards.
struct Frame {
    /// The sides, in pixels of the finished plot.
    left: f64,
    right: f64,
    last: u32,
    bottom: f64,
    top: f64,
    /// Between two numbers of the value axis.
    step: f64,
}

impl Frame {
    /// Where a point lies, in drawn pixels.
    fn exactly(&self, (epoch, value): Point) -> Point {
        const TOP: f64 = 190.0;
        const BOTTOM: f64 = 880.0;
        let x = self.left + (self.right - self.left) * epoch / f64::from(self.last);
        let y = BOTTOM - (BOTTOM - TOP) * (value - self.bottom) / (self.top - self.bottom);
        (x * f64::from(OVERSAMPLING), y * f64::from(OVERSAMPLING))
    }

    /// Where a point is drawn.
    fn place(&self, point: Point) -> (i32, i32) {
        rounded(self.exactly(point))
    }

    fn holds(&self, value: f64) -> bool {
        (self.bottom..=self.top).contains(&value)
    }

    /// The pieces of a curve that lie in the plane, cut where the straight lines between its points leave it.
    fn within(&self, points: &[Point]) -> Vec<Vec<Point>> {
        // Seen from the bottom's side, what is above it is below.
        let flipped = |points: &[Point]| points.iter().map(|&(x, y)| (x, -y)).collect::<Vec<_>>();
        let above = |piece: Vec<Point>| below(&flipped(&piece), -self.bottom);
        below(points, self.top).into_iter().flat_map(above).map(|piece| flipped(&piece)).collect()
    }

    /// The numbers of the value axis.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let count = ((self.top - self.bottom) / self.step).round() as u32;
        (0..=count).map(|tick| self.bottom + f64::from(tick) * self.step)
    }

    /// A number of the value axis, with as many decimals as tell it from its neighbours.
    fn number(&self, value: f64) -> String {
        let decimals = (-self.step.log10()).ceil().max(1.0) as usize;
        format!("{value:.decimals$}")
    }
}

fn rounded((x, y): Point) -> (i32, i32) {
    (x.round() as i32, y.round() as i32)
}

/// The least of 1, 2 or 5 times a power of ten that is not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10.0_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|&step| step >= least).unwrap_or(10.0 * power)
}

/// Multiples of 1, 2 or 5 times a power of ten, at most eleven of them, from 0 up to `last`.
fn epoch_ticks(last: u32) -> impl Iterator<Item = u32> {
    let steps = (0..9).flat_map(|power| [1, 2, 5].map(|digit| digit * 10u32.pow(power)));
    let step = steps.into_iter().find(|step| last / step <= 10).unwrap_or(1_000_000_000);
    (0..=last / step).map(move |tick| tick * step)
}

/// The pieces of a curve that lie below `top`, cut where the straight lines between its points cross it.
fn below(points: &[Point], top: f64) -> Vec<Vec<Point>> {
    let mut pieces = Vec::new();
    let mut piece: Vec<Point> = Vec::new();
    let mut previous: Option<Point> = None;
    for &(x, y) in points {
        if let Some((x0, y0)) = previous
            && (y0 <= top) != (y <= top)
        {
            piece.push((x0 + (x - x0) * ((top - y0) / (y - y0)), top));
        }
        if y <= top {
            piece.push((x, y));
        } else if !piece.is_empty() {
            pieces.push(std::mem::take(&mut piece));
        }
        previous = Some((x, y));
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// Draws a path with round joins; those of the library's own are spikes where a curve turns sharply.
fn draw_curve(path: &[Point], stroke: Stroke, area: &Area<'_>) -> Result<(), PlotError> {
    let scale = f64::from(OVERSAMPLING);
    let pieces = match stroke.dashes {
        None => vec![path.to_vec()],
        Some((dash, gap)) => dashed(path, dash * scale, gap * scale),
    };
    for piece in pieces {
        let piece: Vec<_> = piece.into_iter().map(rounded).collect();
        for segment in piece.array_windows::<2>() {
            let element = PathElement::new(segment.as_slice(), line(stroke.colour, stroke.width));
            area.draw(&element).map_err(PlotError::new)?;
        }
        for &join in piece.iter().skip(1).rev().skip(1) {
            let radius = scaled(stroke.width as i32) / 2;
            area.draw(&Circle::new(join, radius, stroke.colour.filled())).map_err(PlotError::new)?;
        }
    }
    Ok(())
}

/// The pieces of a path that dashes of such a length and such gaps between them leave.
fn dashed(path: &[Point], dash: f64, gap: f64) -> Vec<Vec<Point>> {
    let mut pieces = Vec::new();
    let mut piece: Vec<Point> = path.first().copied().into_iter().collect();
    let (mut drawing, mut left) = (true, dash);
    for &[(x0, y0), (x1, y1)] in path.array_windows::<2>() {
        let length = (x1 - x0).hypot(y1 - y0);
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let at = (x0 + (x1 - x0) * done / length, y0 + (y1 - y0) * done / length);
            if drawing {
                piece.push(at);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece.push(at);
            }
            drawing = !drawing;
            left = if drawing { dash } else { gap };
        }
        left -= length - done;
        if drawing {
            piece.push((x1, y1));
        }
    }
    pieces.extend(Some(piece).filter(|piece| piece.len() > 1));
    pieces
}

/// Names the curves, right of the title, where no curve can be.
fn legend(area: &Area<'_>) -> Result<(), PlotError> {
    let middle = scaled(58);
    for (left, name, stroke) in [(1480, "train", TRAIN), (1680, "test", TEST)] {
        let path = [left, left + 80].map(|x| (f64::from(scaled(x)), f64::from(middle)));
        draw_curve(&path, stroke, area)?;
        let style = text(30, TEXT_COLOUR).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(name, (scaled(left + 96), middle + to_middle(30)), style)).map_err(PlotError::new)?;
    }
    Ok(())
}

/// A length in pixels of the finished plot, as drawn.
const fn scaled(pixels: i32) -> i32 {
    pixels * OVERSAMPLING as i32
}

/// Text of a height, ascender to descender, in pixels of the finished plot.
fn text(height: i32, colour: RGBColor) -> TextStyle<'static> {
    (FONT, scaled(height)).into_font().color(&colour)
}

/// How far centred text of a height must be lowered: the library takes the middle of a box that leaves out descenders
/// but not the room above capitals.
const fn to_middle(height: i32) -> i32 {
    scaled(height) / 5
}

fn line(colour: RGBColor, width: u32) -> ShapeStyle {
    Color::stroke_width(&colour, width * OVERSAMPLING)
}

pub(super) fn encode(image: &RgbImage) -> Result<Vec<u8>, PlotError> {
    let mut png = Vec::new();
    PngEncoder::new_with_quality(&mut png, CompressionType::Default, FilterType::Adaptive)
        .write_image(image, image.width(), image.height(), ExtendedColorType::Rgb8)
        .map_err(PlotError::new)?;
    Ok(png)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(train_and_test: &[(f64, f64)]) -> Vec<EpochMetrics> {
        let metrics = |value: f64| Metrics { loss: value, correct: (value * 1000.0) as u64, count: 1000 };
        (1..)
            .zip(train_and_test)
            .map(|(epoch, &(train, test))| EpochMetrics { epoch, train: metrics(train), test: metrics(test) })
            .collect()
    }

    fn decode(png: &[u8]) -> RgbImage {
        let image = image::load_from_memory_with_format(png, image::ImageFormat::Png).unwrap().into_rgb8();
        assert_eq!(image.dimensions(), (WIDTH, HEIGHT));
        image
    }

    const TRAIN_COLOUR: RGBColor = TRAIN.colour;
    const TEST_COLOUR: RGBColor = TEST.colour;

    /// The panel with the whole axis.
    fn whole(last: u32, top: f64) -> Frame {
        Frame { left: 150.0, right: 930.0, last, bottom: 0.0, top, step: 1.0 }
    }

    /// The colour at a point of the whole panel.
    fn colour_at(image: &RgbImage, last: u32, top: f64, point: Point) -> RGBColor {
        let (x, y) = whole(last, top).place(point);
        let [red, green, blue] = image.get_pixel(x as u32 / OVERSAMPLING, y as u32 / OVERSAMPLING).0;
        RGBColor(red, green, blue)
    }

    #[test]
    fn both_curves_pass_through_their_values() {
        let values = [(0.2, 0.8), (0.3, 0.7), (0.4, 0.6)];
        let loss = decode(&loss_image(&epochs(&values), "data, seed 0").unwrap());
        let accuracy = decode(&accuracy_image(&epochs(&values), "data, seed 0").unwrap());
        for (image, top) in [(loss, 2.5), (accuracy, 1.0)] {
            for (epoch, (train, test)) in (1..).zip(values) {
                assert_eq!(colour_at(&image, 3, top, (f64::from(epoch), train)), TRAIN_COLOUR);
                assert_eq!(colour_at(&image, 3, top, (f64::from(epoch), test)), TEST_COLOUR);
            }
            assert_eq!(colour_at(&image, 3, top, (1.5, 0.25)), TRAIN_COLOUR);
            assert_eq!(colour_at(&image, 3, top, (1.5, 0.45)), WHITE);
        }
    }

    /// The brightness of a colour on a screen without colours (ITU-R BT.601).
    fn luma(RGBColor(red, green, blue): RGBColor) -> f64 {
        0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue)
    }

    #[test]
    fn equal_curves_are_both_seen_and_told_apart_without_colours() {
        assert!(luma(TRAIN_COLOUR) - luma(TEST_COLOUR) > 35.0);
        let image = decode(&loss_image(&epochs(&[(1.0, 1.0); 40]), "").unwrap());
        // Along the curve the dashes of the one and the other between them, above and below the dashes the other alone.
        let along: Vec<_> =
            (100..3900).map(|step| colour_at(&image, 40, 2.5, (f64::from(step) / 100.0, 1.0))).collect();
        for colour in [TRAIN_COLOUR, TEST_COLOUR] {
            let share = along.iter().filter(|&&found| found == colour).count() as f64 / along.len() as f64;
            assert!((0.2..0.7).contains(&share), "{colour:?} {share}");
        }
        let (x, y) = whole(40, 2.5).place((20.0, 1.0));
        let edge = |offset: i32| image.get_pixel(x as u32 / OVERSAMPLING, (y / OVERSAMPLING as i32 + offset) as u32).0;
        assert_eq!([edge(-4), edge(4)], [[86, 180, 233]; 2]);
    }

    #[test]
    fn the_detail_shows_what_the_whole_axis_flattens() {
        let values: Vec<_> = (0..50).map(|epoch| if epoch < 5 { (0.3, 0.3) } else { (0.970, 0.975) }).collect();
        let run = epochs(&values);
        let accuracy = Plot {
            title: "",
            value_label: "",
            top: 1.0,
            step: 0.1,
            value: Metrics::accuracy,
            shown: |accuracy| accuracy.to_string(),
        };
        let apart = |frame: &Frame| frame.place((50.0, 0.970)).1 - frame.place((50.0, 0.975)).1;
        let [whole, detail] = [accuracy.whole(&run), accuracy.detail(&run)];
        assert!(apart(&whole) < scaled(5) && apart(&detail) > scaled(400));
        assert_eq!((whole.bottom, whole.top), (0.0, 1.0), "the tutorial's axis");
        let numbers: Vec<_> = detail.ticks().map(|tick| detail.number(tick)).collect();
        assert!(numbers.contains(&"0.970".into()) && numbers.contains(&"0.975".into()), "{numbers:?}");
        // A run of one value, of none, and one that left every axis.
        for run in [&[(0.5, 0.5); 3][..], &[], &[(7.0, 1e30)]] {
            let frame = accuracy.detail(&epochs(run));
            assert!(frame.bottom < frame.top && frame.ticks().count() <= 12, "{run:?}");
        }
    }

    #[test]
    fn dashes_go_on_around_corners() {
        let dashes = dashed(&[(0.0, 0.0), (3.0, 0.0), (3.0, 4.0)], 4.0, 2.0);
        assert_eq!(dashes, [vec![(0.0, 0.0), (3.0, 0.0), (3.0, 1.0)], vec![(3.0, 3.0), (3.0, 4.0)]]);
        assert_eq!(dashed(&[], 4.0, 2.0), [] as [Vec<Point>; 0]);
    }

    #[test]
    fn the_text_under_the_title_fits_and_has_known_letters() {
        assert_eq!(shortened("größe; seed 0"), "größe; seed 0");
        assert_eq!(shortened("数字\n\u{202e}"), "????");
        assert_eq!(shortened(&"x".repeat(1000)).len(), MOST_CHARACTERS);
    }

    /// The README's pictures, drawn from the committed record. Where a change of the plots is wanted, the environment
    /// variable DRAW writes them anew.
    #[test]
    fn the_committed_pictures_are_those_of_the_committed_record() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let record =
            crate::report::RunRecord::parse(&std::fs::read(root.join("firmware/model/run.json")).unwrap()).unwrap();
        let metrics = |loss: f64, accuracy: f64, count: u64| Metrics {
            loss,
            correct: (accuracy * count as f64).round() as u64,
            count,
        };
        let epochs: Vec<_> = record
            .epochs
            .iter()
            .map(|epoch| EpochMetrics {
                epoch: epoch.epoch,
                train: metrics(epoch.train_loss, epoch.train_accuracy, record.dataset.train_count),
                test: metrics(epoch.test_loss, epoch.test_accuracy, record.dataset.test_count),
            })
            .collect();
        let run = named(&record.dataset.name, record.settings.seed, &record.backend);
        for (name, drawn) in [
            ("loss_image.png", loss_image(&epochs, &run).unwrap()),
            ("accuracy_image.png", accuracy_image(&epochs, &run).unwrap()),
        ] {
            let path = root.join("docs/images").join(name);
            if std::env::var_os("DRAW").is_some() {
                std::fs::write(&path, &drawn).unwrap();
            }
            assert!(decode(&std::fs::read(&path).unwrap()) == decode(&drawn), "{name} is of another program");
        }
    }

    #[test]
    fn one_epoch_shows_as_two_markers() {
        let image = decode(&loss_image(&epochs(&[(0.5, 1.2)]), "data, seed 0").unwrap());
        assert_eq!(colour_at(&image, 1, 2.5, (1.0, 0.5)), TRAIN_COLOUR);
        assert_eq!(colour_at(&image, 1, 2.5, (1.0, 1.2)), TEST_COLOUR);
    }

    #[test]
    fn losses_beyond_the_axis_leave_the_rest_of_the_picture_alone() {
        let image =
            decode(&loss_image(&epochs(&[(900.0, 1.0), (2.0, 1e30), (f64::MAX, 0.5)]), "data, seed 0").unwrap());
        let (_, top) = whole(3, 2.5).place((0.0, 2.5));
        // Below the legend and above the axis, less what a broad line needs to end, there is only grey text.
        for y in 80..top as u32 / OVERSAMPLING - 2 * TRAIN.width {
            for x in 0..WIDTH {
                let [red, green, blue] = image.get_pixel(x, y).0;
                assert!(red.abs_diff(green) < 3 && green.abs_diff(blue) < 3, "colour at {x}, {y}");
            }
        }
        assert_eq!(colour_at(&image, 3, 2.5, (2.0, 2.0)), TRAIN_COLOUR);
    }

    #[test]
    fn runs_of_any_length_are_drawn_the_same_way_twice() {
        for length in [0, 2, 1000] {
            let run: Vec<_> = (0..length).map(|i| (2.0 / f64::from(i + 1), 1.0 / f64::from(i + 1))).collect();
            let png = loss_image(&epochs(&run), "data, seed 0").unwrap();
            decode(&png);
            assert_eq!(png, loss_image(&epochs(&run), "data, seed 0").unwrap(), "{length}");
        }
    }

    #[test]
    fn the_embedded_font_writes_the_title() {
        let image = decode(&loss_image(&[], "data, seed 0").unwrap());
        let dark = (150..350).any(|x| (30..80).any(|y| image.get_pixel(x, y).0[0] < 60));
        assert!(dark);
    }

    #[test]
    fn curves_are_cut_exactly_where_they_leave_the_axis() {
        assert_eq!(
            below(&[(1.0, 4.0), (2.0, 2.0), (3.0, 1.0), (4.0, 5.0)], 3.0),
            [[(1.5, 3.0), (2.0, 2.0), (3.0, 1.0), (3.5, 3.0)]]
        );
        assert_eq!(
            below(&[(1.0, 1.0), (2.0, 5.0), (3.0, 1.0)], 3.0),
            [[(1.0, 1.0), (1.5, 3.0)], [(2.5, 3.0), (3.0, 1.0)]]
        );
        assert!(below(&[(1.0, 4.0), (2.0, 5.0)], 3.0).is_empty());
        assert_eq!(below(&[(1.0, 2.0)], 3.0), [[(1.0, 2.0)]]);
    }

    #[test]
    fn epoch_ticks_are_round_and_few() {
        let ticks = |last| epoch_ticks(last).collect::<Vec<_>>();
        assert_eq!(ticks(1), [0, 1]);
        assert_eq!(ticks(10), (0..=10).collect::<Vec<_>>());
        assert_eq!(ticks(37), [0, 5, 10, 15, 20, 25, 30, 35]);
        assert_eq!(ticks(100), (0..=10).map(|tick| 10 * tick).collect::<Vec<_>>());
        assert_eq!(ticks(1000).last(), Some(&1000));
        for last in [11, 999, 123_456, u32::MAX] {
            assert!((4..=11).contains(&ticks(last).len()), "{last}");
        }
    }

    #[test]
    fn every_run_of_a_comparison_has_its_curve_and_its_line() {
        let run = |number: usize, last: f64| {
            let values: Vec<_> = (1..=40).map(|epoch| (0.0, last * f64::from(epoch) / 40.0)).collect();
            Curve { name: format!("run-{number}"), epochs: epochs(&values) }
        };
        let runs = [run(0, 0.9), run(1, 0.6)];
        let image = decode(&comparison(&runs, "two runs").unwrap());
        for (run, last) in [(0, 0.9), (1, 0.6)] {
            assert_eq!(colour_at(&image, 40, 1.0, (20.0, last / 2.0)), COLOURS[run]);
            let (x, y) = (510, 850 - 30 * (1 - run as u32));
            assert_eq!(image.get_pixel(x, y).0, [COLOURS[run].0, COLOURS[run].1, COLOURS[run].2]);
        }
        let many: Vec<_> = (0..40).map(|number| run(number, 0.9)).collect();
        decode(&comparison(&many, "forty runs").unwrap());
    }
}
