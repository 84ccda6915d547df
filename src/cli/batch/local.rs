//! A batch in process: the service's own queue and worker, on all cores.
//!
//! The SQLite queue in `OUT/.pixmill` is the journal. A picture's job id follows from its [`Facts`], so
//! that enqueueing it again is no new job, and a finished one is known by its id. A result becomes final
//! by a rename; what a crash left between journal and rename is renamed by the next run.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc::Receiver;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::fetch::{self, Fetcher};
use super::identity::{Facts, NAMESPACE};
use super::report::{Ending, Made, Report};
use super::sources::{Found, Origin, Picture};
use super::{Batch, QUEUE, is_there, result_path, told, unreadable, unwritable};
use crate::config::Config;
use crate::imaging;
use crate::job::{Failure, GroupId, ImageProcess, ImageResult, JobId, Output, Payload, Source, State};
use crate::metrics::Metrics;
use crate::queue::{Broker, Job, Look, NewGroup, NewJob, Policy};
use crate::storage::{self, Storage};
use crate::worker::{self, Shutdown};

/// Pictures enqueued in one transaction.
const CHUNK: usize = 64;
/// Open pictures below which more are enqueued.
const OPEN: usize = 2 * CHUNK;
/// Between two looks at what has ended.
const LOOK: Duration = Duration::from_millis(50);

struct Journal<'b> {
    batch: &'b Batch,
    broker: Broker,
    storage: Storage,
    fetcher: Fetcher,
    /// Jobs of other operations wait in other queues, untouched by this run.
    queue: String,
    max_attempts: u32,
}

/// Pictures whose jobs are in the queue, with the bytes of their sources.
#[derive(Default)]
struct Open {
    jobs: HashMap<JobId, (Picture, u64)>,
    /// By group: how many of `jobs` are its, and how many of all its jobs had ended at the last look.
    groups: HashMap<GroupId, (usize, u32)>,
}

/// How the journal knows a picture.
enum Known {
    Ended(Ending),
    /// Enqueued by an earlier run.
    Open(JobId, GroupId),
    /// To be enqueued under this id.
    New(JobId),
}

pub(super) async fn run(batch: &Batch, config: &Config, found: Receiver<Found>, report: &mut Report) -> Result<()> {
    let folder = batch.journal();
    let _lock = super::lock(&folder)?;
    // A picture costs seconds, not minutes, to get back from a killed run; a kill is no picture's fault.
    let policy =
        Policy { lease: Duration::from_secs(6), beat: Duration::from_secs(1), max_stalls: 8, ..config.queue.policy() };
    let journal = Journal {
        batch,
        broker: Broker::open_sqlite(&folder.join(QUEUE), policy.clone())?,
        storage: Storage::local(&folder)?,
        fetcher: Fetcher::new(&folder, batch.limits.max_file_bytes, batch.stop.clone())?,
        queue: format!("batch-{}", Uuid::new_v5(&NAMESPACE, batch.asked.0.as_bytes()).simple()),
        max_attempts: policy.max_attempts,
    };
    let slots = batch.concurrency.map_or_else(|| config.worker.slots(), usize::from);
    let settings = worker::Settings {
        program: worker::own_program().context("cannot find the program that computes pictures")?,
        arguments: config.watermark.folders().arguments(),
        cpu: slots,
        io: 0,
        ahead: slots,
        queues: vec![journal.queue.clone()],
        niceness: 0,
        soft_time_limit: config.worker.soft_time_limit,
        hard_time_limit: config.worker.hard_time_limit,
        max_jobs_per_child: config.worker.max_jobs_per_child,
        memory: config.worker.memory,
        shutdown_grace: config.server.shutdown_grace,
        limits: config.limits.imaging(),
        sources: worker::Sources::default(),
        policy,
    };
    // Abandoned pictures go back to the journal: the next run begins with them, and needs not wait for their leases.
    let shutdown = Shutdown { cold: batch.abandon.clone(), ..Shutdown::default() };
    let over = shutdown.warm.clone();
    let (broker, storage) = (journal.broker.clone(), journal.storage.clone());
    let mut worker = tokio::spawn(worker::run(broker, storage, settings, Metrics::default(), shutdown));
    let ran = tokio::select! {
        ran = journal.work(found, report, &over) => ran,
        ended = &mut worker => return ended?.and_then(|()| bail!("the worker ended before its work did")),
    };
    over.cancel();
    let mut open = ran?;
    // The pictures that were being made when the run was stopped.
    worker.await??;
    journal.collect(&mut open, report).await?;
    journal.tidy();
    Ok(())
}

impl Journal<'_> {
    /// Enqueues and collects until every picture has ended, or until the stop; then leaves what is open.
    async fn work(&self, mut found: Receiver<Found>, report: &mut Report, over: &CancellationToken) -> Result<Open> {
        let mut open = Open::default();
        let mut fetching = FuturesUnordered::new();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut more = true;
        loop {
            if self.batch.stop.is_cancelled() {
                report.say("finishing the pictures that are being made; Ctrl-C again ends at once");
                over.cancel();
                return Ok(open);
            }
            if !more && open.jobs.is_empty() && fetching.is_empty() {
                return Ok(open);
            }
            let room = open.jobs.len() + fetching.len() <= OPEN - CHUNK && fetching.len() < fetch::AT_ONCE;
            tokio::select! {
                // What has ended makes room, however fast pictures are found.
                biased;
                () = self.batch.stop.cancelled() => {}
                _ = look.tick() => {
                    self.collect(&mut open, report).await?;
                    report.tick();
                }
                Some((picture, job, fetched)) = fetching.next() => match fetched {
                    Ok(bytes) => self.enqueue(vec![(picture, job, bytes)], &mut open).await?,
                    Err(failure) => self.ended(picture, 0, Ending::Failed(failure), report),
                },
                count = found.recv_many(&mut chunk, CHUNK), if more && room => {
                    more = count > 0;
                    let mut new = Vec::new();
                    for one in chunk.drain(..) {
                        if let Some((picture, job, bytes)) = self.meet(one, &mut open, report).await? {
                            match picture.origin {
                                Origin::File(_) => new.push((picture, job, bytes)),
                                Origin::Url(_) => fetching.push(self.fetch(picture, job)),
                            }
                        }
                    }
                    self.enqueue(new, &mut open).await?;
                }
            }
        }
    }

    /// Settles what the journal knows of a picture; answers it with its new job's id where that is nothing.
    async fn meet(&self, found: Found, open: &mut Open, report: &mut Report) -> Result<Option<(Picture, JobId, u64)>> {
        let picture = match found {
            Found::Picture(picture) => picture,
            Found::Unusable(name, failure) => {
                if !report.told(&name, 0, Ending::Failed(failure)) {
                    self.batch.stop.cancel();
                }
                return Ok(None);
            }
        };
        let facts = match Facts::of(&picture, &self.batch.asked) {
            Ok(facts) => facts,
            Err(error) => {
                self.ended(picture, 0, Ending::Failed(unreadable(&error)), report);
                return Ok(None);
            }
        };
        match self.known(&picture, &facts).await? {
            Known::Ended(ending) => self.ended(picture, facts.size, ending, report),
            Known::Open(job, group) => open.insert(job, group, picture, facts.size),
            Known::New(job) => return Ok(Some((picture, job, facts.size))),
        }
        Ok(None)
    }

    async fn fetch(&self, picture: Picture, job: JobId) -> (Picture, JobId, Result<u64, Failure>) {
        let fetched = match &picture.origin {
            Origin::Url(url) => self.fetcher.fetch(url, job.into()).await,
            Origin::File(_) => Ok(0),
        };
        (picture, job, fetched)
    }

    async fn enqueue(&self, pictures: Vec<(Picture, JobId, u64)>, open: &mut Open) -> Result<()> {
        if pictures.is_empty() {
            return Ok(());
        }
        let group = NewGroup::new(GroupId::new(), bytes::Bytes::new());
        let mut jobs = Vec::with_capacity(pictures.len());
        for (picture, id, bytes) in pictures {
            jobs.push(NewJob { index: jobs.len() as u32, ..self.job(id, &picture, bytes) });
            open.insert(id, group.id, picture, bytes);
        }
        self.broker.enqueue(&group, &jobs).await.context("the journal takes no more pictures")
    }

    fn ended(&self, picture: Picture, bytes: u64, ending: Ending, report: &mut Report) {
        if !report.ended(picture, &self.batch.here, bytes, ending) {
            self.batch.stop.cancel();
        }
    }

    /// Finds the picture's latest job. Ids count up: a job whose results are gone is followed by another.
    async fn known(&self, picture: &Picture, facts: &Facts) -> Result<Known> {
        for again in 0_u32.. {
            let id = JobId::from(facts.id(again));
            let Some(job) = self.broker.job(id).await? else { return Ok(Known::New(id)) };
            if !job.state.is_terminal() {
                return Ok(Known::Open(id, job.group));
            }
            match self.ending(picture, &job)? {
                Ending::Done { outputs, .. } => return Ok(Known::Ended(Ending::AlreadyDone { outputs })),
                Ending::Failed(failure) if self.batch.is_final(&failure) => {
                    return Ok(Known::Ended(Ending::Failed(failure)));
                }
                _ => {}
            }
        }
        bail!("{}: the journal has no number left for it", self.batch.name(picture))
    }

    fn job(&self, id: JobId, picture: &Picture, bytes: u64) -> NewJob {
        let file = self.file(id, picture);
        // One that cannot be probed will fail before it takes any memory.
        let header = fs::File::open(&file)
            .ok()
            .and_then(|file| imaging::probe(BufReader::with_capacity(16 << 10, file), &self.batch.limits).ok());
        let estimate = |header| imaging::estimate(bytes, &header, &self.batch.operations, &self.batch.limits);
        let payload = Payload::ImageProcess(ImageProcess {
            source: Source::File(file),
            image: self.batch.name(picture),
            operations: self.batch.operations.clone(),
            lenient: self.batch.lenient,
            peak: header.map(estimate),
            lost: 0,
        });
        let bytes = serde_json::to_vec(&payload).expect("paths and operations always serialise").into();
        let job = NewJob::new(payload.kind(), &self.queue, payload.class(), bytes);
        NewJob { id, max_attempts: self.max_attempts, ..job }
    }

    /// Where the picture lies that the job reads.
    fn file(&self, id: JobId, picture: &Picture) -> PathBuf {
        match &picture.origin {
            Origin::File(file) => file.clone(),
            Origin::Url(_) => self.fetcher.place(id.into()),
        }
    }

    /// Takes the results of what has ended since the last look.
    async fn collect(&self, open: &mut Open, report: &mut Report) -> Result<()> {
        for (group, seen) in open.groups.iter().map(|(group, (_, seen))| (*group, *seen)).collect::<Vec<_>>() {
            let Some(stands) = self.broker.group(group).await? else { continue };
            if stands.total - stands.pending == seen {
                continue;
            }
            for ended in self.broker.results(group, 0, CHUNK).await? {
                let Some((picture, bytes)) = open.remove(ended.job, group) else { continue };
                let Some(job) = self.broker.job(ended.job).await? else { continue };
                let ending = self.ending(&picture, &job)?;
                self.ended(picture, bytes, ending, report);
            }
            match open.groups.get_mut(&group) {
                Some((0, _)) | None => {
                    open.groups.remove(&group);
                    // Only an empty one goes.
                    let _ = fs::remove_dir(self.storage.path(&format!("outputs/{group}")));
                }
                Some((_, seen)) => *seen = stands.total - stands.pending,
            }
        }
        Ok(())
    }

    /// Removes the folders of groups that have nothing in them: those of killed runs.
    fn tidy(&self) {
        for folder in fs::read_dir(self.storage.path("outputs")).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(folder.path());
        }
    }

    /// What a finished job's record says, once its results are where they stay.
    fn ending(&self, picture: &Picture, job: &Job) -> Result<Ending> {
        let record = record(job)?;
        if matches!(picture.origin, Origin::Url(_)) {
            self.fetcher.forget(job.id.into());
        }
        if job.state != State::Succeeded {
            // What a killed attempt left behind.
            let _ = fs::remove_dir_all(self.storage.path(&format!("outputs/{}/{}", job.group, job.id)));
            return Ok(Ending::Failed(reason(record)));
        }
        Ok(self.settle(picture, job, record).unwrap_or_else(|(path, error)| Ending::Failed(unwritable(&path, &error))))
    }

    /// Moves the results to their final names; says again the same when they are there already.
    fn settle(&self, picture: &Picture, job: &Job, record: ImageResult) -> Result<Ending, (PathBuf, io::Error)> {
        let folder = self.storage.run_folder(job.group, job.id, record.run);
        let mut outputs = Vec::with_capacity(record.outputs.len());
        for (i, output) in record.outputs.into_iter().enumerate() {
            let output = match output {
                Output::File(output) => output,
                Output::Answer(answer) => {
                    outputs.push(told(&self.batch.out, picture, i, &serde_json::json!(answer))?);
                    continue;
                }
            };
            let path = result_path(&self.batch.out, picture, &output.file);
            let made = folder.join(&output.file);
            if made.exists() {
                let moved = fs::create_dir_all(path.parent().unwrap_or(&path)).and_then(|()| fs::rename(&made, &path));
                moved.map_err(|error| (path.clone(), error))?;
            } else if !is_there(&path, output.bytes) {
                // Deleted, or overwritten by other operations.
                return Ok(Ending::Failed(Failure::transient("result-missing", format!("{} is gone", path.display()))));
            }
            outputs.push(Made {
                path,
                file: output.file,
                kind: output.kind,
                width: Some(output.width),
                height: Some(output.height),
                frames: output.frames,
                duration_ms: output.duration_ms,
                bytes: output.bytes,
                warnings: output.warnings,
            });
        }
        // With it go the leftovers of attempts that were killed.
        if let Some(folder) = folder.parent() {
            let _ = fs::remove_dir_all(folder);
        }
        Ok(Ending::Done { outputs, duration_ms: record.duration_ms })
    }
}

/// How a picture has ended, as far as that still holds, by looking alone.
pub(super) fn remembered(batch: &Batch, queue: &Look, picture: &Picture, facts: &Facts) -> Result<Option<Ending>> {
    for again in 0_u32.. {
        let job = queue.job(facts.id(again).into())?;
        let Some(job) = job.filter(|job| job.state.is_terminal()) else { break };
        let record = record(&job)?;
        if job.state == State::Succeeded {
            if is_kept(batch, picture, &job, &record) {
                return Ok(Some(Ending::AlreadyDone { outputs: Vec::new() }));
            }
        } else {
            let failure = reason(record);
            if batch.is_final(&failure) {
                return Ok(Some(Ending::Failed(failure)));
            }
        }
    }
    Ok(None)
}

/// Whether all results lie in their places, or where a kill left them, from where the next run moves them.
fn is_kept(batch: &Batch, picture: &Picture, job: &Job, record: &ImageResult) -> bool {
    record.outputs.iter().all(|output| match output {
        Output::File(output) => {
            let made = storage::output_key(job.group, job.id, record.run, &output.file);
            batch.journal().join(made).exists()
                || is_there(&result_path(&batch.out, picture, &output.file), output.bytes)
        }
        // Written anew by each run.
        Output::Answer(_) => true,
    })
}

fn record(job: &Job) -> Result<ImageResult> {
    let record = job.result.as_deref().unwrap_or_default();
    ImageResult::from_bytes(record).context("the journal holds a result it cannot read")
}

fn reason(record: ImageResult) -> Failure {
    record.error.unwrap_or_else(|| Failure::permanent("internal", "the journal does not say why"))
}

impl Open {
    fn insert(&mut self, job: JobId, group: GroupId, picture: Picture, bytes: u64) {
        self.jobs.insert(job, (picture, bytes));
        self.groups.entry(group).or_default().0 += 1;
    }

    fn remove(&mut self, job: JobId, group: GroupId) -> Option<(Picture, u64)> {
        let picture = self.jobs.remove(&job)?;
        if let Some((left, _)) = self.groups.get_mut(&group) {
            *left -= 1;
        }
        Some(picture)
    }
}
