//! `pixmill batch PATH…`: folders and globs of pictures through the operations, here or on a server.
//!
//! A run can be stopped at any instant and started again: what is done is found done. Results lie
//! at `OUT/<relative path>/<stem>-<index>-<type>.<ext>`. A broken picture fails alone; the run
//! goes on and says so at its end.

mod client;
mod local;
mod remote;
mod report;
mod sources;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::exit::{self, Usage};
use super::operations::Operations;
use crate::config::Config;
use crate::imaging::Operation;
use crate::job::Failure;
use report::{Counts, Ending, Made, Report};
use sources::Picture;

/// After Ctrl-C, as shells and their scripts expect.
const STOPPED: u8 = 130;

const EXAMPLES: &str = "\
Examples:
  pixmill batch photos/                                   the default three of every picture
  pixmill batch photos/ --thumbnail 150 --resize 1200x --watermark '© Ann' --out web/
  pixmill batch 'photos/2024-*/**/*.jpg' --convert webp --quality 75
  pixmill batch photos/ --server https://pixmill.example.org --api-key KEY
  pixmill batch photos/ --dry-run                         only says what would be done
  pixmill batch photos/ --json > done.jsonl               a line a picture, for programs

Without operations: resize to 800×600, thumbnail in 150×150, watermark \"MySite\".

Names: photos/2024/cat.jpg becomes pixmill-out/2024/cat-0-resize.jpg, cat-1-thumbnail.jpg, ….
Where cat.jpg and cat.png lie in one folder, both keep their extension: cat.jpg-0-resize.jpg.
In folders, pictures are known by their extension, and hidden files are passed over; a file that
you name is always taken.

Stopping and going on: Ctrl-C finishes the pictures that are being made; the same command goes on
from there, after a crash or a power cut too. The journal is OUT/.pixmill; a picture is done again
when it, the operations, or its results have changed. Delete OUT/.pixmill to forget the past.
With --server there is no journal: a picture is passed over when all its results are there and
newer than it, so use another --out for other operations.

Exit code: 0 all good, 1 some pictures failed, 2 called wrongly, 130 stopped.";

/// Process folders of pictures: pixmill batch photos/ --thumbnail 150
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// Pictures, folders (with all that is below them), or quoted globs
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<String>,
    /// Folder for the results
    #[arg(long, value_name = "DIR", default_value = "./pixmill-out")]
    out: PathBuf,
    /// Have the pictures processed by the pixmill at this address instead of here
    #[arg(long, value_name = "URL")]
    server: Option<url::Url>,
    /// The server's API key
    #[arg(long, value_name = "KEY", env = "PIXMILL_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Pictures computed at a time, here [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), conflicts_with = "server")]
    cpu: Option<u16>,
    /// Do pictures again that failed in an earlier run
    #[arg(long, conflicts_with = "server")]
    retry_failed: bool,
    /// Take what there is of files cut short, with a warning, instead of refusing them
    #[arg(long)]
    lenient: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// One JSON line a picture on standard output, and a last one with the summary
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operations: Operations,
}

/// What both ways of running need.
struct Batch {
    pictures: Vec<Picture>,
    operations: Vec<Operation>,
    /// Takes what there is of pictures cut short.
    lenient: bool,
    out: PathBuf,
    /// The working directory, for names that people know.
    here: PathBuf,
    /// Cancelled by Ctrl-C: begin nothing more.
    stop: CancellationToken,
    /// Cancelled by the second one: finish nothing more.
    abandon: CancellationToken,
}

impl Batch {
    fn name(&self, picture: &Picture) -> String {
        picture.name(&self.here)
    }
}

/// Runs the batch to its end, or until Ctrl-C.
pub(crate) async fn run(args: Args, config: Config) -> ExitCode {
    exit::code(batch(args, config).await)
}

async fn batch(args: Args, config: Config) -> Result<ExitCode> {
    let operations = args.operations.list(&config.limits.imaging()).map_err(Usage)?;
    let found = sources::find(&args.paths, &args.out)?;
    let batch = Batch {
        pictures: found.pictures,
        operations,
        lenient: args.lenient,
        out: args.out.clone(),
        here: std::env::current_dir().unwrap_or_default(),
        stop: CancellationToken::new(),
        abandon: CancellationToken::new(),
    };
    if found.passed_over > 0 {
        eprintln!("passed over {} files that are not pictures by their names", found.passed_over);
    }
    if args.dry_run {
        return Ok(dry_run(&batch, args.json));
    }
    if batch.pictures.is_empty() && found.unreadable.is_empty() {
        let (paths, out) = (args.paths.join(", "), args.out.display());
        return Err(Usage(format!("no pictures in {paths} (--out {out} is not looked into)")).into());
    }
    std::fs::create_dir_all(&args.out).with_context(|| format!("--out {} cannot be made", args.out.display()))?;
    stop_on_signal([batch.stop.clone(), batch.abandon.clone()])?;
    let mut report = Report::new(batch.pictures.len() + found.unreadable.len(), args.json);
    for (name, said) in found.unreadable {
        report.ended(&name, Ending::Failed(Failure::permanent("source-unreadable", said)));
    }
    let ran = match &args.server {
        Some(server) => tokio::select! {
            ran = remote::run(&batch, server, args.api_key.as_deref(), &mut report) => ran,
            () = batch.abandon.cancelled() => Ok(()),
        },
        None => local::run(&batch, &args, &config, &mut report).await,
    };
    // The summary stands even where the run broke off.
    let stopped = batch.stop.is_cancelled() || ran.is_err();
    let counts = report.finish(&args.out, stopped.then_some("stopped early; the same command goes on from here"));
    ran?;
    Ok(verdict(counts, batch.stop.is_cancelled()))
}

fn verdict(counts: Counts, stopped: bool) -> ExitCode {
    match counts {
        counts if stopped && counts.ended() < counts.total => ExitCode::from(STOPPED),
        Counts { failed: 0, .. } => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn dry_run(batch: &Batch, json: bool) -> ExitCode {
    for picture in &batch.pictures {
        let results: Vec<String> = batch
            .operations
            .iter()
            .enumerate()
            .map(|(i, operation)| {
                result_path(&batch.out, picture, &format!("{i}-{}", stem(operation))).display().to_string()
            })
            .collect();
        let name = batch.name(picture);
        if json {
            println!("{}", serde_json::json!({"image": name, "status": "would-do", "results": results}));
        } else {
            println!("{name} → {}", results.join(", "));
        }
    }
    let (pictures, outputs) = (batch.pictures.len(), batch.operations.len());
    eprintln!("{pictures} pictures, {outputs} results each (a dry run: nothing was done)");
    ExitCode::SUCCESS
}

/// The middle of an output's name.
fn stem(operation: &Operation) -> &str {
    operation.name().unwrap_or(operation.kind())
}

/// Where a picture's result of this name (`0-resize.jpg`) stays.
fn result_path(out: &Path, picture: &Picture, file: &str) -> PathBuf {
    let mut name = picture.target.file_name().unwrap_or_default().to_owned();
    name.push("-");
    name.push(file);
    out.join(&picture.target).with_file_name(name)
}

/// Writes what was asked about a picture beside its other results.
fn told(out: &Path, picture: &Picture, i: usize, answer: &Value) -> Result<Made, (PathBuf, io::Error)> {
    let kind = answer["type"].as_str().unwrap_or("info").to_owned();
    let path = result_path(out, picture, &format!("{i}-{kind}.json"));
    let text = format!("{answer:#}\n");
    let written = fs::create_dir_all(path.parent().unwrap_or(&path)).and_then(|()| fs::write(&path, &text));
    written.map_err(|error| (path.clone(), error))?;
    Ok(Made { path, kind, bytes: text.len() as u64, ..Made::default() })
}

/// Where a result lies while it is fetched.
fn result_part(file: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(".part");
    file.with_file_name(name)
}

/// Each signal takes the next step; one more than there are ends the process.
fn stop_on_signal(steps: [CancellationToken; 2]) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            match steps.iter().find(|step| !step.is_cancelled()) {
                Some(step) => step.cancel(),
                // Nothing is lost: the journal is written at every instant.
                None => std::process::exit(STOPPED.into()),
            }
        }
    });
    Ok(())
}
