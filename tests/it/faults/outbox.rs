//! What was acknowledged is owed: brokers that forget it, replies that are lost, services killed in mid-submission.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{all_is_well, gated_group, impatient, reaches};
use crate::support::client::{Client, Halted, id, images};
use crate::support::gate::Gate;
use crate::support::pictures::plain_png;
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;
use crate::support::service::Home;
use crate::support::until;

/// With sweeps that come within a test.
fn swept(home: Home) -> Home {
    impatient(home).set("retention.outbox_age", "1s")
}

/// An upload whose first bytes have been taken, and so the broker been seen to be there.
async fn halted(home: &Home, client: &Client) -> Halted {
    let halted = client.halted_upload("", &plain_png(9, 9)).await;
    until("it is being received", async || (!home.files("uploads").is_empty()).then_some(())).await;
    halted
}

/// The group of the only manifest, once there is one.
async fn owed(home: &Home, extension: &str) -> String {
    until("a manifest is written", async || {
        home.files("outbox").into_iter().find_map(|file| {
            let named = file.extension().is_some_and(|end| end == extension);
            named.then(|| file.file_stem().unwrap().to_str().unwrap().to_owned())
        })
    })
    .await
}

#[tokio::test]
async fn flushed_redis_gets_every_acknowledged_group_again() {
    let redis = RedisServer::start(&[]);
    let home = swept(Home::on(&redis.url())).set("worker.queues", "cpu_intensive,scheduled");
    let service = home.serve_with(&["--no-workers"]);
    let form = images([("a.png", plain_png(9, 9))]).text("options", r#"{"queue": "default"}"#);
    let waiting = service.upload(form).await;
    let worker = home.worker().await;
    let (group, gates) = gated_group(&home, &service, 6, 1..3).await;
    reaches(&service, &group, 1).await;
    redis.order("FLUSHALL").await;
    gates.into_iter().for_each(Gate::open);
    // Never in between is the client told that there is no such group.
    let status = all_is_well(&home, &service, &group, 6).await;
    assert_eq!(status["cancelled"], 0);
    until("what nobody works on waits again", async || {
        let metrics = service.get("/metrics").await.text();
        metrics.contains(r#"pixmill_jobs{queue="default",state="waiting"} 1"#).then_some(())
    })
    .await;
    assert_eq!(service.status(id(&waiting)).await["status"], "processing");
    until("what has ended is no longer owed", async || (home.files("outbox").len() == 1).then_some(())).await;
    all_is_well(&home, &service, &group, 6).await;
    drop(worker);
}

#[tokio::test]
async fn upload_killed_between_manifest_and_enqueue_is_done_after_a_restart() {
    let redis = RedisServer::start(&[]);
    let home = swept(Home::on(&redis.url()));
    let service = home.serve_with(&["--no-workers"]);
    let halted = halted(&home, &service).await;
    redis.signal(Signal::STOP);
    let answer = tokio::spawn(halted.finish());
    let group = owed(&home, "json").await;
    service.process.kill();
    answer.abort();
    // What stood in its sockets has gone with it.
    redis.down();
    redis.up();
    let service = home.serve();
    let status = service.finished(&group).await;
    assert_eq!((&status["status"], &status["succeeded"]), (&json!("completed"), &json!(1)), "{status}");
    until("nothing is owed any more", async || home.files("outbox").is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn enqueue_whose_reply_is_lost_is_acknowledged_and_done_once() {
    let redis = RedisServer::start(&[]);
    let proxy = Proxy::before(redis.port()).await;
    let home = Home::on(&proxy.redis_url()).set("retention.outbox_age", "1h");
    let service = home.serve_with(&["--no-workers"]);
    let halted = halted(&home, &service).await;
    proxy.lose_next_reply();
    let answer = halted.finish().await;
    assert_eq!((answer.status, proxy.lost()), (202, 1), "{}", answer.text());
    let worker = home.worker().await;
    let status = service.finished(id(&answer.json())).await;
    assert_eq!((&status["total_images"], &status["succeeded"]), (&json!(1), &json!(1)), "{status}");
    assert_eq!(status["result"][0]["attempts"], 1);
    drop(worker);
}

/// The service told its client that it had not taken an upload, and removed the originals of jobs that went on waiting.
#[tokio::test(flavor = "multi_thread")]
async fn upload_that_was_refused_although_it_was_enqueued_is_taken_back() {
    let redis = RedisServer::start(&[]);
    let proxy = Proxy::before(redis.port()).await;
    let home = swept(Home::on(&proxy.redis_url()));
    let service = home.serve_with(&["--no-workers"]);
    let halted = halted(&home, &service).await;
    proxy.lose_replies(usize::MAX);
    let problem = halted.finish().await.problem();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(503), &json!("broker-unavailable")), "{problem}");
    let group = owed(&home, "withdrawn").await;
    assert_eq!(home.files("uploads").len(), 2, "until the outcome is known, the original stays");
    proxy.lose_replies(0);
    let _worker = home.worker().await;
    until("nothing is left of it", async || {
        ["outbox", "uploads", "outputs"].iter().all(|part| home.files(part).is_empty()).then_some(())
    })
    .await;
    let answer = service.get(&format!("/api/task_status/{group}")).await;
    assert_eq!(answer.problem()["code"], "not-found");
    let next: Value = service.done(images([("a.png", plain_png(9, 9))])).await;
    assert_eq!(next["succeeded"], 1);
}

/// The key stayed refused for ten minutes.
#[tokio::test]
async fn key_of_an_upload_whose_service_was_killed_is_free_within_a_lease() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = swept(home);
        let service = home.serve();
        let key = "Idempotency-Key: order-7\r\n";
        let _halted = service.halted_upload(key, &plain_png(9, 9)).await;
        until("it is being received", async || (!home.files("uploads").is_empty()).then_some(())).await;
        let other = service.halted_upload(key, &plain_png(9, 9)).await.finish().await;
        assert_eq!((other.status, &other.problem()["code"]), (409, &json!("idempotency-key-in-use")));
        service.process.kill();

        let service = home.serve();
        let accepted = until("the key is free", async || {
            let answer = service.halted_upload(key, &plain_png(9, 9)).await.finish().await;
            (answer.status != 409).then_some(answer)
        })
        .await;
        assert_eq!(accepted.status, 202, "{}", accepted.text());
        assert_eq!(service.finished(id(&accepted.json())).await["succeeded"], 1);
        let again = service.halted_upload(key, &plain_png(9, 9)).await.finish().await;
        assert_eq!(again.json(), accepted.json());
    }
}

#[tokio::test]
async fn full_queue_refuses_an_upload_and_keeps_nothing_of_it() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = home.set("queue.cap", "1");
        let service = home.serve_with(&["--no-workers"]);
        let problem = service.refused(images([("a.png", plain_png(9, 9)), ("b.png", plain_png(9, 9))])).await;
        assert_eq!((&problem["status"], &problem["code"]), (&json!(503), &json!("queue-full")), "{problem}");
        home.is_left_empty().await;
        assert_eq!(home.files("outbox").len(), 0);
    }
}
