//! `pixmill config`: the settings in force, the documented defaults, and whether they are valid.

use std::path::Path;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use super::Settings;
use super::table::print;
use crate::app::{check_schedules, require_key, workflows};
use crate::config::DEFAULTS;

const EXAMPLES: &str = "\
Examples:
  pixmill config print --defaults > pixmill.toml    every setting, explained
  pixmill config check --config pixmill.toml        before the service has it
  PIXMILL__WORKER__CPU=4 pixmill config print       what is in force

Settings come from the defaults, then the file, the environment and flags. Each is a variable too: worker.cpu is \
PIXMILL__WORKER__CPU, and PIXMILL__BROKER__REDIS_FILE names a file with the value. Secrets are not printed.

Exit code: 0 valid, 1 not, 2 called wrongly.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
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
        Action::Print { defaults: true, .. } => print(DEFAULTS),
        Action::Print { settings, .. } => print(&settings.load(file, Vec::new())?.to_toml()?),
        Action::Check { settings } => {
            let config = settings.load(file, Vec::new())?;
            let presets = config.presets().map(drop);
            // Both name presets: a preset that is wrong is told once.
            let (schedules, workflows) = match &presets {
                Ok(()) => (check_schedules(&config), workflows(&config).map(drop)),
                Err(_) => (Ok(()), Ok(())),
            };
            let fonts = config.watermark.folders().provide();
            let checks = [require_key(&config), fonts, presets, schedules, workflows];
            let faults: Vec<String> =
                checks.into_iter().filter_map(|check| check.err().map(|error| format!("{error:#}"))).collect();
            if !faults.is_empty() {
                bail!("{}", faults.join("\n  "));
            }
            print("The settings are valid.\n");
        }
    }
    Ok(())
}
