//! What a submission may ask for: the body's form, presets, what follows, and how long things are kept.

use serde_json::{Value, json};

use crate::support::client::{Answer, Client, id, images};
use crate::support::pictures::plain_png;
use crate::support::service::Home;
use crate::support::until;

const CARD: &str = "[presets]\ncard = [{ type = \"resize\", width = 12, height = 12, format = \"jpeg\" }]\n";

/// A service with a preset.
fn with_presets(home: &Home, arguments: &[&str]) -> crate::support::service::Service {
    let settings = home.folder().join("settings.toml");
    std::fs::write(&settings, CARD).unwrap();
    home.serve_with(&[&["--config", settings.to_str().unwrap()], arguments].concat())
}

fn picture() -> reqwest::multipart::Form {
    images([("a.png", plain_png(30, 20))])
}

fn widths(status: &Value) -> Value {
    status["result"][0]["outputs"].as_array().unwrap().iter().map(|output| output["width"].clone()).collect()
}

async fn raw(service: &Client, media_type: &str, body: &str) -> Value {
    let request = service.request("POST", "/api/groups").header("Content-Type", media_type).body(body.to_owned());
    Answer::of(request).await.problem()
}

#[tokio::test]
async fn body_that_is_not_as_it_should_be_is_refused_by_name() {
    let home = Home::sqlite().set("limits.max_body_bytes", "2000");
    let service = home.serve_with(&["--no-workers"]);
    let long = json!({"sources": [{"key": "k".repeat(2_000)}]}).to_string();
    for (media_type, body, status, code, named) in [
        ("text/plain", "{}", 415, "not-json", "application/json"),
        ("application/json", "{", 400, "invalid-json", "not valid JSON"),
        ("application/json", "[]", 400, "invalid-json", "not a JSON object"),
        (
            "application/json; charset=utf-8",
            r#"{"source": []}"#,
            400,
            "unknown-field",
            "`source`; known: sources, operations",
        ),
        ("application/json", "{}", 422, "invalid-sources", "sources: is not a list"),
        ("application/json", r#"{"sources": []}"#, 422, "invalid-sources", "is empty"),
        ("application/json", r#"{"sources": [{"kee": "a"}]}"#, 422, "invalid-sources", "sources[0]"),
        (
            "application/json",
            r#"{"sources": [{"key": "a"}], "operations": []}"#,
            422,
            "invalid-operation",
            "the list is empty",
        ),
        (
            "application/json",
            r#"{"sources": [{"key": "a"}], "options": {"eta": 1}}"#,
            422,
            "invalid-options",
            "options.eta",
        ),
        ("application/json", long.as_str(), 413, "request-too-large", "limits.max_body_bytes (2000)"),
    ] {
        let problem = raw(&service, media_type, body).await;
        assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(named), "{problem}");
    }
    home.is_left_empty().await;
}

#[tokio::test]
async fn preset_is_used_by_its_name_and_told_of() {
    let home = Home::sqlite();
    let service = with_presets(&home, &[]);
    let known = service.get("/api/presets").await.json();
    assert_eq!(known["presets"][0]["name"], "card", "{known}");
    assert_eq!(known["presets"][0]["operations"][0]["width"], 12, "{known}");
    for form in [picture().text("options", r#"{"preset": "card"}"#), picture().text("operations", r#""card""#)] {
        let status = service.done(form).await;
        assert_eq!(widths(&status), json!([12]), "{status}");
    }
    let problem = service.refused(picture().text("options", r#"{"preset": "cart"}"#)).await;
    assert_eq!((&problem["status"], &problem["code"]), (&json!(422), &json!("unknown-preset")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().ends_with("unknown preset `cart`; known: card"), "{problem}");
}

#[tokio::test]
async fn wrong_preset_ends_the_start_by_its_name() {
    let home = Home::sqlite();
    let settings = home.folder().join("settings.toml");
    std::fs::write(&settings, "[presets]\ncard = [{ type = \"resize\", width = 0 }]\n").unwrap();
    for command in [&["config", "check"][..], &["serve", "--listen", "127.0.0.1:0"]] {
        let (status, _, log) = home.start(&[command, &["--config", settings.to_str().unwrap()]].concat()).ends().await;
        assert!(!status.success() && log.contains("presets.card: operations[0].width"), "{log}");
    }
}

#[tokio::test]
async fn what_follows_a_group_works_on_its_originals() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = with_presets(&home, &[]);
        let options = json!({"then": {"on": "success", "operations": "card", "options": {"priority": 1}}});
        let form =
            picture().text("operations", r#"[{"type": "resize", "width": 20}]"#).text("options", options.to_string());
        let accepted = service.upload(form).await;
        let first = service.finished(id(&accepted)).await;
        assert_eq!(widths(&first), json!([20]));
        let next = first["then"]["task_id"].as_str().unwrap();
        assert_eq!((&first["then"]["on"], &first["links"]["then"]), (&json!("success"), &accepted["links"]["then"]));
        let answer = until("it has begun", async || {
            let answer = service.get(first["links"]["then"].as_str().unwrap()).await;
            (answer.status == 200).then_some(answer)
        })
        .await;
        assert_eq!(answer.json()["follows"], id(&first), "{}", answer.text());
        let second = service.finished(next).await;
        assert_eq!((&second["succeeded"], widths(&second)), (&json!(1), json!([12])), "{second}");
    }
}

#[tokio::test]
async fn nothing_follows_a_failure_but_what_follows_always() {
    let home = Home::sqlite();
    let service = with_presets(&home, &[]);
    let fails = r#"[{"type": "convert", "format": "jpeg", "max_bytes": 100}]"#;
    let mut groups = Vec::new();
    for on in ["success", "always"] {
        let options = json!({"then": {"on": on, "operations": "card"}});
        let form = picture().text("operations", fails).text("options", options.to_string());
        let status = service.done(form).await;
        assert_eq!(status["status"], "failed", "{status}");
        groups.push(status["then"]["task_id"].as_str().unwrap().to_owned());
    }
    until("it has begun", async || {
        (service.get(&format!("/api/task_status/{}", groups[1])).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(service.finished(&groups[1]).await["succeeded"], 1);
    assert_eq!(service.get(&format!("/api/task_status/{}", groups[0])).await.status, 404);
}

#[tokio::test]
async fn things_are_kept_for_as_long_as_their_submission_said() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = home.set("retention.sweep_every", "1s");
        let service = home.serve();
        let kept = service.done(picture()).await;
        let options = r#"{"retention": {"originals": "1s", "outputs": "1s"}}"#;
        let short = service.done(picture().text("options", options)).await;
        let has = |part: &str, status: &Value| home.folder().join(part).join(id(status)).exists();
        until("its files are gone", async || {
            (!has("uploads", &short) && !has("outputs", &short) && home.files("retention").is_empty()).then_some(())
        })
        .await;
        assert_eq!(service.status(id(&short)).await["succeeded"], 1, "its record is not");
        assert!(has("uploads", &kept) && has("outputs", &kept));
        let gone = service.done(picture().text("options", r#"{"retention": {"records": "1s"}}"#)).await;
        until("its record is gone", async || {
            (service.get(&format!("/api/task_status/{}", id(&gone))).await.status == 404).then_some(())
        })
        .await;
        assert!(!has("uploads", &gone) && has("outputs", &gone), "outputs stay at their address");
        let problem = service.refused(picture().text("options", r#"{"retention": {"records": "721h"}}"#)).await;
        assert_eq!((&problem["status"], &problem["code"]), (&json!(422), &json!("invalid-options")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("exceeds retention.records"), "{problem}");
    }
}
