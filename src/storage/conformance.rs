//! The tests that every backend of [`Storage`] passes. They use `&Storage` and keys, and no path of the store.
//!
//! A new backend gets a test beside [`local_disk_conforms`] that opens it and calls [`all`].

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::TryStreamExt;
use queue::{GroupId, JobId, Run};

use super::objects::PART;
use super::{Part, Storage, output_key, upload_key};

async fn all(storage: &Storage) {
    missing_objects(storage).await;
    ranges(storage).await;
    aborted_writes_leave_nothing(storage).await;
    overwrites_are_whole(storage).await;
    one_of_concurrent_creates_wins(storage);
    private_files(storage);
    copy_and_rename(storage).await;
    listing_and_erasure(storage).await;
    listing_of_many(storage).await;
    fetched_files_are_read_in_place(storage).await;
    runs_are_published_whole(storage).await;
}

fn fresh() -> String {
    upload_key(GroupId::new(), 0)
}

async fn missing_objects(storage: &Storage) {
    let key = fresh();
    assert!(storage.open(&key).await.unwrap().is_none());
    assert!(storage.open_part(&key, Some(0..1)).await.unwrap().is_none());
    assert!(storage.read(&key).await.unwrap().is_none());
    assert!(storage.about(&key).await.unwrap().is_none());
    assert!(!storage.has(&key).await.unwrap() && !storage.has_at_once(&key).unwrap());
    assert!(!storage.copy(&key, &fresh()).await.unwrap());
    assert!(!storage.rename(&key, &fresh()).await.unwrap());
    storage.remove(&key).await.unwrap();
}

async fn ranges(storage: &Storage) {
    let key = fresh();
    let bytes: Vec<u8> = (0..2 * PART + 5).map(|i| (i % 251) as u8).collect();
    storage.put(&key, bytes.clone().into()).await.unwrap();
    let len = bytes.len();
    assert_eq!(storage.about(&key).await.unwrap().unwrap().size as usize, len);
    for range in [0..1, 7..PART + 9, len - 1..len, 0..len] {
        let stored = storage.open_part(&key, Some(range.start as u64..range.end as u64)).await.unwrap().unwrap();
        let read: Vec<Bytes> = stored.body.try_collect().await.unwrap();
        assert_eq!(stored.size as usize, range.len());
        assert!(read.concat() == bytes[range.clone()], "{range:?}");
    }
}

/// A reader gets the former content or the new content, never a part of either.
async fn overwrites_are_whole(storage: &Storage) {
    let key = fresh();
    let content = |letter: u8| Bytes::from(vec![letter; 3 * PART]);
    storage.put(&key, content(b'a')).await.unwrap();
    let writer = async {
        for letter in b'b'..=b'k' {
            storage.put(&key, content(letter)).await.unwrap();
        }
    };
    let reader = async {
        for _ in 0..50 {
            let read = storage.read(&key).await.unwrap().unwrap();
            assert!(read.len() == 3 * PART && read.iter().all(|byte| *byte == read[0]), "a mixture was read");
            tokio::task::yield_now().await;
        }
    };
    futures::join!(writer, reader);
    assert_eq!(storage.read(&key).await.unwrap().unwrap(), content(b'k'));
}

async fn aborted_writes_leave_nothing(storage: &Storage) {
    let key = fresh();
    let mut incoming = storage.receive(&key).await.unwrap();
    incoming.write(vec![7; 3 * PART].into()).await.unwrap();
    drop(incoming);
    assert!(!storage.has(&key).await.unwrap());
    let mut incoming = storage.receive(&key).await.unwrap();
    incoming.write(Bytes::from_static(b"second")).await.unwrap();
    incoming.finish().await.unwrap();
    assert_eq!(storage.read(&key).await.unwrap().unwrap(), "second");
}

fn one_of_concurrent_creates_wins(storage: &Storage) {
    let key = format!("keys/{}", GroupId::new());
    let created = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8_u8)
            .map(|i| {
                let key = &key;
                scope.spawn(move || storage.create_private(key, &[i; 64]).unwrap())
            })
            .collect();
        tries.into_iter().map(|created| created.join().unwrap()).filter(|created| *created).count()
    });
    assert_eq!(created, 1);
    assert!(!storage.create_private(&key, b"late").unwrap());
}

async fn copy_and_rename(storage: &Storage) {
    let (from, to, moved) = (fresh(), fresh(), fresh());
    storage.put(&from, Bytes::from_static(b"picture")).await.unwrap();
    assert!(storage.copy(&from, &to).await.unwrap());
    storage.remove(&from).await.unwrap();
    assert_eq!(storage.read(&to).await.unwrap().unwrap(), "picture", "a copy outlives its source");
    assert!(storage.rename(&to, &moved).await.unwrap());
    assert!(!storage.has(&to).await.unwrap());
    assert_eq!(storage.about(&moved).await.unwrap().unwrap().size, 7);
}

async fn listing_and_erasure(storage: &Storage) {
    let (gone, kept) = (GroupId::new(), GroupId::new());
    for group in [gone, kept] {
        storage.put(&upload_key(group, 0), Bytes::from_static(b"x")).await.unwrap();
    }
    let listed =
        || -> Vec<GroupId> { storage.groups_of(Part::Uploads).unwrap().map(|group| group.unwrap().0).collect() };
    assert!(listed().contains(&gone) && listed().contains(&kept));
    storage.remove_part(Part::Uploads, gone).unwrap();
    storage.remove_part(Part::Uploads, gone).unwrap();
    assert!(!listed().contains(&gone) && listed().contains(&kept));
    assert!(!storage.has(&upload_key(gone, 0)).await.unwrap());
    assert!(storage.has(&upload_key(kept, 0)).await.unwrap());
}

fn private_files(storage: &Storage) {
    let name = format!("{}.json", GroupId::new());
    let (key, moved) = (format!("keys/{name}"), format!("keys/{name}.moved"));
    assert_eq!(storage.read_private(&key).unwrap(), None);
    assert!(!storage.rename_private(&key, &moved).unwrap());
    assert!(storage.create_private(&key, b"secret").unwrap());
    assert_eq!(storage.read_private(&key).unwrap().as_deref(), Some(&b"secret"[..]));
    assert!(storage.private_names("keys").unwrap().contains(&name));
    assert!(storage.rename_private(&key, &moved).unwrap());
    assert_eq!(storage.read_private(&key).unwrap(), None);
    assert_eq!(storage.read_private(&moved).unwrap().as_deref(), Some(&b"secret"[..]));
    assert!(storage.private_names("nothing").unwrap().is_empty());
    let secret = storage.secret("conformance").unwrap();
    assert_eq!(storage.secret("conformance").unwrap(), secret, "it is made once");
}

/// Uses more groups than fit on one page of any backend's listing.
async fn listing_of_many(storage: &Storage) {
    const MANY: usize = 1_100;
    let groups: HashSet<GroupId> = (0..MANY).map(|_| GroupId::new()).collect();
    for group in &groups {
        storage.put(&Part::Erasures.mark(*group), Bytes::new()).await.unwrap();
    }
    let listed = |instant| -> Vec<GroupId> {
        let found = storage.groups_older_than(Part::Erasures, instant).unwrap();
        found.map(|group| group.unwrap().0).filter(|group| groups.contains(group)).collect()
    };
    let hour = Duration::from_hours(1);
    let all = listed(SystemTime::now() + hour);
    assert_eq!((all.len(), HashSet::from_iter(all) == groups), (MANY, true), "each once");
    assert!(listed(SystemTime::now() - hour).is_empty());
}

async fn fetched_files_are_read_in_place(storage: &Storage) {
    let key = fresh();
    storage.put(&key, Bytes::from_static(b"picture")).await.unwrap();
    let original = storage.fetch(&key).await.unwrap();
    assert_eq!(std::fs::read(original.path()).unwrap(), b"picture");
    drop(original);
    assert_eq!(storage.read(&key).await.unwrap().unwrap(), "picture", "the stored file stays");
}

async fn runs_are_published_whole(storage: &Storage) {
    let (group, job) = (GroupId::new(), JobId::new());
    let [winner, loser] = ["a.0:1:1", "b.0:1:1"].map(|token| (Run::of(token), token));
    for (run, content) in [winner, loser] {
        let folder = storage.run_folder(group, job, run);
        std::fs::create_dir_all(folder.path()).unwrap();
        for file in ["0-resize.jpg", "1-thumbnail.png"] {
            std::fs::write(folder.path().join(file), content).unwrap();
        }
        storage.publish(&folder).unwrap();
    }
    let output = |run: Run| output_key(group, job, run, "1-thumbnail.png");
    for (run, content) in [winner, loser] {
        assert_eq!(storage.read(&output(run)).await.unwrap().unwrap(), content);
    }
    assert!(storage.has_outputs(group).unwrap());
    let runs = storage.runs(group).unwrap();
    assert_eq!(runs.iter().map(|(of, runs)| (*of, runs.len())).collect::<Vec<_>>(), [(job, 2)]);
    storage.keep_run(group, job, Some(winner.0)).unwrap();
    assert!(storage.has(&output(winner.0)).await.unwrap() && !storage.has(&output(loser.0)).await.unwrap());
    storage.remove_empty_outputs(group);
    assert!(storage.has(&output(winner.0)).await.unwrap(), "a folder that holds outputs stays");
    storage.remove_run(&storage.run_folder(group, job, winner.0)).unwrap();
    assert!(!storage.has(&output(winner.0)).await.unwrap());
}

#[tokio::test]
async fn local_disk_conforms() {
    let folder = tempfile::tempdir().unwrap();
    all(&Storage::local(folder.path()).unwrap()).await;
}
