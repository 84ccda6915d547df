//! Checks of arguments, before a backend is called.
//!
//! Both backends rely on them: names become parts of Redis' keys, results are paged by index, and no two jobs of a
//! group have the same id.

use std::collections::HashMap;

use crate::contract::CHUNK;
use crate::{Advance, CURSOR_NOTES, ClaimRequest, Error, NewGroup, NewJob, Result};

/// Largest number of labels of a group.
const MOST_LABELS: usize = 16;

pub(super) fn group(group: &NewGroup, members: &[NewJob]) -> Result<()> {
    jobs(members)?;
    if let Some(bound) = &group.key {
        key(&bound.name)?;
    }
    labels(&group.labels)?;
    match &group.then {
        Some(then) if then.group == group.id => invalid(format!("group {} follows itself", group.id)),
        Some(then) => jobs(std::slice::from_ref(&then.job)),
        None => Ok(()),
    }
}

/// Redis keeps the labels of a group as lines of one field.
fn labels(labels: &[String]) -> Result<()> {
    if labels.len() > MOST_LABELS {
        return invalid(format!("a group has at most {MOST_LABELS} labels, this one {}", labels.len()));
    }
    match labels.iter().find(|label| !(1..=255).contains(&label.len()) || label.contains('\n')) {
        Some(wrong) => {
            invalid(format!("label `{}` is not of 1 to 255 bytes without line breaks", wrong.escape_debug()))
        }
        None => Ok(()),
    }
}

/// Jobs that are added to a group; the first index may be any number.
pub(super) fn part(whole: &NewGroup, members: &[NewJob]) -> Result<()> {
    if let Some(held) = members.iter().find(|job| job.after.is_some()) {
        return invalid(format!("job {} waits for another, and its group comes in parts", held.id));
    }
    let first = members.first().map_or(0, |job| job.index);
    let from_zero = |job: &NewJob| NewJob { index: job.index.wrapping_sub(first), ..job.clone() };
    group(whole, &members.iter().map(from_zero).collect::<Vec<_>>())
}

fn jobs(jobs: &[NewJob]) -> Result<()> {
    let mut ids = HashMap::with_capacity(jobs.len());
    let mut indexes = vec![false; jobs.len()];
    for job in jobs {
        queue_name(&job.queue)?;
        if !(1..=10).contains(&job.priority) {
            return invalid(format!("priority {} of job {} is not within 1–10", job.priority, job.id));
        }
        if ids.insert(job.id, job.index).is_some() {
            return invalid(format!("job {} stands twice in its group", job.id));
        }
        match indexes.get_mut(job.index as usize) {
            Some(taken) if !*taken => *taken = true,
            _ => return invalid(format!("index {} of job {} is taken or leaves a hole", job.index, job.id)),
        }
    }
    // Chunks are enqueued in this order, so a job never comes before the one that it waits for.
    if !jobs.is_sorted_by_key(|job| job.index) {
        return invalid("the jobs of a group do not stand in the order of their indexes".into());
    }
    for job in jobs {
        let Some(after) = job.after else { continue };
        if ids.get(&after).is_none_or(|&index| index >= job.index) {
            return invalid(format!("job {} waits for {after}, which does not come before it in its group", job.id));
        }
    }
    Ok(())
}

/// A move of a cursor, and the work that comes with it.
pub(super) fn advance(advance: &Advance, work: Option<(&NewGroup, &[NewJob])>) -> Result<()> {
    cursor(&advance.cursor)?;
    if !(1..=255).contains(&advance.next.len()) {
        return invalid(format!("a cursor's value has 1 to 255 bytes, this one {}", advance.next.len()));
    }
    if advance.notes.len() > CURSOR_NOTES {
        return invalid(format!("a cursor keeps {CURSOR_NOTES} notes, this move has {}", advance.notes.len()));
    }
    let Some((whole, members)) = work else { return Ok(()) };
    if members.len() > CHUNK {
        return invalid(format!("a cursor's move brings at most {CHUNK} jobs, this one {}", members.len()));
    }
    group(whole, members)
}

pub(super) fn cursor(name: &str) -> Result<()> {
    if (1..=255).contains(&name.len()) {
        return Ok(());
    }
    invalid(format!("a cursor's name has 1 to 255 bytes, this one {}", name.len()))
}

pub(super) fn claim(request: &ClaimRequest) -> Result<()> {
    session(&request.session)?;
    request.queues.iter().try_for_each(|queue| queue_name(queue))
}

pub(super) fn session(name: &str) -> Result<()> {
    if is_word(name, b"._-:@") {
        return Ok(());
    }
    invalid(format!("session `{name}` is not a word of at most 128 letters, digits and any of `._-:@`"))
}

pub(super) fn key(key: &str) -> Result<()> {
    if (1..=255).contains(&key.len()) {
        return Ok(());
    }
    invalid(format!("an idempotency key has 1 to 255 bytes, this one {}", key.len()))
}

pub(super) fn queue_name(name: &str) -> Result<()> {
    if is_word(name, b"._-") {
        return Ok(());
    }
    invalid(format!("queue name `{name}` is not a word of at most 128 letters, digits and any of `._-`"))
}

fn is_word(text: &str, also: &[u8]) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
}

fn invalid<T>(detail: String) -> Result<T> {
    Err(Error::Invalid(detail))
}
