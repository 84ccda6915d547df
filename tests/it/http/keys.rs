//! `Idempotency-Key`: an upload that is sent again is not done again.

use reqwest::multipart::Form;
use serde_json::json;

use crate::support::client::{Answer, Client, id, images};
use crate::support::pictures::plain_png;
use crate::support::service::Home;
use crate::support::until;

async fn post(client: &Client, key: &str, form: Form) -> Answer {
    Answer::of(client.request("POST", "/api/upload").header("Idempotency-Key", key).multipart(form)).await
}

fn pictures() -> Form {
    images([("a.png", plain_png(9, 9)), ("b.png", plain_png(8, 8)), ("notes.txt", b"not a picture".to_vec())])
}

#[tokio::test]
async fn same_key_and_content_get_the_same_answer() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        let first = post(&service, "order-1", pictures()).await;
        assert_eq!(first.status, 202, "{}", first.text());
        service.finished(id(&first.json())).await;
        let left = home.files("uploads").len();
        // The default operations, said otherwise, are the same content.
        let spelt_out = r#"[{"type": "resize", "height": 600, "width": 800}, {"type": "thumbnail", "size": [150, 150]},
            {"type": "watermark", "text": "MySite", "position": "bottom-right"}]"#;
        for form in [pictures(), pictures().text("operations", spelt_out).text("options", "{}")] {
            let again = post(&service, "order-1", form).await;
            assert_eq!((again.status, again.json()), (202, first.json()));
            assert_eq!(again.header("location"), first.header("location"));
        }
        until("what was sent again is removed", async || (home.files("uploads").len() == left).then_some(())).await;
        let other = post(&service, "order-2", pictures()).await;
        assert_ne!(other.json()["task_id"], first.json()["task_id"]);
    }
}

#[tokio::test]
async fn same_key_with_other_content_is_refused() {
    let home = Home::sqlite();
    let service = home.serve();
    let first = post(&service, "order-1", images([("a.png", plain_png(9, 9))])).await.json();
    for form in [
        images([("a.png", plain_png(8, 8))]),
        images([("b.png", plain_png(9, 9))]),
        images([("a.png", plain_png(9, 9)), ("b.png", plain_png(9, 9))]),
        images([("a.png", plain_png(9, 9))]).text("operations", r#"[{"type": "convert", "format": "png"}]"#),
        images([("a.png", plain_png(9, 9))]).text("options", r#"{"priority": 6}"#),
    ] {
        let problem = post(&service, "order-1", form).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(422), &json!("idempotency-key-reused")));
        assert!(problem["detail"].as_str().unwrap().contains(id(&first)), "{problem}");
    }
    for key in ["", "order 1", "a\tb", &"k".repeat(201)] {
        let problem = post(&service, key, pictures()).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(400), &json!("invalid-idempotency-key")));
    }
}

#[tokio::test]
async fn key_of_an_upload_that_is_under_way_is_in_use() {
    let home = Home::redis();
    let service = home.serve();
    let picture = plain_png(9, 9);
    let halted = service.halted_upload("Idempotency-Key: order-1\r\n", &picture).await;
    until("it is being received", async || (!home.files("uploads").is_empty()).then_some(())).await;
    let answer = post(&service, "order-1", images([("a.png", picture.clone())])).await;
    let problem = answer.problem();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(409), &json!("idempotency-key-in-use")));
    assert_eq!(answer.header("retry-after"), "5");
    let first = halted.finish().await;
    assert_eq!(first.status, 202, "{}", first.text());
    let again = post(&service, "order-1", images([("a.png", picture)])).await;
    assert_eq!((again.status, again.json()), (202, first.json()));
}

#[tokio::test]
async fn refused_or_broken_off_upload_leaves_its_key_free() {
    let home = Home::sqlite();
    let service = home.serve();
    let form = images([("a.png", plain_png(9, 9))]).text("options", r#"{"priority": 11}"#);
    assert_eq!(post(&service, "order-1", form).await.status, 422);
    assert_eq!(post(&service, "order-1", images([("a.png", plain_png(9, 9))])).await.status, 202);
    drop(service.halted_upload("Idempotency-Key: order-2\r\n", &plain_png(9, 9)).await);
    until("the key is free again", async || {
        let answer = post(&service, "order-2", images([("a.png", plain_png(9, 9))])).await;
        (answer.status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn keys_of_two_callers_never_meet() {
    // The SHA-256 of `one` and of `two`.
    let home = Home::sqlite();
    let settings = home.folder().join("settings.toml");
    let digests = [
        "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
        "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
    ];
    let keys = digests.map(|digest| format!(r#"{{ name = "{}", sha256 = "{digest}" }}"#, &digest[..3])).join(", ");
    std::fs::write(&settings, format!("[auth]\nkeys = [{keys}]\n")).unwrap();
    let service = home.serve_with(&["--config", settings.to_str().unwrap()]);
    let upload = async |key: &str| {
        let form = images([("a.png", plain_png(9, 9))]);
        let request = service.request("POST", "/api/upload").bearer_auth(key).header("Idempotency-Key", "order-1");
        Answer::of(request.multipart(form)).await.json()
    };
    let (one, two) = (upload("one").await, upload("two").await);
    assert_ne!(one["task_id"], two["task_id"]);
    assert_eq!(upload("one").await, one);
}
