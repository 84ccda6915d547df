//! Waiting for a wake token, on connections of their own: a blocking pop would hold up whatever shares one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;

use super::super::Result;
use super::link::Link;
use crate::job::Class;

/// Past the time asked for, before a silent server counts as gone.
const GRACE: Duration = Duration::from_secs(1);

/// Connections on which nobody waits at present.
#[derive(Default)]
pub(super) struct Waiters(Mutex<Vec<MultiplexedConnection>>);

impl Waiters {
    pub(super) async fn wait(
        &self,
        link: &Link,
        prefix: &str,
        (queues, class): (&[String], Class),
        timeout: Duration,
    ) -> Result<()> {
        if queues.is_empty() || timeout.is_zero() {
            tokio::time::sleep(timeout).await;
            return Ok(());
        }
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => link.connect(timeout + GRACE).await.map_err(|error| link.explain(&error))?,
        };
        connection.set_response_timeout(timeout + GRACE);
        let mut pop = redis::cmd("BLPOP");
        for queue in queues {
            pop.arg(format!("{prefix}wake:{queue}:{}", class.as_str()));
        }
        pop.arg(timeout.as_secs_f64());
        // Given up halfway or failed, the connection is dropped, and Redis forgets the pop with it.
        connection
            .send_packed_command(&pop)
            .await
            .and_then(redis::Value::extract_error)
            .map_err(|error| link.explain(&error))?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(())
    }
}
