//! Brokers that say nothing any more, and clients that hear nothing: work goes on when it can.

use rustix::process::Signal;

use super::{QUEUE, all_is_well, gated_group, patient, stands_at, talkative};
use crate::support::client::{id, images};
use crate::support::gate::Gate;
use crate::support::pictures::plain_png;
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;
use crate::support::service::Home;
use crate::support::until;

#[tokio::test]
async fn frozen_redis_is_used_again_when_it_wakes_up() {
    let redis = RedisServer::start(&[]);
    let home = patient(talkative(Home::on(&redis.url())));
    let service = home.serve();
    let (group, gates) = gated_group(&home, &service, 6, 1..3).await;
    stands_at(&home, 4, 1).await;
    redis.signal(Signal::STOP);
    gates.into_iter().for_each(Gate::open);
    // Past the timeout of a call.
    service.process.says("holding their results").await;
    redis.signal(Signal::CONT);
    all_is_well(&home, &service, &group, 6).await;
    // Past the timeout of a worker that waits for work.
    let waits = || service.process.log().matches("cannot wait for work").count();
    let before = waits();
    redis.signal(Signal::STOP);
    until("a wait is given up", async || (waits() > before).then_some(())).await;
    redis.signal(Signal::CONT);
    until("the service is ready again", async || (service.get("/readyz").await.status == 200).then_some(())).await;
    assert_eq!(service.done(images([("a.png", plain_png(9, 9))])).await["succeeded"], 1);
}

/// The connections stand, and nothing comes through them: as behind a firewall that has forgotten them.
#[tokio::test(flavor = "multi_thread")]
async fn worker_whose_connections_have_gone_deaf_builds_new_ones() {
    let redis = RedisServer::start(&[]);
    let proxy = Proxy::before(redis.port()).await;
    let home = patient(Home::on(&redis.url()));
    let service = home.serve_with(&["--no-workers"]);
    let worker = Home::at(home.folder()).using(&proxy.redis_url());
    let _worker = patient(talkative(worker)).worker().await;
    assert_eq!(service.done(images([("a.png", plain_png(9, 9))])).await["succeeded"], 1);
    // While it is idle, and while it is at work.
    proxy.deafen();
    assert_eq!(service.done(images([("b.png", plain_png(9, 9))])).await["succeeded"], 1);
    let (group, gates) = gated_group(&home, &service, 6, 1..3).await;
    stands_at(&home, 4, 1).await;
    proxy.deafen();
    gates.into_iter().for_each(Gate::open);
    all_is_well(&home, &service, &group, 6).await;
}

#[tokio::test]
async fn worker_that_sees_work_and_gets_none_connects_anew_and_says_so() {
    let redis = RedisServer::start(&[]);
    let home = patient(talkative(Home::on(&redis.url())));
    let service = home.serve_with(&["--no-workers"]);
    let accepted = service.upload(images([("a.png", plain_png(9, 9))])).await;
    // The queue's depth tells of a job that no claim finds.
    let line = format!("{{pixmill}}:q:{QUEUE}:cpu:5");
    redis.order(&format!("RENAME {line} hidden")).await;
    let service = home.serve();
    service.process.says("1 jobs wait, and claims bring none: connecting anew").await;
    until("it says so", async || {
        let ready = service.get("/readyz").await;
        (ready.status == 503).then(|| assert_eq!(ready.problem()["code"], "worker-deaf"))
    })
    .await;
    redis.order(&format!("RENAME hidden {line}")).await;
    assert_eq!(service.finished(id(&accepted)).await["succeeded"], 1);
    service.process.says("claims bring jobs again").await;
    until("the service is ready again", async || (service.get("/readyz").await.status == 200).then_some(())).await;
}
