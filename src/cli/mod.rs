//! The command line: a file per command, and the flags that several of them share.

mod batch;
mod config;
mod control;
mod ending;
mod erase;
mod exit;
mod inspect;
mod keys;
mod log;
mod manual;
mod near;
mod operations;
mod process;
mod roster;
mod schedule;
mod serve;
mod table;
mod worker;
mod workflow;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::assets::Folders;
use crate::config::{Config, Override};
use crate::errors::codes;
use crate::http;
use crate::worker::{Shutdown, compute};

/// Resize, watermark and convert pictures, from a job queue that loses none.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "\
    Try it:\n  pixmill serve\n  curl -F images=@cat.jpg http://127.0.0.1:8080/api/upload\n  \
    pixmill process cat.jpg small.webp --resize 800x600\n  \
    pixmill batch photos/ --thumbnail 150\n\n\
    Exit code: 0 all good, 1 something failed, 2 called wrongly; more under each command."
)]
struct Cli {
    /// A TOML file of settings; `pixmill config print` shows them all.
    #[arg(long, value_name = "FILE", env = "PIXMILL_CONFIG", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the HTTP API, with workers beside it.
    Serve(serve::Serve),
    /// Start a worker for a service that runs elsewhere, on the same Redis and store.
    Worker(worker::Worker),
    Process(process::Args),
    Batch(Box<batch::Args>),
    Inspect(inspect::Args),
    Control(control::Args),
    Keys(keys::Args),
    Workflow(workflow::Args),
    Schedule(schedule::Args),
    /// Show or check the settings.
    Config(config::Config),
    /// Print the HTTP API's description in OpenAPI 3.1, as the server gives it at /openapi.json.
    Openapi,
    Completions(manual::Completions),
    Man(manual::Man),
    /// Print the list of error codes as Markdown: docs/errors.md.
    #[command(hide = true)]
    Errors,
}

/// What a worker starts to have pictures computed; nothing for people, their shells and their manuals.
#[derive(Debug, Parser)]
#[command(name = "pixmill compute")]
struct Compute {
    #[arg(long)]
    threads: usize,
    #[arg(long)]
    niceness: i32,
    #[arg(long)]
    fonts: Option<PathBuf>,
    #[arg(long)]
    overlays: Option<PathBuf>,
    /// `NAME=PATH`
    #[arg(long)]
    overlay_file: Vec<OsString>,
    /// Panics are logged as JSON.
    #[arg(long)]
    json_log: bool,
}

/// Where the queue and the pictures are.
#[derive(Debug, Args)]
struct StoreFlags {
    /// Folder for the SQLite queue, uploads and outputs [default: ./pixmill-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Keep the queue in Redis: redis://[:password@]host:port/db [default: SQLite].
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
}

impl StoreFlags {
    fn flags(&self) -> Vec<Override> {
        let data_dir = self.data_dir.as_ref().map(|dir| ("data_dir", dir.to_string_lossy().into_owned().into()));
        let redis = self.redis.as_ref().map(|url| ("broker.redis", url.clone().into()));
        data_dir.into_iter().chain(redis).collect()
    }
}

/// Settings that are flags of several commands.
#[derive(Debug, Args)]
struct Settings {
    #[command(flatten)]
    place: StoreFlags,
    /// Pictures to compute at a time [default: one per core].
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// Jobs to carry out at a time that wait for networks and disks [default: 100].
    #[arg(long, value_name = "N")]
    io: Option<usize>,
    /// Queues to take jobs from, first one first.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    queues: Option<Vec<String>>,
}

impl Settings {
    fn load(&self, file: Option<&Path>, mut flags: Vec<Override>) -> Result<Config> {
        flags.extend(self.place.flags());
        let mut flag = |name, value: Option<toml::Value>| flags.extend(value.map(|value| (name, value)));
        flag("worker.cpu", self.cpu.map(|cpu| (cpu as i64).into()));
        flag("worker.io", self.io.map(|io| (io as i64).into()));
        flag("worker.queues", self.queues.clone().map(Into::into));
        Config::load(file, flags)
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|command| command == "compute") {
        let Compute { threads, niceness, fonts, overlays, overlay_file, json_log } =
            Compute::parse_from(std::env::args_os().skip(1));
        if json_log && let Err(error) = log::start(&log::json()) {
            return exit::code(Err(error));
        }
        let files = overlay_file.iter().filter_map(|file| Folders::file(file)).collect();
        let computed = Folders { fonts, overlays, files }.provide().and_then(|()| compute(threads, niceness));
        return exit::code(computed.map(|()| ExitCode::SUCCESS));
    }
    exit::code(run(Cli::parse()))
}

fn run(cli: Cli) -> Result<ExitCode> {
    let file = cli.config.as_deref();
    match cli.command {
        Command::Serve(serve) => return log::outcome(serve::run(&serve, file), file),
        Command::Worker(worker) => return log::outcome(worker::run(&worker, file), file),
        Command::Config(config) => config::run(&config, file)?,
        Command::Openapi => {
            let config = Config::load(file, Vec::new())?;
            table::print(&format!("{:#}\n", http::openapi(&config.limits, &config.queue)));
        }
        Command::Completions(args) => manual::completions(&args, Cli::command()),
        Command::Man(args) => manual::pages(&args, Cli::command())?,
        Command::Errors => table::print(&codes::markdown()),
        Command::Process(mut args) => {
            let config = Config::load(file, Vec::new())?;
            args.operations.with_overlays(config.watermark.folders())?.provide()?;
            return Ok(process::run(&args, &config));
        }
        Command::Batch(mut args) => {
            let config = Config::load(file, Vec::new())?;
            let folders = args.operations.with_overlays(config.watermark.folders())?;
            folders.clone().provide()?;
            return Ok(tokio::runtime::Runtime::new()?.block_on(batch::run(*args, config, folders)));
        }
        Command::Inspect(args) => return inspect::run(&args, file),
        Command::Control(args) => return control::run(&args, file),
        Command::Keys(args) => return keys::run(&args, file),
        Command::Workflow(args) => workflow::run(&args, file)?,
        Command::Schedule(args) => return schedule::run(&args, file),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a service on the async runtime until it ends or a signal ends it.
fn run_service<F: Future<Output = Result<()>>>(config: &Config, service: impl FnOnce(Shutdown) -> F) -> Result<()> {
    log::start(&config.log)?;
    // Requests that name a font or an overlay that is not there are refused at once.
    config.watermark.folders().provide()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = Shutdown::default();
        tokio::spawn(watch_signals(shutdown.clone()));
        service(shutdown).await
    })
}

/// The first SIGTERM or Ctrl-C finishes what runs, the second gives it back, the third ends the process.
async fn watch_signals(shutdown: Shutdown) {
    let (Ok(mut term), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        tracing::warn!("signals cannot be watched; SIGTERM ends the process at once");
        return;
    };
    let mut next = async || {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    next().await;
    tracing::info!("shutting down; once more gives back what runs");
    shutdown.warm.cancel();
    next().await;
    tracing::info!("giving back what runs; once more ends at once");
    shutdown.cold.cancel();
    next().await;
    std::process::exit(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command's page, at that width.
    fn pages(command: clap::Command, width: usize, pages: &mut Vec<(String, String)>) {
        let mut command = command.term_width(width);
        pages.push((command.get_name().to_owned(), command.render_long_help().to_string()));
        for inner in command.get_subcommands() {
            self::pages(inner.clone(), width, pages);
        }
    }

    #[test]
    fn help_fits_a_terminal_of_80_columns_and_examples_are_not_broken() {
        let mut narrow = Vec::new();
        let mut wide = Vec::new();
        pages(Cli::command(), 80, &mut narrow);
        pages(Cli::command(), 1_000, &mut wide);
        for ((name, narrow), (_, wide)) in narrow.iter().zip(&wide) {
            for line in narrow.lines() {
                assert!(line.chars().count() <= 80, "{name}: {line}");
            }
            for line in wide.lines().filter(|line| line.starts_with("  pixmill ")) {
                assert!(narrow.lines().any(|one| one == line), "{name}: broken at 80 columns: {line}");
            }
        }
    }

    #[test]
    fn flags_are_well_formed() {
        Cli::command().debug_assert();
    }
}
