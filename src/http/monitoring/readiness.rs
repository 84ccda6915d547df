//! Whether uploads would be taken and worked on now: by writing to the broker and the store, and by looking for a
//! worker.
//!
//! A broker or store that can only be read would still answer a ping. The result is reused for [`FRESH`], so that
//! frequent probes and uploads cost one write a second together. Without a worker, uploads are taken all the same: they
//! wait in the queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use queue::Broker;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::http::Services;
use crate::http::operation::{Operation, ok_as};
use crate::http::problem::Problem;
use crate::storage::Storage;
use crate::submission::routing;
use crate::worker::roster;

/// How long a result is reused.
const FRESH: Duration = Duration::from_secs(1);
/// How long the broker and the store have for one check. A probe waits little longer than that.
const DEADLINE: Duration = Duration::from_secs(2);

/// The process' role, which decides what it needs to be ready.
#[derive(Debug, Clone)]
pub enum Role {
    /// A service takes uploads, so it needs a worker for them.
    Service,
    /// A worker is ready until `ending` is cancelled.
    Worker { ending: CancellationToken },
}

/// A reason why the process is not ready.
#[derive(Debug, Clone)]
struct Fault {
    /// `broker`, `store` or `workers`.
    part: &'static str,
    code: &'static str,
    detail: String,
    retry_after_s: u32,
}

/// The result of the last check.
#[derive(Debug, Clone, Default)]
struct Found {
    broker: Option<Fault>,
    store: Option<Fault>,
    /// Only of a service, while the broker answers.
    workers: Option<Fault>,
}

pub struct Readiness {
    role: Role,
    /// Locked during a check, so that requests at the same time share its result.
    last: Mutex<Option<(Instant, Found)>>,
}

impl Readiness {
    pub fn of(role: Role) -> Self {
        Self { role, last: Mutex::default() }
    }

    async fn look(&self, services: &Services) -> Found {
        let mut last = self.last.lock().await;
        if let Some((at, found)) = &*last
            && at.elapsed() < FRESH
        {
            return found.clone();
        }
        let (broker, store) = tokio::join!(broker(&services.broker), store(&services.storage));
        let workers = match (&self.role, &broker) {
            (Role::Service, None) => workers(services).await,
            _ => None,
        };
        let found = Found { broker, store, workers };
        let before = last.take().map(|(_, found)| found).unwrap_or_default();
        found.tell_changes(&before);
        *last = Some((Instant::now(), found.clone()));
        found
    }
}

impl Found {
    /// Each fault is logged when it begins and when it ends.
    fn tell_changes(&self, before: &Self) {
        let parts = [(&before.broker, &self.broker), (&before.store, &self.store), (&before.workers, &self.workers)];
        for (before, now) in parts {
            match (before, now) {
                (Some(before), Some(now)) if before.code == now.code => {}
                (_, Some(now)) => warn!(code = now.code, "not ready: {}", now.detail),
                (Some(before), None) => info!(code = before.code, "ready again: the {} is well", before.part),
                (None, None) => {}
            }
        }
    }
}

/// Refuses new work that could not be kept: the broker or the store takes no writes, or the disk is nearly full. The
/// cause is only in the log and in `/readyz`.
pub(in crate::http) async fn takes_work(services: &Services) -> Result<(), Problem> {
    let found = services.readiness.look(services).await;
    if let Some(fault) = found.broker.or(found.store) {
        let detail = match fault.code {
            "storage-full" => "The disk has no room left at present.",
            "queue-full" => "The job queue has no room left at present.",
            "overloaded" => "The service has no file descriptors or memory left at present.",
            "broker-unavailable" => "The job queue cannot be reached at present.",
            _ => "Pictures cannot be stored at present.",
        };
        return Err(Problem::unavailable(fault.code, detail, fault.retry_after_s));
    }
    has_room(&services.storage)
}

/// Refuses new work if the disk is nearly full.
fn has_room(storage: &Storage) -> Result<(), Problem> {
    let space = storage.space()?;
    if !space.is_short() {
        return Ok(());
    }
    Err(Problem::unavailable("storage-full", format!("{space}."), 60))
}

/// `GET /readyz`: 200, or 503 with all that is wrong in `faults`; the first of them gives the code.
pub(in crate::http) async fn ready(State(services): State<Arc<Services>>) -> Result<Json<Value>, Problem> {
    let Found { broker, store, workers } = services.readiness.look(&services).await;
    let mut faults: Vec<Fault> = broker.into_iter().chain(store).collect();
    if let Err(problem) = has_room(&services.storage)
        && faults.iter().all(|fault| fault.code != problem.code())
    {
        faults.push(Fault {
            part: "store",
            code: "storage-full",
            detail: problem.detail().to_owned(),
            retry_after_s: 60,
        });
    }
    faults.extend(workers);
    if services.metrics.deaf_workers.get() > 0 {
        faults.push(of_workers("worker-deaf", "Jobs wait, and the workers here claim none.".into()));
    }
    if let Role::Worker { ending } = &services.readiness.role
        && ending.is_cancelled()
    {
        faults.push(of_workers("worker-ending", "This worker finishes what it has and takes no more.".into()));
    }
    let Some(first) = faults.first() else {
        return Ok(Json(json!({"status": "ready", "broker": services.broker.to_string()})));
    };
    let problem = Problem::unavailable(first.code, first.detail.clone(), first.retry_after_s);
    let told = |fault: &Fault| json!({"part": fault.part, "code": fault.code, "detail": fault.detail});
    Err(problem.with("faults", faults.iter().map(told).collect()))
}

pub(in crate::http) fn ready_docs() -> Operation {
    let about = "Whether uploads would be taken and worked on; if not, all that is wrong.";
    Operation::new("ready", "operations", about, ok_as(about, &["application/json"])).problems(&["503"])
}

async fn broker(broker: &Broker) -> Option<Fault> {
    let (code, detail, retry_after_s) = match timeout(DEADLINE, broker.try_write()).await {
        Ok(Ok(())) => return None,
        Ok(Err(queue::Error::Full(said))) => ("queue-full", said, 30),
        Ok(Err(queue::Error::StorageFull(said))) => ("storage-full", said, 60),
        Ok(Err(error)) => ("broker-unavailable", error.to_string(), 5),
        Err(_) => {
            ("broker-unavailable", format!("The job queue ({broker}) has taken no write within {DEADLINE:?}."), 5)
        }
    };
    Some(Fault { part: "broker", code, detail, retry_after_s })
}

async fn store(storage: &Storage) -> Option<Fault> {
    let tried = storage.clone();
    let tried = tokio::task::spawn_blocking(move || tried.try_write());
    let (code, detail) = match timeout(DEADLINE, tried).await {
        Ok(tried) => match tried.expect("writing a file does not panic") {
            Ok(()) => return None,
            Err(error) => (error.code(), error.to_string()),
        },
        Err(_) => ("storage", format!("The store has taken no write within {DEADLINE:?}.")),
    };
    Some(Fault { part: "store", code, detail, retry_after_s: 60 })
}

/// Whether some worker takes pictures from the default queue of uploads.
async fn workers(services: &Services) -> Option<Fault> {
    let queue = routing::of_plain_uploads(&services.queue.routes);
    // The broker took a write just before. If it fails now, the next check finds that.
    let Ok(Ok(roster)) = timeout(DEADLINE, roster::workers(&services.broker)).await else { return None };
    // Workers of another version count: which queues they take from cannot be read.
    if !roster.strangers.is_empty() || roster.workers.iter().any(|worker| worker.report.takes_pictures_from(queue)) {
        return None;
    }
    let detail = match roster.workers.len() {
        0 => "No worker is there: start `pixmill worker`, or `pixmill serve` without --no-workers.".into(),
        others => format!("None of the {others} workers takes pictures from the queue `{queue}` (worker.queues)."),
    };
    Some(of_workers("no-worker", detail))
}

fn of_workers(code: &'static str, detail: String) -> Fault {
    Fault { part: "workers", code, detail, retry_after_s: 5 }
}
