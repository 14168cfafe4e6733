//! Paper, ink and light.

use super::{Drawing, Random};

/// A picture that is being made; colours with opacity, values from 0 to 255.
#[derive(Debug, Clone)]
pub struct Canvas {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green, blue and opacity in raster order.
    pub pixels: Vec<[f32; 4]>,
}

impl Canvas {
    /// Paper of one colour.
    pub fn new(width: usize, height: usize, [red, green, blue]: [f32; 3]) -> Self {
        Self { width, height, pixels: vec![[red, green, blue, 255.0]; width * height] }
    }

    /// Draws with a round pen of `width` pixels; `size` pixels are one unit of the drawing, whose origin is `middle`.
    pub fn draw(&mut self, drawing: &Drawing, middle: [f32; 2], size: f32, width: f32, ink: [f32; 3], strength: f32) {
        let cover = self.coverage(drawing, middle, size, width);
        for (pixel, cover) in self.pixels.iter_mut().zip(cover) {
            let cover = cover * strength;
            let opacity = pixel[3] / 255.0;
            let total = cover + opacity * (1.0 - cover);
            if cover > 0.0 {
                for (value, &ink) in pixel.iter_mut().zip(&ink) {
                    *value = (ink * cover + *value * opacity * (1.0 - cover)) / total;
                }
                pixel[3] = total * 255.0;
            }
        }
    }

    /// How much of every pixel the pen covers.
    fn coverage(&self, drawing: &Drawing, middle: [f32; 2], size: f32, width: f32) -> Vec<f32> {
        let mut cover = vec![0.0f32; self.pixels.len()];
        let radius = width / 2.0;
        for piece in &drawing.pieces {
            let [[x0, y0], [x1, y1]] = piece.map(|[x, y]| [x * size + middle[0], y * size + middle[1]]);
            let range = |a: f32, b: f32, end: usize| {
                let first = (a.min(b) - radius - 1.0).max(0.0) as usize;
                first..((a.max(b) + radius + 2.0).max(0.0) as usize).min(end)
            };
            let (dx, dy) = (x1 - x0, y1 - y0);
            for y in range(y0, y1, self.height) {
                for x in range(x0, x1, self.width) {
                    let (px, py) = (x as f32 + 0.5 - x0, y as f32 + 0.5 - y0);
                    let along = ((px * dx + py * dy) / (dx * dx + dy * dy).max(1e-9)).clamp(0.0, 1.0);
                    let distance = (px - along * dx).hypot(py - along * dy);
                    let here = (radius - distance + 0.5).clamp(0.0, 1.0).min(width);
                    let cell = &mut cover[y * self.width + x];
                    *cell = cell.max(here);
                }
            }
        }
        cover
    }

    /// Changes every colour; places in shares of the picture's sides.
    pub fn map(&mut self, change: impl Fn(f32, f32, [f32; 3]) -> [f32; 3]) {
        let (width, height) = (self.width as f32, self.height as f32);
        for (i, pixel) in self.pixels.iter_mut().enumerate() {
            let (x, y) = ((i % self.width) as f32 + 0.5, (i / self.width) as f32 + 0.5);
            let [red, green, blue] = change(x / width, y / height, [pixel[0], pixel[1], pixel[2]]);
            *pixel = [red, green, blue, pixel[3]];
        }
    }

    /// Multiplies the light.
    pub fn light(&mut self, share: impl Fn(f32, f32) -> f32) {
        self.map(|x, y, colour| colour.map(|value| value * share(x, y)));
    }

    /// Fills a rectangle, given in pixels.
    pub fn fill(&mut self, columns: std::ops::Range<usize>, rows: std::ops::Range<usize>, colour: [f32; 3]) {
        for y in rows.start..rows.end.min(self.height) {
            for x in columns.start..columns.end.min(self.width) {
                self.pixels[y * self.width + x] = [colour[0], colour[1], colour[2], 255.0];
            }
        }
    }

    /// Rules `spacing` pixels apart and `thickness` thick, turned by `slope`; columns instead of rows if `upright`.
    pub fn rule(&mut self, spacing: f32, thickness: f32, slope: f32, colour: [f32; 3], upright: bool, start: f32) {
        for i in 0..self.pixels.len() {
            let (x, y) = ((i % self.width) as f32 + 0.5, (i / self.width) as f32 + 0.5);
            let place = if upright { x + slope * y } else { y - slope * x } + start;
            let off = (place.rem_euclid(spacing) - spacing / 2.0).abs();
            let cover = (thickness / 2.0 - off + 0.5).clamp(0.0, 1.0).min(thickness);
            for (value, &colour) in self.pixels[i].iter_mut().zip(&colour) {
                *value += (colour - *value) * cover;
            }
        }
    }

    /// The grain of paper and sensor.
    pub fn noise(&mut self, deviation: f32, random: &mut Random) {
        for pixel in &mut self.pixels {
            let grain = random.bell(deviation);
            for value in &mut pixel[..3] {
                *value += grain + random.bell(deviation / 3.0);
            }
        }
    }

    /// Fibres and stains: smooth noise of some pixels' size.
    pub fn texture(&mut self, amplitude: f32, grain: usize, random: &mut Random) {
        let (columns, rows) = (self.width / grain + 2, self.height / grain + 2);
        let knots: Vec<f32> = (0..columns * rows).map(|_| random.bell(amplitude)).collect();
        for i in 0..self.pixels.len() {
            let (x, y) = ((i % self.width) as f32 / grain as f32, (i / self.width) as f32 / grain as f32);
            let (column, row) = (x as usize, y as usize);
            let (u, v) = (x - column as f32, y - row as f32);
            let knot = |dx, dy| knots[(row + dy) * columns + column + dx];
            let value =
                (knot(0, 0) * (1.0 - u) + knot(1, 0) * u) * (1.0 - v) + (knot(0, 1) * (1.0 - u) + knot(1, 1) * u) * v;
            for channel in &mut self.pixels[i][..3] {
                *channel += value;
            }
        }
    }

    /// Out of focus: means over `radius` pixels to every side, twice.
    pub fn blur(&mut self, radius: usize) {
        for _ in 0..2 {
            for (len, count, step, stride) in
                [(self.width, self.height, 1, self.width), (self.height, self.width, self.width, 1)]
            {
                for line in 0..count {
                    let at = |i: usize| line * stride + i * step;
                    let values: Vec<[f32; 4]> = (0..len).map(|i| self.pixels[at(i)]).collect();
                    for i in 0..len {
                        let near = &values[i.saturating_sub(radius)..(i + radius + 1).min(len)];
                        self.pixels[at(i)] =
                            std::array::from_fn(|k| near.iter().map(|value| value[k]).sum::<f32>() / near.len() as f32);
                    }
                }
            }
        }
    }

    /// Cuts white paper off until ink is at every side, unless the ink were all that is left.
    pub fn crop_to_ink(&mut self) {
        let inked: Vec<[usize; 2]> = (0..self.pixels.len())
            .filter(|&i| self.pixels[i][0] < 128.0)
            .map(|i| [i % self.width, i / self.width])
            .collect();
        let ends = |axis: usize| {
            let places = inked.iter().map(|place| place[axis]);
            places.clone().min().expect("there is ink")..places.max().expect("there is ink") + 1
        };
        let (columns, rows) = (ends(0), ends(1));
        let spare = if 3 * columns.len() < rows.len() { columns.len() } else { 0 };
        let columns = columns.start - spare..columns.end + spare;
        let pixels = rows.clone().flat_map(|y| self.pixels[y * self.width..][columns.clone()].to_vec()).collect();
        *self = Self { width: columns.len(), height: rows.len(), pixels };
    }

    /// White paper on both sides up to this size.
    pub fn widen(&mut self, (width, height): (usize, usize)) {
        let mut wide = Self::new(width, height, [255.0; 3]);
        let (left, top) = ((width - self.width) / 2, (height - self.height) / 2);
        for (row, line) in self.pixels.chunks(self.width).enumerate() {
            wide.pixels[(top + row) * width + left..][..self.width].copy_from_slice(line);
        }
        *self = wide;
    }

    /// Red, green, blue and opacity as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.pixels.as_flattened().iter().map(|value| value.round().clamp(0.0, 255.0) as u8).collect()
    }
}
