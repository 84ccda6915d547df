//! kill -9, SIGSTOP and SIGTERM of workers and of the whole service, in the middle of their work.

use rustix::process::Signal;

use super::{all_are_done, hasty, upload};
use crate::support::client::Client;
use crate::support::service::Home;
use crate::support::until;

async fn done_at_least(client: &Client, group: &str, count: u64) {
    until(&format!("{count} pictures are done"), async || {
        (client.status(group).await["done"].as_u64().unwrap() >= count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn workers_killed_in_turn_lose_no_picture() {
    let home = hasty(Home::redis());
    let service = home.serve_with(&["--no-workers"]);
    let (first, second) = (home.worker().await, home.worker().await);
    let group = upload(&service, 40).await;
    done_at_least(&service, &group, 3).await;
    first.kill();
    done_at_least(&service, &group, 10).await;
    second.kill();
    let _third = home.worker().await;
    let status = all_are_done(&service, &group, 40).await;
    let again = status["result"].as_array().unwrap().iter().filter(|entry| entry["attempts"] != 1).count();
    assert!(again > 0, "the kills hit nobody at work");
}

#[tokio::test]
async fn service_killed_in_the_middle_goes_on_after_a_restart() {
    let home = hasty(Home::sqlite());
    let service = home.serve();
    let group = upload(&service, 30).await;
    done_at_least(&service, &group, 3).await;
    service.process.kill();
    let service = home.serve();
    all_are_done(&service, &group, 30).await;
}

#[tokio::test]
async fn leftovers_of_killed_attempts_are_never_results() {
    let home = hasty(Home::sqlite());
    let service = home.serve();
    let group = upload(&service, 12).await;
    done_at_least(&service, &group, 1).await;
    service.process.kill();
    let service = home.serve();
    let status = all_are_done(&service, &group, 12).await;
    for entry in status["result"].as_array().unwrap() {
        let attempt = entry["attempts"].as_u64().unwrap();
        let path = entry["paths"][0].as_str().unwrap();
        assert!(path.contains(&format!("/{attempt}/0-resize")), "{path} is not of attempt {attempt}");
    }
}

#[tokio::test]
async fn worker_told_to_stop_finishes_what_runs_and_gives_the_rest_back() {
    // The lease is the shipped one: what is given back must not wait for it.
    let home = Home::redis();
    let service = home.serve_with(&["--no-workers"]);
    let worker = home.worker().await;
    let group = upload(&service, 24).await;
    done_at_least(&service, &group, 2).await;
    worker.signal(Signal::TERM);
    let (status, _, log) = worker.ends().await;
    assert!(status.success(), "{log}");
    assert!(log.contains("given back"), "{log}");
    let _other = home.worker().await;
    let status = all_are_done(&service, &group, 24).await;
    let attempts: Vec<&serde_json::Value> =
        status["result"].as_array().unwrap().iter().map(|entry| &entry["attempts"]).collect();
    assert!(attempts.iter().all(|attempts| **attempts == 1), "giving back costs no attempt: {attempts:?}");
}

#[tokio::test]
async fn service_told_to_stop_ends_well_and_loses_nothing() {
    let home = Home::sqlite();
    let service = home.serve();
    let group = upload(&service, 12).await;
    done_at_least(&service, &group, 1).await;
    service.process.signal(Signal::TERM);
    let (status, _, log) = service.process.ends().await;
    assert!(status.success(), "{log}");
    let service = home.serve();
    all_are_done(&service, &group, 12).await;
}

#[tokio::test]
async fn worker_that_slept_past_its_lease_changes_nothing() {
    let home = hasty(Home::redis());
    let service = home.serve_with(&["--no-workers"]);
    let sleeper = home.worker().await;
    let group = upload(&service, 8).await;
    done_at_least(&service, &group, 1).await;
    sleeper.signal(Signal::STOP);
    let _other = home.worker().await;
    let before = all_are_done(&service, &group, 8).await;
    sleeper.signal(Signal::CONT);
    // It hears that its leases are gone, and takes new work again.
    sleeper.says("lost").await;
    let next = upload(&service, 4).await;
    all_are_done(&service, &next, 4).await;
    assert_eq!(all_are_done(&service, &group, 8).await, before);
}
