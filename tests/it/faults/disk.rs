//! A disk with no room left.

use serde_json::json;

use crate::support::client::{id, images};
use crate::support::disk::SmallDisk;
use crate::support::pictures::{large_photo, plain_png};
use crate::support::redis::RedisServer;
use crate::support::service::Home;
use crate::support::until;

#[tokio::test]
async fn upload_onto_a_full_disk_is_refused_and_leaves_nothing() {
    let redis = RedisServer::shared();
    let disk = SmallDisk::mount("2m");
    let prefix = format!("test-{}", pixmill::job::JobId::new());
    let home = Home::at(disk.path()).using(&redis.url()).set("broker.prefix", &prefix);
    // A sweep would make room again.
    let home = home.set("retention.outbox_age", "1h");
    let service = home.serve();
    let done = service.done(images([("a.png", plain_png(30, 30))])).await;
    assert_eq!(done["status"], "completed", "{done}");
    let before = home.files("uploads").len();
    let ballast = disk.fill();
    for picture in [large_photo(), plain_png(300, 300)] {
        let answer = service.post(images([("a.jpg", picture)])).await;
        let problem = answer.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(503), &json!("storage-full")), "{problem}");
        assert_eq!(answer.header("retry-after"), "60");
        until("nothing is left of it", async || (home.files("uploads").len() == before).then_some(())).await;
    }
    assert_eq!(service.get("/healthz").await.status, 200);
    assert_eq!(service.status(id(&done)).await, done);
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(service.done(images([("a.png", plain_png(30, 30))])).await["status"], "completed");
}

#[tokio::test]
async fn readiness_tells_of_a_disk_that_runs_full() {
    let disk = SmallDisk::mount("64m");
    let home = Home::at(disk.path()).set("limits.min_free_disk", "0.05");
    let service = home.serve();
    until("the workers are there", async || (service.get("/readyz").await.status == 200).then_some(())).await;
    let ballast = disk.fill();
    until("the disk is full", async || {
        let answer = service.get("/readyz").await;
        (answer.status == 503).then(|| assert_eq!(answer.problem()["code"], "storage-full"))
    })
    .await;
    assert_eq!(service.refused(images([("a.png", plain_png(9, 9))])).await["code"], "storage-full");
    std::fs::remove_file(ballast).unwrap();
    until("there is room again", async || (service.get("/readyz").await.status == 200).then_some(())).await;
    assert_eq!(service.done(images([("a.png", plain_png(9, 9))])).await["status"], "completed");
}

#[tokio::test]
async fn picture_that_finds_no_room_for_its_outputs_is_tried_again() {
    let redis = RedisServer::shared();
    let disk = SmallDisk::mount("8m");
    let prefix = format!("test-{}", pixmill::job::JobId::new());
    let home = Home::at(disk.path()).using(&redis.url()).set("broker.prefix", &prefix);
    let home = home.set("queue.backoff_base", "200ms").set("queue.backoff_cap", "200ms");
    let service = home.serve_with(&["--no-workers"]);
    let form = images([("a.jpg", large_photo())]).text("options", r#"{"retries": 100}"#);
    let accepted = service.upload(form).await;
    let ballast = disk.fill();
    let worker = home.worker().await;
    worker.says("retried: job").await;
    std::fs::remove_file(ballast).unwrap();
    let status = service.finished(id(&accepted)).await;
    assert_eq!((&status["status"], &status["failed"]), (&json!("completed"), &json!(0)), "{status}");
    assert!(status["result"][0]["attempts"].as_u64() > Some(1), "{status}");
    let job = status["result"][0]["job_id"].as_str().unwrap();
    let attempts = home.folder().join("outputs").join(id(&accepted)).join(job);
    until("failed attempts leave nothing", async || (std::fs::read_dir(&attempts).unwrap().count() == 1).then_some(()))
        .await;
}
