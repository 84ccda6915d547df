//! The ledger of results, `OUT/.pixmill/results.db`: which picture each file in `OUT` was made from, and its SHA-256.
//!
//! A result's row is durable before the file gets its name. So a file with a row is a result of this folder's runs, and
//! its digest shows whether it has changed; a file without a row was made by somebody else, and is not replaced. Rows
//! are found by the folded name: two results that differ only in case or Unicode form would be one file elsewhere.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::picture::{Origin, Picture};
use super::sources::fold;
use super::{LEDGER, QUEUE, UPLOADS, journal};
use crate::errors::Failure;

const VERSION: i64 = 1;
const SCHEMA: &str = "
CREATE TABLE result (
    -- The path below OUT, folded.
    name BLOB PRIMARY KEY,
    -- The same as it is written.
    path BLOB NOT NULL,
    -- What it was made from: a path or an address.
    source BLOB NOT NULL,
    -- The picture's id in the journal, which says what was done to it.
    picture BLOB NOT NULL,
    sha256 BLOB NOT NULL,
    -- The file's size, times and inode when its digest was last found right. NULL: it has not been read again yet.
    seen TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE folder (
    -- Whether a pixmill that kept no ledger has made files here.
    older INTEGER NOT NULL
) STRICT;
";
/// A file that changed less than this before it was read may change again without a later time of change.
const SETTLED: Duration = Duration::from_secs(2);
/// Unchanged files whose facts are written down at a time.
const PENDING: usize = 256;

pub(super) type Sha = [u8; 32];

pub(super) struct Ledger {
    out: PathBuf,
    overwrite: bool,
    inner: Mutex<Inner>,
}

struct Inner {
    file: PathBuf,
    /// `None` in a dry run if there is no ledger yet.
    connection: Option<Connection>,
    /// Opened for reading alone.
    looks: bool,
    /// Files without a row may be results of a pixmill that kept no ledger.
    older: bool,
    pending: Vec<(Vec<u8>, String)>,
}

/// A result that is about to get its name.
#[derive(Debug)]
pub(super) struct LedgerEntry {
    /// Below `OUT`.
    pub(super) path: PathBuf,
    pub(super) source: Vec<u8>,
    pub(super) picture: Uuid,
    pub(super) sha256: Sha,
}

struct Row {
    path: Vec<u8>,
    source: Vec<u8>,
    picture: Uuid,
    sha256: Vec<u8>,
    seen: Option<String>,
}

/// Results that are to be written together, by their folded names, with their sources.
#[derive(Default)]
pub(super) struct Together(HashMap<Vec<u8>, Vec<u8>>);

impl Ledger {
    /// `overwrite` lets results replace whatever has their names. To be opened before the journals are made.
    pub(super) fn open(folder: &Path, out: &Path, overwrite: bool) -> Result<Self> {
        let file = folder.join(LEDGER);
        let opened = || -> rusqlite::Result<(Connection, i64)> {
            let connection = Connection::open(&file)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            let mut version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            if version == 0 {
                let older = format!("INSERT INTO folder (older) VALUES ({});", has_journal(folder));
                connection.execute_batch(&format!("BEGIN;{SCHEMA}{older}PRAGMA user_version = {VERSION};COMMIT;"))?;
                version = VERSION;
            }
            Ok((connection, version))
        };
        let (connection, version) =
            opened().with_context(|| format!("the ledger {} cannot be opened", file.display()))?;
        Self::of(file, Some(connection), version, out, overwrite, false)
    }

    /// Opens it for reading alone; it is empty where there is no file.
    pub(super) fn look(folder: &Path, out: &Path, overwrite: bool) -> Result<Self> {
        let file = folder.join(LEDGER);
        if !file.exists() {
            return Self::of(file, None, VERSION, out, overwrite, true);
        }
        let (connection, version) =
            journal::onlooker(&file).with_context(|| format!("the ledger {} cannot be read", file.display()))?;
        // A run that was killed before it wrote the table leaves an empty one.
        let (connection, version) = if version == 0 { (None, VERSION) } else { (Some(connection), version) };
        Self::of(file, connection, version, out, overwrite, true)
    }

    fn of(
        file: PathBuf,
        connection: Option<Connection>,
        version: i64,
        out: &Path,
        overwrite: bool,
        looks: bool,
    ) -> Result<Self> {
        if version != VERSION {
            bail!("the ledger {} is of a newer pixmill; use that one, or another --out", file.display());
        }
        let older = match &connection {
            Some(connection) => {
                let read = connection.query_row("SELECT older FROM folder", [], |row| row.get(0));
                read.with_context(|| format!("the ledger {} cannot be read", file.display()))?
            }
            None => file.parent().is_some_and(has_journal),
        };
        let inner = Mutex::new(Inner { file, connection, looks, older, pending: Vec::new() });
        Ok(Self { out: out.to_owned(), overwrite, inner })
    }

    /// Writes down what the results are, durably, before they get their names.
    pub(super) fn note<'e>(&self, entries: impl IntoIterator<Item = &'e LedgerEntry>) -> Result<()> {
        self.lock().change(|change| {
            let mut insert = change.prepare_cached(
                "INSERT OR REPLACE INTO result (name, path, source, picture, sha256) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for LedgerEntry { path, source, picture, sha256 } in entries {
                let written = path.as_os_str().as_bytes();
                insert.execute(params![key(path), written, source, picture.as_bytes(), sha256])?;
            }
            Ok(())
        })
    }

    /// Whether the file at `path` below `OUT` is the one that was made of the picture with this id: it has the digest.
    ///
    /// # Errors
    /// When the ledger or the file cannot be read.
    pub(super) fn holds(&self, path: &Path, picture: Uuid) -> Result<bool> {
        let mut inner = self.lock();
        let Some(row) = inner.row(path)?.filter(|row| row.picture == picture) else { return Ok(false) };
        let file = self.out.join(path);
        let meta = match fs::metadata(&file) {
            Ok(meta) if meta.is_file() => meta,
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).with_context(|| file.display().to_string()),
        };
        let facts = facts(&meta);
        if row.seen.as_deref() == Some(&facts) {
            return Ok(true);
        }
        let same = digest_of(&file).with_context(|| file.display().to_string())?.as_slice() == row.sha256;
        if same && is_settled(&meta, SystemTime::now()) {
            inner.pending.push((key(path), facts));
            if inner.pending.len() >= PENDING {
                inner.flush()?;
            }
        }
        Ok(same)
    }

    /// Whether a result of `picture` may have the name `path` below `OUT`, beside those of `together`.
    ///
    /// # Errors
    /// `name-taken` where another file has it: one that was not made here, or the result of another picture that is still
    /// there.
    pub(super) fn may_write(
        &self,
        path: &Path,
        picture: &Picture,
        together: &mut Together,
    ) -> Result<Result<(), Failure>> {
        let (source, name, file) = (source_of(picture), key(path), self.out.join(path));
        let row = self.lock().row(path)?;
        let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
        let other = match (together.0.get(&name), row) {
            (Some(other), _) if *other != source => Some(Some(other.clone())),
            _ if self.overwrite => None,
            // Its name may differ in case or Unicode form.
            (_, Some(row)) if is_there(&file) || is_there(&self.out.join(OsStr::from_bytes(&row.path))) => {
                (row.source != source && is_live(&row.source)).then_some(Some(row.source))
            }
            (_, None) if is_there(&file) => (!self.lock().older).then_some(None),
            _ => None,
        };
        let Some(other) = other else {
            together.0.insert(name, source);
            return Ok(Ok(()));
        };
        let whose = match other {
            None => "is there already, and pixmill batch did not make it".to_owned(),
            Some(other) => format!("is the result of {}", String::from_utf8_lossy(&other)),
        };
        let said = format!(
            "{} {whose}; name another folder with --out or other results with --name, or replace it with --overwrite",
            file.display()
        );
        Ok(Err(Failure::permanent("name-taken", said)))
    }

    /// Writes down which files were found right in this run.
    pub(super) fn close(&self) -> Result<()> {
        self.lock().flush()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics with the ledger in hand")
    }
}

impl Inner {
    fn row(&self, path: &Path) -> Result<Option<Row>> {
        let Some(connection) = &self.connection else { return Ok(None) };
        let read = || {
            let mut select =
                connection.prepare_cached("SELECT path, source, picture, sha256, seen FROM result WHERE name = ?1")?;
            let row = |row: &rusqlite::Row<'_>| {
                let picture = Uuid::from_bytes(row.get(2)?);
                Ok(Row { path: row.get(0)?, source: row.get(1)?, picture, sha256: row.get(3)?, seen: row.get(4)? })
            };
            select.query_row([key(path)], row).optional()
        };
        read().with_context(|| format!("the ledger {} cannot be read", self.file.display()))
    }

    fn flush(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() || self.looks {
            return Ok(());
        }
        self.change(|change| {
            let mut update = change.prepare_cached("UPDATE result SET seen = ?2 WHERE name = ?1")?;
            pending.iter().try_for_each(|(name, facts)| update.execute(params![name, facts]).map(drop))
        })
    }

    /// All of it or nothing, durable when it returns.
    fn change(&mut self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>) -> Result<()> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let changed = connection.transaction().and_then(|change| {
            work(&change)?;
            change.commit()
        });
        changed.with_context(|| format!("the ledger {} cannot be written", self.file.display()))
    }
}

/// The path or address of a picture, by which its results are its own.
pub(super) fn source_of(picture: &Picture) -> Vec<u8> {
    match &picture.origin {
        Origin::File(file) => file.as_os_str().as_bytes().to_vec(),
        Origin::Url(url) => url.as_str().as_bytes().to_vec(),
    }
}

fn has_journal(folder: &Path) -> bool {
    [QUEUE, UPLOADS].iter().any(|journal| folder.join(journal).exists())
}

/// Whether a source may be asked for again: an address always, a file while it is there.
fn is_live(source: &[u8]) -> bool {
    source.first() != Some(&b'/') || Path::new(OsStr::from_bytes(source)).exists()
}

fn key(path: &Path) -> Vec<u8> {
    fold(path.as_os_str()).into_owned().into_encoded_bytes()
}

/// The SHA-256 of a file.
///
/// # Errors
/// When it cannot be read.
pub(super) fn digest_of(file: &Path) -> io::Result<Sha> {
    let mut file = File::open(file)?;
    let mut sha = Sha256::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(sha.finalize().into()),
            bytes => sha.update(&piece[..bytes]),
        }
    }
}

/// Size, inode and times of a file: every change of the file changes them.
fn facts(meta: &Metadata) -> String {
    let [modified, changed] = [(meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec())];
    format!("{} {} {}.{:09} {}.{:09}", meta.len(), meta.ino(), modified.0, modified.1, changed.0, changed.1)
}

fn is_settled(meta: &Metadata, now: SystemTime) -> bool {
    let changed = UNIX_EPOCH + Duration::from_secs(meta.ctime().max(0) as u64);
    now.duration_since(changed).is_ok_and(|age| age > SETTLED)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Home {
        folder: tempfile::TempDir,
        ledger: Ledger,
    }

    impl Home {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let ledger = Ledger::open(folder.path(), folder.path(), false).unwrap();
            Self { folder, ledger }
        }

        fn file(&self, name: &str, content: &str) {
            fs::write(self.folder.path().join(name), content).unwrap();
        }

        /// Notes the file as made of `source`.
        fn note(&self, name: &str, source: &Picture, picture: u128) {
            let sha256 = digest_of(&self.folder.path().join(name)).unwrap();
            let picture = Uuid::from_u128(picture);
            let entry = LedgerEntry { path: name.into(), source: source_of(source), picture, sha256 };
            self.ledger.note([&entry]).unwrap();
        }

        fn holds(&self, name: &str, picture: u128) -> bool {
            self.ledger.holds(Path::new(name), Uuid::from_u128(picture)).unwrap()
        }

        fn refusal(&self, name: &str, source: &Picture) -> Option<String> {
            let asked = self.ledger.may_write(Path::new(name), source, &mut Together::default()).unwrap();
            asked.err().map(|failure| failure.detail)
        }

        fn source(&self, name: &str) -> Picture {
            self.file(name, "");
            Picture { origin: Origin::File(self.folder.path().join(name)), ..Picture::named(name) }
        }
    }

    #[test]
    fn results_are_known_by_picture_and_content() {
        let home = Home::new();
        let cat = home.source("cat");
        home.file("a.jpg", "one");
        assert!(!home.holds("a.jpg", 1), "nobody made it");
        home.note("a.jpg", &cat, 1);
        assert!(home.holds("a.jpg", 1) && !home.holds("a.jpg", 2));
        home.file("a.jpg", "two");
        assert!(!home.holds("a.jpg", 1), "of the same length");
        home.note("a.jpg", &cat, 2);
        assert!(home.holds("a.jpg", 2) && !home.holds("a.jpg", 1));
        fs::remove_file(home.folder.path().join("a.jpg")).unwrap();
        assert!(!home.holds("a.jpg", 2));
    }

    #[test]
    fn file_that_was_found_right_is_read_again_only_when_its_facts_change() {
        let home = Home::new();
        let cat = home.source("cat");
        home.file("a.jpg", "one");
        home.note("a.jpg", &cat, 1);
        let meta = fs::metadata(home.folder.path().join("a.jpg")).unwrap();
        let wrong = "UPDATE result SET seen = ?1, sha256 = zeroblob(32)";
        home.ledger.lock().connection.as_ref().unwrap().execute(wrong, [facts(&meta)]).unwrap();
        assert!(home.holds("a.jpg", 1), "its digest was not asked for");
        home.file("a.jpg", "three");
        assert!(!home.holds("a.jpg", 1), "it was read");
    }

    #[test]
    fn facts_are_kept_when_no_later_change_can_have_the_same_time() {
        let home = Home::new();
        let cat = home.source("cat");
        home.file("a.jpg", "one");
        home.note("a.jpg", &cat, 1);
        let meta = fs::metadata(home.folder.path().join("a.jpg")).unwrap();
        let changed = UNIX_EPOCH + Duration::from_secs(meta.ctime() as u64);
        assert!(!is_settled(&meta, changed + Duration::from_secs(1)), "it has just changed");
        assert!(is_settled(&meta, changed + Duration::from_secs(4)));
        let key = key(Path::new("a.jpg"));
        home.ledger.lock().pending.push((key, "facts".into()));
        home.ledger.close().unwrap();
        let row = home.ledger.lock().row(Path::new("a.jpg")).unwrap().unwrap();
        assert_eq!(row.seen.as_deref(), Some("facts"));
    }

    #[test]
    fn files_are_replaced_by_results_of_the_same_picture() {
        let home = Home::new();
        let (cat, dog) = (home.source("cat"), home.source("dog"));
        assert_eq!(home.refusal("a.jpg", &cat), None);
        home.file("a.jpg", "made elsewhere");
        assert!(home.refusal("a.jpg", &cat).unwrap().contains("did not make it"));
        home.note("a.jpg", &cat, 1);
        assert_eq!(home.refusal("a.jpg", &cat), None);
        assert!(home.refusal("a.jpg", &dog).unwrap().ends_with("--overwrite"));
        assert!(home.refusal("A.JPG", &dog).is_some(), "one name on many disks");
        fs::remove_file(home.folder.path().join("cat")).unwrap();
        assert_eq!(home.refusal("a.jpg", &dog), None, "the cat is gone");

        let mut together = Together::default();
        let mut asked = |name: &str, source| home.ledger.may_write(Path::new(name), source, &mut together).unwrap();
        assert!(asked("new.jpg", &cat).is_ok() && asked("new.jpg", &cat).is_ok());
        assert!(asked("NEW.jpg", &dog).is_err(), "one name on many disks");
    }

    #[test]
    fn folder_that_has_a_journal_and_no_ledger_has_results_of_before() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(QUEUE), "").unwrap();
        fs::write(home.path().join("a.jpg"), "").unwrap();
        for ledger in [Ledger::look, Ledger::open, Ledger::open, Ledger::look] {
            let ledger = ledger(home.path(), home.path(), false).unwrap();
            let asked = ledger.may_write(Path::new("a.jpg"), &Picture::named("x"), &mut Together::default());
            assert!(asked.unwrap().is_ok());
            assert!(!ledger.holds(Path::new("a.jpg"), Uuid::nil()).unwrap(), "but they are made again");
        }
    }
}
