//! What every answer has, whatever it is about: headers, methods, compression, both versions of HTTP.

use std::process::Command;

use crate::support::client::{Answer, images};
use crate::support::pictures::photo;
use crate::support::service::{Home, Service};

fn curl(service: &Service, arguments: &[&str], path: &str) -> String {
    let url = format!("http://{}{path}", service.address());
    let run = Command::new("curl").args(["-sS", "--max-time", "60"]).args(arguments).arg(url).output();
    let run = run.expect("cannot run curl: apt-get install curl");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8_lossy(&run.stdout).into_owned()
}

#[tokio::test]
async fn every_answer_keeps_browsers_from_guessing_and_framing() {
    let home = Home::sqlite();
    let service = home.serve();
    let status = service.done(images([("a.jpg", photo())])).await;
    let file = status["result"][0]["paths"][0].as_str().unwrap();
    for (method, path) in [
        ("GET", "/healthz"),
        ("GET", "/api/task_status/none"),
        ("GET", "/nowhere"),
        ("PATCH", "/api/upload"),
        ("OPTIONS", "/api/upload"),
        ("GET", file),
        ("HEAD", file),
        ("GET", status["links"]["archive"].as_str().unwrap()),
    ] {
        let answer = service.send(method, path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("referrer-policy", "same-origin"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(answer.header(name), value, "{method} {path}");
        }
        let shared = if path == file { "cross-origin" } else { "same-origin" };
        assert_eq!(answer.header("cross-origin-resource-policy"), shared, "{method} {path}");
        assert!(!answer.header("x-request-id").is_empty(), "{method} {path}");
    }
}

#[tokio::test]
async fn methods_are_told_by_options_and_by_refusals() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    for (path, allowed) in [
        ("/api/upload", "POST"),
        ("/api/task_status/1", "GET,HEAD"),
        ("/api/groups/1", "GET,HEAD,DELETE"),
        ("/api/groups/1/archive", "GET,HEAD"),
        ("/files/a/b/1/c.png", "GET,HEAD"),
        ("/metrics", "GET,HEAD"),
        ("/healthz", "GET,HEAD"),
    ] {
        let options = service.send("OPTIONS", path).await;
        assert_eq!((options.status, options.header("allow"), options.body.len()), (204, allowed, 0), "{path}");
        let refused = service.send("PATCH", path).await;
        assert_eq!((refused.status, refused.header("allow")), (405, allowed), "{path}");
        assert_eq!(refused.problem()["code"], "method-not-allowed");
    }
    assert_eq!(service.send("OPTIONS", "/nowhere").await.status, 404);
    let host = service.address();
    let all = service.raw(format!("OPTIONS * HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await;
    assert_eq!(all.status, 204);
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let home = Home::sqlite();
    let service = home.serve();
    let status = service.done(images([("a.jpg", photo())])).await;
    let group = status["task_id"].as_str().unwrap();
    for path in [
        status["result"][0]["paths"][0].as_str().unwrap(),
        &format!("/api/task_status/{group}"),
        &format!("/api/groups/{group}"),
        "/openapi.json",
        "/metrics",
        "/healthz",
        "/readyz",
        "/api/groups/none",
    ] {
        let (get, head) = (service.get(path).await, service.send("HEAD", path).await);
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        if path != "/metrics" {
            assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
        }
    }
}

#[tokio::test]
async fn text_is_compressed_and_pictures_are_not() {
    let home = Home::sqlite();
    let service = home.serve();
    let status = service.done(images([("a.jpg", photo())])).await;
    let asked = async |path: &str, encoding: &str| {
        Answer::of(service.request("GET", path).header("Accept-Encoding", encoding)).await
    };
    let plain = service.get("/openapi.json").await;
    for encoding in ["gzip", "br", "zstd"] {
        let answer = asked("/openapi.json", encoding).await;
        assert_eq!((answer.status, answer.header("content-encoding")), (200, encoding));
        assert!(answer.header("vary").contains("accept-encoding"));
        assert!(answer.body.len() < plain.body.len() / 3, "{encoding}: {} bytes", answer.body.len());
        assert_eq!(asked("/metrics", encoding).await.header("content-encoding"), encoding);
    }
    // By programs that nobody here wrote.
    assert_eq!(curl(&service, &["--compressed"], "/openapi.json"), plain.text());
    let unwanted = "gzip, br, zstd";
    for path in [&status["result"][0]["paths"][0], &status["links"]["archive"]] {
        assert_eq!(asked(path.as_str().unwrap(), unwanted).await.header("content-encoding"), "", "{path}");
    }
    assert_eq!(asked("/healthz", unwanted).await.header("content-encoding"), "", "too small to pay");
    assert_eq!(asked("/openapi.json", "identity").await.header("content-encoding"), "");
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_on_one_port() {
    let home = Home::sqlite();
    let service = home.serve();
    let version = ["-o", "/dev/null", "-w", "%{http_version} %{http_code}"];
    for (flag, spoken) in [("--http2-prior-knowledge", "2"), ("--http1.1", "1.1"), ("--http1.0", "1")] {
        let told = curl(&service, &[&version[..], &[flag]].concat(), "/healthz");
        assert!(told.starts_with(spoken) && told.ends_with(" 200"), "{flag}: {told}");
        let picture = home.folder().join("photo.jpg");
        std::fs::write(&picture, photo()).unwrap();
        let form = format!("images=@{}", picture.display());
        for expect in ["Expect: 100-continue", "Expect:"] {
            let taken = curl(&service, &[flag, "-F", &form, "-H", expect, "-w", "%{http_code}"], "/api/upload");
            assert!(taken.ends_with("202"), "{flag} {expect}: {taken}");
        }
        let refused = curl(&service, &[flag, "-F", &form, "-F", "wrong=1", "-w", "%{http_code}"], "/api/upload");
        assert!(refused.contains("unknown-field") && refused.ends_with("400"), "{flag}: {refused}");
    }
}
