//! Whether a broker shows what the model does: events, records, depths and lists.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use queue::{EventKind, GroupFilter, GroupId, JobFilter, JobId, JobList, State};

use super::model::{QUEUES, Tick, span, ticks};
use super::{ALL, Run};
use crate::broker::world::Happened;

impl Run<'_> {
    /// Compares what has happened, and everything that still may change; what ended in an earlier tick comes last, in
    /// [`assert_ended`](Self::assert_ended).
    pub(super) async fn assert_same(&mut self) {
        self.assert_events().await;
        let now = self.model.now;
        let fresh = |finished: Option<Tick>| finished.is_none_or(|tick| tick == now);
        let jobs = self.model.jobs.iter().filter(|(_, job)| fresh(job.finished)).map(|(id, _)| *id).collect();
        let groups = self.model.groups.iter().filter(|(_, group)| fresh(group.finished)).map(|(id, _)| *id).collect();
        self.assert_records(jobs, groups).await;
        self.assert_lists().await;
    }

    pub(super) async fn assert_ended(&self) {
        let jobs = self.model.jobs.keys().copied().collect();
        self.assert_records(jobs, self.model.groups.keys().copied().collect()).await;
        self.assert_whole_lists().await;
        // Nor does it take for damage what it has written itself.
        assert!(self.world.broker.verify(Duration::from_mins(1)).await.unwrap());
    }

    /// Everything that is there, in pages.
    async fn assert_whole_lists(&self) {
        let broker = &self.world.broker;
        let (mut listed, mut below) = (Vec::new(), None);
        loop {
            let page = broker.groups(&GroupFilter::default(), below, 100).await.unwrap();
            listed.extend(page.entries.iter().map(|group| (group.created_at, group.id)));
            below = page.next;
            if below.is_none() {
                break;
            }
        }
        assert!(listed.is_sorted_by(|one, other| one > other), "{listed:?}");
        assert_eq!(listed.iter().map(|(_, id)| id).collect::<HashSet<_>>(), self.model.groups.keys().collect());
        for state in State::ALL.into_iter().map(Some).chain([None]) {
            let filter = JobFilter { state, ..JobFilter::default() };
            let mut listed = Vec::new();
            loop {
                let page = broker.jobs(&filter, below, 100).await.unwrap();
                listed.extend(page.entries.iter().map(|job| job.id));
                below = page.next;
                if below.is_none() {
                    break;
                }
            }
            let known = self.model.jobs.iter().filter(|(_, job)| state.is_none_or(|state| state == job.state));
            assert_eq!(counted_once(&listed), known.map(|(id, _)| id).collect(), "{state:?}");
        }
    }

    async fn assert_events(&mut self) {
        let events = self.world.broker.events(self.last_event.as_deref(), ALL).await.unwrap();
        let happened: Vec<Happened> = events.iter().map(|event| (event.kind, event.group, event.job)).collect();
        let expected = std::mem::take(&mut self.model.events);
        assert_eq!(counted(&happened), counted(&expected), "{happened:?}\ninstead of {expected:?}");
        assert_in_order(&happened);
        for event in &events {
            assert_eq!(self.tick(event.at), self.model.now, "{event:?}");
        }
        self.last_event = events.last().map(|event| event.id.clone()).or(self.last_event.take());
        for (_, id, _) in expected.iter().filter(|(kind, ..)| *kind == EventKind::Enqueued) {
            self.groups.push(*id);
            self.jobs.extend(&self.model.groups[id].members);
        }
    }

    async fn assert_records(&self, jobs: Vec<JobId>, groups: Vec<GroupId>) {
        self.summary.borrow_mut().compared += (jobs.len() + groups.len()) as u64;
        let (jobs, groups) = futures::join!(
            join_all(jobs.into_iter().map(|id| self.assert_job(id))),
            join_all(groups.into_iter().map(|id| self.assert_group(id)))
        );
        drop((jobs, groups));
    }

    async fn assert_job(&self, id: JobId) {
        let job = self.world.job(id).await;
        let known = &self.model.jobs[&id];
        let seen = (job.state, job.group, job.index, job.after, job.retry_of);
        assert_eq!(seen, (known.state, known.group, known.new.index, known.new.after, known.new.retry_of));
        // What a job that was cancelled between its attempts had counted is left open.
        if known.state != State::Cancelled {
            assert_eq!((job.attempt, job.stalls, job.alone), (known.attempt, known.stalls, known.alone), "{job:?}");
            assert_eq!(job.due_at.map(|at| self.tick(at)), known.due, "{job:?}");
        }
        if known.state == State::Active {
            assert_eq!(job.cancelling, self.model.is_flagged(id), "{job:?}");
        }
        if matches!(known.state, State::Succeeded | State::Failed) {
            assert_eq!(job.result.as_ref(), Some(&known.result));
        }
        assert_eq!(job.finished_at.map(|at| self.tick(at)), known.finished, "{job:?}");
        assert_eq!(job.payload, known.new.payload);
    }

    async fn assert_group(&self, id: GroupId) {
        let known = &self.model.groups[&id];
        let group = self.world.group(id).await;
        let counts = [State::Succeeded, State::Failed, State::Cancelled].map(|state| self.model.count(known, state));
        assert_eq!([group.succeeded, group.failed, group.cancelled], counts, "{group:?}");
        assert_eq!((group.total as usize, group.sealed), (known.members.len(), true));
        assert_eq!((group.fired, group.then), (known.fired, known.new.then.as_ref().map(|then| then.group)));
        assert_eq!(group.meta, known.new.meta);
        // Whether a finished group was asked to stop is nobody's business.
        if known.finished.is_none() {
            assert_eq!(group.cancelling, known.cancelling, "{group:?}");
        }
        assert_eq!(self.tick(group.created_at), known.created);
        assert_eq!(group.finished_at.map(|at| self.tick(at)), known.finished, "{group:?}");
        let results = self.world.broker.results(id, 0, ALL).await.unwrap();
        let seen: Vec<_> =
            results.iter().map(|result| (result.index, result.job, result.state, &result.result)).collect();
        let ended =
            known.members.iter().map(|job| (job, &self.model.jobs[job])).filter(|(_, job)| job.finished.is_some());
        let expected: Vec<_> = ended.map(|(id, job)| (job.new.index, *id, job.state, &job.result)).collect();
        assert_eq!(seen, expected);
    }

    async fn assert_lists(&self) {
        let broker = &self.world.broker;
        for (at, queue) in QUEUES.iter().enumerate() {
            let of =
                |state| self.model.jobs.values().filter(|job| job.new.queue == *queue && job.state == state).count();
            let [waiting, delayed, active] =
                [State::Waiting, State::Delayed, State::Active].map(|state| of(state) as u64);
            let depths = broker.depths().await.unwrap();
            let seen = depths.iter().find(|depth| depth.queue == *queue);
            let seen =
                seen.map_or((0, 0, 0, false), |depth| (depth.waiting, depth.delayed, depth.active, depth.paused));
            assert_eq!(seen, (waiting, delayed, active, self.model.paused.contains(&at)), "{queue}");
        }
        for index in [JobList::Delayed, JobList::Active, JobList::Dead] {
            let listed = broker.list(index, 0, ALL).await.unwrap();
            let expected = self.model.jobs.iter().filter_map(|(id, job)| match index {
                JobList::Delayed if job.state == State::Delayed => Some((*id, job.due?)),
                JobList::Active if job.state == State::Active => Some((*id, job.due?)),
                JobList::Dead if job.is_dead() => Some((*id, job.finished?)),
                _ => None,
            });
            let seen = listed.iter().map(|entry| (entry.job, self.tick(entry.at)));
            assert_eq!(seen.collect::<HashMap<_, _>>(), expected.collect::<HashMap<_, _>>(), "{index:?}");
            let sorted = match index {
                JobList::Delayed | JobList::Active => listed.is_sorted_by_key(|entry| entry.at),
                JobList::Dead => listed.iter().rev().is_sorted_by_key(|entry| entry.at),
            };
            assert!(sorted, "{index:?}: {listed:?}");
        }
        let age = 3;
        let finished = broker.finished_groups(span(age), 0, ALL).await.unwrap();
        let ended = |group: &GroupId| self.model.groups.get(group).and_then(|group| group.finished);
        assert!(finished.is_sorted_by_key(ended), "{finished:?}");
        let old = |group: &&GroupId| ended(group).is_some_and(|tick| tick + age <= self.model.now);
        let expected: HashSet<_> = self.model.groups.keys().filter(old).copied().collect();
        assert_eq!(finished.into_iter().collect::<HashSet<_>>(), expected);
        let workers = broker.workers().await.unwrap();
        let seen: Vec<_> = workers.iter().map(|worker| (worker.session.as_str(), &worker.report)).collect();
        assert_eq!(seen, self.model.living());
    }

    /// The tick that an instant fell into.
    fn tick(&self, at: Timestamp) -> Tick {
        ticks(at.duration_since(self.began).as_secs_f64())
    }
}

fn counted_once(ids: &[JobId]) -> HashSet<&JobId> {
    let once: HashSet<&JobId> = ids.iter().collect();
    assert_eq!(once.len(), ids.len(), "{ids:?}");
    once
}

fn counted(events: &[Happened]) -> HashMap<Happened, u32> {
    let mut counts = HashMap::new();
    for event in events {
        *counts.entry(*event).or_default() += 1;
    }
    counts
}

/// A group's jobs come before its end, and its end before what follows.
fn assert_in_order(events: &[Happened]) {
    for (at, (kind, group, _)) in events.iter().enumerate() {
        let mut later = events[at + 1..].iter().filter(|(_, other, _)| other == group);
        match kind {
            EventKind::Finished => assert!(later.all(|(kind, ..)| *kind == EventKind::Fired), "{events:?}"),
            EventKind::Fired => assert!(later.next().is_none(), "{events:?}"),
            _ => {}
        }
    }
}
