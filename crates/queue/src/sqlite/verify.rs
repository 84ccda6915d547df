//! Checks once, when a service or a worker starts, whether the file still holds what was written.
//!
//! SQLite's own check finds broken pages and indexes that do not fit their tables. The rules here find the rest: tables
//! and columns that are not those of `schema.sql`, counters that differ from the jobs that they count, open jobs
//! without a payload, and values that are never written. Payloads and results have checksums of their own. Values of
//! which any may be right, such as texts for people, instants in the past, or whether a queue is paused, are not
//! checked.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row};

use super::failure::{damaged, explain};
use super::schema;
use crate::Result;

/// Each rule gives a row if something is wrong; the first column says what. The jobs of a finished group are not
/// counted, because it may be half removed. Texts that a claim reads must be ASCII, because pixmill writes no others
/// there and reading fails if they are not UTF-8. No instant may be after the year 2100. A worker's report may be later
/// than the stored latest instant.
const RULES: [&str; 16] = [
    "SELECT 'a job is in no known state' FROM job WHERE state NOT BETWEEN 0 AND 5",
    "SELECT 'a job has values that are never written' FROM job WHERE class NOT IN (0, 1) OR priority NOT BETWEEN 1 AND 10 \
     OR idx NOT BETWEEN 0 AND 4294967295 OR runs NOT BETWEEN 0 AND 4294967295 OR attempt NOT BETWEEN 0 AND runs \
     OR stalls NOT BETWEEN 0 AND runs OR max_attempts NOT BETWEEN 0 AND 4294967295 OR alone NOT IN (0, 1) \
     OR cancelling NOT IN (0, 1) OR retried NOT IN (0, 1) OR length(retry_of) <> 16 OR expires < 0 OR kind GLOB '*[^ -~]*' \
     OR committed GLOB '*[^ -~]*'",
    "SELECT 'a job is not what its state says' FROM job WHERE (token IS NULL) = (state = 2) \
     OR (finished_at IS NULL) <> (state <= 2) OR state = 2 AND due IS NULL OR state <= 1 AND cancelling",
    "SELECT 'a job waits for one that has ended' FROM job WHERE state = 1 AND due IS NULL \
     AND NOT EXISTS (SELECT 1 FROM job AS other WHERE other.seq = job.after AND other.state <= 2)",
    "SELECT 'a job is of no group or in no queue' FROM job \
     WHERE grp NOT IN (SELECT id FROM grp) OR queue NOT IN (SELECT id FROM queue)",
    "SELECT 'a job has no payload' FROM job WHERE state <= 2 AND seq NOT IN (SELECT seq FROM payload)",
    "SELECT 'a job has no result' FROM job WHERE state IN (3, 4) AND seq NOT IN (SELECT seq FROM result)",
    "SELECT 'the line has lost its ends' WHERE (SELECT count(*) FROM line) <> 1 OR EXISTS \
     (SELECT 1 FROM line WHERE back < 0 OR front >= 0 OR seen NOT BETWEEN 0 AND 4102444800000)",
    "SELECT 'a job waits outside the line' FROM line CROSS JOIN job \
     WHERE state = 0 AND place NOT BETWEEN front + 1 AND back - 1",
    "SELECT 'the jobs of a group are not as many as it counts' FROM grp LEFT JOIN \
     (SELECT grp, count(*) AS total, sum(state <= 2) AS pending, sum(state = 3) AS succeeded, sum(state = 4) AS failed, \
     sum(state = 5) AS cancelled FROM job GROUP BY grp) AS truth ON truth.grp = grp.id \
     WHERE grp.finished_at IS NULL AND (grp.total, grp.pending, grp.succeeded, grp.failed, grp.cancelled) IS NOT \
     (coalesce(truth.total, 0), coalesce(truth.pending, 0), coalesce(truth.succeeded, 0), coalesce(truth.failed, 0), \
     coalesce(truth.cancelled, 0))",
    "SELECT 'a group has values that are never written' FROM grp WHERE min(pending, succeeded, failed, cancelled) < 0 \
     OR total <> pending + succeeded + failed + cancelled OR sealed NOT IN (0, 1) OR cancelling NOT IN (0, 1) \
     OR (finished_at IS NOT NULL) <> (sealed AND pending = 0) OR fired AND finished_at IS NULL \
     OR fired NOT BETWEEN 0 AND min(follows, 1) OR follows NOT BETWEEN 0 AND 2 \
     OR (follows > 0) <> EXISTS (SELECT 1 FROM follow_up WHERE follow_up.grp = grp.id)",
    "SELECT 'the jobs of a cancelled group wait' FROM grp CROSS JOIN job ON job.grp = grp.id \
     WHERE grp.cancelling AND job.state <= 1 AND grp.id NOT IN (SELECT grp FROM walk)",
    "SELECT 'what follows a group has values that are never written' FROM follow_up WHERE length(next) <> 16 \
     OR length(job) <> 16 OR length(retry_of) <> 16 OR class NOT IN (0, 1) OR priority NOT BETWEEN 1 AND 10 \
     OR max_attempts NOT BETWEEN 0 AND 4294967295 OR kind GLOB '*[^ -~]*' OR queue GLOB '*[^ -~]*'",
    "SELECT 'the jobs of a queue are not as many as it counts' FROM queue LEFT JOIN \
     (SELECT queue, sum(state = 0) AS waiting, sum(state = 1) AS delayed, sum(state = 2) AS active FROM job \
     WHERE state <= 2 GROUP BY queue) AS truth ON truth.queue = queue.id \
     WHERE (queue.waiting, queue.delayed, queue.active) IS NOT \
     (coalesce(truth.waiting, 0), coalesce(truth.delayed, 0), coalesce(truth.active, 0)) \
     OR paused NOT IN (0, 1) OR used NOT IN (0, 1) OR NOT used AND (NOT paused OR truth.queue IS NOT NULL)",
    "SELECT 'the events are not as many as they count' FROM \
     (SELECT upto - lag(upto) OVER (ORDER BY seq) AS more, length(packed) AS bytes FROM event) \
     WHERE bytes % 33 <> 0 OR more <> bytes / 33",
    "SELECT 'a store, a key, a label, a cursor or a worker has values that are never written' WHERE (SELECT count(*) FROM store) > 1 \
     OR EXISTS (SELECT 1 FROM store WHERE length(id) <> 16) OR EXISTS (SELECT 1 FROM key WHERE length(grp) <> 16) \
     OR EXISTS (SELECT 1 FROM label WHERE (created_at, grp) NOT IN (SELECT created_at, id FROM grp)) \
     OR EXISTS (SELECT 1 FROM cursor WHERE moved_at NOT BETWEEN 0 AND 4102444800000) \
     OR EXISTS (SELECT 1 FROM line CROSS JOIN worker WHERE seen > 0 AND seen_at > seen + 86400000 \
     OR session GLOB '*[^ -~]*')",
];

/// Checks the file for at most `limit`. `true` if the check reached the end.
///
/// # Errors
/// `Incompatible` if it is damaged; the text says what to do.
pub(super) fn verify(file: &Path, limit: Duration) -> Result<bool> {
    let db = schema::reader(file)?;
    let interrupt = db.get_interrupt_handle();
    let (done, ended) = mpsc::channel::<()>();
    let watch = thread::spawn(move || {
        if ended.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            interrupt.interrupt();
        }
    });
    let found = find_damage(&db);
    drop(done);
    watch.join().expect("it waits and interrupts");
    match found {
        Ok(None) => Ok(true),
        Ok(Some(wrong)) => Err(damaged(file, &wrong)),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(false),
        Err(error) => Err(explain(file, &error)),
    }
}

/// The first fault, in one transaction.
fn find_damage(db: &Connection) -> rusqlite::Result<Option<String>> {
    let transaction = db.unchecked_transaction()?;
    // First, because the rules rely on the tables, and because it is quick for a file of any size.
    if let Some(wrong) = changed_definition(&transaction)? {
        return Ok(Some(wrong));
    }
    let said: String = transaction.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if said != "ok" {
        return Ok(Some(said.lines().collect::<Vec<_>>().join(" ")));
    }
    for rule in RULES {
        let wrong = transaction.query_row(rule, [], |row| row.get(0)).optional()?;
        if wrong.is_some() {
            return Ok(wrong);
        }
    }
    Ok(None)
}

/// The first table or index whose definition is not that of `schema.sql`. A changed bit in a column's name leaves all
/// pages whole, but statements fail. Tables that are not pixmill's are ignored.
fn changed_definition(db: &Connection) -> rusqlite::Result<Option<String>> {
    let made = Connection::open_in_memory()?;
    made.execute_batch(include_str!("schema.sql"))?;
    let found = objects(db)?;
    let wrong = objects(&made)?.into_iter().find(|(object, words)| found.get(object) != Some(words));
    Ok(wrong.map(|([kind, name, _], _)| format!("its {kind} `{name}` is not as it was made")))
}

/// Tables and indexes by kind, name and table, each with the words of its definition, if it has one.
fn objects(db: &Connection) -> rusqlite::Result<BTreeMap<[String; 3], Option<Vec<String>>>> {
    // Read as bytes, because a changed bit may have made them another type or invalid UTF-8.
    let text = |row: &Row<'_>, column: usize| -> rusqlite::Result<Option<String>> {
        let bytes = row.get_ref(column)?.as_bytes_or_null()?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    };
    db.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema")?
        .query_map([], |row| {
            let name = |column| text(row, column).map(Option::unwrap_or_default);
            Ok(([name(0)?, name(1)?, name(2)?], text(row, 3)?.map(|sql| words(&sql))))
        })?
        .collect()
}

/// The words of a definition, without comments. Blanks are ignored, because they differ if a column was added later.
fn words(sql: &str) -> Vec<String> {
    let code: Vec<&str> = sql.lines().map(|line| line.split_once("--").map_or(line, |(code, _)| code)).collect();
    let apart = code.join(" ").replace('(', " ( ").replace(')', " ) ").replace(',', " , ");
    apart.split_ascii_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Broker, Class, Clock, Error, GroupId, NewGroup, NewJob, Policy};

    fn says_damaged(error: &Error) -> bool {
        matches!(error, Error::Incompatible(text) if text.contains("is damaged"))
    }

    const LONG: Duration = Duration::from_mins(1);

    /// The closed file of a queue with waiting groups.
    async fn queue(folder: &Path) -> std::path::PathBuf {
        let file = folder.join("queue.db");
        let broker = Broker::open_sqlite_unsynced(&file, Policy::default(), Clock::default()).unwrap();
        for _ in 0..20 {
            let job = || NewJob::new("image.process", "default", Class::Cpu, Bytes::from(vec![b'x'; 300]));
            let jobs: Vec<NewJob> = (0..20).map(|index| NewJob { index, ..job() }).collect();
            broker.enqueue(&NewGroup::new(GroupId::new(), Bytes::from_static(b"{}")), &jobs).await.unwrap();
        }
        let claim = crate::ClaimRequest {
            session: "s".into(),
            sequence: 1,
            queues: vec!["default".into()],
            class: Class::Cpu,
            limit: 7,
        };
        broker.claim(&claim).await.unwrap();
        assert!(broker.verify(LONG).await.unwrap());
        drop(broker);
        // When its last user has closed it, everything is in the one file.
        let log = folder.join("queue.db-wal");
        while log.exists() {
            tokio::task::yield_now().await;
        }
        file
    }

    #[tokio::test]
    async fn whole_file_is_looked_at_or_not_for_longer_than_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let file = queue(folder.path()).await;
        assert!(verify(&file, LONG).unwrap());
        // Running out of time is not an error.
        verify(&file, Duration::ZERO).unwrap();
    }

    #[tokio::test]
    async fn changes_that_leave_whole_pages_are_found() {
        for change in [
            "UPDATE job SET state = 9 WHERE seq = 30",
            "UPDATE job SET state = 3 WHERE seq = 30",
            "UPDATE job SET class = 2 WHERE seq = 30",
            "UPDATE job SET priority = 21 WHERE seq = 30",
            "UPDATE job SET expires = -1 WHERE seq = 30",
            "UPDATE job SET attempt = -127 WHERE seq = 30",
            "UPDATE job SET max_attempts = -124 WHERE seq = 30",
            "UPDATE job SET kind = CAST(x'696DE1' AS TEXT) WHERE seq = 30",
            "UPDATE job SET cancelling = 1 WHERE seq = 30",
            "UPDATE job SET token = NULL WHERE state = 2",
            "UPDATE job SET finished_at = 0 WHERE seq = 30",
            "UPDATE job SET place = 1000000 WHERE seq = 30",
            "UPDATE job SET state = 1, after = 29 WHERE seq = 30; UPDATE job SET state = 3 WHERE seq = 29",
            "UPDATE grp SET total = total + 64 WHERE seq = 3",
            "UPDATE grp SET pending = pending - 1 WHERE seq = 3",
            "UPDATE grp SET follows = 1 WHERE seq = 3",
            "UPDATE grp SET cancelling = 1 WHERE seq = 3",
            "UPDATE grp SET finished_at = 0 WHERE seq = 3",
            "UPDATE queue SET waiting = waiting + 1",
            "UPDATE queue SET used = 0",
            "DELETE FROM payload WHERE seq = 30",
            "DELETE FROM line",
            "UPDATE line SET back = -1",
            "UPDATE line SET seen = 1 << 45",
            "INSERT INTO store VALUES (x'00')",
            "INSERT INTO cursor VALUES ('c', '1', 1 << 60)",
            "INSERT INTO label VALUES ('order:1', 1, x'00')",
            "UPDATE event SET upto = upto + 1024 WHERE seq = 3",
            "INSERT INTO worker VALUES ('s', 1 << 45, x'')",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let file = queue(folder.path()).await;
            let db = Connection::open(&file).unwrap();
            db.execute_batch(change).unwrap();
            let error = verify(&file, LONG).expect_err(change);
            assert!(says_damaged(&error) && error.to_string().contains("move"), "{change}: {error}");
        }
    }

    /// The pages are whole, but every statement that names the column fails.
    #[tokio::test]
    async fn definitions_that_changed_are_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = queue(folder.path()).await;
        let whole = std::fs::read(&file).unwrap();
        for column in ["retry_of", "fingerprint", "packed", "session"] {
            let (name, mut changed) = (format!("    {column} "), whole.clone());
            // Some copies may be former contents of a page.
            for place in 0..whole.len() {
                if whole[place..].starts_with(name.as_bytes()) {
                    changed[place + 4] ^= 4;
                }
            }
            std::fs::write(&file, &changed).unwrap();
            let error = verify(&file, LONG).expect_err(column);
            assert!(says_damaged(&error) && error.to_string().contains("as it was made"), "{column}: {error}");
        }
    }

    #[test]
    fn file_that_grew_up_with_its_versions_is_as_it_was_made() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(include_str!("schema.sql")).unwrap();
        db.execute_batch(
            "CREATE TABLE beside (id INTEGER); ALTER TABLE line DROP COLUMN seen; \
             ALTER TABLE line ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;",
        )
        .unwrap();
        assert_eq!(changed_definition(&db).unwrap(), None);
        db.execute_batch("DROP INDEX job_held").unwrap();
        assert!(changed_definition(&db).unwrap().is_some_and(|wrong| wrong.contains("index `job_held`")));
    }

    #[tokio::test]
    async fn broken_pages_are_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = queue(folder.path()).await;
        let whole = std::fs::read(&file).unwrap();
        let mut found = 0;
        // The first bytes of each page say what it is and where its cells are.
        let pages = whole.len() / 4096;
        for page in 1..pages {
            let mut changed = whole.clone();
            changed[page * 4096 + 3] ^= 0x10;
            std::fs::write(&file, &changed).unwrap();
            // Some pages are free, or part of a longer record.
            if let Err(error) = verify(&file, LONG) {
                assert!(says_damaged(&error), "{error}");
                found += 1;
            }
        }
        assert!(found * 2 > pages, "{found} of {pages}");
    }
}
