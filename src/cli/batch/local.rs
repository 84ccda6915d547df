//! A batch in process: the service's own queue and worker, on all cores.
//!
//! The SQLite queue in `OUT/.pixmill` is the journal. A picture's job id follows from its [`Facts`], so
//! that enqueueing it again is no new job, and a finished one is known by its id. A result becomes final
//! by a rename; what a crash left between journal and rename is renamed by the next run.

use std::collections::HashMap;
use std::fs;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use imaging::Operation;
use queue::{Broker, GroupId, Job, JobId, NewGroup, NewJob, Policy, ReadOnlyQueue, State};
use tokio::sync::mpsc::Receiver;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::fetch::{self, Fetcher};
use super::identity::{Facts, NAMESPACE};
use super::ledger::{self, Ledger, LedgerEntry, Together};
use super::picture::{Origin, Picture};
use super::report::{Ending, Made, Report};
use super::sources::Found;
use super::{Batch, QUEUE, Told, give_name, unreadable, unwritable};
use crate::config::Config;
use crate::errors::Failure;
use crate::kinds::{ImageProcess, ImageResult, Output, OutputFile, Payload, Source};
use crate::metrics::Metrics;
use crate::net::Calls;
use crate::sources::Places;
use crate::storage::{self, Part, Storage};
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
    ledger: Ledger,
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
        ledger: batch.ledger()?,
        broker: Broker::open_sqlite(&folder.join(QUEUE), policy.clone())?,
        storage: Storage::local(&folder)?,
        fetcher: Fetcher::new(&folder, batch.limits.max_file_bytes, batch.stop.clone())?,
        queue: format!("batch-{}", Uuid::new_v5(&NAMESPACE, batch.asked.0.as_bytes()).simple()),
        max_attempts: policy.max_attempts,
    };
    let slots = batch.concurrency.map_or_else(|| config.worker.slots(), usize::from);
    let settings = worker::Settings {
        program: worker::own_program().context("cannot find the program that computes pictures")?,
        arguments: batch.folders.arguments(),
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
        sources: Places::default(),
        calls: Calls::default(),
        workflows: None,
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
    journal.ledger.close()
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
                        // The next run finds the pictures that are left.
                        if self.batch.stop.is_cancelled() {
                            break;
                        }
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
            let ended = [(picture.clone(), job)];
            match self.endings(&ended)?.pop() {
                Some(Ending::Done { outputs, .. }) => return Ok(Known::Ended(Ending::AlreadyDone { outputs })),
                // The result is kept until its name is free: it is not made again.
                Some(Ending::Failed(failure)) if self.batch.is_final(&failure) || failure.code == "name-taken" => {
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
            check: None,
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
        let (mut ended, mut bytes_in, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        for (group, seen) in open.groups.iter().map(|(group, (_, seen))| (*group, *seen)).collect::<Vec<_>>() {
            let Some(stands) = self.broker.group(group).await? else { continue };
            if stands.total - stands.pending == seen {
                continue;
            }
            for one in self.broker.results(group, 0, CHUNK).await? {
                let Some((picture, bytes)) = open.remove(one.job, group) else { continue };
                let Some(job) = self.broker.job(one.job).await? else { continue };
                ended.push((picture, job));
                bytes_in.push(bytes);
            }
            match open.groups.get_mut(&group) {
                Some((0, _)) | None => {
                    open.groups.remove(&group);
                    whole.push(group);
                }
                Some((_, seen)) => *seen = stands.total - stands.pending,
            }
        }
        let endings = self.endings(&ended)?;
        for (((picture, _), bytes), ending) in ended.into_iter().zip(bytes_in).zip(endings) {
            self.ended(picture, bytes, ending, report);
        }
        for group in whole {
            // Only an empty one is removed.
            self.storage.remove_empty_outputs(group);
        }
        Ok(())
    }

    /// Removes the folders of groups that have nothing in them: those of killed runs.
    fn tidy(&self) {
        for (group, _) in self.storage.groups_of(Part::Outputs).into_iter().flatten().flatten() {
            self.storage.remove_empty_outputs(group);
        }
    }

    /// What finished jobs' records say, once their results are where they stay.
    ///
    /// The ledger is written once for all of them, and before any result gets its name.
    fn endings(&self, ended: &[(Picture, Job)]) -> Result<Vec<Ending>> {
        let mut together = Together::default();
        let mut entries = Vec::new();
        let mut settled = Vec::with_capacity(ended.len());
        for (picture, job) in ended {
            let record = record(job)?;
            if matches!(picture.origin, Origin::Url(_)) {
                self.fetcher.forget(job.id.into());
            }
            if job.state == State::Succeeded {
                settled.push(self.results(picture, job, record, &mut together, &mut entries)?);
            } else {
                // What a killed attempt left behind.
                let _ = self.storage.keep_run(job.group, job.id, None);
                settled.push(Err(reason(record)));
            }
        }
        self.ledger.note(&entries)?;
        let finish = |(settled, (_, job)): (Result<Settled, Failure>, &(Picture, Job))| {
            settled.and_then(|settled| self.settle(settled, job)).unwrap_or_else(Ending::Failed)
        };
        Ok(settled.into_iter().zip(ended).map(finish).collect())
    }

    /// Where a job's results are, and where they are to stay; adds those that are new to `entries`.
    fn results(
        &self,
        picture: &Picture,
        job: &Job,
        record: ImageResult,
        together: &mut Together,
        entries: &mut Vec<LedgerEntry>,
    ) -> Result<Result<Settled, Failure>> {
        let folder = self.storage.run_folder(job.group, job.id, record.run);
        let source = ledger::source_of(picture);
        let mut new = Vec::new();
        let mut results = Vec::with_capacity(record.outputs.len());
        for (i, output) in record.outputs.into_iter().enumerate() {
            let (file, from) = match output {
                Output::File(output) => (output.file.clone(), Given::File(output)),
                Output::Answer(answer) => {
                    let name = self.batch.operations.get(i).and_then(Operation::name);
                    let told = Told::of(i, name, &serde_json::json!(answer));
                    (told.file.clone(), Given::Answer(told))
                }
            };
            let (path, made) = (self.batch.names.path(picture, &file), folder.path().join(&file));
            let is_kept = self.ledger.holds(&path, job.id.into())?;
            if let Given::Answer(told) = &from
                && !is_kept
                && let Err(failure) = told.write(&made)
            {
                return Ok(Err(failure));
            }
            let is_new = made.exists();
            if is_new {
                if let Err(failure) = self.ledger.may_write(&path, picture, together)? {
                    return Ok(Err(failure));
                }
                let sha256 = match ledger::digest_of(&made) {
                    Ok(sha256) => sha256,
                    Err(error) => return Ok(Err(unwritable(&made, &error))),
                };
                new.push(LedgerEntry { path: path.clone(), source: source.clone(), picture: job.id.into(), sha256 });
            } else if !is_kept {
                // Deleted, changed, or replaced by those of other operations.
                let said =
                    format!("{} is missing, or has changed since it was made", self.batch.out.join(&path).display());
                return Ok(Err(Failure::transient("result-missing", said)));
            }
            results.push((from, is_new.then_some(made), self.batch.out.join(path)));
        }
        entries.append(&mut new);
        Ok(Ok(Settled { results, duration_ms: record.duration_ms }))
    }

    /// Gives the results their names; says the same again where they have them already.
    fn settle(&self, settled: Settled, job: &Job) -> Result<Ending, Failure> {
        let mut outputs = Vec::with_capacity(settled.results.len());
        for (from, made, path) in settled.results {
            if let Some(made) = made {
                give_name(&made, &path)?;
            }
            outputs.push(match from {
                Given::Answer(told) => told.made(path),
                Given::File(output) => Made {
                    path,
                    file: output.file,
                    kind: output.kind,
                    width: Some(output.width),
                    height: Some(output.height),
                    frames: output.frames,
                    duration_ms: output.duration_ms,
                    bytes: output.bytes,
                    warnings: output.warnings,
                },
            });
        }
        // With it go the leftovers of attempts that were killed.
        let _ = self.storage.keep_run(job.group, job.id, None);
        Ok(Ending::Done { outputs, duration_ms: settled.duration_ms })
    }
}

/// What a job yielded.
enum Given {
    File(OutputFile),
    Answer(Told),
}

/// The results of a finished job: what each is, where it is if it has no name yet, and where it stays.
struct Settled {
    results: Vec<(Given, Option<PathBuf>, PathBuf)>,
    duration_ms: Option<u64>,
}

/// How a picture has ended, as far as that still holds, by looking alone.
pub(super) fn remembered(
    batch: &Batch,
    queue: &ReadOnlyQueue,
    ledger: &Ledger,
    picture: &Picture,
    facts: &Facts,
) -> Result<Option<Ending>> {
    for again in 0_u32.. {
        let job = queue.job(facts.id(again).into())?;
        let Some(job) = job.filter(|job| job.state.is_terminal()) else { break };
        let record = record(&job)?;
        if job.state == State::Succeeded {
            if is_kept(batch, ledger, picture, &job, &record)? {
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

/// Whether all results are in their places, or where a kill left them, from where the next run moves them.
fn is_kept(batch: &Batch, ledger: &Ledger, picture: &Picture, job: &Job, record: &ImageResult) -> Result<bool> {
    for output in &record.outputs {
        // Answers are written again by each run.
        let Output::File(output) = output else { continue };
        let made = batch.journal().join(storage::output_key(job.group, job.id, record.run, &output.file));
        if !made.exists() && !ledger.holds(&batch.names.path(picture, &output.file), job.id.into())? {
            return Ok(false);
        }
    }
    Ok(true)
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
