//! Whether this machine, as it is set up now, computes as rule 1 of the contract says.
//!
//! Most processors can be told to round otherwise or to take subnormals for zero, and a library compiled for speed over
//! exactness may do that to every thread that loads it. Some have arithmetic of their own in a library: then this is
//! the test of it.

use core::hint::black_box;

/// How the arithmetic differs from the contract's; the order of the variants is part of the protocol with boards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "model", derive(serde::Serialize, serde::Deserialize))]
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
    /// Zero has one sign only, or the wrong one.
    #[error("the sign of zero is lost")]
    ZeroSign,
    /// Integers become other floats than the nearest.
    #[error("integers are not converted to the nearest number")]
    Conversion,
}

/// The operations that [`check`] looks at, as a machine carries them out.
pub trait Arithmetic {
    /// `a + b`
    fn sum(&self, a: f32, b: f32) -> f32;
    /// `a * b`
    fn product(&self, a: f32, b: f32) -> f32;
    /// `a / b`
    fn quotient(&self, a: f32, b: f32) -> f32;
    /// `sum + a * b`
    fn sum_of_product(&self, sum: f32, a: f32, b: f32) -> f32;
    /// `a > b`
    fn is_greater(&self, a: f32, b: f32) -> bool;
    /// `value as f32`
    fn converted(&self, value: i32) -> f32;
}

/// This machine's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

// Out of the compiler's sight, so that it computes none of them itself.
impl Arithmetic for Machine {
    fn sum(&self, a: f32, b: f32) -> f32 {
        black_box(black_box(a) + black_box(b))
    }

    fn product(&self, a: f32, b: f32) -> f32 {
        black_box(black_box(a) * black_box(b))
    }

    fn quotient(&self, a: f32, b: f32) -> f32 {
        black_box(black_box(a) / black_box(b))
    }

    fn sum_of_product(&self, sum: f32, a: f32, b: f32) -> f32 {
        black_box(black_box(sum) + black_box(a) * black_box(b))
    }

    fn is_greater(&self, a: f32, b: f32) -> bool {
        black_box(black_box(a) > black_box(b))
    }

    fn converted(&self, value: i32) -> f32 {
        black_box(black_box(value) as f32)
    }
}

/// The distance of 1 and the next float.
const ULP: f32 = f32::EPSILON;
/// The smallest subnormal.
const TINY: f32 = f32::from_bits(1);
/// 2⁻⁷⁵: its square is half of `TINY`.
const ROOT: f32 = f32::from_bits((127 - 75) << 23);

/// Computes a few results on this machine that tell.
///
/// # Errors
/// The first difference found.
pub fn check() -> Result<(), Violation> {
    check_of(&Machine)
}

/// The same of any machine.
///
/// # Errors
/// The first difference found.
pub fn check_of(machine: &impl Arithmetic) -> Result<(), Violation> {
    require(keeps_subnormal_operands(machine), Violation::SubnormalOperand)?;
    require(keeps_subnormal_results(machine), Violation::SubnormalResult)?;
    require(rounds_to_nearest(machine) && rounds_subnormals(machine), Violation::Rounding)?;
    // (1 + u)² is 1 + 2u + u²; rounded, the last term is gone.
    let fused = machine.sum_of_product(-(1.0 + 2.0 * ULP), 1.0 + ULP, 1.0 + ULP);
    require(is(fused, 0.0), Violation::Fused)?;
    require(keeps_signs_of_zero(machine), Violation::ZeroSign)?;
    require(converts_to_nearest(machine), Violation::Conversion)
}

fn require(holds: bool, violation: Violation) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(violation) }
}

fn is(found: f32, expected: f32) -> bool {
    found.to_bits() == expected.to_bits()
}

/// The results are normal, the operands are not.
fn keeps_subnormal_operands(machine: &impl Arithmetic) -> bool {
    let large = 1.0 / f32::MIN_POSITIVE;
    let half = f32::MIN_POSITIVE / 2.0;
    is(machine.product(TINY, large), ULP)
        && is(machine.product(-large, half), -0.5)
        && is(machine.sum(half, half), f32::MIN_POSITIVE)
        && is(machine.quotient(half, half), 1.0)
        && machine.is_greater(TINY, 0.0)
        && machine.is_greater(0.0, -TINY)
}

/// Exact results, so that rounding has no part in them.
fn keeps_subnormal_results(machine: &impl Arithmetic) -> bool {
    let half = f32::MIN_POSITIVE / 2.0;
    is(machine.product(f32::MIN_POSITIVE, 0.5), half)
        && is(machine.product(-f32::MIN_POSITIVE, 0.5), -half)
        && is(machine.product(half, 1.0), half)
        && is(machine.sum(f32::MIN_POSITIVE, -half), half)
        && is(machine.sum(TINY, TINY), f32::from_bits(2))
        && is(machine.quotient(f32::MIN_POSITIVE, 2.0), half)
        && is(machine.sum_of_product(0.0, f32::MIN_POSITIVE, 0.5), half)
}

/// Ties go to the even neighbour, upwards and downwards; what is beyond the tie goes on.
fn rounds_to_nearest(machine: &impl Arithmetic) -> bool {
    let (tie, beyond) = (ULP / 2.0, ULP / 2.0 + ULP / 4.0);
    [1.0, -1.0].into_iter().all(|sign| {
        is(machine.sum(sign, sign * tie), sign)
            && is(machine.sum(sign * (1.0 + ULP), sign * tie), sign * (1.0 + 2.0 * ULP))
            && is(machine.sum(sign, sign * beyond), sign * (1.0 + ULP))
            // One bit beyond the tie, 23 places further down.
            && is(machine.sum(sign, sign * tie * (1.0 + ULP)), sign * (1.0 + ULP))
            && is(machine.sum(sign, -sign * ULP / 8.0), sign)
            && is(machine.product(sign * (1.0 + ULP), 1.5), sign * (1.5 + 2.0 * ULP))
            && is(machine.product(sign * (1.0 + 3.0 * ULP), 1.5), sign * (1.5 + 4.0 * ULP))
            && is(machine.product(sign * (1.0 + ULP), 1.0 + ULP), sign * (1.0 + 2.0 * ULP))
            && is(machine.product(sign * (1.0 - ULP), 1.0 + ULP), sign)
            && is(machine.quotient(sign, 3.0), sign * f32::from_bits(0x3eaa_aaab))
            && is(machine.quotient(sign * 2.0, 3.0), sign * f32::from_bits(0x3f2a_aaab))
            && is(machine.quotient(sign, 5.0), sign * f32::from_bits(0x3e4c_cccd))
            && is(machine.quotient(sign * 4.0, 7.0), sign * f32::from_bits(0x3f12_4925))
    })
}

/// Among subnormals too, and once.
fn rounds_subnormals(machine: &impl Arithmetic) -> bool {
    [1.0, -1.0].into_iter().all(|sign| {
        machine.product(sign * TINY, 0.5) == 0.0
            && is(machine.product(sign * TINY, 0.75), sign * TINY)
            && is(machine.product(sign * f32::from_bits(3), 0.5), sign * f32::from_bits(2))
            && is(machine.quotient(sign * f32::from_bits(5), 2.0), sign * f32::from_bits(2))
            // (5 + u - 4u²) · TINY / 2, which is beyond a tie; to 24 bits it is 5 · TINY / 2, the tie itself.
            && is(machine.product(sign * ROOT * (1.0 + ULP), ROOT * (5.0 - 4.0 * ULP)), sign * f32::from_bits(3))
    })
}

fn keeps_signs_of_zero(machine: &impl Arithmetic) -> bool {
    is(machine.product(-0.0, 1.0), -0.0)
        && is(machine.product(0.0, -1.0), -0.0)
        && is(machine.sum(-0.0, -0.0), -0.0)
        && is(machine.sum(-0.0, 0.0), 0.0)
        && is(machine.sum(1.0, -1.0), 0.0)
        && is(machine.quotient(0.0, -1.0), -0.0)
        && !machine.is_greater(0.0, -0.0)
}

/// 24 bits hold the first two; the others are ties.
fn converts_to_nearest(machine: &impl Arithmetic) -> bool {
    let nearest = [
        (255, 255.0),
        ((1 << 24) - 1, 16_777_215.0),
        ((1 << 24) + 1, 16_777_216.0),
        ((1 << 24) + 3, 16_777_220.0),
        (-(1 << 24) - 3, -16_777_220.0),
    ];
    nearest.into_iter().all(|(integer, float)| is(machine.converted(integer), float))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn this_machine_computes_as_the_contract_says() {
        assert_eq!(check(), Ok(()));
    }

    /// This machine's arithmetic with one fault.
    #[derive(Default)]
    struct Faulty {
        /// What becomes of every operand.
        operand: Option<fn(f32) -> f32>,
        /// Rounds what is exact, or nearer to it than a float, otherwise.
        result: Option<fn(f64) -> f32>,
        /// The fault of products alone.
        product: Option<fn(f64) -> f32>,
        fuses: bool,
        truncates_integers: bool,
    }

    impl Faulty {
        fn operand(&self, value: f32) -> f64 {
            self.operand.map_or(value, |change| change(value)).into()
        }

        fn result(&self, value: f64) -> f32 {
            self.result.map_or(value as f32, |round| round(value))
        }
    }

    /// In f64 sums, products and quotients of floats are exact or so near that rounding them again changes nothing but
    /// results below the normal ones; those of products are exact.
    impl Arithmetic for Faulty {
        fn sum(&self, a: f32, b: f32) -> f32 {
            self.result(self.operand(a) + self.operand(b))
        }

        fn product(&self, a: f32, b: f32) -> f32 {
            let exact = self.operand(a) * self.operand(b);
            self.product.map_or_else(|| self.result(exact), |round| round(exact))
        }

        fn quotient(&self, a: f32, b: f32) -> f32 {
            self.result(self.operand(a) / self.operand(b))
        }

        fn sum_of_product(&self, sum: f32, a: f32, b: f32) -> f32 {
            if self.fuses { a.mul_add(b, sum) } else { self.sum(sum, self.product(a, b)) }
        }

        fn is_greater(&self, a: f32, b: f32) -> bool {
            self.operand(a) > self.operand(b)
        }

        fn converted(&self, value: i32) -> f32 {
            if self.truncates_integers { toward_zero(value.into()) } else { value as f32 }
        }
    }

    fn flushed(value: f32) -> f32 {
        if value.is_subnormal() { 0.0 * value } else { value }
    }

    fn toward_zero(exact: f64) -> f32 {
        let nearest = exact as f32;
        if f64::from(nearest.abs()) > exact.abs() { f32::from_bits(nearest.to_bits() - 1) } else { nearest }
    }

    /// Ties to the larger magnitude.
    fn away(exact: f64) -> f32 {
        let below = toward_zero(exact);
        let above = f32::from_bits(below.to_bits() + 1);
        if f64::from(below) == exact || exact.abs() * 2.0 < f64::from(below.abs()) + f64::from(above.abs()) {
            below
        } else {
            above
        }
    }

    /// To 24 bits first, and then to what a subnormal has.
    fn twice(exact: f64) -> f32 {
        let scale = f64::from_bits((1023 + 100) << 52);
        (f64::from((exact * scale) as f32) / scale) as f32
    }

    #[test]
    fn every_other_arithmetic_is_called_by_its_fault() {
        let faulty = Faulty::default;
        assert_eq!(check_of(&faulty()), Ok(()), "without a fault it is the contract's");
        let cases = [
            (Faulty { operand: Some(flushed), ..faulty() }, Violation::SubnormalOperand),
            (Faulty { result: Some(|exact| flushed(exact as f32)), ..faulty() }, Violation::SubnormalResult),
            (Faulty { product: Some(|exact| flushed(exact as f32)), ..faulty() }, Violation::SubnormalResult),
            (Faulty { result: Some(toward_zero), ..faulty() }, Violation::Rounding),
            (Faulty { product: Some(toward_zero), ..faulty() }, Violation::Rounding),
            (Faulty { result: Some(away), ..faulty() }, Violation::Rounding),
            (Faulty { product: Some(away), ..faulty() }, Violation::Rounding),
            (Faulty { product: Some(twice), ..faulty() }, Violation::Rounding),
            (Faulty { fuses: true, ..faulty() }, Violation::Fused),
            (Faulty { result: Some(|exact| exact as f32 + 0.0), ..faulty() }, Violation::ZeroSign),
            (Faulty { truncates_integers: true, ..faulty() }, Violation::Conversion),
        ];
        for (number, (machine, violation)) in cases.iter().enumerate() {
            assert_eq!(check_of(machine), Err(*violation), "case {number}");
        }
    }
}
