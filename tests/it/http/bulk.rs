//! Labels, acts on all jobs that match a filter, expiry and deduplication.

use serde_json::{Value, json};

use crate::support::client::{Answer, Client, id, images};
use crate::support::pictures::plain_png;
use crate::support::service::{Home, Service};

async fn upload(service: &Service, labels: Value, eta: bool) -> Value {
    let mut options = json!({"labels": labels});
    if eta {
        options["eta"] = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string().into();
    }
    let files = images([("a.png", plain_png(9, 9)), ("b.png", plain_png(9, 9))]);
    service.upload(files.text("options", options.to_string())).await
}

async fn listed(client: &Client, query: &str) -> Vec<String> {
    let (list, _) = query.split_once('?').unwrap();
    let answer = client.get(&format!("/api/{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let name = if list == "jobs" { "group" } else { "task_id" };
    let entries = answer.json()[list].as_array().unwrap().clone();
    entries.iter().map(|entry| entry[name].as_str().unwrap().to_owned()).collect()
}

async fn act(client: &Client, path: &str) -> Value {
    let answer = client.send("POST", path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn labels_are_shown_and_filter_lists() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        let first = upload(&service, json!({"order": "A-17", "shop": "Käse & Co"}), false).await;
        let second = upload(&service, json!({"order": "A-18"}), false).await;
        let done = service.finished(id(&first)).await;
        service.finished(id(&second)).await;

        assert_eq!(done["labels"], json!({"order": "A-17", "shop": "Käse & Co"}));
        assert_eq!(listed(&service, "groups?label=order:A-17").await, [id(&first)]);
        assert_eq!(listed(&service, "groups?label=shop:K%C3%A4se%20%26%20Co").await, [id(&first)]);
        assert_eq!(listed(&service, "jobs?label=order:A-18").await, [id(&second); 2]);
        assert!(listed(&service, "jobs?label=order:A-18&state=failed").await.is_empty());
        assert!(listed(&service, "groups?label=order:A").await.is_empty());
        for wrong in ["label=order", "label=", "label=a%20b:c"] {
            let answer = service.get(&format!("/api/groups?{wrong}")).await;
            assert_eq!(answer.status, 400, "{}", answer.text());
            assert!(answer.text().contains("order:A-17"), "{}", answer.text());
        }
        let options = json!({"labels": {"order": 17}}).to_string();
        let refused = service.post(images([("a.png", plain_png(9, 9))]).text("options", options)).await;
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(refused.text().contains("options.labels.order"), "{}", refused.text());
    }
}

#[tokio::test]
async fn all_that_match_are_cancelled_after_a_dry_run() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        let first = upload(&service, json!({"order": "A-17"}), true).await;
        let second = upload(&service, json!({"order": "A-18"}), true).await;

        let counted = act(&service, "/api/jobs/cancel?label=order:A-17&dry_run=true").await;
        assert_eq!(counted, json!({"matched": 2, "cancelled": 0, "dry_run": true, "links": {}}));
        let cancelled = act(&service, "/api/jobs/cancel?label=order:A-17").await;
        assert_eq!(cancelled, json!({"matched": 2, "cancelled": 2, "dry_run": false, "links": {}}));
        let again = act(&service, "/api/jobs/cancel?label=order:A-17").await;
        assert_eq!((&again["matched"], &again["cancelled"]), (&json!(0), &json!(0)));

        assert_eq!(service.finished(id(&first)).await["status"], "cancelled");
        assert_eq!(service.status(id(&second)).await["status"], "processing");
        for wrong in ["", "?dry_run=true", "?state=open", "?label=order"] {
            let refused = service.send("POST", &format!("/api/jobs/cancel{wrong}")).await;
            assert_eq!(refused.status, 400, "{wrong}: {}", refused.text());
        }
    }
}

#[tokio::test]
async fn failed_jobs_that_match_are_retried_once() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        // Cut short, so that it fails when it is read.
        let whole = crate::support::pictures::noise_png(64, 64);
        let broken = whole[..whole.len() / 2].to_vec();
        let options = json!({"labels": {"order": "A-17"}, "retries": 0}).to_string();
        let files = images([("a.png", broken), ("b.png", plain_png(9, 9))]).text("options", options);
        let group = service.upload(files).await;
        let done = service.finished(id(&group)).await;
        assert_eq!((&done["failed"], &done["succeeded"]), (&json!(1), &json!(1)), "{done}");

        assert_eq!(act(&service, "/api/jobs/retry?label=order:A-18").await["matched"], 0);
        let counted = act(&service, "/api/jobs/retry?label=order:A-17&dry_run=1").await;
        assert_eq!((&counted["matched"], &counted["retried"]), (&json!(1), &json!(0)), "{counted}");
        let retried = act(&service, "/api/jobs/retry?label=order:A-17&state=failed").await;
        assert_eq!((&retried["matched"], &retried["retried"]), (&json!(1), &json!(1)), "{retried}");
        let new = retried["groups"][0].as_str().unwrap();
        let status = service.finished(new).await;
        assert_eq!((&status["retry_of"], &status["labels"]["order"]), (&json!(id(&group)), &json!("A-17")), "{status}");
        // The copy has failed as well, and the first one has left the list.
        let again = act(&service, "/api/jobs/retry?label=order:A-17&dry_run=1").await;
        assert_eq!(again["matched"], 1, "{again}");
        assert_eq!(service.send("POST", "/api/jobs/retry?state=waiting").await.status, 400);
    }
}

/// Nobody acts on what another key has submitted.
#[tokio::test]
async fn others_jobs_are_left_alone() {
    let home = Home::sqlite();
    let key = async |name: &str| home.key(&["--name", name]).await["key"].as_str().unwrap().to_owned();
    let (mine, theirs) = (key("mine").await, key("theirs").await);
    let service = home.serve();
    let later = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string();
    let form = images([("a.png", plain_png(9, 9))]).text("options", json!({"eta": later}).to_string());
    let taken = Answer::of(service.request("POST", "/api/upload").bearer_auth(&mine).multipart(form)).await;
    assert_eq!(taken.status, 202, "{}", taken.text());
    let cancel = |key: String| service.request("POST", "/api/jobs/cancel?state=delayed").bearer_auth(key);

    assert_eq!(Answer::of(cancel(theirs)).await.json()["matched"], 0);
    assert_eq!(Answer::of(cancel(mine)).await.json()["cancelled"], 1);
}

#[tokio::test]
async fn picture_that_nobody_has_begun_in_time_expires() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        assert_eq!(service.send("POST", "/api/queues/cpu_intensive/pause").await.status, 200);
        let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1)).to_string();
        let form = images([("a.png", plain_png(9, 9))]).text("options", json!({"expires": soon}).to_string());

        let done = service.finished(id(&service.upload(form).await)).await;

        let entry = &done["result"][0];
        assert_eq!((&done["status"], &entry["error"]["code"]), (&json!("cancelled"), &json!("expired")), "{done}");
        assert_eq!(service.send("POST", "/api/queues/cpu_intensive/resume").await.status, 200);
        let again = service.send("POST", &format!("/api/groups/{}/retry", id(&done))).await.json();
        assert_eq!(service.finished(id(&again)).await["succeeded"], 1);
    }
    let home = Home::sqlite();
    let service = home.serve();
    let options = r#"{"eta": "2999-01-02T00:00:00Z", "expires": "2999-01-01T00:00:00Z"}"#;
    let refused = service.post(images([("a.png", plain_png(9, 9))]).text("options", options)).await;
    assert!(refused.status == 422 && refused.text().contains("options.expires"), "{}", refused.text());
}

#[tokio::test]
async fn second_submission_with_the_key_gets_the_first_ones_group() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        let form = |name: &'static str, window: &str| {
            let options = json!({"dedupe": {"key": "order A-17", "window": window}}).to_string();
            images([(name, plain_png(9, 9))]).text("options", options)
        };
        let first = service.upload(form("a.png", "1h")).await;
        service.finished(id(&first)).await;
        let files = home.files("uploads").len();

        let second = service.upload(form("b.png", "5m")).await;

        assert_eq!(id(&second), id(&first), "whatever it brings");
        crate::support::until("its picture is removed", async || (home.files("uploads").len() == files).then_some(()))
            .await;
        let status = service.status(id(&first)).await;
        assert_eq!((&status["total_images"], &status["result"][0]["image"]), (&json!(1), &json!("a.png")));
        let other = images([("a.png", plain_png(9, 9))])
            .text("options", json!({"dedupe": {"key": "order A-18", "window": "1s"}}).to_string());
        let other = service.upload(other).await;
        assert_ne!(id(&other), id(&first));
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        let options = json!({"dedupe": {"key": "order A-18", "window": "1s"}}).to_string();
        let later = service.upload(images([("a.png", plain_png(9, 9))]).text("options", options)).await;
        assert_ne!(id(&later), id(&other), "the window has passed");
    }
}

#[tokio::test]
async fn wrong_deduplication_is_refused_by_name() {
    let home = Home::sqlite();
    let service = home.serve();
    for (dedupe, said) in [
        (json!({"key": "", "window": "1h"}), "options.dedupe.key: has 0 bytes"),
        (json!({"key": "x".repeat(129), "window": "1h"}), "options.dedupe.key: has 129 bytes"),
        (json!({"key": "k", "window": "500ms"}), "options.dedupe.window: "),
        (json!({"key": "k", "window": "31d"}), "options.dedupe.window: "),
        (json!({"key": "k"}), "missing field `window`"),
        (json!({"key": "k", "window": "1h", "more": 1}), "unknown field `more`"),
    ] {
        let options = json!({"dedupe": dedupe}).to_string();
        let refused = service.post(images([("a.png", plain_png(9, 9))]).text("options", options)).await;
        assert!(refused.status == 422 && refused.text().contains(said), "{said}: {}", refused.text());
    }
    let options = json!({"dedupe": {"key": "k", "window": "1h"}}).to_string();
    let form = images([("a.png", plain_png(9, 9))]).text("options", options);
    let both = service.request("POST", "/api/upload").header("Idempotency-Key", "k").multipart(form);
    let both = Answer::of(both).await;
    assert!(both.status == 422 && both.text().contains("Idempotency-Key"), "{}", both.text());
}
