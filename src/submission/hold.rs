//! Holds an idempotency key while its submission is being received.
//!
//! A task renews the reservation three times within its duration. So the reservation lasts as long as any upload, and
//! expires within seconds of the death of the receiving process. The same task releases the key after its last renewal,
//! so that no renewal can reserve the key again after the release.

use queue::{Broker, GroupId};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{debug, warn};

/// Number of renewals within the duration of a reservation.
const RENEWALS: u32 = 3;

/// A reserved key. It is released soon after this is dropped, unless it has been bound meanwhile.
pub(super) struct Hold {
    /// Dropped to end the task.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Hold {
    /// Holds a key that was just reserved for `group`.
    pub(super) fn keep(broker: Broker, key: String, group: GroupId) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(hold(broker, key, group, stopped));
        Self { stop, task }
    }

    /// Releases the key; returns after the broker has been called.
    pub(super) async fn release(self) {
        let Self { stop, task } = self;
        drop(stop);
        task.await.expect("holding a key does not panic");
    }
}

async fn hold(broker: Broker, key: String, group: GroupId, mut stopped: oneshot::Receiver<()>) {
    let pause = broker.reservation() / RENEWALS;
    let mut renewals = interval_at(Instant::now() + pause, pause);
    renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            _ = renewals.tick() => {}
        }
        // The call is always awaited, because a dropped call may still be carried out later. If the reservation expired
        // and another request got the key, the enqueue notices that.
        if let Err(error) = broker.reserve(&key, group).await {
            debug!("an idempotency key was not renewed: {error}");
        }
    }
    if let Err(error) = broker.unreserve(&key, group).await {
        warn!("an idempotency key stays reserved for {:?} at most: {error}", broker.reservation());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rusqlite::Connection;

    use super::*;
    use queue::{Clock, Policy, Reservation};

    #[tokio::test]
    async fn key_is_renewed_until_it_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("queue.db");
        let policy = Policy { reservation: Duration::from_millis(150), ..Policy::default() };
        let clock = Clock::default();
        let broker = Broker::open_sqlite_unsynced(&file, policy, clock.clone()).unwrap();
        let group = GroupId::new();
        assert_eq!(broker.reserve("k", group).await.unwrap(), Reservation::Granted);
        let hold = Hold::keep(broker.clone(), "k".into(), group);
        let db = Connection::open(&file).unwrap();
        let expires = || db.query_row("SELECT expires FROM key", [], |row| row.get::<_, i64>(0)).unwrap();

        for _ in 0..3 {
            let before = expires();
            while expires() == before {
                tokio::task::yield_now().await;
            }
        }

        hold.release().await;
        assert_eq!(broker.reserve("k", GroupId::new()).await.unwrap(), Reservation::Granted);
    }
}
