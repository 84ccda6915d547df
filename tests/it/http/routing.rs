//! Which queue a submission's jobs go to.

use crate::support::client::images;
use crate::support::pictures::plain_png;
use crate::support::service::{Home, Service};

async fn waits_in(service: &Service, queue: &str, jobs: u32) {
    let metrics = service.get("/metrics").await.text();
    let line = format!(r#"pixmill_jobs{{queue="{queue}",state="waiting"}} {jobs}"#);
    assert!(metrics.contains(&line), "no `{line}` in {metrics}");
}

#[tokio::test]
async fn rules_send_jobs_to_other_queues() {
    let home = Home::sqlite();
    let settings = home.folder().join("settings.toml");
    let rules = r#"
        [queue]
        names = ["critical", "default", "cpu_intensive", "io_intensive", "scheduled", "nightly"]
        routes = [
            { kind = "image.*", min_priority = 8, queue = "critical" },
            { asked = "cpu_*", queue = "default" },
        ]
        [worker]
        queues = ["critical", "default"]
    "#;
    std::fs::write(&settings, rules).unwrap();
    let service = home.serve_with(&["--no-workers", "--config", settings.to_str().unwrap()]);
    for options in [r#"{"priority": 9}"#, "{}", r#"{"queue": "nightly"}"#] {
        service.upload(images([("a.png", plain_png(9, 9))]).text("options", options)).await;
    }
    for queue in ["critical", "default", "nightly"] {
        waits_in(&service, queue, 1).await;
    }
    let form = images([("a.png", plain_png(9, 9))]).text("options", r#"{"queue": "priority"}"#);
    let problem = service.refused(form).await;
    assert!(problem["detail"].as_str().unwrap().contains("known: critical, default"), "{problem}");
}
