//! ReLU and max-pooling of a window, for all channels of a vector.

use crate::backend::cpu::simd::Simd;

/// The winner's number when ReLU is off over the whole window. Winners are kept as floats: the compare that selects
/// the value selects the number too.
pub const NO_WINNER: f32 = 4.0;

/// `cnn_core::conv::relu_pool` without the winner.
#[inline(always)]
pub fn relu_pool<S: Simd>(simd: S, window: [S::Vector; 4]) -> S::Vector {
    let mut value = window[0];
    for candidate in &window[1..] {
        value = simd.larger(*candidate, value);
    }
    simd.larger(value, simd.splat(0.0))
}

/// `cnn_core::conv::relu_pool`: the value, and the place of the winner in raster order or [`NO_WINNER`].
#[inline(always)]
pub fn relu_pool_winner<S: Simd>(simd: S, window: [S::Vector; 4]) -> (S::Vector, S::Vector) {
    let mut value = window[0];
    let mut winner = simd.splat(0.0);
    for place in 1..4 {
        let wins = simd.greater(window[place], value);
        value = simd.select(wins, window[place], value);
        winner = simd.select(wins, simd.splat(place as f32), winner);
    }
    let on = simd.greater(value, simd.splat(0.0));
    (simd.select(on, value, simd.splat(0.0)), simd.select(on, winner, simd.splat(NO_WINNER)))
}
