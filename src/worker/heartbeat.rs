//! Renews a worker's leases, reports its state and reads its mail. It uses a thread and connections of its own, so no
//! long picture and no number of results can cost a lease.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use queue::{Broker, JobId, Lease};
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::attempt::Stop;
use super::control::{Controls, Letter};
use super::event::Event;
use super::watchdog;
use crate::metrics::Metrics;

/// Longest wait for mail in one call.
const MAIL_WAIT: Duration = Duration::from_secs(5);
/// Time for the last answer to a letter, and for removing the worker from the list.
const FAREWELL: Duration = Duration::from_secs(2);

/// The leases that this worker holds.
#[derive(Default)]
pub(super) struct Leases {
    held: Mutex<HashMap<JobId, Lease>>,
}

impl Leases {
    /// Adds a lease; returns the older lease on the same job that it replaces.
    pub(super) fn hold(&self, lease: &Lease) -> Option<Lease> {
        self.locked().insert(lease.job, lease.clone())
    }

    /// Removes a lease. A newer lease on the same job is kept.
    pub(super) fn forget(&self, lease: &Lease) {
        let mut held = self.locked();
        if held.get(&lease.job) == Some(lease) {
            held.remove(&lease.job);
        }
    }

    pub(super) fn snapshot(&self) -> Vec<Lease> {
        self.locked().values().cloned().collect()
    }

    /// Whether the lease is held. A lease settled after the heartbeat was sent is not lost.
    fn holds(&self, lease: &Lease) -> bool {
        self.locked().get(&lease.job) == Some(lease)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, Lease>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Heartbeat {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Heartbeat {
    /// Starts the heartbeat with a beat every `every`. Lost leases and cancelled jobs are sent to `events`. `broker` is
    /// the worker's own, which the watchdog watches.
    pub(super) async fn start(
        broker: &Broker,
        leases: Arc<Leases>,
        every: Duration,
        controls: Controls,
        metrics: Metrics,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<Self> {
        let (watched, broker) = (broker.clone(), broker.dedicated().await?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("heartbeat".into()).spawn(move || {
            runtime.block_on(async {
                let hurry = Notify::new();
                let rest = async {
                    tokio::select! {
                        () = stopped.cancelled() => {}
                        () = beat(&broker, &leases, every, &hurry, &events) => {}
                        () = report(&broker, &controls, every) => {}
                        () = watchdog::watch(&watched, &broker, &controls, &metrics) => {}
                    }
                };
                let all = async {
                    // The letter that ordered the end is still answered.
                    tokio::join!(rest, read_mail(&broker, &controls, &hurry, &stopped));
                    broker.sign_off(controls.session()).await
                };
                let too_late = async {
                    stopped.cancelled().await;
                    sleep(FAREWELL).await;
                };
                tokio::select! {
                    Ok(()) = all => {}
                    () = too_late => debug!("the worker stays listed until it is forgotten"),
                }
            });
        })?;
        Ok(Self { stop, thread })
    }

    /// Ends the heartbeat, after removing the worker from the list.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        let _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
    }
}

async fn beat(
    broker: &Broker,
    leases: &Leases,
    every: Duration,
    hurry: &Notify,
    events: &mpsc::UnboundedSender<Event>,
) {
    let mut away = false;
    loop {
        // Sooner after a failure, because the lease lasts only two more beats.
        let pause = sleep(if away { every / 5 } else { every });
        tokio::select! {
            () = pause => {}
            () = hurry.notified() => {}
        }
        let held = leases.snapshot();
        if held.is_empty() {
            continue;
        }
        match broker.beat(&held).await {
            Ok(answer) => {
                if std::mem::take(&mut away) {
                    info!("the heartbeat reaches the broker again");
                }
                let of: HashMap<JobId, &Lease> = held.iter().map(|lease| (lease.job, lease)).collect();
                let lost = answer.lost.iter().map(|job| (job, Stop::LeaseLost));
                let cancelled = answer.cancelled.iter().map(|job| (job, Stop::Cancelled));
                for (job, cause) in lost.chain(cancelled) {
                    if let Some(&lease) = of.get(job).filter(|lease| leases.holds(lease)) {
                        let _ = events.send(Event::Stop(lease.clone(), cause));
                    }
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    warn!("a heartbeat failed: {error}");
                }
            }
        }
    }
}

/// Reports the worker's state.
async fn report(broker: &Broker, controls: &Controls, every: Duration) {
    loop {
        if let Err(error) = broker.report(controls.session(), &controls.report().to_bytes()).await {
            debug!("cannot report: {error}");
        }
        sleep(every).await;
    }
}

/// Carries out the commands in letters, and answers each with a report. An empty letter asks for a heartbeat and gets
/// no answer.
async fn read_mail(broker: &Broker, controls: &Controls, hurry: &Notify, stopped: &CancellationToken) {
    loop {
        let letters = tokio::select! {
            () = stopped.cancelled() => return,
            letters = broker.collect(controls.session(), MAIL_WAIT) => letters,
        };
        let letters = match letters {
            Ok(letters) => letters,
            Err(error) => {
                debug!("cannot read the mail: {error}");
                sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        for letter in letters {
            if letter.is_empty() {
                hurry.notify_one();
                continue;
            }
            let letter: Letter = match serde_json::from_slice(&letter) {
                Ok(letter) => letter,
                Err(error) => {
                    warn!("a letter that cannot be read: {error}");
                    continue;
                }
            };
            info!("obeys {:?}", letter.command);
            controls.obey(&letter.command);
            if let Err(error) = broker.post(&letter.reply, &controls.report().to_bytes()).await {
                warn!("cannot answer {}: {error}", letter.reply);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use queue::{ClaimRequest, Clock, NewGroup, NewJob, Policy};
    use queue::{Class, GroupId};

    /// In one beat, another worker has taken over the lease of the first job, and the second job is cancelled.
    #[tokio::test]
    async fn worker_is_told_which_leases_it_lost_and_what_is_cancelled() {
        let folder = tempfile::tempdir().unwrap();
        let (clock, policy) = (Clock::default(), Policy::default());
        let file = folder.path().join("queue.db");
        let broker = Broker::open_sqlite_unsynced(&file, policy.clone(), clock.clone()).unwrap();
        let jobs: Vec<NewJob> = (0..2)
            .map(|index| NewJob { index, ..NewJob::new("image.process", "q", Class::Cpu, "{}".into()) })
            .collect();
        broker.enqueue(&NewGroup::new(GroupId::new(), "{}".into()), &jobs).await.unwrap();
        let claim = async |session: &str| {
            let (session, queues) = (session.to_owned(), vec!["q".to_owned()]);
            let request = ClaimRequest { session, sequence: 1, queues, class: Class::Cpu, limit: 1 };
            broker.claim(&request).await.unwrap().jobs.remove(0).lease
        };
        let leases = Arc::new(Leases::default());
        let lost = claim("asleep").await;
        leases.hold(&lost);
        clock.advance(policy.lease * 2);
        assert_eq!(claim("awake").await.job, lost.job);
        let cancelled = claim("busy").await;
        leases.hold(&cancelled);
        broker.cancel_job(cancelled.job).await.unwrap();

        let (events, mut told) = mpsc::unbounded_channel();
        let beating = {
            let (broker, leases) = (broker.clone(), Arc::clone(&leases));
            let hurry = Notify::new();
            tokio::spawn(async move { beat(&broker, &leases, Duration::from_millis(1), &hurry, &events).await })
        };
        for (lease, cause) in [(lost, Stop::LeaseLost), (cancelled, Stop::Cancelled)] {
            let event = tokio::time::timeout(Duration::from_mins(1), told.recv()).await.expect("a beat says so");
            let Some(Event::Stop(stopped, why)) = event else { panic!("another event") };
            assert_eq!((stopped, why), (lease, cause));
        }
        beating.abort();
    }

    /// A worker whose lease expired may get the same job again while the first attempt still runs.
    #[test]
    fn end_of_a_lost_attempt_leaves_the_lease_of_the_next() {
        let leases = Leases::default();
        let job = JobId::new();
        let [old, new] = [1, 2].map(|run| Lease { job, token: format!("session:{run}") });
        assert_eq!(leases.hold(&old), None);
        assert_eq!(leases.hold(&new), Some(old.clone()), "the older attempt goes on for nothing");
        assert!(!leases.holds(&old) && leases.holds(&new));
        leases.forget(&old);
        assert_eq!(leases.snapshot(), std::slice::from_ref(&new));
        leases.forget(&new);
        assert!(leases.snapshot().is_empty());
    }
}
