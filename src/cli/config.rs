use std::path::Path;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::Settings;
use crate::app::require_key;
use crate::config::DEFAULTS;

#[derive(Debug, Args)]
pub(super) struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the settings in force as TOML, or with --defaults the documented default file.
    Print {
        #[command(flatten)]
        settings: Settings,
        /// The defaults, each with a comment on what it does.
        #[arg(long)]
        defaults: bool,
    },
    /// Check the settings; says what is wrong and how to mend it.
    Check {
        #[command(flatten)]
        settings: Settings,
    },
}

pub(super) fn run(args: &Config, file: Option<&Path>) -> Result<()> {
    match &args.action {
        Action::Print { defaults: true, .. } => print!("{DEFAULTS}"),
        Action::Print { settings, .. } => print!("{}", settings.load(file, Vec::new())?.to_toml()?),
        Action::Check { settings } => {
            let config = settings.load(file, Vec::new())?;
            require_key(&config)?;
            config.watermark.folders().provide()?;
            println!("The settings are valid.");
        }
    }
    Ok(())
}
