//! Processes that end without a word, and one that only sleeps.

use rustix::process::Signal;

use super::{all_is_well, impatient, long_group, underway};
use crate::support::client::images;
use crate::support::pictures::plain_png;
use crate::support::service::Home;
use crate::support::until;

#[tokio::test]
async fn killed_workers_lose_no_picture_on_redis() {
    let home = impatient(Home::redis()).set("queue.max_stalls", "10");
    let service = home.serve_with(&["--no-workers"]);
    let (first, second) = (home.worker().await, home.worker().await);
    let group = long_group(&service, 60).await;
    underway(&service, &group, 5).await;
    first.kill();
    underway(&service, &group, 15).await;
    let third = home.worker().await;
    second.kill();
    underway(&service, &group, 25).await;
    third.kill();
    let _fourth = home.worker().await;
    let status = all_is_well(&home, &service, &group, 60).await;
    let results = status["result"].as_array().unwrap();
    assert!(results.iter().any(|entry| entry["attempts"].as_u64() > Some(1)), "nobody was killed at work");
}

#[tokio::test]
async fn killed_service_goes_on_where_it_was_on_sqlite() {
    let home = impatient(Home::sqlite()).set("queue.max_stalls", "10");
    let service = home.serve();
    let group = long_group(&service, 40).await;
    underway(&service, &group, 8).await;
    service.process.kill();
    let service = home.serve();
    underway(&service, &group, 16).await;
    service.process.kill();
    let service = home.serve();
    all_is_well(&home, &service, &group, 40).await;
    let depths = service.get("/metrics").await.text();
    for state in ["waiting", "delayed", "active"] {
        let line = format!(r#"pixmill_jobs{{queue="cpu_intensive",state="{state}"}} 0"#);
        assert!(depths.contains(&line), "{depths}");
    }
}

#[tokio::test]
async fn late_result_of_a_frozen_worker_changes_nothing() {
    let home = impatient(Home::redis()).set("worker.cpu", "1").set("worker.prefetch", "1");
    let service = home.serve_with(&["--no-workers"]);
    let frozen = home.worker().await;
    let group = long_group(&service, 30).await;
    underway(&service, &group, 1).await;
    frozen.signal(Signal::STOP);
    let _winner = home.worker().await;
    let status = all_is_well(&home, &service, &group, 30).await;
    let overtaken = status["result"].as_array().unwrap().iter().find(|entry| entry["attempts"] == 2).cloned();
    let overtaken = overtaken.expect("the frozen worker held a picture, its second attempt won");
    frozen.signal(Signal::CONT);
    frozen.says("lost").await;
    // It is awake and at work again, and what it brought late is gone.
    let form = images([("a.png", plain_png(9, 9))]);
    assert_eq!(service.done(form).await["succeeded"], 1);
    let loser = overtaken["paths"][0].as_str().unwrap().replacen("/files/", "outputs/", 1).replace("/2/", "/1/");
    until("the loser's outputs are gone", async || (!home.folder().join(&loser).exists()).then_some(())).await;
    assert_eq!(all_is_well(&home, &service, &group, 30).await, status);
}
