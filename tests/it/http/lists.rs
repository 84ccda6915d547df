//! Lists of jobs and groups.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use crate::support::client::{Client, id, images};
use crate::support::pictures::{plain_png, truncated};
use crate::support::service::Home;

async fn upload(service: &Client, names: &[&str]) -> String {
    let pictures: Vec<_> = names.iter().map(|name| (*name, plain_png(9, 9))).collect();
    id(&service.upload(images(pictures)).await).to_owned()
}

async fn page(service: &Client, path: &str) -> Value {
    let answer = service.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()
}

/// The names of the pictures in a list of jobs, or the sizes of the groups in the other, but for the service's own.
async fn list(service: &Client, path: &str) -> Vec<Value> {
    let page = page(service, path).await;
    let jobs = page["jobs"].as_array().into_iter().flatten().map(|job| &job["image"]);
    let groups = page["groups"].as_array().into_iter().flatten().map(|group| &group["total_images"]);
    jobs.chain(groups).filter(|shown| !shown.is_null()).cloned().collect()
}

#[tokio::test]
async fn pages_give_every_job_and_group_once_while_new_ones_come() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        let mut before = HashSet::new();
        for names in [&["a.png", "b.png", "c.png"][..], &["d.png"], &["e.png", "f.png"]] {
            before.insert(upload(&service, names).await);
        }
        for (mut path, list, own) in
            [("/api/jobs?limit=2".to_owned(), "jobs", "group"), ("/api/groups?limit=2".to_owned(), "groups", "task_id")]
        {
            let (mut seen, mut groups): (HashMap<String, u32>, HashSet<String>) = Default::default();
            loop {
                let page = page(&service, &path).await;
                assert_eq!(page["links"]["self"], path);
                for entry in page[list].as_array().unwrap() {
                    let name = if list == "jobs" { &entry["id"] } else { &entry["task_id"] };
                    *seen.entry(name.as_str().unwrap().to_owned()).or_default() += 1;
                    groups.insert(entry[own].as_str().unwrap().to_owned());
                }
                upload(&service, &["new.png"]).await;
                let Some(next) = page["links"]["next"].as_str() else { break };
                path = next.to_owned();
            }
            assert!(seen.values().all(|&times| times == 1), "{seen:?}");
            assert!(groups.is_superset(&before), "{groups:?}");
        }
    }
}

#[tokio::test]
async fn jobs_are_filtered() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        let first = upload(&service, &["a.png", "b.png"]).await;
        let form = images([("c.png", plain_png(9, 9))]).text("options", r#"{"queue": "priority"}"#);
        let second = id(&service.upload(form).await).to_owned();
        let later = images([("d.png", plain_png(9, 9))]).text("options", r#"{"eta": "2999-01-01T00:00:00Z"}"#);
        service.upload(later).await;
        let at = service.status(&second).await["created_at"].as_str().unwrap().to_owned();
        let cancelled = page(&service, &format!("/api/jobs?group={first}&limit=1")).await;
        let cancelled = cancelled["jobs"][0]["id"].as_str().unwrap();
        service.send("DELETE", &format!("/api/jobs/{cancelled}")).await;
        let with = async |query: &str| list(&service, &format!("/api/jobs?{query}")).await;

        assert_eq!(with("").await, ["d.png", "c.png", "b.png", "a.png"]);
        assert_eq!(with("queue=priority").await, ["c.png"]);
        assert_eq!(with(&format!("group={first}")).await, ["b.png", "a.png"]);
        assert_eq!(with("state=cancelled").await, ["b.png"]);
        assert_eq!(with("state=waiting&kind=image.process").await, ["c.png", "a.png"]);
        assert_eq!(with("state=delayed").await, ["d.png"]);
        assert_eq!(with("state=active").await, [""; 0]);
        assert_eq!(with(&format!("since={at}")).await, ["d.png", "c.png"]);
        assert_eq!(with(&format!("until={at}")).await, ["b.png", "a.png"]);
        assert_eq!(with("kind=zip").await, [""; 0]);
        assert_eq!(with("limit=1000&queue=nobody").await, [""; 0]);
    }
}

#[tokio::test]
async fn groups_are_filtered_by_status_and_time() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        let cancelled = upload(&service, &["a.png", "b.png", "c.png"]).await;
        service.send("DELETE", &format!("/api/groups/{cancelled}")).await;
        let failed = service.upload(images([("x.jpg", truncated()), ("y.jpg", truncated())])).await;
        let completed = upload(&service, &["d.png"]).await;
        let worker = home.worker().await;
        for group in [id(&failed), &completed] {
            service.finished(group).await;
        }
        drop(worker);
        upload(&service, &["e.png", "f.png", "g.png", "h.png"]).await;
        let at = service.status(&completed).await["created_at"].as_str().unwrap().to_owned();
        let with = async |query: &str| list(&service, &format!("/api/groups?{query}")).await;

        assert_eq!(with("").await, [4, 1, 2, 3], "without the service's own sweeps");
        assert_eq!(with("status=processing").await, [4]);
        assert_eq!(with("status=failed").await, [2]);
        assert_eq!(with("status=cancelled").await, [3]);
        assert_eq!(with("status=completed").await, [1]);
        assert_eq!(with(&format!("since={at}")).await, [4, 1]);
        assert_eq!(with(&format!("until={at}")).await, [2, 3]);
        let page = page(&service, "/api/groups?status=cancelled").await;
        let mut whole = service.status(&cancelled).await;
        for field in ["result", "rejected", "request_id"] {
            whole.as_object_mut().unwrap().remove(field);
        }
        whole["links"].as_object_mut().unwrap().remove("archive");
        assert_eq!(page["groups"][0], whole, "the counters of the status, without results");
        assert_eq!(page["links"], json!({"self": "/api/groups?status=cancelled"}));
    }
}

#[tokio::test]
async fn failed_job_is_listed_with_its_code() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        let status = service.done(images([("cut.jpg", truncated())])).await;
        let (group, job) = (status["task_id"].as_str().unwrap(), status["result"][0]["job_id"].as_str().unwrap());
        let mut page = page(&service, "/api/jobs?state=failed").await;
        let entry = &mut page["jobs"][0];
        for time in ["created_at", "finished_at"] {
            entry[time].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
            entry[time] = "…".into();
        }
        let code = &status["result"][0]["error"]["code"];
        let expected = json!({
            "id": job, "group": group, "index": 0, "image": "cut.jpg", "kind": "image.process",
            "queue": "cpu_intensive", "priority": 5, "state": "failed", "attempts": 1, "max_attempts": 4,
            "created_at": "…", "finished_at": "…", "due_at": null, "error_code": code,
            "links": {"self": format!("/api/task_status/{job}"), "group": format!("/api/task_status/{group}")},
        });
        assert_eq!(*entry, expected);
    }
}

#[tokio::test]
async fn wrong_parameters_are_refused_by_name() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    for (path, name) in [
        ("/api/jobs?colour=red", "colour"),
        ("/api/jobs?status=failed", "status"),
        ("/api/groups?state=failed", "state"),
        ("/api/jobs?state=lost", "lost"),
        ("/api/groups?status=done", "done"),
        ("/api/jobs?limit=0", "limit"),
        ("/api/groups?limit=1001", "1001"),
        ("/api/jobs?limit=many", "limit"),
        ("/api/jobs?limit=1&limit=2", "limit"),
        ("/api/jobs?since=yesterday", "since"),
        ("/api/groups?until=7", "until"),
        ("/api/jobs?group=1", "group"),
        ("/api/jobs?queue=", "queue"),
        ("/api/jobs?cursor=1", "cursor"),
        ("/api/queues?x", "x"),
        ("/api/workers?x=1", "x"),
        ("/api/stats?x=1", "x"),
    ] {
        let problem = service.get(path).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(400), &json!("invalid-query")), "{path}");
        assert!(problem["detail"].as_str().unwrap().contains(&format!("`{name}`")), "{path}: {problem}");
    }
}
