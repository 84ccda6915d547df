use queue::{ClaimRequest, Class, Clock, Policy as QueuePolicy, Settlement, Verdict};
use serde_json::{Value, json};

use super::*;
use crate::config::{Queue, Retention};
use crate::schedules::decide::Reason;
use crate::schedules::definition::tests::settings;
use crate::schedules::record::Outcome;
use crate::schedules::{Document, firing};

const HOUR: Duration = Duration::from_hours(1);

/// A store and a broker whose clock is moved instead of waiting.
struct Place {
    folder: tempfile::TempDir,
    clock: Clock,
    broker: Broker,
}

impl Place {
    fn new() -> Self {
        Self::of(QueuePolicy::default())
    }

    fn of(policy: QueuePolicy) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::default();
        let broker = Broker::open_sqlite_unsynced(&folder.path().join("queue.db"), policy, clock.clone()).unwrap();
        Self { folder, clock, broker }
    }

    fn storage(&self) -> Storage {
        Storage::local(self.folder.path()).unwrap()
    }

    fn service(&self) -> Arc<Keeper> {
        self.service_on(&self.broker, Vec::new())
    }

    fn service_on(&self, broker: &Broker, sweeps: Vec<Sweep>) -> Arc<Keeper> {
        let definitions = Shelf::new(self.storage(), settings(), &std::collections::BTreeMap::new()).unwrap();
        Arc::new(Keeper::new(broker.clone(), self.storage(), definitions, sweeps))
    }

    async fn records(&self, entry: &Entry) -> Vec<Record> {
        let notes = self.broker.notes(&entry.cursor(), 100).await.unwrap();
        notes.iter().map(|note| Record::of_note(note).unwrap()).collect()
    }

    async fn waiting(&self) -> u64 {
        self.broker.depths().await.unwrap().iter().map(|depth| depth.waiting).sum()
    }

    /// Ends the one job that waits.
    async fn end(&self, verdict: Verdict) {
        let queues = vec!["scheduled".into()];
        let request = ClaimRequest { session: "worker".into(), sequence: 0, queues, class: Class::Io, limit: 1 };
        let request = ClaimRequest { session: format!("worker{}", uuid::Uuid::now_v7()), ..request };
        let lease = self.broker.claim(&request).await.unwrap().jobs.remove(0).lease;
        self.broker.settle(&[Settlement { lease, verdict }], None).await.unwrap();
    }

    fn pass(&self, keepers: &[&Arc<Keeper>], time: Duration) {
        self.clock.advance(time);
        for keeper in keepers {
            keeper.set_clock(time);
        }
    }

    fn outbox(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("outbox")).map_or(0, Iterator::count)
    }
}

impl Keeper {
    /// Sets the clock of this machine forward.
    fn set_clock(&self, time: Duration) {
        let mut ahead = self.ahead.lock().unwrap();
        let by = ahead.map_or(SignedDuration::ZERO, |ahead| ahead.by) - SignedDuration::try_from(time).unwrap();
        *ahead = Some(Ahead { by, local: Timestamp::now(), learned: Instant::now() });
    }

    async fn look_now(self: &Arc<Self>) {
        self.look(&mut HashMap::new()).await;
    }

    fn create(&self, more: &Value) -> Entry {
        self.shelf.create("x", document(more), None, self.now()).unwrap()
    }
}

/// Slots come at any time of the hour that a test lets pass.
fn is_fired(record: &Record) -> bool {
    matches!(record.outcome, Outcome::Fired | Outcome::Late)
}

fn document(more: &Value) -> Document {
    let mut value = json!({"every": "1h", "run": {"prefix": "incoming/"}});
    for (name, field) in more.as_object().unwrap() {
        value[name] = field.clone();
    }
    Document::read(&value).unwrap()
}

#[tokio::test]
async fn slot_fires_once_for_two_services() {
    let place = Place::new();
    let (mine, theirs) = (place.service(), place.service());
    let entry = mine.create(&json!({"overlap": "allow"}));
    for hour in 0..5 {
        assert_eq!(place.waiting().await, hour);
        tokio::join!(mine.look_now(), theirs.look_now());
        assert_eq!(place.waiting().await, hour, "nothing is due");
        place.pass(&[&mine, &theirs], HOUR);
        tokio::join!(mine.look_now(), theirs.look_now());
    }
    let records = place.records(&entry).await;
    assert_eq!(records.iter().filter(|record| is_fired(record)).count(), 5);
    assert_eq!(place.outbox(), 5, "each is owed");
    for pair in records.windows(2) {
        assert_eq!(pair[0].slot.duration_since(pair[1].slot), SignedDuration::from_hours(1));
    }
}

#[tokio::test]
async fn service_that_was_killed_before_the_move_is_completed_by_another() {
    let place = Place::new();
    let (mine, theirs) = (place.service(), place.service());
    let entry = mine.create(&json!({}));
    mine.look_now().await;
    place.pass(&[&mine, &theirs], HOUR);
    let definition = entry.definition.clone().unwrap();
    let slot = definition.timing.previous(mine.now()).unwrap();
    let (group, manifest) = firing::firing(&entry, &definition, mine.shelf.settings(), slot);
    manifest.write(&place.storage()).await.unwrap();
    theirs.look_now().await;
    assert_eq!((place.waiting().await, place.outbox()), (1, 1));
    assert_eq!(place.records(&entry).await[0].group_id, Some(group));
    // Delivered late by a sweep of the outbox, it changes nothing.
    manifest.enqueue(&place.broker).await.unwrap();
    assert_eq!(place.waiting().await, 1);
}

#[tokio::test]
async fn manifest_of_a_slot_that_is_skipped_does_not_stay() {
    let place = Place::new();
    let keeper = place.service();
    let entry = keeper.create(&json!({}));
    keeper.look_now().await;
    place.pass(&[&keeper], HOUR);
    let definition = entry.definition.clone().unwrap();
    let slot = definition.timing.previous(keeper.now()).unwrap();
    let (_, manifest) = firing::firing(&entry, &definition, keeper.shelf.settings(), slot);
    manifest.write(&place.storage()).await.unwrap();
    keeper.shelf.pause("x", "", keeper.now()).unwrap();
    keeper.look_now().await;
    let records = place.records(&entry).await;
    assert_eq!((records[0].outcome, records[0].reason), (Outcome::Skipped, Some(Reason::Paused)));
    assert_eq!((place.waiting().await, place.outbox()), (0, 0));
    keeper.shelf.resume("x", keeper.now()).unwrap();
    keeper.look_now().await;
    assert_eq!(place.waiting().await, 0, "what passed meanwhile is not caught up");
}

#[tokio::test]
async fn new_version_goes_on_where_the_old_one_ended() {
    let place = Place::new();
    let keeper = place.service();
    let old = keeper.create(&json!({"overlap": "allow"}));
    keeper.look_now().await;
    place.pass(&[&keeper], HOUR);
    keeper.look_now().await;
    let changed = document(&json!({"overlap": "allow", "run": {"prefix": "other/"}}));
    let new = keeper.shelf.replace("x", &changed, |_| true, keeper.now()).unwrap();
    keeper.look_now().await;
    assert_eq!(place.records(&new).await.len(), 1, "what it did is still known");
    place.pass(&[&keeper], HOUR);
    // A service that still has the old version fires no more.
    let definition = old.definition.clone().unwrap();
    keeper.see_to(&Kept::entry(&old, &definition)).await.unwrap();
    assert_eq!(place.waiting().await, 1);
    keeper.look_now().await;
    assert_eq!((place.waiting().await, place.records(&new).await.len()), (2, 2));
}

#[tokio::test]
async fn broker_that_forgot_everything_gets_no_slot_again() {
    let place = Place::new();
    let keeper = place.service();
    keeper.create(&json!({"overlap": "allow"}));
    keeper.look_now().await;
    place.pass(&[&keeper], HOUR);
    keeper.look_now().await;
    assert_eq!(place.waiting().await, 1);
    let file = place.folder.path().join("empty.db");
    let empty = Broker::open_sqlite_unsynced(&file, QueuePolicy::default(), place.clock.clone()).unwrap();
    let again = place.service_on(&empty, Vec::new());
    again.set_clock(HOUR);
    again.look_now().await;
    let waiting = async || empty.depths().await.unwrap().iter().map(|depth| depth.waiting).sum::<u64>();
    assert_eq!(waiting().await, 0);
    place.pass(&[&again], HOUR);
    again.look_now().await;
    assert_eq!(waiting().await, 1);
}

#[tokio::test]
async fn slots_that_were_missed_are_caught_up_as_the_schedule_says() {
    for (catch_up, fired, skipped) in [("none", 0, 3), ("latest", 1, 2), ("all", 3, 0)] {
        let place = Place::new();
        let keeper = place.service();
        let entry = keeper.create(&json!({"overlap": "allow", "catch_up": catch_up}));
        keeper.look_now().await;
        // Up to ten minutes behind the last of three slots.
        let definition = entry.definition.clone().unwrap();
        let third = definition.upcoming(keeper.now(), 3)[2];
        let until = third.duration_since(keeper.now()) + SignedDuration::from_mins(10);
        place.pass(&[&keeper], until.try_into().unwrap());
        keeper.look_now().await;
        let records = place.records(&entry).await;
        let count = |outcome| records.iter().filter(|record| record.outcome == outcome).count();
        assert_eq!((count(Outcome::Late), count(Outcome::Skipped)), (fired, skipped), "{catch_up}");
        assert_eq!(place.waiting().await, fired as u64);
        assert!(records.iter().filter(|record| record.outcome == Outcome::Late).all(|record| record.late_s >= 600));
    }
}

#[tokio::test]
async fn slot_while_the_last_group_runs_is_treated_as_the_schedule_says() {
    for (overlap, waiting, fires) in
        [("skip", 1, false), ("allow", 2, true), ("cancel", 1, true), ("queue_one", 1, true)]
    {
        let place = Place::new();
        let keeper = place.service();
        let entry = keeper.create(&json!({"overlap": overlap}));
        keeper.look_now().await;
        for _ in 0..2 {
            place.pass(&[&keeper], HOUR);
            keeper.look_now().await;
        }
        let records = place.records(&entry).await;
        assert_eq!((place.waiting().await, is_fired(&records[0])), (waiting, fires), "{overlap}");
        let is_queued = overlap == "queue_one";
        assert_eq!(records.len(), if is_queued { 1 } else { 2 }, "{overlap}");
        if is_queued {
            place.end(Verdict::Succeed { result: "{}".into() }).await;
            keeper.look_now().await;
            assert_eq!((place.waiting().await, place.records(&entry).await.len()), (1, 2), "it waited for its turn");
        }
    }
}

#[tokio::test]
async fn failure_pauses_the_schedule() {
    let place = Place::new();
    let keeper = place.service();
    let entry = keeper.create(&json!({"pause_on_failure": true}));
    keeper.look_now().await;
    place.pass(&[&keeper], HOUR);
    keeper.look_now().await;
    place.end(Verdict::Fail { result: "{}".into() }).await;
    place.pass(&[&keeper], HOUR);
    keeper.look_now().await;
    let now = keeper.shelf.get("x").unwrap().unwrap();
    assert!(now.paused.is_some_and(|pause| pause.note.ends_with("has failed")));
    assert_eq!(place.records(&entry).await[0].reason, Some(Reason::Paused));
    keeper.shelf.resume("x", keeper.now()).unwrap();
    place.pass(&[&keeper], HOUR);
    keeper.look_now().await;
    assert!(is_fired(&place.records(&entry).await[0]), "one failure pauses it once");
}

#[tokio::test]
async fn clock_that_is_ahead_of_the_brokers_fires_nothing_early() {
    let place = Place::new();
    let (hasty, right) = (place.service(), place.service());
    let entry = hasty.create(&json!({"catch_up": "none"}));
    hasty.look_now().await;
    hasty.set_clock(HOUR);
    hasty.look_now().await;
    assert_eq!((place.waiting().await, place.outbox()), (0, 0));
    let apart = hasty.now().duration_since(right.now()).abs();
    assert!(apart < SignedDuration::from_secs(1), "it has learnt the broker's time: {apart:?}");
    let slot = entry.definition.clone().unwrap().next(right.now()).unwrap();
    let until = slot.duration_since(right.now()) + SignedDuration::from_secs(5);
    place.pass(&[&hasty, &right], until.try_into().unwrap());
    hasty.look_now().await;
    right.look_now().await;
    let records = place.records(&entry).await;
    assert_eq!(records.iter().map(|record| record.outcome).collect::<Vec<_>>(), [Outcome::Fired]);
    assert_eq!(place.waiting().await, 1);
}

#[tokio::test]
async fn queue_that_is_full_gets_the_slot_later() {
    let place = Place::of(QueuePolicy { queue_cap: 1, ..QueuePolicy::default() });
    let keeper = place.service();
    let entry = keeper.create(&json!({"overlap": "allow"}));
    keeper.look_now().await;
    for _ in 0..2 {
        place.pass(&[&keeper], HOUR);
        keeper.look_now().await;
    }
    assert_eq!((place.waiting().await, place.outbox()), (1, 1), "the second is not owed yet");
    place.end(Verdict::Succeed { result: "{}".into() }).await;
    place.pass(&[&keeper], Duration::from_mins(2));
    keeper.look_now().await;
    let records = place.records(&entry).await;
    assert_eq!((place.waiting().await, records[0].outcome), (1, Outcome::Late));
}

#[tokio::test]
async fn sweeps_come_at_once_and_then_at_each_slot_and_leave_no_records() {
    let place = Place::new();
    let config = crate::config::Config::default();
    let retention = Retention { sweep_every: HOUR, outbox_age: HOUR, ..config.retention };
    let queue: Queue = config.queue;
    let keeper = place.service_on(&place.broker, Sweep::all(&retention, &queue));
    keeper.look_now().await;
    assert_eq!(place.waiting().await, 2);
    keeper.look_now().await;
    place.pass(&[&keeper], HOUR);
    keeper.look_now().await;
    assert_eq!(place.waiting().await, 2, "nobody has carried the first ones out");
    for _ in 0..2 {
        place.end(Verdict::Succeed { result: "{}".into() }).await;
    }
    place.pass(&[&keeper], HOUR);
    keeper.look_now().await;
    assert_eq!(place.waiting().await, 2);
    let groups = place.broker.groups(&queue::GroupFilter::default(), None, 10).await.unwrap();
    assert_eq!(groups.entries.len(), 2, "the records of the first ones are gone");
    assert!(groups.entries.iter().all(|group| group.id.is_scheduled()));
}
