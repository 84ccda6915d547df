//! Calls that only read: groups, jobs, queues, lists and events.

use std::time::Duration;

use super::Broker;
use crate::{
    Event, Group, GroupFilter, GroupId, GroupResult, Job, JobFilter, JobId, JobList, ListPosition, ListedJob, Page,
    QueueDepth, Result,
};

impl Broker {
    /// A group; `None` if it is unknown.
    pub async fn group(&self, id: GroupId) -> Result<Option<Group>> {
        either!(self, broker => broker.group(id).await)
    }

    /// A group and its finished jobs, as [`results`](Self::results) lists them, both at one instant: the counters count
    /// what is in the list. For a group of more than 1,000 jobs the list may be newer than the counters.
    pub async fn group_with_results(
        &self,
        id: GroupId,
        from: u32,
        limit: usize,
    ) -> Result<Option<(Group, Vec<GroupResult>)>> {
        either!(self, broker => broker.group_with_results(id, from, limit).await)
    }

    /// The finished jobs of a group with indexes from `from` on, in the order of their indexes, at most `limit`.
    pub async fn results(&self, id: GroupId, from: u32, limit: usize) -> Result<Vec<GroupResult>> {
        either!(self, broker => broker.results(id, from, limit).await)
    }

    /// A job; `None` if it is unknown.
    pub async fn job(&self, id: JobId) -> Result<Option<Job>> {
        either!(self, broker => broker.job(id).await)
    }

    /// Groups by the time they were enqueued, the newest first, after the position `below`. At most `limit`, and at
    /// most 1,000 in one call.
    pub async fn groups(&self, filter: &GroupFilter, below: Option<ListPosition>, limit: usize) -> Result<Page<Group>> {
        either!(self, broker => broker.groups(filter, below, limit).await)
    }

    /// Jobs by the time their group was enqueued, the newest first, after the position `below`, at most `limit`. One
    /// call reads a bounded number of records, so a page may be short or empty although `next` has a position.
    pub async fn jobs(&self, filter: &JobFilter, below: Option<ListPosition>, limit: usize) -> Result<Page<Job>> {
        either!(self, broker => broker.jobs(filter, below, limit).await)
    }

    /// Jobs of one list, at most `limit`, without the first `skip`.
    pub async fn list(&self, list: JobList, skip: usize, limit: usize) -> Result<Vec<ListedJob>> {
        either!(self, broker => broker.list(list, skip, limit).await)
    }

    /// The depths of each queue that ever held a job or is paused.
    pub async fn depths(&self) -> Result<Vec<QueueDepth>> {
        either!(self, broker => broker.depths().await)
    }

    /// How long the oldest waiting job of each queue has waited, for queues in which jobs wait. In each line (the jobs
    /// of one queue, class and priority) only the first [`LINE_HEAD`](crate::LINE_HEAD) jobs are read.
    pub async fn oldest_waiting(&self) -> Result<Vec<(String, Duration)>> {
        either!(self, broker => broker.oldest_waiting().await)
    }

    /// The events after the one with the id `after`, or from the first stored one on; the earliest first, at most
    /// `limit`.
    ///
    /// The last [`Policy::events`](crate::Policy::events) are stored, and somewhat more.
    ///
    /// # Errors
    /// `Invalid` for an id that is not an event's.
    pub async fn events(&self, after: Option<&str>, limit: usize) -> Result<Vec<Event>> {
        either!(self, broker => broker.events(after, limit).await)
    }

    /// The id of the last event; `None` if nothing has happened yet.
    pub async fn last_event(&self) -> Result<Option<String>> {
        either!(self, broker => broker.last_event().await)
    }

    /// Returns when there is an event after the one with the id `after`, or after `timeout`.
    ///
    /// # Errors
    /// `Invalid` for an id that is not an event's.
    pub async fn await_event(&self, after: Option<&str>, timeout: Duration) -> Result<()> {
        either!(self, broker => broker.await_event(after, timeout).await)
    }
}
