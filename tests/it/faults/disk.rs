//! A disk with no room left.

use serde_json::json;

use crate::support::client::{id, images};
use crate::support::disk::SmallDisk;
use crate::support::gate::Gate;
use crate::support::pictures::{large_photo, plain_png};
use crate::support::redis::RedisServer;
use crate::support::service::{Home, Service};
use crate::support::until;

#[tokio::test]
async fn upload_onto_a_full_disk_is_refused_and_leaves_nothing() {
    let redis = RedisServer::shared();
    let disk = SmallDisk::mount("2m");
    let prefix = format!("test-{}", queue::JobId::new());
    let home = Home::at(disk.path()).using(&redis.url()).set("broker.prefix", &prefix);
    // A sweep would make room again.
    let home = home.set("retention.outbox_age", "1h");
    let service = home.serve();
    let done = service.done(images([("a.png", plain_png(30, 30))])).await;
    assert_eq!(done["status"], "completed", "{done}");
    let before = home.files("uploads").len();
    let filler = disk.fill();
    for picture in [large_photo(), plain_png(300, 300)] {
        let answer = service.post(images([("a.jpg", picture)])).await;
        let problem = answer.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(503), &json!("storage-full")), "{problem}");
        assert_eq!(answer.header("retry-after"), "60");
        until("nothing is left of it", async || (home.files("uploads").len() == before).then_some(())).await;
    }
    assert_eq!(service.get("/healthz").await.status, 200);
    assert_eq!(service.status(id(&done)).await, done);
    std::fs::remove_file(filler).unwrap();
    assert_eq!(service.done(images([("a.png", plain_png(30, 30))])).await["status"], "completed");
}

/// What the metrics say of one gauge.
async fn gauge(service: &Service, name: &str) -> u64 {
    let metrics = service.get("/metrics").await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name}: {metrics}")).parse().unwrap()
}

#[tokio::test]
async fn readiness_tells_of_a_disk_that_runs_full() {
    let disk = SmallDisk::mount("64m");
    let home = Home::at(disk.path()).set("limits.min_free_disk", "0.05");
    let service = home.serve();
    until("the workers are there", async || (service.get("/readyz").await.status == 200).then_some(())).await;
    assert_eq!(gauge(&service, "pixmill_disk_short").await, 0);
    let filler = disk.fill();
    until("the disk is full", async || {
        let answer = service.get("/readyz").await;
        (answer.status == 503).then(|| assert_eq!(answer.problem()["code"], "storage-full"))
    })
    .await;
    assert_eq!(gauge(&service, "pixmill_disk_short").await, 1);
    assert_eq!(service.refused(images([("a.png", plain_png(9, 9))])).await["code"], "storage-full");
    std::fs::remove_file(filler).unwrap();
    until("there is room again", async || (service.get("/readyz").await.status == 200).then_some(())).await;
    assert_eq!(service.done(images([("a.png", plain_png(9, 9))])).await["status"], "completed");
}

#[tokio::test]
async fn no_picture_is_begun_while_the_disk_is_short() {
    for redis in [false, true] {
        let disk = SmallDisk::mount("64m");
        let server = RedisServer::shared();
        let prefix = format!("test-{}", queue::JobId::new());
        let home = Home::at(disk.path()).set("limits.min_free_disk", "0.05").set("limits.ballast", "4000000");
        let home = if redis { home.using(&server.url()).set("broker.prefix", &prefix) } else { home };
        let service = home.serve_with(&["--no-workers"]);
        until("there is ballast", async || (gauge(&service, "pixmill_ballast_bytes").await > 0).then_some(())).await;
        let accepted = service.upload(images([("a.png", plain_png(30, 30)), ("b.png", plain_png(9, 9))])).await;
        let filler = disk.fill();
        let worker = home.worker().await;
        worker.says("no picture is begun").await;
        assert_eq!(service.get("/readyz").await.problem()["code"], "storage-full");
        assert_eq!(service.status(id(&accepted)).await["done"], 0);
        std::fs::remove_file(filler).unwrap();
        let status = service.finished(id(&accepted)).await;
        assert_eq!((&status["status"], &status["failed"]), (&json!("completed"), &json!(0)), "{status}");
        assert!(status["result"].as_array().unwrap().iter().all(|picture| picture["attempts"] == 1), "{status}");
    }
}

/// Larger than a disk of 30 MB, however empty it is.
const TOO_LARGE: &str = r#"[{"type": "resize", "width": 4000, "height": 4000, "fit": "fill", "format": "bmp"}]"#;

#[tokio::test]
async fn output_that_fits_on_no_disk_fails_and_wedges_nothing() {
    let disk = SmallDisk::mount("30m");
    let home = Home::at(disk.path()).set("limits.min_free_disk", "0.05").set("limits.ballast", "33554432");
    let home = home.set("queue.backoff_base", "10ms").set("queue.backoff_cap", "10ms");
    let service = home.serve();
    let status = service.done(images([("a.png", plain_png(400, 400))]).text("operations", TOO_LARGE)).await;
    let error = &status["result"][0]["error"];
    assert_eq!((&status["status"], &error["code"]), (&json!("failed"), &json!("storage-full")), "{status}");
    assert!(error.get("lacking").is_none(), "{error}");
    assert_eq!(status["result"][0]["attempts"], 4, "{status}");
    let outputs = async || home.files("outputs").iter().all(|path| !path.is_file()).then_some(());
    until("nothing is left of it", outputs).await;
    until("it is ready", async || (service.get("/readyz").await.status == 200).then_some(())).await;
    assert_eq!(service.done(images([("b.png", plain_png(9, 9))])).await["status"], "completed");
}

#[tokio::test]
async fn disk_filled_in_the_middle_of_a_picture_costs_no_attempt() {
    let disk = SmallDisk::mount("30m");
    let home = Home::at(disk.path()).set("limits.min_free_disk", "0.05").set("limits.ballast", "2000000");
    let home = home.set("queue.backoff_base", "10ms").set("queue.backoff_cap", "10ms");
    let home = home.set("log.level", "info,pixmill::worker=debug");
    let service = home.serve();
    until("there is ballast", async || (gauge(&service, "pixmill_ballast_bytes").await > 0).then_some(())).await;
    let operations = r#"[{"type": "resize", "width": 900, "height": 900, "fit": "fill", "format": "bmp"}]"#;
    let broker = home.broker().await;
    broker.pause("cpu_intensive").await.unwrap();
    let accepted = service.upload(images([("a.png", plain_png(40, 40))]).text("operations", operations)).await;
    let gate = Gate::before(&home.folder().join("uploads").join(id(&accepted)).join("0"));
    broker.resume("cpu_intensive").await.unwrap();
    until("it is being computed", async || (!service.process.starts().is_empty()).then_some(())).await;
    gate.let_others_pass();
    let filler = disk.fill();
    gate.wake();
    service.process.says("is given back").await;
    assert_eq!(service.status(id(&accepted)).await["status"], "processing");
    std::fs::remove_file(filler).unwrap();
    let status = service.finished(id(&accepted)).await;
    assert_eq!((&status["status"], &status["result"][0]["attempts"]), (&json!("completed"), &json!(1)), "{status}");
}

#[tokio::test]
async fn service_starts_on_a_full_disk_drains_and_erases() {
    let disk = SmallDisk::mount("30m");
    let home = Home::at(disk.path()).set("limits.min_free_disk", "0.05").set("limits.ballast", "33554432");
    let home = home.set("queue.lease", "3s").set("queue.beat", "500ms");
    let service = home.serve();
    until("there is ballast", async || (gauge(&service, "pixmill_ballast_bytes").await > 0).then_some(())).await;
    let done = service.done(images([("a.png", plain_png(900, 900))])).await;
    let waits = service.upload(images([("b.png", plain_png(40, 40))])).await;
    // As the power would: what it had open is not put in order.
    service.process.kill();
    let filler = disk.fill();
    let service = home.serve();
    assert_eq!(service.get("/readyz").await.problem()["code"], "storage-full");
    let answer = service.send("DELETE", &format!("/api/groups/{}?files=true", id(&done))).await;
    assert_eq!((answer.status, &answer.json()["files"]), (200, &json!("erased")), "{}", answer.text());
    assert!(!home.folder().join("outputs").join(id(&done)).exists());
    std::fs::remove_file(filler).unwrap();
    let status = service.finished(id(&waits)).await;
    assert_eq!(status["status"], "completed", "{status}");
    until("there is ballast again", async || (gauge(&service, "pixmill_ballast_bytes").await > 0).then_some(())).await;
}

#[tokio::test]
async fn ended_group_is_erased_while_nobody_can_write_to_the_queue() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    let worker = home.worker().await;
    let done = service.done(images([("a.png", plain_png(30, 30))])).await;
    drop(worker);
    let file = rusqlite::Connection::open(home.folder().join("queue.db")).unwrap();
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = service.send("DELETE", &format!("/api/groups/{}?files=true", id(&done))).await;
    assert_eq!((answer.status, &answer.json()["files"]), (200, &json!("erased")), "{}", answer.text());
    assert!(!home.folder().join("outputs").join(id(&done)).exists());
    file.execute_batch("ROLLBACK").unwrap();
}

#[tokio::test]
async fn picture_that_finds_no_room_for_its_outputs_is_tried_again() {
    let redis = RedisServer::shared();
    let disk = SmallDisk::mount("8m");
    let prefix = format!("test-{}", queue::JobId::new());
    let home = Home::at(disk.path()).using(&redis.url()).set("broker.prefix", &prefix);
    let home = home.set("queue.backoff_base", "200ms").set("queue.backoff_cap", "200ms");
    let service = home.serve_with(&["--no-workers"]);
    let form = images([("a.jpg", large_photo())]).text("options", r#"{"retries": 100}"#);
    let accepted = service.upload(form).await;
    let filler = disk.fill();
    let worker = home.worker().await;
    worker.says("retried: job").await;
    std::fs::remove_file(filler).unwrap();
    let status = service.finished(id(&accepted)).await;
    assert_eq!((&status["status"], &status["failed"]), (&json!("completed"), &json!(0)), "{status}");
    assert!(status["result"][0]["attempts"].as_u64() > Some(1), "{status}");
    let job = status["result"][0]["job_id"].as_str().unwrap();
    let attempts = home.folder().join("outputs").join(id(&accepted)).join(job);
    until("failed attempts leave nothing", async || (std::fs::read_dir(&attempts).unwrap().count() == 1).then_some(()))
        .await;
}
