//! Events: a stream, with one entry for the events of a transition; see `write_events` in `moves.lua`.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::answer::{damaged, instant, parsed, parsed_id};
use super::broker::RedisBroker;
use crate::clock::millis;
use crate::{Error, Event, EventKind, Result};

/// Largest number of entries to ask for in one command.
const PAGE: usize = 100;
/// Length of the id of a job or a group.
const ID: usize = 36;
/// Smallest number of digits of an event's number. Numbers start at the microseconds since 1970.
const DIGITS: usize = 16;

impl RedisBroker {
    pub async fn events(&self, after: Option<&str>, limit: usize) -> Result<Vec<Event>> {
        let mut after = after.map_or(Ok(0), number)?;
        let mut events = Vec::new();
        while events.len() < limit {
            let page = PAGE.min(limit - events.len());
            let mut read = redis::cmd("XRANGE");
            read.arg(self.events_key()).arg(format!("({after}")).arg("+").arg("COUNT").arg(page);
            let entries: Vec<(String, HashMap<String, Bytes>)> = parsed(self.link.one(read).await?)?;
            for (id, fields) in &entries {
                let last = id.split_once('-').and_then(|(last, _)| last.parse().ok()).ok_or_else(damaged)?;
                let field = |field| fields.get(field).ok_or_else(damaged);
                unpack(field("news")?, last, instant(Some(field("at")?))?, after, &mut events)?;
                after = last;
            }
            if entries.len() < page {
                break;
            }
        }
        events.truncate(limit);
        Ok(events)
    }

    pub async fn last_event(&self) -> Result<Option<String>> {
        let read = redis::cmd("GET").arg(format!("{}told", self.prefix)).to_owned();
        let last: Option<u64> = parsed(self.link.one(read).await?)?;
        Ok(last.map(event_id))
    }

    pub async fn await_event(&self, after: Option<&str>, timeout: Duration) -> Result<()> {
        let after = after.map_or(Ok(0), number)?;
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(1).arg("BLOCK").arg(millis(timeout)).arg("STREAMS").arg(self.events_key()).arg(after);
        self.waiters.wait(&self.link, read, timeout).await
    }

    fn events_key(&self) -> String {
        format!("{}events", self.prefix)
    }
}

/// Adds the events of one entry to `events`, without those up to number `after`. `last` is the number of its last
/// event.
fn unpack(packed: &[u8], last: u64, at: Timestamp, after: u64, events: &mut Vec<Event>) -> Result<()> {
    let (mut group, mut unpacked, mut rest) = (None, Vec::new(), packed);
    while let Some((&letter, more)) = rest.split_first() {
        let length = if letter.is_ascii_uppercase() { 0 } else { ID };
        let (id, more) = more.split_at_checked(length).ok_or_else(damaged)?;
        rest = more;
        if letter == b'@' {
            group = Some(parsed_id(id)?);
        } else {
            let job = if id.is_empty() { None } else { Some(parsed_id(id)?) };
            unpacked.push((kind(letter)?, group.ok_or_else(damaged)?, job));
        }
    }
    let first = last + 1 - unpacked.len() as u64;
    for (number, (kind, group, job)) in (first..).zip(unpacked) {
        if number > after {
            events.push(Event { id: event_id(number), at, kind, group, job });
        }
    }
    Ok(())
}

fn event_id(number: u64) -> String {
    format!("{number:0DIGITS$}")
}

/// The number of an event's id.
fn number(id: &str) -> Result<u64> {
    let digits = id.len() >= DIGITS && id.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| id.parse().ok()).flatten();
    number.ok_or_else(|| Error::Invalid(format!("`{id}` is not the id of an event, a number of {DIGITS} digits")))
}

fn kind(letter: u8) -> Result<EventKind> {
    Ok(match letter {
        b'E' => EventKind::Enqueued,
        b'b' => EventKind::Started,
        b'r' => EventKind::Retried,
        b't' => EventKind::Stalled,
        b'l' => EventKind::Released,
        b'o' => EventKind::Succeeded,
        b'f' => EventKind::Failed,
        b'c' => EventKind::Cancelled,
        b'F' => EventKind::Finished,
        b'T' => EventKind::Fired,
        _ => return Err(damaged()),
    })
}
