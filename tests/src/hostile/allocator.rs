//! An allocator that counts what a thread holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { held: 0, peak: 0, largest: 0 }) };
}

#[derive(Clone, Copy)]
struct Counts {
    /// Bytes that this thread allocated and nobody freed on it; less than 0 if it freed those of others.
    held: isize,
    /// The most that was held.
    peak: isize,
    /// The largest block that was asked for.
    largest: usize,
}

/// The system's allocator, counting. A binary makes it its own with `#[global_allocator]`.
pub struct CountingAllocator;

/// Memory that a piece of work used, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// The most that it held at a time, beyond what was held before it.
    pub peak: usize,
    /// The largest block that it asked for, be it granted or not.
    pub largest: usize,
}

/// Does some work and tells the memory it used on this thread. Both numbers stay 0 in a binary whose allocator is
/// another.
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, Used) {
    let before = COUNTS.get();
    COUNTS.set(Counts { peak: before.held, largest: 0, ..before });
    let result = work();
    let after = COUNTS.get();
    (result, Used { peak: (after.peak - before.held) as usize, largest: after.largest })
}

/// Notes that a block of `old` bytes becomes one of `new` bytes.
fn note(old: usize, new: usize) {
    // Const-initialised and without a destructor, it can be reached as long as the thread lives.
    let mut counts = COUNTS.get();
    counts.held = counts.held.wrapping_add_unsigned(new).wrapping_sub_unsigned(old);
    counts.peak = counts.peak.max(counts.held);
    counts.largest = counts.largest.max(new);
    COUNTS.set(counts);
}

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(0, layout.size());
        // SAFETY: the caller keeps the rules of the same method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(0, layout.size());
        // SAFETY: the caller keeps the rules of the same method.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(layout.size(), 0);
        // SAFETY: the caller keeps the rules of the same method.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(layout.size(), new_size);
        // SAFETY: the caller keeps the rules of the same method.
        unsafe { System.realloc(block, layout, new_size) }
    }
}
