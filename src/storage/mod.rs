//! The store: uploaded originals and published outputs, under keys.
//!
//! Keys: `uploads/<group>/<index>`, `outputs/<group>/<job>/<run>/<file>` beside `outputs/<group>/owner`; for a while
//! `outbox/<group>.json` and `erasures/<group>`; `erased/<group>`, and `retention/<group>.json` for what a submission has
//! kept for less long; `store.id`, which tells this store from others; and for the service's user alone `keys/…` and
//! `secrets/<name>`. A name from a client never becomes
//! part of a path. What is written here is durable (fsync) before it is acknowledged. Backed by `object_store`'s local
//! disk; workers read and write local paths.

mod disk;
mod keys;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetResultPayload, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use queue::{GroupId, JobId, Run};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use crate::lack::Lack;

use disk::Disk;

pub use disk::Space;
pub use keys::{Part, damaged_key, keep_key, manifest_key, output_key, owner_key, upload_key, withdrawn_key};

/// Bytes gathered before they are written, and read at a time: enough that a syscall costs little beside it, little
/// enough for thousands of slow clients.
const PART: usize = 64 << 10;
/// What the clock of a disk in the network may be ahead by.
const AHEAD: Duration = Duration::from_mins(1);
/// Bytes of a secret.
const SECRET: usize = 32;
/// The key of the store's identity.
const IDENTITY: &str = "store.id";
/// Folders of files that are no group's part.
const OTHERS: [&str; 3] = ["", "keys", "secrets"];
/// Bytes that [`Storage::try_write`] writes: a file that has a block of its own.
const PROBE: usize = 4 << 10;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the disk under the store is full: {0}")]
    Full(String),
    #[error("the process has no file descriptors or memory left: {0}")]
    Overloaded(String),
    #[error("the store failed: {0}")]
    Failed(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Its error code.
    pub fn code(&self) -> &'static str {
        self.lack().map_or("storage", Lack::code)
    }

    /// What was lacking, where that is the reason.
    pub fn lack(&self) -> Option<Lack> {
        match self {
            Self::Full(_) => Some(Lack::Room),
            Self::Overloaded(_) => Some(Lack::Means),
            Self::Failed(_) => None,
        }
    }

    /// A call failed on the file or folder `at`.
    pub fn at(at: impl fmt::Display, error: &io::Error) -> Self {
        Self::of(Lack::of(error), format!("{at}: {error}"))
    }

    pub fn lacking(lack: Lack, said: String) -> Self {
        match lack {
            Lack::Room => Self::Full(said),
            Lack::Means => Self::Overloaded(said),
        }
    }

    fn of(lack: Option<Lack>, said: String) -> Self {
        match lack {
            Some(lack) => Self::lacking(lack, said),
            None => Self::Failed(said),
        }
    }
}

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {
    root: PathBuf,
    store: Arc<LocalFileSystem>,
    /// Known not to be the one that the queue's jobs belong to; the same for all clones.
    wrong: Arc<AtomicBool>,
    /// Its identity when it was first asked for; the same for all clones.
    first: Arc<OnceLock<Uuid>>,
    disk: Arc<Disk>,
}

/// A file on its way in. Dropped before [`Incoming::finish`], it leaves nothing.
#[derive(Debug)]
pub struct Incoming {
    upload: Box<dyn MultipartUpload>,
    parts: Vec<Bytes>,
    gathered: usize,
}

/// What is known of a stored file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    pub size: u64,
    pub modified: SystemTime,
}

/// A stored file, opened for reading.
pub struct Stored {
    /// Bytes that `body` yields.
    pub size: u64,
    pub body: BoxStream<'static, io::Result<Bytes>>,
}

impl Storage {
    /// Opens the store in the folder `root`, which is created where missing.
    ///
    /// # Errors
    /// When the folder cannot be created or written.
    pub fn local(root: &Path) -> Result<Self> {
        std::fs::create_dir_all(root).map_err(|error| at(root, &error))?;
        // Paths leave this process (to workers' threads, to other commands): make them absolute once.
        let root = root.canonicalize().map_err(|error| at(root, &error))?;
        let store = LocalFileSystem::new_with_prefix(&root).map_err(failed)?.with_fsync(true);
        let disk = Arc::new(Disk::new(&root, 0.0, 0));
        Ok(Self { root, store: Arc::new(store), wrong: Arc::default(), first: Arc::default(), disk })
    }

    /// With the share of the disk that must be free for new work, 0 to 1, and the bytes of ballast that it keeps. The
    /// ballast is made by [`keep_ballast`](Self::keep_ballast).
    #[must_use]
    pub fn on_disk(self, least: f64, ballast: u64) -> Self {
        Self { disk: Arc::new(Disk::new(&self.root, least, ballast)), ..self }
    }

    /// How full the disk is. Costs a system call or two, so that async threads may ask.
    pub fn space(&self) -> Result<Space> {
        self.disk.space()
    }

    /// Removes the ballast, for what must go on although the disk is full; answers whether there was one. New work must
    /// not ask for it. Blocks on the disk.
    pub fn release_ballast(&self) -> bool {
        self.disk.release_ballast()
    }

    /// Makes the ballast where it is missing and there is room for it. Blocks on the disk.
    pub fn keep_ballast(&self) -> Result<()> {
        self.disk.keep_ballast()
    }

    /// Starts to receive a file.
    pub async fn receive(&self, key: &str) -> Result<Incoming> {
        let upload = self.store.put_multipart(&parse(key)?).await.map_err(failed)?;
        Ok(Incoming { upload, parts: Vec::new(), gathered: 0 })
    }

    /// Opens a stored file, or `None` where there is none.
    pub async fn open(&self, key: &str) -> Result<Option<Stored>> {
        self.open_part(key, None).await
    }

    /// As [`open`](Self::open), for some of its bytes, which it must have.
    pub async fn open_part(&self, key: &str, bytes: Option<Range<u64>>) -> Result<Option<Stored>> {
        let options = GetOptions::new().with_range(bytes);
        match self.store.get_opts(&parse(key)?, options).await {
            Ok(found) => {
                let size = found.range.end - found.range.start;
                let body = match found.payload {
                    // The store's own stream reads 8 KiB at a time, each on another thread.
                    GetResultPayload::File(mut file, path) => {
                        file.seek(SeekFrom::Start(found.range.start)).map_err(|error| at(&path, &error))?;
                        let bytes = tokio::fs::File::from_std(file).take(size);
                        ReaderStream::with_capacity(bytes, PART.min(size as usize + 1)).boxed()
                    }
                    GetResultPayload::Stream(body) => body.map_err(io::Error::other).boxed(),
                };
                Ok(Some(Stored { size, body }))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// What is known of a stored file, or `None` where there is none.
    pub async fn about(&self, key: &str) -> Result<Option<About>> {
        match self.store.head(&parse(key)?).await {
            Ok(meta) => Ok(Some(About { size: meta.size, modified: meta.last_modified.into() })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Where a stored file lies on this machine.
    pub fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// The folder that one run of a job writes its outputs into. No two claims share one, also where the broker has gone
    /// back in time between them, so that a late loser never touches the winner's files.
    pub fn run_folder(&self, group: GroupId, job: JobId, run: Run) -> PathBuf {
        self.root.join(format!("outputs/{group}/{job}/{run}"))
    }

    /// Makes a run's outputs durable: every file, then the folders that name them.
    ///
    /// Blocks on the disk; not for an async thread.
    pub fn publish(&self, folder: &Path) -> Result<()> {
        for entry in std::fs::read_dir(folder).map_err(|error| at(folder, &error))? {
            sync(&entry.map_err(|error| at(folder, &error))?.path())?;
        }
        // The run's, the job's and the group's folder may all be new, and each is named by the one above it.
        folder.ancestors().take(4).try_for_each(sync)
    }

    /// Removes a stored file; one that is not there is as good as removed.
    pub async fn remove(&self, key: &str) -> Result<()> {
        match self.store.delete(&parse(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Stores a small file whole.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.store.put(&parse(key)?, bytes.into()).await.map(drop).map_err(failed)
    }

    /// As [`put`](Self::put), for what makes room: on a full disk the ballast is released for it.
    pub async fn put_pressing(&self, key: &str, bytes: Bytes) -> Result<()> {
        match self.put(key, bytes.clone()).await {
            Err(Error::Full(_)) if self.release_ballast() => self.put(key, bytes).await,
            put => put,
        }
    }

    /// A small file whole, or `None` where there is none.
    pub async fn read(&self, key: &str) -> Result<Option<Bytes>> {
        match self.store.get(&parse(key)?).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Stores a small file that only the service's user may read, unless there is one under this key; answers whether
    /// it did. Of several that do this at a time one wins, whole. Blocks on the disk.
    pub fn create_private(&self, key: &str, bytes: &[u8]) -> Result<bool> {
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.root);
        if !folder.is_dir() {
            match std::fs::DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(at(folder, &error)),
                _ => {}
            }
            File::open(folder).and_then(|made| self.adopt(&made)).map_err(|error| at(folder, &error))?;
            sync(&self.root)?;
        }
        self.create(&path, bytes, 0o600)
    }

    /// Writes a file whole, unless there is one; answers whether it did.
    fn create(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<bool> {
        let folder = path.parent().unwrap_or(&self.root);
        let draft = folder.join(format!(".{}", Uuid::now_v7()));
        let written = File::options().write(true).create_new(true).mode(mode).open(&draft).and_then(|mut file| {
            file.write_all(bytes)?;
            self.adopt(&file)?;
            file.sync_all()
        });
        // A link, unlike a rename, replaces nothing.
        let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
        let _ = std::fs::remove_file(&draft);
        match linked {
            Ok(()) => sync(folder).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(at(path, &error)),
        }
    }

    /// The store's identity, kept in its file `store.id`. The first call makes it. It stays the same where the folder is
    /// moved or copied. Blocks on the disk.
    ///
    /// # Errors
    /// When it cannot be read or made, or is no identity.
    pub fn identity(&self) -> Result<Uuid> {
        let path = self.path(IDENTITY);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create(&path, format!("{}\n", Uuid::new_v4()).as_bytes(), 0o644)?;
                std::fs::read_to_string(&path)
            }
            read => read,
        };
        let text = text.map_err(|error| at(&path, &error))?;
        let no_id = |_| Error::Failed(format!("{}: {:?} is not the id of a store", path.display(), text.trim()));
        let id: Uuid = text.trim().parse().map_err(no_id)?;
        self.first.get_or_init(|| id);
        Ok(id)
    }

    /// As [`identity`](Self::identity), or `None` where the folder has none: where it is, say, the mount point of a disk
    /// that is gone. Blocks on the disk.
    pub fn identity_if_any(&self) -> Result<Option<Uuid>> {
        if self.has_at_once(IDENTITY)? { self.identity().map(Some) } else { Ok(None) }
    }

    /// Notes whether this is another store than the one that the queue's jobs belong to.
    pub fn set_wrong(&self, wrong: bool) {
        self.wrong.store(wrong, Ordering::Relaxed);
    }

    /// Whether the folder still holds the store that was opened, and that is not known to be a wrong one. Where it does not,
    /// what is missing in it says nothing. A folder whose disk is gone has no identity, or has got a new one from a process
    /// that was started on it meanwhile. Blocks on the disk.
    pub fn is_itself(&self) -> bool {
        let Ok(Some(id)) = self.identity_if_any() else { return false };
        !self.wrong.load(Ordering::Relaxed) && self.first.get().is_none_or(|first| *first == id)
    }

    /// What root creates belongs to the folder's owner, or the service that runs as that user could not read it.
    fn adopt(&self, file: &File) -> io::Result<()> {
        let owner = std::fs::metadata(&self.root)?;
        if rustix::process::geteuid().is_root() && owner.uid() != 0 {
            std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))?;
        }
        Ok(())
    }

    /// Random bytes under `secrets/<name>`, made by whoever asks first and the same for all on this store. Blocks on the
    /// disk.
    pub fn secret(&self, name: &str) -> Result<[u8; SECRET]> {
        let key = format!("secrets/{name}");
        let path = self.path(&key);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut fresh = [0; SECRET];
                getrandom::fill(&mut fresh).map_err(|error| Error::Failed(format!("no randomness: {error}")))?;
                self.create_private(&key, &fresh)?;
                std::fs::read(&path)
            }
            read => read,
        };
        let bytes = bytes.map_err(|error| at(&path, &error))?;
        let damaged =
            |bytes: Vec<u8>| Error::Failed(format!("{}: {} bytes are no secret", path.display(), bytes.len()));
        bytes.try_into().map_err(damaged)
    }

    /// Whether there is a file under this key, as its folder's entries say, which are in memory: for what is asked all the
    /// time, as this takes a fraction of what another thread takes to wake up.
    pub fn has_at_once(&self, key: &str) -> Result<bool> {
        let path = self.path(key);
        path.try_exists().map_err(|error| at(&path, &error))
    }

    /// Whether there is a file under this key.
    pub async fn has(&self, key: &str) -> Result<bool> {
        Ok(self.about(key).await?.is_some())
    }

    /// Stores a file under a second key; answers whether it was there. On one disk it takes no further room.
    pub async fn copy(&self, from: &str, to: &str) -> Result<bool> {
        // To rename one name of a file to another does nothing, and would leave the name that it came from.
        if self.is_same(from, to).await {
            return Ok(true);
        }
        found(self.store.copy(&parse(from)?, &parse(to)?).await)
    }

    /// Whether two keys are names of one file.
    async fn is_same(&self, one: &str, other: &str) -> bool {
        let file = async |key| tokio::fs::metadata(self.path(key)).await.map(|meta| (meta.dev(), meta.ino()));
        matches!((file(one).await, file(other).await), (Ok(one), Ok(other)) if one == other)
    }

    /// Moves a file to another key in one step; answers whether it was there.
    pub async fn rename(&self, from: &str, to: &str) -> Result<bool> {
        found(self.store.rename(&parse(from)?, &parse(to)?).await)
    }

    /// The groups of which a part is kept that was last added to before `instant`, with that time, as the disk lists
    /// them: their number costs no memory, and what is removed meanwhile does no harm. Blocks on the disk.
    pub fn groups_older_than(&self, part: Part, instant: SystemTime) -> Result<Groups> {
        self.groups(part, Some(instant))
    }

    /// As [`groups_older_than`](Self::groups_older_than), with those that were added to later than now: the clock has been
    /// set back since.
    pub fn groups_older_or_ahead(&self, part: Part, instant: SystemTime) -> Result<Groups> {
        Ok(Groups { ahead: Some(SystemTime::now() + AHEAD), ..self.groups(part, Some(instant))? })
    }

    /// As [`groups_older_than`](Self::groups_older_than), whatever their age.
    pub fn groups_of(&self, part: Part) -> Result<Groups> {
        self.groups(part, None)
    }

    fn groups(&self, part: Part, instant: Option<SystemTime>) -> Result<Groups> {
        let folder = self.root.join(part.folder());
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            entries => Some(entries.map_err(|error| at(&folder, &error))?),
        };
        Ok(Groups { folder, entries, instant, ahead: None })
    }

    /// Removes drafts that were last written to before `instant`: of writes that a kill broke off. Answers how many.
    /// Blocks on the disk.
    pub fn remove_drafts(&self, instant: SystemTime) -> Result<u64> {
        let flat = [Part::Outbox, Part::Erasures, Part::Erased, Part::Retention].map(Part::folder);
        let mut removed = 0;
        for folder in flat.into_iter().chain(OTHERS) {
            removed += remove_drafts_in(&self.root.join(folder), instant)?;
        }
        for part in [Part::Uploads, Part::Outputs] {
            for entry in entries(&self.root.join(part.folder()))? {
                removed += remove_drafts_in(&entry?, instant)?;
            }
        }
        Ok(removed)
    }

    /// Whether a group's folder has any output; the file with its owner's name is not one.
    pub fn has_outputs(&self, group: GroupId) -> Result<bool> {
        for entry in entries(&self.root.join(format!("outputs/{group}")))? {
            if entry?.is_dir() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether anything is kept of a group, or of an order to erase it that is not carried out. Blocks on the disk.
    pub fn keeps(&self, group: GroupId) -> Result<bool> {
        let folders = [Part::Uploads, Part::Outputs, Part::Erasures].map(|part| part.mark(group));
        let files = [keep_key(group), manifest_key(group), withdrawn_key(group), damaged_key(group)];
        for key in folders.into_iter().chain(files) {
            if self.has_at_once(&key)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes whatever is kept of a group, what is owed first. Blocks on the disk.
    pub fn remove_group(&self, group: GroupId) -> Result<()> {
        self.remove_owed(group)?;
        self.remove_part(Part::Uploads, group)?;
        self.remove_part(Part::Outputs, group)?;
        self.remove_note(group)
    }

    /// Removes what says that a group's things are kept for less long. Blocks on the disk.
    pub fn remove_note(&self, group: GroupId) -> Result<()> {
        remove_file(&self.root.join(keep_key(group)))
    }

    /// Removes what is owed for a group. Blocks on the disk.
    pub fn remove_owed(&self, group: GroupId) -> Result<()> {
        let owed = [manifest_key(group), withdrawn_key(group), damaged_key(group)];
        owed.iter().try_for_each(|key| remove_file(&self.root.join(key)))
    }

    /// Removes a group's originals or outputs, or a mark of it. Blocks on the disk.
    pub fn remove_part(&self, part: Part, group: GroupId) -> Result<()> {
        match part {
            Part::Outbox => self.remove_owed(group),
            Part::Uploads | Part::Outputs => remove_folder(&self.root.join(part.folder()).join(group.to_string())),
            Part::Retention => self.remove_note(group),
            Part::Erasures | Part::Erased => remove_file(&self.root.join(part.mark(group))),
        }
    }

    /// The folders of a group's runs, by their job: of all that have begun to write outputs and were not removed. Blocks on
    /// the disk.
    pub fn runs(&self, group: GroupId) -> Result<Vec<(JobId, Vec<PathBuf>)>> {
        let mut runs = Vec::new();
        for folder in entries(&self.root.join(format!("outputs/{group}")))? {
            let folder = folder?;
            let job = folder.file_name().and_then(|name| name.to_str()?.parse::<JobId>().ok());
            if let Some(job) = job {
                runs.push((job, entries(&folder)?.collect::<Result<Vec<PathBuf>>>()?));
            }
        }
        Ok(runs)
    }

    /// Removes the outputs of all runs of a job but one; with `None`, of all. Blocks on the disk.
    pub fn keep_run(&self, group: GroupId, job: JobId, run: Option<Run>) -> Result<()> {
        let folder = self.root.join(format!("outputs/{group}/{job}"));
        let Some(run) = run else { return remove_folder(&folder) };
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|error| at(&folder, &error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| at(&folder, &error))?;
            if entry.file_name() != *run.to_string() {
                remove_folder(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes the outputs of a run that failed or lost. Blocks on the disk.
    pub fn remove_run(&self, folder: &Path) -> Result<()> {
        remove_folder(folder)
    }

    /// Writes a file and removes it. Blocks on the disk.
    ///
    /// # Errors
    /// Where an upload could not be stored at present: no room, a read-only file system, no rights.
    pub fn try_write(&self) -> Result<()> {
        // The name of a draft, so that one that a kill leaves behind is removed like those.
        let probe = self.root.join(format!(".{}", Uuid::now_v7()));
        let written = File::options().write(true).create_new(true).open(&probe);
        let written = written.and_then(|mut file| file.write_all(&[0; PROBE]));
        let removed = std::fs::remove_file(&probe);
        written.and(removed).map_err(|error| at(&self.root, &error))
    }
}

/// Groups in the order in which a folder lists them.
pub struct Groups {
    folder: PathBuf,
    entries: Option<std::fs::ReadDir>,
    /// The age that they have; any, where it is `None`.
    instant: Option<SystemTime>,
    /// Those from later on count as well.
    ahead: Option<SystemTime>,
}

impl Iterator for Groups {
    type Item = Result<(GroupId, SystemTime)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.entries.as_mut()?.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(at(&self.folder, &error))),
            };
            let name = entry.file_name();
            if Path::new(&name).extension().is_some_and(|end| end == keys::DAMAGED) {
                continue;
            }
            let Some(group) = Path::new(&name).file_stem().and_then(|stem| stem.to_str()?.parse().ok()) else {
                continue;
            };
            match entry.metadata().and_then(|about| about.modified()) {
                Ok(changed)
                    if self.instant.is_none_or(|instant| changed < instant)
                        || self.ahead.is_some_and(|ahead| changed > ahead) =>
                {
                    return Some(Ok((group, changed)));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Some(Err(at(&entry.path(), &error))),
            }
        }
    }
}

impl Incoming {
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.gathered += bytes.len();
        self.parts.push(bytes);
        if self.gathered >= PART { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        self.gathered = 0;
        let payload = self.parts.drain(..).collect::<PutPayload>();
        self.upload.put_part(payload).await.map_err(failed)
    }

    /// Makes the file durable under its key.
    pub async fn finish(mut self) -> Result<()> {
        self.flush().await?;
        self.upload.complete().await.map(drop).map_err(failed)
    }
}

/// The paths of a folder's entries. A folder that does not exist has no entries.
fn entries(folder: &Path) -> Result<impl Iterator<Item = Result<PathBuf>> + use<>> {
    let folder = folder.to_owned();
    let listed = match std::fs::read_dir(&folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
        listed => Some(listed.map_err(|error| at(&folder, &error))?),
    };
    let path = move |entry: io::Result<std::fs::DirEntry>| {
        entry.map(|entry| entry.path()).map_err(|error| at(&folder, &error))
    };
    Ok(listed.into_iter().flatten().map(path))
}

fn remove_drafts_in(folder: &Path, instant: SystemTime) -> Result<u64> {
    let mut removed = 0;
    for path in entries(folder)? {
        let path = path?;
        if !path.file_name().is_some_and(is_draft) {
            continue;
        }
        match path.symlink_metadata().and_then(|about| Ok(about.is_file() && about.modified()? < instant)) {
            Ok(true) => {
                remove_file(&path)?;
                removed += 1;
            }
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at(&path, &error)),
        }
    }
    Ok(removed)
}

/// Whether a file of this name is not yet what it is to be: `object_store` writes `<name>#<number>`, and we `.<uuid>`.
fn is_draft(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    let numbered = name.rsplit_once('#').is_some_and(|(_, number)| number.parse::<u64>().is_ok());
    numbered || name.strip_prefix('.').is_some_and(|id| Uuid::try_parse(id).is_ok())
}

fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| at(path, &error))
}

fn remove_folder(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(folder, &error)),
        _ => Ok(()),
    }
}

fn remove_file(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(file, &error)),
        _ => Ok(()),
    }
}

fn found(done: object_store::Result<()>) -> Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

fn parse(key: &str) -> Result<Key> {
    Key::parse(key).map_err(|error| Error::Failed(format!("`{key}` is not a key: {error}")))
}

fn at(path: &Path, error: &io::Error) -> Error {
    Error::at(path.display(), error)
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn failed(error: object_store::Error) -> Error {
    Error::of(Lack::behind(&error), error.to_string())
}
