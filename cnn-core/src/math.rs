//! The project's one `exp` and one `ln`.
//!
//! Both are written so that a vector or CUDA port is the same text with other types: straight-line, one select each,
//! only `+ - * /`, an integer converted to a float, and the bits of a float taken as an integer (and back) for integer
//! addition and shifts. The order of the operations is part of the definition.
//!
//! Both keep their error **below one ulp** and never decrease as their argument grows, measured by `tests/math.rs` on
//! every float they are specified for, against the f64 functions of `std`. One ulp is the distance of two neighbouring
//! f32 in the binade of the true value, 2⁻¹⁴⁹ among the subnormals.
//!
//! | function | specified for | largest error | at |
//! |---|---|---|---|
//! | [`exp`] | x ≤ 0, −∞ included | 0.9055 ulp | x = −5.160947 |
//! | [`ln`] | 1 ≤ x ≤ 10 | 0.8399 ulp | x = 1.4133185 |
//!
//! The methods are the classic ones of W. J. Cody and W. Waite (*Software Manual for the Elementary Functions*, 1980)
//! in the form that Sun's fdlibm gave them (<https://www.netlib.org/fdlibm/e_exp.c>,
//! <https://www.netlib.org/fdlibm/e_log.c>): reduce by a multiple of ln 2 held in two parts, evaluate a short minimax
//! polynomial, and add the large exact part last. `tests/math/coefficients.py` derives every constant.

use core::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// ln 2 = `LN_2_HIGH + LN_2_LOW` with an error of 2⁻⁴⁴. The high part has 15 significant bits, so that its product
/// with an integer of at most 9 bits is exact.
const LN_2_HIGH: f32 = 0.693_145_75;
/// See [`LN_2_HIGH`].
const LN_2_LOW: f32 = 1.428_606_8e-6;

/// 1.5 · 2²³. A float of magnitude below 2²² plus this is the float's nearest integer (ties to even) plus this, with
/// the integer in the lowest bits of the representation.
const ROUND: f32 = 12_582_912.0;

/// Below this every result is 0: e^−104 is less than half of the smallest subnormal, 2⁻¹⁴⁹.
const EXP_UNDERFLOW: f32 = -104.0;

/// e^x for x ≤ 0, −∞ included, with an error below one ulp (see the [module](self)'s table).
///
/// `exp(±0)` is exactly 1, no result exceeds 1, results below 2⁻¹²⁶ are subnormal and from −104 down they are +0.
/// NaN gives NaN. A positive argument is outside the specification.
///
/// With n the integer nearest to x / ln 2 and r = x − n·ln 2, e^x = 2ⁿ·e^r and |r| ≤ ln 2 / 2. There
/// e^r = 1 + r + r²·q(r), where q has degree 4 and leaves an error of 2⁻²⁸. r stays in two parts, `high` exact, so that
/// only the last two additions cost accuracy. 2ⁿ is multiplied in two halves: n reaches −150, 2⁻¹²⁶ is the smallest
/// normal power; the first product is exact, so the result is rounded once.
#[inline]
pub fn exp(x: f32) -> f32 {
    let x = if x < EXP_UNDERFLOW { EXP_UNDERFLOW } else { x };

    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let high = x - n * LN_2_HIGH;
    let low = n * LN_2_LOW;
    let r = high - low;

    let q = 0.001_392_090_8;
    let q = 0.008_369_324 + r * q;
    let q = 0.041_666_586 + r * q;
    let q = 0.166_665_15 + r * q;
    let q = 0.5 + r * q;
    let power = 1.0 + (high - (low - r * r * q));

    let n = shifted.to_bits() as i32 - ROUND.to_bits() as i32;
    let half = n >> 1;
    power * power_of_two(half) * power_of_two(n - half)
}

/// 2ⁿ for −127 < n < 128.
#[inline]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

/// The natural logarithm of 1 ≤ x ≤ 10, with an error below one ulp (see the [module](self)'s table).
///
/// `ln(1)` is exactly +0. NaN and ∞ give NaN, so that a loss that is no longer finite cannot go unnoticed.
///
/// x = 2ᵏ·(1 + f) with 1 + f from √½ to √2, f exact. With s = f / (2 + f), ln(1 + f) = ln((1 + s) / (1 − s))
/// = 2s + s·R(s²) = f − (f²/2 − s·(f²/2 + R)), where R is a polynomial of three terms that leaves an error of 2⁻²⁹: the
/// large part, f, is exact and added late, k·`LN_2_HIGH`, exact too, last.
#[inline]
pub fn ln(x: f32) -> f32 {
    const ONE: u32 = 1.0f32.to_bits();
    const SQRT_HALF: u32 = FRAC_1_SQRT_2.to_bits();
    const MANTISSA: u32 = (1 << 23) - 1;

    // Moves √½ to the bottom of a binade, so that the exponent field counts k.
    let bits = x.to_bits().wrapping_add(ONE - SQRT_HALF);
    let k = ((bits >> 23) as i32 - 127) as f32;
    let f = f32::from_bits((bits & MANTISSA) + SQRT_HALF) - 1.0;

    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * (0.666_667_76 + z * (0.399_775_83 + z * 0.298_707_96));
    let half_square = 0.5 * f * f;
    let result = s * (half_square + r) + k * LN_2_LOW - half_square + f + k * LN_2_HIGH;
    if x < f32::INFINITY { result } else { f32::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_of_either_zero_is_one() {
        assert_eq!(exp(0.0).to_bits(), 1.0f32.to_bits());
        assert_eq!(exp(-0.0).to_bits(), 1.0f32.to_bits());
        assert_eq!(exp(-f32::from_bits(1)).to_bits(), 1.0f32.to_bits());
    }

    #[test]
    fn exp_runs_through_the_subnormals_down_to_zero() {
        assert_eq!(exp(-102.5).to_bits(), 2);
        assert_eq!(exp(-103.9).to_bits(), 1);
        for x in [EXP_UNDERFLOW, f32::MIN, f32::NEG_INFINITY] {
            assert_eq!(exp(x).to_bits(), 0, "{x}");
        }
    }

    #[test]
    fn ln_of_one_is_positive_zero() {
        assert_eq!(ln(1.0).to_bits(), 0);
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7fff_ffff), f32::from_bits(0xff80_0001)] {
            assert!(exp(nan).is_nan() && ln(nan).is_nan(), "{:#x}", nan.to_bits());
        }
        assert!(ln(f32::INFINITY).is_nan());
    }
}
