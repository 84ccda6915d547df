//! What every case starts from: an empty broker, a clock it can move, and short words for jobs and claims.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use queue::{
    Broker, Claim, ClaimRequest, ClaimedJob, Class, Clock, EventKind, Group, GroupId, Job, JobId, Lease, NewGroup,
    NewJob, On, Policy, Settled, Settlement, Then, Verdict,
};

use crate::support::PATIENCE;
use crate::support::redis::RedisServer;

pub const QUEUE: &str = "cpu_intensive";
pub const MINUTE: Duration = Duration::from_mins(1);
pub const HOUR: Duration = Duration::from_hours(1);
/// For a wait that is to be ended by a wake-up.
pub const LONG: Duration = Duration::from_mins(10);

/// An event without its id and time.
pub type Happened = (EventKind, GroupId, Option<JobId>);

pub struct World {
    pub clock: Clock,
    pub policy: Policy,
    /// The first connection.
    pub broker: Broker,
    place: Place,
}

enum Place {
    File { file: PathBuf, synced: bool, _home: tempfile::TempDir },
    Server { server: Arc<RedisServer>, prefix: String },
}

impl World {
    pub async fn sqlite(policy: Policy) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self::at(Place::File { file: home.path().join("queue.db"), synced: true, _home: home }, policy).await
    }

    /// As [`sqlite`](Self::sqlite), without waiting for the disk.
    pub async fn sqlite_unsynced(policy: Policy) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self::at(Place::File { file: home.path().join("queue.db"), synced: false, _home: home }, policy).await
    }

    pub async fn redis(policy: Policy) -> Self {
        let prefix = format!("test-{}", JobId::new());
        Self::at(Place::Server { server: RedisServer::shared(), prefix }, policy).await
    }

    async fn at(place: Place, policy: Policy) -> Self {
        let clock = Clock::default();
        let broker = place.open(&policy, &clock).await;
        Self { clock, policy, broker, place }
    }

    /// Another connection to the same queue, as another process would have.
    pub async fn another(&self) -> Broker {
        self.place.open(&self.policy, &self.clock).await
    }

    /// Enqueues `jobs` as one group, indexes in order.
    pub async fn enqueue(&self, jobs: Vec<NewJob>) -> (NewGroup, Vec<NewJob>) {
        let (group, jobs) = grouped(jobs);
        self.broker.enqueue(&group, &jobs).await.unwrap();
        (group, jobs)
    }

    pub async fn claim(&self, session: &str, sequence: u64, limit: usize) -> Vec<ClaimedJob> {
        self.claim_all(&ask(session, sequence, limit)).await.jobs
    }

    /// Claims for `session` until nothing waits.
    pub async fn drain(&self, session: &str) -> Vec<ClaimedJob> {
        let mut claimed = Vec::new();
        for sequence in 1.. {
            let more = self.claim(session, sequence, 2_000).await;
            if more.is_empty() {
                break;
            }
            claimed.extend(more);
        }
        claimed
    }

    pub async fn claim_all(&self, request: &ClaimRequest) -> Claim {
        self.broker.claim(request).await.unwrap()
    }

    pub async fn settle(&self, lease: &Lease, verdict: Verdict) -> Settled {
        let settlement = Settlement { lease: lease.clone(), verdict };
        let (settled, claim) = self.broker.settle(&[settlement], None).await.unwrap();
        assert!(claim.is_none(), "nothing was asked for");
        settled[0]
    }

    pub async fn group(&self, id: GroupId) -> Group {
        let group = self.broker.group(id).await.unwrap().expect("the group is known");
        let ended = group.succeeded + group.failed + group.cancelled;
        assert_eq!(ended + group.pending, group.total, "the counters are true: {group:?}");
        group
    }

    pub async fn job(&self, id: JobId) -> Job {
        self.broker.job(id).await.unwrap().expect("the job is known")
    }

    pub async fn state(&self, job: &NewJob) -> String {
        self.job(job.id).await.state.to_string()
    }

    /// Everything that has happened.
    pub async fn events(&self) -> Vec<Happened> {
        let events = self.broker.events(None, 10_000).await.unwrap();
        events.into_iter().map(|event| (event.kind, event.group, event.job)).collect()
    }

    /// waiting, delayed, active
    pub async fn depth(&self, queue: &str) -> (u64, u64, u64) {
        let depths = self.broker.depths().await.unwrap();
        depths.iter().find(|depth| depth.queue == queue).map_or((0, 0, 0), |d| (d.waiting, d.delayed, d.active))
    }
}

impl Place {
    async fn open(&self, policy: &Policy, clock: &Clock) -> Broker {
        match self {
            Self::File { file, synced, .. } => {
                let open = if *synced { Broker::open_sqlite_at } else { Broker::open_sqlite_unsynced };
                open(file, policy.clone(), clock.clone()).unwrap()
            }
            Self::Server { server, prefix } => {
                Broker::connect_redis_at(&server.url(), prefix, policy.clone(), clock.clone()).await.unwrap()
            }
        }
    }
}

/// The default, with leases that no slow machine lets run out: only a clock that is moved does.
pub fn policy() -> Policy {
    Policy { lease: MINUTE * 10, ..Policy::default() }
}

/// What is woken is woken before this has passed, and waits for far longer.
pub async fn soon<T>(woken: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, woken).await.expect("it is woken")
}

pub fn job() -> NewJob {
    let payload = Bytes::from_static(b"{\"kind\":\"image.process\",\"zero\":\"\\u0000\"}\0\xff");
    NewJob::new("image.process", QUEUE, Class::Cpu, payload)
}

pub fn priority(priority: u8) -> NewJob {
    NewJob { priority, ..job() }
}

pub fn delayed(delay: Duration) -> NewJob {
    NewJob { delay: Some(delay), ..job() }
}

pub fn in_queue(queue: &str) -> NewJob {
    NewJob { queue: queue.into(), ..job() }
}

pub fn after(first: &NewJob) -> NewJob {
    NewJob { after: Some(first.id), ..job() }
}

/// A follow-up of one job.
pub fn then(on: On) -> Then {
    Then { on, group: GroupId::new(), job: NewJob { kind: "zip".into(), ..job() } }
}

pub fn jobs(count: usize) -> Vec<NewJob> {
    (0..count).map(|_| job()).collect()
}

pub fn grouped(mut jobs: Vec<NewJob>) -> (NewGroup, Vec<NewJob>) {
    for (index, job) in (0..).zip(&mut jobs) {
        job.index = index;
    }
    (NewGroup::new(GroupId::new(), Bytes::from_static(b"meta\0\xff")), jobs)
}

pub fn ask(session: &str, sequence: u64, limit: usize) -> ClaimRequest {
    ClaimRequest { session: session.into(), sequence, queues: vec![QUEUE.into()], class: Class::Cpu, limit }
}

pub fn ids(claimed: &[ClaimedJob]) -> Vec<JobId> {
    claimed.iter().map(|job| job.lease.job).collect()
}

pub fn ids_of(jobs: &[NewJob]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id).collect()
}

pub fn succeed() -> Verdict {
    Verdict::Succeed { result: Bytes::from_static(b"{\"success\":true}\0\xff") }
}

pub fn fail() -> Verdict {
    Verdict::Fail { result: Bytes::from_static(b"{\"success\":false}") }
}

pub fn retry(after: Duration) -> Verdict {
    Verdict::Retry { after, reason: Bytes::from_static(b"later") }
}

pub fn settlement(job: &ClaimedJob, verdict: Verdict) -> Settlement {
    Settlement { lease: job.lease.clone(), verdict }
}
