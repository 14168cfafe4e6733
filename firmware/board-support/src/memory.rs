//! Memory in use, from the linker's symbols and the painted stack.

use core::cell::UnsafeCell;

use cnn_core::protocol::Memory;
use cortex_m_rt::STACK_PAINT_VALUE;

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
    Memory {
        // The initial values of variables are the last that the program has in flash.
        flash: bytes_between(&raw const __vector_table, &raw const __sidata) + data,
        variables: bytes_between(&raw const __sdata, &raw const _stack_end),
        stack: deepest_stack(),
    }
}

/// The start-up code painted the stack; the lowest word that has changed since tells how deep it went.
fn deepest_stack() -> u32 {
    let mut word: *const Symbol = &raw const _stack_end;
    let top: *const Symbol = &raw const _stack_start;
    // SAFETY: all words from `_stack_end` to `_stack_start` are RAM that the start-up code has written; they are read
    // as volatile because the stack in use is among them.
    while word < top && unsafe { word.cast::<u32>().read_volatile() } == STACK_PAINT_VALUE {
        word = word.wrapping_add(1);
    }
    bytes_between(word, top)
}
