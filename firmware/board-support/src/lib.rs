//! What all Cortex-M boards share: the cycle counter, the inner loops of those with a floating-point unit, memory in use,
//! the log over RTT, and the main loop.
#![no_std]

mod cycles;
#[cfg(target_abi = "eabihf")]
mod forward;
#[cfg(target_abi = "eabihf")]
mod int8_forward;
mod log;
pub mod memory;

use application::{Application, ModelFlash, Next, System};
use cortex_m::peripheral::SCB;
use cortex_m_rt::{ExceptionFrame, exception};
use defmt_rtt as _;
use embedded_hal::digital::OutputPin;
use embedded_io::{Read, ReadReady, Write};
use panic_probe as _;

pub use cycles::CycleCounter;
#[cfg(target_abi = "eabihf")]
pub use forward::forward;
#[cfg(target_abi = "eabihf")]
pub use int8_forward::int8_forward;
pub use log::log;

/// Polls the application for ever; resets the board when it asks for that.
pub fn run<L, F, P, S>(mut application: Application<'_, L, F, P, S>) -> !
where
    L: Read + ReadReady + Write,
    F: ModelFlash,
    P: OutputPin,
    S: System,
{
    loop {
        match application.poll() {
            Next::Poll => {}
            Next::Reset => SCB::sys_reset(),
        }
    }
}

/// The program of a board, made of its module `board`, with `SAMPLES` and `start` in it: the model file, if the build
/// script links one in, and `main`.
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
            $crate::run(Application::boot(board.port, board.flash, board.led, board.system, buffers))
        }
    };
}

/// A fault of the processor: says where and stops, as a panic does.
// SAFETY: it only reads the frame that the exception pushed.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    defmt::panic!("hard fault at {=u32:#010x}", frame.pc())
}
