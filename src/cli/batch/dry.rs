//! `--dry-run`: what a run would still do. The journal is read, and nothing is written.

use std::collections::HashSet;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::identity::Facts;
use super::journal::Journal;
use super::report::{self, Ending};
use super::sources::{Found, Picture, Progress, Sources};
use super::{Batch, QUEUE, UPLOADS, local, remote, result_path, stem, unreadable};
use crate::job::Failure;
use crate::queue::Look;

/// What earlier runs have left word of.
enum Past {
    Nothing,
    Here(Look),
    OnServer(Journal),
}

/// What a run would do with a picture.
enum Stands {
    /// What its results would be called, but for their endings.
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
    let outputs = batch.operations.len();
    eprintln!("{to_do} pictures to do, {outputs} results each (a dry run: nothing was done)");
    if done + failed > 0 {
        eprintln!("{done} done before, {failed} failed");
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
            Self::Failed(failure) => format!("{image} ✗ {}: {}", failure.code, failure.detail),
        }
    }
}

impl Past {
    fn of(batch: &Batch, on_server: bool) -> Result<Self> {
        let folder = batch.journal();
        Ok(if on_server {
            Journal::look(&folder.join(UPLOADS))?.map_or(Self::Nothing, Self::OnServer)
        } else {
            Look::at(&folder.join(QUEUE))?.map_or(Self::Nothing, Self::Here)
        })
    }

    fn stands(&self, batch: &Batch, picture: &Picture) -> Result<Stands> {
        let facts = match Facts::of(picture, &batch.asked) {
            Ok(facts) => facts,
            Err(error) => return Ok(Stands::Failed(unreadable(&error))),
        };
        let ending = match self {
            Self::Nothing => None,
            Self::Here(queue) => local::remembered(batch, queue, picture, &facts)?,
            Self::OnServer(journal) => remote::remembered(batch, journal, picture, facts.id(0), &mut HashSet::new())?,
        };
        Ok(match ending {
            None => Stands::ToDo(results(batch, picture)),
            Some(Ending::Failed(failure)) => Stands::Failed(failure),
            Some(Ending::Done { .. } | Ending::AlreadyDone { .. }) => Stands::Done,
        })
    }
}

fn results(batch: &Batch, picture: &Picture) -> Vec<String> {
    let operations = batch.operations.iter().enumerate();
    let paths = operations.map(|(i, operation)| result_path(&batch.out, picture, &format!("{i}-{}", stem(operation))));
    paths.map(|path| path.display().to_string()).collect()
}
