//! The log of services and workers, on standard error. With the format `json`, every line is JSON, also that of a failed start
//! and that of a panic, because collectors parse every line.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use tracing::error;
use tracing_subscriber::EnvFilter;

use super::exit::Usage;
use crate::config::{Log, LogFormat};

/// # Errors
/// A level that is not a filter.
pub(super) fn start(log: &Log) -> Result<()> {
    let filter =
        EnvFilter::try_new(&log.level).with_context(|| format!("log.level: `{}` is not a filter", log.level))?;
    let log_to_stderr = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => log_to_stderr.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => {
            log_to_stderr.json().init();
            std::panic::set_hook(Box::new(|panic| {
                let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
                error!(thread, "{panic}");
            }));
        }
    }
    Ok(())
}

/// JSON at `info`, for lines that are written before the settings are known.
pub(super) fn json() -> Log {
    Log { level: "info".into(), format: LogFormat::Json }
}

/// The exit code of a service or a worker. An error is logged here if the log is JSON; otherwise it is returned, and
/// [`exit::code`](super::exit::code) writes it as text.
pub(super) fn outcome(ended: Result<()>, file: Option<&Path>) -> Result<ExitCode> {
    match ended {
        Err(error) if is_json(file) => {
            // If the settings are wrong, the log has not been started.
            if !tracing::dispatcher::has_been_set() {
                start(&json())?;
            }
            error!("{error:#}");
            Ok(if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE })
        }
        ended => ended.map(|()| ExitCode::SUCCESS),
    }
}

/// Whether the log is to be JSON, read without the rest of the settings, which may be wrong. The environment overrides the
/// file.
fn is_json(file: Option<&Path>) -> bool {
    let variable = std::env::var("PIXMILL__LOG__FORMAT").ok();
    let variable = variable.or_else(|| std::fs::read_to_string(std::env::var_os("PIXMILL__LOG__FORMAT_FILE")?).ok());
    let format = variable.or_else(|| {
        let text = std::fs::read_to_string(file?).ok()?;
        let settings: toml::Table = text.parse().ok()?;
        Some(settings.get("log")?.get("format")?.as_str()?.to_owned())
    });
    format.is_some_and(|format| format.trim().trim_matches('"') == "json")
}
