//! The stream of events. One entry holds a transition's: see `write_events` in `moves.lua`.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use redis::Cmd;

use super::link::Link;
use super::reads::{damaged, instant, parsed, parsed_id};
use crate::clock::millis;
use crate::{Error, Event, EventKind, Result};

/// Entries asked for in one command.
const PAGE: usize = 100;
/// Characters of a job's or group's id.
const ID: usize = 36;
/// Digits of an event's number, which begins as the microseconds since 1970.
const DIGITS: usize = 16;

pub(super) async fn read(link: &Link, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Event>> {
    let mut after = after.map_or(Ok(0), number)?;
    let mut events = Vec::new();
    while events.len() < limit {
        let page = PAGE.min(limit - events.len());
        let mut read = redis::cmd("XRANGE");
        read.arg(format!("{prefix}events")).arg(format!("({after}")).arg("+").arg("COUNT").arg(page);
        let entries: Vec<(String, HashMap<String, Bytes>)> = parsed(link.one(read).await?)?;
        for (name, fields) in &entries {
            let last = name.split_once('-').and_then(|(last, _)| last.parse().ok()).ok_or_else(damaged)?;
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

pub(super) async fn last(link: &Link, prefix: &str) -> Result<Option<String>> {
    let told: Option<u64> = parsed(link.one(redis::cmd("GET").arg(format!("{prefix}told")).to_owned()).await?)?;
    Ok(told.map(name))
}

/// A command that blocks until there is an event after another one.
pub(super) fn next(prefix: &str, after: Option<&str>, timeout: Duration) -> Result<Cmd> {
    let after = after.map_or(Ok(0), number)?;
    let mut read = redis::cmd("XREAD");
    read.arg("COUNT").arg(1).arg("BLOCK").arg(millis(timeout)).arg("STREAMS").arg(format!("{prefix}events")).arg(after);
    Ok(read)
}

/// The events of one entry after number `after`.
fn unpack(news: &[u8], last: u64, at: Timestamp, after: u64, events: &mut Vec<Event>) -> Result<()> {
    let (mut group, mut told, mut rest) = (None, Vec::new(), news);
    while let Some((&letter, more)) = rest.split_first() {
        let names = if letter.is_ascii_uppercase() { 0 } else { ID };
        let (id, more) = more.split_at_checked(names).ok_or_else(damaged)?;
        rest = more;
        if letter == b'@' {
            group = Some(parsed_id(id)?);
        } else {
            let job = if id.is_empty() { None } else { Some(parsed_id(id)?) };
            told.push((kind(letter)?, group.ok_or_else(damaged)?, job));
        }
    }
    let first = last + 1 - told.len() as u64;
    for (number, (kind, group, job)) in (first..).zip(told) {
        if number > after {
            events.push(Event { id: name(number), at, kind, group, job });
        }
    }
    Ok(())
}

fn name(number: u64) -> String {
    format!("{number:0DIGITS$}")
}

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
