//! The journal of a batch on a server, `OUT/.pixmill/uploads.db`: what was uploaded as which task, and how
//! each picture ended.
//!
//! An upload is written down before its first byte is sent, its task as soon as the server names it, and a
//! picture's end when its results lie where they stay. So a run that is killed anywhere finds its uploads
//! again: by the task where there is one, else by sending the same under the same idempotency key.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, params};
use url::Url;
use uuid::Uuid;

use super::names::Names;
use super::picture::{Origin, Own, Picture};
use super::report::Ending;

const VERSION: i64 = 2;
const SCHEMA: &str = "
CREATE TABLE upload (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    -- What was asked for, beside the pictures.
    operations TEXT NOT NULL,
    options TEXT NOT NULL,
    -- The pattern of its results' names.
    names TEXT NOT NULL,
    -- NULL: nobody knows whether the server has it.
    task TEXT
) STRICT;
CREATE TABLE picture (
    id BLOB PRIMARY KEY,
    -- NULL: ended.
    upload INTEGER REFERENCES upload (id),
    -- Its place in the upload; once that has a task, among its results.
    place INTEGER NOT NULL,
    source BLOB NOT NULL,
    is_url INTEGER NOT NULL,
    target BLOB NOT NULL,
    -- The stem and the ending of its own name, with a / between them.
    own BLOB,
    -- The file that was sent, and under which name.
    file BLOB NOT NULL,
    name TEXT NOT NULL,
    ending TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX picture_by_upload ON picture (upload, place) WHERE upload IS NOT NULL;
";

/// From version 1, which called all results by one pattern.
const SECOND: &str = "
ALTER TABLE upload ADD COLUMN names TEXT NOT NULL DEFAULT '{dir}/{stem}-{index}-{op}.{ext}';
ALTER TABLE picture ADD COLUMN own BLOB;
";

pub(super) struct Journal {
    file: PathBuf,
    connection: Mutex<Connection>,
}

/// Some pictures on their way to the server and back.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) id: i64,
    pub(super) key: String,
    pub(super) operations: String,
    pub(super) options: String,
    pub(super) names: Names,
    pub(super) task: Option<String>,
    /// Those that have not ended, by their places.
    pub(super) pictures: Vec<Sent>,
}

#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) id: Uuid,
    pub(super) place: usize,
    pub(super) picture: Picture,
    pub(super) file: PathBuf,
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// How the journal knows a picture.
#[derive(Debug, PartialEq)]
pub(super) enum Kept {
    Ended(Ending),
    /// Part of an upload under way.
    Open,
}

impl Journal {
    pub(super) fn open(file: &Path) -> Result<Self> {
        let opened = || -> rusqlite::Result<(Connection, i64)> {
            let connection = Connection::open(file)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            let mut version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            if version < VERSION {
                let change = if version == 0 { SCHEMA } else { SECOND };
                connection.execute_batch(&format!("BEGIN;{change}PRAGMA user_version = {VERSION};COMMIT;"))?;
                version = VERSION;
            }
            Ok((connection, version))
        };
        let (connection, version) =
            opened().with_context(|| format!("the journal {} cannot be opened", file.display()))?;
        Self::of(file, connection, version)
    }

    /// Opens it for reading alone; `None` where there is no file.
    pub(super) fn look(file: &Path) -> Result<Option<Self>> {
        if !file.exists() {
            return Ok(None);
        }
        let (connection, version) =
            onlooker(file).with_context(|| format!("the journal {} cannot be read", file.display()))?;
        // A run that was killed before its first word leaves an empty one.
        if version == 0 { Ok(None) } else { Self::of(file, connection, version).map(Some) }
    }

    fn of(file: &Path, connection: Connection, version: i64) -> Result<Self> {
        // Reading needs only the columns of version 1.
        if version > VERSION {
            bail!("the journal {} is of a newer pixmill; use that one, or another --out", file.display());
        }
        Ok(Self { file: file.to_owned(), connection: Mutex::new(connection) })
    }

    pub(super) fn known(&self, id: Uuid) -> Result<Option<Kept>> {
        let connection = self.lock();
        let mut select = connection.prepare_cached("SELECT ending FROM picture WHERE id = ?1")?;
        select.query_row([id.as_bytes()], |row| row.get::<_, Option<String>>(0)).optional()?.map(kept).transpose()
    }

    /// Writes an upload down under a new key, before it is sent; answers its id.
    pub(super) fn begin(
        &self,
        key: &str,
        operations: &str,
        options: &str,
        names: &Names,
        pictures: &[Sent],
    ) -> Result<i64> {
        self.change(|change| {
            change.execute(
                "INSERT INTO upload (key, operations, options, names) VALUES (?1, ?2, ?3, ?4)",
                params![key, operations, options, names.as_str()],
            )?;
            let id = change.last_insert_rowid();
            // One that failed before is there already.
            let mut insert = change.prepare_cached(
                "INSERT OR REPLACE INTO picture (id, upload, place, source, is_url, target, own, file, name) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?;
            for sent in pictures {
                let (source, is_url) = match &sent.picture.origin {
                    Origin::File(file) => (file.as_os_str().as_bytes(), false),
                    Origin::Url(url) => (url.as_str().as_bytes(), true),
                };
                let (target, file) = (sent.picture.target.as_os_str().as_bytes(), sent.file.as_os_str().as_bytes());
                let own =
                    sent.picture.own.as_ref().map(|own| [own.stem.as_bytes(), b"/", own.ending.as_bytes()].concat());
                let place = sent.place as i64;
                insert.execute(params![sent.id.as_bytes(), id, place, source, is_url, target, own, file, sent.name])?;
            }
            Ok(id)
        })
    }

    /// Gives an upload another key, where the server will not have it under the first one.
    pub(super) fn rekey(&self, upload: i64, key: &str) -> Result<()> {
        self.change(|change| {
            change.execute("UPDATE upload SET key = ?2 WHERE id = ?1", params![upload, key])?;
            Ok(())
        })
    }

    /// The server has it: which task it is, who was refused, and whose results stand where.
    pub(super) fn accepted(&self, upload: i64, task: &str, refused: &[(Uuid, Ending)], taken: &[Sent]) -> Result<()> {
        self.change(|change| {
            change.execute("UPDATE upload SET task = ?2 WHERE id = ?1", params![upload, task])?;
            let mut place = change.prepare_cached("UPDATE picture SET place = ?2 WHERE id = ?1")?;
            for sent in taken {
                place.execute(params![sent.id.as_bytes(), sent.place as i64])?;
            }
            refused.iter().try_for_each(|(id, ending)| end(change, *id, ending))
        })
    }

    /// A picture's results lie where they stay, or it has failed.
    pub(super) fn ended(&self, id: Uuid, ending: &Ending) -> Result<()> {
        self.change(|change| end(change, id, ending))
    }

    /// An upload of which nothing is expected any more; pictures that have not ended are unknown again.
    pub(super) fn close(&self, upload: i64) -> Result<()> {
        self.change(|change| {
            change.execute("DELETE FROM picture WHERE upload = ?1", [upload])?;
            change.execute("DELETE FROM upload WHERE id = ?1", [upload])?;
            Ok(())
        })
    }

    /// All of it or nothing, durable when it returns.
    fn change<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let mut connection = self.lock();
        let changed = connection.transaction().and_then(|change| {
            let worked = work(&change)?;
            change.commit()?;
            Ok(worked)
        });
        changed.with_context(|| format!("the journal {} cannot be written", self.file.display()))
    }

    /// What earlier runs left under way.
    pub(super) fn unfinished(&self) -> Result<Vec<Upload>> {
        let connection = self.lock();
        let mut select =
            connection.prepare("SELECT id, key, operations, options, names, task FROM upload ORDER BY id")?;
        let uploads = select.query_map([], |row| {
            Ok(Upload {
                id: row.get(0)?,
                key: row.get(1)?,
                operations: row.get(2)?,
                options: row.get(3)?,
                names: Names::parse(&row.get::<_, String>(4)?)
                    .map_err(|said| rusqlite::Error::ToSqlConversionFailure(said.into()))?,
                task: row.get(5)?,
                pictures: Vec::new(),
            })
        })?;
        let mut uploads = uploads.collect::<rusqlite::Result<Vec<_>>>()?;
        let mut select = connection.prepare(
            "SELECT id, place, source, is_url, target, file, name, own FROM picture WHERE upload = ?1 ORDER BY place",
        )?;
        for upload in &mut uploads {
            let pictures = select.query_map([upload.id], |row| Ok(sent(row)))?;
            upload.pictures = pictures.map(|sent| sent?).collect::<Result<_>>()?;
        }
        Ok(uploads)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().expect("nobody panics with the journal in hand")
    }
}

/// Opens a database for reading alone, with its version, and leaves nothing beside it. Only where a writer's `-wal` is there,
/// from which SQLite must read as well, it may leave a `-shm`.
pub(super) fn onlooker(file: &Path) -> rusqlite::Result<(Connection, i64)> {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let address = std::path::absolute(file).ok().and_then(|file| Url::from_file_path(file).ok());
    let connection = match address {
        Some(mut address) if !Path::new(&log).exists() => {
            address.set_query(Some("immutable=1"));
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(address.as_str(), flags)?
        }
        _ => Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
    };
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok((connection, version))
}

fn end(change: &Transaction<'_>, id: Uuid, ending: &Ending) -> rusqlite::Result<()> {
    let ending = serde_json::to_string(ending).expect("names and numbers always serialise");
    change
        .prepare_cached("UPDATE picture SET ending = ?2, upload = NULL WHERE id = ?1")?
        .execute(params![id.as_bytes(), ending])?;
    Ok(())
}

fn kept(ending: Option<String>) -> Result<Kept> {
    let Some(ending) = ending else { return Ok(Kept::Open) };
    Ok(Kept::Ended(serde_json::from_str(&ending).context("the journal holds an ending it cannot read")?))
}

fn sent(row: &Row<'_>) -> Result<Sent> {
    let path = |column| row.get::<_, Vec<u8>>(column).map(|bytes| PathBuf::from(OsString::from_vec(bytes)));
    let source: Vec<u8> = row.get(2)?;
    let origin = if row.get(3)? {
        Origin::Url(Url::parse(std::str::from_utf8(&source)?)?)
    } else {
        Origin::File(OsString::from_vec(source).into())
    };
    Ok(Sent {
        id: Uuid::from_bytes(row.get(0)?),
        place: row.get::<_, i64>(1)? as usize,
        picture: Picture { origin, target: path(4)?, own: row.get::<_, Option<Vec<u8>>>(7)?.as_deref().and_then(own) },
        file: path(5)?,
        name: row.get(6)?,
        bytes: 0,
    })
}

fn own(written: &[u8]) -> Option<Own> {
    let slash = written.iter().position(|byte| *byte == b'/')?;
    let ending = String::from_utf8(written[slash + 1..].to_vec()).ok()?;
    Some(Own { stem: OsString::from_vec(written[..slash].to_vec()), ending })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::Failure;

    fn picture(n: usize) -> Sent {
        let file = PathBuf::from(OsString::from_vec(format!("/in/{n}\u{1}").into_bytes()));
        let own = (n > 0).then(|| Own { stem: OsString::from_vec(b"\xff".to_vec()), ending: "JPG".into() });
        let picture = Picture { origin: Origin::File(file.clone()), target: n.to_string().into(), own };
        Sent { id: Uuid::from_u128(n as u128), place: n, picture, file, name: format!("{n}.jpg"), bytes: 0 }
    }

    #[test]
    fn killed_run_leaves_word_of_its_uploads() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("uploads.db");
        let failed = || Ending::Failed(Failure::permanent("empty-file", "it is empty"));
        let pictures = [0, 1, 2].map(picture);
        {
            let journal = Journal::open(&file).unwrap();
            let first = journal.begin("a", "[]", "{}", &Names::usual(1), &pictures).unwrap();
            journal.begin("b", "[]", "{}", &Names::usual(3), &[picture(7)]).unwrap();
            // The first one is refused, so the results of the others move up.
            let taken = [Sent { place: 0, ..picture(1) }, Sent { place: 1, ..picture(2) }];
            journal.accepted(first, "task", &[(pictures[0].id, failed())], &taken).unwrap();
            journal.ended(pictures[1].id, &Ending::Done { outputs: Vec::new(), duration_ms: Some(3) }).unwrap();
        }
        let journal = Journal::open(&file).unwrap();
        let uploads = journal.unfinished().unwrap();
        assert_eq!((uploads[0].task.as_deref(), uploads[1].task.as_deref()), (Some("task"), None));
        assert_eq!((&uploads[0].names, &uploads[1].names), (&Names::usual(1), &Names::usual(3)));
        let [left] = uploads[0].pictures.as_slice() else { panic!("{uploads:?}") };
        assert_eq!((left.place, &left.picture), (1, &pictures[2].picture));
        assert_eq!(journal.known(pictures[0].id).unwrap(), Some(Kept::Ended(failed())));
        assert_eq!(journal.known(pictures[2].id).unwrap(), Some(Kept::Open));

        journal.close(uploads[0].id).unwrap();
        assert_eq!(journal.known(pictures[2].id).unwrap(), None, "it may be uploaded anew");
        assert!(journal.known(pictures[1].id).unwrap().is_some());
        assert_eq!(journal.unfinished().unwrap().len(), 1);
    }

    #[test]
    fn journal_of_before_names_had_patterns_is_read_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("uploads.db");
        let old = Connection::open(&file).unwrap();
        let names = "    -- The pattern of its results' names.\n    names TEXT NOT NULL,\n";
        let own = "    -- The stem and the ending of its own name, with a / between them.\n    own BLOB,\n";
        assert!(SCHEMA.contains(names) && SCHEMA.contains(own));
        old.execute_batch(&SCHEMA.replace(names, "").replace(own, "")).unwrap();
        old.execute_batch(
            "INSERT INTO upload (key, operations, options, task) VALUES ('a', '[]', '{}', 'task'); \
             INSERT INTO picture (id, upload, place, source, is_url, target, file, name) \
             VALUES (zeroblob(16), 1, 0, x'2f61', 0, x'61', x'2f61', 'a'); PRAGMA user_version = 1;",
        )
        .unwrap();
        drop(old);
        assert_eq!(Journal::look(&file).unwrap().unwrap().known(Uuid::nil()).unwrap(), Some(Kept::Open));
        let upload = Journal::open(&file).unwrap().unfinished().unwrap().remove(0);
        assert_eq!((upload.names, upload.pictures[0].picture.own.is_none()), (Names::usual(3), true));
    }
}
