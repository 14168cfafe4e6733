//! The two plots of a run: loss and accuracy of both splits over the epochs, as PNG files in memory.
//!
//! The font comes with the program (`assets/README.md`), so that the plots need nothing of the system they are made on.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::imageops::thumbnail;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use plotters::backend::BitMapBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontStyle, FontTransform, IntoFont, RGBColor, ShapeStyle, TextStyle, WHITE, register_font,
};

use super::metrics::{EpochMetrics, Metrics};

/// Pixels of a plot across.
const WIDTH: u32 = 1600;
/// Pixels of a plot from top to bottom.
const HEIGHT: u32 = 1000;
/// Every pixel is the mean of this many drawn ones along each side: the drawing library does not smooth lines.
const OVERSAMPLING: u32 = 3;

/// Blue and vermillion of Okabe and Ito's palette, told apart with any colour vision
/// (<https://jfly.uni-koeln.de/color/>).
const TRAIN_COLOUR: RGBColor = RGBColor(0, 114, 178);
const TEST_COLOUR: RGBColor = RGBColor(213, 94, 0);
const TEXT_COLOUR: RGBColor = RGBColor(34, 34, 34);
const FAINT_TEXT_COLOUR: RGBColor = RGBColor(100, 100, 100);
const AXIS_COLOUR: RGBColor = RGBColor(120, 120, 120);
const GRID_COLOUR: RGBColor = RGBColor(228, 228, 228);

/// Width of a curve in pixels of the finished plot.
const CURVE_WIDTH: u32 = 4;
/// Up to this many epochs, every one has a marker.
const MOST_MARKED_EPOCHS: usize = 20;

const FONT: &str = "DejaVu Sans";
static FONT_FILE: &[u8] = include_bytes!("../../assets/DejaVuSans-Latin1.ttf");

/// A plot could not be drawn or encoded.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw the plot: {0}")]
pub struct PlotError(String);

impl PlotError {
    fn new(cause: impl std::fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

/// `loss_image.png`: the mean loss of both splits over the epochs, the loss axis from 0 to 2.5. Every loss is finite.
///
/// # Errors
/// If the drawing library fails.
pub fn loss_image(epochs: &[EpochMetrics]) -> Result<Vec<u8>, PlotError> {
    Plot {
        title: "Mean loss",
        value_label: "mean cross-entropy loss",
        top: 2.5,
        ticks: 5,
        value: |metrics| metrics.loss,
        shown: |loss| if loss < 1000.0 { format!("{loss:.4}") } else { format!("{loss:.1e}") },
    }
    .png(epochs)
}

/// `accuracy_image.png`: the accuracy of both splits over the epochs, the accuracy axis from 0 to 1.
///
/// # Errors
/// If the drawing library fails.
pub fn accuracy_image(epochs: &[EpochMetrics]) -> Result<Vec<u8>, PlotError> {
    Plot {
        title: "Accuracy",
        value_label: "accuracy (share of correct predictions)",
        top: 1.0,
        ticks: 10,
        value: Metrics::accuracy,
        shown: |accuracy| format!("{:.2} %", 100.0 * accuracy),
    }
    .png(epochs)
}

/// One quantity over the epochs.
struct Plot {
    title: &'static str,
    value_label: &'static str,
    /// The upper end of the value axis, which starts at 0.
    top: f64,
    /// Steps of the value axis.
    ticks: u32,
    value: fn(&Metrics) -> f64,
    shown: fn(f64) -> String,
}

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

impl Plot {
    fn png(&self, epochs: &[EpochMetrics]) -> Result<Vec<u8>, PlotError> {
        let size = (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING);
        let mut canvas = RgbImage::new(size.0, size.1);
        {
            let area = BitMapBackend::with_buffer(&mut canvas, size).into_drawing_area();
            self.draw(epochs, &area)?;
            area.present().map_err(PlotError::new)?;
        }
        encode(&thumbnail(&canvas, WIDTH, HEIGHT))
    }

    fn draw(&self, epochs: &[EpochMetrics], area: &Area<'_>) -> Result<(), PlotError> {
        register_font(FONT, FontStyle::Normal, FONT_FILE).map_err(|_| PlotError::new("its font is damaged"))?;
        area.fill(&WHITE).map_err(PlotError::new)?;
        let caption = |text: &str, style: TextStyle<'_>, y| {
            area.draw(&Text::new(text.to_owned(), (scaled(150), scaled(y)), style)).map_err(PlotError::new)
        };
        caption(self.title, text(44, TEXT_COLOUR), 36)?;
        caption(&self.summary(epochs), text(26, FAINT_TEXT_COLOUR), 96)?;

        let frame = Frame { last: epochs.last().map_or(1, |epoch| epoch.epoch), top: self.top };
        self.draw_axes(&frame, area)?;
        for (points, colour) in self.curves(epochs) {
            for piece in below(&points, self.top) {
                let path: Vec<_> = piece.into_iter().map(|point| frame.place(point)).collect();
                draw_curve(&path, colour, area)?;
            }
            let marked = if points.len() <= MOST_MARKED_EPOCHS { &points[..] } else { &[] };
            for &point in marked.iter().filter(|point| point.1 <= self.top) {
                area.draw(&Circle::new(frame.place(point), scaled(8), colour.filled())).map_err(PlotError::new)?;
            }
        }
        legend(area)
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
        for tick in 0..=self.ticks {
            let value = f64::from(tick) * self.top / f64::from(self.ticks);
            stroke((0.0, value), (last, value), line(GRID_COLOUR, 2))?;
            let (x, y) = frame.place((0.0, value));
            let right = numbers.pos(Pos::new(HPos::Right, VPos::Center));
            write(&format!("{value:.1}"), right, (x - scaled(16), y + to_middle(26)))?;
        }
        for epoch in epoch_ticks(frame.last).map(f64::from) {
            stroke((epoch, 0.0), (epoch, self.top), line(GRID_COLOUR, 2))?;
            let (x, y) = frame.place((epoch, 0.0));
            write(&format!("{epoch}"), numbers.pos(Pos::new(HPos::Center, VPos::Top)), (x, y + scaled(20)))?;
        }
        stroke((0.0, 0.0), (last, 0.0), line(AXIS_COLOUR, 2))?;
        stroke((0.0, 0.0), (0.0, self.top), line(AXIS_COLOUR, 2))?;
        let names = text(28, TEXT_COLOUR);
        let (x, _) = frame.place((last / 2.0, 0.0));
        write("epoch", names.pos(Pos::new(HPos::Center, VPos::Bottom)), (x, scaled(HEIGHT as i32 - 30)))?;
        let upright = names.transform(FontTransform::Rotate270).pos(Pos::new(HPos::Center, VPos::Top));
        let (_, y) = frame.place((0.0, self.top / 2.0));
        write(self.value_label, upright, (scaled(30), y))
    }

    /// The curves in the order of drawing: points (epoch, value), and their colour.
    fn curves(&self, epochs: &[EpochMetrics]) -> [(Vec<Point>, RGBColor); 2] {
        let points = |split: fn(&EpochMetrics) -> &Metrics| {
            epochs.iter().map(|epoch| (f64::from(epoch.epoch), (self.value)(split(epoch)))).collect()
        };
        [(points(|epoch| &epoch.train), TRAIN_COLOUR), (points(|epoch| &epoch.test), TEST_COLOUR)]
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

/// Epoch and value.
type Point = (f64, f64);

/// The plane of the curves: epochs 0 to `last` from left to right, values 0 to `top` upwards.
struct Frame {
    last: u32,
    top: f64,
}

impl Frame {
    /// Where a point is drawn.
    fn place(&self, (epoch, value): Point) -> (i32, i32) {
        const LEFT: f64 = 150.0;
        const RIGHT: f64 = 1540.0;
        const TOP: f64 = 160.0;
        const BOTTOM: f64 = 880.0;
        let x = LEFT + (RIGHT - LEFT) * epoch / f64::from(self.last);
        let y = BOTTOM - (BOTTOM - TOP) * value / self.top;
        ((x * f64::from(OVERSAMPLING)).round() as i32, (y * f64::from(OVERSAMPLING)).round() as i32)
    }
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
fn draw_curve(path: &[(i32, i32)], colour: RGBColor, area: &Area<'_>) -> Result<(), PlotError> {
    for segment in path.array_windows::<2>() {
        area.draw(&PathElement::new(segment.as_slice(), line(colour, CURVE_WIDTH))).map_err(PlotError::new)?;
    }
    for &join in path.iter().skip(1).rev().skip(1) {
        let radius = scaled(CURVE_WIDTH as i32) / 2;
        area.draw(&Circle::new(join, radius, colour.filled())).map_err(PlotError::new)?;
    }
    Ok(())
}

/// Names the colours, right of the title, where no curve can be.
fn legend(area: &Area<'_>) -> Result<(), PlotError> {
    let middle = scaled(64);
    for (left, name, colour) in [(1240, "train", TRAIN_COLOUR), (1410, "test", TEST_COLOUR)] {
        let stroke = [(scaled(left), middle), (scaled(left + 56), middle)];
        area.draw(&PathElement::new(stroke, line(colour, 6))).map_err(PlotError::new)?;
        let style = text(30, TEXT_COLOUR).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(name, (scaled(left + 70), middle + to_middle(30)), style)).map_err(PlotError::new)?;
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
    colour.stroke_width(width * OVERSAMPLING)
}

fn encode(image: &RgbImage) -> Result<Vec<u8>, PlotError> {
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

    /// The colour at a point of the plane of the curves.
    fn colour_at(image: &RgbImage, last: u32, top: f64, point: Point) -> RGBColor {
        let (x, y) = Frame { last, top }.place(point);
        let [red, green, blue] = image.get_pixel(x as u32 / OVERSAMPLING, y as u32 / OVERSAMPLING).0;
        RGBColor(red, green, blue)
    }

    #[test]
    fn both_curves_pass_through_their_values() {
        let values = [(0.2, 0.8), (0.3, 0.7), (0.4, 0.6)];
        let loss = decode(&loss_image(&epochs(&values)).unwrap());
        let accuracy = decode(&accuracy_image(&epochs(&values)).unwrap());
        for (image, top) in [(loss, 2.5), (accuracy, 1.0)] {
            for (epoch, (train, test)) in (1..).zip(values) {
                assert_eq!(colour_at(&image, 3, top, (f64::from(epoch), train)), TRAIN_COLOUR);
                assert_eq!(colour_at(&image, 3, top, (f64::from(epoch), test)), TEST_COLOUR);
            }
            assert_eq!(colour_at(&image, 3, top, (1.5, 0.25)), TRAIN_COLOUR);
            assert_eq!(colour_at(&image, 3, top, (1.5, 0.45)), WHITE);
        }
    }

    #[test]
    fn one_epoch_shows_as_two_markers() {
        let image = decode(&loss_image(&epochs(&[(0.5, 1.2)])).unwrap());
        assert_eq!(colour_at(&image, 1, 2.5, (1.0, 0.5)), TRAIN_COLOUR);
        assert_eq!(colour_at(&image, 1, 2.5, (1.0, 1.2)), TEST_COLOUR);
    }

    #[test]
    fn losses_beyond_the_axis_leave_the_rest_of_the_picture_alone() {
        let image = decode(&loss_image(&epochs(&[(900.0, 1.0), (2.0, 1e30), (f64::MAX, 0.5)])).unwrap());
        let (_, top) = Frame { last: 3, top: 2.5 }.place((0.0, 2.5));
        // Below the legend and above the axis, less half a stroke, there is only grey text.
        for y in 80..top as u32 / OVERSAMPLING - 4 {
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
            let png = loss_image(&epochs(&run)).unwrap();
            decode(&png);
            assert_eq!(png, loss_image(&epochs(&run)).unwrap(), "{length}");
        }
    }

    #[test]
    fn the_embedded_font_writes_the_title() {
        let image = decode(&loss_image(&[]).unwrap());
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
}
