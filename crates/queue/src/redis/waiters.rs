//! Commands that block. Each runs on a connection of its own, because it would delay all other calls on a shared one.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::Cmd;
use redis::aio::MultiplexedConnection;

use super::link::Link;
use crate::Result;

/// How long after its timeout a command may still be answered, before the server counts as gone.
const GRACE: Duration = Duration::from_secs(1);

/// Connections on which no command blocks at present.
#[derive(Default)]
pub(super) struct Waiters(Mutex<Vec<MultiplexedConnection>>);

impl Waiters {
    /// Waits until one of the lists has a token, and takes it; returns without one after `timeout`.
    pub(super) async fn pop(&self, link: &Link, lists: impl Iterator<Item = String>, timeout: Duration) -> Result<()> {
        let lists: Vec<String> = lists.collect();
        if lists.is_empty() {
            tokio::time::sleep(timeout).await;
            return Ok(());
        }
        let pop = redis::cmd("BLPOP").arg(lists).arg(timeout.as_secs_f64()).to_owned();
        self.wait(link, pop, timeout).await
    }

    /// Runs a command that blocks for up to `timeout`; its answer is discarded.
    pub(super) async fn wait(&self, link: &Link, blocking: Cmd, timeout: Duration) -> Result<()> {
        // To Redis, 0 means without a limit.
        if timeout.is_zero() {
            return Ok(());
        }
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => link.connect(timeout + GRACE).await.map_err(|error| link.explain(&error))?,
        };
        connection.set_response_timeout(timeout + GRACE);
        // If this future is dropped, or the command fails, the connection is dropped, and Redis drops the command with
        // it.
        let ended = connection.send_packed_command(&blocking).await.and_then(redis::Value::extract_error);
        let mut idle = self.idle();
        match ended {
            Ok(_) => {
                idle.push(connection);
                Ok(())
            }
            Err(error) => {
                // The others have most likely failed for the same reason.
                idle.clear();
                Err(link.explain(&error))
            }
        }
    }

    /// Gives up the idle connections.
    pub(super) fn renew(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<MultiplexedConnection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
