//! Calls of operators and of the service's own upkeep: cancel, pause, purge, remove what is old.

use std::time::Duration;

use super::answer::{damaged, ids_of, parsed};
use super::broker::RedisBroker;
use super::script;
use crate::clock::millis;
use crate::{GroupId, JobId, Result, State};

impl RedisBroker {
    pub async fn cancel_job(&self, id: JobId) -> Result<Option<State>> {
        let mut call = self.transition(&script::CANCEL_JOB);
        call.arg(id.to_string());
        let state: Option<String> = parsed(self.link.one(call).await?)?;
        state.map(|state| state.parse().map_err(|_| damaged())).transpose()
    }

    pub async fn cancel_group(&self, id: GroupId, seal: bool) -> Result<Option<u64>> {
        let mut ended = 0;
        loop {
            let mut call = self.transition(&script::CANCEL_GROUP);
            call.arg(id.to_string()).arg(u8::from(seal));
            let Some((count, more)) = parsed::<Option<(u64, bool)>>(self.link.one(call).await?)? else {
                return Ok(None);
            };
            ended += count;
            if !more {
                return Ok(Some(ended));
            }
        }
    }

    pub async fn pause(&self, queue: &str, paused: bool) -> Result<()> {
        let mut call = self.transition(&script::PAUSE);
        call.arg(queue).arg(u8::from(paused));
        self.link.one(call).await.map(drop)
    }

    pub async fn purge(&self, queue: &str) -> Result<u64> {
        let (mut ended, mut began, mut cursor) = (0, String::new(), String::new());
        while cursor != "done" {
            let mut call = self.transition(&script::PURGE);
            call.arg(queue).arg(&began).arg(&cursor);
            let count: u64;
            (count, began, cursor) = parsed(self.link.one(call).await?)?;
            ended += count;
        }
        Ok(ended)
    }

    pub async fn finished_groups(&self, age: Duration, skip: usize, limit: usize) -> Result<Vec<GroupId>> {
        let mut call = self.call(&script::FINISHED);
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        call.arg(millis(age)).arg(count(skip)).arg(count(limit));
        ids_of(parsed(self.link.one(call).await?)?)
    }

    pub async fn remove_group(&self, id: GroupId) -> Result<bool> {
        let mut from: i64 = 0;
        loop {
            let mut call = self.call(&script::REMOVE_GROUP);
            call.arg(id.to_string()).arg(from);
            from = match parsed(self.link.one(call).await?)? {
                -1 => return Ok(true),
                // The group is unknown. If this call has removed jobs of it, the reply to its last chunk was lost.
                -2 => return Ok(from > 0),
                -3 => return Ok(false),
                next => next,
            };
        }
    }
}
