//! What the broker refuses before it asks a backend: calls that are wrong in themselves.
//!
//! Both backends rely on it: names become parts of Redis' keys, results are paged by index, and no id stands twice in
//! one group.

use std::collections::HashSet;

use super::{ClaimRequest, Error, NewJob, Result};

pub(super) fn jobs(jobs: &[NewJob]) -> Result<()> {
    let mut ids = HashSet::with_capacity(jobs.len());
    let mut indexes = vec![false; jobs.len()];
    for job in jobs {
        queue_name(&job.queue)?;
        if !(1..=10).contains(&job.priority) {
            return invalid(format!("priority {} of job {} is not within 1–10", job.priority, job.id));
        }
        if !ids.insert(job.id) {
            return invalid(format!("job {} stands twice in its group", job.id));
        }
        match indexes.get_mut(job.index as usize) {
            Some(taken) if !*taken => *taken = true,
            _ => return invalid(format!("index {} of job {} is taken or leaves a hole", job.index, job.id)),
        }
    }
    Ok(())
}

pub(super) fn claim(request: &ClaimRequest) -> Result<()> {
    if !is_word(&request.session, b"._-:@") {
        return invalid(format!("session `{}` is not a word of letters, digits and any of `._-:@`", request.session));
    }
    request.queues.iter().try_for_each(|queue| queue_name(queue))
}

fn queue_name(name: &str) -> Result<()> {
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
