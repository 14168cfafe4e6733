//! Whether this machine, as it is set up now, computes as rule 1 of the contract says.
//!
//! Most processors can be told to round otherwise or to take subnormals for zero, and a library compiled for speed over
//! exactness may do that to every thread that loads it. Some have arithmetic of their own in a library: then this is
//! the test of it.

use core::hint::black_box;

/// How the arithmetic differs from the contract's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// An operand that is subnormal is taken for zero.
    #[error("subnormal operands are taken for zero")]
    SubnormalOperand,
    /// A result that is subnormal becomes zero.
    #[error("subnormal results become zero")]
    SubnormalResult,
    /// Results are not rounded to the nearest float, ties to the even one.
    #[error("results are not rounded to the nearest number")]
    Rounding,
    /// A product is not rounded before it is added.
    #[error("products are not rounded before they are added")]
    Fused,
}

/// The distance of 1 and the next float.
const ULP: f32 = f32::EPSILON;
/// The smallest subnormal.
const TINY: f32 = f32::from_bits(1);

/// Computes a few sums, products and quotients whose results tell.
///
/// # Errors
/// The first difference found.
pub fn check() -> Result<(), Violation> {
    let require = |holds, violation| if holds { Ok(()) } else { Err(violation) };
    let is = |found: f32, expected: f32| found.to_bits() == expected.to_bits();

    let large = 1.0 / f32::MIN_POSITIVE;
    let operands = is(product(TINY, large), ULP) && black_box(TINY) > black_box(0.0);
    require(operands, Violation::SubnormalOperand)?;
    let half = f32::MIN_POSITIVE / 2.0;
    let results = is(product(f32::MIN_POSITIVE, 0.5), half)
        && is(product(-f32::MIN_POSITIVE, 0.5), -half)
        && is(sum(f32::MIN_POSITIVE, -half), half)
        && is(sum(TINY, TINY), f32::from_bits(2))
        && is(quotient(f32::MIN_POSITIVE, 2.0), half);
    require(results, Violation::SubnormalResult)?;

    // Ties go to the even neighbour, upwards and downwards; what is beyond the tie goes on.
    let (tie, beyond) = (ULP / 2.0, ULP / 2.0 + ULP / 4.0);
    let rounding = [1.0, -1.0].into_iter().all(|sign| {
        is(sum(sign, sign * tie), sign)
            && is(sum(sign * (1.0 + ULP), sign * tie), sign * (1.0 + 2.0 * ULP))
            && is(sum(sign, sign * beyond), sign * (1.0 + ULP))
            && is(sum(sign, -sign * ULP / 8.0), sign)
            && is(quotient(sign, 3.0), sign * f32::from_bits(0x3eaa_aaab))
    });
    require(rounding, Violation::Rounding)?;

    // (1 + u)² is 1 + 2u + u²; rounded, the last term is gone.
    let fused = sum_of_product(-(1.0 + 2.0 * ULP), 1.0 + ULP, 1.0 + ULP);
    require(is(fused, 0.0), Violation::Fused)
}

// Out of the compiler's sight, so that it computes none of them itself.

fn sum(a: f32, b: f32) -> f32 {
    black_box(black_box(a) + black_box(b))
}

fn product(a: f32, b: f32) -> f32 {
    black_box(black_box(a) * black_box(b))
}

fn quotient(a: f32, b: f32) -> f32 {
    black_box(black_box(a) / black_box(b))
}

fn sum_of_product(sum: f32, a: f32, b: f32) -> f32 {
    black_box(black_box(sum) + black_box(a) * black_box(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_computes_as_the_contract_says() {
        assert_eq!(check(), Ok(()));
    }
}
