//! What operators' tools are told.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client, id, images};
use crate::support::pictures::{plain_png, truncated};
use crate::support::redis::RedisServer;
use crate::support::service::Home;
use crate::support::until;

#[tokio::test]
async fn metrics_count_requests_pictures_and_attempts() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        let form = images([("a.png", plain_png(9, 9)), ("b.jpg", truncated()), ("c.jpg", b"text".to_vec())]);
        service.done(form).await;
        service.get("/nothing/here").await;
        let expected = [
            r#"pixmill_http_requests_total{method="POST",route="/api/upload",status="202"} 1"#,
            r#"pixmill_http_requests_total{method="any",route="unmatched",status="404"} 1"#,
            "pixmill_images_accepted_total 2",
            "pixmill_images_rejected_total 1",
            r#"pixmill_attempts_total{kind="image.process",outcome="succeeded"} 1"#,
            r#"pixmill_attempts_total{kind="image.process",outcome="failed"} 1"#,
            r#"pixmill_jobs{queue="cpu_intensive",state="active"} 0"#,
            "pixmill_jobs_in_flight 0",
            r#"pixmill_queue_paused{queue="cpu_intensive"} 0"#,
            "pixmill_dead_letters 1.0",
            r#"pixmill_attempt_duration_seconds_count{kind="image.process"} 2"#,
            "pixmill_workers 1.0",
            "# EOF",
        ];
        // The worker counts an attempt just after the broker has its result, and may be at a sweep at present.
        let metrics = until(&format!("all of {expected:?} is told"), async || {
            let answer = service.get("/metrics").await;
            assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
            let text = answer.text();
            expected.iter().all(|line| text.contains(line)).then_some(text)
        })
        .await;
        assert!(metrics.contains("pixmill_uploaded_bytes_total ") && metrics.contains("pixmill_disk_free_ratio 0."));
    }
}

/// The answer of `/readyz` once it is this: what was found holds for a second.
async fn readiness(client: &Client, code: &str) -> Value {
    until(&format!("the answer is {code}"), async || {
        let answer = client.get("/readyz").await;
        let found = if answer.status == 200 { "ready".into() } else { answer.problem()["code"].clone() };
        (found == code).then(|| answer.json())
    })
    .await
}

#[tokio::test]
async fn health_and_readiness_answer() {
    for (home, broker) in [(Home::sqlite(), "sqlite"), (Home::redis(), "redis 127.0.0.1")] {
        let service = home.serve();
        assert_eq!(service.get("/healthz").await.json(), json!({"status": "ok"}));
        let ready = readiness(&service, "ready").await;
        assert_eq!(ready["status"], "ready");
        assert!(ready["broker"].as_str().unwrap().contains(broker), "{ready}");
    }
}

/// It said 200, and uploads waited for ever.
#[tokio::test]
async fn service_without_a_worker_is_not_ready_and_takes_uploads_all_the_same() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        let told = readiness(&service, "no-worker").await;
        assert_eq!(told["faults"][0]["part"], "workers", "{told}");
        let accepted = service.upload(images([("a.png", plain_png(9, 9))])).await;
        let other = home.start(&["worker", "--queues", "io_intensive"]);
        other.says("takes jobs from").await;
        let told = until("the other worker is seen", async || {
            let told = readiness(&service, "no-worker").await;
            told["detail"].as_str().unwrap().contains("`cpu_intensive`").then_some(told)
        })
        .await;
        assert!(told["detail"].as_str().unwrap().contains("worker.queues"), "{told}");
        let worker = home.worker().await;
        readiness(&service, "ready").await;
        assert_eq!(service.finished(id(&accepted)).await["succeeded"], 1);
        worker.signal(Signal::TERM);
        readiness(&service, "no-worker").await;
    }
}

#[tokio::test]
async fn redis_that_takes_no_writes_is_named() {
    let redis = RedisServer::start(&[]);
    let master = RedisServer::start(&[]);
    let home = Home::on(&redis.url());
    let service = home.serve();
    readiness(&service, "ready").await;
    // It answers pings and reads.
    redis.order(&format!("REPLICAOF 127.0.0.1 {}", master.port())).await;
    let told = readiness(&service, "broker-unavailable").await;
    assert!(told["detail"].as_str().unwrap().contains("Redis at 127.0.0.1"), "{told}");
    let refused = service.refused(images([("a.png", plain_png(9, 9))])).await;
    assert_eq!((&refused["status"], &refused["code"]), (&json!(503), &json!("broker-unavailable")), "{refused}");
    redis.order("REPLICAOF NO ONE").await;
    readiness(&service, "ready").await;
    redis.order("CONFIG SET maxmemory 1").await;
    readiness(&service, "queue-full").await;
    assert_eq!(service.refused(images([("a.png", plain_png(9, 9))])).await["code"], "queue-full");
    redis.order("CONFIG SET maxmemory 0").await;
    readiness(&service, "ready").await;
}

/// Each answered as a fault of ours, `internal`.
#[tokio::test]
async fn redis_that_refuses_the_login_or_a_command_is_unavailable() {
    let redis = RedisServer::start(&[]);
    let home = Home::on(&redis.url());
    let service = home.serve();
    readiness(&service, "ready").await;
    for (refuse, allow) in
        [("ACL SETUSER default -evalsha", "ACL SETUSER default +@all"), ("CONFIG SET requirepass sesame", "")]
    {
        redis.order(refuse).await;
        // A connection that was let in stays so.
        if allow.is_empty() {
            redis.order_with("sesame", "CLIENT KILL TYPE normal").await;
        }
        let told = readiness(&service, "broker-unavailable").await;
        assert!(told["detail"].as_str().unwrap().contains("refuses"), "{told}");
        let refused = service.refused(images([("a.png", plain_png(9, 9))])).await;
        assert_eq!((&refused["status"], &refused["code"]), (&json!(503), &json!("broker-unavailable")), "{refused}");
        if !allow.is_empty() {
            redis.order(allow).await;
            readiness(&service, "ready").await;
        }
    }
}

/// It said 200, and each upload waited for those before it: for minutes.
#[tokio::test]
async fn sqlite_that_another_process_holds_is_named_and_uploads_are_refused() {
    let home = Home::sqlite();
    let service = home.serve();
    readiness(&service, "ready").await;
    let holder = rusqlite::Connection::open(home.folder().join("queue.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    readiness(&service, "broker-unavailable").await;
    for _ in 0..8 {
        assert_eq!(service.refused(images([("a.png", plain_png(9, 9))])).await["code"], "broker-unavailable");
    }
    holder.execute_batch("COMMIT").unwrap();
    readiness(&service, "ready").await;
    assert_eq!(service.done(images([("a.png", plain_png(9, 9))])).await["succeeded"], 1);
}

#[tokio::test]
async fn worker_tells_of_itself_where_it_listens() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        let home = home.set("worker.listen", "127.0.0.1:0");
        let worker = home.start(&["worker"]);
        let door = worker.door().await;
        assert_eq!(door.get("/healthz").await.json(), json!({"status": "ok"}));
        readiness(&door, "ready").await;
        service.done(images([("a.png", plain_png(9, 9)), ("b.jpg", truncated())])).await;
        let expected = [
            r#"pixmill_attempts_total{kind="image.process",outcome="succeeded"} 1"#,
            r#"pixmill_job_wait_seconds_count{kind="image.process"} 2"#,
            r#"pixmill_oldest_waiting_job_age_seconds{queue="cpu_intensive"} 0.0"#,
            &format!("pixmill_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
            "# TYPE process_cpu_seconds counter",
            "# TYPE process_open_fds gauge",
            "pixmill_children 1",
        ];
        until(&format!("all of {expected:?} is told"), async || {
            let text = door.get("/metrics").await.text();
            expected.iter().all(|line| text.contains(line)).then_some(())
        })
        .await;
        for nowhere in ["/api/jobs", "/docs", "/"] {
            assert_eq!(door.get(nowhere).await.problem()["code"], "not-found", "{nowhere}");
        }
    }
}

#[tokio::test]
async fn workers_metrics_want_a_key_where_there_are_keys() {
    let home = Home::sqlite().set("worker.listen", "127.0.0.1:0");
    let key = home.key(&["--name", "ops", "--scopes", "admin"]).await["key"].as_str().unwrap().to_owned();
    let worker = home.start(&["worker"]);
    let door = worker.door().await;
    assert_eq!(door.get("/metrics").await.status, 401);
    assert_eq!(Answer::of(door.request("GET", "/metrics").bearer_auth(&key)).await.status, 200);
    assert_eq!(door.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn oldest_waiting_job_grows_older() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        service.upload(images([("a.png", plain_png(9, 9))])).await;
        let line = "pixmill_oldest_waiting_job_age_seconds{queue=\"cpu_intensive\"} ";
        until("a second has passed for the job", async || {
            let text = service.get("/metrics").await.text();
            let age: f64 = text.lines().find_map(|told| told.strip_prefix(line))?.parse().unwrap();
            (age >= 1.0).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn metrics_are_written_as_the_reader_prefers() {
    let home = Home::sqlite();
    let service = home.serve();
    let plain = Answer::of(service.request("GET", "/metrics").header("Accept", "text/plain")).await;
    assert_eq!(plain.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = plain.text();
    assert!(text.contains("# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total "), "{text}");
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
    let open = service.get("/metrics").await;
    assert!(open.text().ends_with("# EOF\n") && open.header("content-type").contains("openmetrics"));
}

#[tokio::test]
async fn uploads_wait_for_room_on_the_disk() {
    let home = Home::sqlite().set("limits.min_free_disk", "0.9999");
    let service = home.serve();
    let answer = service.post(images([("a.png", plain_png(9, 9))])).await;
    let problem = answer.problem();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(503), &json!("storage-full")));
    assert!(problem["detail"].as_str().unwrap().contains("limits.min_free_disk"), "{problem}");
    assert_eq!(answer.header("retry-after"), "60");
    assert_eq!(service.get("/readyz").await.problem()["code"], "storage-full");
    assert_eq!(service.get("/healthz").await.status, 200);
}
