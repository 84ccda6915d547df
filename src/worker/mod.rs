//! A worker: claims jobs, has them computed on its threads, and settles them.
//!
//! It never waits for a batch as a whole: a finished job is settled at once (with others that end
//! within 2 ms) and its slot refilled in the same round trip. Leases are renewed from a thread of
//! their own, so that no picture, however long, costs one. When the broker is away, results are
//! held and settled again until it is back or the lease is lost.

mod attempt;
mod execute;
mod heartbeat;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::imaging::Limits;
use crate::job::Class;
use crate::metrics::Metrics;
use crate::queue::{self, Broker, Claim, ClaimRequest, ClaimedJob, Policy, Settled, Settlement};
use crate::storage::Storage;

use attempt::Attempts;
use heartbeat::{Heartbeat, Leases};

/// Settlements that go out together at the most, and how long the first waits for company.
const BATCH: usize = 16;
const GATHER: Duration = Duration::from_millis(2);
/// The longest wait for work between two claims, each of which also recovers what expired.
const POLL: Duration = Duration::from_secs(5);
/// Between two tries while the broker is away.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// For telling the broker of results that are there when the grace period ends, however short that was.
const LAST_WORD: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
pub struct Settings {
    /// Pictures computed at a time.
    pub slots: usize,
    /// Jobs claimed ahead of their turn.
    pub ahead: usize,
    pub queues: Vec<String>,
    /// Nice value of the computing threads, 0–19.
    pub niceness: i32,
    pub soft_time_limit: Duration,
    /// After the shutdown signal: what has not ended by then is given back.
    pub shutdown_grace: Duration,
    pub limits: Limits,
    pub policy: Policy,
}

/// Runs until `shutdown`, then finishes what is being computed and gives back what is not.
///
/// # Errors
/// When threads or the heartbeat's connection cannot be had. A broker that goes away later is waited for.
pub async fn run(
    broker: Broker,
    storage: Storage,
    settings: Settings,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> Result<()> {
    let session = uuid::Uuid::now_v7().simple().to_string();
    let leases = Arc::new(Leases::default());
    let heartbeat = Heartbeat::start(&broker, leases.clone(), settings.policy.beat)
        .await
        .context("the heartbeat has no connection to the broker")?;
    let (ended, outcomes) = mpsc::unbounded_channel();
    let attempts = Attempts::new(storage, &settings, leases.clone(), metrics.clone(), ended)?;
    info!(%session, slots = settings.slots, "worker {session} takes jobs from {broker}");
    let claims = Claims { session: session.clone(), sequence: 0, queues: settings.queues.clone(), more: true };
    let shift = Shift { broker, settings, metrics, leases, attempts, outcomes, claims, in_flight: 0 };
    shift.run(&shutdown).await;
    heartbeat.stop();
    info!(%session, "worker {session} has ended");
    Ok(())
}

struct Shift {
    broker: Broker,
    settings: Settings,
    metrics: Metrics,
    leases: Arc<Leases>,
    attempts: Attempts,
    outcomes: mpsc::UnboundedReceiver<attempt::Ended>,
    claims: Claims,
    /// Claimed and not yet settled.
    in_flight: usize,
}

/// The claiming side of a session.
struct Claims {
    session: String,
    /// Of the claim to come. Counts on only once the broker has answered, so that a lost answer is repeated.
    sequence: u64,
    queues: Vec<String>,
    /// The last claim was answered in full, so there may be more.
    more: bool,
}

impl Shift {
    async fn run(mut self, shutdown: &CancellationToken) {
        let mut next_claim = Instant::now();
        // Kept from turn to turn: given up, it would cost its connection.
        let mut work: Option<BoxFuture<'static, queue::Result<()>>> = None;
        loop {
            let hungry = self.free() > 0;
            let watch = hungry && !self.claims.more;
            if watch && work.is_none() {
                work = Some(self.wait_for_work());
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(first) = self.outcomes.recv() => {
                    let batch = self.gather(first).await;
                    if let Some(due) = self.settle(batch, true, shutdown).await {
                        next_claim = due;
                    }
                }
                () = std::future::ready(()), if hungry && self.claims.more => next_claim = self.claim().await,
                () = sleep_until(next_claim), if watch => next_claim = self.claim().await,
                woken = async { work.as_mut().expect("checked").await }, if work.is_some() => {
                    work = None;
                    if let Err(error) = woken {
                        debug!("cannot wait for work: {error}");
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                    // Even without a free slot: that passes the wake-up on to another worker.
                    next_claim = self.claim().await;
                }
            }
        }
        self.drain().await;
    }

    fn wait_for_work(&self) -> BoxFuture<'static, queue::Result<()>> {
        let (broker, queues) = (self.broker.clone(), self.claims.queues.clone());
        Box::pin(async move { broker.wait(&queues, Class::Cpu, POLL).await })
    }

    fn free(&self) -> usize {
        (self.settings.slots + self.settings.ahead).saturating_sub(self.in_flight)
    }

    /// Claims into the free slots; answers when to claim next at the latest.
    async fn claim(&mut self) -> Instant {
        let request = self.request();
        match self.broker.claim(&request).await {
            Ok(claim) => self.begin(&request, claim),
            Err(error) => {
                warn!("cannot claim jobs: {error}; trying again");
                self.claims.more = false;
                Instant::now() + RETRY_PAUSE
            }
        }
    }

    fn request(&self) -> ClaimRequest {
        ClaimRequest {
            session: self.claims.session.clone(),
            sequence: self.claims.sequence,
            queues: self.claims.queues.clone(),
            class: Class::Cpu,
            limit: self.free(),
        }
    }

    fn begin(&mut self, request: &ClaimRequest, claim: Claim) -> Instant {
        self.claims.sequence += 1;
        self.claims.more = request.limit > 0 && claim.jobs.len() >= request.limit;
        for job in claim.jobs {
            self.in_flight += 1;
            self.start(job);
        }
        self.metrics.jobs_in_flight.set(self.in_flight as i64);
        Instant::now() + claim.next_due.map_or(POLL, |due| due.min(POLL))
    }

    fn start(&self, job: ClaimedJob) {
        debug!(job.id = %job.lease.job, attempt = job.attempt, "claimed job {}", job.lease.job);
        self.attempts.start(job);
    }

    /// Takes what ends within the next 2 ms along.
    async fn gather(&mut self, first: attempt::Ended) -> Vec<attempt::Ended> {
        let mut batch = vec![first];
        let until = Instant::now() + GATHER;
        while batch.len() < BATCH.min(self.in_flight) {
            match timeout_at(until, self.outcomes.recv()).await {
                Ok(Some(next)) => batch.push(next),
                _ => break,
            }
        }
        batch
    }

    /// Settles until the broker has answered, claiming in the same round trip if `refill`.
    ///
    /// A settlement whose answer was lost is repeated; the broker says the same again.
    async fn settle(
        &mut self,
        mut batch: Vec<attempt::Ended>,
        refill: bool,
        shutdown: &CancellationToken,
    ) -> Option<Instant> {
        loop {
            let settlements: Vec<Settlement> = batch.iter().map(attempt::Ended::settlement).collect();
            // The slots of what is being settled are free as soon as it is.
            let request = (refill && !shutdown.is_cancelled()).then(|| {
                let request = self.request();
                ClaimRequest { limit: request.limit + batch.len(), ..request }
            });
            match self.broker.settle(&settlements, request.as_ref()).await {
                Ok((answers, claim)) => {
                    for (ended, answer) in batch.drain(..).zip(answers) {
                        self.close(ended, answer);
                    }
                    return request.zip(claim).map(|(request, claim)| self.begin(&request, claim));
                }
                Err(queue::Error::Invalid(detail)) => {
                    // Repeating it cannot help; the leases run out and the jobs run again.
                    warn!("the broker refuses to settle {} jobs: {detail}", batch.len());
                    batch.drain(..).for_each(|ended| self.close(ended, Settled::LeaseLost));
                    return None;
                }
                Err(error) => {
                    warn!("cannot settle {} jobs: {error}; holding their results", batch.len());
                    if refill && shutdown.is_cancelled() {
                        // Draining has a deadline; it takes them from here.
                        self.attempts.hold(batch);
                        return None;
                    }
                    tokio::time::sleep(RETRY_PAUSE).await;
                    while let Ok(next) = self.outcomes.try_recv() {
                        batch.push(next);
                    }
                }
            }
        }
    }

    fn close(&mut self, ended: attempt::Ended, answer: Settled) {
        self.in_flight -= 1;
        self.metrics.jobs_in_flight.set(self.in_flight as i64);
        self.leases.forget(ended.lease());
        self.attempts.close(ended, answer);
    }

    /// Finishes what is being computed within the grace period and gives the rest back.
    async fn drain(mut self) {
        let unstarted = self.attempts.withdraw();
        info!("stopping: {} jobs are finished, {} given back", self.in_flight - unstarted.len(), unstarted.len());
        self.give_back(&unstarted).await;
        self.in_flight -= unstarted.len();
        let over = CancellationToken::new();
        over.cancel();
        let deadline = Instant::now() + self.settings.shutdown_grace;
        while self.in_flight > 0 {
            let Ok(Some(first)) = timeout_at(deadline, self.outcomes.recv()).await else { break };
            let batch = self.gather(first).await;
            let told_by = deadline.max(Instant::now() + LAST_WORD);
            if timeout_at(told_by, self.settle(batch, false, &over)).await.is_err() {
                warn!("the broker did not come back in time; unsettled jobs run again when their leases end");
                return;
            }
        }
        let unfinished = self.leases.snapshot();
        if !unfinished.is_empty() {
            warn!("{} jobs did not end in time and are given back", unfinished.len());
            self.give_back(&unfinished).await;
        }
    }

    async fn give_back(&self, leases: &[queue::Lease]) {
        if leases.is_empty() {
            return;
        }
        if let Err(error) = self.broker.release(leases).await {
            warn!("cannot give {} jobs back: {error}; they run again when their leases end", leases.len());
        }
        for lease in leases {
            self.leases.forget(lease);
        }
    }
}
