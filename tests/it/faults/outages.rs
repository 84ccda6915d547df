//! Redis that is gone: at the start, and in the middle of uploads and work.

use std::time::{Duration, Instant};

use super::{all_are_done, hasty, upload};
use crate::support::client::{Client, images};
use crate::support::pictures::photo;
use crate::support::redis::RedisServer;
use crate::support::service::Home;
use crate::support::until;

#[tokio::test]
async fn start_without_redis_is_given_up_naming_the_url_without_its_password() {
    // Bound and dropped: a port on which nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let home = Home::on(&format!("redis://:geheim@127.0.0.1:{port}/0"));
    let started = Instant::now();
    let (status, _, log) = home.start(&["serve", "--listen", "127.0.0.1:0"]).ends().await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(started.elapsed() > Duration::from_secs(9), "Redis is waited for");
    assert!(log.contains(&format!("127.0.0.1:{port}")) && log.contains("broker.redis"), "{log}");
    assert!(!log.contains("geheim"), "{log}");
}

async fn readiness(client: &Client, status: u16) {
    until(&format!("readyz answers {status}"), async || (client.get("/readyz").await.status == status).then_some(()))
        .await;
}

#[tokio::test]
async fn uploads_are_refused_while_redis_is_gone_and_taken_when_it_is_back() {
    let redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let home = Home::on(&redis.url());
    let service = home.serve();
    redis.down();

    let refused = service.post(images([("cat.jpg", photo())])).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.problem()["code"], "broker-unavailable");
    assert_eq!(refused.header("retry-after"), "5");
    readiness(&service, 503).await;
    assert_eq!(service.get("/healthz").await.status, 200);
    home.is_left_empty().await;

    redis.up();
    readiness(&service, 200).await;
    assert_eq!(service.done(images([("cat.jpg", photo())])).await["status"], "completed");
}

#[tokio::test]
async fn results_are_held_while_redis_is_gone() {
    let redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let home = hasty(Home::on(&redis.url()));
    let service = home.serve();
    let group = upload(&service, 16).await;
    until("work has begun", async || (service.status(&group).await["done"].as_u64()? >= 1).then_some(())).await;
    redis.down();
    service.process.says("cannot settle").await;
    redis.up();
    all_are_done(&service, &group, 16).await;
}
