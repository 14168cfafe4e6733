//! Asking for memory before it is needed. It changes nothing but the time.
//!
//! Worth it where another core wrote a line last: to get it from there takes as long as a hundred multiply-adds. Only
//! x86-64 has a stable way to ask; elsewhere nothing happens.

/// Values of a cache line.
pub const LINE: usize = 16;

/// Fetches the line at the start of `values`, to be read soon.
#[inline(always)]
pub fn for_reading(values: &[f32]) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: every x86-64 processor has SSE, and the instruction may be given any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = values;
}

/// Fetches the line at the start of `values`, to be written soon: other cores lose it at once, not when it is written.
#[inline(always)]
pub fn for_writing(values: &mut [f32]) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction may be given any address, and x86-64 processors that do not know it pass over it. Assembly,
    // because the intrinsic becomes another instruction where the processor is not known to have this one.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) values.as_mut_ptr(), options(nostack, preserves_flags));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = values;
}
