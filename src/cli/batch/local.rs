//! A batch in process: the service's own queue and worker, on all cores.
//!
//! The SQLite queue in `OUT/.pixmill` is the journal. A picture's job id follows from its path,
//! size, time of change and the operations, so that enqueueing it again is no new job, and a
//! finished one is known by its id. A result becomes final by a rename; what a crash left
//! between journal and rename is renamed by the next run.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::report::{Ending, Made, Report};
use super::sources::Picture;
use super::{Args, Batch, result_path, told};
use crate::config::Config;
use crate::imaging;
use crate::job::{Failure, GroupId, ImageProcess, ImageResult, JobId, Output, Payload, Source, State};
use crate::metrics::Metrics;
use crate::queue::{Broker, Job, NewGroup, NewJob, Policy};
use crate::storage::Storage;
use crate::worker::{self, Shutdown};

/// Names the ids of batch jobs, so that they are nobody else's.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1c_5b0e_8a3d_5d4b_9d0a_3f7b_21c6_e8d4);
/// Pictures enqueued in one transaction.
const CHUNK: usize = 64;
/// Open pictures below which more are enqueued; what is not enqueued costs nothing but its name.
const OPEN: usize = 2 * CHUNK;
/// Between two looks at what has ended.
const LOOK: Duration = Duration::from_millis(50);

struct Journal<'b> {
    batch: &'b Batch,
    broker: Broker,
    storage: Storage,
    /// Jobs of other operations wait in other queues, untouched by this run.
    queue: String,
    operations: String,
    max_attempts: u32,
    limits: imaging::Limits,
    retry_failed: bool,
}

/// Pictures whose jobs are in the queue.
#[derive(Default)]
struct Open<'b> {
    jobs: HashMap<JobId, &'b Picture>,
    /// By group: how many of `jobs` are its, and how many of all its jobs had ended at the last look.
    groups: HashMap<GroupId, (usize, u32)>,
}

/// How the journal knows a picture.
enum Known {
    Ended(Ending),
    /// Enqueued by an earlier run.
    Open(JobId, GroupId),
    New(NewJob),
}

pub(super) async fn run(batch: &Batch, args: &Args, config: &Config, report: &mut Report) -> Result<()> {
    let folder = batch.out.join(".pixmill");
    let _lock = lock(&folder)?;
    // A picture costs seconds, not minutes, to get back from a killed run; a kill is no picture's fault.
    let policy =
        Policy { lease: Duration::from_secs(6), beat: Duration::from_secs(1), max_stalls: 8, ..config.queue.policy() };
    let mut operations = serde_json::to_string(&batch.operations)?;
    if batch.lenient {
        operations.push_str(" lenient");
    }
    let journal = Journal {
        batch,
        broker: Broker::open_sqlite(&folder.join("queue.db"), policy.clone())?,
        storage: Storage::local(&folder)?,
        queue: format!("batch-{}", Uuid::new_v5(&NAMESPACE, operations.as_bytes()).simple()),
        operations,
        max_attempts: policy.max_attempts,
        limits: config.limits.imaging(),
        retry_failed: args.retry_failed,
    };
    let slots = args.cpu.map_or_else(|| config.worker.slots(), usize::from);
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
        ran = journal.work(report, &over) => ran,
        ended = &mut worker => return ended?.and_then(|()| bail!("the worker ended before its work did")),
    };
    over.cancel();
    let mut open = ran?;
    // The pictures that were being made when the run was stopped.
    worker.await??;
    journal.collect(&mut open, report).await
}

/// Two runs in one folder would take each other's results for their own.
fn lock(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let file = File::create(folder.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another pixmill batch works in {}; wait for it, or use another --out", folder.display())
        }
        Err(TryLockError::Error(error)) => Err(error).context("the journal cannot be locked"),
    }
}

impl<'b> Journal<'b> {
    /// Enqueues and collects until every picture has ended, or until the stop; then leaves what is open.
    async fn work(&self, report: &mut Report, over: &CancellationToken) -> Result<Open<'b>> {
        let mut open = Open::default();
        let mut chunks = self.batch.pictures.chunks(CHUNK);
        let mut more = true;
        loop {
            while more && open.jobs.len() <= OPEN - CHUNK && !self.batch.stop.is_cancelled() {
                match chunks.next() {
                    Some(chunk) => self.enqueue(chunk, &mut open, report).await?,
                    None => more = false,
                }
            }
            if self.batch.stop.is_cancelled() {
                report.say("finishing the pictures that are being made; Ctrl-C again ends at once");
                over.cancel();
                return Ok(open);
            }
            if !more && open.jobs.is_empty() {
                return Ok(open);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.batch.stop.cancelled() => {}
            }
            self.collect(&mut open, report).await?;
        }
    }

    async fn enqueue(&self, chunk: &'b [Picture], open: &mut Open<'b>, report: &mut Report) -> Result<()> {
        let group = NewGroup::new(GroupId::new(), bytes::Bytes::new());
        let mut jobs = Vec::new();
        for picture in chunk {
            match self.known(picture).await? {
                Known::Ended(ending) => report.ended(&self.batch.name(picture), ending),
                Known::Open(job, group) => open.insert(job, group, picture),
                Known::New(job) => {
                    open.insert(job.id, group.id, picture);
                    jobs.push(NewJob { index: jobs.len() as u32, ..job });
                }
            }
        }
        if !jobs.is_empty() {
            self.broker.enqueue(&group, &jobs).await.context("the journal takes no more pictures")?;
        }
        Ok(())
    }

    /// Finds the picture's latest job. Ids count up: a job whose results are gone is followed by another.
    async fn known(&self, picture: &Picture) -> Result<Known> {
        let (Ok(meta), Some(path)) = (fs::metadata(&picture.file), picture.file.to_str()) else {
            return Ok(Known::Ended(Ending::Failed(unusable(&picture.file))));
        };
        let changed = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let facts = format!("{path}\0{}\0{}\0{}", meta.len(), changed.as_nanos(), self.operations);
        for again in 0_u32.. {
            let id = JobId::from(Uuid::new_v5(&NAMESPACE, format!("{facts}\0{again}").as_bytes()));
            let Some(job) = self.broker.job(id).await? else {
                return Ok(Known::New(self.job(id, picture, meta.len())));
            };
            if !job.state.is_terminal() {
                return Ok(Known::Open(id, job.group));
            }
            match self.ending(picture, &job)? {
                Ending::Done { outputs, .. } => return Ok(Known::Ended(Ending::AlreadyDone { outputs })),
                Ending::Failed(failure) if !failure.retryable && !self.retry_failed => {
                    return Ok(Known::Ended(Ending::Failed(failure)));
                }
                _ => {}
            }
        }
        bail!("{}: the journal has no number left for it", picture.file.display())
    }

    fn job(&self, id: JobId, picture: &Picture, bytes: u64) -> NewJob {
        // One that cannot be probed will fail before it takes any memory.
        let header = fs::File::open(&picture.file)
            .ok()
            .and_then(|file| imaging::probe(BufReader::with_capacity(16 << 10, file), &self.limits).ok());
        let estimate = |header| imaging::estimate(bytes, &header, &self.batch.operations, &self.limits);
        let payload = Payload::ImageProcess(ImageProcess {
            source: Source::File(picture.file.clone()),
            image: self.batch.name(picture),
            operations: self.batch.operations.clone(),
            lenient: self.batch.lenient,
            peak: header.map(estimate),
            lost: 0,
        });
        let bytes = serde_json::to_vec(&payload).expect("the path is UTF-8").into();
        let job = NewJob::new(payload.kind(), &self.queue, payload.class(), bytes);
        NewJob { id, max_attempts: self.max_attempts, ..job }
    }

    /// Takes the results of what has ended since the last look.
    async fn collect(&self, open: &mut Open<'b>, report: &mut Report) -> Result<()> {
        for (group, seen) in open.groups.iter().map(|(group, (_, seen))| (*group, *seen)).collect::<Vec<_>>() {
            let Some(stands) = self.broker.group(group).await? else { continue };
            if stands.total - stands.pending == seen {
                continue;
            }
            for ended in self.broker.results(group, 0, CHUNK).await? {
                let Some(picture) = open.remove(ended.job, group) else { continue };
                let Some(job) = self.broker.job(ended.job).await? else { continue };
                report.ended(&self.batch.name(picture), self.ending(picture, &job)?);
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

    /// What a finished job's record says, once its results are where they stay.
    fn ending(&self, picture: &Picture, job: &Job) -> Result<Ending> {
        let record = job.result.as_deref().unwrap_or_default();
        let record: ImageResult =
            serde_json::from_slice(record).context("the journal holds a result it cannot read")?;
        if job.state != State::Succeeded {
            // What a killed attempt left behind.
            let _ = fs::remove_dir_all(self.storage.path(&format!("outputs/{}/{}", job.group, job.id)));
            let unknown = || Failure::permanent("internal", "the journal does not say why");
            return Ok(Ending::Failed(record.error.unwrap_or_else(unknown)));
        }
        Ok(self.settle(picture, job, record).unwrap_or_else(|(path, error)| {
            Ending::Failed(Failure::transient("storage", format!("{} cannot be made: {error}", path.display())))
        }))
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
            } else if !fs::metadata(&path).is_ok_and(|there| there.len() == output.bytes) {
                // Deleted, or overwritten by other operations.
                return Ok(Ending::Failed(Failure::transient("result-missing", format!("{} is gone", path.display()))));
            }
            outputs.push(Made {
                path,
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

impl<'b> Open<'b> {
    fn insert(&mut self, job: JobId, group: GroupId, picture: &'b Picture) {
        self.jobs.insert(job, picture);
        self.groups.entry(group).or_default().0 += 1;
    }

    fn remove(&mut self, job: JobId, group: GroupId) -> Option<&'b Picture> {
        let picture = self.jobs.remove(&job)?;
        if let Some((left, _)) = self.groups.get_mut(&group) {
            *left -= 1;
        }
        Some(picture)
    }
}

fn unusable(file: &Path) -> Failure {
    match fs::metadata(file) {
        Err(error) => Failure::permanent("source-unreadable", error.to_string()),
        Ok(_) => Failure::permanent("source-unreadable", "the name is not UTF-8; rename the file"),
    }
}
