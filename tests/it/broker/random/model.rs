//! The queue's contract once more, in memory and as plainly as it can be said.
//!
//! Time is counted in ticks. What is asked for is an even number of them, a lease and every memory an odd one: nothing
//! ever ends at the very instant of a call, so the milliseconds that a run really takes change no answer.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use queue::{
    Advance, ClaimedJob, EventKind, GroupId, IdempotencyKey, JobId, Lease, NewGroup, NewJob, On, Policy, Reservation,
    Settled, State, Then, policy as numbers,
};

use super::operation::{End, next_stage};
use crate::broker::world::Happened;

pub type Tick = u32;

const TICK: Duration = Duration::from_secs(250);
const LEASE: Tick = 5;
const RESERVATION: Tick = 5;
const KEY_MEMORY: Tick = 11;
pub const QUEUES: [&str; 2] = ["near", "far"];
const CAP: usize = 12;

pub fn policy() -> Policy {
    Policy {
        lease: span(LEASE),
        max_stalls: 2,
        queue_cap: CAP as u64,
        reservation: span(RESERVATION),
        key_memory: span(KEY_MEMORY),
        ..Policy::default()
    }
}

pub fn span(ticks: Tick) -> Duration {
    TICK * ticks
}

/// The tick that is nearest to so much time.
pub fn ticks(time: f64) -> Tick {
    (time / TICK.as_secs_f64()).round() as Tick
}

/// Where a waiting job stands: each transition puts its jobs behind those of all before it, or in front of them; the
/// second number orders them among each other. Equals may run in either order.
pub type Place = (i64, u32);

/// Queue, priority and place in line.
pub type Standing = (usize, u8, Place);

#[derive(Debug)]
pub struct Known {
    pub group: GroupId,
    pub new: NewJob,
    pub state: State,
    /// Of a delayed or active job; none for one that waits for another.
    pub due: Option<Tick>,
    place: Place,
    pub attempt: u32,
    pub stalls: u32,
    pub alone: bool,
    cancelling: bool,
    pub lease: Option<Lease>,
    committed: Vec<Lease>,
    pub finished: Option<Tick>,
    pub result: Bytes,
    /// It failed, and was enqueued again.
    copied: bool,
}

impl Known {
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Waiting | State::Delayed)
    }

    pub fn is_dead(&self) -> bool {
        self.state == State::Failed && !self.copied
    }
}

#[derive(Debug)]
pub struct Party {
    pub new: NewGroup,
    /// As they were submitted, strangers among them.
    pub submitted: Vec<NewJob>,
    pub members: Vec<JobId>,
    pub created: Tick,
    pub finished: Option<Tick>,
    pub cancelling: bool,
    pub fired: bool,
}

enum Holder {
    Reserved { group: GroupId, until: Tick },
    Bound { group: GroupId, fingerprint: Bytes, until: Tick },
}

/// What becomes of a group that is enqueued.
#[derive(Debug, PartialEq, Eq)]
pub enum Enqueued {
    Done,
    KeyTaken(GroupId),
    Full,
}

/// What becomes of a cursor's move.
#[derive(Debug)]
pub enum CursorMove {
    Moved,
    Elsewhere(Option<String>),
    Early,
    Refused(Enqueued),
}

#[derive(Default)]
pub struct Model {
    pub now: Tick,
    pub jobs: HashMap<JobId, Known>,
    pub groups: HashMap<GroupId, Party>,
    pub paused: HashSet<usize>,
    /// By session: when it reported itself, and what.
    pub workers: BTreeMap<String, (Tick, Bytes)>,
    pub mail: [VecDeque<Bytes>; 2],
    pub cursors: HashMap<String, String>,
    /// What has happened since it was last asked.
    pub events: Vec<Happened>,
    keys: HashMap<String, Holder>,
    /// Counts the transitions.
    turn: i64,
}

impl Model {
    /// Waiting or delayed jobs of a queue.
    fn open(&self, queue: &str) -> usize {
        self.jobs.values().filter(|job| job.new.queue == queue && job.is_open()).count()
    }

    fn tell(&mut self, kind: EventKind, group: GroupId, job: Option<JobId>) {
        self.events.push((kind, group, job));
    }

    pub fn enqueue(&mut self, group: &NewGroup, jobs: &[NewJob]) -> Enqueued {
        self.turn += 1;
        if let Some(taken) = group.key.as_ref().and_then(|key| self.bound_elsewhere(key, group.id)) {
            return Enqueued::KeyTaken(taken);
        }
        if self.groups.contains_key(&group.id) {
            return Enqueued::Done;
        }
        let members: Vec<_> = jobs.iter().filter(|job| !self.jobs.contains_key(&job.id)).cloned().collect();
        for queue in QUEUES {
            let more = members.iter().filter(|job| job.queue == queue).count();
            if more > 0 && self.open(queue) + more > CAP {
                return Enqueued::Full;
            }
        }
        if let Some(IdempotencyKey { name, fingerprint, .. }) = group.key.clone() {
            self.keys.insert(name, Holder::Bound { group: group.id, fingerprint, until: self.now + KEY_MEMORY });
        }
        for copied in members.iter().filter_map(|job| job.retry_of) {
            if let Some(job) = self.jobs.get_mut(&copied) {
                job.copied = true;
            }
        }
        self.insert(group.clone(), jobs.to_vec(), members);
        Enqueued::Done
    }

    pub fn move_cursor(&mut self, advance: &Advance, work: Option<&(NewGroup, Vec<NewJob>)>) -> CursorMove {
        let at = self.cursors.get(&advance.cursor).cloned();
        if at != advance.expected {
            return CursorMove::Elsewhere(at);
        }
        if advance.not_before.is_some() {
            return CursorMove::Early;
        }
        if let Some((group, jobs)) = work
            && let refused @ (Enqueued::Full | Enqueued::KeyTaken(_)) = self.enqueue(group, jobs)
        {
            return CursorMove::Refused(refused);
        }
        self.cursors.insert(advance.cursor.clone(), advance.next.clone());
        CursorMove::Moved
    }

    fn bound_elsewhere(&self, key: &IdempotencyKey, group: GroupId) -> Option<GroupId> {
        match self.keys.get(&key.name)? {
            Holder::Bound { group: other, until, .. }
                if *until > self.now && *other != group && self.groups.contains_key(other) =>
            {
                Some(*other)
            }
            _ => None,
        }
    }

    fn insert(&mut self, group: NewGroup, submitted: Vec<NewJob>, members: Vec<NewJob>) {
        let id = group.id;
        let party = Party {
            new: group,
            submitted,
            members: members.iter().map(|job| job.id).collect(),
            created: self.now,
            finished: None,
            cancelling: false,
            fired: false,
        };
        self.groups.insert(id, party);
        self.tell(EventKind::Enqueued, id, None);
        for new in members {
            let known = Known {
                group: id,
                state: State::Delayed,
                due: None,
                place: (0, 0),
                attempt: 0,
                stalls: 0,
                alone: false,
                cancelling: false,
                lease: None,
                committed: Vec::new(),
                finished: None,
                result: Bytes::new(),
                copied: false,
                new,
            };
            let (job, index, held) = (known.new.id, known.new.index, known.new.after.is_some());
            self.jobs.insert(job, known);
            if !held {
                self.begin(job, index);
            }
        }
        self.finish_if_done(id);
    }

    /// A job's delay begins; it waits where it has none.
    fn begin(&mut self, id: JobId, order: u32) {
        let job = self.known(id);
        match job.new.delay {
            Some(delay) => self.delay(id, ticks(delay.as_secs_f64())),
            None => self.queue(id, (self.turn, order)),
        }
    }

    fn queue(&mut self, id: JobId, place: Place) {
        let job = self.known(id);
        (job.state, job.due, job.lease, job.place) = (State::Waiting, None, None, place);
    }

    fn delay(&mut self, id: JobId, by: Tick) {
        let due = Some(self.now + by);
        let job = self.known(id);
        (job.state, job.due, job.lease) = (State::Delayed, due, None);
    }

    fn known(&mut self, id: JobId) -> &mut Known {
        self.jobs.get_mut(&id).expect("the job is known")
    }

    pub fn is_flagged(&self, id: JobId) -> bool {
        let job = &self.jobs[&id];
        job.cancelling || self.groups[&job.group].cancelling
    }

    fn end(&mut self, id: JobId, state: State, result: Bytes) {
        let now = self.now;
        let job = self.known(id);
        (job.state, job.due, job.lease, job.finished, job.result) = (state, None, None, Some(now), result);
        let group = job.group;
        let kind = match state {
            State::Succeeded => EventKind::Succeeded,
            State::Failed => EventKind::Failed,
            _ => EventKind::Cancelled,
        };
        self.tell(kind, group, Some(id));
        let held = |job: &&Known| job.new.after == Some(id) && job.state == State::Delayed && job.due.is_none();
        let followers: Vec<_> = self.jobs.values().filter(held).map(|job| job.new.id).collect();
        for follower in followers {
            if state == State::Succeeded {
                self.begin(follower, 0);
            } else {
                self.end(follower, State::Cancelled, Bytes::new());
            }
        }
        self.finish_if_done(group);
    }

    pub fn count(&self, group: &Party, state: State) -> u32 {
        group.members.iter().filter(|job| self.jobs[job].state == state).count() as u32
    }

    fn finish_if_done(&mut self, id: GroupId) {
        let group = &self.groups[&id];
        if group.finished.is_some() || !group.members.iter().all(|job| self.jobs[job].state.is_terminal()) {
            return;
        }
        let all_succeeded = self.count(group, State::Succeeded) as usize == group.members.len();
        let then = group.new.then.clone().filter(|then| then.on == On::Always || all_succeeded);
        let group = self.groups.get_mut(&id).expect("the group is known");
        (group.finished, group.fired) = (Some(self.now), then.is_some());
        self.tell(EventKind::Finished, id, None);
        if let Some(Then { group, job, .. }) = then {
            self.tell(EventKind::Fired, id, None);
            if !self.groups.contains_key(&group) {
                self.insert(NewGroup::new(group, Bytes::new()), vec![job.clone()], vec![job]);
            }
        }
    }

    /// What every claim begins with: what is due waits, what expired is recovered.
    pub fn sweep(&mut self) {
        for (job, due) in self.due(State::Delayed) {
            self.queue(job, (self.turn, due));
        }
        for (job, due) in self.due(State::Active) {
            let alone = self.jobs[&job].alone;
            self.die(job, alone, due);
        }
    }

    fn due(&mut self, state: State) -> Vec<(JobId, Tick)> {
        self.turn += 1;
        let of_state = self.jobs.values().filter(|job| job.state == state);
        let due = of_state.filter_map(|job| Some((job.new.id, job.due?)));
        due.filter(|(_, due)| *due <= self.now).collect()
    }

    /// The process that ran a job is gone.
    fn die(&mut self, id: JobId, alone: bool, order: u32) {
        if self.is_flagged(id) {
            return self.end(id, State::Cancelled, Bytes::new());
        }
        let job = self.known(id);
        job.alone = true;
        job.stalls += u32::from(alone);
        let (group, stalls) = (job.group, job.stalls);
        if alone && stalls >= policy().max_stalls {
            return self.end(id, State::Failed, numbers::poison(stalls));
        }
        self.queue(id, (-self.turn, order));
        self.tell(EventKind::Stalled, group, Some(id));
    }

    /// Until the next delayed job is due or the next lease expires.
    pub fn next_due(&self) -> Option<Tick> {
        self.jobs.values().filter_map(|job| job.due).min().map(|due| due.saturating_sub(self.now))
    }

    /// Where the jobs stand that a new claim gets: queue, priority and place in line.
    pub fn share(&self, sequence: u64, limit: usize) -> Vec<Standing> {
        let waiting = self.jobs.iter().filter(|(_, job)| job.state == State::Waiting);
        let mut share: Vec<_> = waiting.map(|(id, _)| self.standing(*id)).collect();
        share.retain(|(queue, ..)| !self.paused.contains(queue));
        let from_below = numbers::looks_from_below(sequence);
        share.sort_by_key(|&(queue, priority, place)| {
            (queue, if from_below { priority } else { u8::MAX - priority }, place)
        });
        share.truncate(limit);
        share
    }

    pub fn standing(&self, id: JobId) -> Standing {
        let Known { new, place, .. } = &self.jobs[&id];
        let queue = QUEUES.iter().position(|queue| new.queue == *queue);
        (queue.expect("one of both"), new.priority, *place)
    }

    /// Which of two equals runs is the broker's choice.
    pub fn start(&mut self, claimed: &ClaimedJob) {
        let due = Some(self.now + LEASE);
        let id = claimed.lease.job;
        let job = self.known(id);
        assert_eq!(job.state, State::Waiting, "{claimed:?}");
        (job.state, job.due, job.lease) = (State::Active, due, Some(claimed.lease.clone()));
        job.attempt += 1;
        let group = job.group;
        assert_eq!(claimed.group, group);
        assert_eq!((claimed.attempt, claimed.alone, claimed.index), (job.attempt, job.alone, job.new.index));
        assert_eq!((&claimed.payload, claimed.max_attempts), (&job.new.payload, job.new.max_attempts));
        self.tell(EventKind::Started, group, Some(id));
    }

    pub fn holds(&self, lease: &Lease) -> bool {
        self.jobs.get(&lease.job).is_some_and(|job| job.lease.as_ref() == Some(lease))
    }

    pub fn settle(&mut self, ends: &[(Lease, End)]) -> Vec<Settled> {
        self.turn += 1;
        (0..).zip(ends).map(|(order, (lease, end))| self.settle_one(lease, *end, order)).collect()
    }

    fn settle_one(&mut self, lease: &Lease, end: End, order: u32) -> Settled {
        let id = lease.job;
        if !self.holds(lease) {
            let committed = self.jobs.get(&id).is_some_and(|job| job.committed.contains(lease));
            return if committed { Settled::Committed } else { Settled::LeaseLost };
        }
        self.known(id).committed.push(lease.clone());
        match end {
            End::Succeed => self.end(id, State::Succeeded, Bytes::from_static(b"good")),
            End::Fail => self.end(id, State::Failed, Bytes::from_static(b"bad")),
            End::Crash { alone } => self.die(id, alone, order),
            End::Retry(after) if !self.is_flagged(id) => {
                self.delay(id, after);
                self.tell(EventKind::Retried, self.jobs[&id].group, Some(id));
            }
            End::Continue(queue) if !self.is_flagged(id) => {
                let stage = next_stage(queue);
                let job = self.known(id);
                (job.new.kind, job.new.queue, job.new.payload, job.attempt) =
                    (stage.kind, stage.queue, stage.payload, 0);
                self.queue(id, (self.turn, 0));
                self.tell(EventKind::Released, self.jobs[&id].group, Some(id));
            }
            End::Retry(_) | End::Continue(_) | End::Cancel => self.end(id, State::Cancelled, Bytes::new()),
        }
        Settled::Committed
    }

    pub fn beat(&mut self, lease: &Lease) {
        let due = Some(self.now + LEASE);
        self.known(lease.job).due = due;
    }

    pub fn release(&mut self, leases: &[Lease], after: Option<Tick>) {
        self.turn += 1;
        for (order, lease) in (0..).zip(leases) {
            if !self.holds(lease) {
                continue;
            }
            let id = lease.job;
            if self.is_flagged(id) {
                self.end(id, State::Cancelled, Bytes::new());
                continue;
            }
            self.known(id).attempt -= 1;
            match after {
                Some(after) => self.delay(id, after),
                None => self.queue(id, (-self.turn, order)),
            }
            self.tell(EventKind::Released, self.jobs[&id].group, Some(id));
        }
    }

    pub fn cancel_job(&mut self, id: JobId) -> Option<State> {
        self.turn += 1;
        let job = self.jobs.get_mut(&id)?;
        if job.state == State::Active {
            job.cancelling = true;
        } else if job.is_open() {
            self.end(id, State::Cancelled, Bytes::new());
        }
        Some(self.jobs[&id].state)
    }

    pub fn cancel_group(&mut self, id: GroupId) -> Option<u64> {
        let group = self.groups.get_mut(&id)?;
        group.cancelling |= group.finished.is_none();
        let members = group.members.clone();
        Some(self.cancel_open(members))
    }

    pub fn purge(&mut self, queue: usize) -> u64 {
        let present = self.jobs.values().filter(|job| job.new.queue == QUEUES[queue] && job.is_open());
        let present = present.map(|job| job.new.id).collect();
        self.cancel_open(present)
    }

    /// How many jobs that ended, chains included.
    fn cancel_open(&mut self, jobs: Vec<JobId>) -> u64 {
        self.turn += 1;
        let before = self.events.len();
        for job in jobs {
            if self.jobs[&job].is_open() {
                self.end(job, State::Cancelled, Bytes::new());
            }
        }
        self.events[before..].iter().filter(|(kind, ..)| *kind == EventKind::Cancelled).count() as u64
    }

    pub fn reserve(&mut self, key: &str, group: GroupId) -> Reservation {
        match self.keys.get(key) {
            Some(Holder::Bound { group, fingerprint, until })
                if *until > self.now && self.groups.contains_key(group) =>
            {
                return Reservation::Known { group: *group, fingerprint: fingerprint.clone() };
            }
            Some(Holder::Reserved { group: other, until }) if *until > self.now && *other != group => {
                return Reservation::Busy;
            }
            _ => {}
        }
        self.keys.insert(key.to_owned(), Holder::Reserved { group, until: self.now + RESERVATION });
        Reservation::Granted
    }

    pub fn unreserve(&mut self, key: &str, group: GroupId) {
        if matches!(self.keys.get(key), Some(Holder::Reserved { group: holder, .. }) if *holder == group) {
            self.keys.remove(key);
        }
    }

    pub fn remove_group(&mut self, id: GroupId) -> bool {
        if self.groups.get(&id).is_none_or(|group| group.finished.is_none()) {
            return false;
        }
        let group = self.groups.remove(&id).expect("it is known");
        for job in group.members {
            self.jobs.remove(&job);
        }
        true
    }

    /// Sessions that are listed, with what they reported.
    pub fn living(&self) -> Vec<(&str, &Bytes)> {
        let living = self.workers.iter().filter(|(_, (seen, _))| seen + LEASE > self.now);
        living.map(|(session, (_, report))| (session.as_str(), report)).collect()
    }
}
