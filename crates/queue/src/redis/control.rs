//! What operators and the service's own upkeep ask for: cancel, pause, purge, idempotency keys, retention.

use std::time::Duration;

use redis::Value;

use super::reads::{damaged, parsed};
use super::{RedisBroker, id_of, ids_of, script};
use crate::clock::millis;
use crate::{GroupId, JobId, State};
use crate::{Reservation, Result};

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

    pub async fn reserve(&self, key: &str, group: GroupId) -> Result<Reservation> {
        let mut call = self.call(&script::RESERVE);
        call.arg(key).arg(group.to_string()).arg(millis(self.policy.reservation));
        let mut answer = parsed::<Vec<Value>>(self.link.one(call).await?)?.into_iter();
        let mut field = || answer.next().ok_or_else(damaged);
        match parsed::<String>(field()?)?.as_str() {
            "granted" => Ok(Reservation::Granted),
            "busy" => Ok(Reservation::Busy),
            _ => Ok(Reservation::Known { group: id_of(field()?)?, fingerprint: parsed::<Vec<u8>>(field()?)?.into() }),
        }
    }

    pub fn reservation(&self) -> Duration {
        self.policy.reservation
    }

    pub async fn unreserve(&self, key: &str, group: GroupId) -> Result<()> {
        let mut call = self.call(&script::UNRESERVE);
        call.arg(key).arg(group.to_string());
        self.link.one(call).await.map(drop)
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
                // Where this call has begun, the last reply was lost.
                -2 => return Ok(from > 0),
                -3 => return Ok(false),
                next => next,
            };
        }
    }
}
