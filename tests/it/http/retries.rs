//! Trying failed and cancelled pictures again.

use serde_json::{Value, json};

use crate::support::client::{id, images};
use crate::support::pictures::{plain_png, truncated};
use crate::support::service::{Home, Service};

async fn retry(service: &Service, path: &str) -> Value {
    let answer = service.send("POST", path).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let accepted = answer.json();
    assert_eq!(answer.header("location"), accepted["links"]["self"].as_str().unwrap());
    accepted
}

#[tokio::test]
async fn failed_and_cancelled_pictures_are_tried_again_as_a_group_of_copies() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        let first = service.upload(images([("a.png", plain_png(9, 9)), ("b.png", plain_png(9, 9))])).await;
        let cancelled = service.send("DELETE", &format!("/api/groups/{}", id(&first))).await.json();
        let again = retry(&service, &format!("/api/groups/{}/retry", id(&first))).await;
        assert_eq!(again["total_images"], 2);
        // The copies have originals of their own.
        std::fs::remove_dir_all(home.folder().join("uploads").join(id(&first))).unwrap();
        let _worker = home.worker().await;
        let status = service.finished(id(&again)).await;
        assert_eq!((&status["status"], &status["retry_of"]), (&json!("completed"), &first["task_id"]), "{status}");
        for (copy, original) in [0, 1].map(|i| (&status["result"][i], &cancelled["result"][i])) {
            assert_eq!(copy["image"], original["image"]);
            let job = service.status(copy["job_id"].as_str().unwrap()).await;
            assert_eq!(job["retry_of"], original["job_id"]);
        }
        assert_eq!(service.status(id(&first)).await, cancelled, "a finished record never changes");
        let problem = service.send("POST", &format!("/api/groups/{}/retry", id(&again))).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(409), &json!("not-retryable")));
        let problem = service.send("POST", &format!("/api/groups/{}/retry", id(&first))).await.problem();
        assert_eq!(problem["code"], "not-retryable", "its originals are gone");
        assert!(problem["detail"].as_str().unwrap().contains("retention.originals"), "{problem}");
    }
}

#[tokio::test]
async fn one_job_is_tried_again_once_it_has_failed() {
    let home = Home::sqlite();
    let service = home.serve();
    let first = service.done(images([("good.png", plain_png(9, 9)), ("bad.jpg", truncated())])).await;
    assert_eq!((&first["succeeded"], &first["failed"]), (&json!(1), &json!(1)), "{first}");
    let job = |i: usize| first["result"][i]["job_id"].as_str().unwrap();
    let problem = service.send("POST", &format!("/api/jobs/{}/retry", job(0))).await.problem();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(409), &json!("not-retryable")));
    assert!(problem["detail"].as_str().unwrap().contains("succeeded"), "{problem}");
    let again = retry(&service, &format!("/api/jobs/{}/retry", job(1))).await;
    let status = service.finished(id(&again)).await;
    assert_eq!((&status["failed"], &status["retry_of"]), (&json!(1), &first["task_id"]), "{status}");
    assert_eq!(status["result"][0]["image"], "bad.jpg");
}
