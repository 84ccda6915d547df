//! Streams of server-sent events: of one group until its end, and of everything.
//!
//! A stream subscribes first and then sends the current state, so that no event in between is missed. A stream that
//! goes on after `Last-Event-ID` sends the missed events instead. A listener that is too slow, or was away for longer
//! than events are kept, gets the state again. Streams end when the service ends, and at the latest one sign of life
//! after their key or login ends.

mod end;
mod everything;
mod feed;
mod group;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use prometheus_client::metrics::gauge::Gauge;
use queue::{Broker, GroupId};
use serde::Serialize;
use serde_json::{Value, json};
use tracing::warn;

use crate::http::Services;
use crate::http::access::Caller;
use crate::http::base::Base;
use crate::http::groups::{self, parsed, unknown};
use crate::http::operation::{Answer, Operation, in_query};
use crate::http::problem::Problem;
use crate::http::request::{Parameters, UrlPath};

pub(super) use end::ends_before;
pub use feed::Feed;

/// Time between signs of life on a quiet stream. Proxies close connections that are quiet for longer.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// When a client should reconnect after the end of its stream.
const RETRY: Duration = Duration::from_secs(3);
/// Pause before another try when the broker cannot be reached.
const AGAIN: Duration = Duration::from_secs(2);

/// The stream of a group: `status`, `progress` at each change, and `finished` with the whole status.
pub(super) async fn of_group(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = last_event_id(&uri, &headers)?;
    let group: GroupId = parsed(&id)?;
    let visible = groups::standing(&services, group).await?.is_some_and(|(_, meta)| caller.sees(&meta));
    if !visible {
        return Err(unknown::<GroupId>(&id));
    }
    match group::Follower::start(Arc::clone(&services), group, last.as_deref(), HEARTBEAT).await? {
        Some(follower) => Ok(stream(services, caller, follower)),
        // The client has received the end. 204 stops a browser from reconnecting.
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

pub(super) fn of_group_docs() -> Operation {
    let answer = stream_docs("The events, each with an `id` to go on after.");
    Operation::new("groupEvents", "watching", "Follow a group to its end, as server-sent events.", answer)
        .details(
            "`status` (counts) comes first, `progress` (counts, and in `changes` what has happened since) at each change, \
            `finished` with the whole status at last; then the stream ends. Comments come as signs of life.",
        )
        .subject("group")
        .parameters(last_event_parameters())
        .problems(&["400", "404", "503"])
        .answer("204", json!({"description": "The `Last-Event-ID` is the end's: nothing follows it."}))
}

/// The stream of everything: `status`, and the events of each job and group.
pub(super) async fn of_everything(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = last_event_id(&uri, &headers)?;
    let follower = everything::Follower::start(Arc::clone(&services), last, HEARTBEAT).await?;
    Ok(stream(services, caller, follower))
}

pub(super) fn of_everything_docs() -> Operation {
    let answer = stream_docs("The events.");
    Operation::new("events", "watching", "Follow all that happens, as server-sent events.", answer)
        .details(
            "`status` (as /api/stats) comes first, then what happens to jobs and groups, each named as in its `event`. \
            The stream ends with the service; whoever asks again with the last `id` misses nothing that is still kept.",
        )
        .parameters(last_event_parameters())
        .problems(&["400", "503"])
}

fn stream_docs(about: &str) -> Answer {
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
}

/// The parameters that [`last_event_id`] reads.
fn last_event_parameters() -> [Value; 2] {
    let header = json!({
        "name": "Last-Event-ID", "in": "header", "schema": {"type": "string"},
        "description": "The `id` of the event that was received last: what has happened since is told.",
    });
    let about = "The same, for clients that cannot set the header.";
    [header, in_query("last_event_id", about, json!({"type": "string"}))]
}

/// The event that the client received last, from the header, or from the query for clients that cannot set a header.
fn last_event_id(uri: &Uri, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let asked = Parameters::of(uri, &["last_event_id"])?.get("last_event_id", "an event's id", |id| Some(id.into()))?;
    let sent = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    Ok(sent.or(asked).filter(|id| !id.is_empty()))
}

/// Whether all events after this one are still kept. They are not if the id is unknown, for example from another
/// broker.
async fn is_kept(broker: &Broker, id: &str) -> queue::Result<bool> {
    let (first, last) = (broker.events(None, 1).await?, broker.last_event().await?);
    let within = first.first().is_some_and(|first| *first.id <= *id) && last.is_some_and(|last| *id <= *last);
    if !within {
        return Ok(false);
    }
    match broker.events(Some(id), 0).await {
        Ok(_) => Ok(true),
        Err(queue::Error::Invalid(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The source of a stream's messages.
trait Follow: Send + 'static {
    /// Waits for messages. It may return an empty list; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Option<Vec<Event>>> + Send;
}

fn stream(services: Arc<Services>, caller: Caller, follower: impl Follow) -> Response {
    let open = Open::new(&services.metrics.event_streams);
    // The answer is sent after the request was handled, so it needs its own copy of the prefix.
    let to = (services, caller, open, Base::current());
    let events = stream::unfold((follower, VecDeque::new(), to), |(mut follower, mut told, to)| async move {
        loop {
            if let Some(event) = told.pop_front() {
                return Some((event, (follower, told, to)));
            }
            let (services, caller, _, base) = &to;
            told = base.clone().scope(follower.next()).await?.into();
            if !services.access.still_admits(caller).await {
                return None;
            }
        }
    });
    let events = stream::once(async { Event::default().retry(RETRY) }).chain(events).map(Ok::<_, Infallible>);
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        // nginx would collect events in a buffer.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Sse::new(events)).into_response()
}

fn event(name: &str, document: &impl Serialize) -> Event {
    let told = serde_json::to_string(document).expect("strings and numbers always serialise");
    Event::default().event(name).data(told)
}

fn with_id(event: Event, id: Option<&str>) -> Event {
    match id {
        Some(id) => event.id(id),
        None => event,
    }
}

fn sign_of_life() -> Event {
    Event::default().comment("")
}

/// An open stream, counted until it is dropped.
struct Open(Gauge);

impl Open {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Logs once why a stream stopped.
fn note(error: &queue::Error, noted: &mut bool) {
    if !std::mem::replace(noted, true) {
        warn!("event streams stand still: {error}");
    }
}
