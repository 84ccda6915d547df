//! A disk that is full: new work is refused, nothing of it stays, and the service lives.

use serde_json::Value;

use super::all_are_done;
use crate::support::client::images;
use crate::support::disk::SmallDisk;
use crate::support::pictures::{large_photo, photo};
use crate::support::service::Home;
use crate::support::until;

#[tokio::test]
async fn upload_that_does_not_fit_is_refused_and_leaves_nothing() {
    let disk = SmallDisk::mount();
    let home = Home::at(disk.path());
    let service = home.serve();
    let filler = disk.fill_but(200 << 10);
    let refused = service.post(images([("0.jpg", large_photo())])).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(["storage-full", "queue-full"].map(Value::from).contains(&refused.problem()["code"]), "{}", refused.text());
    home.is_left_empty().await;

    std::fs::remove_file(filler).unwrap();
    let accepted = service.upload(images([("0.jpg", photo())])).await;
    all_are_done(&service, accepted["task_id"].as_str().unwrap(), 1).await;
}

#[tokio::test]
async fn picture_whose_outputs_do_not_fit_is_tried_again() {
    let home = Home::sqlite().set("queue.max_attempts", "10").set("queue.backoff_base", "50ms");
    let disk = SmallDisk::mount();
    std::os::unix::fs::symlink(disk.path(), home.folder().join("outputs")).unwrap();
    let filler = disk.fill();
    let service = home.serve();
    let accepted = service.upload(images([("0.jpg", photo())])).await;
    service.process.says("retried").await;
    std::fs::remove_file(filler).unwrap();
    let group = accepted["task_id"].as_str().unwrap();
    let status = until("the picture is done", async || {
        let status = service.status(group).await;
        (status["status"] != "processing").then_some(status)
    })
    .await;
    assert_eq!(status["status"], "completed", "{status}");
    assert!(status["result"][0]["attempts"].as_u64().unwrap() > 1, "{status}");
}
