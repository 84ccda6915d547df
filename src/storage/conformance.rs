//! One suite that each backend of [`Storage`] passes. Each check speaks through `&Storage` and its keys only.

use bytes::Bytes;
use futures::TryStreamExt;
use queue::GroupId;

use super::objects::PART;
use super::{Part, Storage, upload_key};

async fn all(storage: &Storage) {
    missing_objects(storage).await;
    ranges(storage).await;
    aborted_writes_leave_nothing(storage).await;
    one_of_concurrent_creates_wins(storage);
    copy_and_rename(storage).await;
    listing_and_erasure(storage).await;
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
    for range in [0..1, 7..PART + 9, len - 1..len, 0..len] {
        let stored = storage.open_part(&key, Some(range.start as u64..range.end as u64)).await.unwrap().unwrap();
        let read: Vec<Bytes> = stored.body.try_collect().await.unwrap();
        assert_eq!(stored.size as usize, range.len());
        assert!(read.concat() == bytes[range.clone()], "{range:?}");
    }
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

#[tokio::test]
async fn local_disk_conforms() {
    let folder = tempfile::tempdir().unwrap();
    all(&Storage::local(folder.path()).unwrap()).await;
}
