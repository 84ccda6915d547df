//! A batch on a server: uploads in small groups, results fetched into the same names.
//!
//! Several groups are under way at a time, so that the server works on one while others are uploaded or
//! fetched. What is under way and how pictures ended stands in the [`Journal`]; a run begins by bringing
//! to an end what earlier ones left.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use futures::stream::{self, FuturesUnordered};
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc::{self, Receiver, UnboundedSender};
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

use super::client::{Entry, Rejected, Server, Uploaded};
use super::fetch::{self, Fetcher};
use super::identity::Facts;
use super::journal::{Journal, Kept, Sent, Upload};
use super::report::{Ending, Made, Report};
use super::sources::{Found, Origin, Picture};
use super::{Batch, made_by, result_path, told, unreadable};
use crate::job::Failure;

/// Pictures in one upload, and their bytes: far below the server's limits, and few to repeat when one is cut off.
const GROUP: usize = 20;
const GROUP_BYTES: u64 = 64 << 20;
/// Groups under way, unless told otherwise.
const AT_ONCE: usize = 2;
/// How long a group waits to be filled by sources that are slow to come.
const LINGER: Duration = Duration::from_millis(500);
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_LOOK: Duration = Duration::from_secs(2);
/// How often a key is tried that a request cut off may still hold.
const KEY_TRIES: u32 = 10;
const KEY_PAUSE: Duration = Duration::from_secs(1);

/// What the tasks of a run share.
struct Remote<'b> {
    batch: &'b Batch,
    server: Server,
    journal: Journal,
    fetcher: Fetcher,
    operations: String,
    options: String,
    /// Ended by this run, before the walk came to them.
    fresh: HashSet<Uuid>,
}

/// A picture with its end.
type Ended = (Sent, Ending);

pub(super) async fn run(
    batch: &Batch,
    url: &Url,
    key: Option<&str>,
    found: Receiver<Found>,
    report: &mut Report,
) -> Result<()> {
    let folder = batch.out.join(".pixmill");
    let _lock = super::lock(&folder)?;
    let (remarks, mut heard) = mpsc::unbounded_channel();
    let server = Server::new(url, key, batch.stop.clone(), remarks)?;
    server.greet().await?;
    let mut remote = Remote {
        batch,
        server,
        journal: Journal::open(&folder.join("uploads.db"))?,
        fetcher: Fetcher::new(&folder, batch.limits.max_file_bytes, batch.stop.clone())?,
        operations: batch.written.clone(),
        options: batch.options.clone(),
        fresh: HashSet::new(),
    };
    let at_once = batch.concurrency.map_or(AT_ONCE, usize::from);
    remote.recover(at_once, report).await?;
    remote.work(found, at_once, &mut heard, report).await
}

impl Remote<'_> {
    /// Brings to an end what earlier runs have uploaded.
    async fn recover(&mut self, at_once: usize, report: &Report) -> Result<()> {
        let mut uploads = self.journal.unfinished()?;
        if uploads.is_empty() {
            return Ok(());
        }
        let count = uploads.iter().map(|upload| upload.pictures.len()).sum::<usize>();
        report.say(format_args!("fetching {count} pictures that an earlier run had uploaded"));
        // Where the sources have changed, the same cannot be sent again.
        let mut again = Vec::new();
        for upload in uploads.drain(..) {
            if upload.task.is_some() || self.is_unchanged(&upload) {
                again.push(upload);
            } else {
                self.journal.close(upload.id)?;
            }
        }
        let (ended, mut endings) = mpsc::unbounded_channel();
        {
            let this = &*self;
            let mut under_way =
                stream::iter(again).map(|upload| this.process(upload, ended.clone())).buffer_unordered(at_once);
            while let Some(done) = tokio::select! {
                done = under_way.next() => done,
                () = this.batch.stop.cancelled() => None,
            } {
                done?;
            }
        }
        drop(ended);
        while let Some((sent, _)) = endings.recv().now_or_never().flatten() {
            self.fresh.insert(sent.id);
        }
        Ok(())
    }

    fn is_unchanged(&self, upload: &Upload) -> bool {
        let same = |sent: &Sent| {
            let facts = Facts::of(&sent.picture, &self.batch.asked);
            facts.is_ok_and(|facts| facts.id(0) == sent.id) && fs::metadata(&sent.file).is_ok()
        };
        upload.operations == self.operations && upload.pictures.iter().all(same)
    }

    async fn work(
        &mut self,
        mut found: Receiver<Found>,
        at_once: usize,
        heard: &mut mpsc::UnboundedReceiver<String>,
        report: &mut Report,
    ) -> Result<()> {
        let (ended, mut endings) = mpsc::unbounded_channel::<Ended>();
        let mut running = FuturesUnordered::new();
        let mut fetching = FuturesUnordered::new();
        let (mut group, mut group_bytes, mut since) = (Vec::<Sent>::new(), 0, Instant::now());
        let mut more = true;
        let mut told = false;
        let this = &mut *self;
        let mut fresh = std::mem::take(&mut this.fresh);
        let this = &*this;
        loop {
            let stopped = this.batch.stop.is_cancelled();
            if stopped && !told {
                told = true;
                more = false;
                // Neither sent nor fetched: the next run finds them as they are.
                group.clear();
                fetching.clear();
                report.say("finishing the uploads under way; Ctrl-C again ends at once");
            }
            let full = group.len() == GROUP || group_bytes >= GROUP_BYTES;
            let last = !more && fetching.is_empty();
            if running.len() < at_once && !group.is_empty() && (full || last || since.elapsed() >= LINGER) {
                let pictures = std::mem::take(&mut group);
                group_bytes = 0;
                running.push(this.upload(pictures, ended.clone()));
                continue;
            }
            if last && group.is_empty() && running.is_empty() {
                while let Ok((sent, ending)) = endings.try_recv() {
                    report.ended(sent.picture, &this.batch.here, sent.bytes, ending);
                }
                return Ok(());
            }
            tokio::select! {
                Some((sent, ending)) = endings.recv() => {
                    if !report.ended(sent.picture, &this.batch.here, sent.bytes, ending) {
                        this.batch.stop.cancel();
                    }
                }
                Some(done) = running.next() => done?,
                one = found.recv(), if more && !full && fetching.len() < fetch::AT_ONCE => match one {
                    None => more = false,
                    Some(Found::Unusable(name, failure)) => {
                        if !report.told(&name, 0, Ending::Failed(failure)) {
                            this.batch.stop.cancel();
                        }
                    }
                    Some(Found::Picture(picture)) => match this.known(&picture, &mut fresh)? {
                        Known::Ended(bytes, ending) => this.settle(picture, bytes, ending, report),
                        Known::New(sent) => match &sent.picture.origin {
                            Origin::Url(_) => fetching.push(this.fetch(sent)),
                            Origin::File(_) => {
                                if group.is_empty() {
                                    since = Instant::now();
                                }
                                group_bytes += sent.bytes;
                                group.push(sent);
                            }
                        },
                    },
                },
                Some(fetched) = fetching.next() => match fetched {
                    Ok(sent) => {
                        since = Instant::now();
                        group_bytes += sent.bytes;
                        group.push(sent);
                    }
                    Err((picture, failure)) => this.settle(picture, 0, Ending::Failed(failure), report),
                },
                Some(remark) = heard.recv() => report.say(remark),
                () = tokio::time::sleep(LINGER) => report.tick(),
                () = this.batch.stop.cancelled(), if !told => {}
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
        let ending = match self.journal.known(id)? {
            Some(Kept::Ended(Ending::Done { outputs, duration_ms })) => {
                self.all_there(picture, outputs).map(|outputs| {
                    if fresh.remove(&id) {
                        Ending::Done { outputs, duration_ms }
                    } else {
                        Ending::AlreadyDone { outputs }
                    }
                })
            }
            Some(Kept::Ended(Ending::Failed(failure)))
                if fresh.remove(&id) || !failure.retryable && !self.batch.retry_failed =>
            {
                Some(Ending::Failed(failure))
            }
            // What is open here belongs to an upload that could not be brought to its end.
            _ => None,
        };
        if let Some(ending) = ending {
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

    /// The results with their paths, if not one is gone or of another size.
    fn all_there(&self, picture: &Picture, mut outputs: Vec<Made>) -> Option<Vec<Made>> {
        for made in &mut outputs {
            made.path = result_path(&self.batch.out, picture, &made.file);
            fs::metadata(&made.path).ok().filter(|meta| meta.len() == made.bytes)?;
        }
        Some(outputs)
    }

    async fn fetch(&self, sent: Sent) -> Result<Sent, (Picture, Failure)> {
        let Origin::Url(url) = &sent.picture.origin else { return Ok(sent) };
        match self.fetcher.fetch(url, sent.id).await {
            Ok(bytes) => Ok(Sent { bytes, ..sent }),
            Err(failure) => Err((sent.picture, failure)),
        }
    }

    /// Writes an upload down and sees it through.
    async fn upload(&self, pictures: Vec<Sent>, ended: UnboundedSender<Ended>) -> Result<()> {
        let pictures: Vec<Sent> =
            pictures.into_iter().enumerate().map(|(place, sent)| Sent { place, ..sent }).collect();
        let (key, operations, options) = (new_key(), self.operations.clone(), self.options.clone());
        let id = self.journal.begin(&key, &operations, &options, &pictures)?;
        self.process(Upload { id, key, operations, options, task: None, pictures }, ended).await
    }

    /// Takes an upload from wherever it is to its results.
    async fn process(&self, mut upload: Upload, ended: UnboundedSender<Ended>) -> Result<()> {
        let task = match upload.task.take() {
            Some(task) => Some(task),
            None => self.send(&mut upload, &ended).await?,
        };
        let lost = |said: &str| Ending::Failed(Failure::transient("no-result", said));
        let results = match &task {
            Some(task) => self.finished(task).await?,
            None => Some(Vec::new()),
        };
        let Some(results) = results else {
            // So that the next try is a new upload.
            self.journal.close(upload.id)?;
            for sent in upload.pictures {
                let _ = ended.send((sent, lost("the server does not know the upload any more")));
            }
            return Ok(());
        };
        let mut results: Vec<Option<Entry>> = results.into_iter().map(Some).collect();
        for sent in upload.pictures {
            let ending = match results.get_mut(sent.place).and_then(Option::take) {
                Some(entry) => self.take(&sent.picture, entry).await,
                None => lost("the server's answer leaves this picture out"),
            };
            self.end(sent, ending, &ended)?;
        }
        self.journal.close(upload.id)
    }

    /// Uploads; none where not one picture was taken. Those refused have ended and are no longer part of it.
    async fn send(&self, upload: &mut Upload, ended: &UnboundedSender<Ended>) -> Result<Option<String>> {
        let mut tries = 0;
        let refuse_all = |upload: &mut Upload, failure: &Failure| {
            let all = std::mem::take(&mut upload.pictures).into_iter();
            all.map(|sent| (sent, Ending::Failed(failure.clone()))).collect::<Vec<Ended>>()
        };
        loop {
            let files: Vec<(&Path, &str)> =
                upload.pictures.iter().map(|sent| (sent.file.as_path(), sent.name.as_str())).collect();
            let (task, refused) =
                match self.server.upload(&upload.key, &files, &upload.operations, &upload.options).await? {
                    Uploaded::Accepted { task, rejected } => (Some(task), refuse(upload, rejected)),
                    Uploaded::Rejected(rejected) => (None, refuse(upload, rejected)),
                    Uploaded::TooLarge(said) => (None, refuse_all(upload, &Failure::permanent("too-large", said))),
                    Uploaded::Unreadable(said) => {
                        (None, refuse_all(upload, &Failure::transient("source-unreadable", said)))
                    }
                    Uploaded::KeyInUse if tries < KEY_TRIES => {
                        tries += 1;
                        tokio::time::sleep(KEY_PAUSE).await;
                        continue;
                    }
                    // A server that was killed while it received holds the key on; nothing came of that request.
                    Uploaded::KeyInUse => {
                        upload.key = new_key();
                        self.journal.rekey(upload.id, &upload.key)?;
                        tries = 0;
                        continue;
                    }
                };
            if let Some(task) = &task {
                for (place, sent) in upload.pictures.iter_mut().enumerate() {
                    sent.place = place;
                }
                let refused: Vec<(Uuid, Ending)> =
                    refused.iter().map(|(sent, ending)| (sent.id, ending.clone())).collect();
                self.journal.accepted(upload.id, task, &refused, &upload.pictures)?;
            }
            for (sent, ending) in refused {
                self.end(sent, ending, ended)?;
            }
            return Ok(task);
        }
    }

    /// Waits for the task's end; none where the server does not know it.
    async fn finished(&self, task: &str) -> Result<Option<Vec<Entry>>> {
        let mut look = FIRST_LOOK;
        loop {
            let Some(status) = self.server.status(task).await? else { return Ok(None) };
            if status.status != "processing" {
                return Ok(Some(status.result));
            }
            tokio::time::sleep(look).await;
            look = (look * 3 / 2).min(LONGEST_LOOK);
        }
    }

    fn end(&self, sent: Sent, ending: Ending, ended: &UnboundedSender<Ended>) -> Result<()> {
        self.journal.ended(sent.id, &ending)?;
        if matches!(sent.picture.origin, Origin::Url(_)) {
            self.fetcher.forget(sent.id);
        }
        let _ = ended.send((sent, ending));
        Ok(())
    }

    /// Fetches a picture's results to where they stay.
    async fn take(&self, picture: &Picture, entry: Entry) -> Ending {
        if !entry.success {
            let unknown = || Failure::permanent("internal", "the server does not say why");
            return Ending::Failed(entry.error.map_or_else(unknown, Failure::from));
        }
        let mut outputs = Vec::with_capacity(entry.paths.len());
        for (i, (path, output)) in entry.paths.iter().zip(entry.outputs).enumerate() {
            let made = match path {
                Some(path) => self.download(picture, path, &output).await,
                None => {
                    told(&self.batch.out, picture, i, &output).map_err(|(path, error)| super::unwritable(&path, &error))
                }
            };
            match made {
                Ok(made) => outputs.push(made),
                Err(failure) => return Ending::Failed(failure),
            }
        }
        Ending::Done { outputs, duration_ms: entry.duration_ms }
    }

    async fn download(&self, picture: &Picture, path: &str, output: &serde_json::Value) -> Result<Made, Failure> {
        let file = file_name(path).ok_or_else(|| {
            let detail = format!("the server names a result `{path}`, which is no file name");
            Failure::permanent("download", detail)
        })?;
        let to = result_path(&self.batch.out, picture, file);
        fs::create_dir_all(to.parent().unwrap_or(&to)).map_err(|error| super::unwritable(&to, &error))?;
        let bytes =
            self.server.download(path, &to).await.map_err(|error| match error.downcast_ref::<std::io::Error>() {
                Some(error) => super::unwritable(&to, error),
                None => Failure::transient("download", format!("{error:#}")),
            })?;
        Ok(made_by(to, file, bytes, output))
    }
}

/// How a picture stands that the walk has come to.
enum Known {
    /// With the bytes of its source.
    Ended(u64, Ending),
    New(Sent),
}

fn new_key() -> String {
    format!("batch-{}", Uuid::now_v7())
}

/// Takes out of the upload what the server has rejected.
fn refuse(upload: &mut Upload, rejected: Vec<Rejected>) -> Vec<Ended> {
    let mut reasons: Vec<(usize, Failure)> =
        rejected.into_iter().map(|Rejected { index, error }| (index, error.into())).collect();
    let mut refused = Vec::new();
    let mut left = Vec::new();
    for (i, sent) in std::mem::take(&mut upload.pictures).into_iter().enumerate() {
        match reasons.iter().position(|(index, _)| *index == i) {
            Some(found) => refused.push((sent, Ending::Failed(reasons.swap_remove(found).1))),
            None => left.push(sent),
        }
    }
    upload.pictures = left;
    refused
}

/// The last part of a result's path, where it is a plain name: nobody writes outside `OUT`.
fn file_name(path: &str) -> Option<&str> {
    let path = path.split(['?', '#']).next()?;
    let name = path.rsplit('/').next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (!name.is_empty() && !name.starts_with('.') && name.chars().all(plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn results_stay_in_the_output_folder() {
        assert_eq!(file_name("/files/a/b/1/0-resize.jpg?sig=x/../y"), Some("0-resize.jpg"));
        for hostile in ["/files/..", "/files/", "/files/.ssh", "/files/a%2F..%2Fb", "/files/a\\b"] {
            assert_eq!(file_name(hostile), None, "{hostile}");
        }
    }
}
