//! ReLU and max-pooling of a window, for all channels of a vector.

use crate::backend::cpu::simd::Simd;

/// `cnn_core::conv::relu_pool` without the winner.
#[inline(always)]
pub fn relu_pool<S: Simd>(simd: S, window: [S::Vector; 4]) -> S::Vector {
    let value = simd.larger(simd.larger(window[3], window[2]), simd.larger(window[1], window[0]));
    simd.larger(value, simd.splat(0.0))
}

/// `cnn_core::conv::relu_pool`: the value; the winner's label, one of the first four for the window's places in raster
/// order, the last if there is no winner; and whether there is one. The labels' bits are kept, they may be anything.
#[inline(always)]
pub fn relu_pool_winner<S: Simd>(simd: S, window: [S::Vector; 4], labels: [f32; 5]) -> (S::Vector, S::Vector, S::Mask) {
    // Pairs first: the first of the largest is found there as by going through all four, and sooner.
    let first = simd.select(simd.greater(window[1], window[0]), simd.splat(labels[1]), simd.splat(labels[0]));
    let second = simd.select(simd.greater(window[3], window[2]), simd.splat(labels[3]), simd.splat(labels[2]));
    let (of_first, of_second) = (simd.larger(window[1], window[0]), simd.larger(window[3], window[2]));
    let winner = simd.select(simd.greater(of_second, of_first), second, first);
    let value = simd.larger(of_second, of_first);
    let on = simd.greater(value, simd.splat(0.0));
    (simd.select(on, value, simd.splat(0.0)), simd.select(on, winner, simd.splat(labels[4])), on)
}
