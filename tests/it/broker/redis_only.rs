//! What only Redis can suffer: lost scripts, cut connections, a server that goes, hangs, fills up or is not fit.

use std::time::{Duration, Instant};

use pixmill::job::Class;
use pixmill::queue::{Broker, Error, Policy, Settled};

use super::world::{HOUR, QUEUE, World, ask, grouped, ids, ids_of, job, jobs, retry, settlement, succeed};
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;

async fn connect(server: &RedisServer) -> Broker {
    Broker::connect_redis(&server.url(), "pixmill", Policy::default()).await.unwrap()
}

async fn run(server: &RedisServer, command: &[&str]) -> redis::Value {
    redis::cmd(command[0]).arg(&command[1..]).query_async(&mut server.operator().await).await.unwrap()
}

/// A call to a server that is gone or hangs ends with an error, and soon.
async fn assert_unavailable(broker: &Broker) {
    let began = Instant::now();
    let refused = broker.claim(&ask("a", 99, 1)).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn forgotten_scripts_are_loaded_again() {
    let server = RedisServer::start(&[]);
    let broker = connect(&server).await;
    let (group, jobs) = grouped(jobs(2));
    run(&server, &["SCRIPT", "FLUSH"]).await;
    broker.enqueue(&group, &jobs).await.unwrap();
    let claimed = broker.claim(&ask("a", 1, 1)).await.unwrap().jobs;
    run(&server, &["SCRIPT", "FLUSH"]).await;

    let (settled, claim) = broker.settle(&[settlement(&claimed[0], succeed())], Some(&ask("a", 2, 1))).await.unwrap();

    assert_eq!((settled, ids(&claim.unwrap().jobs)), (vec![Settled::Committed], ids_of(&jobs[1..])));
}

#[tokio::test]
async fn cut_connections_are_built_anew() {
    let server = RedisServer::start(&[]);
    let broker = connect(&server).await;
    let clone = broker.clone();
    broker.ping().await.unwrap();

    run(&server, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;

    let (group, jobs) = grouped(jobs(1));
    broker.enqueue(&group, &jobs).await.unwrap();
    assert_eq!(clone.claim(&ask("a", 1, 1)).await.unwrap().jobs.len(), 1);
}

#[tokio::test]
async fn cut_wait_tells_and_the_next_one_works() {
    let server = RedisServer::start(&[]);
    let broker = connect(&server).await;
    let queues = vec![QUEUE.to_owned()];
    let idle = broker.clone();
    let names = queues.clone();
    let waits = tokio::spawn(async move { idle.wait(&names, Class::Cpu, Duration::from_secs(30)).await });
    while !format!("{:?}", run(&server, &["CLIENT", "LIST"]).await).contains("blpop") {
        tokio::task::yield_now().await;
    }

    run(&server, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;

    assert!(matches!(waits.await.unwrap(), Err(Error::Unavailable(_))));
    let (group, jobs) = grouped(jobs(1));
    broker.enqueue(&group, &jobs).await.unwrap();
    broker.wait(&queues, Class::Cpu, Duration::from_secs(30)).await.unwrap();
}

#[tokio::test]
async fn killed_server_is_unavailable_and_comes_back_with_its_jobs() {
    let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let broker = connect(&server).await;
    let (group, jobs) = grouped(jobs(3));
    broker.enqueue(&group, &jobs).await.unwrap();
    let claimed = broker.claim(&ask("a", 1, 1)).await.unwrap().jobs;

    server.down();
    assert_unavailable(&broker).await;
    server.up();

    let (settled, claim) = broker.settle(&[settlement(&claimed[0], succeed())], Some(&ask("a", 2, 9))).await.unwrap();
    assert_eq!((settled, ids(&claim.unwrap().jobs)), (vec![Settled::Committed], ids_of(&jobs[1..])));
    assert_eq!(broker.group(group.id).await.unwrap().unwrap().succeeded, 1);
}

#[tokio::test]
async fn hanging_server_is_unavailable_and_its_late_answers_confuse_nobody() {
    let server = RedisServer::start(&[]);
    let broker = connect(&server).await;
    let (group, jobs) = grouped(jobs(3));
    broker.enqueue(&group, &jobs).await.unwrap();

    server.signal(rustix::process::Signal::STOP);
    let refused = broker.claim(&ask("a", 1, 2)).await;
    server.signal(rustix::process::Signal::CONT);

    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert_eq!(broker.group(group.id).await.unwrap().unwrap().total, 3);
    // The claim may have happened; its answer is said again.
    assert_eq!(ids(&broker.claim(&ask("a", 1, 2)).await.unwrap().jobs), ids_of(&jobs[..2]));
}

#[tokio::test]
async fn full_memory_refuses_work_and_drains() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]);
    let broker = connect(&server).await;
    let (group, jobs) = grouped(jobs(4));
    broker.enqueue(&group, &jobs).await.unwrap();
    let claimed = broker.claim(&ask("a", 1, 1)).await.unwrap().jobs;
    run(&server, &["CONFIG", "SET", "maxmemory", "1"]).await;

    let (late, work) = grouped(vec![job()]);
    let refused = broker.enqueue(&late, &work).await;

    assert!(matches!(&refused, Err(Error::Full(why)) if why.contains("maxmemory")), "{refused:?}");
    assert_eq!(broker.group(late.id).await.unwrap(), None);
    let (settled, claim) = broker.settle(&[settlement(&claimed[0], succeed())], Some(&ask("a", 2, 2))).await.unwrap();
    let claimed = claim.unwrap().jobs;
    assert_eq!((settled, claimed.len()), (vec![Settled::Committed], 2));
    assert_eq!(broker.beat(&[claimed[0].lease.clone()]).await.unwrap().lost, []);
    broker.release(&[claimed[0].lease.clone()]).await.unwrap();
    run(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    broker.enqueue(&late, &work).await.unwrap();
}

#[tokio::test]
async fn password_is_used_and_never_shown() {
    let server = RedisServer::start(&["--requirepass", "s3cret-word"]);
    let connect = |login: &str| {
        let url = format!("redis://{login}127.0.0.1:{}/", server.port());
        async move { Broker::connect_redis(&url, "pixmill", Policy::default()).await }
    };

    let broker = connect(":s3cret-word@").await.unwrap();
    let wrong = connect(":wrong-word@").await.err().unwrap();
    let none = connect("").await.err().unwrap();
    server.down();
    let gone = broker.ping().await.unwrap_err();

    assert!(matches!(wrong, Error::Invalid(_)) && wrong.to_string().contains("password"), "{wrong}");
    assert!(matches!(none, Error::Invalid(_)), "{none}");
    for shown in [broker.to_string(), wrong.to_string(), none.to_string(), gone.to_string()] {
        assert!(!shown.contains("-word"), "{shown}");
    }
    assert!(broker.to_string().contains(&server.port().to_string()));
    let no_url = Broker::connect_redis("redis//:s3cret-word@x", "p", Policy::default()).await.err().unwrap();
    assert!(matches!(no_url, Error::Invalid(_)) && !no_url.to_string().contains("-word"), "{no_url}");
}

#[tokio::test]
async fn unsafe_settings_are_named() {
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]);
    let broker = connect(&server).await;

    let warnings = broker.warnings().await.unwrap();

    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("appendonly yes") && warnings[1].contains("maxmemory-policy noeviction"));
}

#[tokio::test]
async fn records_of_another_version_are_refused() {
    let server = RedisServer::start(&[]);
    run(&server, &["SET", "{pixmill}:schema", "999"]).await;

    let refused = Broker::connect_redis(&server.url(), "pixmill", Policy::default()).await.err().unwrap();

    assert!(matches!(&refused, Error::Incompatible(why) if why.contains("999") && why.contains('1')), "{refused}");
    Broker::connect_redis(&server.url(), "another", Policy::default()).await.unwrap();
}

#[tokio::test]
async fn prefixes_keep_queues_apart() {
    let world = World::redis(Policy::default()).await;
    let other = World::redis(Policy::default()).await;
    world.enqueue(jobs(1)).await;

    assert!(other.claim("a", 1, 1).await.is_empty());
    assert_eq!(world.claim("a", 1, 1).await.len(), 1);
}

#[tokio::test]
async fn lost_replies_cost_nothing() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::before(server.port()).await;
    let url = format!("redis://127.0.0.1:{}/", proxy.port());
    let broker = Broker::connect_redis(&url, "pixmill", Policy::default()).await.unwrap();
    let (group, jobs) = grouped(jobs(2_500));

    proxy.lose_next_reply();
    broker.enqueue(&group, &jobs).await.unwrap();
    proxy.lose_next_reply();
    let first = broker.claim(&ask("a", 1, 3)).await.unwrap().jobs;
    proxy.lose_next_reply();
    broker.release(&[first[2].lease.clone()]).await.unwrap();
    proxy.lose_next_reply();
    let beat = broker.beat(&[first[0].lease.clone(), first[1].lease.clone()]).await.unwrap();
    proxy.lose_next_reply();
    let ends = [settlement(&first[0], succeed()), settlement(&first[1], retry(HOUR))];
    let (settled, claim) = broker.settle(&ends, Some(&ask("a", 2, 2))).await.unwrap();
    proxy.lose_next_reply();
    let kept = broker.group(group.id).await.unwrap().unwrap();

    assert_eq!(proxy.lost(), 6);
    assert_eq!((ids(&first), beat.lost), (ids_of(&jobs[..3]), vec![]));
    assert_eq!(settled, [Settled::Committed; 2]);
    assert_eq!(ids(&claim.unwrap().jobs), ids_of(&jobs[2..4]));
    assert_eq!((kept.total, kept.pending, kept.succeeded, kept.sealed), (2_500, 2_499, 1, true));
    let depth = &broker.depths().await.unwrap()[0];
    assert_eq!((depth.waiting, depth.delayed, depth.active), (2_496, 1, 2));
}
