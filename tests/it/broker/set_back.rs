//! The machine's clock is set back while the queue is at work.

use std::time::Duration;

use queue::{GroupId, NewJob, Reservation, Settled};

use super::world::{HOUR, MINUTE, World, ask, ids, ids_of, job, jobs, retry, succeed};

pub use super::world::policy;

/// Longer than the note of the clock may be old.
const MOMENT: Duration = Duration::from_secs(2);

pub async fn lease_of_a_dead_worker_ends_in_time(world: World) {
    let (_, jobs) = world.enqueue(jobs(2)).await;
    world.claim("dead", 1, 2).await;
    world.clock.set_back(HOUR);

    let early = world.claim_all(&ask("b", 1, 9)).await;
    assert!(early.jobs.is_empty(), "it may be alive");
    assert!(early.next_due.unwrap() <= world.policy.lease + MOMENT, "{:?}", early.next_due);
    world.clock.advance(world.policy.lease + MOMENT);

    assert_eq!(ids(&world.claim("b", 2, 9).await), ids_of(&jobs));
}

pub async fn lease_of_a_live_worker_holds(world: World) {
    world.enqueue(jobs(1)).await;
    let claimed = world.claim("a", 1, 1).await;
    world.clock.set_back(HOUR);
    for _ in 0..3 {
        world.clock.advance(world.policy.lease - MINUTE);
        assert!(world.broker.beat(&[claimed[0].lease.clone()]).await.unwrap().lost.is_empty());
        assert!(world.claim("b", 1, 0).await.is_empty());
    }

    assert_eq!(world.settle(&claimed[0].lease, succeed()).await, Settled::Committed);
}

pub async fn retry_and_release_come_in_time(world: World) {
    let (_, jobs) = world.enqueue(jobs(2)).await;
    let claimed = world.claim("a", 1, 2).await;
    world.settle(&claimed[0].lease, retry(MINUTE)).await;
    world.broker.release(&[claimed[1].lease.clone()], Some(MINUTE)).await.unwrap();
    world.clock.set_back(HOUR);

    assert!(world.claim("a", 2, 9).await.is_empty());
    world.clock.advance(MINUTE + MOMENT);

    assert_eq!(ids(&world.claim("a", 3, 9).await), ids_of(&jobs));
}

pub async fn first_start_keeps_its_time(world: World) {
    let later = NewJob { delay: Some(MINUTE), ..job() };
    let (_, jobs) = world.enqueue(vec![later]).await;
    world.claim("a", 1, 0).await;
    world.clock.set_back(HOUR);

    world.clock.advance(MINUTE + MOMENT);
    assert!(world.claim("a", 2, 9).await.is_empty(), "it was asked for by the clock, which has not come to that");
    world.clock.advance(HOUR);

    assert_eq!(ids(&world.claim("a", 3, 9).await), ids_of(&jobs));
}

pub async fn dead_worker_is_no_longer_listed(world: World) {
    world.broker.report("dead", b"lives").await.unwrap();
    world.clock.set_back(HOUR);
    world.claim("b", 1, 0).await;
    world.clock.advance(world.policy.worker_memory() + MOMENT);
    world.broker.report("b", b"lives").await.unwrap();

    let living: Vec<_> = world.broker.workers().await.unwrap().into_iter().map(|worker| worker.session).collect();
    assert_eq!(living, ["b"]);
}

pub async fn reservation_lapses_in_time(world: World) {
    let (dead, next) = (GroupId::new(), GroupId::new());
    assert_eq!(world.broker.reserve("key", dead).await.unwrap(), Reservation::Granted);
    world.clock.set_back(HOUR);
    world.claim("a", 1, 0).await;
    world.clock.advance(world.policy.reservation + MOMENT);

    assert_eq!(world.broker.reserve("key", next).await.unwrap(), Reservation::Granted);
}
