//! conv2, ReLU and pooling, and its gradients over the pooling winners.

use cnn_core::network::{CONV1_CHANNELS, CONV2_CHANNELS, KERNEL_LEN, POOL2_LEN, POOL2_SIDE};

use super::conv1::Marks;
use super::pool::{relu_pool, relu_pool_winner};
use crate::backend::cpu::layout::{Aligned, POOL1_PLACES, POOL1_SIDE, POOL2_PLACES, Pool1, Pool2, Winners2};
use crate::backend::cpu::simd::Simd;
use crate::backend::cpu::simd::dispatch::Kernel;

/// `cnn_core::conv::convolve_relu_pool`. The lanes are output channels.
pub struct Forward<'a> {
    /// The input.
    pub pool1: &'a Pool1,
    /// `[input channel][kernel place][output channel]`
    pub weight: &'a [[[f32; CONV2_CHANNELS]; KERNEL_LEN]; CONV1_CHANNELS],
    /// `[output channel]`
    pub bias: &'a [f32; CONV2_CHANNELS],
    /// What is known of the input.
    pub marks: &'a Marks,
    /// The sums of a window that reads nothing but background, all four the same: see [`Background`].
    pub background: &'a [f32; CONV2_CHANNELS],
    /// The result.
    pub pool2: &'a mut Pool2,
    /// Kept for the backward pass, if there will be one.
    pub winners: Option<&'a mut Winners2>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if S::REGISTERS >= 32 && CONV2_CHANNELS / S::LANES >= 4 {
            self.run_tiled::<S, 4>(simd);
        } else {
            self.run_tiled::<S, 2>(simd);
        }
    }
}

impl Forward<'_> {
    /// `VECTORS` vectors of output channels at a time.
    #[inline(always)]
    fn run_tiled<S: Simd, const VECTORS: usize>(mut self, simd: S) {
        let mut pooled = Aligned([[0.0; CONV2_CHANNELS]; POOL2_PLACES]);
        let inputs = inputs_that_count(self.marks);
        // Below 16 lanes the unit that counts bits is one of the three that do arithmetic: the channels' addresses would
        // come late, and the arithmetic idle for a quarter of the time.
        let lists = (S::LANES < 16).then(|| inputs.map(list_channels));
        for first in (0..CONV2_CHANNELS / S::LANES).step_by(VECTORS) {
            let bias: [_; VECTORS] = simd.load_all(self.bias, first);
            let background: [_; VECTORS] = simd.load_all(self.background, first);
            for place in 0..POOL2_PLACES {
                let (row, column) = (2 * (place / POOL2_SIDE), 2 * (place % POOL2_SIDE));
                let labels = winner_labels(row, column);
                let patch = patch_at(self.pool1, row, column);
                let window = match (inputs[place], &lists) {
                    (None, _) => [background; 4],
                    (Some(bits), None) => convolve_window(simd, patch, self.weight, channels_of(bits), first, bias),
                    (Some(bits), Some(lists)) => {
                        let channels = lists[place][..bits.count_ones() as usize].iter().map(|&channel| channel.into());
                        convolve_window(simd, patch, self.weight, channels, first, bias)
                    }
                };
                for v in 0..VECTORS {
                    let window = [window[0][v], window[1][v], window[2][v], window[3][v]];
                    if let Some(winners) = &mut self.winners {
                        let (value, winner, on) = relu_pool_winner(simd, window, labels);
                        simd.store(&mut pooled[place], first + v, value);
                        simd.store(bytemuck::must_cast_slice_mut(&mut winners.places[place]), first + v, winner);
                        let others = if first + v == 0 { 0 } else { winners.on[place] };
                        winners.on[place] = others | simd.bits(on) << ((first + v) * S::LANES);
                    } else {
                        simd.store(&mut pooled[place], first + v, relu_pool(simd, window));
                    }
                }
            }
        }
        flatten(&pooled, self.pool2);
    }
}

/// The sums of a window of conv2 that reads nothing but background: every other digit of MNIST has one or more.
pub struct Background<'a> {
    /// conv1's pooled map of an image of nothing but background.
    pub pool1: &'a Pool1,
    /// `[input channel][kernel place][output channel]`
    pub weight: &'a [[[f32; CONV2_CHANNELS]; KERNEL_LEN]; CONV1_CHANNELS],
    /// `[output channel]`
    pub bias: &'a [f32; CONV2_CHANNELS],
    /// The result, `[output channel]`.
    pub sums: &'a mut [f32; CONV2_CHANNELS],
}

impl Kernel for Background<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for vector in 0..CONV2_CHANNELS / S::LANES {
            let bias: [_; 1] = simd.load_all(self.bias, vector);
            let patch = patch_at(self.pool1, 0, 0);
            let [[sums], ..] = convolve_window(simd, patch, self.weight, 0..CONV1_CHANNELS, vector, bias);
            simd.store(self.sums, vector, sums);
        }
    }
}

/// From channel last to channel first. Not inlined: compiled for AVX-512 it would become scatter instructions, which
/// take longer than single stores.
#[inline(never)]
fn flatten(pooled: &[[f32; CONV2_CHANNELS]; POOL2_PLACES], pool2: &mut Pool2) {
    for (channel, values) in pool2.as_chunks_mut::<POOL2_PLACES>().0.iter_mut().enumerate() {
        for (place, value) in values.iter_mut().enumerate() {
            *value = pooled[place][channel];
        }
    }
}

/// The 4×4 inputs that a window of four places reads.
#[inline(always)]
fn patch_at(pool1: &Pool1, row: usize, column: usize) -> [&[[f32; CONV1_CHANNELS]; 4]; 4] {
    let rows: &[_; 4] = pool1[row..].first_chunk().expect("windows lie inside the map");
    rows.each_ref().map(|values| values[column..].first_chunk().expect("windows lie inside the map"))
}

/// Of every window the input channels, as bits, that are not 0 all over its patch; none at all if it is background.
///
/// A channel of zeros adds only terms of ±0.0. In sums that ReLU follows they may be left out: the sign of a zero, all
/// that they could change, does not survive ReLU.
#[inline(always)]
fn inputs_that_count(marks: &Marks) -> [Option<u16>; POOL2_PLACES] {
    let mut inputs = [None; POOL2_PLACES];
    for (windows, row) in inputs.as_chunks_mut::<POOL2_SIDE>().0.iter_mut().zip((0..).step_by(2)) {
        let blank: &[_; 4] = marks.blank[row..].first_chunk().expect("windows lie inside the map");
        let blank = blank[0] & blank[1] & blank[2] & blank[3];
        let on: &[_; 4] = marks.on[row..].first_chunk().expect("windows lie inside the map");
        let on: [_; POOL1_SIDE] = std::array::from_fn(|c| on[0][c] | on[1][c] | on[2][c] | on[3][c]);
        for (window, column) in windows.iter_mut().zip((0..).step_by(2)) {
            let on: &[_; 4] = on[column..].first_chunk().expect("windows lie inside the map");
            *window = (blank >> column & 0b1111 != 0b1111).then_some(on[0] | on[1] | on[2] | on[3]);
        }
    }
    inputs
}

/// The channels among `bits`, in their order.
#[inline(always)]
fn channels_of(mut bits: u16) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let channel = bits.trailing_zeros() as usize;
        (bits != 0).then(|| {
            bits &= bits - 1;
            channel
        })
    })
}

/// The same channels as the start of a list, as many as there are bits.
#[inline(always)]
fn list_channels(bits: Option<u16>) -> [u8; CONV1_CHANNELS] {
    let mut list = [0; CONV1_CHANNELS];
    let mut count = 0;
    for channel in 0..CONV1_CHANNELS {
        // Written without a branch: which channels count cannot be foreseen.
        list[count % CONV1_CHANNELS] = channel as u8;
        count += usize::from(bits.unwrap_or(0) >> channel & 1);
    }
    list
}

/// The sums of a window's four places: from the bias, terms in the order input channel, kernel row, kernel column, of
/// the input channels in `channels` alone.
#[inline(always)]
fn convolve_window<S: Simd, const VECTORS: usize>(
    simd: S,
    patch: [&[[f32; CONV1_CHANNELS]; 4]; 4],
    weight: &[[[f32; CONV2_CHANNELS]; KERNEL_LEN]; CONV1_CHANNELS],
    channels: impl Iterator<Item = usize>,
    first: usize,
    bias: [S::Vector; VECTORS],
) -> [[S::Vector; VECTORS]; 4] {
    let mut window = [bias; 4];
    for channel in channels {
        let weight = &weight[channel];
        for row in 0..3 {
            for column in (0..3).take(simd.turns(3)) {
                let w: [_; VECTORS] = simd.load_all(&weight[3 * row + column], first);
                for (place, sums) in window.iter_mut().enumerate() {
                    let x = simd.splat(patch[row + place / 2][column + place % 2][channel]);
                    for v in 0..VECTORS {
                        sums[v] = simd.add_product(sums[v], x, w[v]);
                    }
                }
            }
        }
    }
    window
}

/// One sample's gradients: of the parameters, as `cnn_core::conv::convolve_backward_parameters`, and of the input, as
/// `convolve_backward_input`. The lanes are input channels.
pub struct Backward<'a> {
    /// The input.
    pub pool1: &'a Pool1,
    /// What the forward pass kept.
    pub winners: &'a Winners2,
    /// The gradient of conv2's pooled map.
    pub pool2_gradient: &'a Pool2,
    /// `[output channel][kernel place][input channel]`
    pub weight: &'a [[[f32; CONV1_CHANNELS]; KERNEL_LEN]; CONV2_CHANNELS],
    /// The result, shaped as the weights.
    pub weight_gradient: &'a mut [[[f32; CONV1_CHANNELS]; KERNEL_LEN]; CONV2_CHANNELS],
    /// The result, `[output channel]`.
    pub bias_gradient: &'a mut [f32; CONV2_CHANNELS],
    /// The result: the gradient of the input.
    pub pool1_gradient: &'a mut Pool1,
}

/// Cycles for a window's 18 vector products: see [`Simd::pace`].
const PACE: usize = 30;

/// Places of the input from the first to the last that one convolution sum reads.
const SPAN: usize = 2 * POOL1_SIDE + 3;

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let pool1: &[[f32; CONV1_CHANNELS]; POOL1_PLACES] =
            self.pool1.as_flattened().try_into().expect("the map has 12·12 places");
        let pool1_gradient: &mut [[f32; CONV1_CHANNELS]; POOL1_PLACES] =
            self.pool1_gradient.as_flattened_mut().try_into().expect("the map has 12·12 places");
        *pool1_gradient = [[0.0; CONV1_CHANNELS]; POOL1_PLACES];
        let pool2_gradient: &[f32; POOL2_LEN] = self.pool2_gradient;
        let pool2_gradient = pool2_gradient.as_chunks::<POOL2_PLACES>().0;
        let on = windows_of_channels(&self.winners.on);
        let mut bias_gradient = [0.0; CONV1_CHANNELS];
        for output in 0..CONV2_CHANNELS {
            for vector in 0..CONV1_CHANNELS / S::LANES {
                let zero = simd.splat(0.0);
                let mut weight = [zero; KERNEL_LEN];
                for k in 0..KERNEL_LEN {
                    weight[k] = simd.load(&self.weight[output][k], vector);
                }
                let mut weight_gradient = [zero; KERNEL_LEN];
                let mut bias = zero;
                let mut left = on[output];
                let mut beat = 0;
                while left != 0 {
                    simd.pace::<PACE>(&mut beat);
                    let window = left.trailing_zeros() as usize;
                    left &= left - 1;
                    let place = self.winners.places[window][output] as usize;
                    let gradient = simd.splat(pool2_gradient[output][window]);
                    bias = simd.add(bias, gradient);
                    let x: &[_; SPAN] = pool1[place..].first_chunk().expect("a kernel lies inside the map");
                    let dx: &mut [_; SPAN] =
                        pool1_gradient[place..].first_chunk_mut().expect("a kernel lies inside the map");
                    for k in 0..KERNEL_LEN {
                        let at = k / 3 * POOL1_SIDE + k % 3;
                        weight_gradient[k] = simd.add_product(weight_gradient[k], gradient, simd.load(&x[at], vector));
                        let sum = simd.add_product(simd.load(&dx[at], vector), gradient, weight[k]);
                        simd.store(&mut dx[at], vector, sum);
                    }
                }
                for k in 0..KERNEL_LEN {
                    simd.store(&mut self.weight_gradient[output][k], vector, weight_gradient[k]);
                }
                simd.store(&mut bias_gradient, vector, bias);
            }
            // All lanes hold the same sum.
            self.bias_gradient[output] = bias_gradient[0];
        }
    }
}

/// How the winner of the window at (`row`, `column`) is stored: as the first place of the input that its sum reads. The
/// last label is of no meaning.
#[inline(always)]
fn winner_labels(row: usize, column: usize) -> [f32; 5] {
    let place = row * POOL1_SIDE + column;
    let places = [place, place + 1, place + POOL1_SIDE, place + POOL1_SIDE + 1, 0];
    places.map(|place| f32::from_bits(place as u32))
}

/// Of every channel the windows that have a winner, as bits, from the channels of every window.
#[inline(always)]
fn windows_of_channels(channels: &[u32; POOL2_PLACES]) -> [u32; CONV2_CHANNELS] {
    let mut windows = [0; CONV2_CHANNELS];
    for (window, on) in channels.iter().enumerate() {
        for (channel, windows) in windows.iter_mut().enumerate() {
            *windows |= (on >> channel & 1) << window;
        }
    }
    windows
}
