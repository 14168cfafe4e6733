//! ReLU and max-pooling of a window, for all channels of a vector.

use crate::backend::cpu::simd::Simd;

/// `cnn_core::conv::relu_pool` without the winner.
#[inline(always)]
pub fn relu_pool<S: Simd>(simd: S, window: [S::Vector; 4]) -> S::Vector {
    let mut value = window[0];
    for candidate in &window[1..] {
        value = simd.larger(*candidate, value);
    }
    simd.larger(value, simd.splat(0.0))
}

/// `cnn_core::conv::relu_pool`: the value, and the winner's label: one of the first four for the window's places in
/// raster order, the last if there is no winner. The labels' bits are kept, they may be anything.
#[inline(always)]
pub fn relu_pool_winner<S: Simd>(simd: S, window: [S::Vector; 4], labels: [f32; 5]) -> (S::Vector, S::Vector) {
    let mut value = window[0];
    let mut winner = simd.splat(labels[0]);
    for place in 1..4 {
        let wins = simd.greater(window[place], value);
        value = simd.select(wins, window[place], value);
        winner = simd.select(wins, simd.splat(labels[place]), winner);
    }
    let on = simd.greater(value, simd.splat(0.0));
    (simd.select(on, value, simd.splat(0.0)), simd.select(on, winner, simd.splat(labels[4])))
}
