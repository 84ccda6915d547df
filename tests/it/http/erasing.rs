//! `DELETE …?files=true`: a group's files go before their time, and nothing of them comes back.

use std::time::Duration;

use pixmill::kinds::{OutboxSweep, StorageSweep};
use pixmill::storage::Storage;
use pixmill::upkeep;
use queue::GroupId;
use serde_json::{Value, json};

use crate::support::client::{Answer, id, images};
use crate::support::gate::Gate;
use crate::support::pictures::plain_png;
use crate::support::service::{Home, Service};
use crate::support::until;

async fn erased(service: &Service, group: &str) -> Value {
    let answer = service.send("DELETE", &format!("/api/groups/{group}?files=true")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn leftovers(home: &Home, group: &str) -> Vec<&'static str> {
    let names = [format!("uploads/{group}"), format!("outputs/{group}"), format!("outbox/{group}.json")];
    ["uploads", "outputs", "outbox"]
        .into_iter()
        .zip(names)
        .filter(|(_, name)| home.folder().join(name).exists())
        .map(|(part, _)| part)
        .collect()
}

#[tokio::test]
async fn ended_group_is_erased_at_once() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        let status = service.done(images([("a.png", plain_png(30, 30)), ("b.png", plain_png(9, 9))])).await;
        let (group, path) = (id(&status), status["result"][0]["paths"][0].as_str().unwrap());
        let other = service.done(images([("c.png", plain_png(9, 9))])).await;
        assert_eq!(service.get(path).await.status, 200);
        let answer = erased(&service, group).await;
        assert_eq!(
            (&answer["files"], &answer["status"], &answer["succeeded"]),
            (&json!("erased"), &json!("completed"), &json!(2))
        );
        assert_eq!(leftovers(&home, group), [""; 0]);
        for gone in [path, status["links"]["archive"].as_str().unwrap()] {
            let problem = service.get(gone).await.problem();
            assert_eq!((&problem["status"], &problem["code"]), (&json!(410), &json!("files-erased")), "{gone}");
        }
        assert_eq!(erased(&service, group).await, answer, "once more changes nothing");
        assert_eq!(service.status(group).await["files"], "erased");
        let job = service.status(status["result"][0]["job_id"].as_str().unwrap()).await;
        assert_eq!(job["files"], "erased");
        service.file(&other["result"][0]["paths"][0]).await;
        assert_eq!(service.status(id(&other)).await.get("files"), None);
        drop(service);
        let service = home.serve_with(&["--no-workers"]);
        assert_eq!(service.status(group).await["files"], "erased", "after a restart too");
    }
}

#[tokio::test]
async fn waiting_group_is_cancelled_and_erased_and_not_tried_again() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        let accepted = service.upload(images([("a.png", plain_png(9, 9))])).await;
        let answer = erased(&service, id(&accepted)).await;
        assert_eq!((&answer["files"], &answer["status"]), (&json!("erased"), &json!("cancelled")));
        assert_eq!(leftovers(&home, id(&accepted)), [""; 0]);
        let retried = service.send("POST", &format!("/api/groups/{}/retry", id(&accepted))).await;
        assert_eq!(retried.problem()["code"], "not-retryable");
    }
}

#[tokio::test]
async fn running_group_is_erased_when_it_has_ended() {
    for home in [Home::sqlite(), Home::redis()] {
        // The sweep that erases it comes by the clock; a heartbeat tells of the cancel.
        let home = home.set("retention.outbox_age", "1s").set("queue.beat", "200ms");
        let service = home.serve_with(&["--no-workers"]);
        let accepted = service.upload(images([("a.png", plain_png(40, 40)), ("b.png", plain_png(9, 9))])).await;
        let group = id(&accepted).to_owned();
        let gate = Gate::before(&home.folder().join(format!("uploads/{group}/0")));
        let _worker = home.worker().await;
        let first = until("the second picture is done", async || {
            let status = service.status(&group).await;
            (status["done"] == 1).then_some(status)
        })
        .await;
        let path = first["result"][0]["paths"][0].as_str().unwrap();
        assert_eq!(service.get(path).await.status, 200);
        let answer = erased(&service, &group).await;
        assert_eq!(answer["files"], "erasing");
        assert_eq!(service.get(path).await.problem()["code"], "files-erased", "nobody is given them meanwhile");
        drop(service);
        let service = home.serve_with(&["--no-workers"]);
        gate.open();
        let status = until("its files are erased", async || {
            let status = service.status(&group).await;
            (status["files"] == "erased").then_some(status)
        })
        .await;
        assert_ne!(status["status"], "processing");
        assert_eq!(leftovers(&home, &group), [""; 0]);
    }
}

#[tokio::test]
async fn group_that_the_broker_lost_does_not_come_back() {
    let home = Home::redis();
    let service = home.serve_with(&["--no-workers"]);
    let accepted = service.upload(images([("a.png", plain_png(9, 9))])).await;
    let group: GroupId = id(&accepted).parse().unwrap();
    let (broker, storage) = (home.broker().await, Storage::local(home.folder()).unwrap());
    broker.cancel_group(group).await.unwrap();
    assert!(broker.remove_group(group).await.unwrap(), "as a flush would");
    let answer = erased(&service, id(&accepted)).await;
    assert_eq!((&answer["files"], &answer["status"]), (&json!("erasing"), &json!("cancelled")));
    assert_eq!(leftovers(&home, id(&accepted)), [""; 0]);
    let now = OutboxSweep { age: Duration::ZERO };
    let delivered = upkeep::sweep_outbox(&storage, &broker, &now).await.unwrap();
    assert_eq!((delivered.enqueued, delivered.erased), (0, 1));
    assert!(broker.group(group).await.unwrap().is_none());
    assert_eq!(service.send("DELETE", &format!("/api/groups/{group}?files=true")).await.status, 404);
}

#[tokio::test]
async fn mark_of_an_erased_group_goes_with_its_record() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        let accepted = service.upload(images([("a.png", plain_png(9, 9))])).await;
        erased(&service, id(&accepted)).await;
        let mark = home.folder().join("erased").join(id(&accepted));
        assert!(mark.exists());
        let (broker, storage) = (home.broker().await, Storage::local(home.folder()).unwrap());
        let at_once =
            StorageSweep { records: Duration::from_nanos(1), originals: Duration::ZERO, outputs: Duration::ZERO };
        until("its record is old enough", async || {
            let swept = upkeep::sweep_storage(&storage, &broker, &at_once).await.unwrap();
            (swept.records == 1).then_some(())
        })
        .await;
        assert!(!mark.exists());
        assert_eq!(service.get(&format!("/api/task_status/{}", id(&accepted))).await.status, 404);
    }
}

#[tokio::test]
async fn only_a_clear_wish_erases() {
    let home = Home::sqlite();
    let service = home.serve();
    let status = service.done(images([("a.png", plain_png(9, 9))])).await;
    for query in ["?files=yes", "?files", "?file=true"] {
        let problem = service.send("DELETE", &format!("/api/groups/{}{query}", id(&status))).await.problem();
        assert_eq!(problem["code"], "invalid-query", "{query}");
    }
    for query in ["", "?files=false"] {
        let answer = service.send("DELETE", &format!("/api/groups/{}{query}", id(&status))).await;
        assert_eq!((answer.status, answer.json().get("files")), (200, None), "{query}");
    }
    service.file(&status["result"][0]["paths"][0]).await;
}

/// By default outputs are kept for ever, and records are not.
#[tokio::test]
async fn outputs_that_outlive_their_record_are_erased_by_their_owner() {
    for home in [Home::sqlite(), Home::redis()] {
        let [shop, other, ops] = [
            home.key(&["--name", "shop"]).await,
            home.key(&["--name", "other"]).await,
            home.key(&["--name", "ops", "--scopes", "admin"]).await,
        ]
        .map(|key| key["key"].as_str().unwrap().to_owned());
        let service = home.serve();
        let send = async |key: &str, method: &str, path: &str| {
            Answer::of(service.request(method, path).bearer_auth(key)).await
        };
        let mut groups = Vec::new();
        for _ in 0..2 {
            let post = service.request("POST", "/api/upload").bearer_auth(&shop);
            let taken = Answer::of(post.multipart(images([("a.png", plain_png(9, 9))]))).await;
            let group = id(&taken.json()).to_owned();
            let status = until("it is done", async || {
                let status = send(&shop, "GET", &format!("/api/task_status/{group}")).await.json();
                (status["status"] == "completed").then_some(status)
            })
            .await;
            groups
                .push((group, status["result"][0]["paths"][0].as_str().unwrap().split('?').next().unwrap().to_owned()));
        }
        let (broker, storage) = (home.broker().await, Storage::local(home.folder()).unwrap());
        let at_once =
            StorageSweep { records: Duration::from_nanos(1), originals: Duration::ZERO, outputs: Duration::ZERO };
        for (group, _) in &groups {
            until("its record is gone", async || {
                upkeep::sweep_storage(&storage, &broker, &at_once).await.unwrap();
                broker.group(group.parse().unwrap()).await.unwrap().is_none().then_some(())
            })
            .await;
        }

        let (group, path) = &groups[0];
        let erase = format!("/api/groups/{group}?files=true");
        assert_eq!(send(&shop, "GET", path).await.status, 200, "they outlive it");
        assert_eq!(send(&other, "DELETE", &erase).await.status, 404, "whose it is not");
        assert_eq!(
            send(&shop, "DELETE", &format!("/api/groups/{group}")).await.status,
            404,
            "nothing can be cancelled"
        );
        assert_eq!(send(&shop, "GET", path).await.status, 200);
        let answer = send(&shop, "DELETE", &erase).await;
        assert_eq!((answer.status, &answer.json()["files"]), (200, &json!("erased")), "{}", answer.text());
        assert_eq!(leftovers(&home, group), [""; 0]);
        assert_ne!(send(&shop, "GET", path).await.status, 200);
        assert_eq!(send(&ops, "DELETE", &erase).await.status, 404, "there is nothing left");

        let (group, _) = &groups[1];
        let (status, output, log) = home.start(&["control", "erase", group, "--yes", "--json"]).ends().await;
        assert!(status.success(), "{log}");
        assert_eq!(serde_json::from_str::<Value>(&output).unwrap(), json!([{"id": group, "files": "erased"}]));
        assert_eq!(leftovers(&home, group), [""; 0]);
        let (status, _, _) = home.start(&["control", "erase", group, "--yes"]).ends().await;
        assert_eq!(status.code(), Some(1), "there is nothing left");
    }
}
