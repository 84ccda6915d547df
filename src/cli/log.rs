//! The log of services and workers, on standard error. As JSON it is JSON from the first line on: whoever collects it parses
//! every line, that of a start that fails and that of a panic included.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use tracing::error;
use tracing_subscriber::EnvFilter;

use super::exit::Usage;
use crate::config::{Log, LogFormat};

/// # Errors
/// Where the level is no filter.
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

/// JSON, for lines of before the settings are known.
pub(super) fn json() -> Log {
    Log { level: "info".into(), format: LogFormat::Json }
}

/// How a service or a worker has ended; an error is told in the log's format, and by [`exit::code`](super::exit::code) in text.
pub(super) fn outcome(ended: Result<()>, file: Option<&Path>) -> Result<ExitCode> {
    match ended {
        Err(error) if is_json(file) => {
            // The settings may be what is wrong, and then nobody has started the log.
            if !tracing::dispatcher::has_been_set() {
                start(&json())?;
            }
            error!("{error:#}");
            Ok(if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE })
        }
        ended => ended.map(|()| ExitCode::SUCCESS),
    }
}

/// Whether the log is to be JSON, as far as that can be told of settings that may be wrong elsewhere: the environment stands
/// before the file.
fn is_json(file: Option<&Path>) -> bool {
    let format = std::env::var("PIXMILL__LOG__FORMAT").ok().or_else(|| {
        let text = std::fs::read_to_string(file?).ok()?;
        let settings: toml::Table = text.parse().ok()?;
        Some(settings.get("log")?.get("format")?.as_str()?.to_owned())
    });
    format.is_some_and(|format| format.trim_matches('"') == "json")
}
