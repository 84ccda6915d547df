//! Workers that report themselves, and the mailboxes for letters to them and from them.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::answer::{damaged, instant, parsed};
use super::broker::RedisBroker;
use super::script;
use crate::clock::millis;
use crate::{MAIL_MEMORY, Result, Worker};

impl RedisBroker {
    pub async fn report(&self, session: &str, report: &[u8]) -> Result<()> {
        let mut call = self.call(&script::REPORT);
        call.arg(session).arg(report);
        self.link.one(call).await.map(drop)
    }

    pub async fn sign_off(&self, session: &str) -> Result<()> {
        let forget = redis::cmd("HDEL").arg(format!("{}workers", self.prefix)).arg(session).to_owned();
        self.link.one(forget).await.map(drop)
    }

    pub async fn workers(&self) -> Result<Vec<Worker>> {
        let mut call = self.call(&script::WORKERS);
        call.arg(millis(self.policy.worker_memory()));
        let found: Vec<(String, Vec<u8>)> = parsed(self.link.one(call).await?)?;
        let worker = |(session, stored): (String, Vec<u8>)| {
            let (seen, report) = dated(stored)?;
            Ok(Worker { session, seen_at: instant(Some(&seen))?, report })
        };
        let mut workers = found.into_iter().map(worker).collect::<Result<Vec<_>>>()?;
        workers.sort_unstable_by(|one, other| one.session.cmp(&other.session));
        Ok(workers)
    }

    pub async fn post(&self, mailbox: &str, letter: &[u8]) -> Result<()> {
        let mut call = self.call(&script::POST);
        call.arg(mailbox).arg(Uuid::now_v7().to_string()).arg(millis(MAIL_MEMORY)).arg(letter);
        self.link.one(call).await.map(drop)
    }

    pub async fn collect(&self, mailbox: &str, timeout: Duration) -> Result<Vec<Bytes>> {
        let deadline = Instant::now() + timeout;
        let number = Uuid::now_v7().to_string();
        loop {
            let mut call = self.call(&script::COLLECT);
            call.arg(mailbox).arg(&number).arg(millis(MAIL_MEMORY));
            let letters: Vec<Vec<u8>> = parsed(self.link.one(call).await?)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if !letters.is_empty() || left.is_zero() {
                return letters.into_iter().map(|letter| Ok(dated(letter)?.1)).collect();
            }
            self.waiters.pop(&self.link, [format!("{}bell:{mailbox}", self.prefix)].into_iter(), left).await?;
        }
    }
}

/// The two parts of `<ms> <text>`.
fn dated(text: Vec<u8>) -> Result<(Bytes, Bytes)> {
    let mut rest = Bytes::from(text);
    let end = rest.iter().position(|&byte| byte == b' ').ok_or_else(damaged)?;
    let date = rest.split_to(end);
    Ok((date, rest.slice(1..)))
}
