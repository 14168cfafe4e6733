//! Ctrl-C.

use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

/// The exit code of a program that was interrupted, as shells have it: 128 + SIGINT.
pub const INTERRUPTED: u8 = 130;

/// A flag that the first Ctrl-C sets; the second one ends the program. To be called once.
pub fn listen() -> anyhow::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            exit(INTERRUPTED.into());
        }
    })
    .context("Ctrl-C cannot be handled")?;
    Ok(interrupted)
}
