//! Processes that end without a word, and one that only sleeps.

use std::sync::Arc;

use rustix::process::Signal;

use super::{all_is_well, attempts, gated_group, impatient, reaches, stands_at, talkative};
use crate::support::client::images;
use crate::support::faketime::FakeClock;
use crate::support::gate::Gate;
use crate::support::pictures::plain_png;
use crate::support::service::Home;
use crate::support::until;

#[tokio::test]
async fn killed_workers_lose_no_picture_on_redis() {
    let home = impatient(talkative(Home::redis())).set("queue.max_stalls", "10").set("worker.prefetch", "1");
    let service = home.serve_with(&["--no-workers"]);
    let (first, second) = (home.worker().await, home.worker().await);
    // Two slots and one job ahead each: with four that hang, every worker is killed at work. They come last: a worker
    // that stands still has nothing else ahead.
    let (group, gates) = gated_group(&home, &service, 16, 12..16).await;
    reaches(&service, &group, 12).await;
    stands_at(&home, 4, 0).await;
    first.kill();
    let third = home.worker().await;
    third.says("started job").await;
    second.kill();
    let fourth = home.worker().await;
    fourth.says("started job").await;
    third.kill();
    gates.into_iter().for_each(Gate::open);
    let status = all_is_well(&home, &service, &group, 16).await;
    let attempts = attempts(&status);
    assert!(attempts.iter().enumerate().all(|(i, &tries)| (tries > 1) == (i >= 12)), "{status}");
}

#[tokio::test]
async fn killed_service_goes_on_where_it_was_on_sqlite() {
    let home = impatient(talkative(Home::sqlite())).set("queue.max_stalls", "10").set("worker.cpu", "3");
    let service = home.serve();
    // Two of three slots come to a gate; the third does all the rest.
    let (group, gates) = gated_group(&home, &service, 10, 3..5).await;
    reaches(&service, &group, 8).await;
    stands_at(&home, 2, 0).await;
    service.process.kill();
    let service = home.serve();
    until("the two begin again", async || (service.process.starts().len() == 2).then_some(())).await;
    service.process.kill();
    let service = home.serve();
    gates.into_iter().for_each(Gate::open);
    let status = all_is_well(&home, &service, &group, 10).await;
    assert_eq!(attempts(&status), [1, 1, 1, 3, 3, 1, 1, 1, 1, 1], "{status}");
    let depths = service.get("/metrics").await.text();
    for state in ["waiting", "delayed", "active"] {
        let line = format!(r#"pixmill_jobs{{queue="cpu_intensive",state="{state}"}} 0"#);
        assert!(depths.contains(&line), "{depths}");
    }
}

#[tokio::test]
async fn killed_workers_pictures_go_on_though_the_clock_is_set_back() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(folder.path().join("clock")));
    let home = impatient(talkative(Home::sqlite())).by(&clock);
    let service = home.serve_with(&["--no-workers"]);
    let first = home.worker().await;
    let (group, gates) = gated_group(&home, &service, 2, 0..2).await;
    until("both are at work", async || (first.starts().len() == 2).then_some(())).await;
    first.kill();
    clock.set("-1h");
    let _second = home.worker().await;
    gates.into_iter().for_each(Gate::open);
    all_is_well(&home, &service, &group, 2).await;
}

#[tokio::test]
async fn late_result_of_a_frozen_worker_changes_nothing() {
    let home = impatient(talkative(Home::redis())).set("worker.cpu", "1").set("worker.prefetch", "1");
    let service = home.serve_with(&["--no-workers"]);
    let frozen = home.worker().await;
    let (group, mut gates) = gated_group(&home, &service, 6, 1..2).await;
    until("it has come to the gate", async || (frozen.starts().len() == 2).then_some(())).await;
    frozen.signal(Signal::STOP);
    let gate = gates.remove(0);
    gate.let_others_pass();
    let _winner = home.worker().await;
    let status = all_is_well(&home, &service, &group, 6).await;
    let overtaken = &status["result"][1];
    assert_eq!(overtaken["attempts"], 2, "{status}");
    // Its process has gone on: the late result waits for it.
    gate.wake();
    frozen.signal(Signal::CONT);
    frozen.says(&format!("lost: job {}", overtaken["job_id"].as_str().unwrap())).await;
    // It is awake and at work again, and what it brought late is gone.
    let form = images([("a.png", plain_png(9, 9))]);
    assert_eq!(service.done(form).await["succeeded"], 1);
    let winner = overtaken["paths"][0].as_str().unwrap().replacen("/files/", "outputs/", 1);
    let winner = home.folder().join(winner).parent().unwrap().to_owned();
    until("the loser's outputs are gone", async || {
        let runs: Vec<_> =
            std::fs::read_dir(winner.parent().unwrap()).unwrap().map(|run| run.unwrap().path()).collect();
        (runs == [winner.clone()]).then_some(())
    })
    .await;
    assert_eq!(all_is_well(&home, &service, &group, 6).await, status);
}
