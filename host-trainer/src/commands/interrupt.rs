//! Being asked to end: Ctrl-C, what `kill`, service managers and container engines send, and the end of a terminal.

#[cfg(unix)]
use std::mem::MaybeUninit;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context;
#[cfg(unix)]
use signal_hook::consts::SIGHUP;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// What shells add to a signal's number for the exit code of a program that it ended.
const ENDED_BY_SIGNAL: u8 = 128;

/// Ctrl-C (SIGINT), SIGTERM or SIGHUP.
#[derive(Debug)]
pub struct Interruption {
    /// Whether it came.
    pub flag: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

/// Listens from now on: the first signal sets the flag, a second Ctrl-C or SIGTERM ends the program. To be called once a
/// run.
pub fn listen() -> anyhow::Result<Interruption> {
    let interruption = Interruption { flag: Arc::default(), signal: Arc::default() };
    let Interruption { flag: interrupted, signal: number } = &interruption;
    let asked = Arc::<AtomicBool>::default();
    let listen_to = |signal| {
        flag::register_usize(signal, Arc::clone(number), signal as usize)
            .and_then(|_| flag::register(signal, Arc::clone(interrupted)))
    };
    for signal in [SIGINT, SIGTERM] {
        // In this order: the shutdown must see the flag as it was before the signal.
        flag::register_conditional_shutdown(signal, code(signal as usize).into(), Arc::clone(&asked))
            .and_then(|_| flag::register(signal, Arc::clone(&asked)))
            .and_then(|_| listen_to(signal))
            .with_context(|| format!("signal {signal} cannot be handled"))?;
    }
    // Both the system and the shell send it when a terminal closes, and a session's end sends SIGTERM as well: none of
    // these is a second wish. `nohup` has it ignored, and so it stays.
    #[cfg(unix)]
    if !is_ignored(SIGHUP) {
        listen_to(SIGHUP).with_context(|| format!("signal {SIGHUP} cannot be handled"))?;
    }
    Ok(interruption)
}

#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action nothing is changed; the current one is written to `action`, and read only if the call
    // says so.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init_ref().sa_sigaction == libc::SIG_IGN
    }
}

fn code(signal: usize) -> u8 {
    ENDED_BY_SIGNAL + signal as u8
}

impl Interruption {
    /// The exit code of a program that it ended, as shells have it: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.
    pub fn exit_code(&self) -> ExitCode {
        code(self.signal.load(Ordering::Relaxed)).into()
    }
}
