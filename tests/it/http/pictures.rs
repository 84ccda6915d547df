//! Bad pictures: refused by name, at no cost to their neighbours.

use serde_json::{Value, json};

use crate::support::client::images;
use crate::support::pictures::{bomb, corrupt_later, photo, plain_png, truncated};
use crate::support::service::Home;

#[tokio::test]
async fn bad_picture_is_refused_and_its_neighbours_are_done() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        let form = images([
            ("first.jpg", photo()),
            ("notes.jpg", b"Dear diary, today I was a picture.".to_vec()),
            ("last.png", plain_png(30, 30)),
        ]);
        let accepted = service.upload(form).await;
        let rejected = json!([{"index": 1, "image": "notes.jpg", "error": accepted["rejected"][0]["error"]}]);
        assert_eq!(accepted["rejected"], rejected);
        assert_eq!(accepted["rejected"][0]["error"]["code"], "unsupported-format");
        assert_eq!(accepted["total_images"], 2);
        let status = service.finished(accepted["task_id"].as_str().unwrap()).await;
        assert_eq!(status["rejected"], rejected);
        assert_eq!((&status["status"], &status["succeeded"]), (&json!("completed"), &json!(2)), "{status}");
        let names: Vec<&Value> = status["result"].as_array().unwrap().iter().map(|entry| &entry["image"]).collect();
        assert_eq!(names, ["first.jpg", "last.png"]);
        assert_eq!(home.files("uploads").iter().filter(|path| path.is_file()).count(), 2);
    }
}

#[tokio::test]
async fn upload_of_bad_pictures_only_answers_with_their_status() {
    let home = Home::sqlite().set("limits.max_file_bytes", "100000");
    let service = home.serve();
    let text = || b"no picture".to_vec();
    let heavy = || plain_png(10, 10).into_iter().chain(vec![0; 100_000]).collect::<Vec<u8>>();
    let cases = [
        (vec![text()], 415, "unsupported-format", "bad.jpg: not a picture"),
        (vec![heavy()], 413, "too-large", "limits.max_file_bytes (100000)"),
        (vec![bomb(100_000)], 422, "too-many-pixels", "10000000000 exceeds limits.max_pixels (50000000)"),
        (vec![Vec::new()], 422, "empty-file", "the file is empty"),
        (vec![text(), text()], 415, "unsupported-format", "None of the 2 pictures"),
        (vec![bomb(100_000), Vec::new()], 422, "images-rejected", "`rejected` says why"),
        (vec![text(), heavy()], 422, "images-rejected", "`rejected` says why"),
    ];
    for (pictures, status, code, named) in cases {
        let count = pictures.len();
        let problem = service.refused(images(pictures.into_iter().map(|picture| ("bad.jpg", picture)))).await;
        assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(named), "{problem}");
        let rejected = problem["rejected"].as_array().unwrap();
        assert_eq!(rejected.len(), count, "{problem}");
        assert!(rejected.iter().all(|one| one["error"]["detail"].is_string()), "{problem}");
    }
    home.is_left_empty().await;
}

#[tokio::test]
async fn picture_damaged_behind_its_header_fails_its_job_only() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        let form = images([("whole.jpg", photo()), ("torn.jpg", truncated()), ("broken.png", corrupt_later())]);
        let status = service.done(form).await;
        assert_eq!(status["status"], "completed", "{status}");
        assert_eq!((&status["succeeded"], &status["failed"]), (&json!(1), &json!(2)), "{status}");
        for i in [1, 2] {
            let entry = &status["result"][i];
            assert_eq!((&entry["success"], &entry["attempts"]), (&json!(false), &json!(1)), "{status}");
            let error = &entry["error"];
            assert_eq!(error["retryable"], false);
            let code = error["code"].as_str().unwrap();
            assert!(["truncated-image", "corrupt-image"].contains(&code), "{error}");
            assert!(!error["detail"].as_str().unwrap().is_empty());
            let job = service.status(entry["job_id"].as_str().unwrap()).await;
            assert_eq!((&job["status"], &job["failed"]), (&json!("failed"), &json!(1)));
            assert_eq!(&job["result"][0], entry);
        }
        let alone = service.done(images([("torn.jpg", truncated())])).await;
        assert_eq!(alone["status"], "failed", "{alone}");
    }
}

#[tokio::test]
async fn text_that_no_font_can_write_is_refused_at_the_request() {
    let home = Home::sqlite();
    let service = home.serve();
    let operations = r#"[{"type": "watermark", "text": "a\uE123"}]"#;
    let form = images([("a.png", plain_png(200, 100))]).text("operations", operations);
    let problem = service.refused(form).await;
    assert_eq!((&problem["status"], &problem["code"]), (&json!(422), &json!("missing-glyph")), "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("operations[0].text: no font has") && detail.contains("U+E123"), "{problem}");
}
