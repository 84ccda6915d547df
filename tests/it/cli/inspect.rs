//! `pixmill inspect`.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use pixmill::worker::control::{ActiveJob, Report, Slots, Totals};
use queue::{ClaimRequest, Class, GroupId, JobId, NewJob, Settlement, Verdict};
use serde_json::json;

use super::post::{Post, report};
use super::{Desk, stderr};
use crate::broker::world::{HOUR, ask, delayed, fail, grouped, job, settlement};

#[tokio::test]
async fn ping_fails_for_a_silent_worker_and_names_it() {
    for post in Post::both().await {
        post.obedient(report("aa11")).await;
        let said = post.run(&["inspect", "ping", "--json", "--timeout", "60s"]).await;
        assert_eq!((said.code(), &said.json()[0]["answered"]), (Some(0), &json!(true)), "{}", said.errors());

        post.reports(&report("bb22")).await;
        let said = post.run(&["inspect", "ping", "--timeout", "5s"]).await;
        assert_eq!(said.code(), Some(1));
        assert!(said.row("aa11")[3].starts_with("answered in "), "{}", said.text());
        assert!(said.row("bb22")[3].starts_with("SILENT for 5s"), "{}", said.text());
        assert!(said.errors().contains("1 of 2 workers silent"), "{}", said.errors());
        assert_eq!(
            post.run(&["inspect", "ping", "--worker", "aa", "--timeout", "60s"]).await.code(),
            Some(0),
            "the other one answers"
        );
    }
}

#[tokio::test]
async fn ping_fails_where_no_worker_is_and_says_what_to_start() {
    for post in Post::both().await {
        let said = post.run(&["inspect", "ping", "--json"]).await;
        assert_eq!((said.code(), said.json()), (Some(1), json!([])));
        assert!(said.errors().contains("start `pixmill worker`"), "{}", said.errors());
        let said = post.run(&["inspect", "active"]).await;
        assert_eq!((said.code(), said.text().as_str()), (Some(0), ""));
    }
}

/// At work on one job, with another one ahead.
fn busy() -> Report {
    let active = ActiveJob {
        job: JobId::new(),
        group: GroupId::new(),
        kind: "image.process".into(),
        class: Class::Cpu,
        attempt: 2,
        started_at: Timestamp::now() - Duration::from_mins(2),
    };
    Report {
        cpu: Slots { total: 4, busy: 1 },
        reserved: vec![JobId::new()],
        active: vec![active],
        totals: Totals { succeeded: 12, failed: 1, ..Totals::default() },
        ..report("0198f2ab5c1d7e33")
    }
}

#[tokio::test]
async fn workers_say_what_they_work_on() {
    for post in Post::both().await {
        let (busy, idle) = (busy(), Report { stopping: true, ..report("0198f2ab5c1e0000") });
        post.obedient(busy.clone()).await;
        post.obedient(idle.clone()).await;
        // What a worker answers is newer than what it said with its last heartbeat.
        post.reports(&report(&busy.session)).await;
        // All of them answer.
        let asked = async |line: &[&str]| post.run(&[line, &["--timeout", "60s"]].concat()).await;
        let (active, reserved) = (&busy.active[0], busy.reserved[0].to_string());

        let said = asked(&["inspect", "active"]).await;
        let row = said.row(&active.job.to_string());
        assert_eq!(row[0], "0198f2ab5c1d", "as much of the session as tells the two apart");
        assert_eq!((row[2].as_str(), row[3].as_str(), &row[5]), ("image.process", "2", &active.group.to_string()));
        assert!(row[4].starts_with("2m "), "{row:?}");
        let listed = asked(&["inspect", "active", "--json"]).await.json();
        assert_eq!(listed.as_array().unwrap().len(), 1);
        assert_eq!(
            (&listed[0]["worker"], &listed[0]["job"], &listed[0]["class"]),
            (&json!(busy.session), &json!(active.job), &json!("cpu"))
        );

        assert_eq!(asked(&["inspect", "reserved"]).await.row(&reserved), ["0198f2ab5c1d", &reserved]);
        assert_eq!(asked(&["inspect", "stats"]).await.row("0198f2ab5c1d")[1..3], ["12", "1"]);

        let said = asked(&["inspect", "workers"]).await;
        let row = said.row(&busy.session);
        assert_eq!(row[1..8], ["mill-1", "4242", "0.1.0", "1/4", "0/100", "working", "3h 0m"]);
        assert_eq!(said.row(&idle.session)[6], "stopping");
        let said = asked(&["inspect", "workers", "--worker", "0198f2ab5c1e", "--json"]).await.json();
        assert_eq!((said.as_array().unwrap().len(), &said[0]["session"]), (1, &json!(idle.session)));
    }
}

#[tokio::test]
async fn silent_worker_is_named_and_shown_as_it_last_reported_itself() {
    for post in Post::both().await {
        let busy = busy();
        post.reports(&busy).await;
        let said = post.run(&["inspect", "active", "--timeout", "100ms"]).await;
        assert_eq!(said.code(), Some(0));
        assert_eq!(said.row(&busy.active[0].job.to_string())[2], "image.process");
        assert!(said.errors().contains("worker 0198f2ab5c1d7e33 is silent"), "{}", said.errors());
    }
}

#[tokio::test]
async fn session_must_be_one_that_is_there() {
    let post = Post::sqlite();
    post.reports(&report("aa11")).await;
    post.reports(&report("aa22")).await;
    for (wanted, reason) in [("aa", "begins several sessions: aa11, aa22"), ("cc", "no session begins like that")] {
        let said = post.run(&["inspect", "workers", "--worker", wanted]).await;
        assert_eq!(said.code(), Some(2));
        assert!(said.errors().contains(reason), "{}", said.errors());
    }
}

#[tokio::test]
async fn scheduled_and_dead_say_why() {
    for post in Post::both().await {
        let cat = br#"{"kind":"image.process","source":{"stored":"k"},"image":"\u732b\u001b[31m.jpg","operations":[]}"#;
        let cat = NewJob { payload: Bytes::from_static(cat), ..job() };
        let (group, jobs) = grouped(vec![cat, job(), delayed(HOUR), delayed(2 * HOUR)]);
        post.broker.enqueue(&group, &jobs).await.unwrap();
        let claimed = post.broker.claim(&ask("w", 0, 10)).await.unwrap().jobs;
        let reason =
            br#"{"success":false,"error":{"code":"storage","detail":"the disk is \u001b[31mslow","retryable":true}}"#;
        let retry = Verdict::Retry { after: 3 * HOUR, reason: Bytes::from_static(reason) };
        let settlements: [Settlement; 2] = [settlement(&claimed[0], fail()), settlement(&claimed[1], retry)];
        post.broker.settle(&settlements, None::<&ClaimRequest>).await.unwrap();

        let said = post.run(&["inspect", "scheduled"]).await;
        let row = said.row(&jobs[1].id.to_string());
        assert_eq!(row[1], "(image.process)", "what is no picture's is named by its kind");
        assert_eq!(row[3..5], ["5", "1 of 4"]);
        assert!(row[5].starts_with("in 2h 59m") || row[5] == "in 3h 0m", "{row:?}");
        assert_eq!(row[6], "storage: the disk is \u{fffd}[31mslow", "a detail never steers the terminal");
        assert_eq!(said.row(&jobs[2].id.to_string())[6], "was asked to start then");

        let said = post.run(&["inspect", "scheduled", "--limit", "2", "--json"]).await;
        let listed = said.json();
        let ids: Vec<_> = listed.as_array().unwrap().iter().map(|job| &job["job"]).collect();
        assert_eq!(ids, [&json!(jobs[2].id), &json!(jobs[3].id)], "the first ones to come");
        assert!(said.errors().contains("--limit"), "{}", said.errors());

        let dead = post.run(&["inspect", "dead", "--json"]).await.json();
        assert_eq!((dead.as_array().unwrap().len(), &dead[0]["job"]), (1, &json!(jobs[0].id)));
        assert_eq!(dead[0]["image"], "猫\u{1b}[31m.jpg");
        let row = post.run(&["inspect", "dead"]).await.row(&jobs[0].id.to_string());
        assert_eq!((row[1].as_str(), row[3].as_str()), ("猫\u{fffd}[31m.jpg", "1"));
    }
}

#[tokio::test]
async fn queues_and_stats_show_depths_and_pauses() {
    for post in Post::both().await {
        let (group, jobs) = grouped(vec![job(), job(), delayed(HOUR)]);
        post.broker.enqueue(&group, &jobs).await.unwrap();
        post.broker.claim(&ask("w", 0, 1)).await.unwrap();
        post.broker.pause("cpu_intensive").await.unwrap();
        let said = post.run(&["inspect", "queues"]).await;
        assert_eq!(said.row("cpu_intensive"), ["cpu_intensive", "1", "1", "1", "paused"]);
        let stats = post.run(&["inspect", "stats", "--json"]).await.json();
        let depth = json!({"queue": "cpu_intensive", "waiting": 1, "delayed": 1, "active": 1, "paused": true});
        assert_eq!((&stats["queues"][0], &stats["workers"]), (&depth, &json!([])));
        let since: Timestamp = stats["events_since"].as_str().unwrap().parse().unwrap();
        assert!(Timestamp::now().duration_since(since) < Duration::from_mins(5).try_into().unwrap(), "{since}");
    }
}

#[test]
fn wrong_calls_say_what_to_write() {
    let desk = Desk::new();
    for (line, code, reason) in [
        (&["inspect", "queues"][..], 1, "name the service's own --data-dir, or its --redis"),
        (&["inspect", "queues", "--worker", "a"], 2, "--worker a: what waits belongs to no worker"),
        (&["inspect", "ping", "--timeout", "5"], 2, "write a time such as 2s or 500ms"),
        (&["inspect", "ping", "--timeout", "2h"], 2, "at most 60s"),
        (&["inspect", "everything"], 2, "scheduled"),
        (&["inspect", "queues", "--redis", "redis://127.0.0.1:1/"], 1, "cannot use Redis at redis://127.0.0.1:1/"),
    ] {
        let output = desk.run(line);
        assert_eq!(output.status.code(), Some(code), "{line:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{line:?}: {}", stderr(&output));
    }
    assert!(!desk.path("pixmill-data").exists(), "looking creates nothing");
}
