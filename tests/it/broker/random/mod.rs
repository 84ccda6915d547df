//! Random operations on a broker and on a model in memory: after each, every answer, state, counter, list and event is
//! the same.
//!
//! A failure names its seed. `PIXMILL_SEED=7` runs that one again; `PIXMILL_OPERATIONS=100000` runs fresh seeds until so
//! many operations are done, and with `--nocapture` says what they were.

mod compare;
mod model;
mod operation;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use queue::{
    Advance, Advanced, Claim, ClaimRequest, Error, GroupId, IdempotencyKey, JobId, Lease, NewGroup, NewJob,
    Reservation, Settlement, Then,
};

use super::world::{World, ask, grouped, job};
use crate::support::redis::RedisServer;
use model::{CursorMove, Enqueued, Model, QUEUES, Tick, policy, span, ticks};
use operation::{Call, Draft, End, Operation, Pick, Told, call};

/// Seeds that every run begins with, and how many fresh ones follow.
const SEEDS: std::ops::Range<u64> = 0..60;
const FRESH: usize = 40;
/// Calls with one seed, from an empty broker on.
const CALLS: std::ops::Range<usize> = 1..80;
/// A broker may forget what it told a session that was silent for a day.
const SESSION_MEMORY: Tick = 300;
const ALL: usize = 10_000;

/// A broker and the model beside it, and what the operations choose from.
struct Run<'a> {
    world: World,
    model: Model,
    began: Timestamp,
    /// Every lease ever given, every group and every job ever enqueued.
    leases: Vec<Lease>,
    groups: Vec<GroupId>,
    jobs: Vec<JobId>,
    /// Groups that are being received under a key.
    receiving: [GroupId; 2],
    /// By session: the number of its last claim, when that was, and the leases that it got.
    sequences: [u64; 3],
    asked: [Tick; 3],
    told: [Vec<Lease>; 3],
    last_then: Option<Then>,
    /// Groups that follow several: removing one would have it made again.
    shared: HashSet<GroupId>,
    last_event: Option<String>,
    summary: &'a RefCell<Summary>,
}

/// An operation with its arguments.
enum Bound {
    Enqueue(Box<NewGroup>, Vec<NewJob>),
    Claim(usize, ClaimRequest),
    Settle(Vec<(Lease, End)>, Option<(usize, ClaimRequest)>),
    Beat(Vec<Lease>),
    Release(Vec<Lease>, Option<Tick>),
    CancelJob(JobId),
    CancelGroup(GroupId),
    Pause(usize),
    Resume(usize),
    Purge(usize),
    Reserve(String, GroupId),
    Unreserve(String, GroupId),
    RemoveGroup(GroupId),
    MoveCursor(Box<Advance>, Option<Box<(NewGroup, Vec<NewJob>)>>),
    Report(String, Bytes),
    SignOff(String),
    Post(usize, Bytes),
    Collect(usize),
    Advance(Tick),
}

#[derive(Clone, Default)]
struct Summary {
    calls: BTreeMap<&'static str, u64>,
    repeated: u64,
    compared: u64,
}

fn chosen<T: Clone>(from: &[T], pick: Pick) -> Option<T> {
    from.get(pick.checked_rem(from.len())?).cloned()
}

fn session(number: usize) -> String {
    format!("session-{number}")
}

fn mailbox(number: usize) -> String {
    format!("mailbox-{number}")
}

impl<'a> Run<'a> {
    fn new(world: World, summary: &'a RefCell<Summary>) -> Self {
        Self {
            world,
            model: Model::default(),
            began: Timestamp::now(),
            leases: Vec::new(),
            groups: Vec::new(),
            jobs: Vec::new(),
            receiving: [GroupId::new(), GroupId::new()],
            sequences: [0; 3],
            asked: [0; 3],
            told: Default::default(),
            last_then: None,
            shared: HashSet::new(),
            last_event: None,
            summary,
        }
    }

    async fn run(&mut self, call: &Call) {
        let Some(bound) = self.bind(&call.operation) else { return };
        self.make(&bound, matches!(call.operation, Operation::ClaimAgain { .. })).await;
        self.assert_same().await;
        if call.twice {
            self.make(&bound, true).await;
            self.assert_same().await;
        }
        let mut summary = self.summary.borrow_mut();
        *summary.calls.entry(call.operation.name()).or_default() += 1;
        summary.repeated += u64::from(call.twice);
    }

    /// Nothing where there is nothing to choose from.
    fn bind(&mut self, operation: &Operation) -> Option<Bound> {
        let leases = |told: &[Told]| told.iter().filter_map(|told| self.believed(*told)).collect();
        Some(match operation {
            Operation::Enqueue(draft) => {
                let (group, jobs) = self.bind_group(draft);
                Bound::Enqueue(Box::new(group), jobs)
            }
            Operation::MoveCursor { cursor, expected, early, group } => {
                let cursor = format!("cursor {cursor}");
                let work = group.as_ref().map(|draft| self.bind_group(draft));
                let at = self.model.cursors.get(&cursor).cloned();
                let wrong = at.is_none().then(|| "0".to_owned());
                let advance = Advance {
                    expected: if *expected { at } else { wrong },
                    next: self.model.cursors.len().to_string() + "/" + &self.groups.len().to_string(),
                    not_before: early.then(|| self.began + span(self.model.now + 3)),
                    notes: Vec::new(),
                    cursor,
                };
                Bound::MoveCursor(Box::new(advance), work.map(Box::new))
            }
            Operation::EnqueueAgain(pick) => {
                let group = self.model.groups.get(&chosen(&self.groups, *pick)?)?;
                Bound::Enqueue(Box::new(group.new.clone()), group.submitted.clone())
            }
            &Operation::Claim { session, limit } => Bound::Claim(session, self.request(session, limit)),
            &Operation::ClaimAgain { session } => {
                if self.told[session].is_empty() || self.model.now - self.asked[session] > SESSION_MEMORY {
                    return None;
                }
                Bound::Claim(session, self.asked(session, 4))
            }
            Operation::Settle(ends, claim) => {
                let ends = ends.iter().filter_map(|(told, end)| Some((self.believed(*told)?, *end))).collect();
                Bound::Settle(ends, claim.map(|(session, limit)| (session, self.request(session, limit))))
            }
            Operation::Beat(told) => Bound::Beat(leases(told)),
            Operation::Release(told, after) => Bound::Release(leases(told), *after),
            Operation::CancelJob(pick) => Bound::CancelJob(chosen(&self.jobs, *pick)?),
            Operation::CancelGroup(pick) => Bound::CancelGroup(chosen(&self.groups, *pick)?),
            Operation::Pause(queue) => Bound::Pause(*queue),
            Operation::Resume(queue) => Bound::Resume(*queue),
            Operation::Purge(queue) => Bound::Purge(*queue),
            Operation::Reserve { key, group } => Bound::Reserve(key.to_string(), self.holder(*group)),
            Operation::Unreserve { key, group } => Bound::Unreserve(key.to_string(), self.holder(*group)),
            Operation::RemoveGroup(pick) => {
                Bound::RemoveGroup(chosen(&self.groups, *pick).filter(|group| !self.shared.contains(group))?)
            }
            Operation::Report(number) => Bound::Report(session(*number), self.model.now.to_string().into()),
            Operation::SignOff(number) => Bound::SignOff(session(*number)),
            Operation::Post(number) => Bound::Post(*number, self.model.now.to_string().into()),
            Operation::Collect(number) => Bound::Collect(*number),
            Operation::Advance(by) => Bound::Advance(*by),
        })
    }

    fn bind_group(&mut self, draft: &Draft) -> (NewGroup, Vec<NewJob>) {
        let mut jobs: Vec<NewJob> = Vec::new();
        for draft in &draft.jobs {
            let ended = |id: &JobId| self.model.jobs.get(id).is_some_and(|job| job.state.is_terminal());
            jobs.push(NewJob {
                queue: QUEUES[draft.queue].into(),
                priority: draft.priority,
                delay: draft.delay.map(span),
                after: draft.after.and_then(|pick| chosen(&jobs, pick)).map(|job| job.id),
                retry_of: draft.retry_of.and_then(|pick| chosen(&self.jobs, pick)).filter(ended),
                payload: format!("{} of {}", jobs.len(), self.groups.len()).into(),
                ..job()
            });
        }
        let stranger = draft.stranger.and_then(|pick| chosen(&self.jobs, pick));
        if let Some(stranger) = stranger.and_then(|id| self.model.jobs.get(&id)) {
            jobs.push(NewJob { after: None, ..stranger.new.clone() });
        }
        let (mut group, jobs) = grouped(jobs);
        if let Some(key) = draft.key {
            group.id = std::mem::replace(&mut self.receiving[key], GroupId::new());
            group.key =
                Some(IdempotencyKey { name: key.to_string(), fingerprint: group.id.to_string().into(), memory: None });
        }
        if let Some(draft) = &draft.then {
            let new = NewJob { queue: QUEUES[draft.queue].into(), delay: draft.delay.map(span), ..job() };
            let then = Then { on: draft.on, group: GroupId::new(), job: new };
            let known = self.last_then.as_ref().filter(|then| draft.shared && self.may_be_shared(then));
            let then = known.map_or(then, |known| Then { on: draft.on, ..known.clone() });
            if self.last_then.as_ref().is_some_and(|last| last.group == then.group) {
                self.shared.insert(then.group);
            }
            self.last_then = Some(then.clone());
            group.then = Some(then);
        }
        (group, jobs)
    }

    /// A follow-up that was made and removed again would be made with the tokens of before.
    fn may_be_shared(&self, then: &Then) -> bool {
        self.model.groups.contains_key(&then.group) || !self.groups.contains(&then.group)
    }

    fn believed(&self, told: Told) -> Option<Lease> {
        // Mostly one that is held: what is said of the others changes nothing.
        let held: Vec<_> = self.leases.iter().filter(|lease| self.model.holds(lease)).cloned().collect();
        let among = if held.is_empty() || told.lease.is_multiple_of(4) { &self.leases } else { &held };
        let lease = chosen(among, told.lease / 4)?;
        Some(if told.forged { Lease { token: format!("nobody:{}", lease.token), ..lease } } else { lease })
    }

    fn holder(&self, pick: Pick) -> GroupId {
        chosen(&[&self.receiving[..], &self.groups].concat(), pick % 4).expect("some are being received")
    }

    fn request(&mut self, session: usize, limit: usize) -> ClaimRequest {
        // Asking for nothing is no claim that could be repeated.
        if limit > 0 {
            self.sequences[session] += 1;
            self.asked[session] = self.model.now;
        }
        self.asked(session, limit)
    }

    fn asked(&self, number: usize, limit: usize) -> ClaimRequest {
        let queues = QUEUES.map(str::to_owned).to_vec();
        ClaimRequest { queues, ..ask(&session(number), self.sequences[number], limit) }
    }

    /// Calls the broker and the model; both answer the same. A claim that is made `again` gets the answer of before.
    async fn make(&mut self, bound: &Bound, again: bool) {
        let broker = self.world.broker.clone();
        let model = &mut self.model;
        match bound {
            Bound::Enqueue(group, jobs) => {
                let enqueued = match broker.enqueue(group, jobs).await {
                    Ok(()) => Enqueued::Done,
                    Err(Error::Full(_)) => Enqueued::Full,
                    Err(Error::KeyTaken(taken)) => Enqueued::KeyTaken(taken),
                    Err(error) => panic!("{error}"),
                };
                assert_eq!(enqueued, model.enqueue(group, jobs));
                let known = broker.group(group.id).await.unwrap().is_some();
                assert_eq!(known, model.groups.contains_key(&group.id));
            }
            Bound::MoveCursor(advance, work) => {
                let moved = broker.advance(advance, work.as_deref().map(|(group, jobs)| (group, &jobs[..]))).await;
                let expected = model.move_cursor(advance, work.as_deref());
                match (moved, expected) {
                    (Ok(Advanced::Early { .. }), CursorMove::Early)
                    | (Ok(Advanced::Moved), CursorMove::Moved)
                    | (Err(Error::Full(_)), CursorMove::Refused(Enqueued::Full)) => {}
                    (Ok(Advanced::Elsewhere { at }), CursorMove::Elsewhere(known)) => assert_eq!(at, known),
                    (Err(Error::KeyTaken(taken)), CursorMove::Refused(Enqueued::KeyTaken(known))) => {
                        assert_eq!(taken, known);
                    }
                    (moved, expected) => panic!("{moved:?} instead of {expected:?}"),
                }
                let at = broker.cursor(&advance.cursor).await.unwrap().map(|cursor| cursor.at);
                assert_eq!(at.as_ref(), model.cursors.get(&advance.cursor));
            }
            Bound::Claim(session, request) => {
                let claim = broker.claim(request).await.unwrap();
                self.assert_claimed(*session, request, &claim, again);
            }
            Bound::Settle(ends, request) => {
                let settlements: Vec<_> = ends
                    .iter()
                    .map(|(lease, end)| Settlement { lease: lease.clone(), verdict: end.verdict() })
                    .collect();
                let claim = request.as_ref().map(|(_, request)| request);
                let (settled, claim) = broker.settle(&settlements, claim).await.unwrap();
                assert_eq!(settled, model.settle(ends));
                let Some((session, request)) = request else { return assert!(claim.is_none()) };
                self.assert_claimed(*session, request, &claim.unwrap(), again);
            }
            Bound::Beat(leases) => {
                let beat = broker.beat(leases).await.unwrap();
                let (held, lost): (Vec<_>, Vec<_>) = leases.iter().partition(|lease| model.holds(lease));
                let jobs = |leases: Vec<&Lease>| leases.into_iter().map(|lease| lease.job).collect::<Vec<_>>();
                let flagged = held.iter().copied().filter(|lease| model.is_flagged(lease.job)).collect();
                assert_eq!((beat.lost, beat.cancelled), (jobs(lost), jobs(flagged)));
                for lease in held {
                    model.beat(lease);
                }
            }
            Bound::Release(leases, after) => {
                broker.release(leases, after.map(span)).await.unwrap();
                model.release(leases, *after);
            }
            Bound::CancelJob(id) => assert_eq!(broker.cancel_job(*id).await.unwrap(), model.cancel_job(*id)),
            Bound::CancelGroup(id) => assert_eq!(broker.cancel_group(*id).await.unwrap(), model.cancel_group(*id)),
            Bound::Pause(queue) => {
                broker.pause(QUEUES[*queue]).await.unwrap();
                model.paused.insert(*queue);
            }
            Bound::Resume(queue) => {
                broker.resume(QUEUES[*queue]).await.unwrap();
                model.paused.remove(queue);
            }
            Bound::Purge(queue) => assert_eq!(broker.purge(QUEUES[*queue]).await.unwrap(), model.purge(*queue)),
            Bound::Reserve(key, group) => {
                let reserved: Reservation = broker.reserve(key, *group).await.unwrap();
                assert_eq!(reserved, model.reserve(key, *group));
            }
            Bound::Unreserve(key, group) => {
                broker.unreserve(key, *group).await.unwrap();
                model.unreserve(key, *group);
            }
            Bound::RemoveGroup(id) => {
                assert_eq!(broker.remove_group(*id).await.unwrap(), model.remove_group(*id));
                let known = broker.group(*id).await.unwrap().is_some();
                assert_eq!(known, model.groups.contains_key(id));
            }
            Bound::Report(session, report) => {
                broker.report(session, report).await.unwrap();
                model.workers.insert(session.clone(), (model.now, report.clone()));
            }
            Bound::SignOff(session) => {
                broker.sign_off(session).await.unwrap();
                model.workers.remove(session);
            }
            Bound::Post(number, letter) => {
                broker.post(&mailbox(*number), letter).await.unwrap();
                model.mail[*number].push_back(letter.clone());
            }
            Bound::Collect(number) => {
                let letters = broker.collect(&mailbox(*number), Duration::ZERO).await.unwrap();
                assert_eq!(letters, model.mail[*number].drain(..).collect::<Vec<_>>());
            }
            Bound::Advance(by) => {
                // Letters live for a minute of whatever clock the broker likes.
                for (number, letters) in model.mail.iter_mut().enumerate() {
                    let collected = broker.collect(&mailbox(number), Duration::ZERO).await.unwrap();
                    assert_eq!(collected, letters.drain(..).collect::<Vec<_>>());
                }
                self.world.clock.advance(span(*by));
                model.now += by;
            }
        }
    }

    fn assert_claimed(&mut self, session: usize, request: &ClaimRequest, claim: &Claim, again: bool) {
        self.model.sweep();
        if again {
            let held = self.told[session].iter().filter(|lease| request.limit > 0 && self.model.holds(lease));
            assert_eq!(claim.jobs.iter().map(|job| &job.lease).collect::<Vec<_>>(), held.collect::<Vec<_>>());
        } else {
            let share: Vec<_> = claim.jobs.iter().map(|job| self.model.standing(job.lease.job)).collect();
            assert_eq!(share, self.model.share(request.sequence, request.limit), "queue, priority and place of each");
            for job in &claim.jobs {
                assert!(!self.leases.contains(&job.lease), "no token is given twice");
                self.model.start(job);
                self.leases.push(job.lease.clone());
            }
            if request.limit > 0 {
                self.told[session] = claim.jobs.iter().map(|job| job.lease.clone()).collect();
            }
        }
        assert_eq!(claim.next_due.map(|next| ticks(next.as_secs_f64())), self.model.next_due());
    }
}

/// Runs what a seed gives.
fn run_seed<F: AsyncFn() -> World>(seed: u64, world: &F, summary: &RefCell<Summary>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: 1, failure_persistence: None, max_shrink_time: 60_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let checked = runner.run(&vec(call(), CALLS), |calls| {
        runtime.block_on(async {
            let mut run = Run::new(world().await, summary);
            for call in &calls {
                run.run(call).await;
            }
            run.assert_ended().await;
        });
        Ok(())
    });
    checked.unwrap_or_else(|failure| panic!("{failure}\nRun it again with PIXMILL_SEED={seed}."));
}

fn hold<F: AsyncFn() -> World>(name: &str, world: F) {
    let number = |variable: &str| std::env::var(variable).ok().map(|value| value.parse::<u64>().expect(variable));
    let summary = RefCell::new(Summary::default());
    let done = || summary.borrow().calls.values().sum::<u64>();
    let mut seeds = 0_u64;
    let mut run = |seed| {
        run_seed(seed, &world, &summary);
        seeds += 1;
    };
    if let Some(seed) = number("PIXMILL_SEED") {
        run(seed);
    } else if let Some(operations) = number("PIXMILL_OPERATIONS") {
        while done() < operations {
            run(fastrand::u64(..));
        }
    } else {
        SEEDS.for_each(&mut run);
        std::iter::repeat_with(|| fastrand::u64(..)).take(FRESH).for_each(run);
    }
    let Summary { calls, repeated, compared } = summary.borrow().clone();
    let kinds: Vec<_> = calls.iter().map(|(name, count)| format!("{name} {count}")).collect();
    println!(
        "{name}: {} operations ({}), {repeated} of them made twice; {compared} records compared; {seeds} seeds",
        calls.values().sum::<u64>(),
        kinds.join(", "),
    );
}

#[test]
fn sqlite_does_what_the_model_does() {
    hold("SQLite", async || World::sqlite_unsynced(policy()).await);
}

#[test]
fn redis_does_what_the_model_does() {
    // Held over all the seeds, or each would start a server.
    let _server = RedisServer::shared();
    hold("Redis", async || World::redis(policy()).await);
}
