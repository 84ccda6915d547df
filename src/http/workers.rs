//! Workers: what they report, and orders to one of them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use jiff::Timestamp;
use queue::Class;
use serde_json::{Value, json};

use crate::http::Services;
use crate::http::answers::fresh;
use crate::http::operation::{Operation, in_path, in_query, ok};
use crate::http::problem::Problem;
use crate::http::request::{Parameters, UrlPath, order};
use crate::worker::control::Command;
use crate::worker::roster::{self, Worker};

/// How long an order waits for its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most slots that a worker has.
const MOST_SLOTS: usize = 1_024;

/// All workers, each with its last report.
pub(super) async fn workers(State(services): State<Arc<Services>>, uri: Uri) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    let workers = roster::workers(&services.broker).await?.workers;
    Ok(fresh(json!({"workers": workers.iter().map(Worker::document).collect::<Value>()})))
}

pub(super) fn workers_docs() -> Operation {
    let answer = ok("Each as it last reported itself.", "Workers");
    Operation::new("workers", "watching", "The workers that live.", answer).problems(&["400", "503"])
}

pub(super) async fn shutdown(
    State(services): State<Arc<Services>>,
    UrlPath(session): UrlPath<String>,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let asked = order(&uri, body, &["cold"]).await?;
    let cold = asked.get("cold", "true or false", |cold| cold.parse().ok())?.unwrap_or(false);
    tell(&services, &session, &Command::Shutdown { cold }).await
}

pub(super) fn shutdown_docs() -> Operation {
    let cold = in_query("cold", "Give back what runs, too.", json!({"type": "boolean", "default": false}));
    order_docs("shutdownWorker", "End a worker.", [cold])
        .details("It finishes what runs and gives back what has not begun. The one in a service ends with the service.")
}

pub(super) async fn grow(
    State(services): State<Arc<Services>>,
    UrlPath(session): UrlPath<String>,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let (class, by) = slots(&order(&uri, body, &SLOTS).await?)?;
    tell(&services, &session, &Command::Grow { class, by }).await
}

pub(super) fn grow_docs() -> Operation {
    order_docs("growWorker", "Give a worker more slots.", slots_parameters())
}

pub(super) async fn shrink(
    State(services): State<Arc<Services>>,
    UrlPath(session): UrlPath<String>,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let (class, by) = slots(&order(&uri, body, &SLOTS).await?)?;
    tell(&services, &session, &Command::Shrink { class, by }).await
}

pub(super) fn shrink_docs() -> Operation {
    order_docs("shrinkWorker", "Take slots from a worker.", slots_parameters())
        .details("What runs in them ends first; one at least is left.")
}

fn order_docs(id: &'static str, summary: &'static str, parameters: impl IntoIterator<Item = Value>) -> Operation {
    Operation::new(id, "steering", summary, ok("What it says of itself from then on.", "Worker"))
        .parameters([in_path("session", "The worker's, as /api/workers tells it.", json!({"type": "string"}))])
        .parameters(parameters)
        .parameters_as_body()
        .problems(&["400", "404", "503"])
}

fn slots_parameters() -> [Value; 2] {
    let by = json!({"type": "integer", "minimum": 1, "maximum": MOST_SLOTS, "default": 1});
    [
        in_query(
            "class",
            "Slots for pictures, or for what waits for networks and disks.",
            json!({"enum": ["cpu", "io"], "default": "cpu"}),
        ),
        in_query("by", "How many.", by),
    ]
}

/// The parameters of an order for slots.
const SLOTS: [&str; 2] = ["class", "by"];

fn slots(asked: &Parameters) -> Result<(Class, usize), Problem> {
    let named = |name: &str| [Class::Cpu, Class::Io].into_iter().find(|class| class.as_str() == name);
    let class = asked.get("class", "cpu or io", named)?.unwrap_or(Class::Cpu);
    let within = |by: &str| by.parse().ok().filter(|by| (1..=MOST_SLOTS).contains(by));
    let by = asked.get("by", &format!("a whole number from 1 to {MOST_SLOTS}"), within)?.unwrap_or(1);
    Ok((class, by))
}

/// Sends an order to a worker. The answer is the worker's report after it.
async fn tell(services: &Services, session: &str, command: &Command) -> Result<Response, Problem> {
    let mut workers = roster::workers(&services.broker).await?.workers;
    workers.retain(|worker| worker.session() == session);
    if workers.is_empty() {
        return Err(Problem::not_found(format!("There is no worker `{session}`; /api/workers lists those that live.")));
    }
    let mut answers = roster::ask(&services.broker, &workers, command, PATIENCE).await?;
    let silent = || {
        let detail =
            format!("Worker `{session}` has not answered for {PATIENCE:?}; it obeys if it wakes within a minute.");
        Problem::unavailable("worker-silent", detail, 5)
    };
    let answer = answers.remove(session).ok_or_else(silent)?;
    Ok(fresh(Worker { seen_at: Timestamp::now(), report: answer.report }.document()))
}
