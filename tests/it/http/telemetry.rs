//! What operators' tools are told.

use serde_json::json;

use crate::support::client::images;
use crate::support::pictures::{plain_png, truncated};
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

#[tokio::test]
async fn health_and_readiness_answer() {
    for (home, broker) in [(Home::sqlite(), "sqlite"), (Home::redis(), "redis 127.0.0.1")] {
        let service = home.serve();
        assert_eq!(service.get("/healthz").await.json(), json!({"status": "ok"}));
        let ready = service.get("/readyz").await;
        assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("ready")));
        assert!(ready.json()["broker"].as_str().unwrap().contains(broker), "{}", ready.text());
    }
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
