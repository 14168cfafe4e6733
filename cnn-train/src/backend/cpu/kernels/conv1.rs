//! conv1, ReLU and pooling, and the gradient of its parameters. The lanes are output channels.

use cnn_core::image::{Pixels, normalize_pixel};
use cnn_core::network::{CONV1_CHANNELS, IMAGE_SIDE, KERNEL_LEN};

use super::pool::{relu_pool, relu_pool_winner};
use crate::backend::cpu::layout::{Image, POOL1_PLACES, POOL1_SIDE, Pool1};
use crate::backend::cpu::simd::Simd;
use crate::backend::cpu::simd::dispatch::Kernel;

/// A float whose lowest bits are an integer: from here on the floats are 1 apart.
const INTEGERS: f32 = (1u32 << 23) as f32;
/// How a window's winner is stored: by its number among the 2×4 pixels of two rows, or 0 if there is none.
const LABELS: [f32; 5] = [INTEGERS, INTEGERS + 1.0, INTEGERS + 4.0, INTEGERS + 5.0, 0.0];

/// The 4×4 pixels that the pooling window at (`row`, `column`) reads.
#[inline(always)]
fn patch_at(image: &Image, row: usize, column: usize) -> [&[f32; 4]; 4] {
    let rows: &[_; 4] = image[2 * row..].first_chunk().expect("windows lie inside the image");
    rows.each_ref().map(|pixels| pixels[2 * column..].first_chunk().expect("windows lie inside the image"))
}

/// Of each pooled row, the windows that read nothing but background: column c is bit c. Every other window of MNIST's
/// digits does, and they all have the same inputs, hence the same sums.
#[inline(always)]
fn blank_windows(pixels: &Pixels) -> [u16; POOL1_SIDE] {
    let rows = pixels.as_chunks::<IMAGE_SIDE>().0;
    std::array::from_fn(|row| {
        let rows: &[_; 4] = rows[2 * row..].first_chunk().expect("windows lie inside the image");
        let ink: [u8; IMAGE_SIDE] = std::array::from_fn(|c| rows[0][c] | rows[1][c] | rows[2][c] | rows[3][c]);
        (0..POOL1_SIDE).fold(0, |blank, column| {
            let ink: &[u8; 4] = ink[2 * column..].first_chunk().expect("windows lie inside the image");
            blank | u16::from(u32::from_ne_bytes(*ink) == 0) << column
        })
    })
}

/// The windows with ink, in raster order, and those that are blank, in the opposite one.
#[inline(always)]
fn sort_windows<'w>(blank: &[u16; POOL1_SIDE], windows: &'w mut [u8; POOL1_PLACES]) -> (&'w [u8], &'w [u8]) {
    let (mut inked, mut place) = (0, 0);
    for blank in blank {
        for column in 0..POOL1_SIDE {
            // Into the next place of either end, without a branch: where a digit begins and ends cannot be foreseen.
            windows[inked] = place as u8;
            windows[POOL1_PLACES - 1 - (place - inked)] = place as u8;
            inked += usize::from(blank >> column & 1 == 0);
            place += 1;
        }
    }
    windows.split_at(inked)
}

/// `cnn_core::conv::convolve_relu_pool`, of what conv2 reads.
pub struct Forward<'a> {
    /// The image as the data set has it.
    pub pixels: &'a Pixels,
    /// The pixels, normalised.
    pub image: &'a Image,
    /// `[kernel place][output channel]`
    pub weight: &'a [[f32; CONV1_CHANNELS]; KERNEL_LEN],
    /// `[output channel]`
    pub bias: &'a [f32; CONV1_CHANNELS],
    /// The result.
    pub pool1: &'a mut Pool1,
    /// Kept for the backward pass, if there will be one.
    pub winners: Option<&'a mut Pool1>,
    /// What conv2 may leave out.
    pub marks: &'a mut Marks,
}

/// What is known of conv1's pooled map besides its values.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    /// Of every place, the channels that are greater than 0: channel c is bit c.
    pub on: [[u16; POOL1_SIDE]; POOL1_SIDE],
    /// Of every row, the places whose windows read nothing but background: column c is bit c.
    pub blank: [u16; POOL1_SIDE],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        self.marks.blank = blank_windows(self.pixels);
        let mut windows = [0; POOL1_PLACES];
        let (inked, blank) = sort_windows(&self.marks.blank, &mut windows);
        for vector in 0..CONV1_CHANNELS / S::LANES {
            let bias = simd.load(self.bias, vector);
            let mut weight = [bias; KERNEL_LEN];
            for k in 0..KERNEL_LEN {
                weight[k] = simd.load(&self.weight[k], vector);
            }
            let background = [normalize_pixel(0); 4];
            let background = convolve_window(simd, [&background; 4], &weight, bias);
            // A blank window after each one with ink: to fill them takes memory's time, not the arithmetic's.
            let mut blank = blank.iter();
            for &place in inked {
                let (row, column) = (usize::from(place) / POOL1_SIDE, usize::from(place) % POOL1_SIDE);
                let window = convolve_window(simd, patch_at(self.image, row, column), &weight, bias);
                self.finish(simd, vector, place.into(), window);
                if let Some(&place) = blank.next() {
                    self.finish(simd, vector, place.into(), background);
                }
            }
            for &place in blank {
                self.finish(simd, vector, place.into(), background);
            }
        }
    }
}

impl Forward<'_> {
    /// ReLU and pooling of the window at `place`.
    #[inline(always)]
    fn finish<S: Simd>(&mut self, simd: S, vector: usize, place: usize, window: [S::Vector; 4]) {
        let (value, on) = if let Some(winners) = &mut self.winners {
            let (value, winner, on) = relu_pool_winner(simd, window, LABELS);
            simd.store(&mut winners.as_flattened_mut()[place], vector, winner);
            (value, on)
        } else {
            let value = relu_pool(simd, window);
            (value, simd.greater(value, simd.splat(0.0)))
        };
        simd.store(&mut self.pool1.as_flattened_mut()[place], vector, value);
        // Each vector's bits replace those of the image before, or of a blank window.
        let lanes = ((1u32 << S::LANES) - 1) << (vector * S::LANES);
        let of_place = &mut self.marks.on.as_flattened_mut()[place];
        *of_place = *of_place & !(lanes as u16) | (simd.bits(on) << (vector * S::LANES)) as u16;
    }
}

/// The sums of a window's four places: from the bias, terms in the order kernel row, kernel column.
#[inline(always)]
fn convolve_window<S: Simd>(
    simd: S,
    patch: [&[f32; 4]; 4],
    weight: &[S::Vector; KERNEL_LEN],
    bias: S::Vector,
) -> [S::Vector; 4] {
    let mut window = [bias; 4];
    for row in 0..3 {
        for column in 0..3 {
            for (place, sum) in window.iter_mut().enumerate() {
                let x = simd.splat(patch[row + place / 2][column + place % 2]);
                *sum = simd.add_product(*sum, x, weight[3 * row + column]);
            }
        }
    }
    window
}

/// One sample's gradient of conv1's parameters, `cnn_core::conv::convolve_backward_parameters`.
pub struct Backward<'a> {
    /// The pixels, normalised.
    pub image: &'a Image,
    /// What the forward pass kept.
    pub winners: &'a Pool1,
    /// The gradient of conv1's pooled map.
    pub pool1_gradient: &'a Pool1,
    /// The result, `[kernel place][output channel]`.
    pub weight_gradient: &'a mut [[f32; CONV1_CHANNELS]; KERNEL_LEN],
    /// The result, `[output channel]`.
    pub bias_gradient: &'a mut [f32; CONV1_CHANNELS],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let zero = simd.splat(0.0);
        for vector in 0..CONV1_CHANNELS / S::LANES {
            let mut weight_gradient = [zero; KERNEL_LEN];
            let mut bias_gradient = zero;
            for row in 0..POOL1_SIDE {
                for column in 0..POOL1_SIDE {
                    let patch = patch_at(self.image, row, column);
                    let winner = simd.load(&self.winners[row][column], vector);
                    let gradient = simd.load(&self.pool1_gradient[row][column], vector);
                    let gradient = simd.select(simd.equal(winner, simd.splat(LABELS[4])), zero, gradient);
                    bias_gradient = simd.add(bias_gradient, gradient);
                    for k in 0..KERNEL_LEN {
                        // The pixel that the winner's sum multiplies by weight k.
                        let number = simd.add(winner, simd.splat((k % 3) as f32));
                        let x = simd.pick(patch[k / 3], patch[k / 3 + 1], number);
                        weight_gradient[k] = simd.add_product(weight_gradient[k], gradient, x);
                    }
                }
            }
            for k in 0..KERNEL_LEN {
                simd.store(&mut self.weight_gradient[k], vector, weight_gradient[k]);
            }
            simd.store(self.bias_gradient, vector, bias_gradient);
        }
    }
}
