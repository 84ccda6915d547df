//! Orders to a running worker, and jobs that it does not know.

use bytes::Bytes;
use pixmill::worker::control::{Command, Letter, Report};
use queue::{Broker, ClaimRequest, Class, GroupId, JobId, NewGroup, NewJob, State};

use super::{QUEUE, all_is_well, attempts, gated_group, patient, reaches, talkative};
use crate::support::client::images;
use crate::support::gate::Gate;
use crate::support::pictures::plain_png;
use crate::support::service::Home;
use crate::support::{PATIENCE, until};

/// The only worker's mailbox.
async fn mailbox(broker: &Broker) -> String {
    until("the worker is listed", async || Some(broker.workers().await.unwrap().pop()?.session)).await
}

async fn ask(broker: &Broker, session: &str, command: Command) -> Report {
    let reply = format!("test-{}", JobId::new());
    let letter = Letter { command, reply: reply.clone() };
    broker.post(session, &serde_json::to_vec(&letter).unwrap()).await.unwrap();
    let answers = broker.collect(&reply, PATIENCE).await.unwrap();
    serde_json::from_slice(answers.first().expect("an answer")).unwrap()
}

#[tokio::test]
async fn worker_grows_shrinks_and_ends_by_letter() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = patient(home);
        let service = home.serve_with(&["--no-workers"]);
        let worker = home.worker().await;
        let broker = home.broker().await;
        let session = mailbox(&broker).await;
        let report = ask(&broker, &session, Command::Ping).await;
        assert_eq!((report.session.as_str(), report.cpu.total, report.io.total), (session.as_str(), 2, 100));
        let report = ask(&broker, &session, Command::Grow { class: Class::Cpu, by: 2 }).await;
        assert_eq!(report.cpu.total, 4);
        let (group, mut gates) = gated_group(&home, &service, 8, 0..6).await;
        let at_work = async |count: usize| {
            let busy = async || {
                let report = ask(&broker, &session, Command::Ping).await;
                (report.cpu.busy == count).then_some(report)
            };
            until(&format!("{count} pictures are computed at a time"), busy).await
        };
        let report = at_work(4).await;
        assert_eq!(report.active.len(), 4);
        assert!(report.active.iter().all(|active| active.group.to_string() == group && active.kind == "image.process"));
        let report = ask(&broker, &session, Command::Shrink { class: Class::Cpu, by: 9 }).await;
        assert_eq!(report.cpu.total, 1);
        gates.drain(..4).for_each(Gate::open);
        reaches(&service, &group, 4).await;
        // The next two hang as well: with the slots of before, both would be at work.
        assert_eq!(at_work(1).await.active.len(), 1);
        let report = ask(&broker, &session, Command::Shutdown { cold: false }).await;
        assert!(report.stopping);
        worker.says("stopping: ").await;
        gates.into_iter().for_each(Gate::open);
        let (status, _, log) = worker.ends().await;
        assert!(status.success() && log.contains("given back"), "{status}: {log}");
        until("it has signed off", async || broker.workers().await.unwrap().is_empty().then_some(())).await;
        assert_eq!(service.status(&group).await["done"], 5);
        let _next = home.worker().await;
        let status = all_is_well(&home, &service, &group, 8).await;
        assert_eq!(attempts(&status), [1; 8], "{status}");
    }
}

#[tokio::test]
async fn job_of_an_unknown_kind_waits_for_a_worker_that_knows_it() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = talkative(home);
        let service = home.serve();
        let broker = home.broker().await;
        let payload = br#"{"kind": "picture.dream", "of": "sheep"}"#;
        let job = NewJob::new("picture.dream", QUEUE, Class::Cpu, Bytes::from_static(payload));
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
            let queues = vec![QUEUE.into()];
            let request =
                ClaimRequest { session: "next-version".into(), sequence, queues, class: Class::Cpu, limit: 1 };
            broker.claim(&request).await.unwrap().jobs.pop()
        };
        assert_eq!(until("the next version takes it", claimed).await.lease.job, job.id);
    }
}
