//! Schedules of real services: slots, changes, what is fired by hand, what is caught up.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cli::{Desk, stderr};
use crate::support::client::{Answer, Client};
use crate::support::pictures::photo;
use crate::support::service::Home;
use crate::support::until;

/// With a folder of one picture, below `incoming/`.
fn home_of(home: Home) -> Home {
    let folder = home.folder().join("shared");
    std::fs::create_dir_all(folder.join("incoming")).unwrap();
    std::fs::write(folder.join("incoming/cat.jpg"), photo()).unwrap();
    let folder = folder.to_str().unwrap().to_owned();
    home.set("sources.folder", &folder)
}

async fn send(client: &Client, method: &str, path: &str, body: &Value) -> Answer {
    let request = client.request(method, path).header("content-type", "application/json").body(body.to_string());
    Answer::of(request).await
}

async fn created(client: &Client, name: &str, more: Value) -> Answer {
    let mut body =
        json!({"name": name, "run": {"prefix": "incoming/", "operations": [{"type": "resize", "width": 40}]}});
    for (field, value) in more.as_object().unwrap() {
        body[field] = value.clone();
    }
    let answer = send(client, "POST", "/api/schedules", &body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer
}

async fn shown(client: &Client, name: &str) -> Value {
    client.get(&format!("/api/schedules/{name}")).await.json()
}

/// The records of these outcomes, the latest first.
fn records(schedule: &Value, outcomes: &[&str]) -> Vec<Value> {
    let all = schedule["records"].as_array().unwrap().iter();
    all.filter(|record| outcomes.iter().any(|outcome| record["outcome"] == *outcome)).cloned().collect()
}

#[tokio::test]
async fn two_services_fire_each_slot_once() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = home_of(home);
        let (one, other) = (home.serve(), home.serve());
        created(&one, "often", json!({"every": "1s", "overlap": "allow"})).await;
        let schedule = until("five slots have come", async || {
            let schedule = shown(&other, "often").await;
            (records(&schedule, &["fired", "late"]).len() >= 5).then_some(schedule)
        })
        .await;
        send(&other, "POST", "/api/schedules/often/pause", &json!({"note": "enough"})).await;
        let all = schedule["records"].as_array().unwrap();
        let slots: BTreeSet<&str> = all.iter().map(|record| record["slot"].as_str().unwrap()).collect();
        assert_eq!(slots.len(), all.len(), "{schedule}");
        let group = records(&schedule, &["fired", "late"]).pop().unwrap()["group_id"].as_str().unwrap().to_owned();
        let status = until("the first group is there", async || {
            let answer = one.get(&format!("/api/groups/{group}")).await;
            (answer.status == 200).then(|| answer.json())
        })
        .await;
        assert_eq!((&status["schedule"]["name"], &status["total_images"]), (&json!("often"), &json!(1)), "{status}");
        assert_eq!(one.finished(&group).await["succeeded"], 1);
        // All groups of the schedule are those of its records.
        let groups = one.get("/api/groups?limit=100").await.json();
        let fired = records(&shown(&one, "often").await, &["fired", "late"]);
        let known: BTreeSet<&str> = fired.iter().map(|record| record["group_id"].as_str().unwrap()).collect();
        for group in groups["groups"].as_array().unwrap() {
            assert!(known.contains(group["task_id"].as_str().unwrap()), "{group} {fired:?}");
        }
    }
}

#[tokio::test]
async fn schedule_is_changed_by_whoever_knows_its_version() {
    let home = home_of(Home::sqlite());
    let service = home.serve();
    let made = created(&service, "nightly", json!({"cron": "0 1 * * *", "zone": "Europe/Berlin"})).await;
    assert_eq!((made.header("location"), made.json()["origin"].clone()), ("/api/schedules/nightly", json!("store")));
    assert_eq!(made.json()["next"].as_array().unwrap().len(), 10);
    assert_eq!(made.json()["description"], "At 01:00 (Europe/Berlin)");
    let tag = made.header("etag").to_owned();
    let put = async |tag: &str, body: Value| {
        let request = service.request("PUT", "/api/schedules/nightly").header("if-match", tag);
        Answer::of(request.header("content-type", "application/json").body(body.to_string())).await
    };
    let body = json!({"cron": "0 2 * * *", "run": {"prefix": "incoming/"}});
    let refused = put("\"0.1\"", body.clone()).await;
    assert_eq!((refused.status, &refused.problem()["code"]), (412, &json!("precondition-failed")));
    let changed = put(&tag, body.clone()).await;
    assert_eq!((changed.status, &changed.json()["schedule"]["cron"]), (200, &json!("0 2 * * *")));
    assert_eq!(put(&tag, body).await.status, 412, "it has changed since");
    let paused = send(&service, "POST", "/api/schedules/nightly/pause", &json!({"note": "vacation"})).await.json();
    assert_eq!(paused["paused"]["note"], "vacation");
    let resumed = service.send("POST", "/api/schedules/nightly/resume").await.json();
    assert_eq!(resumed["paused"], Value::Null);
    let listed = service.get("/api/schedules").await.json();
    let names: Vec<&str> =
        listed["schedules"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["nightly", "storage.sweep", "outbox.sweep"]);
    assert_eq!(service.send("DELETE", "/api/schedules/nightly").await.json()["removed"], true);
    assert_eq!(service.get("/api/schedules/nightly").await.status, 404);
    for (body, status, code, said) in [
        (json!({"name": "x"}), 422, "invalid-schedule", "cron, every, at: none"),
        (json!({"cron": "@daily"}), 422, "invalid-schedule", "name: is missing"),
        (json!({"name": "a/b", "cron": "@daily", "run": {"prefix": ""}}), 422, "invalid-schedule", "name: `a/b`"),
        (
            json!({"name": "x", "cron": "61 * * * *", "run": {"prefix": ""}}),
            422,
            "invalid-schedule",
            "cron: `61 * * * *`",
        ),
        (
            json!({"name": "x", "cron": "@daily", "run": {"prefix": ""}, "zoen": "UTC"}),
            422,
            "invalid-schedule",
            "unknown field `zoen`",
        ),
    ] {
        let problem = send(&service, "POST", "/api/schedules", &body).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)), "{problem}");
        assert!(problem["detail"].as_str().unwrap().starts_with(said), "{problem}");
    }
    let own = service.send("DELETE", "/api/schedules/outbox.sweep").await.problem();
    assert_eq!(own["code"], "schedule-read-only");
}

#[tokio::test]
async fn schedule_is_fired_by_hand_and_for_the_past() {
    let home = home_of(Home::sqlite());
    let service = home.serve();
    created(&service, "daily", json!({"cron": "0 1 * * *"})).await;
    let run = service.send("POST", "/api/schedules/daily/run").await;
    assert_eq!(run.status, 202, "{}", run.text());
    let mut groups = vec![run.json()["firings"][0]["group_id"].as_str().unwrap().to_owned()];
    let span = json!({"from": "2026-11-01T00:00:00Z", "to": "2026-11-04T00:00:00Z"});
    let filled = send(&service, "POST", "/api/schedules/daily/backfill", &span).await;
    assert_eq!(filled.status, 202, "{}", filled.text());
    let firings = filled.json()["firings"].as_array().unwrap().clone();
    let slots: Vec<&str> = firings.iter().map(|firing| firing["slot"].as_str().unwrap()).collect();
    assert_eq!(slots, ["2026-11-01T01:00:00Z", "2026-11-02T01:00:00Z", "2026-11-03T01:00:00Z"]);
    groups.extend(firings.iter().map(|firing| firing["group_id"].as_str().unwrap().to_owned()));
    for group in &groups {
        until("the group is there", async || {
            (service.get(&format!("/api/groups/{group}")).await.status == 200).then_some(())
        })
        .await;
        let status = service.finished(group).await;
        assert_eq!((&status["succeeded"], &status["schedule"]["manual"]), (&json!(1), &json!(true)), "{status}");
    }
    assert_eq!(service.status(&groups[2]).await["schedule"]["from"], "2026-11-01T01:00:00Z");
    assert_eq!(records(&shown(&service, "daily").await, &["manual"]).len(), 4);
    let long = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-11-04T00:00:00Z"});
    let problem = send(&service, "POST", "/api/schedules/daily/backfill", &long).await.problem();
    assert!(problem["detail"].as_str().unwrap().contains("more than 100 slots"), "{problem}");
}

#[tokio::test]
async fn slots_of_the_time_when_no_service_ran_are_caught_up() {
    let home = home_of(Home::sqlite());
    let service = home.serve();
    for (name, catch_up) in [("all", "all"), ("latest", "latest"), ("none", "none")] {
        created(&service, name, json!({"every": "1h", "overlap": "allow", "catch_up": catch_up})).await;
    }
    until("the cursors are there", async || {
        let broker = home.broker().await;
        let mut there = true;
        for name in ["all", "latest", "none"] {
            let text = std::fs::read_to_string(home.folder().join(format!("schedules/{name}.at"))).ok();
            let version = text.as_deref().and_then(|text| text.lines().next()).unwrap_or_default().to_owned();
            there &= broker.cursor(&format!("schedule:{name}:{version}")).await.unwrap().is_some();
        }
        there.then_some(())
    })
    .await;
    drop(service);
    let later = home_of(Home::at(home.folder())).at_time("+3h").serve();
    for (name, fires) in [("all", 3), ("latest", 1), ("none", 0)] {
        let (fired, skipped) = until("all slots are decided", async || {
            let schedule = shown(&later, name).await;
            let counts = [&["late", "fired"][..], &["skipped"]].map(|outcomes| records(&schedule, outcomes).len());
            (counts[0] + counts[1] >= 3).then_some((counts[0], counts[1]))
        })
        .await;
        // The service may have started within a minute of a slot, or while one came.
        assert!((fires..=fires + 1).contains(&fired), "{name}: {fired} fired, {skipped} skipped");
    }
}

#[test]
fn command_line_makes_changes_and_removes_schedules() {
    let desk = Desk::new();
    let text = |line: &[&str]| {
        let run = desk.run(&[&["schedule"], line, &["--data-dir", "data"]].concat());
        assert!(run.status.success(), "{line:?}: {}", stderr(&run));
        String::from_utf8(run.stdout).unwrap()
    };
    let document = |line: &[&str]| -> Value { serde_json::from_str(&text(&[line, &["--json"]].concat())).unwrap() };
    let preview = text(&["preview", "--cron", "30 2 * * *", "--zone", "Europe/Berlin"]);
    assert!(preview.starts_with("At 02:30 (Europe/Berlin)\n  20") && preview.lines().count() == 11, "{preview}");
    let made = text(&["add", "nightly", "--cron", "@daily", "--prefix", "in/"]);
    assert!(made.starts_with("schedule nightly is made: At 00:00 (UTC); next at "), "{made}");
    let edited = document(&["edit", "nightly", "--every", "2h", "--overlap", "cancel"]);
    assert_eq!(edited["schedule"]["every"], "2h");
    assert_eq!((&edited["schedule"]["overlap"], &edited["schedule"]["cron"]), (&json!("cancel"), &Value::Null));
    assert_eq!(document(&["pause", "nightly", "--note", "why"])["paused"]["note"], "why");
    assert_eq!(document(&["resume", "nightly"])["paused"], Value::Null);
    for (line, code, said) in [
        (&["add", "nightly", "--cron", "@daily", "--prefix", "in/"][..], 1, "there is a schedule `nightly` already"),
        (&["add", "x", "--cron", "0 0 31 2 *", "--prefix", "in/"], 2, "cron: `0 0 31 2 *` never comes"),
        (&["add", "x", "--cron", "@daily"], 2, "run: is missing"),
        (&["edit", "nobody", "--cron", "@daily"], 1, "there is no schedule `nobody`"),
        (&["preview", "--cron", "@daily", "--zone", "Mars"], 2, "zone: `Mars` is not a time zone"),
    ] {
        let run = desk.run(&[&["schedule"], line, &["--data-dir", "data"]].concat());
        assert_eq!(run.status.code(), Some(code), "{line:?}: {}", stderr(&run));
        assert!(stderr(&run).contains(said), "{line:?}: {}", stderr(&run));
    }
}
