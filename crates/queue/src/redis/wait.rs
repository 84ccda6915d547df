//! Commands that block, on connections of their own: they would hold up whatever shares one.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::Cmd;
use redis::aio::MultiplexedConnection;

use super::link::Link;
use crate::Result;

/// Past the time asked for, before a silent server counts as gone.
const GRACE: Duration = Duration::from_secs(1);

/// Connections on which nobody waits at present.
#[derive(Default)]
pub(super) struct Waiters(Mutex<Vec<MultiplexedConnection>>);

impl Waiters {
    /// Takes a token off the first of the lists that has one; returns without one after `timeout`.
    pub(super) async fn pop(&self, link: &Link, lists: impl Iterator<Item = String>, timeout: Duration) -> Result<()> {
        let lists: Vec<String> = lists.collect();
        if lists.is_empty() {
            tokio::time::sleep(timeout).await;
            return Ok(());
        }
        let pop = redis::cmd("BLPOP").arg(lists).arg(timeout.as_secs_f64()).to_owned();
        self.wait(link, pop, timeout).await
    }

    /// Runs a command that blocks for up to `timeout`; its answer is nobody's.
    pub(super) async fn wait(&self, link: &Link, blocking: Cmd, timeout: Duration) -> Result<()> {
        // No time at all would mean for ever.
        if timeout.is_zero() {
            return Ok(());
        }
        let kept = self.kept().pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => link.connect(timeout + GRACE).await.map_err(|error| link.explain(&error))?,
        };
        connection.set_response_timeout(timeout + GRACE);
        // Given up halfway or failed, the connection is dropped, and Redis forgets the command with it.
        let ended = connection.send_packed_command(&blocking).await.and_then(redis::Value::extract_error);
        let mut kept = self.kept();
        match ended {
            Ok(_) => {
                kept.push(connection);
                Ok(())
            }
            Err(error) => {
                // What cut this one has most likely cut the others.
                kept.clear();
                Err(link.explain(&error))
            }
        }
    }

    /// Gives up the connections on which nobody waits.
    pub(super) fn renew(&self) {
        self.kept().clear();
    }

    fn kept(&self) -> MutexGuard<'_, Vec<MultiplexedConnection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
