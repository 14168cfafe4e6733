//! Being asked to end: Ctrl-C, and what `kill`, service managers and container engines send.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// What shells add to a signal's number for the exit code of a program that it ended.
const ENDED_BY_SIGNAL: u8 = 128;

/// Ctrl-C (SIGINT) or SIGTERM. SIGHUP is left alone: whoever starts the program with `nohup` has it ignored.
#[derive(Debug)]
pub struct Interruption {
    /// Whether it came.
    pub flag: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

/// Listens from now on: the first signal sets the flag, the second one ends the program. To be called once.
pub fn listen() -> anyhow::Result<Interruption> {
    let interruption = Interruption { flag: Arc::default(), signal: Arc::default() };
    for signal in [SIGINT, SIGTERM] {
        // In this order: the shutdown must see the flag as it was before the signal.
        flag::register_conditional_shutdown(signal, code(signal as usize).into(), Arc::clone(&interruption.flag))
            .and_then(|_| flag::register_usize(signal, Arc::clone(&interruption.signal), signal as usize))
            .and_then(|_| flag::register(signal, Arc::clone(&interruption.flag)))
            .with_context(|| format!("signal {signal} cannot be handled"))?;
    }
    Ok(interruption)
}

fn code(signal: usize) -> u8 {
    ENDED_BY_SIGNAL + signal as u8
}

impl Interruption {
    /// The exit code of a program that it ended, as shells have it: 130 for Ctrl-C, 143 for SIGTERM.
    pub fn exit_code(&self) -> ExitCode {
        code(self.signal.load(Ordering::Relaxed)).into()
    }
}
