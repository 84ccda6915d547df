//! Orders to a running worker, and jobs that it does not know.

use std::time::Duration;

use bytes::Bytes;
use pixmill::job::{Class, GroupId, JobId, State};
use pixmill::queue::{Broker, ClaimRequest, NewGroup, NewJob};
use pixmill::worker::control::{Command, Letter, Report};

use super::{slow_group, talkative};
use crate::support::client::images;
use crate::support::pictures::plain_png;
use crate::support::service::Home;
use crate::support::until;

/// The only worker's mailbox.
async fn mailbox(broker: &Broker) -> String {
    until("the worker is listed", async || Some(broker.workers().await.unwrap().pop()?.session)).await
}

async fn ask(broker: &Broker, session: &str, command: Command) -> Report {
    let reply = format!("test-{}", JobId::new());
    let letter = Letter { command, reply: reply.clone() };
    broker.post(session, &serde_json::to_vec(&letter).unwrap()).await.unwrap();
    let answers = broker.collect(&reply, Duration::from_secs(30)).await.unwrap();
    serde_json::from_slice(answers.first().expect("an answer")).unwrap()
}

#[tokio::test]
async fn worker_grows_shrinks_and_ends_by_letter() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = talkative(home).set("queue.lease", "900ms").set("queue.beat", "300ms");
        let service = home.serve_with(&["--no-workers"]);
        let worker = home.worker().await;
        let broker = home.broker().await;
        let session = mailbox(&broker).await;
        let report = ask(&broker, &session, Command::Ping).await;
        assert_eq!((report.session.as_str(), report.cpu.total, report.io.total), (session.as_str(), 2, 100));
        let report = ask(&broker, &session, Command::Grow { class: Class::Cpu, by: 2 }).await;
        assert_eq!(report.cpu.total, 4);
        let group = slow_group(&service, 8).await;
        let busy = async || {
            let report = ask(&broker, &session, Command::Ping).await;
            (report.cpu.busy == 4).then_some(report)
        };
        let report = until("four pictures are computed at a time", busy).await;
        assert_eq!(report.active.len(), 4);
        assert!(report.active.iter().all(|active| active.group.to_string() == group && active.kind == "image.process"));
        let report = ask(&broker, &session, Command::Shrink { class: Class::Cpu, by: 9 }).await;
        assert_eq!(report.cpu.total, 1);
        let fewer = async || (ask(&broker, &session, Command::Ping).await.cpu.busy <= 1).then_some(());
        until("one at a time goes on", fewer).await;
        let report = ask(&broker, &session, Command::Shutdown { cold: false }).await;
        assert!(report.stopping);
        let (status, _, log) = worker.ends().await;
        assert!(status.success() && log.contains("given back"), "{status}: {log}");
        assert!(broker.workers().await.unwrap().is_empty(), "it has signed off");
        let _next = home.worker().await;
        let status = service.finished(&group).await;
        assert_eq!(status["succeeded"], 8, "{status}");
        assert!(status["result"].as_array().unwrap().iter().all(|entry| entry["attempts"] == 1), "{status}");
    }
}

#[tokio::test]
async fn job_of_an_unknown_kind_waits_for_a_worker_that_knows_it() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = talkative(home);
        let service = home.serve();
        let broker = home.broker().await;
        let job = NewJob {
            id: JobId::new(),
            index: 0,
            kind: "picture.dream".into(),
            queue: "default".into(),
            class: Class::Cpu,
            priority: 5,
            delay: None,
            max_attempts: 1,
            after: None,
            retry_of: None,
            payload: Bytes::from_static(br#"{"kind": "picture.dream", "of": "sheep"}"#),
        };
        broker.enqueue(&NewGroup::new(GroupId::new(), Bytes::new()), std::slice::from_ref(&job)).await.unwrap();
        service.process.says("picture.dream` is not for this version").await;
        let given_back = async || {
            let stands = broker.job(job.id).await.unwrap().unwrap();
            (stands.state == State::Delayed).then_some(stands)
        };
        let stands = until("it is given back", given_back).await;
        assert_eq!(stands.attempt, 0, "no attempt is lost");
        assert_eq!(service.done(images([("a.png", plain_png(9, 9))])).await["succeeded"], 1);
        service.process.kill();
        let mut sequence = 0;
        let claimed = async || {
            sequence += 1;
            let queues = vec!["default".into()];
            let request =
                ClaimRequest { session: "next-version".into(), sequence, queues, class: Class::Cpu, limit: 1 };
            broker.claim(&request).await.unwrap().jobs.pop()
        };
        assert_eq!(until("the next version takes it", claimed).await.lease.job, job.id);
    }
}
