//! The two sides of the queue: a submitter, and a worker whose work is nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use queue::{Broker, ClaimRequest, Class, GroupId, JobId, NewGroup, NewJob, Settled, Settlement, Verdict};
use tokio::sync::mpsc;

pub(crate) const GROUP: usize = 1_000;
/// As many jobs as a worker settles and claims in one call.
const BATCH: usize = 16;
const PAYLOAD: usize = 300;
const QUEUE: &str = "cpu_intensive";
const RESULT: &[u8] = b"{\"success\":true}";

pub(crate) struct Load {
    broker: Broker,
}

impl Load {
    pub(crate) fn on(broker: &Broker) -> Self {
        Self { broker: broker.clone() }
    }

    /// Jobs per second, enqueued in groups one after the other.
    pub(crate) async fn enqueue(&self, jobs: usize, group: usize) -> f64 {
        let groups: Vec<_> = (0..jobs.div_ceil(group)).map(|nth| grouped(group.min(jobs - nth * group))).collect();
        let began = Instant::now();
        for (group, jobs) in &groups {
            self.broker.enqueue(group, jobs).await.expect("there is room");
        }
        jobs as f64 / began.elapsed().as_secs_f64()
    }

    /// Jobs per second, claimed and settled in one round trip for each batch, with `lanes` calls on their way at a time.
    pub(crate) async fn consume(&self, session: &str, lanes: usize, jobs: usize) -> f64 {
        let left = Arc::new(AtomicUsize::new(jobs));
        let began = Instant::now();
        let each = (0..lanes).map(|lane| {
            let (broker, left) = (self.broker.clone(), left.clone());
            tokio::spawn(work(broker, request(format!("{session}.{lane}")), left))
        });
        let done: usize = futures::future::try_join_all(each).await.expect("no lane panics").into_iter().sum();
        assert_eq!(done, jobs, "every job is done once");
        jobs as f64 / began.elapsed().as_secs_f64()
    }
}

/// One lane, until nobody has to claim more; how many jobs it did.
async fn work(broker: Broker, mut request: ClaimRequest, left: Arc<AtomicUsize>) -> usize {
    let mut settlements: Vec<Settlement> = Vec::new();
    let mut done = 0;
    loop {
        let take = |left: usize| Some(left.saturating_sub(BATCH));
        let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).expect("take always answers");
        request.limit = before.min(BATCH);
        let claim = (request.limit > 0).then_some(&request);
        let (settled, claim) = broker.settle(&settlements, claim).await.expect("the broker answers");
        assert!(settled.iter().all(|settled| *settled == Settled::Committed), "no lease is lost");
        done += settled.len();
        let Some(claim) = claim else { return done };
        request.sequence += 1;
        assert_eq!(claim.jobs.len(), request.limit, "there are as many jobs as are taken");
        settlements = claim.jobs.into_iter().map(|job| Settlement { lease: job.lease, verdict: succeed() }).collect();
    }
}

/// Milliseconds from enqueueing one job to its start, for `jobs` of them that each find the worker idle.
pub(crate) async fn starts(worker: &Broker, submitter: &Broker, jobs: usize, idle: Duration) -> Vec<f64> {
    let (started, mut starts) = mpsc::unbounded_channel();
    let (broker, mut request) = (worker.clone(), request(JobId::new().to_string()));
    request.limit = BATCH;
    let worker = tokio::spawn(async move {
        let mut settlements: Vec<Settlement> = Vec::new();
        loop {
            let (_, claim) = broker.settle(&settlements, Some(&request)).await.expect("the broker answers");
            let at = Instant::now();
            request.sequence += 1;
            let claimed = claim.expect("a claim was asked for").jobs;
            settlements = claimed.into_iter().map(|job| Settlement { lease: job.lease, verdict: succeed() }).collect();
            if settlements.is_empty() {
                broker.wait(&request.queues, Class::Cpu, Duration::from_secs(5)).await.expect("the broker answers");
            } else {
                started.send(at).expect("it is listened to");
            }
        }
    });
    let mut took = Vec::with_capacity(jobs);
    for _ in 0..jobs {
        tokio::time::sleep(idle).await;
        let (group, jobs) = grouped(1);
        let began = Instant::now();
        submitter.enqueue(&group, &jobs).await.expect("there is room");
        let at = starts.recv().await.expect("the worker lives");
        took.push(at.duration_since(began).as_secs_f64() * 1e3);
    }
    worker.abort();
    took
}

/// The median of a hundred, in milliseconds.
pub(crate) async fn round_trip_ms(broker: &Broker) -> f64 {
    let mut took = Vec::new();
    for _ in 0..100 {
        let began = Instant::now();
        broker.ping().await.expect("the broker answers");
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    super::percentile(&mut took, 50)
}

fn request(session: String) -> ClaimRequest {
    ClaimRequest { session, sequence: 0, queues: vec![QUEUE.into()], class: Class::Cpu, limit: 0 }
}

fn succeed() -> Verdict {
    Verdict::Succeed { result: Bytes::from_static(RESULT) }
}

fn grouped(jobs: usize) -> (NewGroup, Vec<NewJob>) {
    let payload = Bytes::from_static(&[b'x'; PAYLOAD]);
    let job =
        |index| NewJob { index: index as u32, ..NewJob::new("image.process", QUEUE, Class::Cpu, payload.clone()) };
    (NewGroup::new(GroupId::new(), Bytes::new()), (0..jobs).map(job).collect())
}
