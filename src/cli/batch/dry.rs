//! `--dry-run`: what a run would still do, and what its results would be called. Journals, ledger and the headers of
//! pictures are read, and nothing is written.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use imaging::{Format, Operation, operation::Action};
use queue::ReadOnlyQueue;
use serde_json::json;

use super::identity::Facts;
use super::journal::Journal;
use super::ledger::{Ledger, Together};
use super::picture::{Origin, Picture};
use super::report::{self, Ending};
use super::sources::{Found, Progress, Sources};
use super::{Batch, QUEUE, UPLOADS, local, names, remote, unreadable};
use crate::cli::ending;
use crate::cli::table::count;
use crate::errors::Failure;

/// What earlier runs have left word of.
struct Past {
    journal: Journalled,
    ledger: Ledger,
}

enum Journalled {
    Nothing,
    Here(ReadOnlyQueue),
    OnServer(Journal),
}

/// What a run would do with a picture.
enum Stands {
    /// What its results would be called.
    ToDo(Vec<String>),
    Done,
    Failed(Failure),
}

/// Says it of every picture, and how many there are of each kind.
pub(super) fn run(batch: &Batch, on_server: bool, sources: &Sources, json: bool) -> Result<ExitCode> {
    let past = Past::of(batch, on_server)?;
    let mut stdout = io::stdout().lock();
    let (mut to_do, mut done, mut failed) = (0_u64, 0_u64, 0_u64);
    let mut broken = Ok(());
    let progress = Progress::default();
    sources.walk(progress.passed(), &mut |found| {
        let (name, stands) = match found {
            Found::Unusable(name, failure) => (name, Ok(Stands::Failed(failure))),
            Found::Picture(picture) => (batch.name(&picture), past.stands(batch, &picture)),
        };
        let stands = match stands {
            Ok(stands) => stands,
            Err(error) => {
                broken = Err(error);
                return ControlFlow::Break(());
            }
        };
        *match &stands {
            Stands::ToDo(_) => &mut to_do,
            Stands::Done => &mut done,
            Stands::Failed(_) => &mut failed,
        } += 1;
        let line = if json { stands.json(&name) } else { stands.words(&report::visible(&name)) };
        // Whoever reads may have seen enough (`| head`).
        writeln!(stdout, "{line}").map_or(ControlFlow::Break(()), ControlFlow::Continue)
    });
    broken?;
    for (why, count) in progress.passed_over() {
        eprintln!("passed over {count} {}", why.words());
    }
    let outputs = count(batch.operations.len() as u64, "result");
    eprintln!("{} to do, {outputs} each (a dry run: nothing was done)", count(to_do, "picture"));
    if done + failed > 0 {
        eprintln!("{done} done before, {failed} would fail");
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Stands {
    fn json(&self, image: &str) -> String {
        match self {
            Self::ToDo(results) => json!({"image": image, "status": "would-do", "results": results}),
            Self::Done => json!({"image": image, "status": "already-done"}),
            Self::Failed(failure) => json!({"image": image, "status": "would-fail", "error": failure}),
        }
        .to_string()
    }

    fn words(&self, image: &str) -> String {
        match self {
            Self::ToDo(results) => format!("{image} → {}", report::visible(&results.join(", "))),
            Self::Done => format!("{image} ✓ done before"),
            Self::Failed(failure) => format!("{image} ✗ {}: {}", failure.code, report::visible(&failure.detail)),
        }
    }
}

impl Past {
    fn of(batch: &Batch, on_server: bool) -> Result<Self> {
        let folder = batch.journal();
        let ledger = Ledger::look(&folder, &batch.out, batch.overwrite)?;
        let journal = if on_server {
            Journal::look(&folder.join(UPLOADS))?.map_or(Journalled::Nothing, Journalled::OnServer)
        } else {
            ReadOnlyQueue::open(&folder.join(QUEUE))?.map_or(Journalled::Nothing, Journalled::Here)
        };
        Ok(Self { journal, ledger })
    }

    fn stands(&self, batch: &Batch, picture: &Picture) -> Result<Stands> {
        let facts = match Facts::of(picture, &batch.asked) {
            Ok(facts) => facts,
            Err(error) => return Ok(Stands::Failed(unreadable(&error))),
        };
        let ending = match &self.journal {
            Journalled::Nothing => None,
            Journalled::Here(queue) => local::remembered(batch, queue, &self.ledger, picture, &facts)?,
            Journalled::OnServer(journal) => {
                remote::remembered(batch, journal, &self.ledger, picture, facts.id(0), &mut HashSet::new())?
            }
        };
        Ok(match ending {
            None => self.results(batch, picture)?.map_or_else(Stands::Failed, Stands::ToDo),
            Some(Ending::Failed(failure)) => Stands::Failed(failure),
            Some(Ending::Done { .. } | Ending::AlreadyDone { .. }) => Stands::Done,
        })
    }

    /// What the results would be called, by the picture's header; for an address, by its ending.
    fn results(&self, batch: &Batch, picture: &Picture) -> Result<Result<Vec<String>, Failure>> {
        let format = match &picture.origin {
            Origin::Url(url) => Path::new(url.path()).extension().and_then(|ending| ending::format(ending.to_str()?)),
            Origin::File(file) => match header(batch, file) {
                Ok(format) => Some(format),
                Err(failure) => return Ok(Err(failure)),
            },
        };
        let mut together = Together::default();
        let mut results = Vec::with_capacity(batch.operations.len());
        for (i, operation) in batch.operations.iter().enumerate() {
            let ext = ending_of(operation, format);
            let path = batch.names.path(picture, &names::file(i, operation, ext));
            if let Err(failure) = self.ledger.may_write(&path, picture, &mut together)? {
                return Ok(Err(failure));
            }
            results.push(batch.out.join(path).display().to_string());
        }
        Ok(Ok(results))
    }
}

fn header(batch: &Batch, file: &Path) -> Result<Format, Failure> {
    let file = File::open(file).map_err(|error| unreadable(&error))?;
    Ok(imaging::probe(BufReader::with_capacity(16 << 10, file), &batch.limits)?.format)
}

/// How the result of a picture in this format ends, as far as that is known without its pixels.
fn ending_of(operation: &Operation, source: Option<Format>) -> &'static str {
    match (&operation.action, operation.save.format, source) {
        (Action::Info(_), ..) => "json",
        (_, Some(format), _) => format.extension(),
        (.., Some(source)) if source.is_kept() => source.extension(),
        (.., Some(_)) => "{jpg,png}",
        (.., None) => "{ext}",
    }
}
