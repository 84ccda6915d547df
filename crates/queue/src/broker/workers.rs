//! Calls between workers and those who ask them: reports and letters.

use std::time::Duration;

use bytes::Bytes;

use super::{Broker, check};
use crate::{Result, Worker};

impl Broker {
    /// Records that a worker is alive and what it reports. The report replaces the one before.
    ///
    /// # Errors
    /// `Invalid` for a session that is not a word.
    pub async fn report(&self, session: &str, report: &[u8]) -> Result<()> {
        check::session(session)?;
        either!(self, broker => broker.report(session, report).await)
    }

    /// Removes a worker that ends from the list.
    pub async fn sign_off(&self, session: &str) -> Result<()> {
        either!(self, broker => broker.sign_off(session).await)
    }

    /// The workers that are alive, in the order of their sessions.
    pub async fn workers(&self) -> Result<Vec<Worker>> {
        either!(self, broker => broker.workers().await)
    }

    /// Puts a letter into a mailbox: a command to a worker, whose mailbox is its session, or an answer to it. A mailbox
    /// keeps its last 1,000 letters, for [`MAIL_MEMORY`](crate::MAIL_MEMORY) after the last one.
    ///
    /// # Errors
    /// `Invalid` for a mailbox whose name is not a word.
    pub async fn post(&self, mailbox: &str, letter: &[u8]) -> Result<()> {
        check::session(mailbox)?;
        either!(self, broker => broker.post(mailbox, letter).await)
    }

    /// Takes all letters out of a mailbox, the earliest first. Waits up to `timeout` for the first one; empty if none
    /// came.
    ///
    /// # Errors
    /// `Invalid` for a mailbox whose name is not a word.
    pub async fn collect(&self, mailbox: &str, timeout: Duration) -> Result<Vec<Bytes>> {
        check::session(mailbox)?;
        either!(self, broker => broker.collect(mailbox, timeout).await)
    }
}
