//! `pixmill workflow`: checks the documents of workflows and draws their graphs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Subcommand;
use serde_json::Value;

use super::exit::Usage;
use super::table::{count, print, table};
use crate::app;
use crate::config::Config;
use crate::workflows::{Document, Fan, Step, drawing};

const EXAMPLES: &str = "\
Examples:
  pixmill workflow check order.json
  pixmill workflow check order.toml --config pixmill.toml

Exit code: 0 valid, 1 not, 2 called wrongly.";

/// Check workflows, and draw their graphs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check a document by the settings in force and draw its graph, or say what is wrong with it.
    Check {
        /// A document in JSON (.json) or TOML (.toml).
        #[arg(value_name = "FILE")]
        document: PathBuf,
    },
}

pub(super) fn run(args: &Args, file: Option<&Path>) -> Result<()> {
    let Action::Check { document: path } = &args.action;
    let value = read(path)?;
    let config = Config::load(file, Vec::new())?;
    config.watermark.folders().provide()?;
    let (settings, templates) = app::workflows(&config)?;
    let document = Document::parse(&value, &templates, settings.rules());
    let document = document.map_err(|(code, detail)| anyhow!("{}: {code}: {detail}", path.display()))?;
    print(&drawing::draw(&document.steps, drawing::name));
    print("\n");
    print(&table(["step", "kind", "after", "on", "jobs"], document.steps.iter().map(row).collect()));
    print(&format!("\nThe workflow is valid: {}.\n", count(document.steps.len() as u64, "step")));
    Ok(())
}

fn row(step: &Step) -> [String; 5] {
    let jobs = match &step.fan {
        Fan::One => "one".to_owned(),
        Fan::Sources => "one per picture".to_owned(),
        Fan::Each { chunk_size: None, .. } => "one per item".to_owned(),
        Fan::Each { chunk_size: Some(size), .. } => format!("one per {}", count(*size as u64, "item")),
        Fan::Shards(shards) => count(u64::from(*shards), "shard"),
    };
    [step.name.clone(), step.work.kind().into(), step.after.join(", "), step.on.as_str().into(), jobs]
}

/// The document of a file, by the ending of its name.
fn read(path: &Path) -> Result<Value> {
    let shown = path.display();
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    if !matches!(ending.as_str(), "json" | "toml") {
        return Err(Usage(format!("{shown}: its name ends neither in .json nor in .toml")).into());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if ending == "json" {
        serde_json::from_str(text).with_context(|| format!("{shown} is not JSON"))
    } else {
        toml::from_str(text).with_context(|| format!("{shown} is not TOML"))
    }
}
