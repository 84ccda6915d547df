//! Several programs on one queue, and which store its jobs belong to; originals that are not where they must be.

use std::fs;
use std::path::Path;

use pixmill::storage::manifest_key;
use serde_json::json;

use crate::support::client::{id, images};
use crate::support::pictures::plain_png;
use crate::support::redis::RedisServer;
use crate::support::service::{Home, Process};
use crate::support::until;

fn identity(home: &Home) -> String {
    fs::read_to_string(home.folder().join("store.id")).unwrap().trim().to_owned()
}

/// What a program says that will not start.
async fn refusal(process: Process) -> String {
    let (status, _, log) = process.ends().await;
    assert_eq!(status.code(), Some(1), "{log}");
    log
}

#[tokio::test]
async fn worker_or_service_on_another_store_than_the_queues_does_not_start() {
    let redis = RedisServer::start(&[]);
    let (right, wrong) = (Home::on(&redis.url()), Home::on(&redis.url()));
    let service = right.serve_with(&["--no-workers"]);
    let accepted = service.upload(images([("a.png", plain_png(30, 30))])).await;
    for command in [&["worker"][..], &["serve", "--listen", "127.0.0.1:0"], &["control", "retry", "--dead"]] {
        let log = refusal(wrong.start(command)).await;
        let both = [identity(&right), identity(&wrong)];
        let words = [&both[0], &both[1], wrong.folder().to_str().unwrap(), "(data_dir)", "pixmill control adopt-store"];
        assert!(words.iter().all(|word| log.contains(*word)), "{command:?}: {log}");
    }
    let _worker = right.worker().await;
    assert_eq!(service.finished(id(&accepted)).await["succeeded"], 1);
}

#[tokio::test]
async fn flushed_redis_belongs_to_the_store_at_work_again() {
    let redis = RedisServer::start(&[]);
    let (right, wrong) = (Home::on(&redis.url()), Home::on(&redis.url()));
    let _service = right.serve();
    redis.order("FLUSHALL").await;
    let kept = async || match redis.order("GET {pixmill}:store").await {
        redis::Value::BulkString(store) => Some(String::from_utf8(store).unwrap()),
        _ => None,
    };
    assert_eq!(until("Redis knows its store again", kept).await, identity(&right));
    assert!(refusal(wrong.start(&["worker"])).await.contains(&identity(&right)));
}

#[tokio::test]
async fn service_says_when_its_queue_goes_on_with_another_store() {
    let redis = RedisServer::start(&[]);
    let (before, after) = (Home::on(&redis.url()), Home::on(&redis.url()));
    let service = before.serve();
    let (status, _, log) = after.start(&["control", "adopt-store"]).ends().await;
    assert!(status.code() == Some(2) && log.contains("add --yes"), "{log}");
    let (status, output, log) = after.start(&["control", "adopt-store", "--yes", "--json"]).ends().await;
    assert!(status.success(), "{log}");
    let said: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(said, json!([{"store": identity(&after), "before": identity(&before)}]));
    service.process.says(&format!("now has the jobs of the store {}", identity(&after))).await;
    // Its workers would take the job, and give it back again and again.
    drop(service);
    let moved = after.serve();
    assert_eq!(moved.done(images([("a.png", plain_png(9, 9))])).await["succeeded"], 1);
    assert!(refusal(before.start(&["worker"])).await.contains(&identity(&before)));
}

#[tokio::test]
async fn queue_file_in_another_folder_does_not_go_on_there() {
    let (right, wrong) = (Home::sqlite(), Home::sqlite());
    drop(right.serve());
    for file in ["queue.db", "queue.db-wal"] {
        fs::copy(right.folder().join(file), wrong.folder().join(file)).unwrap();
    }
    let log = refusal(wrong.start(&["serve", "--listen", "127.0.0.1:0"])).await;
    assert!(log.contains(&identity(&right)) && log.contains(&identity(&wrong)), "{log}");
    let (status, _, log) = wrong.start(&["control", "adopt-store", "--yes"]).ends().await;
    assert!(status.success(), "{log}");
    assert_eq!(wrong.serve().done(images([("a.png", plain_png(9, 9))])).await["succeeded"], 1);
}

/// It may lie on a disk that is not mounted: the job waits, and nothing of it fails.
#[tokio::test]
async fn original_that_is_missing_is_waited_for() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = home.set("queue.backoff_cap", "200ms").set("queue.backoff_base", "200ms");
        let service = home.serve_with(&["--no-workers"]);
        let accepted = service.upload(images([("a.png", plain_png(30, 30)), ("b.png", plain_png(9, 9))])).await;
        let group = id(&accepted);
        let original = home.folder().join(format!("uploads/{group}/0"));
        let away = home.folder().join("away");
        fs::rename(&original, &away).unwrap();
        let worker = home.worker().await;
        let misses = |line: &&str| line.contains("ERROR") && line.contains("is missing from the store");
        // More often than a job is tried.
        until("it is missed again and again", async || (worker.log().lines().filter(misses).count() > 4).then_some(()))
            .await;
        let status = service.status(group).await;
        assert_eq!(
            (&status["status"], &status["succeeded"], &status["failed"]),
            (&json!("processing"), &json!(1), &json!(0))
        );
        fs::rename(&away, &original).unwrap();
        let status = service.finished(group).await;
        assert_eq!((&status["succeeded"], &status["result"][0]["attempts"]), (&json!(2), &json!(1)), "{status}");
    }
}

/// Nobody owes it to anybody: it was erased, or its time was over.
#[tokio::test]
async fn original_that_is_missing_and_not_owed_fails_its_picture() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    let accepted = service.upload(images([("a.png", plain_png(30, 30))])).await;
    let group = id(&accepted);
    let there = |key: &str| home.folder().join(Path::new(key));
    fs::remove_file(there(&format!("uploads/{group}/0"))).unwrap();
    fs::remove_file(there(&manifest_key(group.parse().unwrap()))).unwrap();
    let _worker = home.worker().await;
    let status = service.finished(group).await;
    assert_eq!(status["result"][0]["error"]["code"], "source-missing", "{status}");
}
