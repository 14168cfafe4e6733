//! Boards with a Cortex-M: their program, their reset, what a fault or a panic does.

use cortex_m::peripheral::SCB;
use cortex_m_rt::{ExceptionFrame, exception};
use panic_probe as _;

/// Resets the board.
pub fn reset() -> ! {
    SCB::sys_reset()
}

/// The program of a board with a Cortex-M, made of its module `board`, with `SAMPLES` and `start` in it: the model file, if
/// the build script links one in, and `main`.
#[macro_export]
macro_rules! firmware {
    () => {
        /// The model file, in the flash area that an update replaces.
        #[cfg(linked_model)]
        #[used]
        #[unsafe(link_section = ".model")]
        static MODEL: [u8; include_bytes!(env!("LINKED_MODEL")).len()] = *include_bytes!(env!("LINKED_MODEL"));

        #[cortex_m_rt::entry]
        fn main() -> ! {
            use application::{Application, Buffers};

            let board = board::start();
            type Memory = Buffers<{ board::SAMPLES }>;
            let buffers = cortex_m::singleton!(: Memory = const { Memory::new() }).expect("main runs once");
            $crate::run(
                Application::boot(board.port, board.flash, board.led, board.system, buffers),
                $crate::reset,
            )
        }
    };
}

/// A fault of the processor: says where and stops, as a panic does.
// SAFETY: it only reads the frame that the exception pushed.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    defmt::panic!("hard fault at {=u32:#010x}", frame.pc())
}
