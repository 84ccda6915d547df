//! Queues and workers: what they hold and do, and orders to them.

use serde_json::{Value, json};

use crate::support::client::{Client, id, images};
use crate::support::pictures::plain_png;
use crate::support::service::Home;
use crate::support::until;

async fn queue(service: &Client, name: &str) -> Value {
    let queues = service.get("/api/queues").await.json();
    queues["queues"].as_array().unwrap().iter().find(|queue| queue["queue"] == name).unwrap().clone()
}

async fn ordered(service: &Client, method: &str, path: &str) -> Value {
    let answer = service.send(method, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

#[tokio::test]
async fn queue_is_paused_and_resumed() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        let paused = ordered(&service, "POST", "/api/queues/cpu_intensive/pause").await;
        assert_eq!((&paused["queue"], &paused["paused"]), (&json!("cpu_intensive"), &json!(true)));
        let accepted = service.upload(images([("a.png", plain_png(9, 9))])).await;
        let unpaused = images([("b.png", plain_png(9, 9))]).text("options", r#"{"queue": "priority"}"#);
        assert_eq!(service.done(unpaused).await["succeeded"], 1);
        let held = json!({"queue": "cpu_intensive", "waiting": 1, "delayed": 0, "active": 0, "paused": true});
        assert_eq!(queue(&service, "cpu_intensive").await, held);

        let open = ordered(&service, "POST", "/api/queues/cpu_intensive/resume").await;

        assert_eq!(open["paused"], false);
        assert_eq!(service.finished(id(&accepted)).await["succeeded"], 1);
    }
}

#[tokio::test]
async fn queue_is_purged() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        let pictures = [("a.png", plain_png(9, 9)), ("b.png", plain_png(9, 9))];
        let accepted = service.upload(images(pictures)).await;
        let other = images([("c.png", plain_png(9, 9))]).text("options", r#"{"queue": "priority"}"#);
        service.upload(other).await;

        let purged = ordered(&service, "DELETE", "/api/queues/cpu_intensive/jobs").await;

        assert_eq!(purged, json!({"queue": "cpu_intensive", "cancelled": 2}));
        assert_eq!(service.status(id(&accepted)).await["status"], "cancelled");
        assert_eq!(queue(&service, "priority").await["waiting"], 1);
        assert_eq!(ordered(&service, "DELETE", "/api/queues/cpu_intensive/jobs").await["cancelled"], 0);
    }
}

#[tokio::test]
async fn queues_of_the_settings_are_listed_before_their_first_job() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        let never_used = json!({"queue": "critical", "waiting": 0, "delayed": 0, "active": 0, "paused": false});
        assert_eq!(queue(&service, "critical").await, never_used);
        assert_eq!(ordered(&service, "POST", "/api/queues/critical/pause").await["paused"], true);
        assert_eq!(ordered(&service, "POST", "/api/queues/critical/resume").await, never_used);
    }
}

#[tokio::test]
async fn unknown_queues_and_workers_are_not_found() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    for (method, path) in [
        ("POST", "/api/queues/nowhere/pause"),
        ("POST", "/api/queues/nowhere/resume"),
        ("DELETE", "/api/queues/nowhere/jobs"),
        ("POST", "/api/workers/nobody/shutdown"),
        ("POST", "/api/workers/nobody/grow"),
        ("POST", "/api/workers/nobody/shrink?class=io&by=2"),
    ] {
        let problem = service.send(method, path).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(404), &json!("not-found")), "{path}");
    }
    for path in ["/api/workers/x/grow?by=0", "/api/workers/x/shrink?class=gpu", "/api/workers/x/shutdown?cold=very"] {
        assert_eq!(service.send("POST", path).await.problem()["code"], "invalid-query", "{path}");
    }
    assert_eq!(service.get("/api/workers").await.json(), json!({"workers": []}));
}

#[tokio::test]
async fn worker_is_told_to_grow_to_shrink_and_to_end() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        let worker = home.worker().await;
        let listed = until("the worker is listed", async || {
            service.get("/api/workers").await.json()["workers"].as_array().unwrap().first().cloned()
        })
        .await;
        assert_eq!(listed["cpu"], json!({"total": 2, "busy": 0}), "{listed}");
        assert_eq!(listed["version"], env!("CARGO_PKG_VERSION"));
        let to = format!("/api/workers/{}", listed["session"].as_str().unwrap());

        assert_eq!(ordered(&service, "POST", &format!("{to}/grow?by=3")).await["cpu"]["total"], 5);
        assert_eq!(ordered(&service, "POST", &format!("{to}/shrink")).await["cpu"]["total"], 4);
        let io = listed["io"]["total"].as_u64().unwrap();
        assert_eq!(ordered(&service, "POST", &format!("{to}/grow?class=io")).await["io"]["total"], io + 1);
        assert_eq!(ordered(&service, "POST", &format!("{to}/shutdown")).await["stopping"], true);
        let (status, _, log) = worker.ends().await;
        assert!(status.success(), "{log}");
    }
}

#[tokio::test]
async fn worker_that_hangs_is_named_as_silent() {
    // Stopped in the middle of a write, it would hold SQLite's lock.
    let home = Home::redis();
    let service = home.serve_with(&["--no-workers"]);
    let worker = home.worker().await;
    let session = until("the worker is listed", async || {
        Some(service.get("/api/workers").await.json()["workers"][0]["session"].as_str()?.to_owned())
    })
    .await;
    worker.signal(rustix::process::Signal::STOP);
    let answer = service.send("POST", &format!("/api/workers/{session}/grow")).await;
    let problem = answer.problem();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(503), &json!("worker-silent")));
    assert!(problem["detail"].as_str().unwrap().contains(&session), "{problem}");
}

#[tokio::test]
async fn numbers_of_the_service_are_told() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        service.upload(images([("a.png", plain_png(9, 9)), ("b.jpg", b"text".to_vec())])).await;
        let stats = service.get("/api/stats").await.json();
        assert_eq!(stats["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(stats["images"], json!({"accepted": 1, "rejected": 1}));
        assert_eq!((&stats["workers"], &stats["dead_letters"]), (&json!(0), &json!(0)));
        assert_eq!(stats["queues"], service.get("/api/queues").await.json()["queues"]);
        let free = stats["disk_free"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&free) && stats["uptime_s"].is_u64(), "{stats}");
        assert!(stats["started_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap() <= jiff::Timestamp::now());
    }
}
