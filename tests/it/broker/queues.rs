use std::time::{Duration, Instant};

use queue::{ClaimRequest, Class, Error, NewJob, QueueDepth, State};

use super::world::{
    HOUR, LONG, QUEUE, World, after, ask, delayed, grouped, ids, ids_of, in_queue, job, jobs, retry, soon,
};

pub use super::world::policy;

async fn depths(world: &World) -> Vec<QueueDepth> {
    world.broker.depths().await.unwrap()
}

pub async fn paused_queue_gives_no_jobs_until_resumed(world: World) {
    let (_, jobs) = world.enqueue(vec![job(), in_queue("other"), job()]).await;
    let both = |sequence| ClaimRequest { queues: vec![QUEUE.into(), "other".into()], ..ask("a", sequence, 9) };
    world.broker.pause(QUEUE).await.unwrap();
    world.broker.pause(QUEUE).await.unwrap();

    assert_eq!(ids(&world.claim_all(&both(1)).await.jobs), [jobs[1].id]);

    let paused: Vec<_> = depths(&world).await.into_iter().map(|depth| (depth.queue, depth.paused)).collect();
    assert_eq!(paused, [(QUEUE.to_owned(), true), ("other".to_owned(), false)]);
    let (_, more) = world.enqueue(vec![job()]).await;
    assert!(world.claim_all(&both(2)).await.jobs.is_empty());
    world.broker.resume(QUEUE).await.unwrap();
    world.broker.resume(QUEUE).await.unwrap();
    assert_eq!(ids(&world.claim_all(&both(3)).await.jobs), [jobs[0].id, jobs[2].id, more[0].id]);
    assert!(depths(&world).await.iter().all(|depth| !depth.paused));
}

pub async fn paused_queue_still_promotes_recovers_and_settles(world: World) {
    let (_, jobs) = world.enqueue(vec![job(), job(), delayed(HOUR)]).await;
    let claimed = world.claim("a", 1, 2).await;
    world.broker.pause(QUEUE).await.unwrap();
    assert_eq!(ids(&world.claim("a", 1, 2).await), ids_of(&jobs[..2]), "the answer of before is said again");
    world.settle(&claimed[0].lease, retry(HOUR)).await;
    assert_eq!(world.depth(QUEUE).await, (0, 2, 1));
    world.clock.advance(HOUR);

    assert!(world.claim("a", 2, 9).await.is_empty());

    assert_eq!(world.depth(QUEUE).await, (3, 0, 0));
    world.broker.resume(QUEUE).await.unwrap();
    assert_eq!(world.claim("a", 3, 9).await.len(), 3);
}

pub async fn queue_is_paused_before_its_first_job(world: World) {
    world.broker.pause("future").await.unwrap();

    let expected = QueueDepth { queue: "future".into(), waiting: 0, delayed: 0, active: 0, paused: true };
    assert_eq!(depths(&world).await, [expected]);

    world.enqueue(vec![in_queue("future")]).await;
    let request = |sequence| ClaimRequest { queues: vec!["future".into()], ..ask("a", sequence, 9) };
    assert!(world.claim_all(&request(1)).await.jobs.is_empty());
    world.broker.resume("future").await.unwrap();
    assert_eq!(world.claim_all(&request(2)).await.jobs.len(), 1);
}

pub async fn wait_does_not_return_for_a_paused_queue(world: World) {
    let queues = [QUEUE.to_owned()];
    world.broker.pause(QUEUE).await.unwrap();
    world.enqueue(jobs(2)).await;
    world.claim("a", 1, 1).await;
    // What was posted before may wake once.
    world.broker.wait(&queues, Class::Cpu, Duration::from_millis(150)).await.unwrap();
    let began = Instant::now();

    world.broker.wait(&queues, Class::Cpu, Duration::from_millis(300)).await.unwrap();

    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
}

pub async fn resuming_wakes_idle_workers(world: World) {
    world.broker.pause(QUEUE).await.unwrap();
    world.enqueue(jobs(1)).await;
    let idle = world.another().await;
    let queues = [QUEUE.to_owned()];
    idle.wait(&queues, Class::Cpu, Duration::from_millis(150)).await.unwrap();

    let (woken, resumed) = tokio::join!(soon(idle.wait(&queues, Class::Cpu, LONG)), world.broker.resume(QUEUE));

    woken.and(resumed).unwrap();
    assert_eq!(world.claim("a", 1, 9).await.len(), 1);
}

pub async fn purge_cancels_what_waits_is_delayed_or_held(world: World) {
    let first = job();
    let crossing = NewJob { queue: "other".into(), ..after(&first) };
    let (group, _) = world.enqueue(vec![job(), first, crossing, delayed(HOUR), in_queue("other"), job()]).await;
    let claimed = world.claim("a", 1, 1).await;
    let elsewhere = in_queue("other");
    let (_, held) = world.enqueue(vec![elsewhere.clone(), after(&elsewhere)]).await;

    assert_eq!(world.broker.purge(QUEUE).await.unwrap(), 5, "the follower in another queue too");
    assert_eq!(world.broker.purge(QUEUE).await.unwrap(), 0);

    let kept = world.group(group.id).await;
    assert_eq!((kept.cancelled, kept.pending, kept.cancelling), (4, 2, false));
    assert_eq!(world.job(claimed[0].lease.job).await.state, State::Active);
    assert!(!world.job(claimed[0].lease.job).await.cancelling);
    assert_eq!(world.job(held[1].id).await.state, State::Cancelled);
    assert_eq!((world.depth(QUEUE).await, world.depth("other").await), ((0, 0, 1), (2, 0, 0)));
    assert_eq!(world.broker.purge("nowhere").await.unwrap(), 0);
}

pub async fn long_paused_queue_is_purged(world: World) {
    world.broker.pause(QUEUE).await.unwrap();
    let (group, _) = world.enqueue([jobs(1_500), (0..1_000).map(|_| delayed(HOUR)).collect()].concat()).await;
    let io = NewJob { class: Class::Io, priority: 1, ..job() };
    world.enqueue(vec![NewJob { priority: 10, ..job() }, io]).await;

    assert_eq!(world.broker.purge(QUEUE).await.unwrap(), 2_502);

    assert_eq!(world.depth(QUEUE).await, (0, 0, 0));
    assert!(world.group(group.id).await.finished_at.is_some());
    assert!(depths(&world).await[0].paused, "what is paused stays paused");
}

pub async fn names_that_are_no_words_are_refused(world: World) {
    for name in ["", "a:b", "a b", "ü", &"x".repeat(129)] {
        for refused in
            [world.broker.pause(name).await, world.broker.resume(name).await, world.broker.purge(name).await.map(drop)]
        {
            assert!(matches!(refused, Err(Error::Invalid(_))), "{name}: {refused:?}");
        }
    }
    let (group, jobs) = grouped(vec![in_queue("a b")]);
    assert!(matches!(world.broker.enqueue(&group, &jobs).await, Err(Error::Invalid(_))));
    assert_eq!(depths(&world).await, []);
}
