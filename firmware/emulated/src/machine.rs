//! The emulated machines: where a program starts, where its work lies, and how instructions are counted. QEMU lets one take
//! a nanosecond (`-icount shift=0`).

#[cfg(target_arch = "arm")]
mod arm {
    use cortex_m::peripheral::syst::SystClkSource;
    use cortex_m::peripheral::{Peripherals, SYST};

    /// `microbit` has its flash enlarged by the test; `mps2-an505` has RAM there.
    pub const WORK: usize = if cfg!(target_abi = "eabihf") { 0x1010_0000 } else { 0x2_0000 };
    /// Twice the instructions in a tick of SysTick, of 20 and of 16 MHz.
    const HALVES_OF_A_TICK: u32 = if cfg!(target_abi = "eabihf") { 100 } else { 125 };
    const TURN: u32 = 1 << 24;

    #[cortex_m_rt::entry]
    fn main() -> ! {
        crate::run()
    }

    /// Starts the counter, which goes down and begins anew after a second.
    pub fn start_counter() {
        // SAFETY: nothing else has the peripherals.
        let mut timer = unsafe { Peripherals::steal() }.SYST;
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(TURN - 1);
        timer.clear_current();
        timer.enable_counter();
        while SYST::get_current() == 0 {}
    }

    /// Where the counter is.
    pub fn counter() -> u32 {
        SYST::get_current()
    }

    /// Instructions since the counter was at `start`, less than a second ago, to a tick.
    pub fn instructions_since(start: u32) -> u32 {
        (start.wrapping_sub(counter()) % TURN * HALVES_OF_A_TICK) / 2
    }
}

#[cfg(target_arch = "riscv32")]
mod riscv {
    use core::arch::{asm, global_asm};

    /// `virt` has RAM there.
    pub const WORK: usize = 0x8010_0000;

    global_asm!(".section .start, \"ax\"", ".globl _start", "_start:", "la sp, __stack_top", "j {run}", run = sym run);

    extern "C" fn run() -> ! {
        crate::run()
    }

    /// The counter runs from the start.
    pub fn start_counter() {}

    /// Instructions since the start, the lower word.
    pub fn counter() -> u32 {
        let count;
        // SAFETY: it reads a counter.
        unsafe { asm!("csrr {0}, minstret", out(reg) count) };
        count
    }

    /// Instructions since the counter was at `start`.
    pub fn instructions_since(start: u32) -> u32 {
        counter().wrapping_sub(start)
    }
}

#[cfg(target_arch = "arm")]
pub use arm::{WORK, counter, instructions_since, start_counter};
#[cfg(target_arch = "riscv32")]
pub use riscv::{WORK, counter, instructions_since, start_counter};
