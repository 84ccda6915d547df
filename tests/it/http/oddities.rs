//! Forms as no library here would write them, byte by byte: what can be understood is taken, the rest is refused with
//! a sentence, and nothing is left behind.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Answer, id};
use crate::support::pictures::plain_png;
use crate::support::service::{Home, Service};
use crate::support::until;

const PLAIN: &str = "Content-Disposition: form-data; name=\"images\"; filename=\"a.png\"";
const END: &[u8] = b"--edge--\r\n";

/// One part of a form whose boundary is `edge`.
fn part(header: &[u8], body: &[u8]) -> Vec<u8> {
    [b"--edge\r\n", header, b"\r\n\r\n", body, b"\r\n"].concat()
}

fn picture(header: &str) -> Vec<u8> {
    part(header.as_bytes(), &plain_png(9, 9))
}

fn form(parts: &[u8]) -> Vec<u8> {
    [parts, END].concat()
}

async fn post(service: &Service, body: &[u8]) -> Answer {
    service.raw_post("multipart/form-data; boundary=edge", body).await
}

/// The name under which the only picture is shown at its end.
async fn name_of(service: &Service, what: &str, answer: &Answer) -> Value {
    assert_eq!(answer.status, 202, "{what}: {}", answer.text());
    let status = service.finished(id(&answer.json())).await;
    assert_eq!((&status["status"], &status["total_images"]), (&json!("completed"), &json!(1)), "{what}: {status}");
    status["result"][0]["image"].clone()
}

#[tokio::test]
async fn name_is_shown_as_its_sender_meant_it() {
    let home = Home::sqlite();
    let service = home.serve();
    let disposition = |rest: &str| format!("Content-Disposition: form-data; name=\"images\"{rest}").into_bytes();
    let cases: [(Vec<u8>, &str); 14] = [
        (disposition(""), "image-0"),
        (disposition("; filename=\"cat.png\""), "cat.png"),
        (disposition("; filename=cat.png"), "cat.png"),
        (disposition("; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.png"), "naïve €.png"),
        (disposition("; filename=\"x.png\"; filename*=UTF-8''na%C3%AFve.png"), "naïve.png"),
        (disposition("; filename=\"a%22b%0D%0Ac.png\""), "a\"b\u{fffd}\u{fffd}c.png"),
        (disposition("; filename=\"a\\\"b.png\""), "a\"b.png"),
        (disposition("; filename=\"100%25.png\""), "100%25.png"),
        (disposition("; filename=\"C:\\pictures\\cat.png\""), "cat.png"),
        (disposition("; filename=\"../../etc/cat.png\""), "cat.png"),
        (disposition("; filename=\"猫.png\""), "猫.png"),
        (b"Content-Disposition: form-data; name=\"images\"; filename=\"na\xefve.png\"".into(), "na\u{fffd}ve.png"),
        (b"CONTENT-DISPOSITION: FORM-DATA; NAME=images; FILENAME=\"cat.png\"".into(), "cat.png"),
        (b"content-type: text/plain\r\ncontent-disposition:form-data;name=images;filename=cat.png".into(), "cat.png"),
    ];
    for (header, shown) in cases {
        let what = String::from_utf8_lossy(&header).into_owned();
        let answer = post(&service, &form(&part(&header, &plain_png(9, 9)))).await;
        assert_eq!(name_of(&service, &what, &answer).await, shown, "{what}");
    }
}

#[tokio::test]
async fn odd_and_right_forms_are_taken() {
    let home = Home::sqlite();
    let service = home.serve();
    let seventy = "b".repeat(70);
    let with_boundary = |boundary: &str| {
        let body = String::from_utf8_lossy(b"--edge").replace("edge", boundary).into_bytes();
        let part = form(&picture(PLAIN));
        // Both boundaries, which stand at its ends.
        let inner = &part[6..part.len() - END.len()];
        [&body, inner, &body, b"--\r\n".as_slice()].concat()
    };
    let one = picture(PLAIN);
    let cases: [(&str, String, Vec<u8>); 9] = [
        ("70 characters", format!("multipart/form-data; boundary={seventy}"), with_boundary(&seventy)),
        ("quoted", "multipart/form-data; boundary=\"e d:g'e\"".into(), with_boundary("e d:g'e")),
        ("other case", "Multipart/Form-Data; charset=utf-8; Boundary=edge".into(), form(&one)),
        ("preamble", "multipart/form-data; boundary=edge".into(), [b"Before.\r\n--edgy\r\n", &*form(&one)].concat()),
        ("epilogue", "multipart/form-data; boundary=edge".into(), [&*form(&one), b"After.\r\n--edge\r\n\r\n"].concat()),
        ("no last line end", "multipart/form-data; boundary=edge".into(), [&*one, b"--edge--"].concat()),
        ("padded boundary", "multipart/form-data; boundary=edge".into(), {
            [b"--edge \t\r\n", &one[8..], END].concat()
        }),
        ("boundary's beginning in the data", "multipart/form-data; boundary=edge".into(), {
            form(&part(PLAIN.as_bytes(), &[&*plain_png(9, 9), b"\r\n--edg\r\n-edge"].concat()))
        }),
        ("unfilled inputs around it", "multipart/form-data; boundary=edge".into(), {
            let unfilled = part(b"Content-Disposition: form-data; name=\"images\"; filename=\"\"", b"");
            form(&[&*unfilled, &one, &unfilled].concat())
        }),
    ];
    for (what, content_type, body) in cases {
        let answer = service.raw_post(&content_type, &body).await;
        assert_eq!(name_of(&service, what, &answer).await, "a.png", "{what}");
    }
}

#[tokio::test]
async fn fields_may_come_in_any_order_and_as_files() {
    let home = Home::sqlite();
    let service = home.serve();
    let operations = b"[{\"type\": \"resize\", \"width\": 5, \"height\": 5}]";
    let plain = part(b"Content-Disposition: form-data; name=\"operations\"", operations);
    let as_file = part(
        b"Content-Disposition: form-data; name=\"operations\"; filename=\"o.json\"\r\nContent-Type: application/json",
        operations,
    );
    let one = picture(PLAIN);
    for parts in [[&*plain, &*one].concat(), [&*one, &*plain].concat(), [&*as_file, &*one].concat()] {
        let status = service.finished(id(&post(&service, &form(&parts)).await.json())).await;
        assert_eq!(status["result"][0]["outputs"][0]["width"], 5, "{status}");
    }
    let two = post(&service, &form(&[&*one, &*one].concat())).await.json();
    assert_eq!(two["total_images"], 2);
}

#[tokio::test]
async fn chunked_body_of_any_cut_is_taken() {
    let home = Home::sqlite();
    let service = home.serve();
    let body = form(&picture(PLAIN));
    for size in [1, 7, 64, body.len()] {
        let chunks =
            body.chunks(size).map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        let chunked = [chunks.collect::<Vec<_>>().concat(), b"0\r\n\r\n".to_vec()].concat();
        let answer = service.raw(&[head(&service, "Transfer-Encoding: chunked\r\n"), chunked].concat()).await;
        assert_eq!(name_of(&service, "chunked", &answer).await, "a.png");
    }
    let broken = [head(&service, "Transfer-Encoding: chunked\r\n"), b"zz\r\nno number\r\n".to_vec()].concat();
    assert_eq!(service.raw(&broken).await.problem()["code"], "invalid-multipart");
}

/// A request's head with these lines more, to a form.
fn head(service: &Service, lines: &str) -> Vec<u8> {
    format!(
        "POST /api/upload HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary=edge\r\n{lines}\r\n",
        service.address()
    )
    .into_bytes()
}

#[tokio::test]
async fn client_that_asks_first_is_told_to_go_on_or_why_not() {
    let home = Home::sqlite();
    let service = home.serve();
    let body = form(&picture(PLAIN));
    let asking = format!("Expect: 100-continue\r\nContent-Length: {}\r\n", body.len());
    let mut stream = TcpStream::connect(service.address()).await.unwrap();
    stream.write_all(&head(&service, &asking)).await.unwrap();
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&body).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");

    // Refused by its head alone, it never sends the body.
    let refused = String::from_utf8(head(&service, &asking)).unwrap().replace("multipart/form-data", "text/plain");
    assert_eq!(service.raw(refused.as_bytes()).await.problem()["code"], "not-multipart");
}

#[tokio::test]
async fn malformed_forms_are_refused_with_their_reason() {
    let home = Home::sqlite();
    let service = home.serve();
    let one = picture(PLAIN);
    let many = "\r\nX: y".repeat(300);
    let cases: [(&str, Vec<u8>, &str); 13] = [
        ("folded header", form(&picture(&PLAIN.replace("; ", ";\r\n "))), "none of them folded"),
        ("newline in a name", form(&picture(&PLAIN.replace("a.png", "a\nb.png"))), "header cannot be read"),
        ("zero in a name", form(&picture(&PLAIN.replace("a.png", "a\0b.png"))), "header cannot be read"),
        ("space before a colon", form(&picture(&PLAIN.replace(": ", " : "))), "header cannot be read"),
        ("300 header lines", form(&picture(&format!("{PLAIN}{many}"))), "at most 32 lines"),
        ("a header of 64 KiB", form(&picture(&format!("{PLAIN}\r\nX: {}", "x".repeat(65_536)))), "16384"),
        (
            "a header without end",
            form(&picture(&format!("{PLAIN}\r\nX: {}", "x".repeat(8 << 20)))),
            "belong to no part",
        ),
        ("a preamble without end", [vec![b'x'; 8 << 20], form(&one)].concat(), "belong to no part"),
        ("no name", form(&picture("Content-Disposition: form-data; filename=\"a.png\"")), "has no name"),
        ("no disposition", form(&picture("Content-Type: image/png")), "has no name"),
        ("bare line feeds", [b"--edge\n", PLAIN.as_bytes(), b"\n\nabc\n--edge--\n"].concat(), "CR LF"),
        ("no last boundary", one.clone(), "it ends within the field `images`"),
        ("half a last boundary", [&*one, b"--edge-"].concat(), "its last boundary, `--edge--`"),
    ];
    for (what, body, named) in cases {
        let problem = post(&service, &body).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(400), &json!("invalid-multipart")), "{what}");
        assert!(problem["detail"].as_str().unwrap().contains(named), "{what}: {problem}");
    }
    home.is_left_empty().await;
}

#[tokio::test]
async fn forms_that_are_not_ours_are_refused_by_name() {
    let home = Home::sqlite();
    let service = home.serve();
    let one = picture(PLAIN);
    let field =
        |name: &str, body: &[u8]| part(format!("Content-Disposition: form-data; name=\"{name}\"").as_bytes(), body);
    let cases: [(&str, Vec<u8>, u16, &str); 8] = [
        ("PHP's name", form(&picture(&PLAIN.replace("images", "images[]"))), 400, "unknown-field"),
        ("single quotes", form(&picture(&PLAIN.replace('"', "'"))), 400, "unknown-field"),
        (
            "operations twice",
            form(&[field("operations", b"[]"), field("operations", b"[]")].concat()),
            400,
            "repeated-field",
        ),
        ("an empty file", form(&part(PLAIN.as_bytes(), b"")), 422, "empty-file"),
        (
            "base64",
            form(&part(format!("{PLAIN}\r\nContent-Transfer-Encoding: base64").as_bytes(), b"iVBORw0KGgo=")),
            415,
            "unsupported-format",
        ),
        ("10,000 tiny pictures", form(&part(PLAIN.as_bytes(), b"x").repeat(10_000)), 413, "too-many-files"),
        (
            "10,000 unfilled inputs",
            form(&part(b"Content-Disposition: form-data; name=\"images\"; filename=\"\"", b"").repeat(10_000)),
            400,
            "no-images",
        ),
        ("10,000 fields", form(&field("x", b"x").repeat(10_000)), 400, "unknown-field"),
    ];
    for (what, body, status, code) in cases {
        let problem = post(&service, &body).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)), "{what}: {problem}");
    }
    for content_type in ["multipart/form-data; boundary=", "multipart/mixed; boundary=edge", "multipart/form-data"] {
        let problem = service.raw_post(content_type, &form(&one)).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(415), &json!("not-multipart")), "{content_type}");
    }
    home.is_left_empty().await;
}

#[tokio::test]
async fn wrong_lengths_leave_nothing() {
    let home = Home::sqlite();
    let service = home.serve();
    let body = form(&picture(PLAIN));
    let with_length = |length: &str| [head(&service, &format!("Content-Length: {length}\r\n")), body.clone()].concat();
    // Too short: the form is cut there.
    let short = service.raw(&with_length(&(body.len() - 30).to_string())).await;
    assert_eq!(short.problem()["code"], "invalid-multipart");
    // Too long: the client goes before it has sent what it announced, and within the picture.
    let mut stream = TcpStream::connect(service.address()).await.unwrap();
    let cut = with_length(&(body.len() + 50).to_string());
    stream.write_all(&cut[..cut.len() - 30]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("invalid-multipart"), "{answer}");
    // Not a length at all: there is no request.
    for length in ["abc", "-1", "18446744073709551616", "3\r\nContent-Length: 4"] {
        assert_eq!(service.raw(&with_length(length)).await.problem()["code"], "malformed-request", "{length}");
    }
    home.is_left_empty().await;
}

/// hyper answered these without a word, and took the first of two hosts.
#[tokio::test]
async fn what_is_no_request_is_refused_with_a_reason() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    let get = |target: &str, more: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
    let cases = [
        ("no method", "G\u{1}T / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 400, "malformed-request"),
        ("no version", "GET / HTTX/1.1\r\nHost: localhost\r\n\r\n".into(), 400, "malformed-request"),
        ("a bare header", get("/healthz", "nonsense\r\n"), 400, "malformed-request"),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n".into(), 400, "malformed-request"),
        ("two hosts", get("/healthz", "Host: evil.example\r\nConnection: close\r\n"), 400, "malformed-request"),
        ("no host", "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n".into(), 400, "malformed-request"),
        ("a long header", get("/healthz", &format!("X: {}\r\n", "x".repeat(100_000))), 431, "head-too-large"),
        ("many headers", get("/healthz", &"X: x\r\n".repeat(200)), 431, "head-too-large"),
        ("behind a good one", get("/healthz", "") + "nonsense\r\n\r\n", 200, ""),
    ];
    for (what, request, status, code) in cases {
        let answer = service.raw(request.as_bytes()).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        if status == 200 {
            // The second answer follows in the same bytes.
            assert!(answer.text().contains("HTTP/1.1 400 ") && answer.text().contains("malformed-request"), "{what}");
            continue;
        }
        assert_eq!(answer.problem()["code"], code, "{what}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
        assert_eq!(answer.header("connection"), "close", "{what}");
    }
    let metrics = service.get("/metrics").await.text();
    assert!(
        metrics.contains(r#"pixmill_http_requests_total{method="any",route="unmatched",status="431"} 2"#),
        "{metrics}"
    );
}

/// `POST …/grow` with `{"by": 7}` grew by one.
#[tokio::test]
async fn body_that_is_not_heeded_is_refused() {
    let home = Home::sqlite();
    let service = home.serve();
    let worker = until("the worker is listed", async || {
        service.get("/api/workers").await.json()["workers"][0]["session"].as_str().map(str::to_owned)
    })
    .await;
    let send = async |method: &str, path: &str, body: &str| {
        Answer::of(service.request(method, path).header("Content-Type", "application/json").body(body.to_owned())).await
    };
    let grow = format!("/api/workers/{worker}/grow");
    let before = service.get("/api/workers").await.json()["workers"][0]["io"]["total"].as_u64().unwrap();
    let grown = send("POST", &grow, r#"{"class": "io", "by": 7}"#).await;
    assert_eq!(grown.json()["io"]["total"], before + 7, "{}", grown.text());
    for (path, body, code) in [
        (grow.clone(), r#"{"by": 0}"#, "invalid-query"),
        (grow.clone(), r#"{"slots": 1}"#, "invalid-query"),
        (format!("{grow}?by=1"), r#"{"by": 2}"#, "invalid-query"),
        (grow.clone(), "[1]", "invalid-json"),
        ("/api/queues/critical/pause".into(), r#"{"for": "1h"}"#, "unexpected-body"),
        ("/api/logout".into(), "x", "unexpected-body"),
    ] {
        assert_eq!(send("POST", &path, body).await.problem()["code"], code, "{path} {body}");
    }
    assert_eq!(send("GET", "/api/jobs", r#"{"state": "failed"}"#).await.problem()["code"], "unexpected-body");
    assert_eq!(send("DELETE", "/api/queues/critical/jobs", "{ }").await.problem()["code"], "unexpected-body");
    for nothing in ["{}", " \r\n", ""] {
        assert_eq!(send("POST", "/api/queues/critical/pause", nothing).await.status, 200, "{nothing:?}");
    }
}
