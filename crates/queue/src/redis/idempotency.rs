//! Idempotency keys: reserved while a group is being received, bound by the script that enqueues it.

use std::time::Duration;

use redis::Value;

use super::answer::{damaged, id_of, parsed};
use super::broker::RedisBroker;
use super::script;
use crate::clock::millis;
use crate::{GroupId, Reservation, Result};

impl RedisBroker {
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
}
