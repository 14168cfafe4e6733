//! A warp's registers and the arithmetic on them: 32 lanes at a time.

use crate::instruction::{Binary, Comparison, Kind, Loaded, Long, Operation, Slot, Unary, Word};

/// Threads of a warp.
pub const LANES: usize = 32;

/// A set of lanes, a bit each.
pub type Mask = u32;

/// A word of every lane.
pub type Words = [u32; LANES];

/// A 64-bit value of every lane.
pub type Longs = [u64; LANES];

/// The lanes of a set, lowest first.
pub fn lanes_of(mut mask: Mask) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lane = (mask != 0).then(|| mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        Some(lane)
    })
}

/// The three register files of a warp.
#[derive(Debug, Clone)]
pub struct Registers {
    words: Vec<Words>,
    longs: Vec<Longs>,
    predicates: Vec<Mask>,
}

impl Registers {
    pub fn new(words: usize, longs: usize, predicates: usize) -> Self {
        // What a register holds before it is written is anything; a NaN, and an address of nothing, show.
        Self {
            words: vec![[u32::MAX; LANES]; words],
            longs: vec![[u64::MAX; LANES]; longs],
            predicates: vec![0; predicates],
        }
    }

    #[inline]
    pub fn word(&self, word: Word) -> Words {
        match word {
            Word::Register(slot) => self.words[usize::from(slot)],
            Word::Constant(value) => [value; LANES],
        }
    }

    #[inline]
    pub fn long(&self, long: Long) -> Longs {
        match long {
            Long::Register(slot) => self.longs[usize::from(slot)],
            Long::Constant(value) => [value; LANES],
        }
    }

    pub fn predicate(&self, slot: Slot) -> Mask {
        self.predicates[usize::from(slot)]
    }

    #[inline]
    pub fn set_word(&mut self, to: Slot, value: &Words, mask: Mask) {
        assign(&mut self.words[usize::from(to)], value, mask);
    }

    pub fn set_lane(&mut self, to: Slot, lane: usize, value: u32) {
        self.words[usize::from(to)][lane] = value;
    }

    /// A lane takes the `index`-th value of a load.
    #[inline]
    pub fn set_loaded(&mut self, to: &Loaded, index: usize, lane: usize, value: u32) {
        match *to {
            Loaded::Words(ref to) => self.set_lane(to[index], lane, value),
            Loaded::Long { to, signed } => self.longs[usize::from(to)][lane] = widen(signed, value),
        }
    }

    #[inline]
    fn set_long(&mut self, to: Slot, value: &Longs, mask: Mask) {
        assign(&mut self.longs[usize::from(to)], value, mask);
    }

    pub fn set_long_to(&mut self, to: Slot, value: u64, mask: Mask) {
        self.set_long(to, &[value; LANES], mask);
    }

    pub fn set_predicate(&mut self, to: Slot, value: Mask, mask: Mask) {
        let to = &mut self.predicates[usize::from(to)];
        *to = *to & !mask | value & mask;
    }

    /// Executes an operation that concerns nothing but registers, in the lanes of `mask`.
    ///
    /// # Panics
    /// If the operation is of another sort.
    pub fn compute(&mut self, operation: &Operation, mask: Mask) {
        match *operation {
            Operation::Move { to, from } => self.set_word(to, &self.word(from), mask),
            Operation::Unary { op, to, a } => self.set_word(to, &unary(op, self.word(a)), mask),
            Operation::Binary { op, to, a, b } => {
                let result = binary(op, &self.word(a), &self.word(b));
                self.set_word(to, &result, mask);
            }
            Operation::MultiplyAdd { to, a, b, c } => {
                let product = binary(Binary::Multiply, &self.word(a), &self.word(b));
                let result = binary(Binary::Add, &product, &self.word(c));
                self.set_word(to, &result, mask);
            }
            Operation::InsertBits { to, a, b, position, length } => {
                let (a, b, position, length) = (self.word(a), self.word(b), self.word(position), self.word(length));
                let result = each(|lane| insert_bits(a[lane], b[lane], position[lane], length[lane]));
                self.set_word(to, &result, mask);
            }
            Operation::Select { to, a, b, predicate } => {
                let (a, b, chosen) = (self.word(a), self.word(b), self.predicate(predicate));
                self.set_word(to, &each(|lane| if chosen >> lane & 1 == 1 { a[lane] } else { b[lane] }), mask);
            }
            Operation::Compare { comparison, kind, to, a, b } => {
                let result = compare(comparison, kind, &self.word(a), &self.word(b));
                self.set_predicate(to, result, mask);
            }
            Operation::SetPredicate { to, value } => self.set_predicate(to, if value { Mask::MAX } else { 0 }, mask),
            Operation::NotPredicate { to, a } => self.set_predicate(to, !self.predicate(a), mask),
            Operation::AndPredicate { to, a, b } => {
                self.set_predicate(to, self.predicate(a) & self.predicate(b), mask);
            }
            Operation::OrPredicate { to, a, b } => self.set_predicate(to, self.predicate(a) | self.predicate(b), mask),
            _ => self.compute_long(operation, mask),
        }
    }

    fn compute_long(&mut self, operation: &Operation, mask: Mask) {
        match *operation {
            Operation::MoveLong { to, from } => self.set_long(to, &self.long(from), mask),
            Operation::AddLong { to, a, b } => {
                let (a, b) = (self.long(a), self.long(b));
                self.set_long(to, &each(|lane| a[lane].wrapping_add(b[lane])), mask);
            }
            Operation::MultiplyLong { to, a, b } => {
                let (a, b) = (self.long(a), self.long(b));
                self.set_long(to, &each(|lane| a[lane].wrapping_mul(b[lane])), mask);
            }
            Operation::ShiftLong { left, to, a, by } => {
                let (a, by) = (self.long(a), self.word(by));
                let shift = |lane: usize| {
                    let shifted = if left { a[lane].checked_shl(by[lane]) } else { a[lane].checked_shr(by[lane]) };
                    shifted.unwrap_or(0)
                };
                self.set_long(to, &each(shift), mask);
            }
            Operation::MultiplyWide { signed, to, a, b } => {
                let (a, b) = (self.word(a), self.word(b));
                let product = |lane: usize| widen(signed, a[lane]).wrapping_mul(widen(signed, b[lane]));
                self.set_long(to, &each(product), mask);
            }
            Operation::Widen { signed, to, from } => {
                let from = self.word(from);
                self.set_long(to, &each(|lane| widen(signed, from[lane])), mask);
            }
            Operation::Narrow { to, from } => {
                let from = self.long(from);
                self.set_word(to, &each(|lane| from[lane] as u32), mask);
            }
            Operation::SelectLong { to, a, b, predicate } => {
                let (a, b, chosen) = (self.long(a), self.long(b), self.predicate(predicate));
                self.set_long(to, &each(|lane| if chosen >> lane & 1 == 1 { a[lane] } else { b[lane] }), mask);
            }
            _ => unreachable!("the scheduler executes {operation:?}"),
        }
    }
}

/// The lanes of `mask` take their values.
#[inline]
fn assign<T: Copy>(to: &mut [T; LANES], value: &[T; LANES], mask: Mask) {
    if mask == Mask::MAX {
        *to = *value;
    } else {
        lanes_of(mask).for_each(|lane| to[lane] = value[lane]);
    }
}

#[inline]
fn each<T>(f: impl Fn(usize) -> T) -> [T; LANES] {
    std::array::from_fn(f)
}

fn widen(signed: bool, word: u32) -> u64 {
    if signed { i64::from(word as i32) as u64 } else { u64::from(word) }
}

fn unary(op: Unary, a: Words) -> Words {
    match op {
        Unary::Not => a.map(|a| !a),
        Unary::CountOnes => a.map(u32::count_ones),
        Unary::AbsoluteFloat => a.map(|a| f32::from_bits(a).abs().to_bits()),
        Unary::IntegerToFloat => a.map(|a| (a as i32 as f32).to_bits()),
        Unary::LowHalf => a.map(|a| a & 0xffff),
    }
}

/// What the operation makes of one word each.
pub fn binary_word(op: Binary, a: u32, b: u32) -> u32 {
    binary(op, &[a; LANES], &[b; LANES])[0]
}

#[inline]
fn binary(op: Binary, a: &Words, b: &Words) -> Words {
    let words = |f: fn(u32, u32) -> u32| each(|lane| f(a[lane], b[lane]));
    match op {
        Binary::Add => each(|lane| a[lane].wrapping_add(b[lane])),
        Binary::Subtract => each(|lane| a[lane].wrapping_sub(b[lane])),
        Binary::Multiply => each(|lane| a[lane].wrapping_mul(b[lane])),
        Binary::MultiplyHigh => words(|a, b| ((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32),
        // The quotient of a division by zero is not specified; that of NVIDIA's hardware is all ones.
        Binary::DivideUnsigned => words(|a, b| a.checked_div(b).unwrap_or(u32::MAX)),
        Binary::MaxSigned => each(|lane| (a[lane] as i32).max(b[lane] as i32) as u32),
        Binary::MinSigned => each(|lane| (a[lane] as i32).min(b[lane] as i32) as u32),
        Binary::MaxUnsigned => each(|lane| a[lane].max(b[lane])),
        Binary::MinUnsigned => each(|lane| a[lane].min(b[lane])),
        Binary::And => each(|lane| a[lane] & b[lane]),
        Binary::Or => each(|lane| a[lane] | b[lane]),
        Binary::Xor => each(|lane| a[lane] ^ b[lane]),
        Binary::ShiftLeft => words(|a, b| a.checked_shl(b).unwrap_or(0)),
        Binary::ShiftRight => words(|a, b| a.checked_shr(b).unwrap_or(0)),
        Binary::ShiftRightSigned => words(|a, b| ((a as i32) >> b.min(31)) as u32),
        Binary::AddFloat => floats(a, b, |a, b| a + b),
        Binary::SubtractFloat => floats(a, b, |a, b| a - b),
        Binary::MultiplyFloat => floats(a, b, |a, b| a * b),
        Binary::DivideFloat => floats(a, b, |a, b| a / b),
        Binary::MaxFloat => floats(a, b, max_float),
    }
}

/// One rounded operation on every lane. Every NaN is PTX's one.
#[inline]
fn floats(a: &Words, b: &Words, f: impl Fn(f32, f32) -> f32) -> Words {
    each(|lane| {
        let result = f(f32::from_bits(a[lane]), f32::from_bits(b[lane]));
        if result.is_nan() { 0x7fff_ffff } else { result.to_bits() }
    })
}

/// A number wins over a NaN, +0.0 over −0.0.
fn max_float(a: f32, b: f32) -> f32 {
    match (a.is_nan(), b.is_nan()) {
        (true, _) => b,
        (_, true) => a,
        _ if a == b => f32::from_bits(a.to_bits() & b.to_bits()),
        _ if a > b => a,
        _ => b,
    }
}

fn insert_bits(a: u32, b: u32, position: u32, length: u32) -> u32 {
    let ones = |count: u32| u32::MAX.checked_shr(32 - count.min(32)).unwrap_or(0);
    let (position, length) = (position & 0xff, length & 0xff);
    let mask = ones(length).checked_shl(position).unwrap_or(0);
    b & !mask | a.checked_shl(position).unwrap_or(0) & mask
}

fn compare(comparison: Comparison, kind: Kind, a: &Words, b: &Words) -> Mask {
    match kind {
        Kind::Unsigned => compare_as(comparison, |lane| (a[lane], b[lane])),
        Kind::Signed => compare_as(comparison, |lane| (a[lane] as i32, b[lane] as i32)),
        Kind::Float | Kind::FloatOrUnordered => {
            let pair = |lane: usize| (f32::from_bits(a[lane]), f32::from_bits(b[lane]));
            let nan = mask_of(|lane| pair(lane).0.is_nan() || pair(lane).1.is_nan());
            let ordered = compare_as(comparison, pair) & !nan;
            if kind == Kind::FloatOrUnordered { ordered | nan } else { ordered }
        }
    }
}

#[inline]
fn compare_as<T: PartialOrd>(comparison: Comparison, pair: impl Fn(usize) -> (T, T)) -> Mask {
    let test = |f: fn(&T, &T) -> bool| {
        mask_of(|lane| {
            let (a, b) = pair(lane);
            f(&a, &b)
        })
    };
    match comparison {
        Comparison::Equal => test(T::eq),
        Comparison::NotEqual => test(T::ne),
        Comparison::Less => test(T::lt),
        Comparison::LessOrEqual => test(T::le),
        Comparison::Greater => test(T::gt),
        Comparison::GreaterOrEqual => test(T::ge),
    }
}

#[inline]
fn mask_of(f: impl Fn(usize) -> bool) -> Mask {
    (0..LANES).fold(0, |mask, lane| mask | u32::from(f(lane)) << lane)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float_operations_round_once_and_keep_signs_and_subnormals() {
        let bits = |op, a: f32, b: f32| binary_word(op, a.to_bits(), b.to_bits());
        assert_eq!(bits(Binary::AddFloat, 1.0, f32::EPSILON / 2.0), 1.0_f32.to_bits());
        assert_eq!(bits(Binary::MultiplyFloat, f32::MIN_POSITIVE, 0.5), 0x0040_0000);
        assert_eq!(bits(Binary::MultiplyFloat, -1.0, 0.0), 0x8000_0000);
        assert_eq!(bits(Binary::DivideFloat, 1.0, 3.0), 0x3eaa_aaab);
        assert_eq!(bits(Binary::SubtractFloat, f32::INFINITY, f32::INFINITY), 0x7fff_ffff);
    }

    #[test]
    fn the_maximum_is_a_number_where_there_is_one_and_not_minus_zero() {
        let max = |a: f32, b: f32| binary_word(Binary::MaxFloat, a.to_bits(), b.to_bits());
        assert_eq!(max(f32::NAN, -3.0), (-3.0_f32).to_bits());
        assert_eq!(max(-3.0, f32::NAN), (-3.0_f32).to_bits());
        assert_eq!(max(f32::NAN, f32::NAN), 0x7fff_ffff);
        assert_eq!((max(-0.0, 0.0), max(0.0, -0.0), max(-0.0, -0.0)), (0, 0, 0x8000_0000));
    }

    #[test]
    fn integers_are_what_the_name_of_the_operation_says() {
        assert_eq!(binary_word(Binary::MultiplyHigh, -2_i32 as u32, 1 << 31), 1);
        assert_eq!(binary_word(Binary::ShiftLeft, 1, 32), 0);
        assert_eq!(binary_word(Binary::ShiftRightSigned, 1 << 31, 40), u32::MAX);
        assert_eq!(binary_word(Binary::MinUnsigned, u32::MAX, 3), 3);
        assert_eq!(binary_word(Binary::MinSigned, u32::MAX, 3), u32::MAX);
        assert_eq!(insert_bits(0b101, 0xffff_ffff, 4, 3), 0xffff_ffdf);
        assert_eq!(insert_bits(1, 6, 1, 31), 2);
        assert_eq!(insert_bits(7, 9, 0, 0), 9);
    }

    #[test]
    fn only_the_unordered_comparisons_are_true_of_nans() {
        let words = |a: f32, b: f32| ([a.to_bits(); LANES], [b.to_bits(); LANES]);
        let (a, b) = words(f32::NAN, 0.0);
        for comparison in [Comparison::Equal, Comparison::NotEqual, Comparison::Less, Comparison::GreaterOrEqual] {
            assert_eq!(compare(comparison, Kind::Float, &a, &b), 0);
            assert_eq!(compare(comparison, Kind::FloatOrUnordered, &a, &b), Mask::MAX);
        }
        let (a, b) = words(-0.0, 0.0);
        assert_eq!(compare(Comparison::Equal, Kind::Float, &a, &b), Mask::MAX);
        assert_eq!(compare(Comparison::NotEqual, Kind::FloatOrUnordered, &a, &b), 0);
        assert_eq!(compare(Comparison::Less, Kind::Signed, &[u32::MAX; LANES], &[0; LANES]), Mask::MAX);
        assert_eq!(compare(Comparison::Less, Kind::Unsigned, &[u32::MAX; LANES], &[0; LANES]), 0);
    }

    #[test]
    fn lanes_outside_the_mask_keep_their_values() {
        let mut registers = Registers::new(2, 1, 1);
        registers.compute(&Operation::Move { to: 0, from: Word::Constant(7) }, Mask::MAX);
        registers.compute(&Operation::Move { to: 0, from: Word::Constant(9) }, 0b100);
        let words = registers.word(Word::Register(0));
        assert_eq!((words[1], words[2], words[3]), (7, 9, 7));
    }
}
