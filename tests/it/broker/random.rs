//! Random operations on a broker and on a model in memory: after each, every state and every counter is the same.
//!
//! Durations are multiples of 500 s, so that the milliseconds a case really takes change no answer. Order within a
//! priority is left to the cases; the model checks who runs, not which of two equals runs first.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use pixmill::job::{GroupId, JobId, State};
use pixmill::queue::{ClaimRequest, ClaimedJob, Lease, NewGroup, NewJob, Policy, Settled, Settlement, Verdict};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::world::{World, ask, grouped, job};
use crate::support::redis::RedisServer;

const STEP: Duration = Duration::from_secs(500);
const QUEUES: [&str; 2] = ["near", "far"];

fn policy() -> Policy {
    Policy { lease: STEP * 2, max_stalls: 2, queue_cap: 12, ..Policy::default() }
}

#[derive(Debug, Clone)]
enum Operation {
    /// Queue, priority and delay in steps of each job.
    Enqueue(Vec<(usize, u8, Option<u32>)>),
    EnqueueAgain(usize),
    Claim {
        session: usize,
        limit: usize,
    },
    /// The session's last claim, as after a lost reply.
    ClaimAgain {
        session: usize,
    },
    /// Picks of the leases ever given, and what is said of each; with a claim in the same call or none.
    Settle(Vec<(usize, End)>, Option<(usize, usize)>),
    Beat(Vec<usize>),
    Release(Vec<usize>),
    Advance(u32),
}

#[derive(Debug, Clone, Copy)]
enum End {
    Succeed,
    Fail,
    Retry(u32),
}

fn operation() -> impl Strategy<Value = Operation> {
    let new_job = (0..2usize, 1..=3u8, proptest::option::weighted(0.3, 0..4u32));
    let end = prop_oneof![Just(End::Succeed), Just(End::Fail), (0..4u32).prop_map(End::Retry)];
    let claim = (0..3usize, 0..5usize);
    prop_oneof![
        4 => vec(new_job, 0..5).prop_map(Operation::Enqueue),
        1 => any::<usize>().prop_map(Operation::EnqueueAgain),
        6 => claim.clone().prop_map(|(session, limit)| Operation::Claim { session, limit }),
        2 => (0..3usize).prop_map(|session| Operation::ClaimAgain { session }),
        6 => (vec((any::<usize>(), end), 0..4), proptest::option::of(claim))
            .prop_map(|(ends, claim)| Operation::Settle(ends, claim)),
        2 => vec(any::<usize>(), 0..4).prop_map(Operation::Beat),
        2 => vec(any::<usize>(), 0..4).prop_map(Operation::Release),
        3 => (1..4u32).prop_map(Operation::Advance),
    ]
}

struct Known {
    group: GroupId,
    queue: String,
    priority: u8,
    state: State,
    /// In steps.
    due: u32,
    attempt: u32,
    stalls: u32,
    lease: Option<Lease>,
    committed: Vec<Lease>,
}

#[derive(Default)]
struct Model {
    now: u32,
    jobs: HashMap<JobId, Known>,
    groups: Vec<(NewGroup, Vec<NewJob>)>,
    /// Every lease ever given.
    leases: Vec<Lease>,
    sequences: [u64; 3],
    said: [Vec<Lease>; 3],
}

impl Model {
    fn open(&self, queue: &str) -> usize {
        let open = |job: &&Known| job.queue == queue && matches!(job.state, State::Waiting | State::Delayed);
        self.jobs.values().filter(open).count()
    }

    fn accepts(&self, jobs: &[NewJob]) -> bool {
        QUEUES.iter().all(|queue| {
            let more = jobs.iter().filter(|job| job.queue == *queue).count();
            more == 0 || self.open(queue) + more <= policy().queue_cap as usize
        })
    }

    fn enqueue(&mut self, group: &NewGroup, jobs: &[NewJob]) {
        for job in jobs {
            let known = Known {
                group: group.id,
                queue: job.queue.clone(),
                priority: job.priority,
                state: if job.delay.is_some() { State::Delayed } else { State::Waiting },
                due: self.now + job.delay.map_or(0, |delay| (delay.as_secs() / STEP.as_secs()) as u32),
                attempt: 0,
                stalls: 0,
                lease: None,
                committed: Vec::new(),
            };
            self.jobs.insert(job.id, known);
        }
        self.groups.push((group.clone(), jobs.to_vec()));
    }

    fn sweep(&mut self) {
        for job in self.jobs.values_mut().filter(|job| job.due <= self.now) {
            if job.state == State::Delayed {
                job.state = State::Waiting;
            } else if job.state == State::Active {
                job.lease = None;
                job.stalls += 1;
                job.state = if job.stalls >= policy().max_stalls { State::Failed } else { State::Waiting };
            }
        }
    }

    /// Checks what a new claim got, and keeps it.
    fn claimed(&mut self, session: usize, request: &ClaimRequest, got: &[ClaimedJob]) {
        self.sweep();
        let mut expected: Vec<(usize, u8)> = Vec::new();
        for (at, queue) in QUEUES.iter().enumerate() {
            let waiting = |job: &&Known| job.queue == *queue && job.state == State::Waiting;
            let mut priorities: Vec<u8> = self.jobs.values().filter(waiting).map(|job| job.priority).collect();
            priorities.sort_unstable();
            if request.sequence % 8 != 7 {
                priorities.reverse();
            }
            expected.extend(priorities.into_iter().map(|priority| (at, priority)));
        }
        expected.truncate(request.limit);
        let order = |job: &ClaimedJob| {
            let known = &self.jobs[&job.lease.job];
            (QUEUES.iter().position(|queue| known.queue == *queue).unwrap(), known.priority)
        };
        assert_eq!(got.iter().map(order).collect::<Vec<_>>(), expected, "queues and priorities in order");
        for job in got {
            assert!(!self.leases.contains(&job.lease), "no token is given twice");
            let known = self.jobs.get_mut(&job.lease.job).unwrap();
            assert_eq!(known.state, State::Waiting);
            known.state = State::Active;
            known.attempt += 1;
            known.due = self.now + 2;
            known.lease = Some(job.lease.clone());
            assert_eq!((job.attempt, job.group), (known.attempt, known.group));
            self.leases.push(job.lease.clone());
        }
        if request.limit > 0 {
            self.said[session] = got.iter().map(|job| job.lease.clone()).collect();
        }
    }

    fn said_again(&mut self, session: usize, got: &[ClaimedJob]) {
        self.sweep();
        let held = |lease: &&Lease| self.jobs[&lease.job].lease.as_ref() == Some(*lease);
        let expected: Vec<&Lease> = self.said[session].iter().filter(held).collect();
        assert_eq!(got.iter().map(|job| &job.lease).collect::<Vec<_>>(), expected);
    }

    fn settle(&mut self, lease: &Lease, end: End) -> Settled {
        let now = self.now;
        let job = self.jobs.get_mut(&lease.job).unwrap();
        if job.lease.as_ref() != Some(lease) {
            return if job.committed.contains(lease) { Settled::Committed } else { Settled::LeaseLost };
        }
        job.lease = None;
        job.committed.push(lease.clone());
        match end {
            End::Succeed => job.state = State::Succeeded,
            End::Fail => job.state = State::Failed,
            End::Retry(steps) => (job.state, job.due) = (State::Delayed, now + steps),
        }
        Settled::Committed
    }

    fn request(&mut self, session: usize, limit: usize) -> ClaimRequest {
        // Asking for nothing is no claim that could be repeated.
        self.sequences[session] += u64::from(limit > 0);
        self.asked(session, limit)
    }

    fn asked(&self, session: usize, limit: usize) -> ClaimRequest {
        let queues = QUEUES.map(str::to_owned).to_vec();
        ClaimRequest { queues, ..ask(&format!("session-{session}"), self.sequences[session], limit) }
    }

    fn picked(&self, picks: &[usize]) -> Vec<Lease> {
        let leases = picks.iter().filter_map(|pick| self.leases.get(pick.checked_rem(self.leases.len())?));
        leases.cloned().collect()
    }
}

async fn run(world: &World, model: &mut Model, operation: &Operation) {
    let broker = &world.broker;
    match operation {
        Operation::Enqueue(jobs) => {
            let new_job = |&(queue, priority, delay): &(usize, u8, Option<u32>)| NewJob {
                queue: QUEUES[queue].into(),
                priority,
                delay: delay.map(|steps| STEP * steps),
                ..job()
            };
            let (group, jobs) = grouped(jobs.iter().map(new_job).collect());
            let enqueued = broker.enqueue(&group, &jobs).await;
            assert_eq!(enqueued.is_ok(), model.accepts(&jobs), "{enqueued:?}");
            if enqueued.is_ok() {
                model.enqueue(&group, &jobs);
            } else {
                assert_eq!(broker.group(group.id).await.unwrap(), None);
            }
        }
        Operation::EnqueueAgain(pick) => {
            if let Some((group, jobs)) = pick.checked_rem(model.groups.len()).map(|at| &model.groups[at]) {
                broker.enqueue(group, jobs).await.unwrap();
            }
        }
        Operation::Claim { session, limit } => {
            let request = model.request(*session, *limit);
            let claim = broker.claim(&request).await.unwrap();
            model.claimed(*session, &request, &claim.jobs);
        }
        Operation::ClaimAgain { session } => {
            if model.said[*session].is_empty() {
                return;
            }
            let claim = broker.claim(&model.asked(*session, 4)).await.unwrap();
            model.said_again(*session, &claim.jobs);
        }
        Operation::Settle(ends, claim) => {
            let leases = model.picked(&ends.iter().map(|(pick, _)| *pick).collect::<Vec<_>>());
            let result = || Bytes::from_static(b"{}");
            let said = leases.iter().zip(ends).map(|(lease, (_, end))| {
                let verdict = match end {
                    End::Succeed => Verdict::Succeed { result: result() },
                    End::Fail => Verdict::Fail { result: result() },
                    End::Retry(steps) => Verdict::Retry { after: STEP * *steps, reason: result() },
                };
                Settlement { lease: lease.clone(), verdict }
            });
            let settlements: Vec<_> = said.collect();
            let request = claim.map(|(session, limit)| (session, model.request(session, limit)));
            let (settled, claim) =
                broker.settle(&settlements, request.as_ref().map(|(_, request)| request)).await.unwrap();
            let expected: Vec<_> = leases.iter().zip(ends).map(|(lease, (_, end))| model.settle(lease, *end)).collect();
            assert_eq!(settled, expected);
            if let Some((session, request)) = request {
                model.claimed(session, &request, &claim.unwrap().jobs);
            }
        }
        Operation::Beat(picks) => {
            let leases = model.picked(picks);
            let beat = broker.beat(&leases).await.unwrap();
            let (held, lost): (Vec<_>, Vec<_>) =
                leases.into_iter().partition(|lease| model.jobs[&lease.job].lease.as_ref() == Some(lease));
            assert_eq!(beat.lost, lost.iter().map(|lease| lease.job).collect::<Vec<_>>());
            for lease in held {
                model.jobs.get_mut(&lease.job).unwrap().due = model.now + 2;
            }
        }
        Operation::Release(picks) => {
            let leases = model.picked(picks);
            broker.release(&leases).await.unwrap();
            for lease in leases {
                let job = model.jobs.get_mut(&lease.job).unwrap();
                if job.lease.take_if(|held| *held == lease).is_some() {
                    (job.state, job.attempt) = (State::Waiting, job.attempt - 1);
                }
            }
        }
        Operation::Advance(steps) => {
            world.clock.advance(STEP * *steps);
            model.now += steps;
        }
    }
}

async fn assert_same(world: &World, model: &Model) {
    for (id, known) in &model.jobs {
        let job = world.broker.job(*id).await.unwrap().unwrap();
        let seen = (job.state, job.attempt, job.stalls, job.group, job.finished_at.is_some());
        assert_eq!(seen, (known.state, known.attempt, known.stalls, known.group, known.state.is_terminal()));
    }
    for (group, jobs) in &model.groups {
        let seen = world.group(group.id).await;
        let count = |state| jobs.iter().filter(|job| model.jobs[&job.id].state == state).count() as u32;
        let (succeeded, failed) = (count(State::Succeeded), count(State::Failed));
        let pending = jobs.len() as u32 - succeeded - failed;
        assert_eq!(
            (seen.total, seen.pending, seen.succeeded, seen.failed),
            (jobs.len() as u32, pending, succeeded, failed)
        );
        assert_eq!((seen.sealed, seen.finished_at.is_some()), (true, pending == 0));
        assert_eq!(world.broker.results(group.id, 0, 99).await.unwrap().len() as u32, succeeded + failed);
    }
    for queue in QUEUES {
        let count = |state| model.jobs.values().filter(|job| job.queue == queue && job.state == state).count() as u64;
        assert_eq!(world.depth(queue).await, (count(State::Waiting), count(State::Delayed), count(State::Active)));
    }
}

fn hold<F: AsyncFn() -> World>(world: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let checked = runner.run(&vec(operation(), 1..40), |operations| {
        runtime.block_on(async {
            let world = world().await;
            let mut model = Model::default();
            for operation in &operations {
                run(&world, &mut model, operation).await;
                assert_same(&world, &model).await;
            }
        });
        Ok(())
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn sqlite_does_what_the_model_does() {
    hold(async || World::sqlite(policy()).await);
}

#[test]
fn redis_does_what_the_model_does() {
    // Held over all the cases, or each would start a server.
    let _server = RedisServer::shared();
    hold(async || World::redis(policy()).await);
}
