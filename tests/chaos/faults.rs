//! The faults, a function each: it sets the stage, breaks something in the middle of the work, and mends it.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use jiff::{SignedDuration, Timestamp};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::history::What;
use crate::stage::{Handle, Kind, Stage};
use crate::support::until;

pub struct Fault {
    pub name: &'static str,
    pub brokers: &'static [Kind],
    pub inject: for<'a> fn(&'a mut Stage) -> LocalBoxFuture<'a, ()>,
}

const BOTH: &[Kind] = &[Kind::Redis, Kind::Sqlite];
const REDIS: &[Kind] = &[Kind::Redis];
const SQLITE: &[Kind] = &[Kind::Sqlite];
/// What a broker forgets that goes back in time, at the least.
const FORGOTTEN: Duration = Duration::from_secs(1);
/// Of a SQLite file, in bytes.
const PAGE: usize = 4096;

pub const FAULTS: &[Fault] = &[
    Fault { name: "worker-killed", brokers: BOTH, inject: |stage| Box::pin(worker_killed(stage)) },
    Fault { name: "child-killed", brokers: BOTH, inject: |stage| Box::pin(child_killed(stage)) },
    Fault { name: "poison", brokers: BOTH, inject: |stage| Box::pin(poison(stage)) },
    Fault { name: "worker-frozen", brokers: BOTH, inject: |stage| Box::pin(worker_frozen(stage)) },
    Fault { name: "api-killed", brokers: BOTH, inject: |stage| Box::pin(api_killed(stage)) },
    Fault { name: "long-jobs", brokers: BOTH, inject: |stage| Box::pin(long_jobs(stage)) },
    Fault { name: "disk-full", brokers: BOTH, inject: |stage| Box::pin(disk_full(stage)) },
    Fault { name: "bits-flipped", brokers: BOTH, inject: |stage| Box::pin(bits_flipped(stage)) },
    Fault { name: "disk-filled-by-outputs", brokers: BOTH, inject: |stage| Box::pin(disk_filled_by_outputs(stage)) },
    Fault { name: "descriptors-gone", brokers: BOTH, inject: |stage| Box::pin(descriptors_gone(stage)) },
    Fault { name: "clock-back", brokers: BOTH, inject: |stage| Box::pin(clock_back(stage)) },
    Fault { name: "clocks-apart", brokers: REDIS, inject: |stage| Box::pin(clocks_apart(stage)) },
    Fault { name: "redis-killed", brokers: REDIS, inject: |stage| Box::pin(redis_killed(stage)) },
    Fault { name: "redis-asleep", brokers: REDIS, inject: |stage| Box::pin(redis_asleep(stage)) },
    Fault { name: "redis-full", brokers: REDIS, inject: |stage| Box::pin(redis_full(stage)) },
    Fault { name: "redis-flushed", brokers: REDIS, inject: |stage| Box::pin(redis_flushed(stage)) },
    Fault { name: "redis-failover", brokers: REDIS, inject: |stage| Box::pin(redis_failover(stage)) },
    Fault { name: "sqlite-restored", brokers: SQLITE, inject: |stage| Box::pin(sqlite_restored(stage)) },
    Fault { name: "connections-cut", brokers: REDIS, inject: |stage| Box::pin(connections_cut(stage)) },
    Fault { name: "scripts-flushed", brokers: REDIS, inject: |stage| Box::pin(scripts_flushed(stage)) },
    Fault { name: "replies-lost", brokers: REDIS, inject: |stage| Box::pin(replies_lost(stage)) },
];

/// The API, two workers at work, a client that goes on uploading, and a group that another one follows.
async fn two_workers(stage: &mut Stage) -> [Handle; 2] {
    stage.api().await;
    let workers = [stage.worker().await, stage.worker().await];
    stage.enqueue_with_follow_up().await;
    stage.upload();
    stage.at_work(workers[0]).await;
    stage.a_moment().await;
    workers
}

async fn worker_killed(stage: &mut Stage) {
    let [first, _] = two_workers(stage).await;
    stage.at_work(first).await;
    stage.inject(&[first]);
    stage.kill(first);
    stage.worker().await;
    stage.recovered().await;
}

async fn child_killed(stage: &mut Stage) {
    let [first, _] = two_workers(stage).await;
    stage.at_work(first).await;
    stage.inject(&[first]);
    for child in stage.program(first).children() {
        // One that is ending by itself may be gone.
        let _ = kill_process(child, Signal::KILL);
    }
    stage.recovered().await;
}

/// A picture that takes its process down whenever it is computed. It must fail as that, and its neighbours must not.
async fn poison(stage: &mut Stage) {
    two_workers(stage).await;
    stage.upload_long(4, 1).await;
    let (group, victim) = stage.enqueue_long_job(8).await;
    stage.terms.failing.insert(group.to_string(), "poison".into());
    let mut killed = HashSet::new();
    stage
        .until_ended(group, |stage| {
            for entry in stage.seen() {
                if let What::Started { job, process: Some(process), .. } = entry.what
                    && job == victim.to_string()
                    && killed.insert(process)
                {
                    let _ = kill_process(Pid::from_raw(process).expect("a process's id"), Signal::KILL);
                }
            }
        })
        .await;
}

/// Its jobs go to another worker; what it brings when it wakes up must not count.
async fn worker_frozen(stage: &mut Stage) {
    let [first, _] = two_workers(stage).await;
    stage.at_work(first).await;
    stage.inject(&[first]);
    stage.signal(first, Signal::STOP);
    match stage.kind {
        Kind::Redis => stage.recovered().await,
        // Frozen in the middle of a write, it holds the file, and everybody waits for it.
        Kind::Sqlite => stage.pass(2 * stage.pace.past_lease()).await,
    }
    stage.signal(first, Signal::CONT);
    stage.recovered().await;
}

/// With its workers, where they live in it; and with an upload half received.
async fn api_killed(stage: &mut Stage) {
    let api = match stage.kind {
        Kind::Redis => {
            let api = stage.api().await;
            stage.worker().await;
            api
        }
        Kind::Sqlite => stage.service().await,
    };
    stage.enqueue_with_follow_up().await;
    stage.upload();
    stage.acknowledged().await;
    stage.a_moment().await;
    let mut half = TcpStream::connect(stage.client().address()).await.unwrap();
    let head = "POST /api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n\
                Content-Length: 90000\r\n\r\n--b\r\nContent-Disposition: form-data; name=\"images\"; \
                filename=\"a.png\"\r\n\r\n";
    half.write_all(&[head.as_bytes(), &vec![0; 40_000]].concat()).await.unwrap();
    stage.inject(&[api]);
    stage.kill(api);
    match stage.kind {
        Kind::Redis => stage.api().await,
        Kind::Sqlite => stage.service().await,
    };
    stage.recovered().await;
}

/// More pictures at a time than cores, each for many times the lease: heartbeats must not fall behind.
async fn long_jobs(stage: &mut Stage) {
    let (count, outputs) = stage.pace.long_jobs;
    stage.configure("worker.cpu", &count.to_string());
    stage.terms.no_repeats = true;
    stage.service().await;
    stage.upload_long(count, outputs).await;
}

async fn disk_full(stage: &mut Stage) {
    stage.on_small_disk("48m");
    // As often as it takes: the disk stays full for longer than the usual attempts.
    stage.configure("queue.max_attempts", "100");
    two_workers(stage).await;
    stage.upload_long(8, 12).await;
    stage.inject(&[]);
    let filler = stage.disk().fill();
    stage.refused().await;
    // An output that cannot be written, or on SQLite not even that this is so, or that somebody takes the job.
    stage.somebody_says(&["retried: job", "is given back", "cannot settle", "cannot claim"]).await;
    std::fs::remove_file(filler).unwrap();
    stage.healed();
    stage.recovered().await;
}

/// While nobody runs, bits turn over in an original, in a manifest and in the broker's own file: in many pages of SQLite's,
/// which is moved away where the service refuses it, as it says; Redis loses all of its own, as a file that it cannot
/// load leaves it. What can still be read is made; the two others fail by name.
async fn bits_flipped(stage: &mut Stage) {
    let api = stage.api().await;
    // Enough to keep the worker from what comes last.
    stage.upload_long(8, 3).await;
    let (original, manifest) = (stage.upload_long(1, 1).await, stage.upload_long(1, 1).await);
    stage.upload();
    let worker = stage.worker().await;
    stage.at_work(worker).await;
    stage.acknowledged().await;
    stage.a_moment().await;
    stage.inject(&[worker]);
    stage.kill(worker);
    stage.kill(api);
    stage.note_what_the_broker_has_ended().await;

    let [of_original, of_manifest] = [format!("uploads/{original}/0"), format!("outbox/{manifest}.json")];
    let open = |stage: &Stage, group: &String| !stage.terms.over.contains(group);
    if open(stage, &original) {
        stage.turn_bits_over(&of_original, None);
        stage.terms.failing.insert(original.clone(), "source-damaged".into());
    }
    let unreadable = open(stage, &manifest);
    if unreadable {
        stage.turn_bits_over(&of_manifest, None);
    }
    let forgets = match stage.kind {
        Kind::Redis => {
            stage.redis().order("FLUSHALL").await;
            true
        }
        Kind::Sqlite => {
            stage.turn_bits_over("queue.db", Some(PAGE));
            stage.terms.damaged = true;
            stage.moves_a_damaged_queue_away().await
        }
    };
    if forgets {
        stage.terms.forgotten_at = Some(Timestamp::now());
        if unreadable {
            stage.terms.unreadable.insert(manifest, "manifest-damaged".into());
        }
    }
    stage.api().await;
    stage.worker().await;
    stage.recovered().await;
}

/// Pictures whose outputs fill the disk and do not fit on it, beside others. They must fail as that, and nothing else may.
async fn disk_filled_by_outputs(stage: &mut Stage) {
    const MEGABYTES: usize = 48;
    stage.on_small_disk(&format!("{MEGABYTES}m"));
    stage.configure("limits.min_free_disk", "0.05");
    stage.configure("limits.ballast", "4000000");
    two_workers(stage).await;
    stage.inject(&[]);
    let group = stage.upload_too_large(3, MEGABYTES).await;
    stage.terms.failing.insert(group.clone(), "storage-full".into());
    stage.until_ended(group.parse().expect("an id"), |_| {}).await;
    stage.healed();
    stage.recovered().await;
}

/// A service with workers and few descriptors: silent connections take what it lets them have, then the system takes the
/// rest of one that is at work. What was acknowledged is done when they are there again.
async fn descriptors_gone(stage: &mut Stage) {
    stage.limit_files(512);
    let service = stage.service().await;
    stage.enqueue_with_follow_up().await;
    stage.upload();
    stage.acknowledged().await;
    stage.at_work(service).await;
    stage.a_moment().await;
    stage.inject(&[]);
    stage.connect_in_silence(600);
    stage.refused().await;
    stage.take_descriptors(service, true);
    stage.pass(stage.pace.past_lease()).await;
    stage.take_descriptors(service, false);
    stage.hang_up();
    stage.healed();
    stage.recovered().await;
}

/// The machine's clock is set back an hour just after a worker was killed: its leases end in time all the same.
async fn clock_back(stage: &mut Stage) {
    stage.by_a_clock();
    let [first, _] = two_workers(stage).await;
    stage.at_work(first).await;
    stage.inject(&[first]);
    stage.kill(first);
    stage.set_clock_back();
    stage.worker().await;
    stage.recovered().await;
}

/// Two services with workers and sweepers on one broker, one of them an hour ahead, and a worker an hour behind.
/// Nothing is broken: no lease may run out because of a clock.
async fn clocks_apart(stage: &mut Stage) {
    stage.terms.no_repeats = true;
    stage.service().await;
    stage.second_service(SignedDuration::from_hours(1)).await;
    stage.worker_ahead(SignedDuration::from_hours(-1)).await;
    stage.enqueue_with_follow_up().await;
    stage.upload();
    stage.pass(2 * stage.pace.past_lease()).await;
}

async fn redis_killed(stage: &mut Stage) {
    two_workers(stage).await;
    stage.inject(&[]);
    stage.redis().down();
    stage.refused().await;
    stage.pass(stage.pace.past_lease()).await;
    stage.redis().up();
    stage.healed();
    stage.recovered().await;
}

/// It holds its connections and says nothing, for longer than any call waits.
async fn redis_asleep(stage: &mut Stage) {
    two_workers(stage).await;
    stage.inject(&[]);
    stage.redis().order(&format!("DEBUG SLEEP {}", stage.pace.sleep.as_secs())).await;
    stage.healed();
    stage.recovered().await;
}

/// New work is refused, what is there is drained.
async fn redis_full(stage: &mut Stage) {
    two_workers(stage).await;
    stage.inject(&[]);
    stage.redis().order("CONFIG SET maxmemory 1").await;
    stage.refused().await;
    stage.drained().await;
    stage.redis().order("CONFIG SET maxmemory 0").await;
    stage.healed();
}

/// As a failover to an empty replica would leave it. What is owed stands in the outbox; what was enqueued beside HTTP
/// does not.
async fn redis_flushed(stage: &mut Stage) {
    stage.api().await;
    let first = stage.worker().await;
    stage.upload();
    stage.acknowledged().await;
    stage.at_work(first).await;
    stage.a_moment().await;
    stage.note_what_is_over().await;
    stage.inject(&[]);
    stage.redis().order("FLUSHALL").await;
    stage.has_forgotten();
    stage.recovered().await;
}

/// A replica is promoted whose link had broken: Redis forgets what it did since, while workers hold what it gave them.
async fn redis_failover(stage: &mut Stage) {
    let [first, _] = two_workers(stage).await;
    let replica = stage.redis().replica().await;
    stage.at_work(first).await;
    stage.a_moment().await;
    replica.is_cut_off().await;
    stage.acknowledged().await;
    stage.pass(FORGOTTEN).await;
    stage.note_what_is_over().await;
    stage.inject(&[]);
    stage.fail_over_to(replica).await;
    stage.has_forgotten();
    stage.healed();
    stage.recovered().await;
}

/// The queue's file is damaged, and a copy from before takes its place; originals and outputs are as they were.
async fn sqlite_restored(stage: &mut Stage) {
    let service = stage.service().await;
    stage.enqueue_with_follow_up().await;
    stage.upload();
    stage.at_work(service).await;
    stage.a_moment().await;
    let copy = stage.copy_of_queue();
    stage.acknowledged().await;
    stage.pass(FORGOTTEN).await;
    stage.note_what_is_over().await;
    stage.inject(&[service]);
    stage.kill(service);
    stage.restore_queue(&copy);
    stage.has_forgotten();
    stage.service().await;
    stage.recovered().await;
}

async fn connections_cut(stage: &mut Stage) {
    two_workers(stage).await;
    stage.inject(&[]);
    for _ in 0..stage.pace.times {
        stage.redis().order("CLIENT KILL TYPE normal").await;
        stage.a_moment().await;
    }
    stage.healed();
    stage.recovered().await;
}

async fn scripts_flushed(stage: &mut Stage) {
    two_workers(stage).await;
    stage.inject(&[]);
    for _ in 0..stage.pace.times {
        stage.redis().order("SCRIPT FLUSH").await;
        stage.a_moment().await;
    }
    stage.healed();
    stage.recovered().await;
}

/// Redis did what it was asked, and nobody heard of it.
async fn replies_lost(stage: &mut Stage) {
    stage.behind_proxy().await;
    two_workers(stage).await;
    stage.inject(&[]);
    for _ in 0..2 * stage.pace.times {
        let before = stage.proxy().lost();
        stage.proxy().lose_next_reply();
        until("a reply is lost", async || (stage.proxy().lost() > before).then_some(())).await;
        stage.pass(Duration::from_millis(20)).await;
    }
    stage.healed();
    stage.recovered().await;
}
