use std::path::Path;

use anyhow::Result;
use clap::Args;

use super::{Settings, run_service};
use crate::app;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pixmill worker --redis redis://127.0.0.1/0 --data-dir /srv/pixmill --cpu 8\n\n\
    The data folder must be the API's own: workers read originals and write outputs there.")]
pub(super) struct Worker {
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(args: &Worker, file: Option<&Path>) -> Result<()> {
    let config = args.settings.load(file, Vec::new())?;
    run_service(&config.clone(), async |shutdown| app::run_worker(config, shutdown).await)
}
