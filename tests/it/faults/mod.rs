//! What happens around the service in years of running: crashes, frozen workers, a full disk, a Redis that goes away.
//! Nothing that was acknowledged is lost, and nothing is done twice.

mod children;
mod control;
mod crashes;
mod damage;
mod deafness;
mod disk;
mod durable;
mod follow_ups;
mod lanes;
mod memory;
mod outbox;
mod redis;
mod shutdown;
mod stores;

use std::ops::Range;

use serde_json::{Value, json};

use crate::support::client::{Client, images};
use crate::support::gate::Gate;
use crate::support::pictures::plain_png;
use crate::support::service::Home;
use crate::support::until;

/// Where a picture's job goes by default.
const QUEUE: &str = "cpu_intensive";

/// Leases short enough to run out within a test, and so many heartbeats in each that no busy machine costs one.
fn impatient(home: Home) -> Home {
    home.set("queue.lease", "3s").set("queue.beat", "500ms")
}

/// With leases of minutes: whoever waited for one to run out would not be done in time.
fn patient(home: Home) -> Home {
    home.set("queue.lease", "10m").set("queue.beat", "3m")
}

/// With the log that tells what ran where.
fn talkative(home: Home) -> Home {
    home.set("log.level", "info,pixmill::worker=debug").set("worker.niceness", "0")
}

/// Those of a picture that keeps a core busy for about a second, in steps, however quick the build.
fn slow_operations() -> String {
    let quick = json!({"type": "resize", "width": 640, "height": 480});
    let slow = |i: usize| json!({"type": "resize", "width": 2000 - i, "height": 1500 - i, "format": "webp"});
    std::iter::once(quick).chain((0..4).map(slow)).collect::<Value>().to_string()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{i}.jpg")).collect()
}

/// A group of small pictures, of which those at `gated` are done only once their gates are opened; its id, and the gates.
///
/// A worker stands still as soon as each of its slots has come to a gate, and what it has done by then is known.
async fn gated_group(home: &Home, client: &Client, count: usize, gated: Range<usize>) -> (String, Vec<Gate>) {
    let operations = json!([{"type": "resize", "width": 20, "height": 20, "format": "jpeg"}]);
    gated_group_of(home, client, count, gated, &operations.to_string()).await
}

async fn gated_group_of(
    home: &Home,
    client: &Client,
    count: usize,
    gated: Range<usize>,
    operations: &str,
) -> (String, Vec<Gate>) {
    let broker = home.broker().await;
    // Nobody takes a picture before its gate stands.
    broker.pause(QUEUE).await.unwrap();
    let names = names(count);
    let form = images(names.iter().map(|name| (name.as_str(), plain_png(40, 40))));
    let accepted = client.upload(form.text("operations", operations.to_owned())).await;
    let group = accepted["task_id"].as_str().unwrap().to_owned();
    let uploads = home.folder().join("uploads").join(&group);
    let standing = gated.map(|index| Gate::before(&uploads.join(index.to_string()))).collect();
    broker.resume(QUEUE).await.unwrap();
    (group, standing)
}

/// Waits until `count` pictures of a group have ended.
async fn reaches(client: &Client, group: &str, count: u64) {
    until(&format!("{count} pictures are done"), async || {
        (client.status(group).await["done"].as_u64().unwrap() == count).then_some(())
    })
    .await;
}

/// Waits until workers hold `active` jobs, and `waiting` are left.
async fn stands_at(home: &Home, active: u64, waiting: u64) {
    let broker = home.broker().await;
    until(&format!("{active} jobs are held, {waiting} wait"), async || {
        let depths = broker.depths().await.unwrap();
        let depth = depths.iter().find(|depth| depth.queue == QUEUE)?;
        ((depth.active, depth.waiting) == (active, waiting)).then_some(())
    })
    .await;
}

/// How often each picture of an ended group was tried.
fn attempts(status: &Value) -> Vec<u64> {
    status["result"].as_array().unwrap().iter().map(|entry| entry["attempts"].as_u64().unwrap()).collect()
}

/// Every picture ended well, once, with its output there: no more and no fewer.
async fn all_is_well(home: &Home, client: &Client, group: &str, count: usize) -> Value {
    let status = client.finished(group).await;
    let counts = json!([status["status"], status["total_images"], status["succeeded"], status["failed"]]);
    assert_eq!(counts, json!(["completed", count, count, 0]), "{status}");
    let results = status["result"].as_array().unwrap();
    assert_eq!(results.len(), count);
    for (i, entry) in results.iter().enumerate() {
        assert_eq!(entry["image"], format!("{i}.jpg"));
        let bytes = client.file(&entry["paths"][0]).await;
        assert_eq!(bytes.len(), entry["outputs"][0]["bytes"], "{entry}");
        assert!(bytes.ends_with(b"\xff\xd9"), "a whole JPEG");
        let path = entry["paths"][0].as_str().unwrap().replacen("/files/", "outputs/", 1);
        assert!(home.folder().join(path).is_file());
    }
    status
}
