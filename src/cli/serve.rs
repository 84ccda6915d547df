use std::io::Write;
use std::path::Path;

use anyhow::Result;
use clap::Args;
use tracing::info;

use super::{Settings, run_service};
use crate::app::App;
use crate::config::{LogFormat, Override};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pixmill serve                         needs nothing but SQLite and this disk\n  \
    pixmill serve --redis redis://127.0.0.1/0 --no-workers\n                                        \
    the API alone; add `pixmill worker`s")]
pub(super) struct Serve {
    #[command(flatten)]
    settings: Settings,
    /// Address to listen on: localhost:8080, or :8080 for every address of this machine; with port 0 the system chooses
    /// the port [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Serve the API only; workers run as `pixmill worker`.
    #[arg(long)]
    no_workers: bool,
}

pub(super) fn run(args: &Serve, file: Option<&Path>) -> Result<()> {
    let mut flags: Vec<Override> = Vec::new();
    flags.extend(args.listen.as_ref().map(|listen| ("server.listen", listen.as_str().into())));
    let config = args.settings.load(file, flags)?;
    let (with_workers, log) = (!args.no_workers, config.log.format);
    run_service(&config.clone(), async |shutdown| {
        let app = App::build(config, with_workers).await?;
        let (addr, place) = (app.addr()?, app.address()?);
        match log {
            LogFormat::Text => {
                let said = format!("listening on http://{addr}\nupload pictures on {place}/ (the API: {place}/docs)\n");
                // In one write. If standard output is closed, the service runs all the same.
                let _ = std::io::stdout().write_all(said.as_bytes());
            }
            LogFormat::Json => info!(%addr, %place, "listening on http://{addr}"),
        }
        app.run_until(shutdown).await
    })
}
