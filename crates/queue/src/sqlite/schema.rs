//! Opens the queue's file: pragmas, tables and their version. Refuses files that are not a pixmill queue.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use url::Url;

use super::disk;
use super::failure::{damaged, explain};
use crate::{Error, Result};

/// The version of the tables in `schema.sql`, stored as `PRAGMA user_version`.
pub(super) const VERSION: i64 = 5;
/// The statements that upgrade each former version to the next one, from version 1 on.
const UPGRADES: [&str; 4] = [
    include_str!("upgrade_1.sql"),
    include_str!("upgrade_2.sql"),
    include_str!("upgrade_3.sql"),
    include_str!("upgrade_4.sql"),
];
/// Marks the file as pixmill's ("pxml").
const APPLICATION: i64 = 0x7078_6d6c;

/// How long a call waits while another process has the file locked.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Size of the writer's page cache, in KiB. Other pages are read from the system's cache.
const CACHE_KIB: i64 = 8 << 10;

/// Whether a commit waits until it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    Full,
    /// A power cut may lose commits or damage the file. For tests, which need not wait for the disk.
    Off,
}

/// The one connection that writes. Creates the file and the tables if they are missing.
pub(super) fn writer(file: &Path, synchronous: Synchronous) -> Result<Connection> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .map_err(|error| Error::Invalid(format!("cannot create {} for the queue: {error}", folder.display())))?;
    }
    let mut db = Connection::open(file).map_err(|error| match explain(file, &error) {
        full @ Error::StorageFull(_) => full,
        _ => Error::Invalid(format!("cannot open the queue in {}: {error}", file.display())),
    })?;
    // Checked when the file exists, because its folder may be a mount of its own.
    disk::refuse_network(file)?;
    prepare(&mut db, file, synchronous)?;
    Ok(db)
}

/// A connection that only reads and sees the last commit of every process.
pub(super) fn reader(file: &Path) -> Result<Connection> {
    read_only(file, OpenFlags::empty()).map_err(|error| explain(file, &error))
}

/// A connection that reads once and leaves no file beside the queue's. Only if a writer's `-wal` is there, which must
/// be read as well, SQLite may leave a `-shm`.
pub(super) fn immutable_reader(file: &Path) -> Result<Connection> {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let address = std::path::absolute(file).ok().and_then(|file| Url::from_file_path(file).ok());
    match address {
        Some(mut address) if !Path::new(&log).exists() => {
            address.set_query(Some("immutable=1"));
            let opened = read_only(Path::new(address.as_str()), OpenFlags::SQLITE_OPEN_URI);
            opened.map_err(|error| explain(file, &error))
        }
        _ => reader(file),
    }
}

fn read_only(file: &Path, more: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let db = Connection::open_with_flags(file, flags)?;
    db.busy_timeout(BUSY)?;
    keep_plans(&db)?;
    Ok(db)
}

/// Makes prepared statements keep their plans for all bound values. Otherwise SQLite prepares them again for each new
/// limit.
fn keep_plans(db: &Connection) -> rusqlite::Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

fn prepare(db: &mut Connection, file: &Path, synchronous: Synchronous) -> Result<()> {
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => not_a_queue(file),
        _ => explain(file, &error),
    };
    db.busy_timeout(BUSY).map_err(failed)?;
    keep_plans(db).map_err(failed)?;
    let application: i64 = db.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    let empty = is_empty(db).map_err(failed)?;
    if !(application == APPLICATION || empty && application == 0) {
        return Err(not_a_queue(file));
    }
    known_version(db, file)?;
    db.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    let mode = match synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Off => "OFF",
    };
    db.pragma_update(None, "synchronous", mode).map_err(failed)?;
    db.pragma_update(None, "cache_size", -CACHE_KIB).map_err(failed)?;
    db.set_prepared_statement_cache_capacity(128);

    // Immediate: if two processes open a new file at once, one waits here and then finds the tables.
    let create = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    match known_version(&create, file)? {
        // Nothing is written, so the file opens even if the disk is full.
        VERSION => return Ok(()),
        // Tables and version are written in one transaction, so one without the other is damage.
        0 if !is_empty(&create).map_err(failed)? => return Err(damaged(file, "it has tables and no version")),
        0 => {
            create.execute_batch(include_str!("schema.sql")).map_err(failed)?;
            create.pragma_update(None, "application_id", APPLICATION).map_err(failed)?;
        }
        version => {
            for upgrade in &UPGRADES[version as usize - 1..] {
                create.execute_batch(upgrade).map_err(failed)?;
            }
        }
    }
    create.pragma_update(None, "user_version", VERSION).map_err(failed)?;
    create.commit().map_err(failed)
}

fn is_empty(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}

/// The version of the tables; 0 if there are none. Fails if it is newer than this pixmill.
pub(super) fn known_version(db: &Connection, file: &Path) -> Result<i64> {
    let version: i64 =
        db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|error| explain(file, &error))?;
    if version > VERSION {
        return Err(Error::Incompatible(format!(
            "{} has queue schema {version}, this pixmill knows up to {VERSION}: run the newer version, \
             or name another file",
            file.display()
        )));
    }
    Ok(version)
}

fn not_a_queue(file: &Path) -> Error {
    Error::Invalid(format!(
        "{} is not a pixmill queue; name another file. If it was one, it is damaged: move it away and start again, and what \
         is owed comes back from the outbox",
        file.display()
    ))
}
