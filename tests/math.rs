//! `exp` and `ln` keep their promises on every float they are specified for.
//!
//! The oracle is f64 arithmetic: `std`'s `f64::exp` and `f64::ln` of the C library. The common C libraries keep them
//! within one ulp of f64, which is 2⁻²⁹ of an f32's; [`ORACLE_ERROR`] allows twice that.

use std::num::NonZero;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use cnn_core::math::{exp, ln};

/// What the oracle may be wrong by, in ulp of f32.
const ORACLE_ERROR: f64 = 1.0 / (1 << 28) as f64;

/// Every x ≤ 0, from −0 down to −∞, as bits. In three parts: where the result is constantly 1, where it varies, where
/// it is constantly 0.
const EXP_BITS: RangeInclusive<u32> = 0x8000_0000..=0xff80_0000;
/// −2⁻²⁵, the last of the results of 1: halfway to the next smaller float.
const EXP_LAST_ONE: u32 = 0xb300_0000;
/// −104, from where on results are 0.
const EXP_FIRST_ZERO: u32 = 0xc2d0_0000;
/// Every x from 1 to 10, as bits.
const LN_BITS: RangeInclusive<u32> = 0x3f80_0000..=0x4120_0000;

/// The largest error of a sweep, in ulp, and where.
#[derive(Debug, Clone, Copy)]
struct Worst {
    error: f64,
    x: f32,
}

/// The distance of `result` from `exact` in ulp: in steps of the f32 in the binade of `exact`.
fn error_in_ulp(result: f32, exact: f64) -> f64 {
    const EXPONENT: u64 = 0x7ff << 52;
    let binade = f64::from_bits(exact.to_bits() & EXPONENT);
    let ulp = (binade * f64::from(f32::EPSILON)).max(f64::from(f32::from_bits(1)));
    (f64::from(result) - exact).abs() / ulp
}

/// Gives blocks of `bits` to all cores; the results come in no order. Blocks overlap by one, so that `work` sees every
/// pair of neighbours.
fn in_blocks<T: Send>(bits: RangeInclusive<u32>, work: impl Fn(RangeInclusive<u32>) -> T + Sync) -> Vec<T> {
    const BLOCK: u32 = 1 << 20;
    let (first, last) = bits.into_inner();
    let next = AtomicU32::new(0);
    let worker = || {
        let blocks = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        blocks
            .take_while(|block| *block <= (last - first) / BLOCK)
            .map(|block| work(first + block * BLOCK..=last.min(first.saturating_add((block + 1) * BLOCK))))
            .collect::<Vec<T>>()
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker failed")).collect()
    })
}

/// Compares `function` with `oracle` on every float of `bits`, and checks that the results go one way only:
/// `may_follow(previous, next)`.
fn sweep(
    bits: RangeInclusive<u32>,
    function: impl Fn(f32) -> f32 + Sync,
    oracle: impl Fn(f64) -> f64 + Sync,
    may_follow: impl Fn(f32, f32) -> bool + Sync,
) -> Worst {
    let worsts = in_blocks(bits, |block| {
        let mut worst = Worst { error: 0.0, x: 0.0 };
        let mut previous = function(f32::from_bits(*block.start()));
        for x in block.map(f32::from_bits) {
            let result = function(x);
            let error = error_in_ulp(result, oracle(f64::from(x)));
            // A NaN follows nothing.
            assert!(may_follow(previous, result), "at {x:e}: {result:e} after {previous:e}");
            if error > worst.error {
                worst = Worst { error, x };
            }
            previous = result;
        }
        worst
    });
    worsts.into_iter().max_by(|a, b| a.error.total_cmp(&b.error)).expect("there is at least one block")
}

#[test]
fn exp_is_within_an_ulp_and_monotonic_wherever_it_varies() {
    let worst = sweep(EXP_LAST_ONE..=EXP_FIRST_ZERO, exp, f64::exp, |previous, next| next <= previous);
    println!("exp: {worst:?}");
    assert!(worst.error + ORACLE_ERROR < 1.0, "{worst:?}");
    // What the documentation of `cnn_core::math` states.
    assert_eq!((format!("{:.4}", worst.error), worst.x), ("0.9055".into(), -5.160947));
}

/// The true value moves away from 1 and towards 0 as x falls, so the errors of a constant 1 and a constant 0 are the
/// largest where the sweep above looks: at the last 1 and at the first 0.
#[test]
fn exp_is_constant_at_both_ends() {
    let assert_constant = |bits, result: f32| {
        let differing = in_blocks(bits, |block: RangeInclusive<u32>| {
            block.fold(0, |differing, bits| differing | (exp(f32::from_bits(bits)).to_bits() ^ result.to_bits()))
        });
        assert!(differing.iter().all(|&bits| bits == 0), "exp is not {result} everywhere");
    };
    assert_constant(*EXP_BITS.start()..=EXP_LAST_ONE, 1.0);
    assert_constant(EXP_FIRST_ZERO..=*EXP_BITS.end(), 0.0);
}

#[test]
fn ln_is_within_an_ulp_and_monotonic_for_every_float_from_one_to_ten() {
    let worst = sweep(LN_BITS, ln, f64::ln, |previous, next| next >= previous);
    println!("ln: {worst:?}");
    assert!(worst.error + ORACLE_ERROR < 1.0, "{worst:?}");
    // What the documentation of `cnn_core::math` states.
    assert_eq!((format!("{:.4}", worst.error), worst.x), ("0.8399".into(), 1.4133185));
}

#[test]
fn no_bit_of_exp_and_ln_has_changed() {
    // One float in 61: 4.2 and 0.5 million. An odd stride varies the lowest bits too.
    const STRIDE: usize = 61;
    let exp_results = (EXP_LAST_ONE..=EXP_FIRST_ZERO).step_by(STRIDE).map(|bits| exp(f32::from_bits(bits)));
    let ln_results = LN_BITS.step_by(STRIDE).map(|bits| ln(f32::from_bits(bits)));
    assert_eq!([fnv1a(exp_results), fnv1a(ln_results)], [0xb659_c6cd_0313_8874, 0xa09d_d5c3_b1ba_d3b3]);
}

/// The 64-bit FNV-1a hash of the little-endian bytes of `values`
/// (<https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>).
fn fnv1a(values: impl Iterator<Item = f32>) -> u64 {
    values
        .flat_map(f32::to_le_bytes)
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
