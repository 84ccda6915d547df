//! The part for those who watch and steer: lists, queues, workers, numbers and live events.

use queue::{EventKind, State};
use serde_json::{Map, Value, json};

use super::{Operation, content, count, in_path, parameter, reference, text};
use crate::http::groups::STATUSES;
use crate::http::health::DEAD_COUNTED;
use crate::http::{lists, workers};

pub(super) fn paths() -> Value {
    let ok = |about: &str, schema: &str| ("200", json!({"description": about, "content": content(schema)}));
    let get = |id, about, more, parameters, success, problems: &'static [&'static str]| json!({"get": Operation { id, tag: "watching", about, more, parameters, body: None, success, problems }.described()});
    let order = |method: &str, id, about, more, parameters: Vec<Value>, success| {
        let problems = &["400", "404", "503"];
        let body = in_body(&parameters);
        let order = Operation { id, tag: "steering", about, more, parameters, body, success, problems };
        json!({method: order.described()})
    };
    let session = || vec![in_path("session", "The worker's, as /api/workers tells it.", json!({"type": "string"}))];
    let slots = || [session(), vec![class(), by()]].concat();
    let queue = || vec![in_path("queue", "Its name.", json!({"type": "string"}))];
    let stream = |about: &str| {
        let schema = json!({
            "type": "object",
            "description": "One event.",
            "required": ["data"],
            "properties": {
                "event": {"type": "string", "description": "Its kind."},
                "id": {"type": "string", "description": "For `Last-Event-ID`."},
                "data": {"type": "string", "contentMediaType": "application/json"},
            },
        });
        ("200", json!({"description": about, "content": {"text/event-stream": {"schema": schema}}}))
    };
    let page = "A page may be short, or empty, and have a `links.next` all the same; the list ends where there is none. \
        Pages that follow one another show nothing twice, whatever comes in meanwhile.";
    let mut paths = Map::new();
    let mut add = |path: &str, methods: Value| paths.insert(path.into(), methods);
    add(
        "/api/groups",
        get(
            "groups",
            "Groups, the newest first.",
            page,
            [vec![one_of("status", "As the group's status says.", &STATUSES)], of_lists()].concat(),
            ok("A page.", "Groups"),
            &["400", "503"],
        ),
    );
    add(
        "/api/jobs",
        get(
            "jobs",
            "Jobs, those of the newest group first.",
            page,
            [
                vec![
                    one_of("state", "Where the job stands.", &State::ALL.map(State::as_str)),
                    in_query("queue", "The queue that it was enqueued to.", json!({"type": "string", "minLength": 1})),
                    in_query("group", "Its group.", json!({"type": "string", "format": "uuid"})),
                    in_query("kind", "Such as `image.process`.", json!({"type": "string", "minLength": 1})),
                ],
                of_lists(),
            ]
            .concat(),
            ok("A page.", "Jobs"),
            &["400", "503"],
        ),
    );
    let mut events = get(
        "groupEvents",
        "Follow a group to its end, as server-sent events.",
        "`status` (counts) comes first, `progress` (counts, and in `changes` what has happened since) at each change, \
        `finished` with the whole status at last; then the stream ends. Comments come as signs of life.",
        vec![parameter("group"), last_event_header(), last_event_query()],
        stream("The events, each with an `id` to go on after."),
        &["400", "404", "503"],
    );
    events["get"]["responses"]["204"] = json!({"description": "The `Last-Event-ID` is the end's: nothing follows it."});
    add("/api/groups/{group}/events", events);
    add(
        "/api/events",
        get(
            "events",
            "Follow all that happens, as server-sent events.",
            "`status` (as /api/stats) comes first, then what happens to jobs and groups, each named as in its `event`. \
        The stream ends with the service; whoever asks again with the last `id` misses nothing that is still kept.",
            vec![last_event_header(), last_event_query()],
            stream("The events."),
            &["400", "503"],
        ),
    );
    add(
        "/api/queues",
        get(
            "queues",
            "What each queue holds.",
            "",
            vec![],
            ok(
                "Every queue of the settings, and those \
        that have held a job.",
                "Queues",
            ),
            &["400", "503"],
        ),
    );
    add(
        "/api/queues/{queue}/pause",
        order(
            "post",
            "pauseQueue",
            "Let no worker take from a queue.",
            "Jobs are still taken in, and running ones end.",
            queue(),
            ok("The queue.", "Queue"),
        ),
    );
    add(
        "/api/queues/{queue}/resume",
        order("post", "resumeQueue", "Let workers take from a queue again.", "", queue(), ok("The queue.", "Queue")),
    );
    add(
        "/api/queues/{queue}/jobs",
        order(
            "delete",
            "purgeQueue",
            "Cancel all that waits or is delayed in a queue.",
            "What runs goes on.",
            queue(),
            ok("How many jobs were cancelled.", "Purged"),
        ),
    );
    add(
        "/api/workers",
        get(
            "workers",
            "The workers that live.",
            "",
            vec![],
            ok("Each as it last reported itself.", "Workers"),
            &["400", "503"],
        ),
    );
    add(
        "/api/workers/{session}/shutdown",
        order(
            "post",
            "shutdownWorker",
            "End a worker.",
            "It finishes what runs and gives back what has not begun. The one in a service ends with the service.",
            [
                session(),
                vec![in_query("cold", "Give back what runs, too.", json!({"type": "boolean", "default": false}))],
            ]
            .concat(),
            ok("What it says of itself from then on.", "Worker"),
        ),
    );
    add(
        "/api/workers/{session}/grow",
        order(
            "post",
            "growWorker",
            "Give a worker more slots.",
            "",
            slots(),
            ok("What it says of itself from then on.", "Worker"),
        ),
    );
    add(
        "/api/workers/{session}/shrink",
        order(
            "post",
            "shrinkWorker",
            "Take slots from a worker.",
            "What runs in them ends first; one at least is left.",
            slots(),
            ok("What it says of itself from then on.", "Worker"),
        ),
    );
    add(
        "/api/stats",
        get("stats", "The service in few numbers.", "", vec![], ok("The numbers.", "Stats"), &["400", "503"]),
    );
    paths.into()
}

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
                "task_id",
                "total_images",
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
                "total_images": count("Its jobs."),
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

/// The body that may replace a query's parameters; `None` where there are no parameters.
fn in_body(parameters: &[Value]) -> Option<Value> {
    let named = parameters.iter().filter(|one| one["in"] == "query");
    let fields: Map<_, _> =
        named.map(|one| (one["name"].as_str().unwrap_or_default().to_owned(), one["schema"].clone())).collect();
    let schema = json!({"type": "object", "properties": fields, "additionalProperties": false});
    (!fields.is_empty()).then(|| {
        json!({"description": "The same parameters as JSON, instead of in the address.",
            "content": {"application/json": {"schema": schema}}})
    })
}

/// All of its fields are said.
#[allow(clippy::needless_pass_by_value, reason = "it is made in place")]
fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false})
}

#[allow(clippy::needless_pass_by_value, reason = "it is made in place")]
fn in_query(name: &str, about: &str, schema: Value) -> Value {
    json!({"name": name, "in": "query", "description": about, "schema": schema})
}

fn one_of(name: &str, about: &str, values: &[&str]) -> Value {
    in_query(name, about, json!({"enum": values}))
}

fn of_lists() -> Vec<Value> {
    let instant = || json!({"type": "string", "format": "date-time"});
    vec![
        in_query("since", "Of groups that were enqueued then or later.", instant()),
        in_query("until", "Of groups that were enqueued before.", instant()),
        in_query(
            "limit",
            "Entries of a page at the most.",
            json!({"type": "integer", "minimum": 1, "maximum": lists::LARGEST_PAGE, "default": lists::PAGE}),
        ),
        in_query("cursor", "Where the list goes on: `links.next` has it.", json!({"type": "string", "minLength": 1})),
    ]
}

fn last_event_header() -> Value {
    json!({
        "name": "Last-Event-ID", "in": "header", "schema": {"type": "string"},
        "description": "The `id` of the event that was received last: what has happened since is told.",
    })
}

fn last_event_query() -> Value {
    in_query("last_event_id", "The same, for clients that cannot set the header.", json!({"type": "string"}))
}

fn class() -> Value {
    in_query(
        "class",
        "Slots for pictures, or for what waits for networks and disks.",
        json!({"enum": ["cpu", "io"], "default": "cpu"}),
    )
}

fn by() -> Value {
    in_query("by", "How many.", json!({"type": "integer", "minimum": 1, "maximum": workers::MOST_SLOTS, "default": 1}))
}
