//! How errors end the program: one line, its causes, and an exit code.

use std::process::ExitCode;

/// The user pressed Ctrl-C and the work stopped cleanly.
#[derive(Debug, thiserror::Error)]
#[error("stopped; nothing was written")]
pub(crate) struct Stopped;

/// The same, with something in a session to go on from.
#[derive(Debug, thiserror::Error)]
#[error(
    "stopped; kept: {done}; the same command goes on from there, as does `kinora resume {told}`"
)]
pub(crate) struct StoppedInSession {
    /// The session's name, and where it lies if that is no usual place.
    pub(crate) told: String,
    /// What it holds.
    pub(crate) done: String,
}

/// The same, with something to go on from.
#[derive(Debug, thiserror::Error)]
#[error("stopped; the same command goes on from here")]
pub(crate) struct Paused;

/// What shells report of a program that was interrupted.
pub(crate) const INTERRUPTED: u8 = 130;

/// Prints `error` with its causes, and says how the program ends.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if error.is::<Stopped>() || error.is::<StoppedInSession>() || error.is::<Paused>() {
        eprintln!("{error}");
        return ExitCode::from(INTERRUPTED);
    }
    eprintln!("{}", describe(error));
    ExitCode::FAILURE
}

/// `error: what`, and each cause that is not yet told on a line of its own.
fn describe(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str("\n  because: ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn each_cause_is_told_once() {
        let error = anyhow!("disk on fire")
            .context("cannot write: disk on fire")
            .context("no clip");
        assert_eq!(
            describe(&error),
            "error: no clip\n  because: cannot write: disk on fire"
        );
    }
}
