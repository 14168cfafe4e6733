//! Sheets of small pictures as PNG files in memory: misread digits, a model's kernels, the maps of one image.

use std::cmp::Reverse;

use cnn_core::image::Pixels;
use cnn_core::loss::softmax;
use cnn_core::network::{
    Activations, CLASSES, IMAGE_SIDE, KERNEL_LEN, Logits, POOL1_SIDE, POOL2_SIDE, Parameters, predict,
};
use image::{Rgb, RgbImage};
use plotters::backend::BitMapBackend;
use plotters::drawing::IntoDrawingArea;
use plotters::element::Text;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{IntoFont, RGBColor, TextStyle};

use super::plot::{FONT, PlotError, encode, register, shortened};
use crate::classifier::{Answer, Classifier};

/// A digit that was read as another.
#[derive(Debug, Clone)]
pub struct Mistake {
    /// Its place in the split.
    pub index: usize,
    /// What it is.
    pub label: u8,
    /// What it was read as.
    pub prediction: usize,
    /// The probability of that.
    pub confidence: f32,
    /// The image.
    pub pixels: Pixels,
}

impl Mistake {
    /// What the network makes of an image that it misreads.
    pub fn of(index: usize, label: u8, pixels: &Pixels, classifier: &mut Classifier<'_>) -> Self {
        let Answer { logits, prediction, .. } = classifier.read(pixels);
        Self { index, label, prediction, confidence: softmax(&logits)[prediction], pixels: *pixels }
    }
}

const PAPER: Rgb<u8> = Rgb([255; 3]);
const OUTLINE: Rgb<u8> = Rgb([205; 3]);
const TEXT: RGBColor = RGBColor(34, 34, 34);
const FAINT: RGBColor = RGBColor(100, 100, 100);
/// Pixels around everything.
const MARGIN: u32 = 30;
/// Where the first picture stands, below the title and the line under it.
const TOP: u32 = 116;

/// Most digits of [`mistakes`].
const MOST_MISTAKES: usize = 100;

/// The misread digits, the most confident first, with label, prediction and confidence. Of more than a hundred the first
/// hundred.
///
/// # Errors
/// If the drawing library fails.
pub fn mistakes(mistakes: &[Mistake], read: usize, model: &str) -> Result<Vec<u8>, PlotError> {
    const COLUMNS: u32 = 10;
    const SCALE: u32 = 4;
    const SIDE: u32 = SCALE * IMAGE_SIDE as u32;
    const CELL: (u32, u32) = (SIDE + 20, SIDE + 74);
    let mut sorted: Vec<&Mistake> = mistakes.iter().collect();
    sorted.sort_by_key(|mistake| (Reverse(mistake.confidence.to_bits()), mistake.index));
    sorted.truncate(MOST_MISTAKES);
    let rows = (sorted.len() as u32).div_ceil(COLUMNS);
    let mut sheet = Sheet::new(2 * MARGIN + COLUMNS * CELL.0 - 20, TOP + rows * CELL.1 + MARGIN / 2)?;
    let title = format!("{} of {read} digits are misread", mistakes.len());
    let which = match sorted.len() {
        0 => "every digit is read as its label".to_owned(),
        shown if shown < mistakes.len() => format!("the {shown} most confident of them"),
        _ => "the most confident first".to_owned(),
    };
    sheet.head(&title, &format!("{which}; {model}"))?;
    for (place, mistake) in (0..).zip(sorted) {
        let (x, y) = (MARGIN + place % COLUMNS * CELL.0, TOP + place / COLUMNS * CELL.1);
        sheet.tile((x, y), SCALE, IMAGE_SIDE, |at| grey(mistake.pixels[at]));
        let Mistake { index, label, prediction, confidence, .. } = mistake;
        sheet.text((x, y + SIDE + 6), 20, TEXT, &format!("{label}, read as {prediction}"))?;
        sheet.text((x, y + SIDE + 32), 17, FAINT, &format!("{:.1} %, #{index}", 100.0 * confidence))?;
    }
    sheet.png()
}

/// The kernels of both convolutions: orange is positive, blue negative, white 0, each layer at a scale of its own.
///
/// # Errors
/// If the drawing library fails.
pub fn filters(parameters: &Parameters<'_>, model: &str) -> Result<Vec<u8>, PlotError> {
    const FIRST: u32 = 20;
    const SECOND: u32 = 9;
    const SECOND_CELL: u32 = 3 * SECOND + 8;
    const LEFT: u32 = MARGIN + 46;
    let below = TOP + 36 + 3 * FIRST + 90;
    let mut sheet = Sheet::new(LEFT + 32 * SECOND_CELL + MARGIN, below + 64 + 16 * SECOND_CELL + MARGIN)?;
    let (first, second) = (parameters.conv1_weight, parameters.conv2_weight);
    let [most1, most2] = [largest(first.as_flattened().as_flattened()), largest(second.as_flattened().as_flattened())];
    sheet.head("Kernels", &format!("orange is positive, blue negative, white 0; {model}"))?;
    let caption = format!("conv1: 16 kernels of 3×3, the strongest weight {most1:.3}");
    sheet.text((MARGIN, TOP), 22, TEXT, &caption)?;
    for (kernel, weights) in (0..).zip(first) {
        let left = LEFT + kernel * (3 * FIRST + 8);
        sheet.tile((left, TOP + 36), FIRST, 3, |at| signed(weights[0][at], most1));
        sheet.centred((left + 3 * FIRST / 2, TOP + 36 + 3 * FIRST + 6), 16, &kernel.to_string())?;
    }
    let caption =
        format!("conv2: a column for each of its 32 outputs, a row for each map of conv1; strongest {most2:.3}");
    sheet.text((MARGIN, below), 22, TEXT, &caption)?;
    for (output, kernels) in (0..).zip(second) {
        let left = LEFT + output * SECOND_CELL;
        sheet.centred((left + 3 * SECOND / 2, below + 36), 16, &output.to_string())?;
        for (input, weights) in (0..).zip(kernels) {
            let top = below + 62 + input * SECOND_CELL;
            sheet.tile((left, top), SECOND, 3, |at| signed(weights[at], most2));
            if output == 0 {
                sheet.text((MARGIN, top + 4), 16, FAINT, &input.to_string())?;
            }
        }
    }
    sheet.png()
}

/// What every layer makes of one image: the maps after ReLU and pooling and the hidden layer, white where a value is the
/// layer's largest, and the probabilities.
///
/// # Errors
/// If the drawing library fails.
pub fn maps(pixels: &Pixels, activations: &Activations, logits: &Logits, named: &str) -> Result<Vec<u8>, PlotError> {
    const LEFT: u32 = 2 * MARGIN + 10 * IMAGE_SIDE as u32;
    const MAP1: u32 = 5 * POOL1_SIDE as u32 + 12;
    const MAP2: u32 = 7 * POOL2_SIDE as u32 + 9;
    const WIDTH: u32 = LEFT + 16 * MAP1 + MARGIN - 12;
    let probabilities = softmax(logits);
    let best = predict(logits);
    let mut sheet = Sheet::new(WIDTH, 640)?;
    sheet.head(&format!("Read as {best}, {:.2} %", 100.0 * probabilities[best]), named)?;
    sheet.text((MARGIN, TOP), 22, TEXT, "image 28×28")?;
    sheet.tile((MARGIN, TOP + 36), 10, IMAGE_SIDE, |at| grey(pixels[at]));
    let pool1 = activations.pool1.as_flattened().as_flattened();
    let most = largest(pool1);
    let caption = format!("conv1, ReLU, max-pool: 16 maps of 13×13, the largest value {most:.2}");
    sheet.text((LEFT, TOP), 22, TEXT, &caption)?;
    for (map, values) in (0..).zip(&activations.pool1) {
        sheet.tile((LEFT + map * MAP1, TOP + 36), 5, POOL1_SIDE, |at| share(values.as_flattened()[at], most));
    }
    let pool2 = activations.pool2.as_flattened().as_flattened();
    let most = largest(pool2);
    let caption = format!("conv2, ReLU, max-pool: 32 maps of 5×5, the largest value {most:.2}");
    sheet.text((LEFT, TOP + 130), 22, TEXT, &caption)?;
    for (map, values) in (0..).zip(&activations.pool2) {
        let (x, y) = (LEFT + map % 16 * MAP1, TOP + 166 + map / 16 * MAP2);
        sheet.tile((x, y), 7, POOL2_SIDE, |at| share(values.as_flattened()[at], most));
    }
    let most = largest(&activations.hidden);
    let caption = format!("fc1, ReLU: 120 values, the largest {most:.2}");
    sheet.text((LEFT, TOP + 276), 22, TEXT, &caption)?;
    for (unit, &value) in (0..).zip(&activations.hidden) {
        let (x, y) = (LEFT + unit % 60 * 20, TOP + 312 + unit / 60 * 20);
        sheet.tile((x, y), 18, 1, |_| share(value, most));
    }
    sheet.text((LEFT, TOP + 374), 22, TEXT, "fc2, softmax: the probabilities")?;
    for (class, probability) in (0..).zip(probabilities) {
        let (x, y) = (LEFT + class * 122, TOP + 408);
        sheet.fill((x, y), (110, 60), Rgb([236; 3]));
        let height = (60.0 * probability).round() as u32;
        sheet.fill((x, y + 60 - height), (110, height), ORANGE);
        sheet.text((x, y + 66), 18, TEXT, &format!("{class}: {:.2} %", 100.0 * probability))?;
    }
    const _: () = assert!(CLASSES == 10);
    sheet.png()
}

/// Vermillion and blue of Okabe and Ito's palette.
const ORANGE: Rgb<u8> = Rgb([213, 94, 0]);
const BLUE: Rgb<u8> = Rgb([0, 114, 178]);

fn grey(value: u8) -> Rgb<u8> {
    Rgb([value; 3])
}

/// A value as a grey, white if it is the largest.
fn share(value: f32, most: f32) -> Rgb<u8> {
    grey(if most > 0.0 { (255.0 * value / most).round() as u8 } else { 0 })
}

/// A weight as a colour, full if it is as strong as the strongest.
fn signed(weight: f32, most: f32) -> Rgb<u8> {
    let Rgb(full) = if weight > 0.0 { ORANGE } else { BLUE };
    let strength = if most > 0.0 { (weight / most).abs() } else { 0.0 };
    Rgb(full.map(|channel| (255.0 - strength * (255.0 - f32::from(channel))).round() as u8))
}

/// The largest magnitude.
fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, value| value.abs().max(most))
}

/// A picture that is being made.
struct Sheet {
    image: RgbImage,
}

impl Sheet {
    fn new(width: u32, height: u32) -> Result<Self, PlotError> {
        register()?;
        Ok(Self { image: RgbImage::from_pixel(width, height, PAPER) })
    }

    fn head(&mut self, title: &str, line: &str) -> Result<(), PlotError> {
        self.text((MARGIN, 22), 34, TEXT, title)?;
        self.text((MARGIN, 70), 20, FAINT, &shortened(line))
    }

    fn text(&mut self, at: (u32, u32), height: u32, colour: RGBColor, text: &str) -> Result<(), PlotError> {
        self.styled(at, (FONT, height).into_font().color(&colour), text)
    }

    fn centred(&mut self, at: (u32, u32), height: u32, text: &str) -> Result<(), PlotError> {
        let style = (FONT, height).into_font().color(&FAINT).pos(Pos::new(HPos::Center, VPos::Top));
        self.styled(at, style, text)
    }

    fn styled(&mut self, (x, y): (u32, u32), style: TextStyle<'_>, text: &str) -> Result<(), PlotError> {
        let size = self.image.dimensions();
        let area = BitMapBackend::with_buffer(&mut self.image, size).into_drawing_area();
        area.draw(&Text::new(text, (x as i32, y as i32), style)).map_err(PlotError::new)?;
        area.present().map_err(PlotError::new)
    }

    /// A square of so many values along each side, each of them `scale` pixels wide.
    fn tile(&mut self, (left, top): (u32, u32), scale: u32, side: usize, colour: impl Fn(usize) -> Rgb<u8>) {
        // An outline, for what is as light as the paper.
        let outlined = scale * side as u32 + 2;
        self.fill((left - 1, top - 1), (outlined, outlined), OUTLINE);
        for at in 0..side * side {
            let (row, column) = ((at / side) as u32, (at % side) as u32);
            self.fill((left + column * scale, top + row * scale), (scale, scale), colour(at));
        }
    }

    fn fill(&mut self, (left, top): (u32, u32), (width, height): (u32, u32), colour: Rgb<u8>) {
        for y in top..top + height {
            for x in left..left + width {
                self.image.put_pixel(x, y, colour);
            }
        }
    }

    fn png(&self) -> Result<Vec<u8>, PlotError> {
        encode(&self.image)
    }
}

const _: () = assert!(KERNEL_LEN == 9);

#[cfg(test)]
mod tests {
    use cnn_train::random::initial_parameters;

    use cnn_core::network;

    use super::*;
    use crate::model_file::built_in_golden;

    fn decode(png: &[u8]) -> RgbImage {
        image::load_from_memory_with_format(png, image::ImageFormat::Png).unwrap().into_rgb8()
    }

    fn mistake(index: usize, confidence: f32) -> Mistake {
        Mistake { index, label: 4, prediction: 9, confidence, pixels: [index as u8; 784] }
    }

    #[test]
    fn the_most_confident_mistake_comes_first_and_a_sheet_has_a_hundred() {
        let all: Vec<_> = (0..130).map(|index| mistake(index, if index == 77 { 1.0 } else { 0.5 })).collect();
        let sheet = decode(&mistakes(&all, 10_000, "model").unwrap());
        assert_eq!(sheet.dimensions(), (2 * MARGIN + 10 * 132 - 20, TOP + 10 * 186 + MARGIN / 2));
        let cell = |place: u32| sheet.get_pixel(MARGIN + place % 10 * 132 + 50, TOP + place / 10 * 186 + 50).0;
        assert_eq!((cell(0), cell(1), cell(77), cell(78)), ([77; 3], [0; 3], [76; 3], [78; 3]));
        let empty = decode(&mistakes(&[], 60, "model").unwrap());
        assert_eq!(empty.height(), TOP + MARGIN / 2);
    }

    #[test]
    fn a_kernel_is_orange_where_it_is_positive_and_blue_where_it_is_negative() {
        let mut flat = initial_parameters(1);
        flat[..9].copy_from_slice(&[9.0, -9.0, 0.0, 4.5, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let sheet = decode(&filters(&Parameters::of(&flat), "model").unwrap());
        let at = |column: u32, row: u32| *sheet.get_pixel(MARGIN + 46 + 10 + 20 * column, TOP + 36 + 10 + 20 * row);
        assert_eq!((at(0, 0), at(1, 0), at(2, 0)), (ORANGE, BLUE, PAPER));
        assert_eq!(at(0, 1), Rgb([234, 175, 128]));
    }

    #[test]
    fn maps_show_the_image_and_the_layers() {
        let pixels = built_in_golden();
        let flat = initial_parameters(1);
        let mut activations = Activations::new();
        let logits = network::logits(&pixels, &Parameters::of(&flat), &mut activations);
        let sheet = decode(&maps(&pixels, &activations, &logits, "a digit").unwrap());
        for at in 0..784u32 {
            let (x, y) = (MARGIN + 10 * (at % 28) + 5, TOP + 36 + 10 * (at / 28) + 5);
            assert_eq!(sheet.get_pixel(x, y).0, [pixels[at as usize]; 3]);
        }
        let most = largest(activations.pool1.as_flattened().as_flattened());
        let left = 2 * MARGIN + 280 + 3 * 77;
        let found = *sheet.get_pixel(left + 5 * 6 + 2, TOP + 36 + 5 * 7 + 2);
        assert_eq!(found, share(activations.pool1[3][7][6], most));
    }
}
