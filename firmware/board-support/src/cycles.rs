//! Cycles of the core's clock, from SysTick.
//!
//! SysTick counts them on every Cortex-M, and in QEMU, which has no DWT cycle counter. Its interrupt also wakes a
//! sleeping core now and then.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;

/// SysTick interrupts every 2²⁰ cycles: 6 ms at 168 MHz, 16 ms at 64 MHz.
const PERIOD_BITS: u32 = 20;
const LAST: u32 = (1 << PERIOD_BITS) - 1;

/// Periods that have passed.
static PERIODS: AtomicU32 = AtomicU32::new(0);

#[exception]
fn SysTick() {
    PERIODS.store(PERIODS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Counts the core's cycles in 52 bits: nine months at 168 MHz. It falls behind while interrupts are held back, as they
/// are when the processor waits for flash.
#[derive(Debug)]
pub struct CycleCounter(());

impl CycleCounter {
    /// Starts SysTick at the core's clock.
    pub fn start(mut systick: SYST) -> Self {
        systick.set_clock_source(SystClkSource::Core);
        systick.set_reload(LAST);
        systick.clear_current();
        systick.enable_interrupt();
        systick.enable_counter();
        Self(())
    }

    /// Cycles since the start.
    pub fn read(&self) -> u64 {
        loop {
            let periods = PERIODS.load(Ordering::Relaxed);
            // The hardware counts down.
            let within = LAST.wrapping_sub(SYST::get_current()) & LAST;
            // If a period ended in between, the two do not belong together.
            if PERIODS.load(Ordering::Relaxed) == periods {
                return u64::from(periods) << PERIOD_BITS | u64::from(within);
            }
        }
    }
}
