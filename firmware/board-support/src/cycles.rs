//! Cycles of the core's clock, from SysTick.
//!
//! SysTick counts them in 24 bits on every Cortex-M, and in QEMU, which has no DWT cycle counter.

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

const MASK: u32 = 0x00ff_ffff;

/// Counts the core's cycles in 64 bits, provided that it is read at least every 2²⁴ cycles (0.1 s at 168 MHz). Time
/// between readings further apart is counted short by a multiple of that.
#[derive(Debug)]
pub struct CycleCounter {
    last: u32,
    total: u64,
}

impl CycleCounter {
    /// Starts SysTick at the core's clock, without interrupts.
    pub fn start(mut systick: SYST) -> Self {
        systick.set_clock_source(SystClkSource::Core);
        systick.set_reload(MASK);
        systick.clear_current();
        systick.enable_counter();
        Self { last: SYST::get_current(), total: 0 }
    }

    /// Cycles since the start.
    pub fn read(&mut self) -> u64 {
        // The hardware counts down.
        let current = SYST::get_current();
        self.total += u64::from(self.last.wrapping_sub(current) & MASK);
        self.last = current;
        self.total
    }
}
