//! What only SQLite can suffer: files of others, a process that is killed, a disk that is full.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use queue::{
    Broker, Clock, Error, GroupFilter, GroupId, JobFilter, JobId, JobList, NewGroup, NewJob, Policy, Settled, State,
};

use crate::support::disk::SmallDisk;

use super::world::{QUEUE, ask, grouped, ids, ids_of, job, jobs, policy, settlement, succeed};

fn open(file: &Path) -> Result<Broker, Error> {
    Broker::open_sqlite(file, policy())
}

#[tokio::test]
async fn file_of_a_newer_version_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("queue.db");
    drop(open(&file).unwrap());
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 999).unwrap();

    let refused = open(&file).err().unwrap();

    assert!(matches!(&refused, Error::Incompatible(why) if why.contains("999") && why.contains(" 5")), "{refused}");
}

/// A process that has the former file open would go on in it for nobody, and its sweeps would remove what others publish.
#[tokio::test]
async fn process_whose_file_is_replaced_changes_nothing_any_more() {
    let home = tempfile::tempdir().unwrap();
    let (file, copy) = (home.path().join("queue.db"), home.path().join("copy.db"));
    let former = open(&file).unwrap();
    let (group, jobs) = grouped(jobs(2));
    former.enqueue(&group, &jobs).await.unwrap();
    rusqlite::Connection::open(&file).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let held = former.claim(&ask("a", 1, 1)).await.unwrap().jobs.remove(0);
    for log in ["queue.db-wal", "queue.db-shm"] {
        std::fs::remove_file(home.path().join(log)).unwrap();
    }
    std::fs::rename(&copy, &file).unwrap();
    let restored = open(&file).unwrap();

    let settled = former.settle(&[settlement(&held, succeed())], None).await;

    assert!(matches!(&settled, Err(Error::Unavailable(why)) if why.contains("replaced") && why.contains("queue.db")));
    let claimed = restored.claim(&ask("b", 1, 9)).await.unwrap().jobs;
    assert_eq!(ids(&claimed), ids_of(&jobs));
    assert_ne!(claimed[0].lease.token, held.lease.token);
    assert_eq!(restored.settle(&[settlement(&held, succeed())], None).await.unwrap().0, [Settled::LeaseLost]);
}

/// Tables, columns and indexes, as SQLite has noted them.
fn layout(file: &Path) -> Vec<String> {
    let db = rusqlite::Connection::open(file).unwrap();
    let mut layout = db
        .prepare(
            "SELECT tables.name || '.' || columns.name || ' ' || columns.type || columns.\"notnull\" || columns.pk \
             || ifnull(dflt_value, '') FROM sqlite_schema AS tables JOIN pragma_table_info(tables.name) AS columns \
             UNION ALL SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1",
        )
        .unwrap();
    layout.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn file_of_the_first_version_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let (old, new) = (home.path().join("old.db"), home.path().join("new.db"));
    let first_version = rusqlite::Connection::open(&old).unwrap();
    first_version.execute_batch(include_str!("../../fixtures/queue-schema-1.sql")).unwrap();
    drop(first_version);

    let broker = open(&old).unwrap();

    drop(open(&new).unwrap());
    assert_eq!(layout(&old), layout(&new));
    let job = |byte: u8| JobId::from(uuid::Uuid::from_bytes([byte; 16]));
    assert_eq!(broker.list(JobList::Dead, 0, 9).await.unwrap()[0].job, job(0x22));
    // The lease of the running one has expired since.
    let claimed = broker.claim(&ask("a", 1, 9)).await.unwrap().jobs;
    assert_eq!((ids(&claimed), claimed[0].alone), (vec![job(0x21), job(0x20)], true));
    let ends: Vec<_> = claimed.iter().map(|job| settlement(job, succeed())).collect();
    broker.settle(&ends, None).await.unwrap();
    let group = broker.group(GroupId::from(uuid::Uuid::from_bytes([0x11; 16]))).await.unwrap().unwrap();
    assert_eq!((group.succeeded, group.failed, group.pending, group.cancelling), (2, 1, 0, false));
    assert!(group.finished_at.is_some() && broker.remove_group(group.id).await.unwrap());
    drop(broker);
    drop(open(&old).unwrap());
}

async fn goes_on(version: &str) {
    let home = tempfile::tempdir().unwrap();
    let (old, new) = (home.path().join("old.db"), home.path().join("new.db"));
    let former = rusqlite::Connection::open(&old).unwrap();
    former.execute_batch(version).unwrap();
    drop(former);

    let broker = open(&old).unwrap();

    drop(open(&new).unwrap());
    assert_eq!(layout(&old), layout(&new));
    let listed = broker.jobs(&JobFilter::default(), None, 9).await.unwrap();
    let states: Vec<_> = listed.entries.iter().map(|job| job.state).collect();
    assert_eq!((states, listed.next), (vec![State::Waiting, State::Failed], None));
    assert_eq!(broker.groups(&GroupFilter::default(), None, 9).await.unwrap().entries.len(), 2);
    assert_eq!(broker.claim(&ask("a", 1, 9)).await.unwrap().jobs.len(), 1);
}

#[tokio::test]
async fn file_of_the_second_version_goes_on() {
    goes_on(include_str!("../../fixtures/queue-schema-2.sql")).await;
}

#[tokio::test]
async fn file_of_the_third_version_goes_on() {
    goes_on(include_str!("../../fixtures/queue-schema-3.sql")).await;
}

#[tokio::test]
async fn file_of_the_fourth_version_goes_on() {
    goes_on(include_str!("../../fixtures/queue-schema-4.sql")).await;
}

#[tokio::test]
async fn files_of_others_are_refused_and_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let (text, database) = (home.path().join("notes.txt"), home.path().join("other.db"));
    std::fs::write(&text, "milk, bread, and a long enough line to be no empty file").unwrap();
    rusqlite::Connection::open(&database).unwrap().execute_batch("CREATE TABLE bread (milk)").unwrap();
    let before = (std::fs::read(&text).unwrap(), std::fs::read(&database).unwrap());

    for file in [&text, &database] {
        let refused = open(file).err().unwrap();
        assert!(matches!(&refused, Error::Invalid(why) if why.contains("not a pixmill queue")), "{refused}");
    }

    assert_eq!((std::fs::read(&text).unwrap(), std::fs::read(&database).unwrap()), before);
}

#[tokio::test]
async fn folder_is_made_where_missing() {
    let home = tempfile::tempdir().unwrap();
    let broker = open(&home.path().join("a/b/queue.db")).unwrap();

    broker.ping().await.unwrap();

    assert!(broker.to_string().contains("a/b/queue.db"));
}

#[tokio::test]
async fn many_callers_share_commits_and_each_gets_its_answer() {
    let home = tempfile::tempdir().unwrap();
    let broker = open(&home.path().join("queue.db")).unwrap();
    let groups: Vec<_> = (0..300).map(|_| grouped(jobs(1))).collect();

    let answers = groups.iter().map(|(group, jobs)| broker.enqueue(group, jobs));
    futures::future::try_join_all(answers).await.unwrap();

    assert_eq!(broker.depths().await.unwrap()[0].waiting, 300);
    let claims = (0..300).map(|session| {
        let broker = broker.clone();
        async move { broker.claim(&ask(&format!("s{session}"), 1, 1)).await.unwrap().jobs.len() }
    });
    assert_eq!(futures::future::join_all(claims).await.into_iter().sum::<usize>(), 300);
}

/// Has a group of `file` look as if its cancel had been ordered by a process that died before it ended any job.
fn order_cancel(file: &Path, group: GroupId) {
    let db = rusqlite::Connection::open(file).unwrap();
    let id = uuid::Uuid::from(group).into_bytes();
    assert_eq!(db.execute("UPDATE grp SET cancelling = 1 WHERE id = ?1", [id]).unwrap(), 1);
    db.execute("INSERT INTO walk VALUES (?1, 0)", [id]).unwrap();
}

#[tokio::test]
async fn claims_go_on_with_a_cancel_that_was_broken_off() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("queue.db");
    let broker = open(&file).unwrap();
    let (group, many) = grouped(jobs(2_500));
    broker.enqueue(&group, &many).await.unwrap();
    broker.pause(QUEUE).await.unwrap();
    order_cancel(&file, group.id);

    for sequence in 1..=3 {
        assert!(broker.group(group.id).await.unwrap().unwrap().finished_at.is_none());
        assert!(broker.claim(&ask("a", sequence, 1)).await.unwrap().jobs.is_empty());
    }

    let group = broker.group(group.id).await.unwrap().unwrap();
    assert_eq!((group.cancelled, group.finished_at.is_some()), (2_500, true));
    assert_eq!(broker.cancel_group(group.id).await.unwrap(), Some(0));
}

#[tokio::test]
async fn cancel_that_was_broken_off_is_completed_by_the_next_one() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("queue.db");
    let broker = open(&file).unwrap();
    let (group, many) = grouped(jobs(1_500));
    broker.enqueue(&group, &many).await.unwrap();
    order_cancel(&file, group.id);

    assert_eq!(broker.cancel_group(group.id).await.unwrap(), Some(1_500));
}

#[tokio::test]
async fn claim_leases_nothing_of_a_group_whose_cancel_is_under_way() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("queue.db");
    let broker = open(&file).unwrap();
    let ((group, many), (neighbours, others)) = (grouped(jobs(1_500)), grouped(jobs(3)));
    broker.enqueue(&group, &many).await.unwrap();
    broker.enqueue(&neighbours, &others).await.unwrap();
    order_cancel(&file, group.id);

    let claimed = broker.claim(&ask("a", 1, 9)).await.unwrap().jobs;

    assert_eq!(ids(&claimed), ids_of(&others));
    assert_eq!(broker.job(many[1_499].id).await.unwrap().unwrap().state, State::Cancelled);
    assert_eq!(broker.group(group.id).await.unwrap().unwrap().pending, 0);
}

#[tokio::test]
async fn old_events_are_dropped() {
    let home = tempfile::tempdir().unwrap();
    let policy = Policy { events: 80, ..policy() };
    let broker = Broker::open_sqlite_unsynced(&home.path().join("queue.db"), policy, Clock::default()).unwrap();
    let mut groups = Vec::new();
    for _ in 0..300 {
        let (group, jobs) = grouped(jobs(1));
        broker.enqueue(&group, &jobs).await.unwrap();
        groups.push(group.id);
    }

    let kept = broker.events(None, 1_000).await.unwrap();

    assert!((80..=91).contains(&kept.len()), "{}", kept.len());
    let told: Vec<_> = kept.iter().map(|event| event.group).collect();
    assert_eq!(told, groups[300 - kept.len()..]);
    assert!(kept.is_sorted_by(|one, next| one.id < next.id));
    let rest = broker.events(Some(&kept[9].id), 5).await.unwrap();
    assert_eq!(rest, kept[10..15]);
}

/// The other process of [`acknowledged_jobs_outlive_a_killed_process`]: enqueues and tells, until it is killed.
#[test]
fn process_that_enqueues_until_killed() {
    let Ok(file) = std::env::var("PIXMILL_TEST_ENQUEUE_INTO") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let broker = open(Path::new(&file)).unwrap();
        loop {
            let (group, jobs) = grouped(jobs(3));
            broker.enqueue(&group, &jobs).await.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "enqueued {}", group.id).unwrap();
            out.flush().unwrap();
        }
    });
}

fn enqueuing_process(file: &Path) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "broker::sqlite_only::process_that_enqueues_until_killed"])
        .env("PIXMILL_TEST_ENQUEUE_INTO", file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(process.stdout.take().unwrap());
    (process, said)
}

#[tokio::test]
async fn acknowledged_jobs_outlive_a_killed_process() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("queue.db");
    let ours = open(&file).unwrap();
    let (mut process, said) = enqueuing_process(&file);

    // Both processes write; the other is killed at its work.
    let mut acknowledged = Vec::new();
    for line in said.lines() {
        if let Some(id) = line.unwrap().split_once("enqueued ").map(|(_, id)| id.to_owned()) {
            acknowledged.push(id.parse().unwrap());
            ours.claim(&ask("a", acknowledged.len() as u64, 1)).await.unwrap();
            if acknowledged.len() == 50 {
                process.kill().unwrap();
                process.wait().unwrap();
            }
        }
    }

    drop(ours);
    let reopened = open(&file).unwrap();
    assert!(acknowledged.len() >= 50);
    for id in &acknowledged {
        let group = reopened.group(*id).await.unwrap().expect("an acknowledged group is kept");
        assert_eq!((group.total, group.pending, group.sealed), (3, 3, true));
    }
    let depth = &reopened.depths().await.unwrap()[0];
    assert!(depth.active >= 50 && depth.waiting + depth.active >= 3 * acknowledged.len() as u64, "{depth:?}");
}

fn queue(disk: &SmallDisk) -> Broker {
    open(&disk.path().join("queue.db")).unwrap()
}

fn bulky() -> (NewGroup, Vec<NewJob>) {
    grouped((0..16).map(|_| NewJob { payload: Bytes::from(vec![7; 16_384]), ..job() }).collect())
}

/// Enqueues until it is refused; how many jobs were not.
async fn enqueue_until_full(broker: &Broker) -> usize {
    let mut enqueued = 0;
    loop {
        let (group, jobs) = bulky();
        match broker.enqueue(&group, &jobs).await {
            Ok(()) => enqueued += jobs.len(),
            Err(Error::StorageFull(why)) => {
                assert!(why.contains("space"), "{why}");
                assert_eq!(broker.group(group.id).await.unwrap(), None);
                return enqueued;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// Claims and settles, four at a time, until nothing waits; how many jobs there were.
async fn drain(broker: &Broker, session: &str) -> usize {
    let mut drained = 0;
    let mut claimed = broker.claim(&ask(session, 1, 4)).await.unwrap().jobs;
    for sequence in 2.. {
        let settlements: Vec<_> = claimed.iter().map(|job| settlement(job, succeed())).collect();
        let (settled, claim) = broker.settle(&settlements, Some(&ask(session, sequence, 4))).await.unwrap();
        assert!(settled.iter().all(|settled| *settled == Settled::Committed));
        drained += settled.len();
        claimed = claim.unwrap().jobs;
        if claimed.is_empty() {
            break;
        }
    }
    drained
}

#[tokio::test]
async fn nearly_full_disk_refuses_work_and_drains() {
    let disk = SmallDisk::mount("32m");
    let broker = queue(&disk);
    let (group, first) = grouped(jobs(1_500));
    broker.enqueue(&group, &first).await.unwrap();

    let enqueued = enqueue_until_full(&broker).await;

    assert!(enqueued > 100, "{enqueued}");
    broker.cancel_job(first[0].id).await.unwrap();
    assert_eq!(broker.cancel_group(group.id).await.unwrap(), Some(1_499));
    assert!(broker.remove_group(group.id).await.unwrap());
    broker.report("a", b"drains").await.unwrap();
    broker.post("a", b"go on").await.unwrap();
    assert_eq!(broker.collect("a", Duration::ZERO).await.unwrap().len(), 1);
    assert_eq!(drain(&broker, "a").await, enqueued);
    let depth = &broker.depths().await.unwrap()[0];
    assert_eq!((depth.waiting, depth.active), (0, 0));
}

#[tokio::test]
async fn disk_filled_by_others_loses_nothing() {
    let disk = SmallDisk::mount("32m");
    let broker = queue(&disk);
    let (group, many) = grouped(jobs(500));
    broker.enqueue(&group, &many).await.unwrap();
    let filler = disk.fill();

    assert_eq!(enqueue_until_full(&broker).await, 0);
    // Claims go on for as long as the WAL has room, and then say why not.
    let mut claimed = 0;
    for sequence in 1..=30 {
        match broker.claim(&ask("a", sequence, 16)).await {
            Ok(claim) => claimed += claim.jobs.len(),
            Err(Error::StorageFull(why)) => assert!(why.contains("space"), "{why}"),
            Err(other) => panic!("{other}"),
        }
        let depth = &broker.depths().await.unwrap()[0];
        assert_eq!((depth.waiting, depth.active), (500 - claimed as u64, claimed as u64));
    }

    std::fs::remove_file(filler).unwrap();
    assert_eq!(drain(&broker, "b").await, 500 - claimed);
}

#[tokio::test]
async fn two_handles_on_one_file_see_one_queue() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("queue.db");
    let (one, two) = (open(&file).unwrap(), open(&file).unwrap());
    let (group, jobs) = grouped(jobs(2));
    one.enqueue(&group, &jobs).await.unwrap();

    let claimed = two.claim(&ask("a", 1, 9)).await.unwrap().jobs;
    let (settled, _) = one.settle(&[settlement(&claimed[0], succeed())], None).await.unwrap();

    assert_eq!((ids(&claimed), settled), (ids_of(&jobs), vec![Settled::Committed]));
    assert_eq!(two.group(group.id).await.unwrap().unwrap().succeeded, 1);
    assert_eq!(two.depths().await.unwrap()[0].queue, QUEUE);
}
