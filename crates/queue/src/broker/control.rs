//! Calls of operators and of the service's own upkeep: cancel, pause, purge, remove what is old, bind the queue to a
//! store.

use std::time::Duration;

use uuid::Uuid;

use super::{Broker, check};
use crate::{GroupId, JobId, Result, State};

impl Broker {
    /// Cancels a job. If it waits or is delayed, it ends at once. If it runs, its worker is asked for a heartbeat,
    /// whose answer asks the worker to stop; a success or failure that is settled before that still counts, and any
    /// other verdict ends the job as cancelled.
    ///
    /// Returns the job's state after the call; `None` if the job is unknown.
    pub async fn cancel_job(&self, id: JobId) -> Result<Option<State>> {
        let state = either!(self, broker => broker.cancel_job(id).await)?;
        if state == Some(State::Active) {
            self.hurry_heartbeats().await;
        }
        Ok(state)
    }

    /// Cancels each job of a group as [`cancel_job`](Self::cancel_job) does. Claims take none of its jobs from now on;
    /// those that wait are then ended in chunks, so that the group ends even without a worker. A group that is not
    /// sealed stays so: jobs may still be added, and are cancelled at once.
    ///
    /// Returns how many jobs this call ended; `None` if the group is unknown.
    pub async fn cancel_group(&self, id: GroupId) -> Result<Option<u64>> {
        self.cancel(id, false).await
    }

    /// As [`cancel_group`](Self::cancel_group), and seals the group, so that no jobs can be added to it.
    pub async fn abandon_group(&self, id: GroupId) -> Result<Option<u64>> {
        self.cancel(id, true).await
    }

    async fn cancel(&self, id: GroupId, seal: bool) -> Result<Option<u64>> {
        let ended = either!(self, broker => broker.cancel_group(id, seal).await)?;
        if ended.is_some() && !matches!(self.group(id).await, Ok(Some(group)) if group.pending == 0) {
            self.hurry_heartbeats().await;
        }
        Ok(ended)
    }

    /// Asks each worker for a heartbeat, by an empty letter, so that a cancel takes effect before its next regular one.
    async fn hurry_heartbeats(&self) {
        // If this fails, the next regular heartbeat has the same effect.
        for worker in self.workers().await.unwrap_or_default() {
            let _ = self.post(&worker.session, b"").await;
        }
    }

    /// Stops claims from taking jobs out of the queue. Jobs are still enqueued, and running jobs go on.
    ///
    /// # Errors
    /// `Invalid` for a queue name that is not a word; so for [`resume`](Self::resume) and [`purge`](Self::purge).
    pub async fn pause(&self, queue: &str) -> Result<()> {
        check::queue_name(queue)?;
        either!(self, broker => broker.pause(queue, true).await)
    }

    /// Lets claims take jobs from the queue again, and wakes idle workers.
    pub async fn resume(&self, queue: &str) -> Result<()> {
        check::queue_name(queue)?;
        either!(self, broker => broker.pause(queue, false).await)
    }

    /// Cancels, in chunks, the jobs that wait or are delayed in the queue when the call begins. Returns their number.
    pub async fn purge(&self, queue: &str) -> Result<u64> {
        check::queue_name(queue)?;
        either!(self, broker => broker.purge(queue).await)
    }

    /// Groups that finished longer than `age` ago, the earliest first, at most `limit`, without the first `skip`.
    pub async fn finished_groups(&self, age: Duration, skip: usize, limit: usize) -> Result<Vec<GroupId>> {
        either!(self, broker => broker.finished_groups(age, skip, limit).await)
    }

    /// Removes the records of a finished group and its jobs, in chunks; the group's own record is removed last.
    ///
    /// Returns `false`, and removes nothing, if the group is unknown or unfinished.
    pub async fn remove_group(&self, id: GroupId) -> Result<bool> {
        either!(self, broker => broker.remove_group(id).await)
    }

    /// The id of the store that the jobs belong to, where their originals and outputs are. A queue that has none yet
    /// takes `mine`; if several programs ask at once, all get the same answer.
    pub async fn store_or(&self, mine: Uuid) -> Result<Uuid> {
        either!(self, broker => broker.store_or(mine).await)
    }

    /// Binds the queue to this store. For operators, after the store was moved or replaced.
    pub async fn move_to_store(&self, store: Uuid) -> Result<()> {
        either!(self, broker => broker.move_to_store(store).await)
    }
}
