//! What happens around the service in years of running: crashes, frozen workers, a full disk, a Redis that goes away.
//! Nothing that was acknowledged is lost, and nothing is done twice.

mod children;
mod control;
mod crashes;
mod disk;
mod outbox;
mod redis;
mod shutdown;

use serde_json::{Value, json};

use crate::support::client::{Client, images};
use crate::support::pictures::large_photo;
use crate::support::service::Home;

/// Leases short enough to run out within a test.
fn impatient(home: Home) -> Home {
    home.set("queue.lease", "900ms").set("queue.beat", "300ms")
}

/// With the log that tells what ran where.
fn talkative(home: Home) -> Home {
    home.set("log.level", "info,pixmill::worker=debug").set("worker.niceness", "0")
}

/// A group that keeps two workers busy for a while; its id.
async fn long_group(client: &Client, count: usize) -> String {
    group_of(client, count, r#"[{"type": "resize", "width": 640, "height": 480}]"#.to_owned()).await
}

/// A group whose pictures each keep a core busy for about a second, in steps, however quick the build; its id.
async fn slow_group(client: &Client, count: usize) -> String {
    let quick = json!({"type": "resize", "width": 640, "height": 480});
    let slow = |i: usize| json!({"type": "resize", "width": 2000 - i, "height": 1500 - i, "format": "webp"});
    let operations = std::iter::once(quick).chain((0..4).map(slow)).collect::<Value>();
    group_of(client, count, operations.to_string()).await
}

async fn group_of(client: &Client, count: usize, operations: String) -> String {
    let picture = large_photo();
    let names: Vec<String> = (0..count).map(|i| format!("{i}.jpg")).collect();
    let form = images(names.iter().map(|name| (name.as_str(), picture.clone())));
    client.upload(form.text("operations", operations)).await["task_id"].as_str().unwrap().to_owned()
}

/// Waits until `count` pictures of a group have ended, and fewer than all.
async fn underway(client: &Client, group: &str, count: u64) {
    crate::support::until("some pictures are done", async || {
        let status = client.status(group).await;
        assert_eq!(status["status"], "processing", "too quick for this test: {status}");
        (status["done"].as_u64().unwrap() >= count).then_some(())
    })
    .await;
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
