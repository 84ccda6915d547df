//! The sweeps of maintenance over a real store and both brokers.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use imaging::operation;
use pixmill::job::{Keep, seal};
use pixmill::kinds::{ImageProcess, ImageResult, OutboxSweep, Payload, Source, StorageSweep};
use pixmill::maintenance::erasure;
use pixmill::maintenance::{self, Delivered, Swept};
use pixmill::storage::{Part, Storage, damaged_key, keep_key, manifest_key, owner_key, upload_key, withdrawn_key};
use pixmill::submission::Meta;
use pixmill::submission::manifest::{self, Entry, Manifest, Then};
use queue::{ClaimedJob, GroupId, IdempotencyKey, JobId, NewGroup, On, Reservation, Run, Settlement, State, Verdict};
use tempfile::TempDir;

use crate::broker::world::{HOUR, World, policy};

const NOW: OutboxSweep = OutboxSweep { age: Duration::ZERO };
const DAY: Duration = Duration::from_hours(24);
const FOR_EVER: StorageSweep =
    StorageSweep { records: Duration::ZERO, originals: Duration::ZERO, outputs: Duration::ZERO };
/// Less than anything takes.
const AT_ONCE: Duration = Duration::from_nanos(1);

/// The run whose outputs count; a former version's.
const WINNER: Run = Run::Numbered(2);

/// A store and a broker.
struct House {
    world: World,
    storage: Storage,
    folder: TempDir,
}

impl House {
    async fn both() -> [Self; 2] {
        [World::sqlite(policy()).await, World::redis(policy()).await].map(|world| {
            let folder = tempfile::tempdir().unwrap();
            Self { world, storage: Storage::local(folder.path()).unwrap(), folder }
        })
    }

    /// An upload of so many pictures, of which the broker has not heard.
    async fn upload(&self, pictures: u32) -> Manifest {
        let group = GroupId::new();
        let mut jobs = Vec::new();
        for index in 0..pictures as usize {
            let key = upload_key(group, index);
            self.storage.put(&key, Bytes::from_static(b"a picture")).await.unwrap();
            let payload = Payload::ImageProcess(ImageProcess {
                source: Source::Stored(key),
                image: format!("{index}.png"),
                operations: operation::defaults(),
                lenient: false,
                peak: None,
                check: None,
            });
            let (id, queue) = (JobId::new(), "cpu_intensive".into());
            jobs.push(Entry { id, queue, priority: 5, max_attempts: 4, after: None, retry_of: None, payload });
        }
        Manifest::new(group, Meta::default(), jobs)
    }

    async fn write(&self, manifest: &Manifest) {
        let text = serde_json::to_vec(manifest).unwrap();
        self.storage.put(&manifest_key(manifest.group), text.into()).await.unwrap();
    }

    async fn withdraw(&self, group: GroupId) {
        assert!(self.storage.rename(&manifest_key(group), &withdrawn_key(group)).await.unwrap());
    }

    /// An upload whose pictures are all done; each attempt's run but the winning second left something.
    async fn done(&self, pictures: u32) -> Manifest {
        let manifest = self.upload(pictures).await;
        manifest.enqueue(&self.world.broker).await.unwrap();
        for job in self.world.drain(&format!("worker-{}", manifest.group)).await {
            for run in [Run::of("a loser's"), WINNER] {
                let run = self.storage.run_folder(job.group, job.lease.job, run);
                fs::create_dir_all(run.path()).unwrap();
                fs::write(run.path().join("0-resize.png"), "an output").unwrap();
            }
            let result = ImageResult {
                success: true,
                image: None,
                attempts: 1,
                run: WINNER,
                duration_ms: None,
                outputs: Vec::new(),
                error: None,
            };
            let verdict = Verdict::Succeed { result: result.to_bytes() };
            self.world.broker.settle(&[Settlement { lease: job.lease, verdict }], None).await.unwrap();
        }
        manifest
    }

    async fn deliver(&self) -> Delivered {
        maintenance::sweep_outbox(&self.storage, &self.world.broker, &NOW).await.unwrap()
    }

    async fn sweep(&self, sweep: StorageSweep) -> Swept {
        maintenance::sweep_storage(&self.storage, &self.world.broker, &sweep).await.unwrap()
    }

    fn has(&self, part: &str, group: GroupId) -> bool {
        self.folder.path().join(part).join(group.to_string()).exists()
    }

    fn owes(&self, group: GroupId) -> bool {
        [manifest_key(group), withdrawn_key(group)].iter().any(|key| self.folder.path().join(key).exists())
    }

    /// As if a part of a group had last been added to so long ago.
    fn age(&self, part: &str, group: GroupId, age: Duration) {
        aged(&self.folder.path().join(part).join(group.to_string()), age);
    }
}

fn aged(folder: &Path, age: Duration) {
    File::open(folder).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

#[tokio::test]
async fn what_broken_off_runs_have_left_goes_while_the_disk_is_short() {
    for house in House::both().await {
        let manifest = house.upload(2).await;
        house.write(&manifest).await;
        manifest.enqueue(&house.world.broker).await.unwrap();
        let active = house.world.claim("worker", 1, 1).await.remove(0).lease.job;
        let waits = manifest.jobs.iter().map(|job| job.id).find(|&job| job != active).unwrap();
        let left = |job| house.storage.run_folder(manifest.group, job, Run::of("dead.0:1:1"));
        for job in [active, waits] {
            fs::create_dir_all(left(job).path()).unwrap();
            fs::write(left(job).path().join("0-resize.png"), "half an out").unwrap();
        }
        house.deliver().await;
        assert!(left(active).path().exists() && left(waits).path().exists(), "the disk has room");
        let short = house.storage.clone().on_disk(1.0, 0);
        maintenance::sweep_outbox(&short, &house.world.broker, &NOW).await.unwrap();
        assert!(left(active).path().exists() && !left(waits).path().exists());
    }
}

#[tokio::test]
async fn owed_and_ordered_things_do_not_wait_for_a_clock_that_was_set_back() {
    for house in House::both().await {
        let manifest = house.upload(1).await;
        house.write(&manifest).await;
        let ahead = SystemTime::now() + HOUR;
        let written = house.folder.path().join(manifest_key(manifest.group));
        File::options().write(true).open(written).unwrap().set_modified(ahead).unwrap();
        let sweep = OutboxSweep { age: HOUR };
        let delivered = maintenance::sweep_outbox(&house.storage, &house.world.broker, &sweep).await.unwrap();
        assert_eq!(delivered.enqueued, 1);

        let done = house.done(1).await;
        erasure::order(&house.storage, done.group).await.unwrap();
        let mark = house.folder.path().join("erasures").join(done.group.to_string());
        File::options().write(true).open(mark).unwrap().set_modified(ahead).unwrap();
        let delivered = maintenance::sweep_outbox(&house.storage, &house.world.broker, &sweep).await.unwrap();
        assert_eq!((delivered.erased, house.has("outputs", done.group)), (1, false));
    }
}

#[tokio::test]
async fn group_that_the_broker_lost_is_enqueued_again_with_its_own_ids() {
    for house in House::both().await {
        let manifest = house.upload(3).await;
        house.write(&manifest).await;
        assert_eq!(house.deliver().await, Delivered { enqueued: 1, ..Delivered::default() });
        let group = house.world.group(manifest.group).await;
        assert_eq!((group.total, group.pending, group.sealed), (3, 3, true));
        for entry in &manifest.jobs {
            let job = house.world.broker.job(entry.id).await.unwrap().unwrap();
            assert_eq!((job.group, job.state), (manifest.group, State::Waiting));
        }
        assert_eq!(house.deliver().await, Delivered::default(), "it is there, and not done");
        assert!(house.owes(manifest.group));
    }
}

#[tokio::test]
async fn young_manifest_is_left_alone() {
    for house in House::both().await {
        let manifest = house.upload(1).await;
        house.write(&manifest).await;
        let sweep = OutboxSweep { age: HOUR };
        let delivered = maintenance::sweep_outbox(&house.storage, &house.world.broker, &sweep).await.unwrap();
        assert_eq!(delivered, Delivered::default());
        assert!(house.world.broker.group(manifest.group).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn ended_group_is_no_longer_owed_and_keeps_its_winners_only() {
    for house in House::both().await {
        let manifest = house.done(2).await;
        house.write(&manifest).await;
        assert_eq!(house.deliver().await, Delivered { ended: 1, ..Delivered::default() });
        assert!(!house.owes(manifest.group));
        for entry in &manifest.jobs {
            let runs = [Run::of("a loser's"), WINNER]
                .map(|run| house.storage.run_folder(manifest.group, entry.id, run).path().exists());
            assert_eq!(runs, [false, true]);
        }
        assert_eq!(house.deliver().await, Delivered::default());
    }
}

#[tokio::test]
async fn withdrawn_group_is_cancelled_and_then_erased() {
    for house in House::both().await {
        let (enqueued, unheard_of) = (house.upload(2).await, house.upload(1).await);
        for manifest in [&enqueued, &unheard_of] {
            house.write(manifest).await;
            house.withdraw(manifest.group).await;
        }
        enqueued.enqueue(&house.world.broker).await.unwrap();
        assert_eq!(house.deliver().await.withdrawn, 1);
        assert!(!house.owes(unheard_of.group) && !house.has("uploads", unheard_of.group));
        assert_eq!(house.world.group(enqueued.group).await.cancelled, 2);
        assert_eq!(house.deliver().await.withdrawn, 1);
        assert!(!house.owes(enqueued.group) && !house.has("uploads", enqueued.group));
        assert!(house.world.broker.group(enqueued.group).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn withdrawn_group_that_its_key_leads_to_is_done() {
    for house in House::both().await {
        let key = manifest::Key { name: "local:order-1".into(), fingerprint: "ab".into(), memory: None };
        let manifest = Manifest { key: Some(key), ..house.upload(1).await };
        house.write(&manifest).await;
        manifest.enqueue(&house.world.broker).await.unwrap();
        house.withdraw(manifest.group).await;
        assert_eq!(house.deliver().await, Delivered::default());
        let group = house.world.group(manifest.group).await;
        assert_eq!((group.pending, group.cancelling), (1, false));
        assert!(house.storage.has(&manifest_key(manifest.group)).await.unwrap(), "owed again");
    }
}

#[tokio::test]
async fn withdrawn_group_that_the_broker_never_got_frees_its_key() {
    for house in House::both().await {
        let key = manifest::Key { name: "local:order-1".into(), fingerprint: "ab".into(), memory: None };
        let manifest = Manifest { key: Some(key), ..house.upload(1).await };
        house.write(&manifest).await;
        house.withdraw(manifest.group).await;
        assert_eq!(house.deliver().await.withdrawn, 1);
        let next = house.world.broker.reserve("local:order-1", GroupId::new()).await.unwrap();
        assert_eq!(next, Reservation::Granted);
    }
}

/// The client was given the lost group; that its key now leads to another one is no reason to drop it.
#[tokio::test]
async fn lost_group_is_enqueued_again_although_its_key_has_gone_to_another() {
    for house in House::both().await {
        let key = IdempotencyKey { name: "local:order-1".into(), fingerprint: Bytes::from_static(b"ab"), memory: None };
        let other = NewGroup { key: Some(key), ..NewGroup::new(GroupId::new(), Bytes::new()) };
        house.world.broker.enqueue(&other, &[]).await.unwrap();
        let key = manifest::Key { name: "local:order-1".into(), fingerprint: "ab".into(), memory: None };
        let manifest = Manifest { key: Some(key), ..house.upload(1).await };
        house.write(&manifest).await;
        assert_eq!(house.deliver().await.enqueued, 1);
        assert_eq!(house.world.group(manifest.group).await.pending, 1);
    }
}

/// It was passed by for ever, and its client waited for ever.
#[tokio::test]
async fn unreadable_manifest_is_set_aside_and_its_group_fails_by_name() {
    for house in House::both().await {
        let (broken, withdrawn, manifest) = (GroupId::new(), GroupId::new(), house.upload(1).await);
        house.storage.put(&manifest_key(broken), Bytes::from_static(b"{")).await.unwrap();
        house.storage.put(&owner_key(broken), Bytes::from_static(b"alice")).await.unwrap();
        house.storage.put(&withdrawn_key(withdrawn), Bytes::from_static(b"{")).await.unwrap();
        house.write(&manifest).await;
        assert_eq!(house.deliver().await, Delivered { enqueued: 1, damaged: 2, ..Delivered::default() });

        let group = house.world.group(broken).await;
        assert_eq!((group.total, group.sealed, group.finished_at.is_some()), (0, true, true));
        let meta = Meta::of(&group);
        assert_eq!((meta.rejected[0].error.code.as_ref(), meta.owner.as_deref()), ("manifest-damaged", Some("alice")));
        assert!(house.world.broker.group(withdrawn).await.unwrap().is_none(), "its client was told that it failed");
        for group in [broken, withdrawn] {
            assert!(!house.owes(group));
            assert_eq!(house.storage.read(&damaged_key(group)).await.unwrap().unwrap(), "{", "people may look at it");
        }
        assert_eq!(house.deliver().await, Delivered::default());
    }
}

#[tokio::test]
async fn manifest_of_which_a_bit_has_turned_over_is_not_delivered() {
    for house in House::both().await {
        let manifest = house.upload(1).await;
        let sealed = seal::seal(serde_json::to_vec(&manifest).unwrap());
        for (place, bit) in [(sealed.len() / 2, 0), (20, 1), (sealed.len() - 4, 2)] {
            let group = GroupId::new();
            let mut changed = sealed.clone();
            changed[place] ^= 1 << bit;
            house.storage.put(&manifest_key(group), changed.into()).await.unwrap();
            assert_eq!(house.deliver().await, Delivered { damaged: 1, ..Delivered::default() }, "byte {place}");
        }
        assert_eq!(house.world.broker.job(manifest.jobs[0].id).await.unwrap(), None);
        house.storage.put(&manifest_key(manifest.group), sealed.into()).await.unwrap();
        assert_eq!(house.deliver().await.enqueued, 1);
    }
}

/// All outputs of a picture went with the record of which run had won.
#[tokio::test]
async fn outputs_whose_result_cannot_be_read_stay() {
    for house in House::both().await {
        let manifest = house.upload(1).await;
        house.write(&manifest).await;
        manifest.enqueue(&house.world.broker).await.unwrap();
        let job = house.world.claim("worker", 1, 1).await.remove(0);
        let run = house.storage.run_folder(job.group, job.lease.job, Run::Numbered(1));
        fs::create_dir_all(run.path()).unwrap();
        let verdict = Verdict::Succeed { result: Bytes::from_static(b"{\"success\":true,\"rum\":1}x") };
        house.world.broker.settle(&[Settlement { lease: job.lease, verdict }], None).await.unwrap();
        assert_eq!(house.deliver().await.ended, 1);
        assert!(run.path().exists());
    }
}

#[tokio::test]
async fn originals_go_when_their_time_has_come_and_outputs_stay() {
    for house in House::both().await {
        let (done, open) = (house.done(2).await, house.upload(1).await);
        open.enqueue(&house.world.broker).await.unwrap();
        let kept = house.sweep(StorageSweep { originals: HOUR, records: HOUR, outputs: HOUR }).await;
        assert_eq!(kept, Swept::default());
        let swept = house.sweep(StorageSweep { originals: AT_ONCE, ..FOR_EVER }).await;
        assert_eq!(swept, Swept { originals: 1, ..Swept::default() });
        assert!(!house.has("uploads", done.group) && house.has("outputs", done.group));
        assert!(house.has("uploads", open.group), "its jobs still need them");
        assert_eq!(house.world.group(done.group).await.succeeded, 2);
    }
}

#[tokio::test]
async fn outputs_go_when_their_time_has_come_with_or_without_a_record() {
    for house in House::both().await {
        let (known, forgotten) = (house.done(1).await, house.done(1).await);
        assert!(house.world.broker.remove_group(forgotten.group).await.unwrap());
        assert_eq!(house.sweep(StorageSweep { outputs: HOUR, ..FOR_EVER }).await, Swept::default());
        assert_eq!(house.sweep(StorageSweep { outputs: AT_ONCE, ..FOR_EVER }).await.outputs, 2);
        assert!(![known.group, forgotten.group].iter().any(|&group| house.has("outputs", group)));
    }
}

#[tokio::test]
async fn records_go_last_and_outputs_outlive_them() {
    for house in House::both().await {
        let manifest = house.done(2).await;
        house.write(&manifest).await;
        house.world.clock.advance(2 * HOUR);
        let swept = house.sweep(StorageSweep { records: HOUR, ..FOR_EVER }).await;
        assert_eq!(swept, Swept { records: 1, ..Swept::default() });
        assert!(house.world.broker.group(manifest.group).await.unwrap().is_none());
        assert!(!house.owes(manifest.group) && !house.has("uploads", manifest.group));
        assert!(house.has("outputs", manifest.group), "they are kept for ever");
        assert_eq!(house.deliver().await, Delivered::default(), "nothing comes back to life");

        let next = house.done(1).await;
        house.world.clock.advance(2 * HOUR);
        house.sweep(StorageSweep { records: HOUR, outputs: HOUR, ..FOR_EVER }).await;
        assert!(!house.has("outputs", next.group), "their time had come as well");
    }
}

/// Without its record, nobody would know which files are over their age.
#[tokio::test]
async fn record_stays_until_its_files_are_gone() {
    for house in House::both().await {
        let manifest = house.done(1).await;
        house.world.clock.advance(2 * HOUR);
        // A file where the folder should be: what a broken disk does to a removal.
        let uploads = house.folder.path().join("uploads").join(manifest.group.to_string());
        fs::remove_dir_all(&uploads).unwrap();
        fs::write(&uploads, "in the way").unwrap();
        let sweep = StorageSweep { records: HOUR, ..FOR_EVER };
        assert!(maintenance::sweep_storage(&house.storage, &house.world.broker, &sweep).await.is_err());
        assert_eq!(house.world.group(manifest.group).await.succeeded, 1);
        fs::remove_file(&uploads).unwrap();
        assert_eq!(house.sweep(sweep).await.records, 1);
    }
}

#[tokio::test]
async fn upload_that_was_broken_off_goes_after_a_day() {
    for house in House::both().await {
        let [old, young, owed, open] =
            [house.upload(1).await, house.upload(1).await, house.upload(1).await, house.upload(1).await];
        house.write(&owed).await;
        open.enqueue(&house.world.broker).await.unwrap();
        for manifest in [&old, &owed, &open] {
            house.age("uploads", manifest.group, DAY + HOUR);
        }
        assert_eq!(house.sweep(FOR_EVER).await, Swept { orphans: 1, ..Swept::default() });
        assert!(!house.has("uploads", old.group));
        assert!([young, owed, open].iter().all(|manifest| house.has("uploads", manifest.group)));
    }
}

#[tokio::test]
async fn sweep_goes_on_where_another_was_broken_off() {
    for house in House::both().await {
        // More than are looked at together.
        let groups: Vec<NewGroup> = (0..1_100).map(|_| NewGroup::new(GroupId::new(), Bytes::new())).collect();
        futures::future::join_all(
            groups.iter().map(async |group| house.world.broker.enqueue(group, &[]).await.unwrap()),
        )
        .await;
        // The other one came as far as the files of these.
        for group in &groups[..10] {
            house.storage.put(&upload_key(group.id, 0), Bytes::from_static(b"x")).await.unwrap();
            house.storage.remove_part(pixmill::storage::Part::Uploads, group.id).unwrap();
        }
        house.world.broker.remove_group(groups[10].id).await.unwrap();
        house.world.clock.advance(2 * HOUR);
        let swept = house.sweep(StorageSweep { records: HOUR, ..FOR_EVER }).await;
        assert_eq!(swept.records, 1_099);
        assert_eq!(house.world.broker.finished_groups(Duration::ZERO, 0, 10).await.unwrap(), []);
    }
}

#[tokio::test]
async fn group_is_owed_until_what_follows_it_has_begun() {
    for house in House::both().await {
        let job = house.upload(1).await.jobs.remove(0);
        let then = Then { on: On::Always, group: GroupId::new(), job: Entry { id: JobId::new(), ..job } };
        let manifest = Manifest { then: Some(then.clone()), ..house.upload(1).await };
        house.write(&manifest).await;
        house.deliver().await;
        let claim = async |session: &str| house.world.claim(session, 1, 1).await.remove(0);
        let settle = async |job: ClaimedJob| {
            let verdict = Verdict::Succeed { result: Bytes::from_static(b"{}") };
            house.world.broker.settle(&[Settlement { lease: job.lease, verdict }], None).await.unwrap();
        };
        settle(claim("first").await).await;
        assert!(house.world.group(manifest.group).await.fired);
        assert_eq!(house.deliver().await, Delivered::default());
        assert!(house.owes(manifest.group), "a broker that forgot would not know what follows");
        settle(claim("second").await).await;
        assert_eq!(house.deliver().await, Delivered { ended: 1, ..Delivered::default() });
        assert!(!house.owes(manifest.group));
    }
}

/// The second group was lost where the first one's retention passed before a worker had taken the follow-up.
#[tokio::test]
async fn group_that_another_follows_is_kept_until_that_has_begun() {
    for house in House::both().await {
        let job = house.upload(1).await.jobs.remove(0);
        let then = Then { on: On::Always, group: GroupId::new(), job: Entry { id: JobId::new(), ..job } };
        let manifest = Manifest { then: Some(then), ..house.upload(1).await };
        let keep = Keep { records: Some(AT_ONCE), originals: Some(AT_ONCE), outputs: Some(AT_ONCE) };
        let note = serde_json::to_vec(&keep).unwrap();
        house.storage.put(&keep_key(manifest.group), note.into()).await.unwrap();
        house.write(&manifest).await;
        house.deliver().await;
        let claim = async |session: &str| house.world.claim(session, 1, 1).await.remove(0);
        let settle = async |job: ClaimedJob| {
            let verdict = Verdict::Succeed { result: Bytes::from_static(b"{}") };
            house.world.broker.settle(&[Settlement { lease: job.lease, verdict }], None).await.unwrap();
        };
        settle(claim("first").await).await;
        let following = claim("second").await;
        let all = StorageSweep { records: AT_ONCE, originals: AT_ONCE, outputs: AT_ONCE };

        assert_eq!(house.sweep(all).await, Swept::default());
        assert!(house.owes(manifest.group) && house.has("uploads", manifest.group));
        house.world.group(manifest.group).await;
        let others = house.done(1).await;
        // Ages count in milliseconds.
        house.world.clock.advance(Duration::from_millis(1));
        assert_eq!(house.sweep(all).await.records, 1, "the one that is kept is passed by");
        assert!(house.world.broker.group(others.group).await.unwrap().is_none());

        settle(following).await;
        house.sweep(all).await;
        assert!(!house.owes(manifest.group) && !house.has("uploads", manifest.group));
        assert!(house.world.broker.group(manifest.group).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn own_retention_ends_before_the_settings_and_leaves_its_neighbours() {
    for house in House::both().await {
        let (short, kept, young) = (house.done(1).await, house.done(1).await, house.upload(1).await);
        let keep = Keep { originals: Some(HOUR), outputs: Some(DAY), ..Keep::default() };
        for manifest in [&short, &young] {
            let note = serde_json::to_vec(&keep).unwrap();
            house.storage.put(&keep_key(manifest.group), note.into()).await.unwrap();
        }
        house.sweep(FOR_EVER).await;
        assert!(house.has("uploads", short.group) && house.has("uploads", young.group));
        let over = Keep { originals: Some(AT_ONCE), ..keep };
        house.storage.put(&keep_key(short.group), serde_json::to_vec(&over).unwrap().into()).await.unwrap();
        house.sweep(FOR_EVER).await;
        assert!(!house.has("uploads", short.group) && house.has("outputs", short.group));
        let over = Keep { outputs: Some(AT_ONCE), ..over };
        house.storage.put(&keep_key(short.group), serde_json::to_vec(&over).unwrap().into()).await.unwrap();
        house.sweep(FOR_EVER).await;
        assert!(!house.has("outputs", short.group) && house.has("outputs", kept.group));
        let noted = |group| house.folder.path().join(keep_key(group)).exists();
        assert!(!noted(short.group), "it has nothing left to say");
        assert!(noted(young.group) && house.has("uploads", young.group), "it may still be on its way in");
    }
}

/// Of a submission that a kill broke off, or of which nothing succeeded, only the owner's name is left.
#[tokio::test]
async fn outputs_of_nobody_are_removed_although_outputs_are_kept_for_ever() {
    for house in House::both().await {
        let (broken_off, owed) = (GroupId::new(), house.upload(1).await);
        house.write(&owed).await;
        let (known, jobs) = house.world.enqueue(Vec::new()).await;
        assert!(jobs.is_empty());
        let kept = house.done(1).await;
        for group in [broken_off, owed.group, known.id, kept.group] {
            house.storage.put(&owner_key(group), Bytes::from_static(b"shop")).await.unwrap();
            house.age("outputs", group, DAY * 2);
        }
        assert!(house.world.broker.remove_group(kept.group).await.unwrap());
        house.storage.remove_part(Part::Uploads, kept.group).unwrap();
        let draft = house.folder.path().join(format!("outbox/{broken_off}.json#1"));
        File::create(&draft).unwrap();
        aged(&draft, DAY * 2);

        let swept = house.sweep(FOR_EVER).await;

        assert_eq!(swept, Swept { outputs: 1, drafts: 1, ..Swept::default() });
        let left = [broken_off, owed.group, known.id, kept.group].map(|group| house.has("outputs", group));
        assert_eq!(left, [false, true, true, true]);
        assert!(!draft.exists());
    }
}
