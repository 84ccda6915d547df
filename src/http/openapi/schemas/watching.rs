//! The schemas of lists, queues, workers, numbers and live events.

use queue::{EventKind, State};
use serde_json::{Map, Value, json};

use super::{count, text};
use crate::http::groups::STATUSES;
use crate::http::monitoring::health::DEAD_COUNTED;
use crate::http::operation::reference;

pub(super) fn schemas() -> Value {
    let id = |about: &str| json!({"type": "string", "format": "uuid", "description": about});
    let instant = || json!({"type": "string", "format": "date-time"});
    let perhaps = || json!({"type": ["string", "null"], "format": "date-time"});
    let page_links = || object(&["self"], json!({"self": text("This page."), "next": text("The next one.")}));
    let list = |of: &str, schema: &str, links: bool| {
        let mut fields = json!({of: {"type": "array", "items": reference(schema)}});
        if links {
            fields["links"] = page_links();
        }
        object(if links { &["links"] } else { &[] }, fields)
    };
    let slots = || object(&["total", "busy"], json!({"total": count(""), "busy": count("")}));
    let class = json!({"enum": ["cpu", "io"]});
    let mut schemas = Map::new();
    let mut add = |name: &str, schema: Value| schemas.insert(name.into(), schema);
    add("Groups", list("groups", "GroupEntry", true));
    add(
        "GroupEntry",
        object(
            &[
                "status",
                "kind",
                "task_id",
                "done",
                "succeeded",
                "failed",
                "cancelled",
                "progress",
                "created_at",
                "finished_at",
                "links",
            ],
            json!({
                "status": {"enum": STATUSES},
                "task_id": id("The group's."),
                "kind": text("What its jobs do, `image.process`."),
                "total_images": count("Its pictures; only there for pictures."),
                "total": count("Its jobs, of any other kind."),
                "labels": reference("Labels"),
                "done": count("Those that have ended."),
                "succeeded": count(""),
                "failed": count(""),
                "cancelled": count(""),
                "progress": {"type": "number", "minimum": 0, "maximum": 1},
                "created_at": instant(),
                "finished_at": perhaps(),
                "links": reference("Links"),
            }),
        ),
    );
    add("Jobs", list("jobs", "JobEntry", true));
    add(
        "JobEntry",
        object(
            &[
                "id",
                "group",
                "index",
                "image",
                "kind",
                "queue",
                "priority",
                "state",
                "attempts",
                "max_attempts",
                "created_at",
                "finished_at",
                "due_at",
                "error_code",
                "links",
            ],
            json!({
                "id": id(""),
                "group": id("Its group's."),
                "index": count("Its place in the group."),
                "image": {"type": ["string", "null"], "description": "The name that it was sent under."},
                "kind": text("Such as `image.process`."),
                "queue": text(""),
                "priority": {"type": "integer", "minimum": 1, "maximum": 10, "description": "10 first."},
                "state": {"enum": State::ALL.map(State::as_str)},
                "attempts": count("Begun so far."),
                "max_attempts": count("In all."),
                "created_at": instant(),
                "finished_at": perhaps(),
                "due_at": {"type": ["string", "null"], "format": "date-time", "description":
                    "When a delayed one waits again, or an active one's worker must have reported."},
                "error_code": {"type": ["string", "null"], "description": "What it failed with, the last time."},
                "links": reference("Links"),
            }),
        ),
    );
    add("Queues", list("queues", "Queue", false));
    add(
        "Queue",
        object(
            &["queue", "waiting", "delayed", "active", "paused"],
            json!({
                "queue": text("Its name."),
                "waiting": count("Jobs that may begin."),
                "delayed": count("Jobs that wait for their time."),
                "active": count("Jobs that a worker has."),
                "paused": {"type": "boolean", "description": "No worker takes from it."},
            }),
        ),
    );
    add("Purged", object(&["queue", "cancelled"], json!({"queue": text("Its name."), "cancelled": count("Jobs.")})));
    let next = json!({"type": "object", "properties": {"next": text("Where to go on, if the filter has more jobs.")},
        "additionalProperties": false});
    let matched = || json!({"matched": count("Jobs that match."), "dry_run": {"type": "boolean"}, "links": next});
    let mut cancelled = matched();
    cancelled["cancelled"] = count("Jobs that are cancelled now, or asked to end.");
    add("BulkCancelled", object(&["matched", "cancelled", "dry_run", "links"], cancelled));
    let mut retried = matched();
    retried["retried"] = count("Jobs that are retried.");
    retried["refused"] = count("Jobs that cannot be retried.");
    retried["groups"] = json!({"type": "array", "items": {"type": "string", "format": "uuid"},
        "description": "The new groups."});
    add("BulkRetried", object(&["matched", "retried", "refused", "groups", "dry_run", "links"], retried));
    add("Workers", list("workers", "Worker", false));
    let totals = ["succeeded", "failed", "retried", "cancelled", "crashed", "lost"];
    add(
        "Worker",
        object(
            &[
                "session",
                "host",
                "pid",
                "version",
                "started_at",
                "queues",
                "cpu",
                "io",
                "active",
                "reserved",
                "totals",
                "stopping",
                "seen_at",
            ],
            json!({
                "session": text("Its name, new at every start."),
                "host": text(""),
                "pid": count(""),
                "version": text("pixmill's."),
                "started_at": instant(),
                "queues": {"type": "array", "items": text("Taken from in this order.")},
                "cpu": slots(),
                "io": slots(),
                "active": {"type": "array", "items": object(&["job", "group", "kind", "class", "attempt", "started_at"], json!({
                    "job": id(""), "group": id(""), "kind": text(""), "class": class, "attempt": count(""),
                    "started_at": instant(),
                }))},
                "reserved": {"type": "array", "items": id("A job that is claimed ahead of its turn.")},
                "totals": object(&totals, totals.iter().map(|name| ((*name).to_owned(), count("Attempts."))).collect()),
                "stopping": {"type": "boolean", "description": "It takes no more jobs."},
                "seen_at": instant(),
            }),
        ),
    );
    add(
        "Stats",
        object(
            &[
                "version",
                "broker",
                "started_at",
                "uptime_s",
                "queues",
                "dead_letters",
                "workers",
                "disk_free",
                "images",
            ],
            json!({
                "version": text("pixmill's."),
                "broker": text("Where the queue is."),
                "started_at": instant(),
                "uptime_s": count("Of this process."),
                "queues": {"type": "array", "items": reference("Queue")},
                "dead_letters": {"type": "integer", "minimum": 0, "maximum": DEAD_COUNTED, "description":
                    "Jobs that failed for good and were not tried again, counted up to the maximum."},
                "workers": count("Those that live."),
                "disk_free": {"type": "number", "minimum": 0, "maximum": 1, "description": "Share of the store's disk."},
                "images": object(&["accepted", "rejected"], json!({
                    "accepted": count("By this process."), "rejected": count("By this process."),
                })),
            }),
        ),
    );
    add(
        "Event",
        object(
            &["event", "at", "group"],
            json!({
                "event": {"enum": EventKind::ALL.map(EventKind::as_str)},
                "at": instant(),
                "group": id(""),
                "job": id("None for what happens to the group as a whole."),
            }),
        ),
    );
    schemas.into()
}

/// An object without further fields.
#[allow(clippy::needless_pass_by_value, reason = "it is made in place")]
fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false})
}
