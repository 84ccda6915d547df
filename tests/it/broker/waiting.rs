use std::time::{Duration, Instant};

use queue::Class;

use super::world::{HOUR, LONG, QUEUE, World, ask, delayed, in_queue, job, jobs, retry, soon};

pub use super::world::policy;

fn queues() -> Vec<String> {
    vec!["first".into(), QUEUE.into()]
}

pub async fn wait_returns_at_once_when_work_is_there(world: World) {
    world.enqueue(vec![job()]).await;

    soon(world.broker.wait(&queues(), Class::Cpu, LONG)).await.unwrap();

    assert_eq!(world.claim("a", 1, 1).await.len(), 1, "waiting holds no job");
}

pub async fn wait_returns_when_another_connection_enqueues(world: World) {
    let idle = world.another().await;
    let woken = tokio::spawn(async move { idle.wait(&queues(), Class::Cpu, LONG).await });

    world.enqueue(vec![job()]).await;

    soon(woken).await.unwrap().unwrap();
}

pub async fn wait_returns_for_an_earlier_retry(world: World) {
    world.enqueue([jobs(50), vec![delayed(HOUR)]].concat()).await;
    let claimed = world.claim("a", 1, 50).await;
    // What the enqueue posted is used up: only a retry can wake.
    while idle_for(&world, Duration::from_millis(150)).await.is_err() {}
    let idle = world.another().await;
    let queues = queues();
    let mut waits = std::pin::pin!(idle.wait(&queues, Class::Cpu, LONG));

    // A waiter that has yet to look takes the first of them for the present state, but the next one wakes it.
    for (earlier, job) in (1..).zip(&claimed) {
        world.settle(&job.lease, retry(HOUR - Duration::from_secs(earlier))).await;
        if let Ok(woken) = tokio::time::timeout(Duration::from_millis(100), &mut waits).await {
            return woken.unwrap();
        }
    }
    soon(waits).await.unwrap();
}

/// Fails where `wait` returned before its time.
async fn idle_for(world: &World, time: Duration) -> Result<(), ()> {
    let began = Instant::now();
    world.broker.wait(&queues(), Class::Cpu, time).await.unwrap();
    if began.elapsed() < time { Err(()) } else { Ok(()) }
}

pub async fn wait_returns_after_its_timeout(world: World) {
    world.enqueue(vec![in_queue("elsewhere")]).await;
    let began = Instant::now();

    soon(world.broker.wait(&queues(), Class::Cpu, Duration::from_millis(300))).await.unwrap();

    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
}

pub async fn every_idle_worker_wakes_for_its_share(world: World) {
    let idle = (0..3).map(|worker| {
        let world = &world;
        async move {
            let broker = world.another().await;
            let mut sequence = 0;
            loop {
                broker.wait(&queues(), Class::Cpu, LONG).await.unwrap();
                sequence += 1;
                let claim = broker.claim(&ask(&format!("worker-{worker}"), sequence, 1)).await.unwrap();
                if !claim.jobs.is_empty() {
                    return;
                }
            }
        }
    });

    tokio::join!(soon(futures::future::join_all(idle)), world.enqueue(jobs(3)));

    assert_eq!(world.depth(QUEUE).await, (0, 0, 3));
}

pub async fn ping_and_depths_answer(world: World) {
    world.broker.ping().await.unwrap();
    assert_eq!(world.broker.depths().await.unwrap(), []);
    assert_eq!(world.broker.warnings().await.unwrap(), Vec::<String>::new());
    world.enqueue(vec![in_queue("b"), in_queue("a"), delayed(HOUR)]).await;

    let depths = world.broker.dedicated().await.unwrap().depths().await.unwrap();

    let names: Vec<_> = depths.iter().map(|depth| (depth.queue.as_str(), depth.waiting, depth.delayed)).collect();
    assert_eq!(names, [("a", 1, 0), ("b", 1, 0), (QUEUE, 0, 1)]);
}
