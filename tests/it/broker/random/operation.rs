//! What the random test does to a broker: drawn at random, bound to real jobs, groups and leases only when it runs.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use queue::{Class, On, Stage, Verdict};

use super::model::{QUEUES, Tick, span};

/// Chosen among those there are, modulo their number.
pub type Pick = usize;

/// One call of the broker.
#[derive(Debug, Clone)]
pub struct Call {
    pub operation: Operation,
    /// The reply was lost: the very same call is made again.
    pub twice: bool,
}

#[derive(Debug, Clone)]
pub enum Operation {
    Enqueue(Draft),
    EnqueueAgain(Pick),
    Claim {
        session: usize,
        limit: usize,
    },
    /// The session's last claim.
    ClaimAgain {
        session: usize,
    },
    /// Leases ever given, and what is said of each; with a claim in the same call or none.
    Settle(Vec<(Told, End)>, Option<(usize, usize)>),
    Beat(Vec<Told>),
    Release(Vec<Told>, Option<Tick>),
    CancelJob(Pick),
    CancelGroup(Pick),
    Pause(usize),
    Resume(usize),
    Purge(usize),
    Reserve {
        key: usize,
        group: Pick,
    },
    Unreserve {
        key: usize,
        group: Pick,
    },
    RemoveGroup(Pick),
    MoveCursor {
        cursor: usize,
        /// From the value that it has.
        expected: bool,
        early: bool,
        group: Option<Draft>,
    },
    Report(usize),
    SignOff(usize),
    Post(usize),
    Collect(usize),
    Advance(Tick),
}

/// A group to be enqueued.
#[derive(Debug, Clone)]
pub struct Draft {
    pub jobs: Vec<DraftJob>,
    /// A job of another group stands among its own.
    pub stranger: Option<Pick>,
    pub then: Option<DraftThen>,
    pub key: Option<usize>,
}

#[derive(Debug, Clone)]
pub struct DraftJob {
    pub queue: usize,
    pub priority: u8,
    pub delay: Option<Tick>,
    /// One of the jobs before it.
    pub after: Option<Pick>,
    pub retry_of: Option<Pick>,
}

#[derive(Debug, Clone)]
pub struct DraftThen {
    pub on: On,
    pub queue: usize,
    pub delay: Option<Tick>,
    /// The follow-up that the last group had, too.
    pub shared: bool,
}

/// A lease that a worker believes to hold.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    pub lease: Pick,
    /// With a token of nobody's.
    pub forged: bool,
}

#[derive(Debug, Clone, Copy)]
pub enum End {
    Succeed,
    Fail,
    Retry(Tick),
    Cancel,
    Crash {
        alone: bool,
    },
    /// In this queue.
    Continue(usize),
}

impl End {
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Succeed => Verdict::Succeed { result: Bytes::from_static(b"good") },
            Self::Fail => Verdict::Fail { result: Bytes::from_static(b"bad") },
            Self::Retry(after) => Verdict::Retry { after: span(after), reason: Bytes::from_static(b"later") },
            Self::Cancel => Verdict::Cancel,
            Self::Crash { alone } => Verdict::Crash { alone },
            Self::Continue(queue) => Verdict::Continue(next_stage(queue)),
        }
    }
}

pub fn next_stage(queue: usize) -> Stage {
    let (kind, queue) = ("next".into(), QUEUES[queue].into());
    Stage { kind, queue, class: Class::Cpu, payload: Bytes::from_static(b"further\0\xff") }
}

impl Operation {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Enqueue(_) => "enqueue",
            Self::EnqueueAgain(_) => "enqueue again",
            Self::Claim { .. } => "claim",
            Self::ClaimAgain { .. } => "claim again",
            Self::Settle(_, None) => "settle",
            Self::Settle(_, Some(_)) => "settle and claim",
            Self::Beat(_) => "beat",
            Self::Release(_, None) => "release",
            Self::Release(_, Some(_)) => "release for later",
            Self::CancelJob(_) => "cancel job",
            Self::CancelGroup(_) => "cancel group",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Purge(_) => "purge",
            Self::Reserve { .. } => "reserve",
            Self::Unreserve { .. } => "unreserve",
            Self::RemoveGroup(_) => "remove group",
            Self::MoveCursor { .. } => "move cursor",
            Self::Report(_) => "report",
            Self::SignOff(_) => "sign off",
            Self::Post(_) => "post",
            Self::Collect(_) => "collect",
            Self::Advance(_) => "advance the clock",
        }
    }
}

pub fn call() -> impl Strategy<Value = Call> {
    (operation(), weighted_bool(0.15)).prop_map(|(operation, twice)| Call { operation, twice })
}

fn operation() -> impl Strategy<Value = Operation> {
    let claim = (0..3usize, 0..5usize);
    let leases = || vec(told(), 0..4);
    let group = any::<Pick>;
    prop_oneof![
        30 => draft().prop_map(Operation::Enqueue),
        4 => any::<Pick>().prop_map(Operation::EnqueueAgain),
        40 => claim.clone().prop_map(|(session, limit)| Operation::Claim { session, limit }),
        8 => (0..3usize).prop_map(|session| Operation::ClaimAgain { session }),
        40 => (vec((told(), end()), 0..4), proptest::option::of(claim))
            .prop_map(|(ends, claim)| Operation::Settle(ends, claim)),
        12 => leases().prop_map(Operation::Beat),
        10 => (leases(), weighted(0.4, ticks())).prop_map(|(leases, after)| Operation::Release(leases, after)),
        10 => any::<Pick>().prop_map(Operation::CancelJob),
        4 => group().prop_map(Operation::CancelGroup),
        3 => (0..2usize).prop_map(Operation::Pause),
        6 => (0..2usize).prop_map(Operation::Resume),
        1 => (0..2usize).prop_map(Operation::Purge),
        6 => (0..2usize, group()).prop_map(|(key, group)| Operation::Reserve { key, group }),
        3 => (0..2usize, group()).prop_map(|(key, group)| Operation::Unreserve { key, group }),
        6 => group().prop_map(Operation::RemoveGroup),
        8 => (0..2usize, weighted_bool(0.7), weighted_bool(0.15), weighted(0.7, draft()))
            .prop_map(|(cursor, expected, early, group)| Operation::MoveCursor { cursor, expected, early, group }),
        3 => (0..3usize).prop_map(Operation::Report),
        1 => (0..3usize).prop_map(Operation::SignOff),
        3 => (0..2usize).prop_map(Operation::Post),
        2 => (0..2usize).prop_map(Operation::Collect),
        18 => (1..4u32).prop_map(|steps| Operation::Advance(steps * 2)),
        2 => (5..30u32).prop_map(|steps| Operation::Advance(steps * 2)),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let job = (0..2usize, 1..=2u8, weighted(0.3, ticks()), weighted(0.3, any::<Pick>()), weighted(0.1, any::<Pick>()))
        .prop_map(|(queue, priority, delay, after, retry_of)| DraftJob { queue, priority, delay, after, retry_of });
    // From the next tick on: a sweep promotes before it recovers, so what follows a recovery at once waits for another.
    let later = weighted(0.3, (1..4u32).prop_map(|steps| steps * 2));
    let on = prop_oneof![Just(On::Success), Just(On::Always)];
    let then = (on, 0..2usize, later, weighted_bool(0.15)).prop_map(|(on, queue, delay, shared)| DraftThen {
        on,
        queue,
        delay,
        shared,
    });
    (vec(job, 0..5), weighted(0.05, any::<Pick>()), weighted(0.4, then), weighted(0.15, 0..2usize))
        .prop_map(|(jobs, stranger, then, key)| Draft { jobs, stranger, then, key })
}

fn told() -> impl Strategy<Value = Told> {
    (any::<Pick>(), weighted_bool(0.05)).prop_map(|(lease, forged)| Told { lease, forged })
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        8 => Just(End::Succeed),
        2 => Just(End::Fail),
        3 => ticks().prop_map(End::Retry),
        1 => Just(End::Cancel),
        3 => any::<bool>().prop_map(|alone| End::Crash { alone }),
        3 => (0..2usize).prop_map(End::Continue),
    ]
}

fn ticks() -> impl Strategy<Value = Tick> {
    (0..4u32).prop_map(|steps| steps * 2)
}

fn weighted_bool(probability: f64) -> impl Strategy<Value = bool> {
    proptest::bool::weighted(probability)
}
