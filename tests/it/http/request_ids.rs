//! A request is found again in its answer, its status and the log of whoever works on it.

use serde_json::{Value, json};

use crate::support::client::{Answer, id, images};
use crate::support::pictures::{plain_png, truncated};
use crate::support::service::Home;
use crate::support::until;

#[tokio::test]
async fn request_id_follows_the_pictures_into_the_workers_log() {
    for (home, format) in
        [(Home::sqlite(), "text"), (Home::redis(), "text"), (Home::sqlite(), "json"), (Home::redis(), "json")]
    {
        let home = home.set("log.format", format).set("log.level", "info,pixmill::worker=debug");
        let service = home.serve_with(&["--no-workers"]);
        let worker = home.worker().await;
        let posted = service.request("POST", "/api/upload").header("X-Request-Id", "order-4711");
        let form = images([("a.png", plain_png(9, 9)), ("b.jpg", truncated())]);
        let accepted = Answer::of(posted.multipart(form)).await;
        assert_eq!(accepted.header("x-request-id"), "order-4711");
        let group = id(&accepted.json()).to_owned();
        service.process.says("order-4711").await;
        let status = service.finished(&group).await;
        assert_eq!(status["request_id"], "order-4711");
        for result in status["result"].as_array().unwrap() {
            let job = result["job_id"].as_str().unwrap();
            assert_eq!(service.status(job).await["request_id"], "order-4711");
            let outcome = if result["success"] == true { "succeeded" } else { "failed" };
            for words in [format!("claimed job {job}"), format!("started job {job}"), format!("{outcome}: job {job}")] {
                worker.says(&words).await;
                let log = worker.log();
                let line = log.lines().find(|line| line.contains(&words)).unwrap();
                if format == "json" {
                    let line: Value = serde_json::from_str(line).unwrap();
                    assert_eq!(line["fields"]["request.id"], "order-4711", "{line}");
                } else {
                    assert!(line.contains("request.id=\"order-4711\""), "{line}");
                }
            }
        }
        let retry = service.request("POST", &format!("/api/groups/{group}/retry")).header("X-Request-Id", "second");
        let again = service.finished(id(&Answer::of(retry).await.json())).await;
        assert_eq!(again["request_id"], "second");
    }
}

#[tokio::test]
async fn request_id_follows_pictures_that_are_fetched_and_what_follows_them() {
    for home in [Home::sqlite(), Home::redis()] {
        let pictures = tempfile::tempdir().unwrap();
        std::fs::create_dir(pictures.path().join("incoming")).unwrap();
        for name in ["a.png", "b.png"] {
            std::fs::write(pictures.path().join("incoming").join(name), plain_png(9, 9)).unwrap();
        }
        // More than one is not looked at while the client waits, but fetched by jobs.
        let home = home.set("sources.folder", pictures.path().to_str().unwrap()).set("limits.max_files", "1");
        let service = home.serve_with(&["--no-workers"]);
        let worker = home.worker().await;
        let then = json!({"then": {"on": "always", "operations": [{"type": "info"}]}});
        let asked = json!({"sources": [{"prefix": "incoming/"}], "options": then});
        let posted = service.request("POST", "/api/groups").header("X-Request-Id", "order-4711").json(&asked);
        let accepted = Answer::of(posted).await.json();
        let first = service.finished(id(&accepted)).await;
        let follows = accepted["links"]["then"].as_str().unwrap();
        let second = until("what follows has ended", async || {
            let status = service.get(follows).await;
            (status.status == 200 && status.json()["status"] != "processing").then(|| status.json())
        })
        .await;
        for group in [first, second] {
            assert_eq!((&group["request_id"], &group["succeeded"]), (&json!("order-4711"), &json!(2)), "{group}");
            for result in group["result"].as_array().unwrap() {
                let words = format!("succeeded: job {}", result["job_id"].as_str().unwrap());
                worker.says(&words).await;
                let log = worker.log();
                let line = log.lines().find(|line| line.contains(&words)).unwrap();
                assert!(line.contains("request.id=\"order-4711\""), "{line}");
            }
        }
    }
}

#[tokio::test]
async fn only_short_plain_ids_are_taken_over() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    let asked = |id: &str| Answer::of(service.request("GET", "/healthz").header("X-Request-Id", id));
    for good in ["1", "Root=1-67891233-abcdef", &"x".repeat(64)] {
        assert_eq!(asked(good).await.header("x-request-id"), good);
    }
    for bad in ["two words", "a\"b", &"x".repeat(65), ""] {
        let given = asked(bad).await.header("x-request-id").to_owned();
        assert!(given != bad && given.parse::<uuid::Uuid>().is_ok(), "{bad:?} became {given:?}");
    }
    let twice = service.request("GET", "/healthz").header("X-Request-Id", "a").header("X-Request-Id", "b");
    assert!(Answer::of(twice).await.header("x-request-id").parse::<uuid::Uuid>().is_ok());
}
