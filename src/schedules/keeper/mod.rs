//! Keeps all schedules: looks which slots are due, decides on them and moves their cursors.
//!
//! Any number of services do this for the same schedules. What a slot enqueues goes to the broker in the same transition
//! as the move of the cursor, so of all services one fires it; the others find the cursor elsewhere. The manifest is
//! written before, as for all work.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use queue::{Advance, Advanced, Broker, CURSOR_NOTES, Group, GroupId};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::decide::{Decision, Fire, Last, Move, Position, Situation, decide};
use super::definition::{Definition, Policy, Settings};
use super::firing::{cursor, firing, step_of};
use super::record::Record;
use super::shelf::{Entry, Shelf};
use super::sweeps::Sweep;
use super::timing::Timing;
use crate::storage::{self, Storage, manifest_key};
use crate::submission::manifest::Manifest;

/// Between two looks at the definitions; a change takes effect so soon.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks at a group that a slot waits for, and after an error.
const RETRY: SignedDuration = SignedDuration::from_secs(1);
/// Schedules that are seen to at a time.
const CONCURRENCY: usize = 16;
/// Moves of one schedule in one go: all that are caught up, and one more.
const ROUNDS: usize = 128;
/// Between two warnings about the same trouble.
const QUIET: Duration = Duration::from_mins(1);

type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error("the cursor {0} is at `{1}`, which this version cannot read")]
    Unreadable(String, String),
}

/// Keeps the schedules of a shelf and the service's own sweeps.
pub struct Keeper {
    broker: Broker,
    storage: Storage,
    shelf: Shelf,
    sweeps: Vec<Sweep>,
    /// How far this machine's clock is ahead of the broker's.
    ahead: Mutex<Option<Ahead>>,
    /// `ahead` has changed since the last look.
    shifted: AtomicBool,
    /// When each schedule was last warned about.
    warned: Mutex<HashMap<String, Instant>>,
}

#[derive(Debug, Clone, Copy)]
struct Ahead {
    by: SignedDuration,
    local: Timestamp,
    learned: Instant,
}

/// A schedule that is kept.
struct Kept<'a> {
    name: &'a str,
    cursor: String,
    timing: &'a Timing,
    policy: &'a Policy,
    paused: bool,
    work: Work<'a>,
}

enum Work<'a> {
    Sweep(&'a Sweep),
    Run(&'a Entry, &'a Definition),
}

impl Keeper {
    pub fn new(broker: Broker, storage: Storage, shelf: Shelf, sweeps: Vec<Sweep>) -> Self {
        Self {
            broker,
            storage,
            shelf,
            sweeps,
            ahead: Mutex::default(),
            shifted: AtomicBool::default(),
            warned: Mutex::default(),
        }
    }

    /// Keeps the schedules until the future is dropped.
    pub async fn run(self) {
        let keeper = Arc::new(self);
        let mut wakes = HashMap::new();
        loop {
            keeper.look(&mut wakes).await;
            let now = keeper.now();
            let next = wakes
                .values()
                .min()
                .map_or(LOOK, |&wake| Duration::try_from(wake.duration_since(now)).unwrap_or_default());
            sleep(next.clamp(Duration::from_millis(5), LOOK)).await;
        }
    }

    /// Sees to all schedules that may have something due. `wakes` has the instant of each before which nothing is.
    async fn look(self: &Arc<Self>, wakes: &mut HashMap<String, Timestamp>) {
        let definitions = self.shelf.clone();
        let entries =
            match tokio::task::spawn_blocking(move || definitions.list()).await.expect("reading does not panic") {
                Ok(listing) => {
                    for (file, reason) in &listing.damaged {
                        self.warn(file, &format!("{file} is not taken for a schedule: {reason}"));
                    }
                    listing.entries
                }
                Err(error) => {
                    self.warn("", &format!("the schedules cannot be read: {error}"));
                    Vec::new()
                }
            };
        let mut kept: Vec<Kept> = self.sweeps.iter().map(Kept::sweep).collect();
        for entry in &entries {
            match &entry.definition {
                Ok(definition) => kept.push(Kept::entry(entry, definition)),
                Err(fault) => {
                    let name = &entry.name;
                    self.warn(name, &format!("schedule {name} does not fire until this is mended: {fault}"));
                }
            }
        }
        wakes.retain(|cursor, _| kept.iter().any(|kept| kept.cursor == *cursor));
        let now = self.now();
        // Instants of another clock say nothing.
        if self.shifted.swap(false, Ordering::Relaxed) {
            wakes.clear();
        }
        let mut due = Vec::new();
        for kept in kept {
            if wakes.get(&kept.cursor).is_none_or(|wake| *wake <= now) {
                due.push(self.next_wake(kept));
            }
        }
        let seen: Vec<(String, Timestamp)> = stream::iter(due).buffer_unordered(CONCURRENCY).collect().await;
        wakes.extend(seen);
    }

    /// Sees to a schedule; returns its cursor and when to see to it again.
    async fn next_wake(&self, kept: Kept<'_>) -> (String, Timestamp) {
        let wake = match self.see_to(&kept).await {
            Ok(wake) => wake,
            Err(error) => {
                self.warn(kept.name, &format!("schedule {} waits: {error}", kept.name));
                self.now() + RETRY
            }
        };
        (kept.cursor, wake)
    }

    /// Decides on all slots that are due; returns the instant before which nothing is.
    async fn see_to(&self, kept: &Kept<'_>) -> Result<Timestamp> {
        let Kept { name, timing, policy, .. } = *kept;
        let mut paused = kept.paused;
        for _ in 0..ROUNDS {
            let now = self.now();
            let position = self.position(kept, now).await?;
            if position.closed {
                return Ok(now + RETRY);
            }
            let last = self.last(kept, &position).await?;
            match decide(&Situation { name, timing, policy, paused, position, last, now }) {
                // An hour at the most, because this machine's clock may be set.
                Decision::Sleep(until) => {
                    let hour = now + SignedDuration::from_hours(1);
                    return Ok(until.map_or(hour, |until| until.min(hour)));
                }
                Decision::Blocked => return Ok(now + RETRY),
                Decision::Pause => {
                    self.pause(kept, &position, now).await;
                    paused = true;
                }
                Decision::Move(moving) => {
                    if let Some(wait) = self.carry_out(kept, &position, &moving, now).await? {
                        return Ok(self.now() + wait);
                    }
                }
            }
        }
        Ok(self.now())
    }

    /// How far the schedule has come. One that has no cursor gets it.
    async fn position(&self, kept: &Kept<'_>, now: Timestamp) -> Result<Position> {
        match self.broker.cursor(&kept.cursor).await? {
            Some(cursor) => read(&kept.cursor, &cursor.at),
            None => self.start(kept, now).await,
        }
    }

    /// Makes the cursor: where its copy says, where the version before has ended, or where the schedule begins.
    async fn start(&self, kept: &Kept<'_>, now: Timestamp) -> Result<Position> {
        let (mut position, mut notes) = (Position::new(now), Vec::new());
        match kept.work {
            // The slot that runs now is due at once: a service that starts sweeps.
            Work::Sweep(_) => {
                let begun = kept.timing.previous(now + SignedDuration::from_nanos(1)).unwrap_or(now);
                position.decided = begun - SignedDuration::from_millis(1);
            }
            Work::Run(entry, _) => {
                position.decided = entry.since.unwrap_or(now);
                let copied = self.on_disk(entry, |shelf, entry| shelf.copied_position(&entry.name, &entry.version));
                if let Some(copied) = copied.await? {
                    position = copied;
                } else if let Some(previous) = entry.previous.first() {
                    let previous = cursor(&entry.name, previous);
                    let ended = self.close(&previous, position.decided).await?;
                    position.decided = position.decided.max(ended.decided);
                    position.last = ended.last;
                    notes = self.broker.notes(&previous, CURSOR_NOTES).await?;
                    notes.reverse();
                }
                for older in entry.previous.iter().skip(1) {
                    self.broker.remove_cursor(&cursor(&entry.name, older)).await?;
                }
            }
        }
        let next = position.to_string();
        let advance = Advance { cursor: kept.cursor.clone(), expected: None, next, not_before: None, notes };
        match self.broker.advance(&advance, None).await? {
            Advanced::Elsewhere { at: Some(at) } => read(&kept.cursor, &at),
            Advanced::Moved | Advanced::Elsewhere { at: None } | Advanced::Early { .. } => {
                self.copy(kept, &position).await;
                Ok(position)
            }
        }
    }

    /// Ends a version, so that nobody who still has it fires any more; returns how far it came.
    async fn close(&self, cursor: &str, since: Timestamp) -> Result<Position> {
        loop {
            let at = self.broker.cursor(cursor).await?.map(|cursor| cursor.at);
            let position = at.as_deref().map_or(Ok(Position::new(since)), |at| read(cursor, at))?;
            if position.closed {
                return Ok(position);
            }
            let closed = Position { closed: true, ..position };
            let (cursor, next) = (cursor.to_owned(), closed.to_string());
            let advance = Advance { cursor, expected: at, next, not_before: None, notes: Vec::new() };
            if self.broker.advance(&advance, None).await? == Advanced::Moved {
                return Ok(closed);
            }
        }
    }

    /// What the group that fired last is doing.
    async fn last(&self, kept: &Kept<'_>, position: &Position) -> Result<Last> {
        let Some(last) = position.last else { return Ok(Last::Unknown) };
        if let Some(group) = self.broker.group(last).await? {
            return Ok(state(&group));
        }
        if matches!(kept.work, Work::Sweep(_)) {
            return Ok(Last::Unknown);
        }
        let step = step_of(last);
        match self.broker.group(step).await?.map(|step| state(&step)) {
            Some(state) => Ok(state),
            // A broker that has lost it gets it again from the outbox.
            None if self.storage.has(&manifest_key(step)).await? => Ok(Last::Running),
            None => Ok(Last::Unknown),
        }
    }

    /// Moves the cursor with what fires; returns how long to wait if it is too early.
    async fn carry_out(
        &self,
        kept: &Kept<'_>,
        position: &Position,
        moving: &Move,
        now: Timestamp,
    ) -> Result<Option<SignedDuration>> {
        let last = position.last.filter(|_| !moving.forgets);
        let mut next = Position { decided: moving.to, last, ..*position };
        let mut notes: Vec<_> = moving.skipped.iter().map(|skip| Record::skipped(skip, now).to_note()).collect();
        let fired = moving.fire.as_ref().map(|fire| (fire, kept.firing(self.shelf.settings(), fire.slot)));
        if let Some((fire, (group, manifest))) = &fired {
            next.last = Some(*group);
            notes.push(Record::fired(fire, *group, now).to_note());
            if fire.cancels {
                self.cancel(position.last).await?;
            }
            if matches!(kept.work, Work::Run(..)) {
                manifest.write(&self.storage).await?;
            }
        }
        if let Work::Run(entry, definition) = kept.work {
            // Whoever was killed between manifest and move has left what must not be done now.
            for skip in &moving.skipped {
                let (_, left) = firing(entry, definition, self.shelf.settings(), skip.slot);
                self.storage.remove(&manifest_key(left.group)).await?;
            }
        }
        let beyond = notes.len().saturating_sub(CURSOR_NOTES);
        let advance = Advance {
            cursor: kept.cursor.clone(),
            expected: Some(position.to_string()),
            next: next.to_string(),
            not_before: Some(moving.due),
            notes: notes.split_off(beyond),
        };
        let work = fired.as_ref().map(|(_, (_, manifest))| manifest.work());
        let moved = self.broker.advance(&advance, work.as_ref().map(|(group, jobs)| (group, jobs.as_slice()))).await;
        let written = fired.as_ref().map(|(_, (_, manifest))| manifest.group);
        match moved {
            Ok(Advanced::Moved) => {
                self.copy(kept, &next).await;
                if let Some((fire, (group, _))) = &fired {
                    self.told(kept, position, fire, *group).await?;
                }
                Ok(None)
            }
            Ok(Advanced::Elsewhere { .. }) => {
                self.withdraw(kept, written).await?;
                Ok(None)
            }
            Ok(Advanced::Early { wait }) => {
                self.withdraw(kept, written).await?;
                let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
                self.learn(now, moving.due, wait);
                Ok(Some(wait.min(SignedDuration::from_mins(1))))
            }
            // The answer is lost: it may have fired, and then it is owed.
            Err(error @ queue::Error::Unavailable(_)) => Err(error.into()),
            Err(error) => {
                self.withdraw(kept, written).await?;
                Err(error.into())
            }
        }
    }

    /// Removes a manifest that was written for a slot which somebody else decided, unless it fired.
    async fn withdraw(&self, kept: &Kept<'_>, written: Option<GroupId>) -> Result<()> {
        if let (Work::Run(..), Some(step)) = (&kept.work, written)
            && self.broker.group(step).await?.is_none()
        {
            self.storage.remove(&manifest_key(step)).await?;
        }
        Ok(())
    }

    async fn cancel(&self, last: Option<GroupId>) -> Result<()> {
        if let Some(last) = last {
            // The job first, which would make the group else.
            self.broker.cancel_group(step_of(last)).await?;
            self.broker.cancel_group(last).await?;
        }
        Ok(())
    }

    async fn told(&self, kept: &Kept<'_>, position: &Position, fire: &Fire, group: GroupId) -> Result<()> {
        let (name, slot) = (kept.name, fire.slot);
        match kept.work {
            Work::Sweep(_) => {
                debug!("schedule {name} fired for {slot}");
                // Sweeps leave no records of their own.
                if let Some(last) = position.last {
                    self.broker.remove_group(last).await?;
                }
            }
            Work::Run(..) => info!(group.id = %group, "schedule {name} fired for {slot}: group {group}"),
        }
        Ok(())
    }

    async fn pause(&self, kept: &Kept<'_>, position: &Position, now: Timestamp) {
        let Work::Run(entry, _) = kept.work else { return };
        let note = position.last.map_or_else(String::new, |last| format!("group {last} has failed"));
        let (definitions, name) = (self.shelf.clone(), entry.name.clone());
        let paused = tokio::task::spawn_blocking(move || definitions.pause(&name, &note, now));
        match paused.await.expect("writing a file does not panic") {
            Ok(_) => warn!("schedule {} is paused: its last group has failed", entry.name),
            Err(error) => self.warn(&entry.name, &format!("schedule {} cannot be paused: {error}", entry.name)),
        }
    }

    /// Keeps a copy of the position in the store. Without it, a broker that forgets everything costs a slot at the most.
    async fn copy(&self, kept: &Kept<'_>, position: &Position) {
        let Work::Run(entry, _) = kept.work else { return };
        let position = *position;
        let copied =
            self.on_disk(entry, move |shelf, entry| shelf.copy_position(&entry.name, &entry.version, &position));
        if let Err(error) = copied.await {
            self.warn(kept.name, &format!("the position of schedule {} is not copied: {error}", kept.name));
        }
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        entry: &Entry,
        work: impl FnOnce(&Shelf, &Entry) -> storage::Result<T> + Send + 'static,
    ) -> storage::Result<T> {
        let (definitions, entry) = (self.shelf.clone(), entry.clone());
        tokio::task::spawn_blocking(move || work(&definitions, &entry)).await.expect("small files do not panic")
    }

    /// The broker's time as far as it is known.
    fn now(&self) -> Timestamp {
        let local = Timestamp::now();
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Ahead { by, local: then, learned }) = *ahead else { return local };
        let passed = SignedDuration::try_from(learned.elapsed()).unwrap_or(SignedDuration::MAX);
        if (local.duration_since(then) - passed).abs() > SignedDuration::from_secs(1) {
            // The clock was set since.
            *ahead = None;
            self.shifted.store(true, Ordering::Relaxed);
            return local;
        }
        local - by
    }

    /// Takes in that a slot which is due at `now` is not due for the broker before `wait` has passed.
    fn learn(&self, now: Timestamp, due: Timestamp, wait: SignedDuration) {
        let more = now.duration_since(due) + wait;
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let by = ahead.map_or(SignedDuration::ZERO, |ahead| ahead.by) + more;
        *ahead = Some(Ahead { by, local: Timestamp::now(), learned: Instant::now() });
        self.shifted.store(true, Ordering::Relaxed);
    }

    /// Warns, but not again and again.
    fn warn(&self, of: &str, said: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.get(of).is_none_or(|at| at.elapsed() > QUIET) {
            warned.insert(of.into(), Instant::now());
            warn!("{said}");
        }
    }
}

impl<'a> Kept<'a> {
    fn sweep(sweep: &'a Sweep) -> Self {
        let Sweep { name, timing, policy, .. } = sweep;
        Self { name, cursor: sweep.cursor(), timing, policy, paused: false, work: Work::Sweep(sweep) }
    }

    fn entry(entry: &'a Entry, definition: &'a Definition) -> Self {
        let Definition { timing, policy, .. } = definition;
        let (name, cursor, paused) = (entry.name.as_str(), entry.cursor(), entry.paused.is_some());
        Self { name, cursor, timing, policy, paused, work: Work::Run(entry, definition) }
    }

    fn firing(&self, settings: &Settings, slot: Timestamp) -> (GroupId, Manifest) {
        match self.work {
            Work::Sweep(sweep) => sweep.firing(slot),
            Work::Run(entry, definition) => firing(entry, definition, settings, slot),
        }
    }
}

fn read(cursor: &str, at: &str) -> Result<Position> {
    at.parse().map_err(|()| Error::Unreadable(cursor.into(), at.into()))
}

/// Failed is a group of which nothing has succeeded and which nobody has cancelled.
fn state(group: &Group) -> Last {
    match group.finished_at {
        None => Last::Running,
        Some(at) if group.failed > 0 && group.succeeded == 0 && group.cancelled == 0 => Last::Failed { at },
        Some(at) => Last::Succeeded { at },
    }
}

#[cfg(test)]
mod tests;
