//! Memory in use: the stack, which the start-up code painted, and on a Cortex-M what the linker's symbols tell.

#[cfg(target_arch = "arm")]
pub use cortex_m_only::in_use;

/// What a word of the stack holds that was never used.
pub const STACK_PAINT: u32 = 0xcccc_cccc;

/// Bytes of the stack that were in use at its deepest: the lowest word that has changed tells.
///
/// # Safety
/// All words from `bottom` to `top` are RAM that was written.
pub unsafe fn deepest_stack(bottom: *const u32, top: *const u32) -> u32 {
    let mut word = bottom;
    // SAFETY: the caller's; they are read as volatile because the stack in use is among them.
    while word < top && unsafe { word.read_volatile() } == STACK_PAINT {
        word = word.wrapping_add(1);
    }
    top.addr().saturating_sub(word.addr()) as u32
}

#[cfg(target_arch = "arm")]
mod cortex_m_only {
    use core::cell::UnsafeCell;

    use cnn_core::protocol::Memory;

    const _: () = assert!(super::STACK_PAINT == cortex_m_rt::STACK_PAINT_VALUE);

    /// An address that the linker defines; what lies there is none of its business.
    type Symbol = UnsafeCell<u32>;

    #[allow(non_upper_case_globals, reason = "the linker scripts' names")]
    unsafe extern "C" {
        static __vector_table: Symbol;
        static __sidata: Symbol;
        static __sdata: Symbol;
        static __edata: Symbol;
        static _stack_end: Symbol;
        static _stack_start: Symbol;
    }

    fn bytes_between(start: *const Symbol, end: *const Symbol) -> u32 {
        end.addr().saturating_sub(start.addr()) as u32
    }

    /// Flash of the program, RAM of its variables, and the stack at its deepest so far.
    pub fn in_use() -> Memory {
        let data = bytes_between(&raw const __sdata, &raw const __edata);
        let (bottom, top) = (&raw const _stack_end, &raw const _stack_start);
        Memory {
            // The initial values of variables are the last that the program has in flash.
            flash: bytes_between(&raw const __vector_table, &raw const __sidata) + data,
            variables: bytes_between(&raw const __sdata, bottom),
            // SAFETY: `cortex-m-rt` has written all words from `_stack_end` to `_stack_start`.
            stack: unsafe { super::deepest_stack(bottom.cast(), top.cast()) },
        }
    }
}
