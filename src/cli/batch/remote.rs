//! A batch on a server: uploads in small groups, results fetched into the same names.
//!
//! Several groups are under way at a time, so that the server works on one while others are uploaded or
//! fetched. What is under way and how pictures ended stands in the [`Journal`]; a run begins by bringing
//! to an end what earlier ones left.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use anyhow::Result;
use futures::StreamExt;
use futures::stream::{self, FuturesUnordered};
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::client::Server;
use super::fetch::{self, Fetcher};
use super::identity::Facts;
use super::journal::{Journal, Kept, Sent, Upload};
use super::ledger::Ledger;
use super::picture::{Origin, Picture};
use super::report::{Ending, Made, Report};
use super::sources::Found;
use super::{Batch, UPLOADS, unreadable};
use crate::cli::operations::Presets;
use crate::errors::Failure;

/// Pictures in one upload, and their bytes: far below the server's limits, and few to repeat when one is cut off.
const GROUP: usize = 20;
const GROUP_BYTES: u64 = 64 << 20;
/// Groups under way, unless told otherwise.
const AT_ONCE: usize = 2;
/// How long a group waits to be filled by sources that are slow to come.
const LINGER: Duration = Duration::from_millis(500);

/// What the tasks of a run share.
pub(super) struct Remote<'b> {
    pub(super) batch: &'b Batch,
    pub(super) server: Server,
    pub(super) ledger: Ledger,
    pub(super) journal: Journal,
    pub(super) fetcher: Fetcher,
    pub(super) operations: String,
    pub(super) options: String,
}

/// A picture with its end.
pub(super) type Ended = (Sent, Ending);

/// Pictures that are gathered for the next upload.
struct Group {
    pictures: Vec<Sent>,
    bytes: u64,
    /// When the last one came that it had to wait for.
    since: Instant,
}

pub(super) async fn run(
    batch: &Batch,
    url: &Url,
    key: Option<&str>,
    found: Receiver<Found>,
    report: &mut Report,
) -> Result<()> {
    let folder = batch.journal();
    let _lock = super::lock(&folder)?;
    let (remarks, mut heard) = mpsc::unbounded_channel();
    let server = Server::new(url, key, batch.stop.clone(), remarks)?;
    server.greet().await?;
    let remote = Remote {
        batch,
        server,
        ledger: batch.ledger()?,
        journal: Journal::open(&folder.join(UPLOADS))?,
        fetcher: Fetcher::new(&folder, batch.limits.max_file_bytes, batch.stop.clone())?,
        operations: batch.written.clone(),
        options: batch.options.clone(),
    };
    let at_once = batch.concurrency.map_or(AT_ONCE, usize::from);
    let fresh = remote.recover(at_once, report).await?;
    remote.work(found, at_once, fresh, &mut heard, report).await?;
    remote.ledger.close()
}

/// The presets of the server.
pub(super) async fn presets(url: &Url, key: Option<&str>) -> Result<Presets> {
    // Nothing is under way yet that could be stopped or remarked upon.
    let server = Server::new(url, key, CancellationToken::new(), mpsc::unbounded_channel().0)?;
    server.greet().await?;
    server.presets().await
}

impl Remote<'_> {
    /// Brings to an end what earlier runs have uploaded; answers which pictures have ended.
    async fn recover(&self, at_once: usize, report: &mut Report) -> Result<HashSet<Uuid>> {
        let mut again = Vec::new();
        for upload in self.journal.unfinished()? {
            // Where the sources have changed, the same cannot be sent again.
            if upload.task.is_some() || self.is_unchanged(&upload) {
                again.push(upload);
            } else {
                self.journal.close(upload.id)?;
            }
        }
        let mut fresh = HashSet::new();
        if again.is_empty() {
            return Ok(fresh);
        }
        let count = again.iter().map(|upload| upload.pictures.len()).sum::<usize>();
        report.say(format_args!("fetching {count} pictures that an earlier run had uploaded"));
        let (ended, mut endings) = mpsc::unbounded_channel();
        let mut under_way =
            stream::iter(again).map(|upload| self.process(upload, ended.clone())).buffer_unordered(at_once);
        while let Some(done) = tokio::select! {
            done = under_way.next() => done,
            () = self.batch.stop.cancelled() => None,
        } {
            done?;
        }
        while let Ok((sent, _)) = endings.try_recv() {
            fresh.insert(sent.id);
        }
        Ok(fresh)
    }

    fn is_unchanged(&self, upload: &Upload) -> bool {
        let same = |sent: &Sent| {
            let facts = Facts::of(&sent.picture, &self.batch.asked);
            facts.is_ok_and(|facts| facts.id(0) == sent.id) && fs::metadata(&sent.file).is_ok()
        };
        upload.operations == self.operations && upload.pictures.iter().all(same)
    }

    /// Uploads what is found and fetches the results, until all has ended, or until the stop.
    async fn work(
        &self,
        mut found: Receiver<Found>,
        at_once: usize,
        mut fresh: HashSet<Uuid>,
        heard: &mut mpsc::UnboundedReceiver<String>,
        report: &mut Report,
    ) -> Result<()> {
        let (ended, mut endings) = mpsc::unbounded_channel::<Ended>();
        let mut running = FuturesUnordered::new();
        let mut fetching = FuturesUnordered::new();
        let mut group = Group::new();
        let (mut more, mut stopped) = (true, false);
        loop {
            if self.batch.stop.is_cancelled() && !stopped {
                (more, stopped) = (false, true);
                // Neither sent nor fetched: the next run finds them as they are.
                group = Group::new();
                fetching.clear();
                report.say("finishing the uploads under way; Ctrl-C again ends at once");
            }
            let last = !more && fetching.is_empty();
            if running.len() < at_once && group.is_due(last) {
                let pictures = std::mem::replace(&mut group, Group::new()).pictures;
                running.push(self.upload(pictures, ended.clone()));
                continue;
            }
            if last && group.pictures.is_empty() && running.is_empty() {
                while let Ok((sent, ending)) = endings.try_recv() {
                    self.settle(sent.picture, sent.bytes, ending, report);
                }
                return Ok(());
            }
            tokio::select! {
                Some((sent, ending)) = endings.recv() => self.settle(sent.picture, sent.bytes, ending, report),
                Some(done) = running.next() => done?,
                one = found.recv(), if more && !group.is_full() && fetching.len() < fetch::AT_ONCE => match one {
                    None => more = false,
                    Some(Found::Unusable(name, failure)) => {
                        if !report.told(&name, 0, Ending::Failed(failure)) {
                            self.batch.stop.cancel();
                        }
                    }
                    Some(Found::Picture(picture)) => match self.known(&picture, &mut fresh)? {
                        Known::Ended(bytes, ending) => self.settle(picture, bytes, ending, report),
                        Known::New(sent) => match &sent.picture.origin {
                            Origin::Url(_) => fetching.push(self.fetch(sent)),
                            Origin::File(_) => group.add(sent),
                        },
                    },
                },
                Some(fetched) = fetching.next() => match fetched {
                    Ok(sent) => group.add(sent),
                    Err((picture, failure)) => self.settle(picture, 0, Ending::Failed(failure), report),
                },
                Some(remark) = heard.recv() => report.say(remark),
                () = tokio::time::sleep(LINGER) => report.tick(),
                () = self.batch.stop.cancelled(), if !stopped => {}
            }
        }
    }

    fn settle(&self, picture: Picture, bytes: u64, ending: Ending, report: &mut Report) {
        if !report.ended(picture, &self.batch.here, bytes, ending) {
            self.batch.stop.cancel();
        }
    }

    fn known(&self, picture: &Picture, fresh: &mut HashSet<Uuid>) -> Result<Known> {
        let failed = |failure| Known::Ended(0, Ending::Failed(failure));
        let facts = match Facts::of(picture, &self.batch.asked) {
            Ok(facts) => facts,
            Err(error) => return Ok(failed(unreadable(&error))),
        };
        let id = facts.id(0);
        if let Some(ending) = remembered(self.batch, &self.journal, &self.ledger, picture, id, fresh)? {
            return Ok(Known::Ended(facts.size, ending));
        }
        let file = match &picture.origin {
            Origin::File(file) => file.clone(),
            Origin::Url(_) => self.fetcher.place(id),
        };
        if matches!(picture.origin, Origin::File(_))
            && let Err(error) = fs::File::open(&file)
        {
            return Ok(failed(unreadable(&error)));
        }
        let name = self.batch.name(picture);
        Ok(Known::New(Sent { id, place: 0, picture: picture.clone(), file, name, bytes: facts.size }))
    }

    async fn fetch(&self, sent: Sent) -> Result<Sent, (Picture, Failure)> {
        let Origin::Url(url) = &sent.picture.origin else { return Ok(sent) };
        match self.fetcher.fetch(url, sent.id).await {
            Ok(bytes) => Ok(Sent { bytes, ..sent }),
            Err(failure) => Err((sent.picture, failure)),
        }
    }
}

/// How a picture has ended, as far as that still holds; `fresh` are those that have in this run.
pub(super) fn remembered(
    batch: &Batch,
    journal: &Journal,
    ledger: &Ledger,
    picture: &Picture,
    id: Uuid,
    fresh: &mut HashSet<Uuid>,
) -> Result<Option<Ending>> {
    Ok(match journal.known(id)? {
        Some(Kept::Ended(Ending::Done { outputs, duration_ms })) => all_there(batch, ledger, picture, id, outputs)?
            .map(|outputs| {
                if fresh.remove(&id) { Ending::Done { outputs, duration_ms } } else { Ending::AlreadyDone { outputs } }
            }),
        Some(Kept::Ended(Ending::Failed(failure))) if fresh.remove(&id) || batch.is_final(&failure) => {
            Some(Ending::Failed(failure))
        }
        // What is open here belongs to an upload that could not be brought to its end.
        _ => None,
    })
}

/// The results with their paths, if not one is gone or has another digest.
fn all_there(
    batch: &Batch,
    ledger: &Ledger,
    picture: &Picture,
    id: Uuid,
    mut outputs: Vec<Made>,
) -> Result<Option<Vec<Made>>> {
    for made in &mut outputs {
        let path = batch.names.path(picture, &made.file);
        if !ledger.holds(&path, id)? {
            return Ok(None);
        }
        made.path = batch.out.join(path);
    }
    Ok(Some(outputs))
}

impl Group {
    fn new() -> Self {
        Self { pictures: Vec::new(), bytes: 0, since: Instant::now() }
    }

    fn add(&mut self, sent: Sent) {
        self.bytes += sent.bytes;
        self.pictures.push(sent);
        self.since = Instant::now();
    }

    fn is_full(&self) -> bool {
        self.pictures.len() >= GROUP || self.bytes >= GROUP_BYTES
    }

    /// Whether to upload it now; `last` says that nothing more comes.
    fn is_due(&self, last: bool) -> bool {
        !self.pictures.is_empty() && (self.is_full() || last || self.since.elapsed() >= LINGER)
    }
}

/// How a picture stands that the walk has come to.
enum Known {
    /// With the bytes of its source.
    Ended(u64, Ending),
    New(Sent),
}
