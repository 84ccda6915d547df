//! How a command ends: 0 all good, 1 something failed, 2 called wrongly.

use std::process::ExitCode;

/// The call itself is wrong, and nothing was done.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Says on stderr what went wrong, and yields the exit code.
pub(crate) fn code(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        if error.is::<Usage>() {
            eprintln!("\nFor more information, try '--help'.");
            return ExitCode::from(2);
        }
        ExitCode::FAILURE
    })
}
