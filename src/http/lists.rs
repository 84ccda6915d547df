//! `GET /api/jobs` and `GET /api/groups`: lists with filters, the newest first, in pages.
//!
//! A page has what the caller may see. The work of one request is limited, so a page may be short or empty and still
//! have a next one.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use queue::{GroupFilter, GroupId, Job, JobFilter, ListPosition, Period, State as JobState};
use serde_json::{Value, json};

use crate::errors::Failure;
use crate::http::Services;
use crate::http::access::Caller;
use crate::http::answers::fresh;
use crate::http::base::path;
use crate::http::groups::{Document, Links, STATUSES, image_of};
use crate::http::operation::{Operation, in_query, ok, one_of};
use crate::http::problem::Problem;
use crate::http::request::Parameters;
use crate::job::labels;
use crate::kinds::{Payload, WorkflowAdvance};
use crate::submission::Meta;

/// Entries of a page: the default, and the largest number.
pub(super) const PAGE: usize = 100;
pub(super) const LARGEST_PAGE: usize = 1_000;
/// Calls of the broker for one page. Each reads at most a thousand groups or jobs.
const CALLS: usize = 10;
/// Groups that are read at a time.
const READS: usize = 64;

const OF_LISTS: [&str; 4] = ["since", "until", "limit", "cursor"];

pub(super) async fn jobs(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let known = [&["state", "queue", "group", "kind", "label"], &OF_LISTS[..]].concat();
    let asked = Parameters::of(&uri, &known)?;
    let filter = job_filter(&asked)?;
    let (limit, mut below) = page(&asked)?;
    let (mut jobs, mut seen): (Vec<Value>, HashMap<GroupId, bool>) = (Vec::new(), HashMap::new());
    for _ in 0..CALLS {
        let page = services.broker.jobs(&filter, below, limit - jobs.len()).await?;
        learn(&services, &caller, &page.entries, &mut seen).await?;
        let shown = page.entries.iter().filter(|job| is_shown(job, &filter));
        let shown = shown.filter(|job| seen.get(&job.group).is_some_and(|sees| *sees));
        jobs.extend(shown.map(of_job));
        below = page.next;
        if below.is_none() || jobs.len() == limit {
            break;
        }
    }
    Ok(fresh(json!({"jobs": jobs, "links": links(&uri, &asked, below)})))
}

/// The filter that the parameters of a request describe.
pub(super) fn job_filter(asked: &Parameters) -> Result<JobFilter, Problem> {
    let word = |word: &str| (!word.is_empty()).then(|| word.to_owned());
    let states = JobState::ALL.map(JobState::as_str).join(", ");
    Ok(JobFilter {
        state: asked.get("state", &format!("one of {states}"), |state| state.parse().ok())?,
        queue: asked.get("queue", "the name of a queue", word)?,
        kind: asked.get("kind", "a kind of job", word)?,
        group: asked.get("group", "a group's id", |id| id.parse().ok())?,
        label: label(asked)?,
        submitted: period(asked)?,
    })
}

pub(super) async fn groups(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let known = [&["status", "label"], &OF_LISTS[..]].concat();
    let asked = Parameters::of(&uri, &known)?;
    let takes = format!("one of {}", STATUSES.join(", "));
    let status = asked.get("status", &takes, |status| STATUSES.into_iter().find(|known| *known == status))?;
    let filter = GroupFilter { label: label(&asked)?, submitted: period(&asked)? };
    let (limit, below) = page(&asked)?;
    let shown = |document: &Document, meta: &Meta| {
        // Jobs of the service itself matter only when they fail.
        // A workflow's own group is listed as a workflow.
        let is_workflow = meta.kind.as_deref() == Some(WorkflowAdvance::NAME);
        let hidden = is_workflow || meta.is_of_service() && document.failed == 0;
        status.is_none_or(|status| document.status == status) && caller.sees(meta) && !hidden
    };
    let (groups, next) = newest(&services, &filter, below, limit, shown).await?;
    Ok(fresh(json!({"groups": groups, "links": links(&uri, &asked, next)})))
}

pub(super) fn groups_docs() -> Operation {
    Operation::new("groups", "watching", "Groups, the newest first.", ok("A page.", "Groups"))
        .details(PAGES)
        .parameters([one_of("status", "As the group's status says.", &STATUSES), label_parameter()])
        .parameters(list_parameters())
        .problems(&["400", "503"])
}

pub(super) fn jobs_docs() -> Operation {
    Operation::new("jobs", "watching", "Jobs, those of the newest group first.", ok("A page.", "Jobs"))
        .details(PAGES)
        .parameters(filter_docs())
        .parameters(list_parameters())
        .problems(&["400", "503"])
}

/// The parameters that [`job_filter`] reads, without the period.
pub(super) fn filter_docs() -> [Value; 5] {
    [
        one_of("state", "Where the job stands.", &JobState::ALL.map(JobState::as_str)),
        in_query("queue", "The queue that it was enqueued to.", json!({"type": "string", "minLength": 1})),
        in_query("group", "Its group.", json!({"type": "string", "format": "uuid"})),
        in_query("kind", "Such as `image.process`.", json!({"type": "string", "minLength": 1})),
        label_parameter(),
    ]
}

const PAGES: &str = "A page may be short, or empty, and have a `links.next` all the same; the list ends where there is none. \
    Pages that follow one another show nothing twice, whatever comes in meanwhile.";

/// The parameters that both lists have, [`OF_LISTS`].
pub(super) fn list_parameters() -> [Value; 4] {
    let [since, until] = period_docs();
    [
        since,
        until,
        in_query(
            "limit",
            "Entries of a page at the most.",
            json!({"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE}),
        ),
        in_query("cursor", "Where the list goes on: `links.next` has it.", json!({"type": "string", "minLength": 1})),
    ]
}

/// The parameters of a period.
pub(super) fn period_docs() -> [Value; 2] {
    let instant = || json!({"type": "string", "format": "date-time"});
    [
        in_query("since", "Of groups that were enqueued then or later.", instant()),
        in_query("until", "Of groups that were enqueued before.", instant()),
    ]
}

/// The caller's newest groups, without those of the service itself.
pub(super) async fn latest(services: &Services, caller: &Caller, limit: usize) -> Result<Vec<Document>, Problem> {
    let is_workflow = |meta: &Meta| meta.kind.as_deref() == Some(WorkflowAdvance::NAME);
    let shown = |_: &Document, meta: &Meta| caller.sees(meta) && !meta.is_of_service() && !is_workflow(meta);
    let (groups, _) = newest(services, &GroupFilter::default(), None, limit, shown).await?;
    Ok(groups)
}

/// The newest groups below `below` that `shown` accepts, and the place below which the next page begins.
async fn newest(
    services: &Services,
    filter: &GroupFilter,
    mut below: Option<ListPosition>,
    limit: usize,
    shown: impl Fn(&Document, &Meta) -> bool,
) -> Result<(Vec<Document>, Option<ListPosition>), Problem> {
    let (mut groups, mut last): (Vec<Document>, _) = (Vec::new(), None);
    for call in 0..CALLS {
        // Each call reads twice as many as the one before, in case few of them are shown.
        let page = services.broker.groups(filter, below, LARGEST_PAGE.min(limit << call)).await?;
        below = page.next;
        for group in &page.entries {
            let meta = Meta::of(group);
            let document = Document::of_group(group, &meta);
            if !shown(&document, &meta) {
                continue;
            }
            if groups.len() == limit {
                // The rest of what was read is for the next page.
                below = last;
                break;
            }
            last = Some(ListPosition { created_at: group.created_at, group: group.id, index: 0 });
            groups.push(document);
        }
        if below.is_none() || groups.len() == limit {
            break;
        }
    }
    Ok((groups, below))
}

/// Maintenance of the service itself is shown if it failed, or if the request asks for its kind, its queue or its group.
fn is_shown(job: &Job, filter: &JobFilter) -> bool {
    let asked_for = filter.kind.is_some() || filter.queue.is_some() || filter.group.is_some();
    asked_for || job.state == JobState::Failed || !Payload::is_maintenance(&job.kind)
}

/// Finds out which of the jobs' groups the caller may see.
pub(super) async fn learn(
    services: &Services,
    caller: &Caller,
    jobs: &[Job],
    seen: &mut HashMap<GroupId, bool>,
) -> Result<(), Problem> {
    let mut unknown: Vec<GroupId> = jobs.iter().map(|job| job.group).filter(|id| !seen.contains_key(id)).collect();
    unknown.dedup();
    let read = async |id| services.broker.group(id).await.map(|group| (id, group));
    let groups: Vec<_> = stream::iter(unknown).map(read).buffered(READS).try_collect().await?;
    for (id, group) in groups {
        seen.insert(id, group.is_some_and(|group| caller.sees(&Meta::of(&group))));
    }
    Ok(())
}

fn of_job(job: &Job) -> Value {
    let failure = job.result.as_deref().and_then(Failure::told_by);
    json!({
        "id": job.id,
        "group": job.group,
        "index": job.index,
        "image": image_of(job),
        "kind": job.kind,
        "queue": job.queue,
        "priority": job.priority,
        "state": job.state,
        "attempts": job.attempt,
        "max_attempts": job.max_attempts,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
        "due_at": job.due_at,
        "error_code": failure.map(|failure| failure.code),
        "links": Links::of_job(job),
    })
}

pub(super) fn label(asked: &Parameters) -> Result<Option<String>, Problem> {
    asked.get("label", "a label's name and value, as in `order:A-17`", labels::word)
}

pub(super) fn label_parameter() -> Value {
    let schema = json!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,63}:.+$", "examples": ["order:A-17"]});
    in_query("label", "A label of the group, its name and value.", schema)
}

pub(super) fn period(asked: &Parameters) -> Result<Period, Problem> {
    let instant = |name| asked.get(name, "an instant such as 2026-07-01T00:00:00Z", |at| at.parse::<Timestamp>().ok());
    Ok(Period { since: instant("since")?, until: instant("until")? })
}

/// How many entries the request wants, and below which place.
pub(super) fn page(asked: &Parameters) -> Result<(usize, Option<ListPosition>), Problem> {
    let takes = format!("a whole number from 1 to {LARGEST_PAGE}");
    let within = |limit: &str| limit.parse().ok().filter(|limit| (1..=LARGEST_PAGE).contains(limit));
    let limit = asked.get("limit", &takes, within)?.unwrap_or(PAGE);
    let below = asked.get("cursor", "what `links.next` of another page has", |cursor| cursor.parse().ok())?;
    Ok((limit, below))
}

pub(super) fn links(uri: &Uri, asked: &Parameters, next: Option<ListPosition>) -> Value {
    let mut links = json!({"self": path(uri.path_and_query().map_or(uri.path(), |whole| whole.as_str()))});
    if let Some(next) = next {
        links["next"] = path(&format!("{}?{}", uri.path(), asked.with("cursor", &next.to_string()))).into();
    }
    links
}
