//! Forms that are not as they should be: each refused with a sentence that names what is wrong.

use std::io::Write;
use std::net::TcpStream;

use reqwest::multipart::{Form, Part};
use serde_json::json;

use crate::support::client::{Answer, images};
use crate::support::pictures::{large_photo, plain_png};
use crate::support::service::Home;
use crate::support::until;

#[tokio::test]
async fn form_without_a_picture_is_refused() {
    let home = Home::sqlite();
    let service = home.serve();
    let unfilled = "--edge\r\nContent-Disposition: form-data; name=\"images\"; filename=\"\"\r\n\
                    Content-Type: application/octet-stream\r\n\r\n\r\n--edge--\r\n";
    let other = "--edge\r\nContent-Disposition: form-data; name=\"options\"\r\n\r\n{}\r\n--edge--\r\n";
    for body in [unfilled, other] {
        let problem = service.raw_post("multipart/form-data; boundary=edge", body.as_bytes()).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(400), &json!("no-images")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("`images`"), "{problem}");
    }
}

#[tokio::test]
async fn unknown_and_repeated_fields_are_refused_by_name() {
    let home = Home::sqlite();
    let service = home.serve();
    let picture = || images([("a.png", plain_png(9, 9))]);
    let wrong = Form::new().part("image", Part::bytes(plain_png(9, 9)).file_name("a.png"));
    let operations = r#"[{"type": "resize", "width": 9}]"#;
    for (form, code, named) in [
        (wrong, "unknown-field", "Unknown field `image`; known: images, operations, options, preset."),
        (picture().text("operations", operations).text("operations", operations), "repeated-field", "`operations`"),
        (picture().text("options", "{}").text("options", "{}"), "repeated-field", "`options`"),
        (picture().part("options", Part::bytes(vec![0xff, 0xfe])), "invalid-multipart", "`options` is not UTF-8"),
    ] {
        let problem = service.refused(form).await;
        assert_eq!((&problem["status"], &problem["code"]), (&json!(400), &json!(code)), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(named), "{problem}");
    }
    home.is_left_empty().await;
}

/// Browsers send a field that nobody filled in as empty text, and a file input as a file without a name.
#[tokio::test]
async fn blank_fields_count_as_left_out() {
    let home = Home::sqlite();
    let card = home.folder().join("card.toml");
    std::fs::write(&card, "[presets]\ncard = [{ type = \"thumbnail\", size = [4, 4] }]\n").unwrap();
    let service = home.serve_with(&["--config", card.to_str().unwrap()]);
    let unfilled = || Part::bytes(Vec::new()).file_name("");
    let form = |fields: &[(&'static str, &'static str)]| {
        let form = images([("a.png", plain_png(9, 9))]).part("images", unfilled());
        fields.iter().fold(form, |form, (name, text)| form.text(*name, *text))
    };
    let one = r#"[{"type": "resize", "width": 3}]"#;
    for (fields, outputs) in [
        (&[("operations", ""), ("options", ""), ("preset", "")][..], 3),
        (&[("operations", " \r\n"), ("options", " ")], 3),
        // As from a list of choices beside a field to write in.
        (&[("operations", ""), ("operations", one)], 1),
        (&[("operations", one), ("preset", "")], 1),
        (&[("operations", ""), ("preset", "card")], 1),
        (&[("options", r#"{"preset": "", "priority": 9}"#), ("preset", "card")], 1),
        (&[("options", r#"{"preset": ""}"#)], 3),
        (&[("operations", r#""""#)], 3),
    ] {
        let status = service.done(form(fields)).await;
        let made = status["result"][0]["paths"].as_array().unwrap();
        assert_eq!((&status["total_images"], made.len()), (&json!(1), outputs), "{fields:?}: {status}");
    }
    for (fields, code, named) in [
        (&[("operations", one), ("preset", "card")][..], "invalid-options", "options.preset: operations are given"),
        (&[("options", r#"{"preset": "card"}"#), ("preset", "card")], "invalid-options", "the field `preset`"),
        (&[("preset", "cart")], "unknown-preset", "unknown preset `cart`; known: card"),
    ] {
        let problem = service.refused(form(fields)).await;
        assert_eq!((&problem["status"], &problem["code"]), (&json!(422), &json!(code)), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(named), "{problem}");
    }
}

/// Whatever the route: what is compressed would be read as something malformed.
#[tokio::test]
async fn encoded_body_is_refused_by_the_name_of_its_encoding() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    let post = |path: &str, encoding: &str| service.request("POST", path).header("Content-Encoding", encoding);
    for (path, content_type) in [
        ("/api/upload", "multipart/form-data; boundary=edge"),
        ("/api/groups", "application/json"),
        ("/api/login", "application/json"),
        ("/api/logout", "application/x-www-form-urlencoded"),
        ("/api/jobs/x/retry", "application/json"),
        ("/api/workers/x/grow", "application/json"),
    ] {
        for (encoding, named) in [("gzip", "gzip"), ("identity, br", "br"), ("X-Own", "X-Own")] {
            let asked = post(path, encoding).header("Content-Type", content_type).body("\u{1f}\u{8b}");
            let answer = Answer::of(asked).await;
            let problem = answer.problem();
            assert_eq!((&problem["status"], &problem["code"]), (&json!(415), &json!("encoded-body")), "{path}");
            assert!(problem["detail"].as_str().unwrap().contains(&format!("`Content-Encoding: {named}`")), "{problem}");
            assert_eq!(answer.header("accept-encoding"), "identity");
        }
    }
    // What changes nothing, and what has no body.
    let form = images([("a.png", plain_png(9, 9))]);
    assert_eq!(Answer::of(post("/api/upload", "identity").multipart(form)).await.status, 202);
    assert_eq!(Answer::of(post("/api/jobs/x/retry", "gzip")).await.status, 404);
    home.key(&["--name", "shop"]).await;
    let refused = until("the service knows of keys", async || {
        let answer = Answer::of(post("/api/groups", "gzip").body("x")).await;
        (answer.status != 415).then_some(answer)
    });
    assert_eq!(refused.await.status, 401, "who it is comes first");
}

#[tokio::test]
async fn body_that_is_no_form_is_refused() {
    let home = Home::sqlite();
    let service = home.serve();
    for content_type in ["application/json", "multipart/form-data", "image/jpeg"] {
        let problem = service.raw_post(content_type, b"{}").await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(415), &json!("not-multipart")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(content_type), "{problem}");
    }
    let part = "Content-Disposition: form-data; name=\"images\"; filename=\"a.png\"\r\n\r\n";
    for body in [
        String::new(),
        "no boundary at all".into(),
        format!("--edge\r\n{part}abc"),
        format!("--edge\r\n{part}abc\r\n--edge\r\n"),
        "--edge\r\nContent-Disposition: form-data\r\nno colon\r\n\r\nabc\r\n--edge--\r\n".into(),
        "--edge\r\n\r\nno name\r\n--edge--\r\n".into(),
    ] {
        let problem = service.raw_post("multipart/form-data; boundary=edge", body.as_bytes()).await.problem();
        assert_eq!(problem["status"], 400, "{body:?}: {problem}");
    }
    home.is_left_empty().await;
}

#[tokio::test]
async fn too_much_is_refused_by_the_limits_name() {
    let home = Home::sqlite()
        .set("limits.max_files", "2")
        .set("limits.max_request_bytes", "300000")
        .set("limits.max_field_bytes", "100");
    let service = home.serve();
    let small = || ("a.png", plain_png(9, 9));
    for (form, code, named) in [
        (images([small(), small(), small()]), "too-many-files", "limits.max_files (2)"),
        (images([("a.jpg", vec![0xff; 400_000])]), "request-too-large", "limits.max_request_bytes (300000)"),
        (images([small()]).text("operations", " ".repeat(101)), "field-too-large", "limits.max_field_bytes (100)"),
    ] {
        let problem = service.refused(form).await;
        assert_eq!((&problem["status"], &problem["code"]), (&json!(413), &json!(code)), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(named), "{problem}");
    }
    home.is_left_empty().await;
}

/// The answer stood in a connection that was reset while the client still sent.
#[tokio::test]
async fn early_refusal_reaches_a_client_that_is_still_sending() {
    let home = Home::sqlite().set("limits.max_request_bytes", "1000000");
    let service = home.serve();
    for _ in 0..5 {
        let answer = service.raw_post("multipart/form-data; boundary=edge", &heavy_form()).await;
        assert_eq!(answer.problem()["code"], "request-too-large");
        let answer = service.raw_post("text/plain", &vec![b'x'; 12_000_000]).await;
        assert_eq!(answer.problem()["code"], "not-multipart");
    }
}

fn heavy_form() -> Vec<u8> {
    let head = b"--edge\r\nContent-Disposition: form-data; name=\"images\"; filename=\"a.png\"\r\n\r\n";
    [&head[..], &vec![7; 12_000_000], b"\r\n--edge--\r\n"].concat()
}

#[tokio::test]
async fn upload_that_is_cut_off_leaves_nothing() {
    let home = Home::sqlite();
    let service = home.serve();
    let body = large_photo();
    let head = format!(
        "POST /api/upload HTTP/1.1\r\nHost: {}\r\nContent-Type: multipart/form-data; boundary=edge\r\n\
         Content-Length: {}\r\n\r\n--edge\r\nContent-Disposition: form-data; name=\"images\"; \
         filename=\"a.jpg\"\r\n\r\n",
        service.address(),
        body.len() + 10_000,
    );
    let mut connection = TcpStream::connect(service.address()).unwrap();
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(&body[..body.len() - 1000]).unwrap();
    until("the upload has begun", async || (!home.files("uploads").is_empty()).then_some(())).await;
    drop(connection);
    home.is_left_empty().await;
    let metrics = service.get("/metrics").await.text();
    assert!(metrics.contains("pixmill_images_accepted_total 0"), "{metrics}");
    service.upload(images([("a.png", plain_png(9, 9))])).await;
}

#[tokio::test]
async fn name_that_climbs_is_only_shown() {
    let home = Home::sqlite();
    let service = home.serve();
    let around = home.folder().parent().unwrap();
    let before = std::fs::read_dir(around).unwrap().filter(is_marked).count();
    for name in ["../../x-marks.png", "/etc/x-marks.png", "..\\..\\x-marks.png"] {
        let status = service.done(images([(name, plain_png(9, 9))])).await;
        assert_eq!((&status["status"], &status["result"][0]["image"]), (&json!("completed"), &json!("x-marks.png")));
    }
    assert_eq!(std::fs::read_dir(around).unwrap().filter(is_marked).count(), before);
    let everything = ["uploads", "outputs"].map(|part| home.files(part)).concat();
    assert!(everything.iter().all(|path| !path.to_string_lossy().contains("x-marks")), "{everything:?}");
}

fn is_marked(entry: &std::io::Result<std::fs::DirEntry>) -> bool {
    entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().contains("x-marks"))
}

#[tokio::test]
async fn whatever_is_wrong_with_a_path_or_method_is_a_problem_document() {
    let home = Home::sqlite();
    let service = home.serve();
    let odd = Answer::of(service.request("DELETE", "/api/upload")).await;
    assert_eq!((odd.problem()["status"].clone(), odd.header("allow")), (json!(405), "POST"));
    for (path, status) in [
        ("/nothing/here", 404),
        ("/api/upload", 405),
        ("/api/task_status/%FF", 404),
        ("/api/task_status/x?from=minus", 400),
        ("/files/%FF/a/1/b.jpg", 404),
        ("/files/a/b/1/c.jpg", 404),
    ] {
        let problem = service.raw_get(path).await.problem();
        assert_eq!(problem["status"], status, "{path}: {problem}");
    }
}
