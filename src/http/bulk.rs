//! `POST /api/jobs/cancel` and `POST /api/jobs/retry`: cancel or retry all jobs that match a filter.
//!
//! One request works for a few seconds at most. If more is left, `links.next` goes on where it ended. A request that is
//! repeated does nothing twice: a cancelled job is not open, and a retried job has left the dead-letter list.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use queue::{GroupId, Job, JobFilter, JobId, JobList, Period, State as JobState};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::info;

use super::lists::{filter_docs, job_filter, learn, period_docs};
use crate::http::Services;
use crate::http::access::Caller;
use crate::http::answers::fresh;
use crate::http::base::path;
use crate::http::operation::{Answer, Operation, flag, in_query, ok};
use crate::http::problem::Problem;
use crate::http::request::Parameters;
use crate::http::server::request_id;
use crate::submission::{self, Meta};

/// After this time a request begins no other page of jobs.
const BUDGET: Duration = Duration::from_secs(3);
/// Jobs that are read at a time.
const PAGE: usize = 500;

const PARAMETERS: [&str; 9] = ["state", "queue", "group", "kind", "label", "since", "until", "dry_run", "cursor"];

/// Cancels the jobs that match and have not ended.
pub(super) async fn cancel(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let asked = BulkRequest::of(&uri)?;
    let mut below = asked.query.get("cursor", "what `links.next` of another answer has", |at| at.parse().ok())?;
    let (mut matched, mut cancelled, mut seen) = (0, 0, HashMap::new());
    let until = Instant::now() + BUDGET;
    loop {
        let page = services.broker.jobs(&asked.filter, below, PAGE).await?;
        learn(&services, &caller, &page.entries, &mut seen).await?;
        let visible = page.entries.iter().filter(|job| seen.get(&job.group).is_some_and(|sees| *sees));
        for job in visible.filter(|job| !job.state.is_terminal()) {
            matched += 1;
            if !asked.dry_run {
                // A job that has ended since it was listed stays as it is.
                let now = services.broker.cancel_job(job.id).await?;
                cancelled += usize::from(matches!(now, Some(JobState::Cancelled | JobState::Active)));
            }
        }
        below = page.next;
        if below.is_none() || Instant::now() >= until {
            break;
        }
    }
    asked.log(&caller, "cancelled", cancelled);
    let links = asked.links(&uri, below.map(|below| below.to_string()));
    Ok(fresh(json!({"matched": matched, "cancelled": cancelled, "dry_run": asked.dry_run, "links": links})))
}

pub(super) fn cancel_docs() -> Operation {
    let answer = ok("How many jobs matched, and how many were cancelled.", "BulkCancelled");
    docs("cancelJobs", "Cancel all jobs that match a filter and have not ended.", answer)
        .details("Jobs that are being made end as soon as they can.")
}

/// Retries the failed jobs that match, each group's as a new group.
pub(super) async fn retry(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = BulkRequest::of(&uri)?;
    if asked.filter.state.is_some_and(|state| state != JobState::Failed) {
        let detail =
            "The parameter `state` takes `failed` here: only failed jobs that were not retried yet are retried.";
        return Err(Problem::bad_request("invalid-query", detail));
    }
    // Entries of the dead-letter list that stay on it.
    let mut passed: usize =
        asked.query.get("cursor", "what `links.next` of another answer has", |at| at.parse().ok())?.unwrap_or(0);
    let (mut matched, mut retried, mut refused) = (0, 0, 0);
    let (mut groups, mut metas): (Vec<GroupId>, HashMap<GroupId, Option<Meta>>) = (Vec::new(), HashMap::new());
    let request = request_id::of(&headers);
    let until = Instant::now() + BUDGET;
    let more = loop {
        let listed = services.broker.list(JobList::Dead, passed, PAGE).await?;
        if listed.is_empty() {
            break false;
        }
        let mut by_group: BTreeMap<GroupId, Vec<JobId>> = BTreeMap::new();
        let mut chosen = 0;
        for entry in &listed {
            let Some(job) = services.broker.job(entry.job).await? else { continue };
            let known = match metas.entry(job.group) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    unknown.insert(services.broker.group(job.group).await?.as_ref().map(Meta::of))
                }
            };
            let meta = known.as_ref().filter(|meta| caller.sees(meta));
            if meta.is_some_and(|meta| asked.matches(&job, meta)) {
                by_group.entry(job.group).or_default().push(job.id);
                chosen += 1;
            }
        }
        matched += chosen;
        passed += listed.len();
        if !asked.dry_run {
            for ids in by_group.values() {
                let again =
                    submission::retry_jobs(&services.storage, &services.broker, ids, request.map(str::to_owned));
                match again.await {
                    Ok(submitted) => {
                        retried += ids.len();
                        passed -= ids.len();
                        groups.push(submitted.group);
                    }
                    Err(submission::Error::Unknown(_) | submission::Error::NotRetryable(_)) => refused += ids.len(),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        if Instant::now() >= until {
            break true;
        }
    };
    asked.log(&caller, "retried", retried);
    let links = asked.links(&uri, more.then(|| passed.to_string()));
    Ok(fresh(json!({
        "matched": matched,
        "retried": retried,
        "refused": refused,
        "groups": groups,
        "dry_run": asked.dry_run,
        "links": links,
    })))
}

pub(super) fn retry_docs() -> Operation {
    let answer = ok("How many jobs matched, and how many are retried.", "BulkRetried");
    docs("retryJobs", "Retry all failed jobs that match a filter and were not retried yet.", answer).details(
        "The jobs of each group are retried as a new group, which `groups` names. `refused` counts jobs that cannot be \
        retried, such as those whose original is no longer kept.",
    )
}

fn docs(id: &'static str, summary: &'static str, answer: Answer) -> Operation {
    Operation::new(id, "work", summary, answer)
        .parameters(filter_docs())
        .parameters(period_docs())
        .parameters([
            flag("dry_run", "Only count the jobs that match."),
            in_query("cursor", "Where to go on: `links.next` has it.", json!({"type": "string", "minLength": 1})),
        ])
        .problems(&["400", "503"])
}

/// What a request asks for.
struct BulkRequest {
    query: Parameters,
    filter: JobFilter,
    dry_run: bool,
}

impl BulkRequest {
    /// At least one filter is needed, so that nobody acts on all jobs by a typing error.
    fn of(uri: &Uri) -> Result<Self, Problem> {
        let query = Parameters::of(uri, &PARAMETERS)?;
        let filter = job_filter(&query)?;
        if filter == JobFilter::default() {
            let detail = "Name at least one filter: state, queue, group, kind, label, since or until.";
            return Err(Problem::bad_request("invalid-query", detail));
        }
        let flag = |word: &str| match word {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        };
        let dry_run = query.get("dry_run", "true or false", flag)?.unwrap_or(false);
        Ok(Self { query, filter, dry_run })
    }

    /// Whether a failed job matches.
    fn matches(&self, job: &Job, meta: &Meta) -> bool {
        let JobFilter { state, queue, kind, group, label, submitted: Period { since, until } } = &self.filter;
        let is = |wanted: &Option<String>, it: &str| wanted.as_deref().is_none_or(|wanted| wanted == it);
        state.is_none_or(|state| state == job.state)
            && is(queue, &job.queue)
            && is(kind, &job.kind)
            && group.is_none_or(|group| group == job.group)
            && label.as_ref().is_none_or(|label| meta.labels.words().contains(label))
            && since.is_none_or(|since| job.created_at >= since)
            && until.is_none_or(|until| job.created_at < until)
    }

    fn log(&self, caller: &Caller, done: &str, jobs: usize) {
        if !self.dry_run {
            let key = caller.owner().unwrap_or("none");
            info!(key, "{done} {jobs} jobs that match {}", self.query.shown());
        }
    }

    fn links(&self, uri: &Uri, next: Option<String>) -> Value {
        match next {
            Some(next) => json!({"next": path(&format!("{}?{}", uri.path(), self.query.with("cursor", &next)))}),
            None => json!({}),
        }
    }
}
