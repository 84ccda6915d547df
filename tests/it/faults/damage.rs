//! Bits that turn over in what lies on the disk: what was acknowledged is made, or fails by name; nothing wrong is published.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::impatient;
use crate::support::client::{id, images};
use crate::support::pictures::plain_png;
use crate::support::service::Home;
use crate::support::until;

/// Turns one bit of a file over, in the middle of it.
fn turn_a_bit_over(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(file, bytes).unwrap();
}

fn codes(status: &Value) -> Vec<Option<&str>> {
    status["result"].as_array().unwrap().iter().map(|one| one["error"]["code"].as_str()).collect()
}

#[tokio::test]
async fn original_that_has_changed_fails_by_name_and_its_copies_too() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        let form = images([("a.png", plain_png(90, 60)), ("b.png", plain_png(90, 60))]);
        let accepted = service.upload(form).await;
        turn_a_bit_over(&home.folder().join(format!("uploads/{}/0", id(&accepted))));
        let _worker = home.worker().await;
        let status = service.finished(id(&accepted)).await;
        assert_eq!(codes(&status), [Some("source-damaged"), None], "{status}");
        assert_eq!(status["result"][0]["attempts"], 1, "another try would read the same");
        let again = service.send("POST", &format!("/api/groups/{}/retry", id(&accepted))).await.json();
        assert_eq!(codes(&service.finished(id(&again)).await), [Some("source-damaged")]);
    }
}

#[tokio::test]
async fn payload_and_result_that_have_changed_fail_by_name() {
    let home = impatient(Home::sqlite());
    let service = home.serve_with(&["--no-workers"]);
    let names = ["a.png", "b.png", "c.png"];
    let accepted = service.upload(images(names.map(|name| (name, plain_png(90, 60))))).await;
    let db = Connection::open(home.folder().join("queue.db")).unwrap();
    let change = |table: &str, from: &str, to: &str, nth: i64| {
        let text = format!("replace(CAST(bytes AS TEXT), '{from}', '{to}')");
        let rows = format!(
            "SELECT seq FROM {table} WHERE CAST(bytes AS TEXT) LIKE '%{from}%' ORDER BY seq LIMIT 1 OFFSET {nth}"
        );
        let changed = db.execute(&format!("UPDATE {table} SET bytes = CAST({text} AS BLOB) WHERE seq = ({rows})"), []);
        assert_eq!(changed.unwrap(), 1, "{from}");
    };
    change("payload", "image.process", "image.proceqs", 0);
    change("payload", "\"width\":", "\"widtx\":", 0);
    let worker = home.worker().await;
    let status = service.finished(id(&accepted)).await;
    let damaged = codes(&status).iter().filter(|code| **code == Some("payload-damaged")).count();
    assert!((1..=2).contains(&damaged) && status["succeeded"] == 3 - damaged, "{status}");
    drop(worker);

    let job = status["result"].as_array().unwrap().iter().find(|one| one["success"] == true).unwrap()["job_id"].clone();
    // Sweeps have results, too, and no outputs.
    change("result", "\"outputs\":[", "\"outputt\":[", 0);
    let status = service.status(id(&accepted)).await;
    let one = status["result"].as_array().unwrap().iter().find(|one| one["job_id"] == job).unwrap();
    assert_eq!((&one["success"], &one["error"]["code"]), (&json!(false), &json!("result-damaged")), "{one}");
}

#[tokio::test]
async fn damaged_queue_is_refused_with_what_to_do_and_what_is_owed_comes_back() {
    let home = impatient(Home::sqlite()).set("retention.outbox_age", "1s");
    let service = home.serve_with(&["--no-workers"]);
    let form = || images([("a.png", plain_png(90, 60))]);
    let [whole, lost] = [service.upload(form()).await, service.upload(form()).await];
    service.process.kill();
    let file = home.folder().join("queue.db");
    // As its last user closes it, all of it is in the one file.
    drop(home.broker().await);
    until("the queue is closed", async || (!home.folder().join("queue.db-wal").exists()).then_some(())).await;
    let mut bytes = fs::read(&file).unwrap();
    for page in bytes.chunks_mut(4096).skip(1) {
        page[3] ^= 16;
    }
    fs::write(&file, bytes).unwrap();
    for command in [["serve", "--listen", "127.0.0.1:0"].as_slice(), &["worker"]] {
        let (status, _, log) = home.start(command).ends().await;
        assert!(!status.success() && log.contains("is damaged") && log.contains("move "), "{log}");
    }

    fs::rename(&file, home.folder().join("queue.db.damaged")).unwrap();
    turn_a_bit_over(&home.folder().join(format!("outbox/{}.json", id(&lost))));
    let service = home.serve();
    let status = service.finished(id(&whole)).await;
    assert_eq!((&status["status"], &status["succeeded"]), (&json!("completed"), &json!(1)), "{status}");
    let status = until("the other one is given up", async || {
        let answer = service.get(&format!("/api/task_status/{}", id(&lost))).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await;
    assert_eq!((&status["status"], &status["total_images"]), (&json!("failed"), &json!(0)), "{status}");
    assert_eq!(status["rejected"][0]["error"]["code"], "manifest-damaged", "{status}");
    let metrics = service.get("/metrics").await.text();
    assert!(metrics.contains("pixmill_manifests_damaged_total 1"), "{metrics}");
}
