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

/// Caches and campaigns add parameters of their own to addresses.
#[tokio::test]
async fn other_parameters_of_an_output_are_passed_over() {
    let home = Home::sqlite();
    let service = home.serve();
    let (path, _) = output(&service).await;
    let whole = service.get(&path).await;
    for query in ["v=1", "t=1700000000", "utm_source=x&utm_source=y", "v", "", "download=0&v=%ff"] {
        let answer = service.get(&format!("{path}?{query}")).await;
        assert_eq!((answer.status, &answer.body), (200, &whole.body), "{query}");
        assert_eq!(answer.header("etag"), whole.header("etag"));
    }
    let saved = service.get(&format!("{path}?v=1&download=1")).await;
    assert!(saved.header("content-disposition").starts_with("attachment"));
    assert_eq!(service.get(&format!("{path}?download=perhaps")).await.problem()["code"], "invalid-query");
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

async fn with(service: &Service, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request =
        headers.iter().fold(service.request(method, path), |request, (name, value)| request.header(*name, *value));
    Answer::of(request).await
}

#[tokio::test]
async fn part_of_an_output_is_sent_alone() {
    let home = Home::sqlite();
    let service = home.serve();
    let (path, _) = output(&service).await;
    let whole = service.get(&path).await;
    let size = whole.body.len();
    assert_eq!(whole.header("accept-ranges"), "bytes");
    for (range, bytes) in [
        ("bytes=0-0".to_owned(), 0..1),
        ("bytes=10-1000".to_owned(), 10..1001),
        (format!("bytes={}-", size - 7), size - 7..size),
        ("bytes=-5".to_owned(), size - 5..size),
    ] {
        let part = with(&service, "GET", &path, &[("Range", &range)]).await;
        assert_eq!((part.status, part.header("content-type")), (206, "image/jpeg"), "{range}");
        let told = format!("bytes {}-{}/{size}", bytes.start, bytes.end - 1);
        assert_eq!(part.header("content-range"), told);
        assert_eq!(part.header("content-length"), bytes.len().to_string());
        assert_eq!(part.header("etag"), whole.header("etag"));
        assert!(part.body == whole.body[bytes], "{range}");
    }
    for range in ["bytes=0-1,4-5", "bytes=9-1", "lines=1-2"] {
        let answer = with(&service, "GET", &path, &[("Range", range)]).await;
        assert_eq!((answer.status, answer.body.len()), (200, size), "{range}");
    }
    let beyond = with(&service, "GET", &path, &[("Range", &format!("bytes={size}-"))]).await;
    assert_eq!(beyond.problem()["code"], "range-not-satisfiable");
    assert_eq!((beyond.status, beyond.header("content-range")), (416, &*format!("bytes */{size}")));
    let head = with(&service, "HEAD", &path, &[("Range", "bytes=0-1")]).await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, &*size.to_string(), 0));
}

#[tokio::test]
async fn preconditions_decide_what_is_sent() {
    let home = Home::sqlite();
    let service = home.serve();
    let (path, _) = output(&service).await;
    let whole = service.get(&path).await;
    let (tag, modified) = (whole.header("etag"), whole.header("last-modified"));
    assert!(!modified.is_empty());
    for (method, headers, status) in [
        ("GET", &[("If-Match", tag)][..], 200),
        ("GET", &[("If-Match", "\"other\"")], 412),
        ("GET", &[("If-Match", "\"other\""), ("If-None-Match", tag)], 412),
        ("GET", &[("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")], 412),
        ("GET", &[("If-Modified-Since", modified)], 304),
        ("HEAD", &[("If-Modified-Since", modified)], 304),
        ("GET", &[("If-None-Match", "\"other\""), ("If-Modified-Since", modified)], 200),
        ("GET", &[("If-None-Match", tag), ("Range", "bytes=0-1")], 304),
        ("GET", &[("If-Range", tag), ("Range", "bytes=0-1")], 206),
        ("GET", &[("If-Range", modified), ("Range", "bytes=0-1")], 206),
        ("GET", &[("If-Range", "\"other\""), ("Range", "bytes=0-1")], 200),
    ] {
        let answer = with(&service, method, &path, headers).await;
        assert_eq!(answer.status, status, "{method} {headers:?}");
        if status == 412 {
            assert_eq!(answer.problem()["code"], "precondition-failed");
        }
    }
}

#[tokio::test]
async fn output_is_shown_or_saved_under_its_name() {
    let home = Home::sqlite();
    let service = home.serve();
    let (path, _) = output(&service).await;
    for (query, kind) in
        [("", "inline"), ("?download=1", "attachment"), ("?download=true", "attachment"), ("?download=0", "inline")]
    {
        let answer = service.get(&format!("{path}{query}")).await;
        let named = format!("{kind}; filename=\"0-resize.jpg\"");
        assert_eq!((answer.status, answer.header("content-disposition")), (200, &*named), "{query}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "cross-origin");
    }
    let problem = service.get(&format!("{path}?download=maybe")).await.problem();
    assert_eq!((&problem["status"], &problem["code"]), (&400.into(), &"invalid-query".into()));
}
