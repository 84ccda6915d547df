//! Redis that is not there at the start, and one that goes away in the middle.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::{all_is_well, attempts, gated_group, impatient, patient, reaches, stands_at, talkative};
use crate::support::client::images;
use crate::support::gate::Gate;
use crate::support::pictures::plain_png;
use crate::support::redis::RedisServer;
use crate::support::service::Home;
use crate::support::{free_port, until};

#[tokio::test]
async fn start_without_redis_ends_and_names_the_url_without_its_password() {
    let port = free_port();
    let home = Home::on(&format!("redis://:secret@127.0.0.1:{port}/0"));
    let started = Instant::now();
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["worker"]].map(|command| home.start(command)) {
        let (status, output, log) = command.ends().await;
        assert_eq!((status.code(), output.as_str()), (Some(1), ""));
        let last = log.trim_end().lines().last().unwrap();
        assert!(last.contains(&format!("127.0.0.1:{port}")) && last.contains("broker.redis"), "{last}");
        assert!(!log.contains("secret"), "{log}");
    }
    assert!(started.elapsed() > Duration::from_secs(9), "Redis and the service may start together");
}

#[tokio::test]
async fn service_waits_for_a_redis_that_starts_with_it() {
    let redis = RedisServer::start(&[]);
    redis.down();
    let home = Home::on(&redis.url());
    let worker = home.start(&["worker"]);
    worker.says("Redis is not there yet").await;
    redis.up();
    worker.says("takes jobs from").await;
}

#[tokio::test]
async fn uploads_are_refused_while_redis_is_away_and_taken_when_it_is_back() {
    let redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let home = impatient(Home::on(&redis.url())).set("queue.max_stalls", "10");
    let service = home.serve();
    let (group, gates) = gated_group(&home, &service, 10, 3..5).await;
    reaches(&service, &group, 3).await;
    // What the service last saw holds for a second, a worker that was not there yet included.
    until("the service is ready", async || (service.get("/readyz").await.status == 200).then_some(())).await;
    let before = home.files("uploads").len();
    redis.down();

    // What the service last saw of Redis holds for a second.
    until("the service is not ready", async || {
        let answer = service.get("/readyz").await;
        (answer.status == 503).then(|| assert_eq!(answer.problem()["code"], "broker-unavailable"))
    })
    .await;
    let answer = service.post(images([("a.png", plain_png(9, 9))])).await;
    let problem = answer.problem();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(503), &json!("broker-unavailable")), "{problem}");
    assert_eq!(answer.header("retry-after"), "5");
    assert!(!answer.text().contains(&redis.port().to_string()), "the cause is for the log: {problem}");
    assert_eq!(service.get(&format!("/api/task_status/{group}")).await.problem()["code"], "broker-unavailable");
    assert_eq!(service.get("/healthz").await.status, 200);
    assert_eq!(service.get("/metrics").await.status, 200);
    assert_eq!(home.files("uploads").len(), before, "it was refused before it was read");
    gates.into_iter().for_each(Gate::open);
    service.process.says("holding their results").await;

    redis.up();
    until("the service is ready again", async || (service.get("/readyz").await.status == 200).then_some(())).await;
    all_is_well(&home, &service, &group, 10).await;
    assert_eq!(service.done(images([("b.png", plain_png(9, 9))])).await["succeeded"], 1);
}

#[tokio::test]
async fn results_held_through_a_short_outage_count_as_they_are() {
    let redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let home = patient(Home::on(&redis.url()));
    let service = home.serve();
    let (group, gates) = gated_group(&home, &service, 10, 3..5).await;
    reaches(&service, &group, 3).await;
    redis.down();
    gates.into_iter().for_each(Gate::open);
    service.process.says("holding their results").await;
    redis.up();
    let status = all_is_well(&home, &service, &group, 10).await;
    assert_eq!(attempts(&status), [1; 10], "{status}");
}

/// The API went on alone, took uploads, and nothing was ever done with them.
#[tokio::test]
async fn service_whose_workers_cannot_start_ends_and_says_why() {
    // One connection for the API, none for the heartbeat.
    let redis = RedisServer::start(&["--maxclients", "1"]);
    let home = Home::on(&redis.url());
    let (status, _, log) = home.start(&["serve", "--listen", "127.0.0.1:0"]).ends().await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("the workers ended") && log.contains("heartbeat"), "{log}");
}

/// The replica that is promoted lacks what its master did last: that a worker had taken the jobs. Another one takes them,
/// as their first run again, and what it publishes is not the late one's to remove.
#[tokio::test]
async fn late_worker_removes_nothing_after_a_failover_that_forgot_its_leases() {
    let redis = RedisServer::start(&[]);
    let home = impatient(talkative(Home::on(&redis.url()))).set("worker.cpu", "1").set("worker.prefetch", "1");
    let service = home.serve_with(&["--no-workers"]);
    let (group, mut gates) = gated_group(&home, &service, 2, 0..1).await;
    let replica = redis.replica().await;
    replica.is_cut_off().await;
    let late = home.worker().await;
    until("it has come to the gate", async || (late.starts().len() == 1).then_some(())).await;
    stands_at(&home, 2, 0).await;
    late.signal(Signal::STOP);
    let _promoted = replica.takes_over(redis).await;
    let gate = gates.remove(0);
    gate.let_others_pass();
    let _winner = home.worker().await;
    until("the service reaches the new master", async || {
        (service.get(&format!("/api/task_status/{group}")).await.status == 200).then_some(())
    })
    .await;
    let status = all_is_well(&home, &service, &group, 2).await;

    gate.wake();
    late.signal(Signal::CONT);
    for entry in status["result"].as_array().unwrap() {
        late.says(&format!("lost: job {}", entry["job_id"].as_str().unwrap())).await;
    }
    // At its end it has removed whatever it removes.
    late.signal(Signal::TERM);
    late.ends().await;
    assert_eq!(all_is_well(&home, &service, &group, 2).await, status);
}
