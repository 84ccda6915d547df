//! `pixmill control`.

use bytes::Bytes;
use pixmill::kinds::Source;
use pixmill::storage::upload_key;
use pixmill::worker::control::Command;
use queue::{Class, GroupId, JobList, NewGroup, NewJob, State};
use serde_json::{Value, json};

use super::post::{Post, report};
use super::{Desk, stderr};
use crate::broker::world::{HOUR, QUEUE, ask, delayed, fail, grouped, in_queue, job, jobs, settlement};
use crate::support::service::Home;
use crate::support::until;

#[tokio::test]
async fn paused_queue_gives_nothing_until_it_is_resumed() {
    for post in Post::both().await {
        let (group, jobs) = grouped(jobs(2));
        post.broker.enqueue(&group, &jobs).await.unwrap();
        let said = post.run(&["control", "pause", QUEUE, "critical"]).await;
        assert_eq!(said.code(), Some(0), "{}", said.errors());
        assert!(said.text().contains("pixmill control resume cpu_intensive"), "{}", said.text());
        assert!(post.broker.claim(&ask("w", 0, 2)).await.unwrap().jobs.is_empty());
        let said = post.run(&["control", "resume", QUEUE, "--json"]).await;
        assert_eq!(said.json(), json!([{"queue": QUEUE, "paused": false}]));
        assert_eq!(post.broker.claim(&ask("w", 1, 2)).await.unwrap().jobs.len(), 2);
    }
}

#[tokio::test]
async fn purge_asks_first_and_spares_what_runs() {
    for post in Post::both().await {
        let (group, jobs) = grouped(vec![job(), job(), delayed(HOUR), in_queue("critical")]);
        post.broker.enqueue(&group, &jobs).await.unwrap();
        post.broker.claim(&ask("w", 0, 1)).await.unwrap();
        let said = post.run(&["control", "purge", QUEUE]).await;
        assert_eq!(said.code(), Some(2));
        assert!(said.errors().contains("cancel 2 jobs in cpu_intensive: add --yes"), "{}", said.errors());
        assert_eq!(post.broker.group(group.id).await.unwrap().unwrap().cancelled, 0);
        let said = post.run(&["control", "purge", QUEUE, "--yes", "--json"]).await;
        assert_eq!(said.json(), json!([{"queue": QUEUE, "cancelled": 2}]));
        let group = post.broker.group(group.id).await.unwrap().unwrap();
        assert_eq!((group.cancelled, group.pending), (2, 2), "the running one and the other queue's are left");
    }
}

#[tokio::test]
async fn purge_does_what_the_person_at_the_terminal_says() {
    for post in Post::both().await {
        let (group, jobs) = grouped(vec![job(), delayed(HOUR)]);
        post.broker.enqueue(&group, &jobs).await.unwrap();
        let cancelled = async || post.broker.group(group.id).await.unwrap().unwrap().cancelled;
        for answer in ["n", "", "yeah"] {
            let said = post.run_at_a_terminal(&["control", "purge", QUEUE], answer);
            assert!(said.text().contains("This will cancel 2 jobs in cpu_intensive. Go on? [y/N]"), "{}", said.text());
            assert!(said.code() == Some(1) && said.text().contains("nothing was done"), "{}", said.text());
            assert_eq!(cancelled().await, 0);
        }
        let said = post.run_at_a_terminal(&["control", "purge", QUEUE], "Yes");
        assert!(said.code() == Some(0) && said.text().contains("2 jobs cancelled"), "{}", said.text());
        assert_eq!(cancelled().await, 2);
    }
}

#[tokio::test]
async fn queue_must_be_known() {
    let post = Post::sqlite();
    for order in ["pause", "resume", "purge"] {
        let said = post.run(&["control", order, "cpu_intensiv"]).await;
        assert_eq!(said.code(), Some(2));
        assert!(said.errors().contains("unknown queue `cpu_intensiv`; queue.names has critical"), "{}", said.errors());
    }
    let (group, jobs) = grouped(vec![in_queue("of-another-configuration")]);
    post.broker.enqueue(&group, &jobs).await.unwrap();
    assert_eq!(post.run(&["control", "pause", "of-another-configuration"]).await.code(), Some(0), "it has held a job");
}

#[tokio::test]
async fn groups_and_jobs_are_cancelled_by_their_ids() {
    for post in Post::both().await {
        let (group, members) = grouped(jobs(3));
        let (other, singles) = grouped(jobs(2));
        post.broker.enqueue(&group, &members).await.unwrap();
        post.broker.claim(&ask("w", 0, 1)).await.unwrap();
        post.broker.enqueue(&other, &singles).await.unwrap();
        let (group, single, nobody) = (group.id.to_string(), singles[0].id.to_string(), other_id());
        let said = post.run(&["control", "cancel", &group, &single, &nobody, "--json"]).await;
        assert_eq!(said.code(), Some(1), "one of them is unknown: {}", said.errors());
        let expected = json!([
            {"id": group, "is": "group", "cancelled": 2, "running": 1},
            {"id": single, "is": "job", "state": "cancelled"},
            {"id": nobody, "is": null},
        ]);
        assert_eq!(said.json(), expected);
        assert_eq!(post.broker.job(singles[0].id).await.unwrap().unwrap().state, State::Cancelled);
        assert_eq!(post.broker.job(singles[1].id).await.unwrap().unwrap().state, State::Waiting);

        let running = members[0].id.to_string();
        let said = post.run(&["control", "cancel", &running]).await;
        assert!(said.text().contains("its worker is asked to stop it"), "{}", said.text());
    }
}

/// A picture's job whose original is stored.
fn picture(post: &Post, group: GroupId, index: usize) -> NewJob {
    let original = upload_key(group, index);
    post.desk.put("photo.jpg", &format!("data/{original}"));
    let source = Source::Stored(original);
    let picture = json!({"kind": "image.process", "source": source, "image": "cat.jpg", "operations": []});
    NewJob { index: index as u32, payload: picture.to_string().into(), ..job() }
}

/// A group of which the first one has failed, and the rest is cancelled.
async fn ended(post: &Post, count: usize) -> (GroupId, Vec<NewJob>) {
    let group = NewGroup::new(GroupId::new(), Bytes::new());
    let jobs: Vec<NewJob> = (0..count).map(|index| picture(post, group.id, index)).collect();
    post.broker.enqueue(&group, &jobs).await.unwrap();
    let claimed = post.broker.claim(&ask(&group.id.to_string(), 0, 1)).await.unwrap().jobs;
    post.broker.settle(&[settlement(&claimed[0], fail())], None).await.unwrap();
    post.broker.cancel_group(group.id).await.unwrap();
    (group.id, jobs)
}

#[tokio::test]
async fn groups_and_jobs_are_tried_again_as_new_groups() {
    for post in Post::both().await {
        let ((group, _), (_, singles)) = (ended(&post, 2).await, ended(&post, 1).await);
        let (group, single, nobody) = (group.to_string(), singles[0].id.to_string(), other_id());
        let said = post.run(&["control", "retry", &group, &single, &nobody, "--json"]).await;
        assert_eq!(said.code(), Some(1), "one of them is unknown: {}", said.errors());
        let entries = said.json();
        assert_eq!((&entries[0]["is"], &entries[0]["jobs"]), (&json!("group"), &json!(2)), "{entries}");
        assert_eq!((&entries[1]["is"], &entries[1]["jobs"]), (&json!("job"), &json!(1)));
        assert_eq!(entries[2], json!({"id": nobody, "is": null}));
        for (entry, jobs) in [(0, 2), (1, 1)] {
            let copy = entries[entry]["group"].as_str().unwrap().parse().unwrap();
            assert_eq!(post.broker.group(copy).await.unwrap().unwrap().pending, jobs);
        }
    }
}

#[tokio::test]
async fn dead_jobs_are_tried_again_group_by_group() {
    for post in Post::both().await {
        let ((first, jobs), (lost, _)) = (ended(&post, 2).await, ended(&post, 1).await);
        std::fs::remove_file(post.desk.path(&format!("data/{}", upload_key(lost, 0)))).unwrap();
        let said = post.run(&["control", "retry", "--dead", "--json"]).await;
        assert_eq!(said.code(), Some(1), "one original is gone: {}", said.errors());
        let entries = said.json();
        assert_eq!((&entries[0]["id"], &entries[0]["jobs"]), (&json!(first), &json!(1)), "only the failed one");
        let reason = entries[1]["error"].as_str().unwrap();
        assert!(entries[1]["id"] == json!(lost) && reason.contains("retention.originals"), "{entries}");
        let copy = entries[0]["group"].as_str().unwrap().parse().unwrap();
        assert_eq!(post.broker.group(copy).await.unwrap().unwrap().pending, 1);
        let dead = post.broker.list(JobList::Dead, 0, 10).await.unwrap();
        assert_eq!(dead.len(), 1, "what is tried again is no longer dead");
        assert_ne!(dead[0].job, jobs[0].id);
    }
}

fn other_id() -> String {
    queue::JobId::new().to_string()
}

#[tokio::test]
async fn orders_reach_one_worker_or_all() {
    for post in Post::both().await {
        let (first, second) = (post.obedient(report("aa11")).await, post.obedient(report("bb22")).await);
        let told = async |line: &[&str]| post.run(&[line, &["--timeout", "60s"]].concat()).await;
        let said = told(&["control", "grow", "2", "--worker", "aa", "--json"]).await;
        assert_eq!((said.code(), &said.json()[0]["cpu"]["total"]), (Some(0), &json!(6)), "{}", said.errors());
        let said = told(&["control", "--json", "shrink", "1", "--class", "io"]).await;
        assert_eq!(said.json().as_array().unwrap().len(), 2);
        let said = told(&["control", "shutdown", "--cold", "--worker", "bb22"]).await;
        assert_eq!(said.row("bb22")[3], "ends once 0 running jobs have ended");

        let grow = Command::Grow { class: Class::Cpu, by: 2 };
        let shrink = Command::Shrink { class: Class::Io, by: 1 };
        assert_eq!(*first.lock().unwrap(), [grow, shrink.clone()]);
        assert_eq!(*second.lock().unwrap(), [shrink, Command::Shutdown { cold: true }]);
    }
}

#[tokio::test]
async fn order_that_nobody_answers_fails() {
    for post in Post::both().await {
        let said = post.run(&["control", "grow", "1"]).await;
        assert_eq!(said.code(), Some(1));
        assert!(said.errors().contains("no worker is there"), "{}", said.errors());
        post.reports(&report("aa11")).await;
        let said = post.run(&["control", "shutdown", "--timeout", "100ms"]).await;
        assert_eq!(said.code(), Some(1));
        assert!(said.row("aa11")[3].starts_with("SILENT for 100ms"), "{}", said.text());
    }
}

/// What the binary prints with `--json`, and its exit code.
async fn asked(home: &Home, line: &[&str]) -> (Option<i32>, Value) {
    let (status, said, errors) = home.start(&[line, &["--json"]].concat()).ends().await;
    let document = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{errors}"));
    (status.code(), document)
}

#[tokio::test]
async fn worker_that_computes_is_pinged_grown_and_ended() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = home.set("queue.lease", "10m").set("queue.beat", "3m");
        let worker = home.worker().await;
        let session = until("the worker is listed", async || {
            let (_, workers) = asked(&home, &["inspect", "workers"]).await;
            workers[0]["session"].as_str().map(ToOwned::to_owned)
        })
        .await;
        let (code, pinged) = asked(&home, &["inspect", "ping", "--timeout", "60s"]).await;
        assert_eq!((code, &pinged[0]["worker"], &pinged[0]["answered"]), (Some(0), &json!(session), &json!(true)));
        let (code, grown) = asked(&home, &["control", "grow", "3", "--timeout", "60s"]).await;
        assert_eq!((code, &grown[0]["cpu"]["total"]), (Some(0), &json!(5)), "two by the settings, and three more");

        let (code, stopping) =
            asked(&home, &["control", "shutdown", "--worker", &session[..20], "--timeout", "60s"]).await;
        assert_eq!((code, &stopping[0]["stopping"]), (Some(0), &json!(true)));
        let (status, _, log) = worker.ends().await;
        assert!(status.success(), "{log}");
        assert_eq!(asked(&home, &["inspect", "ping"]).await, (Some(1), json!([])), "it has signed off");
    }
}

#[test]
fn wrong_calls_say_what_to_write() {
    let desk = Desk::new();
    for (line, reason) in [
        (&["control", "cancel", "12"][..], "invalid value '12' for '<ID>...'"),
        (&["control", "grow", "0"], "0 is not in 1..=1024"),
        (&["control", "grow", "1", "--class", "gpu"], "[possible values: cpu, io]"),
        (&["control", "purge"], "<QUEUE>"),
        (&["control", "retry"], "<ID>"),
        (&["control"], "pause"),
    ] {
        let output = desk.run(line);
        assert_eq!(output.status.code(), Some(2), "{line:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{line:?}: {}", stderr(&output));
    }
}

#[tokio::test]
async fn erase_asks_first_and_removes_the_files() {
    for post in Post::both().await {
        let (group, jobs) = grouped(jobs(2));
        post.broker.enqueue(&group, &jobs).await.unwrap();
        let storage = pixmill::storage::Storage::local(&post.desk.path("data")).unwrap();
        storage.put(&upload_key(group.id, 0), Bytes::from_static(b"a picture")).await.unwrap();
        let id = group.id.to_string();
        let said = post.run(&["control", "erase", &id]).await;
        assert_eq!(said.code(), Some(2));
        assert!(said.errors().contains("erase the files of 1 group, for good: add --yes"), "{}", said.errors());
        assert!(storage.has(&upload_key(group.id, 0)).await.unwrap());
        let said = post.run(&["control", "erase", &id, "--yes", "--json"]).await;
        assert_eq!(said.json(), json!([{"id": id, "files": "erased"}]));
        assert!(!storage.has(&upload_key(group.id, 0)).await.unwrap());
        assert_eq!(post.broker.group(group.id).await.unwrap().unwrap().cancelled, 2);
        let said = post.run(&["control", "erase", &other_id(), "--yes"]).await;
        assert_eq!(said.code(), Some(1));
    }
}
