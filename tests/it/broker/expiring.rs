use queue::{NewGroup, NewJob, On, State, Verdict, policy as numbers};

use super::world::{HOUR, MINUTE, QUEUE, World, ask, delayed, fail, grouped, ids, ids_of, job, succeed, then};

pub use super::world::policy;

fn expiring(job: NewJob) -> NewJob {
    NewJob { expires: Some(HOUR), ..job }
}

async fn assert_expired(world: &World, job: &NewJob) {
    let found = world.job(job.id).await;
    assert_eq!((found.state, found.result), (State::Cancelled, Some(numbers::expired())));
    assert!(found.finished_at.is_some() && found.expires_at.is_some());
}

pub async fn job_that_nobody_has_claimed_in_time_is_cancelled(world: World) {
    let zip = then(On::Always);
    let (group, jobs) = grouped(vec![expiring(job()), expiring(delayed(HOUR * 2)), job()]);
    world.broker.enqueue(&NewGroup { then: Some(zip.clone()), ..group.clone() }, &jobs).await.unwrap();
    let expires_at = world.job(jobs[0].id).await.expires_at.unwrap();
    assert_eq!(expires_at.duration_since(world.job(jobs[0].id).await.created_at), jiff::SignedDuration::from_hours(1));
    assert_eq!(world.job(jobs[2].id).await.expires_at, None);

    world.clock.advance(HOUR - MINUTE);
    assert!(world.claim("a", 1, 0).await.is_empty());
    assert_eq!(world.depth(QUEUE).await, (2, 1, 0));
    world.clock.advance(MINUTE * 2);

    assert_eq!(ids(&world.claim("a", 2, 9).await), ids_of(&jobs[2..]));
    assert_expired(&world, &jobs[0]).await;
    assert_expired(&world, &jobs[1]).await;
    assert_eq!(world.depth(QUEUE).await, (0, 0, 1));
    let kept = world.group(group.id).await;
    assert_eq!((kept.cancelled, kept.pending), (2, 1));
    let results = world.broker.results(group.id, 0, 9).await.unwrap();
    assert!(results.iter().all(|result| result.result == numbers::expired()) && results.len() == 2, "{results:?}");
    // Nothing is left that would end them again.
    world.clock.advance(HOUR);
    let claimed = world.claim("b", 1, 9).await;
    world.settle(&claimed[0].lease, succeed()).await;
    assert!(world.group(group.id).await.fired);
}

pub async fn job_that_was_claimed_in_time_goes_on(world: World) {
    let (_, jobs) = world.enqueue(vec![expiring(job()), expiring(job()), expiring(job())]).await;
    let claimed = world.claim("a", 1, 9).await;
    world.settle(&claimed[0].lease, Verdict::Retry { after: HOUR * 2, reason: "later".into() }).await;
    world.broker.release(&[claimed[1].lease.clone()], None).await.unwrap();
    world.settle(&claimed[2].lease, fail()).await;

    world.clock.advance(HOUR + MINUTE);
    let again = world.claim("b", 1, 9).await;

    assert_eq!(ids(&again), ids_of(&jobs[1..2]));
    assert_eq!(world.job(jobs[0].id).await.state, State::Delayed);
    assert_eq!(world.job(jobs[2].id).await.state, State::Failed);
}

pub async fn jobs_behind_an_expired_one_are_cancelled(world: World) {
    let first = expiring(job());
    let second = NewJob { after: Some(first.id), ..job() };
    let (group, jobs) = world.enqueue(vec![first, second]).await;

    world.clock.advance(HOUR + MINUTE);
    assert!(world.claim("a", 1, 9).await.is_empty());

    assert_expired(&world, &jobs[0]).await;
    let behind = world.job(jobs[1].id).await;
    assert_eq!((behind.state, behind.result.unwrap_or_default().is_empty()), (State::Cancelled, true));
    assert!(world.group(group.id).await.finished_at.is_some());
}

pub async fn job_of_a_paused_queue_expires_too(world: World) {
    world.broker.pause(QUEUE).await.unwrap();
    let (_, jobs) = world.enqueue(vec![expiring(job())]).await;
    let next = world.claim_all(&ask("a", 1, 9)).await.next_due.unwrap();
    assert!(next <= HOUR && next > HOUR - MINUTE, "{next:?}");

    world.clock.advance(HOUR);
    world.claim("a", 2, 9).await;

    assert_expired(&world, &jobs[0]).await;
}
