//! Asking for memory before it is needed. It changes nothing but the time.
//!
//! Worth it where another core wrote a line last: to get it from there takes as long as a hundred multiply-adds.

/// Values of a cache line.
pub const LINE: usize = 16;

/// Fetches `values`, the first of which begins a line, to be read soon.
#[inline(always)]
pub fn for_reading(values: &[f32]) {
    values.chunks(LINE).for_each(line::fetch);
}

/// Fetches `values`, the first of which begins a line, to be written soon: other cores lose them at once, not when they
/// are written.
#[inline(always)]
pub fn for_writing(values: &mut [f32]) {
    values.chunks_mut(LINE).for_each(line::take);
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod line {
    use std::arch::asm;
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    #[inline(always)]
    pub fn fetch(line: &[f32]) {
        // SAFETY: every x86-64 processor has SSE, and the instruction may be given any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
    }

    /// Assembly, because the intrinsic becomes another instruction where the processor is not known to have this one.
    #[inline(always)]
    pub fn take(line: &mut [f32]) {
        // SAFETY: the instruction may be given any address, and x86-64 processors that do not know it pass over it.
        unsafe { asm!("prefetchw [{}]", in(reg) line.as_mut_ptr(), options(nostack, preserves_flags)) }
    }
}

/// There is no stable way to ask.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod line {
    #[inline(always)]
    pub fn fetch(_: &[f32]) {}

    #[inline(always)]
    pub fn take(_: &mut [f32]) {}
}
