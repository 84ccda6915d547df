//! What only Redis can suffer: lost scripts, cut connections, a server that goes, hangs, fills up or is not fit.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use queue::{
    Broker, Class, Clock, Error, EventKind, GroupFilter, GroupId, IdempotencyKey, JobFilter, JobId, JobList, NewGroup,
    NewJob, On, Reservation, Settled, State, Then, Verdict,
};

use super::world::{
    HOUR, LONG, QUEUE, World, ask, delayed, fail, grouped, ids, ids_of, in_queue, job, jobs, policy, priority, retry,
    settlement, soon, succeed,
};
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;
use crate::support::until;

async fn connect(server: &RedisServer) -> Broker {
    Broker::connect_redis(&server.url(), "pixmill", policy()).await.unwrap()
}

/// An order whose words may have spaces.
async fn run(server: &RedisServer, command: &[&str]) -> redis::Value {
    redis::cmd(command[0]).arg(&command[1..]).query_async(&mut server.operator().await).await.unwrap()
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
    let waits = tokio::spawn(async move { idle.wait(&names, Class::Cpu, LONG).await });
    until("it waits", async || {
        format!("{:?}", run(&server, &["CLIENT", "LIST"]).await).contains("blpop").then_some(())
    })
    .await;

    run(&server, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;

    assert!(matches!(soon(waits).await.unwrap(), Err(Error::Unavailable(_))));
    let (group, jobs) = grouped(jobs(1));
    broker.enqueue(&group, &jobs).await.unwrap();
    soon(broker.wait(&queues, Class::Cpu, LONG)).await.unwrap();
}

#[tokio::test]
async fn killed_server_is_unavailable_and_comes_back_with_its_jobs() {
    let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let broker = connect(&server).await;
    let (group, jobs) = grouped(jobs(3));
    broker.enqueue(&group, &jobs).await.unwrap();
    let claimed = broker.claim(&ask("a", 1, 1)).await.unwrap().jobs;

    server.down();
    let refused = soon(broker.claim(&ask("a", 99, 1))).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
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
    let refused = soon(broker.claim(&ask("a", 1, 2))).await;
    server.signal(rustix::process::Signal::CONT);

    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert_eq!(broker.group(group.id).await.unwrap().unwrap().total, 3);
    // The claim may have happened; its answer is said again.
    assert_eq!(ids(&broker.claim(&ask("a", 1, 2)).await.unwrap().jobs), ids_of(&jobs[..2]));
}

#[tokio::test]
async fn deaf_wait_is_noticed_and_the_next_one_works() {
    let server = RedisServer::start(&[]);
    let broker = connect(&server).await;
    let queues = vec![QUEUE.to_owned()];
    // Leaves a connection that the next wait takes.
    broker.wait(&queues, Class::Cpu, Duration::from_millis(1)).await.unwrap();

    server.signal(rustix::process::Signal::STOP);
    let both = futures::future::join(
        broker.wait(&queues, Class::Cpu, Duration::from_millis(100)),
        broker.collect("a", Duration::from_millis(100)),
    );
    let (waited, collected) = soon(both).await;
    server.signal(rustix::process::Signal::CONT);

    assert!(matches!(waited, Err(Error::Unavailable(_))), "{waited:?}");
    assert!(matches!(collected, Err(Error::Unavailable(_))), "{collected:?}");
    broker.post("a", b"letter").await.unwrap();
    let (group, jobs) = grouped(jobs(1));
    broker.enqueue(&group, &jobs).await.unwrap();
    soon(broker.wait(&queues, Class::Cpu, LONG)).await.unwrap();
    assert_eq!(soon(broker.collect("a", LONG)).await.unwrap(), [&b"letter"[..]]);
}

#[tokio::test]
async fn cancel_that_its_caller_gave_up_is_completed_by_claims() {
    let world = World::redis(policy()).await;
    let (group, _) = world.enqueue(jobs(2_500)).await;
    world.broker.ping().await.unwrap();
    let other = world.another().await;
    let mut cancel = Box::pin(world.broker.cancel_group(group.id));
    // Looked at once, it asks for the first of three chunks.
    assert!(futures::poll!(&mut cancel).is_pending());
    until("it has", async || other.group(group.id).await.unwrap().unwrap().cancelling.then_some(())).await;
    drop(cancel);

    let claim = world.claim_all(&ask("a", 1, 9)).await;

    assert_eq!(ids(&claim.jobs), [], "a job of a cancelled group runs");
    assert_eq!(claim.next_due, Some(Duration::ZERO), "nobody comes back for the rest");
    world.broker.pause(QUEUE).await.unwrap();
    world.claim("a", 2, 0).await;
    let kept = world.group(group.id).await;
    assert_eq!((kept.cancelled, kept.finished_at.is_some()), (2_500, true));
    assert_eq!(world.broker.cancel_group(group.id).await.unwrap(), Some(0));
}

#[tokio::test]
async fn cancelled_jobs_leave_no_ids_in_line() {
    let server = RedisServer::start(&[]);
    let broker = connect(&server).await;
    let (group, jobs) = grouped(vec![job(), priority(9), job()]);
    broker.enqueue(&group, &jobs).await.unwrap();
    broker.pause(QUEUE).await.unwrap();

    broker.cancel_job(jobs[0].id).await.unwrap();
    broker.cancel_job(jobs[1].id).await.unwrap();
    assert_ne!(run(&server, &["KEYS", "*:q:*"]).await, redis::Value::Array(vec![]));
    broker.cancel_job(jobs[2].id).await.unwrap();

    assert_eq!(run(&server, &["KEYS", "*:q:*"]).await, redis::Value::Array(vec![]));
}

#[tokio::test]
async fn deleted_records_hold_up_no_other_job() {
    let server = RedisServer::start(&[]);
    let clock = Clock::default();
    let policy = policy();
    let broker = Broker::connect_redis_at(&server.url(), "pixmill", policy.clone(), clock.clone()).await.unwrap();
    let (group, jobs) = grouped(vec![job(), job(), delayed(Duration::from_secs(1)), job()]);
    broker.enqueue(&group, &jobs).await.unwrap();
    broker.claim(&ask("a", 1, 1)).await.unwrap();
    for gone in &jobs[..3] {
        run(&server, &["DEL", &format!("{{pixmill}}:j:{}", gone.id)]).await;
    }
    clock.advance(policy.lease);

    let claimed = broker.claim(&ask("a", 2, 9)).await.unwrap();

    assert_eq!(ids(&claimed.jobs), [jobs[3].id]);
    assert!(claimed.next_due > Some(Duration::ZERO), "it is tried again for ever");
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
    broker.release(&[claimed[0].lease.clone()], None).await.unwrap();
    run(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    broker.enqueue(&late, &work).await.unwrap();
}

#[tokio::test]
async fn full_memory_obeys_orders() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]);
    let broker = connect(&server).await;
    let (old, none) = grouped(vec![]);
    let (group, jobs) = grouped(jobs(4));
    broker.enqueue(&old, &none).await.unwrap();
    broker.enqueue(&group, &jobs).await.unwrap();
    broker.post("a", b"letter").await.unwrap();
    broker.reserve("key", group.id).await.unwrap();
    let claimed = broker.claim(&ask("a", 1, 1)).await.unwrap().jobs;
    run(&server, &["CONFIG", "SET", "maxmemory", "1"]).await;

    for refused in [broker.post("a", b"another").await, broker.reserve("other", group.id).await.map(drop)] {
        assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
    }
    assert_eq!(broker.collect("a", Duration::ZERO).await.unwrap(), [&b"letter"[..]]);
    broker.unreserve("key", group.id).await.unwrap();
    broker.report("a", b"here").await.unwrap();
    assert_eq!(broker.workers().await.unwrap().len(), 1);
    broker.pause(QUEUE).await.unwrap();
    broker.resume(QUEUE).await.unwrap();
    assert_eq!(broker.cancel_job(jobs[1].id).await.unwrap(), Some(State::Cancelled));
    assert_eq!(broker.purge(QUEUE).await.unwrap(), 2);
    assert_eq!(broker.cancel_group(group.id).await.unwrap(), Some(0));
    assert_eq!(broker.beat(&[claimed[0].lease.clone()]).await.unwrap().cancelled, [jobs[0].id]);
    broker.settle(&[settlement(&claimed[0], Verdict::Cancel)], None).await.unwrap();
    assert!(broker.group(group.id).await.unwrap().unwrap().finished_at.is_some());
    assert!(broker.remove_group(old.id).await.unwrap());
    assert!(broker.remove_group(group.id).await.unwrap());
}

#[tokio::test]
async fn password_is_used_and_never_shown() {
    let server = RedisServer::start(&["--requirepass", "s3cret-word"]);
    let connect = |login: &str| {
        let url = format!("redis://{login}127.0.0.1:{}/", server.port());
        async move { Broker::connect_redis(&url, "pixmill", policy()).await }
    };

    let broker = connect(":s3cret-word@").await.unwrap();
    let wrong = connect(":wrong-word@").await.err().unwrap();
    let none = connect("").await.err().unwrap();
    server.down();
    let gone = broker.ping().await.unwrap_err();

    assert!(matches!(wrong, Error::Refused(_)) && wrong.to_string().contains("password"), "{wrong}");
    assert!(matches!(none, Error::Refused(_)), "{none}");
    for shown in [broker.to_string(), wrong.to_string(), none.to_string(), gone.to_string()] {
        assert!(!shown.contains("-word"), "{shown}");
    }
    assert!(broker.to_string().contains(&server.port().to_string()));
    let no_url = Broker::connect_redis("redis//:s3cret-word@x", "p", policy()).await.err().unwrap();
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

    let refused = Broker::connect_redis(&server.url(), "pixmill", policy()).await.err().unwrap();

    assert!(matches!(&refused, Error::Incompatible(why) if why.contains("999") && why.contains('3')), "{refused}");
    Broker::connect_redis(&server.url(), "another", policy()).await.unwrap();
}

/// What the first version wrote: no index of finished groups and failed jobs, no lists of a group's members.
#[tokio::test]
async fn records_of_the_first_version_are_taken_over() {
    let server = RedisServer::start(&[]);
    let [ended, open] = [(); 2].map(|()| GroupId::new().to_string());
    let [failed, waiting, delayed] = [(); 3].map(|()| JobId::new().to_string());
    let set = async |key: String, fields: &[&str]| {
        run(&server, &[&["HSET", &format!("{{pixmill}}:{key}")], fields].concat()).await;
    };
    run(&server, &["SET", "{pixmill}:schema", "1"]).await;
    let counted = ["meta", "", "created", "1000", "sealed", "1", "succeeded", "0", "cancelled", "0"];
    let result = format!("f{failed}{{}}");
    set(format!("g:{ended}"), &counted).await;
    set(format!("g:{ended}"), &["total", "1", "pending", "0", "failed", "1", "finished", "2000", "r:0", &result]).await;
    set(format!("g:{open}"), &counted).await;
    set(format!("g:{open}"), &["total", "2", "pending", "2", "failed", "0"]).await;
    let place = format!("{QUEUE}:cpu:5");
    let common = ["place", &place, "kind", "image.process", "most", "4", "created", "1000", "payload", "{}"];
    set(format!("j:{failed}"), &[&common[..], &["state", "failed", "group", &ended, "index", "0"]].concat()).await;
    set(format!("j:{failed}"), &["attempt", "1", "runs", "1", "token", "", "committed", " a:1 ", "finished", "2000"])
        .await;
    set(format!("j:{waiting}"), &[&common[..], &["state", "waiting", "group", &open, "index", "0"]].concat()).await;
    set(format!("j:{delayed}"), &[&common[..], &["state", "delayed", "group", &open, "index", "1"]].concat()).await;
    run(&server, &["RPUSH", &format!("{{pixmill}}:q:{place}"), &waiting]).await;
    run(&server, &["ZADD", "{pixmill}:delayed", "3000", &delayed]).await;
    set("queues".into(), &[&format!("{QUEUE}:cpu:waiting"), "1", &format!("{QUEUE}:cpu:delayed"), "1"]).await;

    let broker = connect(&server).await;

    let (ended, open): (GroupId, GroupId) = (ended.parse().unwrap(), open.parse().unwrap());
    assert_eq!(run(&server, &["GET", "{pixmill}:schema"]).await, redis::Value::BulkString(b"3".into()));
    let listed = broker.groups(&GroupFilter::default(), None, 9).await.unwrap().entries;
    assert_eq!(listed.len(), 2);
    assert_eq!(broker.jobs(&JobFilter::default(), None, 9).await.unwrap().entries, [], "their members are not known");
    let dead = broker.list(JobList::Dead, 0, 9).await.unwrap();
    assert_eq!(dead.iter().map(|dead| dead.job.to_string()).collect::<Vec<_>>(), [failed]);
    assert_eq!(broker.finished_groups(HOUR, 0, 9).await.unwrap(), [ended]);
    assert!(broker.remove_group(ended).await.unwrap());
    assert_eq!(broker.list(JobList::Dead, 0, 9).await.unwrap(), []);
    assert_eq!(broker.job(waiting.parse().unwrap()).await.unwrap().unwrap().state, State::Waiting);
    // Its members cannot be walked, but none of them runs any more.
    assert_eq!(broker.cancel_group(open).await.unwrap(), Some(0));
    assert_eq!(ids(&broker.claim(&ask("a", 1, 9)).await.unwrap().jobs), []);
    let kept = broker.group(open).await.unwrap().unwrap();
    assert_eq!((kept.cancelled, kept.finished_at.is_some()), (2, true));
    assert_eq!(run(&server, &["EXISTS", "{pixmill}:cancels"]).await, redis::Value::Int(0));
}

/// What the second version wrote: no index of all groups.
#[tokio::test]
async fn records_of_the_second_version_are_taken_over() {
    let server = RedisServer::start(&[]);
    let broker = connect(&server).await;
    let (group, before) = grouped(jobs(2));
    broker.enqueue(&group, &before).await.unwrap();
    let claimed = broker.claim(&ask("a", 1, 1)).await.unwrap().jobs;
    broker.settle(&[settlement(&claimed[0], fail())], None).await.unwrap();
    let copy = NewJob { retry_of: Some(before[0].id), ..job() };
    let (again, copies) = grouped(vec![copy]);
    broker.enqueue(&again, &copies).await.unwrap();
    run(&server, &["DEL", "{pixmill}:groups"]).await;
    run(&server, &["SET", "{pixmill}:schema", "2"]).await;

    let broker = connect(&server).await;

    let listed = broker.groups(&GroupFilter::default(), None, 9).await.unwrap().entries;
    assert_eq!(listed.iter().map(|group| group.id).collect::<HashSet<_>>(), HashSet::from([group.id, again.id]));
    assert_eq!(broker.jobs(&JobFilter::default(), None, 9).await.unwrap().entries.len(), 3);
    assert_eq!(broker.list(JobList::Dead, 0, 9).await.unwrap(), [], "what was tried again is dead no more");
    assert_eq!(run(&server, &["GET", "{pixmill}:schema"]).await, redis::Value::BulkString(b"3".into()));
}

#[tokio::test]
async fn prefixes_keep_queues_apart() {
    let world = World::redis(policy()).await;
    let other = World::redis(policy()).await;
    world.enqueue(jobs(1)).await;

    assert!(other.claim("a", 1, 1).await.is_empty());
    assert_eq!(world.claim("a", 1, 1).await.len(), 1);
}

#[tokio::test]
async fn lost_replies_cost_nothing() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::before(server.port()).await;
    let broker = Broker::connect_redis(&proxy.redis_url(), "pixmill", policy()).await.unwrap();
    let (group, jobs) = grouped(jobs(2_500));

    proxy.lose_next_reply();
    broker.enqueue(&group, &jobs).await.unwrap();
    proxy.lose_next_reply();
    let first = broker.claim(&ask("a", 1, 3)).await.unwrap().jobs;
    proxy.lose_next_reply();
    broker.release(&[first[2].lease.clone()], None).await.unwrap();
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

#[tokio::test]
async fn lost_replies_to_orders_cost_nothing() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::before(server.port()).await;
    let broker = Broker::connect_redis(&proxy.redis_url(), "pixmill", policy()).await.unwrap();
    let (group, jobs) = grouped(vec![job(), job(), job(), in_queue("other")]);
    let key = IdempotencyKey { name: "key".into(), fingerprint: Bytes::from_static(b"print"), memory: None };
    let then = Then { on: On::Always, group: GroupId::new(), job: job() };
    let group = NewGroup { key: Some(key.clone()), then: Some(then.clone()), ..group };

    proxy.lose_next_reply();
    assert_eq!(broker.reserve(&key.name, group.id).await.unwrap(), Reservation::Granted);
    proxy.lose_next_reply();
    broker.enqueue(&group, &jobs).await.unwrap();
    let claimed = broker.claim(&ask("a", 1, 2)).await.unwrap().jobs;
    proxy.lose_next_reply();
    let crash = [settlement(&claimed[1], Verdict::Crash { alone: true })];
    assert_eq!(broker.settle(&crash, None).await.unwrap().0, [Settled::Committed]);
    assert_eq!(broker.job(jobs[1].id).await.unwrap().unwrap().stalls, 1, "one death counts once");
    proxy.lose_next_reply();
    assert_eq!(broker.cancel_job(jobs[2].id).await.unwrap(), Some(State::Cancelled));
    proxy.lose_next_reply();
    broker.pause("other").await.unwrap();
    proxy.lose_next_reply();
    broker.purge("other").await.unwrap();
    proxy.lose_next_reply();
    assert!(broker.cancel_group(group.id).await.unwrap().is_some());
    proxy.lose_next_reply();
    let cancelled = [settlement(&claimed[0], Verdict::Cancel)];
    assert_eq!(broker.settle(&cancelled, None).await.unwrap().0, [Settled::Committed]);
    proxy.lose_next_reply();
    broker.post("a", b"letter").await.unwrap();
    proxy.lose_next_reply();
    assert_eq!(broker.collect("a", Duration::ZERO).await.unwrap(), [&b"letter"[..]]);
    assert_eq!(broker.collect("a", Duration::ZERO).await.unwrap(), [] as [Bytes; 0]);
    let kept = broker.group(group.id).await.unwrap().unwrap();
    proxy.lose_next_reply();
    assert!(broker.remove_group(group.id).await.unwrap());

    assert_eq!(proxy.lost(), 11);
    assert_eq!((kept.cancelled, kept.pending, kept.fired), (4, 0, true));
    let fired = broker.events(None, 99).await.unwrap().into_iter().filter(|event| event.kind == EventKind::Fired);
    assert_eq!(fired.count(), 1);
    assert_eq!(broker.group(then.group).await.unwrap().unwrap().total, 1);
}
