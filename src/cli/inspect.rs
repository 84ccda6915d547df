//! `pixmill inspect`: who works, on what, and what waits.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use queue::{Broker, Job, JobList, ListedJob, QueueDepth};
use serde::Serialize;
use serde_json::{Value, json};

use super::StoreFlags;
use super::exit::Usage;
use super::roster::{self, Worker};
use super::table::{count, show, span, table};
use crate::app;
use crate::config::Config;
use crate::errors::Failure;
use crate::kinds::image_name;
use crate::worker::control::{Command, Slots, Totals};

/// Jobs that are looked up at a time.
const LOOKUPS: usize = 64;

const EXAMPLES: &str = "\
Examples:
  pixmill inspect ping                          does every worker answer?
  pixmill inspect workers --redis redis://127.0.0.1/0
  pixmill inspect active --worker 0198f2ab      the start of a session will do
  pixmill inspect queues --json | jq '.[] | select(.paused)'
  pixmill inspect dead --limit 5                the last that failed for good

The flags that say where the queue is are the service's own; without them it is the SQLite in ./pixmill-data. Workers \
are asked what they do; one that does not answer is named, and shown as it last reported itself. --json prints one \
document: a list; for `stats` an object.

Exit code: 0 all good, 1 a worker is silent, none is there to ping, or the broker is away, 2 called wrongly.";

/// Show who works, on what, and what waits: pixmill inspect ping
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// What to show
    #[arg(value_enum)]
    what: What,
    /// One worker only, by its session or the beginning of it
    #[arg(long, value_name = "SESSION")]
    worker: Option<String>,
    /// How long to wait for workers' answers, such as 2s or 500ms
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = roster::timeout)]
    timeout: Duration,
    /// With scheduled and dead: jobs to show at the most
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// For programs: one JSON document on standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: StoreFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Ask the workers to answer
    Ping,
    /// Jobs that are being computed or carried out
    Active,
    /// Jobs that a worker has claimed ahead of their turn
    Reserved,
    /// Jobs that wait for their time: a start that was asked for, or a retry
    Scheduled,
    /// Jobs that failed for good and were not retried, the last one first
    Dead,
    /// What each worker has done, what each queue holds, how far back events are kept
    Stats,
    /// How many jobs wait in each queue, and which are paused
    Queues,
    /// Who is there: host, process, version, slots
    Workers,
}

impl What {
    fn is_of_workers(self) -> bool {
        matches!(self, Self::Ping | Self::Active | Self::Reserved | Self::Stats | Self::Workers)
    }
}

pub(super) fn run(args: &Args, file: Option<&Path>) -> Result<ExitCode> {
    if let (Some(worker), false) = (&args.worker, args.what.is_of_workers()) {
        return Err(Usage(format!("--worker {worker}: what waits belongs to no worker; leave it out")).into());
    }
    let config = Config::load(file, args.place.flags())?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let broker = app::visit_broker(&config).await?;
        inspect(args, &broker).await
    })
}

async fn inspect(args: &Args, broker: &Broker) -> Result<ExitCode> {
    let mut workers = Vec::new();
    if args.what.is_of_workers() {
        workers = roster::workers(broker, args.worker.as_deref()).await?;
        if workers.is_empty() {
            eprintln!("{}", roster::none_there(broker));
        }
        if args.what != What::Ping {
            roster::refresh(broker, &mut workers, args.timeout).await?;
        }
    }
    let (document, text) = match args.what {
        What::Ping => return ping(args, broker, &workers).await,
        What::Active => active(&workers),
        What::Reserved => reserved(&workers),
        What::Scheduled => scheduled(&listed(broker, JobList::Delayed, args.limit).await?),
        What::Dead => dead(&listed(broker, JobList::Dead, args.limit).await?),
        What::Stats => stats(broker, &workers).await?,
        What::Queues => {
            let depths = broker.depths().await?;
            (json!(depths), queues(&depths))
        }
        What::Workers => present(&workers),
    };
    show(args.json, &document, &text);
    Ok(ExitCode::SUCCESS)
}

async fn ping(args: &Args, broker: &Broker, workers: &[Worker]) -> Result<ExitCode> {
    let answers = roster::ask(broker, workers, &Command::Ping, args.timeout).await?;
    let ms = |worker: &Worker| answers.get(worker.session()).map(|answer| answer.after.as_millis() as u64);
    let document = workers.iter().map(|worker| {
        let report = &worker.report;
        let ms = ms(worker);
        json!({"worker": report.session, "host": report.host, "pid": report.pid, "answered": ms.is_some(), "ms": ms})
    });
    let rows = workers.iter().map(|worker| {
        let answer = match ms(worker) {
            Some(ms) => format!("answered in {ms} ms"),
            None => format!("SILENT for {:?}; last seen {} ago", args.timeout, span(worker.seen_at, Timestamp::now())),
        };
        [worker.session().to_owned(), worker.report.host.clone(), worker.report.pid.to_string(), answer]
    });
    show(args.json, &document.collect(), &table(["worker", "host", "pid", "answer"], rows.collect()));
    let silent = workers.len() - answers.len();
    if silent > 0 {
        eprintln!("{silent} of {} silent", count(workers.len() as u64, "worker"));
    }
    Ok(if silent > 0 || workers.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The text of these is for people, who want short sessions and the longest cells last.
fn active(workers: &[Worker]) -> (Value, String) {
    let (short, now) = (roster::short(workers), Timestamp::now());
    let jobs = || workers.iter().flat_map(|worker| worker.report.active.iter().map(move |job| (worker.session(), job)));
    let document = jobs().map(|(session, job)| labelled(session, job)).collect();
    let rows = jobs().map(|(session, job)| {
        let (attempt, since) = (job.attempt.to_string(), span(job.started_at, now));
        [cut(session, short), job.job.to_string(), job.kind.clone(), attempt, since, job.group.to_string()]
    });
    (document, table(["worker", "job", "kind", "attempt", "for", "group"], rows.collect()))
}

fn reserved(workers: &[Worker]) -> (Value, String) {
    let short = roster::short(workers);
    let jobs =
        || workers.iter().flat_map(|worker| worker.report.reserved.iter().map(move |job| (worker.session(), job)));
    let document = jobs().map(|(session, job)| json!({"worker": session, "job": job})).collect();
    let rows = jobs().map(|(session, job)| [cut(session, short), job.to_string()]);
    (document, table(["worker", "job"], rows.collect()))
}

/// Jobs of a list with what the broker knows of them.
async fn listed(broker: &Broker, list: JobList, limit: usize) -> Result<Vec<(ListedJob, Job)>> {
    // One more than is shown tells whether there are more.
    let mut entries = broker.list(list, 0, limit.saturating_add(1)).await?;
    if entries.len() > limit {
        entries.truncate(limit);
        eprintln!("there are more than {limit}; --limit shows more of them");
    }
    let jobs: Vec<(ListedJob, Option<Job>)> = stream::iter(entries)
        .map(|entry| async move { broker.job(entry.job).await.map(|job| (entry, job)) })
        .buffered(LOOKUPS)
        .try_collect()
        .await?;
    // What has been removed meanwhile is no longer listed.
    Ok(jobs.into_iter().filter_map(|(entry, job)| Some((entry, job?))).collect())
}

fn scheduled(jobs: &[(ListedJob, Job)]) -> (Value, String) {
    let now = Timestamp::now();
    let document = jobs.iter().map(|(entry, job)| described(job, "due_at", entry.at)).collect();
    let rows = jobs.iter().map(|(entry, job)| {
        let due = if entry.at <= now { "now".into() } else { format!("in {}", span(now, entry.at)) };
        let attempts = format!("{} of {}", job.attempt, job.max_attempts);
        let [id, subject, queue, why] = [job.id.to_string(), subject(job), job.queue.clone(), why(job)];
        [id, subject, queue, job.priority.to_string(), attempts, due, why]
    });
    (document, table(["job", "picture", "queue", "priority", "attempts", "due", "why it waits"], rows.collect()))
}

fn dead(jobs: &[(ListedJob, Job)]) -> (Value, String) {
    let now = Timestamp::now();
    let document = jobs.iter().map(|(entry, job)| described(job, "died_at", entry.at)).collect();
    let rows = jobs.iter().map(|(entry, job)| {
        let (attempts, died) = (job.attempt.to_string(), format!("{} ago", span(entry.at, now)));
        [job.id.to_string(), subject(job), job.queue.clone(), attempts, died, why(job)]
    });
    (document, table(["job", "picture", "queue", "attempts", "died", "why"], rows.collect()))
}

async fn stats(broker: &Broker, workers: &[Worker]) -> Result<(Value, String)> {
    let (depths, first) = (broker.depths().await?, broker.events(None, 1).await?);
    let events_since = first.first().map(|event| event.at);
    let document = json!({
        "workers": workers.iter().map(|worker| labelled(worker.session(), worker.report.totals)).collect::<Value>(),
        "queues": depths,
        "events_since": events_since,
    });
    let short = roster::short(workers);
    let rows = workers.iter().map(|worker| {
        let Totals { succeeded, failed, retried, cancelled, crashed, lost } = worker.report.totals;
        let [succeeded, failed, retried, cancelled, crashed, lost] =
            [succeeded, failed, retried, cancelled, crashed, lost].map(|total| total.to_string());
        [cut(worker.session(), short), succeeded, failed, retried, cancelled, crashed, lost]
    });
    let head = ["worker", "succeeded", "failed", "retried", "cancelled", "crashed", "lost"];
    let events = events_since.map_or("none".into(), |at| format!("of the last {}", span(at, Timestamp::now())));
    let tables = [table(head, rows.collect()), queues(&depths), format!("Events kept: {events}\n")];
    let text: Vec<String> = tables.into_iter().filter(|table| !table.is_empty()).collect();
    Ok((document, text.join("\n")))
}

fn queues(depths: &[QueueDepth]) -> String {
    let rows = depths.iter().map(|depth| {
        let [waiting, delayed, active] = [depth.waiting, depth.delayed, depth.active].map(|jobs| jobs.to_string());
        [depth.queue.clone(), waiting, delayed, active, if depth.paused { "paused" } else { "open" }.into()]
    });
    table(["queue", "waiting", "delayed", "active", "state"], rows.collect())
}

fn present(workers: &[Worker]) -> (Value, String) {
    let now = Timestamp::now();
    let document = workers.iter().map(Worker::document);
    let rows = workers.iter().map(|worker| {
        let report = &worker.report;
        let [cpu, io] = [report.cpu, report.io].map(|Slots { total, busy }| format!("{busy}/{total}"));
        let [since, seen] = [span(report.started_at, now), format!("{} ago", span(worker.seen_at, now))];
        let state = if report.stopping { "stopping" } else { "working" }.into();
        let (host, version, pid) = (report.host.clone(), report.version.clone(), report.pid.to_string());
        [report.session.clone(), host, pid, version, cpu, io, state, since, seen]
    });
    let head = ["worker", "host", "pid", "version", "cpu", "io", "state", "up", "seen"];
    (document.collect(), table(head, rows.collect()))
}

/// `fields` with the worker they are of in front.
fn labelled(session: &str, fields: impl Serialize) -> Value {
    let mut document = json!({"worker": session});
    if let (Value::Object(document), Value::Object(fields)) = (&mut document, json!(fields)) {
        document.extend(fields);
    }
    document
}

fn described(job: &Job, instant: &str, at: Timestamp) -> Value {
    json!({
        "job": job.id, "group": job.group, "index": job.index, "image": image_name(&job.payload), "kind": job.kind,
        "queue": job.queue,
        "priority": job.priority, "attempt": job.attempt, "max_attempts": job.max_attempts, instant: at,
        "error": error(job),
    })
}

/// The client's name for a job's picture; the job's kind if it has no picture.
fn subject(job: &Job) -> String {
    image_name(&job.payload).unwrap_or_else(|| format!("({})", job.kind))
}

/// What the last attempt failed with: `null` before the first.
fn error(job: &Job) -> Value {
    json!(job.result.as_deref().and_then(Failure::told_by))
}

fn why(job: &Job) -> String {
    match error(job) {
        Value::Null if job.attempt == 0 => "was asked to start then".into(),
        error => {
            let [code, detail] = ["code", "detail"].map(|field| error[field].as_str().unwrap_or("unknown").to_owned());
            format!("{code}: {detail}")
        }
    }
}

fn cut(session: &str, length: usize) -> String {
    session.chars().take(length).collect()
}
