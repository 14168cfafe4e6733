//! How a thread's processor computes: rounding to nearest, subnormals kept.
//!
//! A library that was compiled for speed over exactness may change that for every thread that exists or will exist when
//! it is loaded: a preloaded one, one that a GPU driver brings along. Results would then differ without a word. So
//! whatever computes calls [`establish`] first, in every thread: it costs a few nanoseconds.

use cnn_core::environment::{self, Violation};

/// This thread's arithmetic is not the contract's, and could not be made so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this processor does not compute as docs/numerics.md says: {0}; results would differ from everyone else's")]
pub struct FloatEnvironmentError(#[from] Violation);

/// Makes this thread round to nearest and keep subnormals, if it does not, and checks that it does.
///
/// # Errors
/// If it still does not.
pub fn establish() -> Result<(), FloatEnvironmentError> {
    control::reset();
    Ok(environment::check()?)
}

#[cfg(target_arch = "x86_64")]
mod control {
    use std::arch::asm;

    /// MXCSR at the start of a program: all exceptions masked, rounding to nearest, no flush to zero.
    const DEFAULT: u32 = 0x1f80;
    /// The flags of exceptions that have occurred, which decide nothing.
    const FLAGS: u32 = 0x3f;

    /// Sets what decides results as the compiler takes it to be, unless it is.
    pub fn reset() {
        if get() & !FLAGS != DEFAULT {
            set(DEFAULT);
        }
    }

    pub fn get() -> u32 {
        let mut value = 0u32;
        // SAFETY: STMXCSR writes the four bytes of `value` and nothing else.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags)) };
        value
    }

    pub fn set(value: u32) {
        // SAFETY: LDMXCSR reads the four bytes of `value`, which has no reserved bit set. The compiler relies on the
        // default value, and it is what `reset` sets.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, readonly)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod control {
    use std::arch::asm;

    /// Of FPCR, what decides results: AHP, DN, FZ, RMode, FZ16 and the trap enables, and AH, NEP and FIZ.
    const DECIDES: u64 = 1 << 26 | 1 << 25 | 1 << 24 | 0b11 << 22 | 1 << 19 | 0x9f00 | 0b111;

    /// Sets what decides results as the compiler takes it to be, unless it is.
    pub fn reset() {
        let value = get();
        if value & DECIDES != 0 {
            set(value & !DECIDES);
        }
    }

    pub fn get() -> u64 {
        let value;
        // SAFETY: it reads a register that every program may read.
        unsafe { asm!("mrs {}, fpcr", out(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    }

    pub fn set(value: u64) {
        // SAFETY: it writes a register that every program may write. The compiler relies on all of these bits being 0,
        // and that is what `reset` sets.
        unsafe { asm!("msr fpcr, {}", in(reg) value, options(nostack, preserves_flags)) };
    }
}

/// Other processors: checked, not set.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod control {
    pub fn reset() {}
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::*;

    /// Every way to set the processor otherwise that this machine has, and what it violates.
    #[cfg(target_arch = "x86_64")]
    const SETTINGS: [(u32, Violation); 5] = [
        (1 << 6, Violation::SubnormalOperand),
        (1 << 15, Violation::SubnormalResult),
        (0b01 << 13, Violation::Rounding),
        (0b10 << 13, Violation::Rounding),
        (0b11 << 13, Violation::Rounding),
    ];
    #[cfg(target_arch = "aarch64")]
    const SETTINGS: [(u64, Violation); 4] = [
        (1 << 24, Violation::SubnormalOperand),
        (0b01 << 22, Violation::Rounding),
        (0b10 << 22, Violation::Rounding),
        (0b11 << 22, Violation::Rounding),
    ];

    #[test]
    fn every_other_setting_is_noticed_and_put_right() {
        for (setting, violation) in SETTINGS {
            // In a thread of its own: nothing else may compute like that.
            let (before, after) = std::thread::spawn(move || {
                control::set(control::get() | setting);
                (environment::check(), establish())
            })
            .join()
            .expect("the thread does not panic");
            assert_eq!((before, after), (Err(violation), Ok(())), "{setting:#x}");
        }
    }
}
