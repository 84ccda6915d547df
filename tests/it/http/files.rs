//! `/files/…`: outputs with everything that a browser's cache asks for, and nothing else of the store.

use serde_json::Value;

use crate::support::client::{Answer, images};
use crate::support::pictures::{photo, plain_png};
use crate::support::service::{Home, Service};

async fn output(service: &Service) -> (String, Value) {
    let status = service.done(images([("a.jpg", photo())])).await;
    let output = status["result"][0]["outputs"][0].clone();
    (output["path"].as_str().unwrap().into(), output)
}

#[tokio::test]
async fn output_comes_with_its_type_length_and_tag() {
    let home = Home::sqlite();
    let service = home.serve();
    let (path, output) = output(&service).await;
    let whole = service.get(&path).await;
    let head = Answer::of(service.request("HEAD", &path)).await;
    for answer in [&whole, &head] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), "image/jpeg");
        assert_eq!(answer.header("content-length"), output["bytes"].to_string());
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("cache-control").contains("immutable"));
        assert!(answer.header("etag").starts_with('"'));
    }
    assert!(head.body.is_empty());
    assert_eq!(whole.header("etag"), head.header("etag"));
}

#[tokio::test]
async fn known_output_is_not_sent_again() {
    let home = Home::sqlite();
    let service = home.serve();
    let (path, _) = output(&service).await;
    let tag = service.get(&path).await.header("etag").to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".into()] {
        let answer = Answer::of(service.request("GET", &path).header("If-None-Match", &known)).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}");
        assert_eq!(answer.header("etag"), tag);
    }
    let answer = Answer::of(service.request("GET", &path).header("If-None-Match", "\"other\"")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn originals_and_the_queue_are_never_served() {
    let home = Home::sqlite();
    let service = home.serve();
    let accepted = service.upload(images([("a.png", plain_png(9, 9))])).await;
    let group = accepted["task_id"].as_str().unwrap();
    let job = service.finished(group).await["result"][0]["job_id"].as_str().unwrap().to_owned();
    assert!(home.folder().join(format!("uploads/{group}/0")).is_file(), "there is an original");
    for path in [
        format!("/files/../uploads/{group}/0"),
        format!("/files/uploads/{group}/0"),
        format!("/uploads/{group}/0"),
        format!("/files/{group}/{job}/1/../../../../uploads/{group}/0"),
        format!("/files/{group}/{job}/1/%2e%2e"),
        format!("/files/{group}/{job}/1/..%2f..%2f..%2f..%2fuploads%2f{group}%2f0"),
        format!("/files/{group}/{job}/1/%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fqueue.db"),
        format!("/files/%2e%2e/uploads/{group}/0"),
        format!("/files/..%2fuploads/{group}/0/x.png"),
        format!("/files/{group}/{job}/..%2f..%2f..%2f../queue.db"),
        "/files/../queue.db".into(),
        "/files/%2e%2e/%2e%2e/%2e%2e/etc/passwd".into(),
    ] {
        let answer = service.raw_get(&path).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
}
