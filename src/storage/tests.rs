use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use bytes::Bytes;
use futures::TryStreamExt;
use queue::{GroupId, JobId, Run};

use super::objects::{PART, parse};
use super::*;

#[tokio::test]
async fn file_is_there_only_once_finished() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let key = upload_key(GroupId::new(), 0);
    let mut incoming = storage.receive(&key).await.unwrap();
    incoming.write(Bytes::from(vec![7; 3 * PART])).await.unwrap();
    assert!(storage.open(&key).await.unwrap().is_none());
    incoming.write(Bytes::from_static(b"end")).await.unwrap();
    incoming.finish().await.unwrap();
    let stored = storage.open(&key).await.unwrap().unwrap();
    let bytes: Vec<Bytes> = stored.body.try_collect().await.unwrap();
    assert_eq!(stored.size as usize, 3 * PART + 3);
    assert!(bytes.concat().ends_with(b"\x07end"));
}

#[tokio::test]
async fn copy_made_again_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let (from, to) = (upload_key(GroupId::new(), 0), upload_key(GroupId::new(), 0));
    storage.put(&from, Bytes::from_static(b"picture")).await.unwrap();
    for _ in 0..2 {
        assert!(storage.copy(&from, &to).await.unwrap());
    }
    let beside = std::fs::read_dir(storage.path(&to).parent().unwrap()).unwrap();
    assert_eq!(beside.count(), 1);
    assert!(!storage.copy(&upload_key(GroupId::new(), 0), &to).await.unwrap());
    assert_eq!(storage.read(&to).await.unwrap().unwrap(), "picture");
}

#[tokio::test]
async fn removing_a_group_leaves_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let (gone, kept) = (GroupId::new(), GroupId::new());
    for group in [gone, kept] {
        storage.receive(&upload_key(group, 0)).await.unwrap().finish().await.unwrap();
    }
    storage.remove_group(gone).unwrap();
    assert!(storage.open(&upload_key(gone, 0)).await.unwrap().is_none());
    assert!(storage.open(&upload_key(kept, 0)).await.unwrap().is_some());
    assert!(!folder.path().join("uploads").join(gone.to_string()).exists());
}

#[test]
fn only_the_winning_run_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let (group, job) = (GroupId::new(), JobId::new());
    let runs = [Run::of("a.0:1:1"), Run::Numbered(1), Run::of("b.0:1:1"), Run::Numbered(11)];
    let is_there = |run| storage.run_folder(group, job, run).path().exists();
    for run in runs {
        let run = storage.run_folder(group, job, run);
        std::fs::create_dir_all(run.path()).unwrap();
        std::fs::write(run.path().join("0-resize.jpg"), "x").unwrap();
    }
    storage.keep_run(group, job, Some(runs[2])).unwrap();
    assert_eq!(runs.map(is_there), [false, false, true, false]);
    std::fs::create_dir_all(storage.run_folder(group, job, runs[3]).path()).unwrap();
    storage.keep_run(group, job, Some(runs[3])).unwrap();
    assert_eq!(runs.map(is_there), [false, false, false, true], "a former version's winner");
    storage.keep_run(group, job, None).unwrap();
    assert_eq!(runs.map(is_there), [false; 4]);
    storage.keep_run(group, JobId::new(), Some(runs[0])).unwrap();
}

#[tokio::test]
async fn groups_are_listed_by_the_age_of_their_parts() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let (group, now) = (GroupId::new(), SystemTime::now());
    let hour = std::time::Duration::from_hours(1);
    let listed = |part, instant| {
        storage.groups_older_than(part, instant).unwrap().map(|group| group.unwrap().0).collect::<Vec<_>>()
    };
    assert!(listed(Part::Outbox, now + hour).is_empty());
    storage.put(&manifest_key(group), Bytes::from_static(b"{}")).await.unwrap();
    assert_eq!(listed(Part::Outbox, now + hour), [group]);
    assert!(listed(Part::Outbox, now - hour).is_empty());
    assert!(listed(Part::Uploads, now + hour).is_empty());
    assert!(storage.rename(&manifest_key(group), &withdrawn_key(group)).await.unwrap());
    assert!(!storage.rename(&manifest_key(group), &withdrawn_key(group)).await.unwrap());
    assert_eq!(listed(Part::Outbox, now + hour), [group]);
}

#[tokio::test]
async fn part_of_a_file_is_read_alone() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let key = upload_key(GroupId::new(), 0);
    let bytes: Vec<u8> = (0..3 * PART).map(|i| (i % 251) as u8).collect();
    storage.put(&key, bytes.clone().into()).await.unwrap();
    for part in [0..1, 7..(2 * PART + 9), (3 * PART - 1)..(3 * PART)] {
        let stored = storage.open_part(&key, Some(part.start as u64..part.end as u64)).await.unwrap().unwrap();
        assert_eq!(stored.size as usize, part.len());
        let read: Vec<Bytes> = stored.body.try_collect().await.unwrap();
        assert!(read.concat() == bytes[part.clone()], "{part:?}");
    }
    assert_eq!(storage.about(&key).await.unwrap().unwrap().size as usize, bytes.len());
}

#[test]
fn secret_is_made_once_for_all_and_for_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let asked: Vec<[u8; 32]> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| storage.secret("links").unwrap())).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(asked.iter().all(|secret| *secret == asked[0] && *secret != [0; 32]));
    assert_ne!(storage.secret("sessions").unwrap(), asked[0]);
    let mode = |path: &str| std::fs::metadata(folder.path().join(path)).unwrap().mode() & 0o777;
    assert_eq!((mode("secrets"), mode("secrets/links")), (0o700, 0o600));
    assert_eq!(std::fs::read_dir(folder.path().join("secrets")).unwrap().count(), 2, "no draft is left");
}

#[test]
fn private_file_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    assert!(storage.create_private("keys/a.json", b"first").unwrap());
    assert!(!storage.create_private("keys/a.json", b"second").unwrap());
    assert_eq!(std::fs::read(storage.path("keys/a.json")).unwrap(), b"first");
}

#[test]
fn keys_cannot_climb_out() {
    assert!(parse("outputs/../../etc/passwd").is_err());
}

#[test]
fn identity_is_made_once_and_goes_with_the_folder() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let storage = Storage::local(one.path()).unwrap();
    assert_eq!(storage.identity_if_any().unwrap(), None);
    let id = storage.identity().unwrap();
    assert_eq!((storage.identity().unwrap(), storage.identity_if_any().unwrap()), (id, Some(id)));
    let elsewhere = Storage::local(other.path()).unwrap();
    assert_ne!(elsewhere.identity().unwrap(), id);
    std::fs::copy(storage.path("store.id"), elsewhere.path("store.id")).unwrap();
    assert_eq!(elsewhere.identity().unwrap(), id);
    std::fs::write(elsewhere.path("store.id"), "mine\n").unwrap();
    let error = elsewhere.identity().unwrap_err().to_string();
    assert!(error.contains("store.id: \"mine\" is not the id of a store"), "{error}");
}

/// The disk disappears, and then another process is started on the empty mount point.
#[test]
fn folder_that_holds_another_store_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    assert!(!storage.is_itself(), "it has no identity yet");
    storage.identity().unwrap();
    assert!(storage.clone().is_itself());
    storage.set_wrong(true);
    assert!(!storage.is_itself());
    storage.set_wrong(false);
    std::fs::remove_file(storage.path("store.id")).unwrap();
    assert!(!storage.is_itself());
    let other = Storage::local(folder.path()).unwrap();
    other.identity().unwrap();
    assert!(other.is_itself() && !storage.is_itself());
}

#[tokio::test]
async fn runs_are_listed_by_their_job() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let (group, job) = (GroupId::new(), JobId::new());
    assert!(storage.runs(group).unwrap().is_empty());
    storage.put(&owner_key(group), Bytes::from_static(b"somebody")).await.unwrap();
    let run = Run::of("a.0:1:1");
    storage.put(&output_key(group, job, run, "0-flip.png"), Bytes::from_static(b"picture")).await.unwrap();
    let run = storage.run_folder(group, job, run);
    assert_eq!(storage.runs(group).unwrap(), [(job, vec![run.clone()])]);
    storage.remove_run(&run).unwrap();
    let left = storage.runs(group).unwrap();
    assert!(left.len() == 1 && left[0].1.is_empty(), "{left:?}");
}

#[tokio::test]
async fn drafts_of_broken_off_writes_are_removed_wherever_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let group = GroupId::new();
    for key in [manifest_key(group), upload_key(group, 0), owner_key(group), keep_key(group)] {
        storage.put(&key, Bytes::from_static(b"kept")).await.unwrap();
    }
    storage.create_private("keys/a.json", b"kept").unwrap();
    storage.secret("links").unwrap();
    storage.identity().unwrap();
    let files = || -> std::collections::BTreeSet<PathBuf> {
        let found = walkdir::WalkDir::new(folder.path()).into_iter().map(|entry| entry.unwrap());
        found.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
    };
    let kept = files();
    let drafts = [
        format!("{}#1", manifest_key(group)),
        format!("{}#12", withdrawn_key(group)),
        format!("{}#1", upload_key(group, 1)),
        format!("{}#1", owner_key(group)),
        format!("{}#2", keep_key(group)),
        format!("{}#1", Part::Erasures.mark(group)),
        format!("{}#1", Part::Erased.mark(group)),
        format!("keys/.{}", Uuid::now_v7()),
        format!("secrets/.{}", Uuid::now_v7()),
        format!(".{}", Uuid::now_v7()),
    ];
    let (written, hour) = (SystemTime::now() - std::time::Duration::from_hours(2), std::time::Duration::from_hours(1));
    for draft in &drafts {
        let path = storage.path(draft);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(&path).unwrap().set_modified(written).unwrap();
    }
    let young = storage.path(&format!("{}#3", manifest_key(group)));
    File::create(&young).unwrap();

    assert_eq!(storage.remove_drafts(SystemTime::now() - hour).unwrap(), drafts.len() as u64);
    assert_eq!(files(), kept.iter().cloned().chain([young]).collect());
}

fn space(free: u64, ballast: u64) -> Space {
    Space { free, size: 1_000, least: 0.05, ballast_wanted: 100, ballast }
}

#[test]
fn new_work_leaves_room_for_the_ballast() {
    assert!(!space(50, 100).is_short() && space(49, 100).is_short());
    assert!(!space(250, 0).is_short() && space(249, 0).is_short(), "without it");
    assert!(space(99, 100).is_full() && !space(100, 100).is_full());
}

#[test]
fn ballast_is_made_released_and_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap().on_disk(0.0, 300_000);
    let allocated = || std::fs::metadata(folder.path().join("ballast")).map(|about| about.blocks() * 512).ok();
    assert!(!storage.release_ballast());
    for _ in 0..2 {
        storage.keep_ballast().unwrap();
        assert_eq!(storage.space().unwrap().ballast, 300_000);
        assert!(allocated() >= Some(300_000), "{:?}", allocated());
        assert!(storage.release_ballast());
        assert_eq!((storage.space().unwrap().ballast, allocated()), (0, None));
    }
    storage.keep_ballast().unwrap();
    let larger = storage.clone().on_disk(0.0, 400_000);
    larger.keep_ballast().unwrap();
    assert_eq!(larger.space().unwrap().ballast, 400_000, "another setting, another size");
    larger.on_disk(0.0, 0).keep_ballast().unwrap();
    assert_eq!(allocated(), None);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
