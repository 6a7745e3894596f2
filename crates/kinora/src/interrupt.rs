//! Ctrl-C: the first press asks the work to stop, the second ends the program.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::error::{INTERRUPTED, Stopped};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C (and a polite kill) stops the work between two steps instead of ending the program.
pub(crate) fn install() -> Result<()> {
    let on_press = || {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED.into());
        }
    };
    ctrlc::set_handler(on_press).context("cannot listen for Ctrl-C")
}

/// Set once the user wants to stop.
pub(crate) fn flag() -> &'static AtomicBool {
    &REQUESTED
}

/// Whether the user wants to stop.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// # Errors
///
/// [`Stopped`] if the user wants to stop.
pub(crate) fn check() -> Result<()> {
    if requested() {
        Err(Stopped.into())
    } else {
        Ok(())
    }
}
