//! The status documents of groups and jobs. Both have one shape.

use jiff::Timestamp;
use queue::{Group, GroupId, Job, On, State};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::entries::Entry;
use crate::http::base::path;
use crate::http::problem;
use crate::job::Labels;
use crate::kinds::{ImageProcess, Occasion, Payload};
use crate::maintenance::erasure;
use crate::submission::Meta;

/// All values of `status`.
pub(in crate::http) const STATUSES: [&str; 4] = [PROCESSING, "completed", "failed", "cancelled"];
/// The status of what has not ended.
pub(super) const PROCESSING: &str = "processing";

/// How many jobs are in each state.
#[derive(Debug, Clone, Copy)]
struct Counts {
    total: u32,
    open: u32,
    succeeded: u32,
    pub(in crate::http) failed: u32,
    cancelled: u32,
}

/// A field that is left out does not apply: only groups or only jobs have it, or the request did not ask for it.
#[derive(Debug, Serialize)]
pub(in crate::http) struct Document {
    pub(in crate::http) status: &'static str,
    kind: String,
    task_id: Uuid,
    /// Only of pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_images: Option<u32>,
    /// Of all other kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u32>,
    done: u32,
    succeeded: u32,
    pub(in crate::http) failed: u32,
    cancelled: u32,
    progress: f64,
    created_at: Timestamp,
    finished_at: Option<Timestamp>,
    /// Only of a job.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<Vec<Entry>>,
    pub(super) links: Links,
    /// Changes since the client's last message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) changes: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_of: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<String>,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schedule: Option<Occasion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    follows: Option<GroupId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    then: Option<Then>,
}

#[derive(Debug, Serialize)]
struct Then {
    on: On,
    task_id: GroupId,
}

/// Links from a document to others.
#[derive(Debug, Default, Serialize)]
pub(in crate::http) struct Links {
    #[serde(rename = "self")]
    pub(super) own: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) archive: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) then: Option<String>,
}

impl Counts {
    fn of(group: &Group, meta: &Meta) -> Self {
        let Group { mut total, pending, succeeded, failed, cancelled, sealed, .. } = *group;
        // A group that is not sealed is open, even if all its jobs so far have ended.
        let open = if sealed { pending } else { pending.max(1) };
        if let (false, Some(listed)) = (sealed, meta.listed) {
            total = total.max(listed);
        }
        Self { total, open, succeeded, failed, cancelled }
    }

    /// `processing` if any job is open; else `cancelled` if any was cancelled; else `failed` if no job succeeded; else
    /// `completed`.
    fn status(self) -> &'static str {
        match self {
            Self { open: 1.., .. } => PROCESSING,
            Self { cancelled: 1.., .. } => "cancelled",
            Self { succeeded: 0, .. } => "failed",
            _ => "completed",
        }
    }

    /// Made of the counters alone.
    fn document(self, task_id: Uuid, created_at: Timestamp, finished_at: Option<Timestamp>, links: Links) -> Document {
        let Self { total, succeeded, failed, cancelled, .. } = self;
        let done = succeeded + failed + cancelled;
        Document {
            status: self.status(),
            kind: ImageProcess::NAME.into(),
            task_id,
            total_images: Some(total),
            total: None,
            done,
            succeeded,
            failed,
            cancelled,
            progress: if total == 0 { 1.0 } else { f64::from(done) / f64::from(total) },
            created_at,
            finished_at,
            state: None,
            attempts: None,
            result: None,
            links,
            changes: None,
            files: None,
            rejected: None,
            retry_of: None,
            request_id: None,
            labels: Labels::default(),
            schedule: None,
            follows: None,
            then: None,
        }
    }
}

impl Document {
    pub(in crate::http) fn of_group(group: &Group, meta: &Meta) -> Self {
        let links = Links::of_group(group.id);
        let document = Counts::of(group, meta).document(group.id.into(), group.created_at, group.finished_at, links);
        let document = Self { labels: meta.labels.clone(), ..document };
        match &meta.kind {
            Some(kind) => document.of_kind(kind),
            None => document,
        }
    }

    /// A group all of whose jobs are in one state.
    pub(super) fn of_alike(group: GroupId, created_at: Timestamp, total: u32, state: State) -> Self {
        let (open, cancelled) = if state == State::Cancelled { (0, total) } else { (total, 0) };
        let counts = Counts { total, open, succeeded: 0, failed: 0, cancelled };
        counts.document(group.into(), created_at, None, Links::of_group(group))
    }

    /// A group that has files and no record. Its number of pictures is no longer known. Its id has the time when it was
    /// made.
    pub(super) fn without_record(group: GroupId) -> Self {
        let id = Uuid::from(group);
        let made = id.get_timestamp().and_then(|at| Timestamp::from_second(at.to_unix().0.try_into().ok()?).ok());
        let counts = Counts { total: 0, open: 0, succeeded: 0, failed: 0, cancelled: 0 };
        let document = counts.document(id, made.unwrap_or(Timestamp::UNIX_EPOCH), None, Links::of_group(group));
        Self { status: "completed", result: Some(Vec::new()), rejected: Some(Vec::new()), ..document }
    }

    pub(super) fn of_job(job: &Job) -> Self {
        let one = |state| u32::from(job.state == state);
        let counts = Counts {
            total: 1,
            open: u32::from(!job.state.is_terminal()),
            succeeded: one(State::Succeeded),
            failed: one(State::Failed),
            cancelled: one(State::Cancelled),
        };
        Self {
            state: Some(job.state),
            attempts: Some(job.attempt),
            retry_of: job.retry_of.map(Into::into),
            ..counts.document(job.id.into(), job.created_at, job.finished_at, Links::of_job(job))
        }
        .of_kind(&job.kind)
    }

    /// The same document of jobs of this kind.
    fn of_kind(mut self, kind: &str) -> Self {
        if !Payload::is_picture(kind) {
            self.total = self.total_images.take();
        }
        kind.clone_into(&mut self.kind);
        self
    }

    pub(in crate::http) fn is_final(&self) -> bool {
        self.status != PROCESSING
    }

    /// Adds what the group's record keeps for clients.
    pub(super) fn tell(&mut self, meta: Meta) {
        self.rejected = Some(meta.rejected.iter().map(problem::rejected).collect());
        self.retry_of = meta.retry_of.map(Into::into);
        self.request_id = meta.request_id;
        self.labels = meta.labels;
        self.follows = meta.follows;
        self.schedule = meta.schedule;
        if let Some(then) = meta.then {
            self.links.then = Some(task(then.group));
            self.then = Some(Then { on: then.on, task_id: then.group });
        }
    }

    /// Notes that the files are erased, or soon will be. The paths lead to nothing then.
    pub(super) fn tell_of_files(&mut self, stands: Option<erasure::Stands>) {
        self.files = stands.map(|stands| match stands {
            erasure::Stands::Ordered => "erasing",
            erasure::Stands::Done => "erased",
        });
    }
}

impl Links {
    pub(super) fn of_group(group: GroupId) -> Self {
        Self { own: task(group), events: Some(path(&format!("/api/groups/{group}/events"))), ..Self::default() }
    }

    pub(in crate::http) fn of_job(job: &Job) -> Self {
        Self { own: task(job.id), group: Some(task(job.group)), ..Self::default() }
    }
}

/// The path of a group's or a job's status.
pub(in crate::http) fn task(id: impl std::fmt::Display) -> String {
    path(&format!("/api/task_status/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(sealed: bool, [total, pending, succeeded, failed, cancelled]: [u32; 5]) -> Group {
        Group {
            id: GroupId::new(),
            total,
            pending,
            succeeded,
            failed,
            cancelled,
            sealed,
            meta: "{}".into(),
            created_at: Timestamp::UNIX_EPOCH,
            finished_at: None,
            cancelling: false,
            then: None,
            fired: false,
        }
    }

    #[test]
    fn every_end_counts_as_done() {
        let document = Document::of_group(&group(true, [8, 2, 3, 2, 1]), &Meta::default());
        assert_eq!((document.status, document.total_images, document.done), ("processing", Some(8), 6));
        assert!((document.progress - 0.75).abs() < 1e-9, "{}", document.progress);
    }

    #[test]
    fn only_pictures_are_counted_as_images() {
        let calls = Meta { kind: Some("http.call".into()), ..Meta::default() };
        let document = Document::of_group(&group(true, [8, 2, 3, 2, 1]), &calls);
        assert_eq!((document.kind.as_str(), document.total_images, document.total), ("http.call", None, Some(8)));
        let pictures = Document::of_group(&group(true, [8, 2, 3, 2, 1]), &Meta::default());
        assert_eq!((pictures.kind.as_str(), pictures.total), ("image.process", None));
    }

    #[test]
    fn group_that_still_comes_is_open_and_has_all_pictures_that_were_listed() {
        let listed = Meta { listed: Some(26), ..Meta::default() };
        let begun = Document::of_group(&group(false, [4, 0, 4, 0, 0]), &listed);
        assert_eq!((begun.status, begun.total_images, begun.done), ("processing", Some(26), 4));
        let whole = Document::of_group(&group(true, [26, 0, 26, 0, 0]), &listed);
        assert_eq!((whole.status, whole.total_images, whole.done), ("completed", Some(26), 26));
    }

    #[test]
    fn status_follows_the_counts() {
        let status = |open, succeeded, failed, cancelled| {
            Counts { total: open + succeeded + failed + cancelled, open, succeeded, failed, cancelled }.status()
        };
        assert_eq!(status(1, 5, 0, 3), "processing");
        assert_eq!(status(0, 5, 1, 1), "cancelled");
        assert_eq!(status(0, 0, 2, 0), "failed");
        assert_eq!(status(0, 1, 2, 0), "completed");
    }
}
