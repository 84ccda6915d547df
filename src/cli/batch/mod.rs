//! `pixmill batch PATH…`: folders, globs, lists and addresses of pictures through the operations, here or on a
//! server.
//!
//! A run can be stopped at any instant and started again: the next one finds what was done. [`Names`] gives results their
//! names, and the [`Ledger`] keeps their digests, by which they are known. A broken picture fails alone: the run reports it
//! at once and at its end, and goes on. A few hundred names are in memory, however many pictures there are.

mod args;
mod client;
mod dry;
mod fetch;
mod identity;
mod journal;
mod ledger;
mod local;
mod names;
mod picture;
mod remote;
mod report;
mod sources;
mod transfer;

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use imaging::Operation;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::exit::{self, Usage};
use crate::assets::Folders;
use crate::config::Config;
use crate::errors::Failure;
use identity::Asked;
use ledger::Ledger;
use names::Names;
use picture::Picture;
use report::{Made, Report, Voice};
use sources::{Found, Progress, Sources};

pub(crate) use args::Args;

/// After Ctrl-C, as shells and their scripts expect.
const STOPPED: u8 = 130;
/// The journals of runs here and on a server, in `OUT/.pixmill`.
const QUEUE: &str = "queue.db";
const UPLOADS: &str = "uploads.db";
/// What is in `OUT`.
const LEDGER: &str = "results.db";
/// Before each further round of `--on-error retry`.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];

/// What both ways of running need.
struct Batch {
    operations: Vec<Operation>,
    /// The same, as a server is told it.
    written: String,
    /// Where their fonts and overlays are.
    folders: Folders,
    asked: Asked,
    names: Names,
    /// Results replace whatever has their names.
    overwrite: bool,
    /// Takes what there is of pictures cut short.
    lenient: bool,
    /// What the server is asked for beside the operations, in JSON.
    options: String,
    retry_failed: bool,
    concurrency: Option<u16>,
    limits: imaging::Limits,
    out: PathBuf,
    /// The working directory, for names that people know.
    here: PathBuf,
    /// Cancelled by Ctrl-C, or by the first failure with `--on-error stop`: begin nothing more.
    stop: CancellationToken,
    /// Cancelled by the second Ctrl-C: finish nothing more.
    abandon: CancellationToken,
}

impl Batch {
    fn name(&self, picture: &Picture) -> String {
        picture.name(&self.here)
    }

    /// The folder of what is known of earlier runs.
    fn journal(&self) -> PathBuf {
        self.out.join(".pixmill")
    }

    /// Whether a picture that has failed so in an earlier run is left alone.
    fn is_final(&self, failure: &Failure) -> bool {
        // The file that had the result's name may be gone by now.
        !failure.retryable && !self.retry_failed && failure.code != "name-taken"
    }

    fn ledger(&self) -> Result<Ledger> {
        Ledger::open(&self.journal(), &self.out, self.overwrite)
    }
}

/// Runs the batch to its end, or until Ctrl-C.
pub(crate) async fn run(args: Args, config: Config, folders: Folders) -> ExitCode {
    exit::code(batch(args, config, folders).await)
}

async fn batch(args: Args, config: Config, folders: Folders) -> Result<ExitCode> {
    if let (Some(_), [(_, overlay), ..]) = (&args.server, &folders.files[..]) {
        let overlay = overlay.display();
        return Err(Usage(format!(
            "--overlay {overlay}: a server lays on what its own watermark.overlays has; name one of those"
        ))
        .into());
    }
    let limits = config.limits.imaging();
    let (written, operations) = match (&args.server, args.operations.preset()) {
        (Some(server), Some(name)) => {
            let presets = remote::presets(server, args.api_key.as_deref()).await?;
            args.operations.of_server(name, &presets)
        }
        _ => args.operations.written(&limits, &config.presets),
    }
    .map_err(Usage)?;
    let names = args.name.clone().unwrap_or_else(|| Names::usual(operations.len()));
    names.tell_apart(&operations).map_err(Usage)?;
    let sources = Sources::new(&args.paths, &args.list, args.null, args.filters.clone(), &args.out, names.clone())?;
    let batch = Batch {
        asked: Asked::new(&operations, args.lenient, &names),
        operations,
        folders,
        names,
        overwrite: args.overwrite,
        written,
        lenient: args.lenient,
        options: options(&args),
        retry_failed: args.retry_failed,
        concurrency: args.concurrency,
        limits,
        out: args.out.clone(),
        here: std::env::current_dir().unwrap_or_default(),
        stop: CancellationToken::new(),
        abandon: CancellationToken::new(),
    };
    if args.dry_run {
        return dry::run(&batch, args.server.is_some(), &sources, args.json);
    }
    let may_be_none = !sources.expect_pictures();
    let (mut found, progress) = Arc::new(sources).start();
    // Nothing is made before there is something to be done.
    let Some(first) = found.recv().await else {
        if may_be_none {
            return Ok(report(&args, progress).finish_empty(&args.out));
        }
        let shown: Vec<_> = args.paths.iter().map(|path| path.display().to_string()).collect();
        let (paths, out) = (shown.join(", "), args.out.display());
        return Err(Usage(format!("no pictures in {paths} (--out {out} is not looked into)")).into());
    };
    let found = prepend(first, found);
    fs::create_dir_all(&args.out).with_context(|| format!("--out {} cannot be made", args.out.display()))?;
    let interrupted = stop_on_signal([batch.stop.clone(), batch.abandon.clone()])?;
    let mut report = report(&args, progress);
    let ran = rounds(&batch, &args, &config, found, &mut report).await;
    // The summary stands even where the run broke off.
    let whole = report.is_whole();
    let remark = match &ran {
        Ok(()) if whole => None,
        Ok(()) if !interrupted.is_cancelled() => Some("stopped at a failure; the same command goes on from here"),
        _ => Some("stopped early; the same command goes on from here"),
    };
    let counts = report.finish(&args.out, remark);
    if interrupted.is_cancelled() && !whole {
        if let Err(error) = ran {
            eprintln!("error: {error:#}");
        }
        return Ok(ExitCode::from(STOPPED));
    }
    ran?;
    Ok(if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(args: &Args, progress: Arc<Progress>) -> Report {
    Report::new(progress, Voice { json: args.json, quiet: args.quiet }, args.on_error, PAUSES.len() as u32)
}

/// Takes all that is found, then what may end better at another try.
async fn rounds(
    batch: &Batch,
    args: &Args,
    config: &Config,
    found: mpsc::Receiver<Found>,
    report: &mut Report,
) -> Result<()> {
    once(batch, args, config, found, report).await?;
    for pause in PAUSES {
        let again = report.another_round();
        if again.is_empty() || batch.stop.is_cancelled() {
            break;
        }
        report.say(format_args!("trying {} pictures again in {pause:?}", again.len()));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = batch.stop.cancelled() => break,
        }
        let (send, found) = mpsc::channel(again.len());
        for picture in again {
            send.try_send(Found::Picture(picture)).unwrap_or_else(|_| unreachable!("the channel has room for all"));
        }
        drop(send);
        once(batch, args, config, found, report).await?;
    }
    Ok(())
}

async fn once(
    batch: &Batch,
    args: &Args,
    config: &Config,
    found: mpsc::Receiver<Found>,
    report: &mut Report,
) -> Result<()> {
    match &args.server {
        Some(server) => tokio::select! {
            ran = remote::run(batch, server, args.api_key.as_deref(), found, report) => ran,
            () = batch.abandon.cancelled() => Ok(()),
        },
        None => local::run(batch, config, found, report).await,
    }
}

/// The channel with one more at its front.
fn prepend(first: Found, mut rest: mpsc::Receiver<Found>) -> mpsc::Receiver<Found> {
    let (send, found) = mpsc::channel(sources::AHEAD);
    tokio::spawn(async move {
        let mut next = Some(first);
        while let Some(one) = next {
            if send.send(one).await.is_err() {
                break;
            }
            next = rest.recv().await;
        }
    });
    found
}

fn options(args: &Args) -> String {
    let mut options = serde_json::Map::new();
    if args.lenient {
        options.insert("lenient".into(), true.into());
    }
    if let Some(queue) = &args.queue {
        options.insert("queue".into(), queue.as_str().into());
    }
    if let Some(priority) = args.priority {
        options.insert("priority".into(), priority.into());
    }
    Value::from(options).to_string()
}

/// What was asked about a picture, as the file that is written beside its other results.
struct Told {
    /// `0-info.json`
    file: String,
    kind: String,
    text: String,
}

impl Told {
    /// `name` is the operation's own.
    fn of(i: usize, name: Option<&str>, answer: &Value) -> Self {
        let kind = answer["type"].as_str().unwrap_or("info").to_owned();
        let name = name.unwrap_or(&kind);
        Self { file: format!("{i}-{name}.json"), kind, text: format!("{answer:#}\n") }
    }

    /// Puts it into `part`, from where it is renamed.
    fn write(&self, part: &Path) -> Result<(), Failure> {
        let written = fs::create_dir_all(part.parent().unwrap_or(part)).and_then(|()| fs::write(part, &self.text));
        written.map_err(|error| unwritable(part, &error))
    }

    fn made(self, path: PathBuf) -> Made {
        Made { path, file: self.file, kind: self.kind, bytes: self.text.len() as u64, ..Made::default() }
    }
}

/// Gives a result its name.
fn give_name(made: &Path, path: &Path) -> Result<(), Failure> {
    let moved = fs::create_dir_all(path.parent().unwrap_or(path)).and_then(|()| fs::rename(made, path));
    moved.map_err(|error| unwritable(path, &error))
}

/// What a status document tells of a file that has been fetched.
fn made_by(path: PathBuf, file: &str, bytes: u64, output: &Value) -> Made {
    let number = |name: &str| output[name].as_u64().and_then(|number| u32::try_from(number).ok());
    let warnings = output["warnings"].as_array().map(Vec::as_slice).unwrap_or_default();
    Made {
        path,
        file: file.to_owned(),
        kind: output["type"].as_str().unwrap_or_default().to_owned(),
        width: number("width"),
        height: number("height"),
        frames: number("frames"),
        duration_ms: output["duration_ms"].as_u64(),
        bytes,
        warnings: warnings.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
    }
}

/// Where a result is while it is fetched or written.
fn result_part(file: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(".part");
    file.with_file_name(name)
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::permanent("source-unreadable", error.to_string())
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure { lacking: None, ..Failure::of_io(error, format!("{} cannot be made: {error}", path.display())) }
}

/// Two runs in one folder would take each other's results for their own.
fn lock(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let file = File::create(folder.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another pixmill batch works in {}; wait for it, or use another --out", folder.display())
        }
        Err(TryLockError::Error(error)) => Err(error).context("the journal cannot be locked"),
    }
}

/// Each signal takes the next step; one more than there are ends the process. Answers what the first one cancels.
fn stop_on_signal(steps: [CancellationToken; 2]) -> Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let interrupted = CancellationToken::new();
    let told = interrupted.clone();
    tokio::spawn(async move {
        // A failure may have taken the first step.
        for step in steps {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            told.cancel();
            step.cancel();
        }
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Nothing is lost: the journal is written at every instant.
        std::process::exit(STOPPED.into());
    });
    Ok(interrupted)
}
