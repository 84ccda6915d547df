//! Queues: how many jobs they hold, pausing them, emptying them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use queue::QueueDepth;
use serde_json::json;

use crate::http::Services;
use crate::http::answers::fresh;
use crate::http::operation::{Answer, Operation, in_path, ok};
use crate::http::problem::Problem;
use crate::http::request::{Parameters, UrlPath};

pub(super) async fn queues(State(services): State<Arc<Services>>, uri: Uri) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(fresh(json!({"queues": all(&services).await?})))
}

pub(super) fn queues_docs() -> Operation {
    let answer = ok("Every queue of the settings, and those that have held a job.", "Queues");
    Operation::new("queues", "watching", "What each queue holds.", answer).problems(&["400", "503"])
}

pub(super) async fn pause(
    State(services): State<Arc<Services>>,
    UrlPath(queue): UrlPath<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    ordered(&services, &queue, &uri, services.broker.pause(&queue)).await
}

pub(super) fn pause_docs() -> Operation {
    order_docs("pauseQueue", "Let no worker take from a queue.", ok("The queue.", "Queue"))
        .details("Jobs are still taken in, and running ones end.")
}

pub(super) async fn resume(
    State(services): State<Arc<Services>>,
    UrlPath(queue): UrlPath<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    ordered(&services, &queue, &uri, services.broker.resume(&queue)).await
}

pub(super) fn resume_docs() -> Operation {
    order_docs("resumeQueue", "Let workers take from a queue again.", ok("The queue.", "Queue"))
}

/// Carries out an order to a queue. The answer is the state of the queue after it.
async fn ordered(
    services: &Services,
    queue: &str,
    uri: &Uri,
    order: impl Future<Output = queue::Result<()>>,
) -> Result<Response, Problem> {
    Parameters::of(uri, &[])?;
    known(services, queue).await?;
    order.await?;
    Ok(fresh(known(services, queue).await?))
}

/// Cancels jobs that wait or are delayed. Running jobs go on.
pub(super) async fn purge(
    State(services): State<Arc<Services>>,
    UrlPath(queue): UrlPath<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    known(&services, &queue).await?;
    let cancelled = services.broker.purge(&queue).await?;
    Ok(fresh(json!({"queue": queue, "cancelled": cancelled})))
}

pub(super) fn purge_docs() -> Operation {
    let answer = ok("How many jobs were cancelled.", "Purged");
    order_docs("purgeQueue", "Cancel all that waits or is delayed in a queue.", answer).details("What runs goes on.")
}

fn order_docs(id: &'static str, summary: &'static str, answer: Answer) -> Operation {
    Operation::new(id, "steering", summary, answer)
        .parameters([in_path("queue", "Its name.", json!({"type": "string"}))])
        .problems(&["400", "404", "503"])
}

/// The queues of the settings, and those that have held a job, by name.
pub(super) async fn all(services: &Services) -> queue::Result<Vec<QueueDepth>> {
    let mut queues = services.broker.depths().await?;
    for name in &services.queue.names {
        if queues.iter().all(|depth| depth.queue != *name) {
            queues.push(QueueDepth { queue: name.clone(), waiting: 0, delayed: 0, active: 0, paused: false });
        }
    }
    queues.sort_by(|one, other| one.queue.cmp(&other.queue));
    Ok(queues)
}

async fn known(services: &Services, queue: &str) -> Result<QueueDepth, Problem> {
    let queues = all(services).await?;
    let names: Vec<&str> = queues.iter().map(|depth| depth.queue.as_str()).collect();
    let unknown = || Problem::not_found(format!("There is no queue `{queue}`; there are {}.", names.join(", ")));
    queues.iter().find(|depth| depth.queue == queue).cloned().ok_or_else(unknown)
}
