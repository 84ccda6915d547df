//! `pixmill control`: orders to queues, jobs and workers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use queue::{Broker, Class, GroupId, JobId, JobList, QueueDepth, State};
use serde_json::{Value, json};
use uuid::Uuid;

use super::StoreFlags;
use super::exit::Usage;
use super::roster::{self, Worker};
use super::table::{count, show, table};
use crate::app;
use crate::config::Config;
use crate::storage::Storage;
use crate::submission::{self, Submitted};
use crate::worker::control::Command;

/// Dead jobs that are listed at a time.
const PAGE: usize = 1_000;

const EXAMPLES: &str = "\
Examples:
  pixmill control pause cpu_intensive            its running jobs end, no other
                                                 starts
  pixmill control resume cpu_intensive --redis redis://127.0.0.1/0
  pixmill control cancel 0198f2ab-5c1d-7e33-a1c2-0f6e2b9d4c11
                                                 a group (an upload's task_id)
                                                 or a job
  pixmill control retry --dead                   all that failed for good
  pixmill control erase 0198f2ab-5c1d-7e33-a1c2-0f6e2b9d4c11 --yes
                                                 a group's pictures, before
                                                 their time
  pixmill control purge scheduled --yes          cancel all that waits there
  pixmill control adopt-store --yes --data-dir /srv/new --redis URL
                                                 the pictures' new place
  pixmill control grow 2 --worker 0198f2ab       two more pictures at a time
  pixmill control shutdown --worker 0198f2ab     finish what runs, then end

The flags that say where the queue is are the service's own. `pixmill inspect workers` names the workers' sessions, \
`inspect queues` the queues, `inspect active` and `inspect dead` jobs. --json prints one document, a list.

Exit code: 0 done, 1 something was not found, a worker is silent or none is there, 2 called wrongly.";

/// Pause queues, cancel and retry jobs, resize and stop workers: pixmill control pause QUEUE
#[derive(Debug, clap::Args)]
// The flags stand before or after the order's own arguments.
#[command(after_help = EXAMPLES, mut_args(|argument| argument.global(true).display_order(900)))]
pub(super) struct Args {
    #[command(subcommand)]
    order: Order,
    /// For programs: one JSON document on standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: StoreFlags,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Let no worker take from queues: running jobs end, new ones are taken in and wait
    Pause {
        #[arg(value_name = "QUEUE", required = true)]
        queues: Vec<String>,
    },
    /// Let workers take from paused queues again
    Resume {
        #[arg(value_name = "QUEUE", required = true)]
        queues: Vec<String>,
    },
    /// Cancel all that waits or is delayed in queues; what runs goes on
    Purge {
        #[arg(value_name = "QUEUE", required = true)]
        queues: Vec<String>,
        /// Do not ask first
        #[arg(long, short)]
        yes: bool,
    },
    /// Cancel groups (an upload's `task_id`) or jobs: what waits at once, what runs as soon as its worker hears of it
    Cancel {
        #[arg(value_name = "ID", required = true)]
        ids: Vec<Uuid>,
    },
    /// Cancel groups and erase their files, originals and outputs, before their time; a record stays, if there still is
    /// one
    Erase {
        #[arg(value_name = "ID", required = true)]
        ids: Vec<Uuid>,
        /// Do not ask first
        #[arg(long, short)]
        yes: bool,
    },
    /// Have the queue go on with the store in --data-dir, after its files were moved or lost
    AdoptStore {
        /// Do not ask first
        #[arg(long, short)]
        yes: bool,
    },
    /// Try failed and cancelled jobs again, each group's as a new group of copies
    Retry {
        /// Groups, of which those jobs are meant that failed or were cancelled, or jobs
        #[arg(value_name = "ID", required_unless_present = "dead")]
        ids: Vec<Uuid>,
        /// All that `pixmill inspect dead` lists
        #[arg(long, conflicts_with = "ids")]
        dead: bool,
    },
    /// Give workers more slots, so that they do more at a time
    Grow(Resize),
    /// Take slots from workers; what runs in them ends first
    Shrink(Resize),
    /// End workers, as SIGTERM does: they finish what runs and give back what has not begun
    Shutdown {
        /// Give back what runs, too: it begins anew on another worker
        #[arg(long)]
        cold: bool,
        #[command(flatten)]
        to: To,
    },
}

#[derive(Debug, clap::Args)]
struct Resize {
    /// How many slots
    #[arg(value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    by: u16,
    /// Slots for pictures (cpu), or for what waits for networks and disks (io)
    #[arg(long, default_value = "cpu", value_parser = PossibleValuesParser::new(["cpu", "io"]).map(|name| class(&name)))]
    class: Class,
    #[command(flatten)]
    to: To,
}

/// Whom an order is for.
#[derive(Debug, clap::Args)]
struct To {
    /// One worker only, by its session or the beginning of it [default: all]
    #[arg(long, value_name = "SESSION")]
    worker: Option<String>,
    /// How long to wait for answers, such as 2s or 500ms
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = roster::timeout)]
    timeout: Duration,
}

fn class(name: &str) -> Class {
    if name == Class::Io.as_str() { Class::Io } else { Class::Cpu }
}

/// What an order has led to.
struct Done {
    document: Value,
    text: String,
    /// All that was asked for was done.
    whole: bool,
}

impl Done {
    /// An entry of the document and a line for people for each thing that the order named.
    fn with(entries: Vec<(Value, String)>, whole: bool) -> Self {
        let (document, lines): (Vec<Value>, Vec<String>) = entries.into_iter().unzip();
        Self { document: document.into(), text: lines.into_iter().map(|line| line + "\n").collect(), whole }
    }
}

pub(super) fn run(args: &Args, file: Option<&Path>) -> Result<ExitCode> {
    let config = Config::load(file, args.place.flags())?;
    let done = tokio::runtime::Runtime::new()?.block_on(async {
        let broker = app::visit_broker(&config).await?;
        match &args.order {
            Order::Pause { queues } => switch(&broker, &config, queues, true).await,
            Order::Resume { queues } => switch(&broker, &config, queues, false).await,
            Order::Purge { queues, yes } => purge(&broker, &config, queues, *yes).await,
            Order::Cancel { ids } => cancel(&broker, &config, ids).await,
            Order::Erase { ids, yes } => erase(&broker, &config, ids, *yes).await,
            Order::AdoptStore { yes } => adopt_store(&broker, &config, *yes).await,
            Order::Retry { dead: true, .. } => retry_dead(&broker, &config).await,
            Order::Retry { ids, .. } => retry(&broker, &config, ids).await,
            Order::Grow(Resize { by, class, to }) => {
                tell(&broker, to, &Command::Grow { class: *class, by: (*by).into() }).await
            }
            Order::Shrink(Resize { by, class, to }) => {
                tell(&broker, to, &Command::Shrink { class: *class, by: (*by).into() }).await
            }
            Order::Shutdown { cold, to } => tell(&broker, to, &Command::Shutdown { cold: *cold }).await,
        }
    })?;
    show(args.json, &done.document, &done.text);
    Ok(if done.whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn switch(broker: &Broker, config: &Config, queues: &[String], pause: bool) -> Result<Done> {
    known(broker, config, queues).await?;
    let mut entries = Vec::new();
    for queue in queues {
        let line = if pause {
            broker.pause(queue).await?;
            format!("{queue} is paused; `pixmill control resume {queue}` lets it go on")
        } else {
            broker.resume(queue).await?;
            format!("{queue} is open")
        };
        entries.push((json!({"queue": queue, "paused": pause}), line));
    }
    Ok(Done::with(entries, true))
}

async fn purge(broker: &Broker, config: &Config, queues: &[String], yes: bool) -> Result<Done> {
    let depths = known(broker, config, queues).await?;
    if !yes {
        let of = |queue: &String| depths.iter().find(|depth| depth.queue == *queue);
        let jobs: u64 = queues.iter().filter_map(of).map(|depth| depth.waiting + depth.delayed).sum();
        confirm(&format!("cancel {} in {}", count(jobs, "job"), queues.join(", ")))?;
    }
    let mut entries = Vec::new();
    for queue in queues {
        let cancelled = broker.purge(queue).await?;
        let line = format!("{queue}: {} cancelled", count(cancelled, "job"));
        entries.push((json!({"queue": queue, "cancelled": cancelled}), line));
    }
    Ok(Done::with(entries, true))
}

/// Asks the person at the terminal; a script has to say `--yes`.
fn confirm(what: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Usage(format!("this would {what}: add --yes")).into());
    }
    eprint!("This will {what}. Go on? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("nothing was done"),
    }
}

/// The depths of all queues, once each of `queues` is known to the settings or has held a job.
async fn known(broker: &Broker, config: &Config, queues: &[String]) -> Result<Vec<QueueDepth>> {
    let depths = broker.depths().await?;
    let names = &config.queue.names;
    match queues.iter().find(|queue| !names.contains(queue) && depths.iter().all(|depth| depth.queue != **queue)) {
        Some(queue) => Err(Usage(format!("unknown queue `{queue}`; queue.names has {}", names.join(", "))).into()),
        None => Ok(depths),
    }
}

async fn cancel(broker: &Broker, config: &Config, ids: &[Uuid]) -> Result<Done> {
    let (mut entries, mut whole) = (Vec::new(), true);
    for &id in ids {
        let entry = if let Some(entry) = cancel_group(broker, config, id).await? {
            entry
        } else if let Some(state) = broker.cancel_job(id.into()).await? {
            let said = match state {
                State::Cancelled => "is cancelled".to_owned(),
                State::Active => "runs; its worker is asked to stop it".to_owned(),
                state => format!("had {state} before"),
            };
            (json!({"id": id, "is": "job", "state": state}), format!("job {id} {said}"))
        } else {
            whole = false;
            (json!({"id": id, "is": null}), unknown(id, broker))
        };
        entries.push(entry);
    }
    Ok(Done::with(entries, whole))
}

async fn adopt_store(broker: &Broker, config: &Config, yes: bool) -> Result<Done> {
    let storage = app::visit_storage(config)?;
    let (mine, folder) = (storage.identity()?, config.data_dir.display());
    let before = broker.store_or(mine).await?;
    if before != mine {
        if !yes {
            confirm(&format!("leave the store {before}, and have {broker} go on with {folder}, the store {mine}"))?;
        }
        broker.move_to_store(mine).await?;
    }
    let line = format!("{broker} has the jobs of {folder}, the store {mine}");
    Ok(Done::with(vec![(json!({"store": mine, "before": before}), line)], true))
}

async fn erase(broker: &Broker, config: &Config, ids: &[Uuid], yes: bool) -> Result<Done> {
    let storage = visit_store(broker, config).await?;
    if !yes {
        confirm(&format!("erase the files of {}, for good", count(ids.len() as u64, "group")))?;
    }
    let (mut entries, mut whole) = (Vec::new(), true);
    for &id in ids {
        let entry = super::erase::erase(&storage, broker, id).await?;
        whole &= entry.is_some();
        entries.push(entry.unwrap_or_else(|| (json!({"id": id, "files": null}), unknown(id, broker))));
    }
    Ok(Done::with(entries, whole))
}

/// The store that the queue's jobs belong to.
async fn visit_store(broker: &Broker, config: &Config) -> Result<Storage> {
    let storage = app::visit_storage(config)?;
    app::require_store(config, &storage, broker).await?;
    Ok(storage)
}

async fn cancel_group(broker: &Broker, config: &Config, id: Uuid) -> Result<Option<(Value, String)>> {
    let Some(mut cancelled) = broker.cancel_group(id.into()).await? else { return Ok(None) };
    let Some(mut group) = broker.group(id.into()).await? else { return Ok(None) };
    if !group.sealed {
        // The rest of a long list is in the store.
        submission::list_cancelled(&visit_store(broker, config).await?, broker, id.into()).await?;
        let Some(whole) = broker.group(id.into()).await? else { return Ok(None) };
        cancelled += u64::from(whole.total - group.total);
        group = whole;
    }
    let running = group.pending;
    let ended = count(cancelled, "job");
    let line = match running {
        0 => format!("group {id}: {ended} cancelled"),
        _ => format!("group {id}: {ended} cancelled, {running} running: their workers are asked to stop them"),
    };
    Ok(Some((json!({"id": id, "is": "group", "cancelled": cancelled, "running": running}), line)))
}

async fn retry(broker: &Broker, config: &Config, ids: &[Uuid]) -> Result<Done> {
    let storage = visit_store(broker, config).await?;
    let (mut entries, mut whole) = (Vec::new(), true);
    for &id in ids {
        let is_group = broker.group(id.into()).await?.is_some();
        let tried = if is_group {
            submission::retry_group(&storage, broker, id.into(), None).await
        } else {
            submission::retry_jobs(&storage, broker, &[id.into()], None).await
        };
        let is = if is_group { "group" } else { "job" };
        match tried {
            Ok(submitted) => entries.push(retried(is, id, &submitted)),
            Err(submission::Error::Unknown(_)) => {
                whole = false;
                entries.push((json!({"id": id, "is": null}), unknown(id, broker)));
            }
            Err(submission::Error::NotRetryable(reason)) => {
                whole = false;
                entries.push(not_retried(is, id, &reason));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Done::with(entries, whole))
}

/// Group by group, so that what can be tried again is, and each new group names the old one.
async fn retry_dead(broker: &Broker, config: &Config) -> Result<Done> {
    let storage = visit_store(broker, config).await?;
    // Sets: a page shows a job again when others died since the last one.
    let mut groups: BTreeMap<GroupId, BTreeSet<(u32, JobId)>> = BTreeMap::new();
    let mut listed = 0;
    loop {
        let page = broker.list(JobList::Dead, listed, PAGE).await?;
        if page.is_empty() {
            break;
        }
        listed += page.len();
        for entry in page {
            let Some(job) = broker.job(entry.job).await? else { continue };
            groups.entry(job.group).or_default().insert((job.index, job.id));
        }
    }
    let (mut entries, mut whole) = (Vec::new(), true);
    for (group, jobs) in groups {
        let ids: Vec<JobId> = jobs.into_iter().map(|(_, id)| id).collect();
        match submission::retry_jobs(&storage, broker, &ids, None).await {
            Ok(submitted) => entries.push(retried("group", group.into(), &submitted)),
            Err(submission::Error::Unknown(reason) | submission::Error::NotRetryable(reason)) => {
                whole = false;
                entries.push(not_retried("group", group.into(), &reason));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if entries.is_empty() {
        eprintln!("no job is dead on {broker}");
    }
    Ok(Done::with(entries, whole))
}

fn retried(is: &str, id: Uuid, submitted: &Submitted) -> (Value, String) {
    let Submitted { group, images, .. } = submitted;
    let line = format!("{is} {id}: {} again, as group {group}", count(*images as u64, "job"));
    (json!({"id": id, "is": is, "group": group, "jobs": images}), line)
}

fn not_retried(is: &str, id: Uuid, reason: &str) -> (Value, String) {
    (json!({"id": id, "is": is, "error": reason}), format!("{is} {id}: not tried again: {reason}"))
}

fn unknown(id: Uuid, broker: &Broker) -> String {
    format!("{id} is neither a group nor a job of {broker}")
}

/// Sends an order to one worker or all, and shows what they answer.
async fn tell(broker: &Broker, to: &To, command: &Command) -> Result<Done> {
    let workers = roster::workers(broker, to.worker.as_deref()).await?;
    if workers.is_empty() {
        bail!("{}", roster::none_there(broker));
    }
    let answers = roster::ask(broker, &workers, command, to.timeout).await?;
    let answer = |worker: &Worker| answers.get(worker.session()).map(|answer| &answer.report);
    let document = workers.iter().map(|worker| match answer(worker) {
        Some(report) => json!({
            "worker": report.session, "answered": true, "cpu": report.cpu, "io": report.io, "stopping": report.stopping,
        }),
        None => json!({"worker": worker.session(), "answered": false}),
    });
    let rows = workers.iter().map(|worker| {
        let (host, pid) = (worker.report.host.clone(), worker.report.pid.to_string());
        let said = match answer(worker) {
            Some(report) if report.stopping => {
                format!("ends once {} have ended", count(report.active.len() as u64, "running job"))
            }
            Some(report) => format!("{} for cpu, {} for io", count(report.cpu.total as u64, "slot"), report.io.total),
            None => format!("SILENT for {:?}; it obeys if it wakes within a minute", to.timeout),
        };
        [worker.session().to_owned(), host, pid, said]
    });
    let text = table(["worker", "host", "pid", "answer"], rows.collect());
    Ok(Done { document: document.collect(), text, whole: answers.len() == workers.len() })
}
