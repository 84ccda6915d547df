//! Schedules: listed, made, changed, paused, fired by hand.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::http::Services;
use crate::http::access::Caller;
use crate::http::answers::fresh;
use crate::http::base::path;
use crate::http::operation::{Answer, Operation, content, in_path, ok, reference};
use crate::http::problem::Problem;
use crate::http::request::conditional::matches;
use crate::http::request::json::object;
use crate::http::request::{Parameters, UrlPath};
use crate::schedules::definition::{Definition, Document};
use crate::schedules::firing;
use crate::schedules::view::{self, Extent};
use crate::schedules::{Entry, Fault, Shelf};

const EXAMPLE: &str = "{\"name\": \"nightly\", \"cron\": \"0 1 * * *\", \"run\": {\"prefix\": \"incoming/\"}}";

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let said = format!("{}.", capital(&fault.to_string()));
        match fault {
            Fault::Unknown(_) => Self::not_found(said),
            Fault::Exists(_) => Self::new(StatusCode::CONFLICT, "schedule-exists", said),
            Fault::Changed { .. } => Self::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", said),
            Fault::ReadOnly(_) => Self::new(StatusCode::CONFLICT, "schedule-read-only", said),
            // It begins with the field's name.
            Fault::Invalid(said) => Self::unprocessable("invalid-schedule", said),
            Fault::Storage(error) => error.into(),
        }
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

pub(super) async fn list(State(services): State<Arc<Services>>, uri: Uri) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    let (broker, now) = (&services.broker, Timestamp::now());
    let listing = on_disk(&services, |shelf| Ok(shelf.list()?)).await?;
    let mut schedules = Vec::new();
    for entry in &listing.entries {
        schedules.push(view::of_entry(broker, entry, Extent::Line, now).await?);
    }
    for sweep in &services.sweeps {
        schedules.push(view::of_sweep(broker, sweep, Extent::Line, now).await?);
    }
    Ok(fresh(json!({"schedules": schedules})))
}

pub(super) fn list_docs() -> Operation {
    let answer = ok("All schedules by name, then the service's own.", "Schedules");
    Operation::new("schedules", "watching", "What comes by the clock.", answer).problems(&["400", "503"])
}

pub(super) async fn create(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    let mut body = object(request, services.limits.max_body_bytes, EXAMPLE).await?;
    let name = match body.remove("name") {
        Some(Value::String(name)) => name,
        Some(other) => return Err(invalid(format!("name: {other} is not a text"))),
        None => return Err(invalid("name: is missing".into())),
    };
    let (document, owner) = (document(body)?, caller.owner().map(str::to_owned));
    let made = {
        let name = name.clone();
        on_disk(&services, move |shelf| shelf.create(&name, document, owner, Timestamp::now())).await?
    };
    let mut response = answer(&services, &made).await?;
    *response.status_mut() = StatusCode::CREATED;
    let location = HeaderValue::try_from(path(&format!("/api/schedules/{name}"))).expect("names are plain characters");
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

pub(super) fn create_docs() -> Operation {
    let answer = json!({
        "description": "Made. The first slot is the first one after now.",
        "headers": {"Location": {"schema": {"type": "string"}}, "ETag": {"schema": {"type": "string"}}},
        "content": content("Schedule"),
    });
    Operation::new("createSchedule", "steering", "Make a schedule.", ("201", answer))
        .body(json!({"required": true, "content": {"application/json": {"schema": reference("NewSchedule")}}}))
        .problems(&["400", "409", "413", "415", "422", "503"])
}

pub(super) async fn preview(
    State(services): State<Arc<Services>>,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    let body = object(request, services.limits.max_body_bytes, EXAMPLE).await?;
    view::preview(&document(body)?, Timestamp::now()).map(fresh).map_err(invalid)
}

pub(super) fn preview_docs() -> Operation {
    let answer = ok("The next ten slots, and the timing in plain words.", "SchedulePreview");
    Operation::new("previewSchedule", "watching", "When a schedule would fire.", answer)
        .details("Takes a schedule as it is made; `run` may be left out.")
        .body(json!({"required": true, "content": {"application/json": {"schema": reference("ScheduleDefinition")}}}))
        .problems(&["400", "413", "415", "422"])
}

pub(super) async fn show(
    State(services): State<Arc<Services>>,
    UrlPath(name): UrlPath<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    if let Some(sweep) = services.sweeps.iter().find(|sweep| sweep.name == name) {
        return Ok(fresh(view::of_sweep(&services.broker, sweep, Extent::Whole, Timestamp::now()).await?));
    }
    let entry = known(&services, &name).await?;
    answer(&services, &entry).await
}

pub(super) fn show_docs() -> Operation {
    order_docs("schedule", "watching", "One schedule: its next ten slots, and its last hundred records.", one())
        .problems(&["400", "404", "503"])
}

pub(super) async fn replace(
    State(services): State<Arc<Services>>,
    UrlPath(name): UrlPath<String>,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    changeable(&services, &name)?;
    let expected = matches(request.headers());
    let document = document(object(request, services.limits.max_body_bytes, EXAMPLE).await?)?;
    let replaced = on_disk(&services, move |shelf| shelf.replace(&name, &document, expected, Timestamp::now())).await?;
    answer(&services, &replaced).await
}

pub(super) fn replace_docs() -> Operation {
    order_docs("replaceSchedule", "steering", "Replace a schedule.", one())
        .details("The new version counts slots from now on. What has fired goes on.")
        .parameters([if_match()])
        .body(json!({"required": true, "content": {"application/json": {"schema": reference("ScheduleDefinition")}}}))
        .problems(&["400", "404", "409", "412", "413", "415", "422", "503"])
}

pub(super) async fn remove(
    State(services): State<Arc<Services>>,
    UrlPath(name): UrlPath<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    changeable(&services, &name)?;
    let expected = matches(&headers);
    let entry = on_disk(&services, move |shelf| shelf.remove(&name, expected)).await?;
    firing::forget(&services.broker, &entry).await?;
    Ok(fresh(json!({"name": entry.name, "removed": true})))
}

pub(super) fn remove_docs() -> Operation {
    order_docs("removeSchedule", "steering", "Remove a schedule.", ok("It is gone.", "RemovedSchedule"))
        .details("What has fired goes on.")
        .parameters([if_match()])
        .problems(&["400", "404", "409", "412", "503"])
}

pub(super) async fn pause(
    State(services): State<Arc<Services>>,
    UrlPath(name): UrlPath<String>,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    changeable(&services, &name)?;
    let note = match fields(&services, request, &["note"]).await?.remove("note") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(note)) => note,
        Some(other) => return Err(invalid(format!("note: {other} is not a text"))),
    };
    let paused = on_disk(&services, move |shelf| shelf.pause(&name, &note, Timestamp::now())).await?;
    answer(&services, &paused).await
}

pub(super) fn pause_docs() -> Operation {
    let note = json!({"type": "object", "additionalProperties": false,
        "properties": {"note": {"type": "string", "maxLength": 500, "description": "Why, for people."}}});
    order_docs("pauseSchedule", "steering", "Let a schedule skip its slots.", one())
        .body(json!({"content": {"application/json": {"schema": note}}}))
        .problems(&["400", "404", "409", "413", "415", "422", "503"])
}

pub(super) async fn resume(
    State(services): State<Arc<Services>>,
    UrlPath(name): UrlPath<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    changeable(&services, &name)?;
    let resumed = on_disk(&services, move |shelf| shelf.resume(&name, Timestamp::now())).await?;
    answer(&services, &resumed).await
}

pub(super) fn resume_docs() -> Operation {
    order_docs("resumeSchedule", "steering", "Let a schedule fire again.", one())
        .details("Slots that passed meanwhile are not caught up.")
        .problems(&["400", "404", "409", "503"])
}

pub(super) async fn run(
    State(services): State<Arc<Services>>,
    UrlPath(name): UrlPath<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    changeable(&services, &name)?;
    let entry = known(&services, &name).await?;
    let (definition, now) = (definition(&entry)?, Timestamp::now());
    let (store, settings) = ((&services.storage, &services.broker), services.schedules.settings());
    let group = firing::run_now(store, (&entry, definition), settings, now).await?;
    Ok(taken(json!({"firings": [firing_of(now, group)]})))
}

pub(super) fn run_docs() -> Operation {
    order_docs("runSchedule", "steering", "Fire a schedule now.", fired())
        .details("Its own slots stay as they are. The group is there as soon as a worker has looked up the sources.")
        .problems(&["400", "404", "409", "422", "503"])
}

pub(super) async fn backfill(
    State(services): State<Arc<Services>>,
    UrlPath(name): UrlPath<String>,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    changeable(&services, &name)?;
    let fields = fields(&services, request, &["from", "to"]).await?;
    let (from, to) = (instant(&fields, "from")?, instant(&fields, "to")?);
    let entry = known(&services, &name).await?;
    let (definition, now) = (definition(&entry)?, Timestamp::now());
    let slots = firing::past_slots(definition, from, to, now).map_err(invalid)?;
    let (store, settings) = ((&services.storage, &services.broker), services.schedules.settings());
    let filled = firing::fill_in(store, (&entry, definition), settings, &slots, now).await?;
    let firings: Vec<Value> = filled.into_iter().map(|(slot, group)| firing_of(slot, group)).collect();
    Ok(taken(json!({"firings": firings})))
}

pub(super) fn backfill_docs() -> Operation {
    let about = |about: &str| json!({"type": "string", "format": "date-time", "description": about});
    let span = json!({"type": "object", "required": ["from", "to"], "additionalProperties": false, "properties": {
        "from": about("The first instant included."), "to": about("The first instant after them; not in the future.")}});
    order_docs("backfillSchedule", "steering", "Fire the slots of a span of the past once more.", fired())
        .details("At most 100 slots, with priority 1. Nobody looks whether they have fired before.")
        .body(json!({"required": true, "content": {"application/json": {"schema": span}}}))
        .problems(&["400", "404", "409", "413", "415", "422", "503"])
}

fn order_docs(id: &'static str, tag: &'static str, summary: &'static str, answer: Answer) -> Operation {
    Operation::new(id, tag, summary, answer).parameters([in_path("name", "Its name.", json!({"type": "string"}))])
}

fn one() -> Answer {
    let answer = json!({
        "description": "The schedule.",
        "headers": {"ETag": {"schema": {"type": "string"}, "description": "For `If-Match`."}},
        "content": content("Schedule"),
    });
    ("200", answer)
}

fn fired() -> Answer {
    ("202", json!({"description": "Taken, with the group of each slot.", "content": content("Firings")}))
}

fn if_match() -> Value {
    json!({"name": "If-Match", "in": "header", "description": "The `ETag` of the version that this changes.",
        "schema": {"type": "string"}})
}

fn invalid(said: String) -> Problem {
    Problem::unprocessable("invalid-schedule", said)
}

fn document(body: Map<String, Value>) -> Result<Document, Problem> {
    Document::read(&Value::Object(body)).map_err(invalid)
}

fn definition(entry: &Entry) -> Result<&Definition, Problem> {
    entry.definition.as_ref().map_err(|said| invalid(said.clone()))
}

/// A JSON object of these fields, or no body.
async fn fields(services: &Services, request: Request, known: &[&str]) -> Result<Map<String, Value>, Problem> {
    let is_empty = axum::body::HttpBody::is_end_stream(request.body());
    if is_empty {
        return Ok(Map::new());
    }
    let example = format!("{{\"{}\": …}}", known.join("\": …, \""));
    let body = object(request, services.limits.max_body_bytes, &example).await?;
    match body.keys().find(|name| !known.contains(&name.as_str())) {
        Some(other) => {
            let detail = format!("Unknown field `{}`; known: {}.", other.escape_debug(), known.join(", "));
            Err(Problem::bad_request("unknown-field", detail))
        }
        None => Ok(body),
    }
}

fn instant(fields: &Map<String, Value>, name: &str) -> Result<Timestamp, Problem> {
    let value = fields.get(name).ok_or_else(|| invalid(format!("{name}: is missing")))?;
    let instant = value.as_str().and_then(|text| text.parse().ok());
    instant.ok_or_else(|| invalid(format!("{name}: {value} is not an instant such as 2026-12-01T00:00:00Z")))
}

/// The service's own schedules are part of it.
fn changeable(services: &Services, name: &str) -> Result<(), Problem> {
    if services.sweeps.iter().any(|sweep| sweep.name == name) {
        return Err(Fault::ReadOnly(format!("`{name}` is the service's own schedule")).into());
    }
    Ok(())
}

async fn known(services: &Services, name: &str) -> Result<Entry, Problem> {
    let asked = name.to_owned();
    let found = on_disk(services, move |shelf| Ok(shelf.get(&asked)?)).await?;
    found.ok_or_else(|| Fault::Unknown(name.escape_debug().to_string()).into())
}

async fn answer(services: &Services, entry: &Entry) -> Result<Response, Problem> {
    let mut response = fresh(view::of_entry(&services.broker, entry, Extent::Whole, Timestamp::now()).await?);
    let tag = HeaderValue::try_from(format!("\"{}\"", entry.tag)).expect("hexadecimal digits");
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}

fn taken(document: Value) -> Response {
    (StatusCode::ACCEPTED, fresh(document)).into_response()
}

fn firing_of(slot: Timestamp, group: queue::GroupId) -> Value {
    json!({"slot": slot, "group_id": group, "links": {"self": path(&format!("/api/groups/{group}"))}})
}

async fn on_disk<T: Send + 'static>(
    services: &Services,
    work: impl FnOnce(&Shelf) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Problem> {
    let shelf = services.schedules.clone();
    let done = tokio::task::spawn_blocking(move || work(&shelf)).await.expect("small files do not panic");
    Ok(done?)
}
