//! The instructions on pairs of 16-bit numbers, one function each.

use core::arch::asm;

/// A function of one instruction: what comes out depends on what goes in alone.
macro_rules! instruction {
    ($(#[$docs:meta])* $name:ident($a:ident, $b:ident, $sum:ident): $mnemonic:literal) => {
        $(#[$docs])*
        #[inline(always)]
        pub fn $name($a: u32, $b: u32, $sum: i32) -> i32 {
            let result;
            // SAFETY: the instruction reads and writes these registers alone, and the flag Q, which nothing reads.
            unsafe {
                asm!(
                    concat!($mnemonic, " {}, {}, {}, {}"),
                    lateout(reg) result, in(reg) $a, in(reg) $b, in(reg) $sum,
                    options(pure, nomem, nostack),
                );
            }
            result
        }
    };
    ($(#[$docs:meta])* $name:ident($word:ident): $mnemonic:literal, $rotation:literal) => {
        $(#[$docs])*
        #[inline(always)]
        pub fn $name($word: u32) -> u32 {
            let result;
            // SAFETY: the instruction reads and writes these registers alone.
            unsafe {
                asm!(
                    concat!($mnemonic, " {}, {}", $rotation),
                    lateout(reg) result, in(reg) $word,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            result
        }
    };
}

instruction! {
    /// `sum` and both products of two pairs.
    smlad(a, b, sum): "smlad"
}
instruction! {
    /// `sum` and the product of the lower numbers of both pairs.
    smlabb(a, b, sum): "smlabb"
}
instruction! {
    /// `sum` and the product of the upper number of `a` and the lower one of `b`.
    smlatb(a, b, sum): "smlatb"
}
instruction! {
    /// Bytes 0 and 2.
    even(word): "uxtb16", ""
}
instruction! {
    /// Bytes 1 and 3.
    odd(word): "uxtb16", ", ror #8"
}
instruction! {
    /// Bytes 0 and 2, with their signs.
    even_signed(word): "sxtb16", ""
}
instruction! {
    /// Bytes 1 and 3, with their signs.
    odd_signed(word): "sxtb16", ", ror #8"
}
