//! Memory in use, from the symbols of esp-hal's linker scripts and the painted stack.

use core::arch::asm;
use core::cell::UnsafeCell;

use board_support::memory::{STACK_PAINT, deepest_stack};
use cnn_core::protocol::Memory;

/// An address or a length that the linker defines.
type Symbol = UnsafeCell<u32>;

#[allow(non_upper_case_globals, reason = "the linker scripts' names")]
unsafe extern "C" {
    static __program_len: Symbol;
    static _data_start: Symbol;
    static _stack_end: Symbol;
    static _stack_start: Symbol;
}

/// esp-hal watches a word this many bytes from the stack's end on, 60 of them before it (`stack-guard-offset`).
const GUARD: usize = 64;
/// What the painter itself may take below its stack pointer.
const MARGIN: usize = 256;

/// The lowest word of the stack that may be used.
fn bottom() -> *mut u32 {
    (&raw const _stack_end).cast_mut().cast::<u32>().wrapping_byte_add(GUARD)
}

/// Paints the stack below the caller's frame. To be called before anything else.
pub fn paint_stack() {
    let pointer: usize;
    // SAFETY: it copies a register.
    unsafe { asm!("mv {0}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    let mut word = bottom();
    while word.addr() < pointer - MARGIN {
        // SAFETY: RAM from `_stack_end` up to the stack pointer is the stack's and not in use. No interrupt is enabled yet
        // that could use it meanwhile.
        unsafe { word.write_volatile(STACK_PAINT) };
        word = word.wrapping_add(1);
    }
}

/// Flash of the program without the model that it brings along, RAM of its variables, and the stack at its deepest so far.
pub fn in_use() -> Memory {
    let (data, stack) = (&raw const _data_start, &raw const _stack_end);
    Memory {
        flash: (&raw const __program_len).addr() as u32 - crate::MODEL.map_or(0, <[u8]>::len) as u32,
        variables: stack.addr().saturating_sub(data.addr()) as u32,
        // SAFETY: `paint_stack` has written all words that no frame had.
        stack: unsafe { deepest_stack(bottom(), (&raw const _stack_start).cast()) },
    }
}
