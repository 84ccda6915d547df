//! The calls to the broker that settle and claim. Several run at a time if round trips are slow.
//!
//! Each lane claims in a session of its own (`<session>.<lane>`) with its own sequence numbers, and repeats a call
//! until it is answered. The broker gives the same answer to a repeated settlement by its token, and to a repeated
//! claim by its sequence number.

use std::future::pending;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use queue::{Broker, Claim, ClaimRequest, Class, Settled, Settlement};
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::attempt::Ended;

const LANES: usize = 8;
/// A call that takes longer is slow: the next results are sent without waiting for its answer.
const SLOW: Duration = Duration::from_millis(1);
/// Pause between two tries while the broker is unreachable.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Lanes {
    session: String,
    all: [Lane; LANES],
    calls: FuturesUnordered<BoxFuture<'static, Answered>>,
}

#[derive(Clone, Copy, Default)]
struct Lane {
    /// Sequence number of the next claim.
    sequence: u64,
    call: Option<Call>,
}

#[derive(Clone, Copy)]
struct Call {
    since: Instant,
    settles: bool,
}

/// What a lane is to claim.
pub(super) struct Wanted {
    pub(super) queues: Vec<String>,
    pub(super) class: Class,
    pub(super) limit: usize,
}

/// An answered call.
pub(super) struct Answered {
    lane: usize,
    pub(super) batch: Vec<Ended>,
    /// In the order of `batch`.
    pub(super) settled: Vec<Settled>,
    /// The claim's request and its answer.
    pub(super) claim: Option<(ClaimRequest, Claim)>,
}

impl Lanes {
    pub(super) fn new(session: &str) -> Self {
        Self { session: session.into(), all: [Lane::default(); LANES], calls: FuturesUnordered::new() }
    }

    pub(super) fn is_free(&self) -> bool {
        self.all.iter().any(|lane| lane.call.is_none())
    }

    /// When results may be sent without waiting for the settlements under way; `None` if no lane is free.
    pub(super) fn open_at(&self) -> Option<Instant> {
        let last = self.all.iter().filter_map(|lane| lane.call).filter(|call| call.settles).map(|call| call.since);
        self.is_free().then(|| last.max().map_or_else(Instant::now, |since| since + SLOW))
    }

    pub(super) fn are_settling(&self) -> bool {
        self.all.iter().any(|lane| lane.call.is_some_and(|call| call.settles))
    }

    pub(super) fn are_idle(&self) -> bool {
        self.calls.is_empty()
    }

    /// Settles `batch` and claims `wanted`, in one round trip.
    ///
    /// # Panics
    /// If no lane is free.
    pub(super) fn send(&mut self, broker: &Broker, batch: Vec<Ended>, wanted: Option<Wanted>) {
        let free = self.all.iter_mut().enumerate().find(|(_, lane)| lane.call.is_none());
        let (number, lane) = free.expect("the caller has seen a free lane");
        lane.call = Some(Call { since: Instant::now(), settles: !batch.is_empty() });
        let request = wanted.map(|Wanted { queues, class, limit }| {
            let session = format!("{}.{number}", self.session);
            ClaimRequest { session, sequence: lane.sequence, queues, class, limit }
        });
        self.calls.push(call(broker.clone(), number, batch, request).boxed());
    }

    /// Waits for the next call to be answered.
    pub(super) async fn answered(&mut self) -> Answered {
        let Some(answered) = self.calls.next().await else { return pending().await };
        let lane = &mut self.all[answered.lane];
        lane.call = None;
        // The number is increased only now, so that a claim whose answer was lost is repeated.
        lane.sequence += u64::from(answered.claim.is_some());
        answered
    }
}

async fn call(broker: Broker, lane: usize, batch: Vec<Ended>, request: Option<ClaimRequest>) -> Answered {
    let settlements: Vec<Settlement> = batch.iter().map(Ended::settlement).collect();
    let mut complaint = Complaint::default();
    loop {
        match once(&broker, &settlements, request.as_ref()).await {
            Ok((settled, claim)) => return Answered { lane, batch, settled, claim: request.zip(claim) },
            Err(queue::Error::Invalid(detail)) => {
                // A repeated call would be refused again. The leases expire and the jobs run again.
                warn!("the broker refuses to settle {} jobs: {detail}", batch.len());
                let settled = vec![Settled::LeaseLost; batch.len()];
                return Answered { lane, batch, settled, claim: request.map(|request| (request, Claim::default())) };
            }
            Err(error) if !complaint.is_due() => debug!("the broker still fails: {error}"),
            Err(error) if batch.is_empty() => warn!("cannot claim jobs: {error}; trying again"),
            Err(error) => warn!("cannot settle {} jobs: {error}; holding their results", batch.len()),
        }
        sleep(RETRY_PAUSE).await;
    }
}

/// Limits the log lines of a repeated failure: one at the first time, then one per minute.
#[derive(Default)]
pub(super) struct Complaint(Option<Instant>);

impl Complaint {
    const EVERY: Duration = Duration::from_mins(1);

    pub(super) fn is_due(&mut self) -> bool {
        let due = self.0.is_none_or(|said| said.elapsed() >= Self::EVERY);
        if due {
            self.0 = Some(Instant::now());
        }
        due
    }
}

async fn once(
    broker: &Broker,
    settlements: &[Settlement],
    request: Option<&ClaimRequest>,
) -> queue::Result<(Vec<Settled>, Option<Claim>)> {
    match request {
        Some(request) if settlements.is_empty() => Ok((Vec::new(), Some(broker.claim(request).await?))),
        _ => broker.settle(settlements, request).await,
    }
}
