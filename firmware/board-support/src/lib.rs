//! What the boards share: the log over RTT, the main loop, how deep the stack went; those with a Cortex-M also the cycle
//! counter, the inner loops, memory in use, and what a fault does.
#![no_std]

#[cfg(target_arch = "arm")]
mod cortex_m_only;
#[cfg(target_arch = "arm")]
mod cycles;
#[cfg(target_abi = "eabihf")]
mod forward;
#[cfg(target_abi = "eabihf")]
mod int8_forward;
#[cfg(all(target_arch = "arm", not(target_abi = "eabihf")))]
mod int8_forward_m0;
mod log;
pub mod memory;
mod not_fetched;

use application::{Application, ModelFlash, Next, System};
use defmt_rtt as _;
use embedded_hal::digital::OutputPin;
use embedded_io::{Read, ReadReady, Write};

#[cfg(target_arch = "arm")]
pub use cortex_m_only::reset;
#[cfg(target_arch = "arm")]
pub use cycles::CycleCounter;
#[cfg(target_abi = "eabihf")]
pub use forward::forward;
#[cfg(target_abi = "eabihf")]
pub use int8_forward::int8_forward;
#[cfg(all(target_arch = "arm", not(target_abi = "eabihf")))]
pub use int8_forward_m0::int8_forward;
pub use log::log;
pub use not_fetched::NotFetched;

/// Polls the application for ever; resets the board when it asks for that.
pub fn run<L, F, P, S>(mut application: Application<'_, L, F, P, S>, reset: fn() -> !) -> !
where
    L: Read + ReadReady + Write,
    F: ModelFlash,
    P: OutputPin,
    S: System,
{
    loop {
        match application.poll() {
            Next::Poll => {}
            Next::Reset => reset(),
        }
    }
}
