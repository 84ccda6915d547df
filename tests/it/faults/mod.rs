//! What is killed, stopped, filled or cut off under real processes: nothing is lost, nothing is left behind.

mod disks;
mod kills;
mod outages;

use std::collections::HashSet;

use serde_json::Value;

use crate::support::client::{Client, images};
use crate::support::pictures::large_photo;
use crate::support::service::Home;

/// Recovery within a second or two instead of twenty.
fn hasty(home: Home) -> Home {
    home.set("queue.lease", "900ms").set("queue.beat", "200ms").set("queue.max_stalls", "10")
}

/// Uploads `count` pictures that keep a worker busy for a while each; their group's id.
async fn upload(client: &Client, count: usize) -> String {
    let names: Vec<String> = (0..count).map(|i| format!("{i}.jpg")).collect();
    let accepted = client.upload(images(names.iter().map(|name| (name.as_str(), large_photo())))).await;
    accepted["task_id"].as_str().unwrap().to_owned()
}

/// Every picture succeeded exactly once, its counters say so, and its three outputs can be fetched whole.
async fn all_are_done(client: &Client, group: &str, count: usize) -> Value {
    let status = client.finished(group).await;
    assert_eq!(status["status"], "completed", "{status}");
    assert_eq!((&status["done"], &status["succeeded"]), (&Value::from(count), &Value::from(count)), "{status}");
    let results = status["result"].as_array().unwrap();
    let jobs: HashSet<&str> = results.iter().map(|entry| entry["job_id"].as_str().unwrap()).collect();
    assert_eq!(jobs.len(), count);
    for (i, entry) in results.iter().enumerate() {
        assert_eq!(entry["image"], format!("{i}.jpg"));
        for output in entry["outputs"].as_array().unwrap() {
            assert_eq!(client.file(&output["path"]).await.len(), output["bytes"]);
        }
        assert_eq!(entry["paths"].as_array().unwrap().len(), 3);
    }
    status
}
