//! The command line: a file per command, and the root that picks one.

mod batch;
mod exit;
mod operations;
mod process;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;

#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Process(process::Args),
    Batch(batch::Args),
}

/// Runs what the command line asks for.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = match Config::load(None, Vec::new()) {
        Ok(config) => config,
        Err(error) => return exit::code(Err(error)),
    };
    let Some(command) = cli.command else { return ExitCode::SUCCESS };
    match command {
        Command::Process(args) => process::run(&args, &config),
        Command::Batch(args) => match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime.block_on(batch::run(args, config)),
            Err(error) => exit::code(Err(error.into())),
        },
    }
}
