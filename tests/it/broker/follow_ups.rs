use bytes::Bytes;
use queue::{ClaimRequest, NewGroup, NewJob, On, Policy, State, Then, Verdict};

use super::world::{
    HOUR, MINUTE, QUEUE, World, ask, delayed, fail, grouped, ids, ids_of, job, jobs, settlement, succeed, then,
};

pub fn policy() -> Policy {
    Policy { queue_cap: 3, ..super::world::policy() }
}

async fn enqueue(world: &World, jobs: Vec<NewJob>, then: &Then) -> (NewGroup, Vec<NewJob>) {
    let (group, jobs) = grouped(jobs);
    let group = NewGroup { then: Some(then.clone()), ..group };
    world.broker.enqueue(&group, &jobs).await.unwrap();
    (group, jobs)
}

pub async fn follow_up_comes_when_all_have_succeeded(world: World) {
    let zip = then(On::Success);
    let (group, _) = enqueue(&world, jobs(2), &zip).await;
    let kept = world.group(group.id).await;
    assert_eq!((kept.then, kept.fired), (Some(zip.group), false));
    let claimed = world.claim("a", 1, 9).await;
    world.settle(&claimed[0].lease, succeed()).await;
    assert_eq!(world.broker.group(zip.group).await.unwrap(), None);
    assert!(!world.group(group.id).await.fired);

    let last = settlement(&claimed[1], succeed());
    let (_, claim) = world.broker.settle(&[last], Some(&ask("a", 2, 9))).await.unwrap();

    let following = claim.unwrap().jobs;
    assert_eq!((ids(&following), following[0].group), (vec![zip.job.id], zip.group));
    assert_eq!((following[0].kind.as_str(), following[0].index), ("zip", 0));
    assert_eq!(following[0].payload, zip.job.payload);
    assert!(world.group(group.id).await.fired);
    let made = world.group(zip.group).await;
    assert_eq!((made.total, made.pending, made.sealed, made.then, made.fired), (1, 1, true, None, false));
    assert_eq!(made.meta, Bytes::new());
    world.settle(&following[0].lease, succeed()).await;
    assert!(world.group(zip.group).await.finished_at.is_some());
}

pub async fn follow_up_of_success_is_left_out_otherwise(world: World) {
    for verdict in [fail(), Verdict::Cancel] {
        let zip = then(On::Success);
        let (group, _) = enqueue(&world, jobs(2), &zip).await;
        let session = format!("s-{}", group.id);
        let claimed = world.claim(&session, 1, 9).await;
        world.settle(&claimed[0].lease, succeed()).await;

        world.settle(&claimed[1].lease, verdict).await;

        let kept = world.group(group.id).await;
        assert!(kept.finished_at.is_some() && !kept.fired);
        assert_eq!(world.broker.group(zip.group).await.unwrap(), None);
        assert!(world.claim(&session, 2, 9).await.is_empty());
    }
}

pub async fn follow_up_of_any_end_always_comes(world: World) {
    let zip = then(On::Always);
    let (group, jobs) = enqueue(&world, jobs(3), &zip).await;
    world.broker.cancel_job(jobs[0].id).await.unwrap();
    let claimed = world.claim("a", 1, 9).await;
    world.settle(&claimed[0].lease, fail()).await;
    world.settle(&claimed[1].lease, succeed()).await;

    assert_eq!(ids(&world.claim("a", 2, 9).await), [zip.job.id]);
    assert!(world.group(group.id).await.fired);
}

pub async fn repeated_settlement_fires_once(world: World) {
    let zip = then(On::Success);
    let (_, _) = enqueue(&world, jobs(1), &zip).await;
    let claimed = world.claim("a", 1, 9).await;
    world.settle(&claimed[0].lease, succeed()).await;
    let following = world.claim("a", 2, 9).await;
    world.settle(&following[0].lease, succeed()).await;

    world.settle(&claimed[0].lease, succeed()).await;

    assert!(world.claim("a", 3, 9).await.is_empty());
    let made = world.group(zip.group).await;
    assert_eq!((made.total, made.succeeded), (1, 1));
}

pub async fn group_of_no_jobs_fires_at_once(world: World) {
    let zip = then(On::Success);
    let (group, _) = enqueue(&world, vec![], &zip).await;

    let kept = world.group(group.id).await;
    assert!(kept.fired && kept.finished_at.is_some());
    assert_eq!(ids(&world.claim("a", 1, 9).await), [zip.job.id]);
    // Its reply was lost, so it is said again.
    world.broker.enqueue(&group, &[]).await.unwrap();
    assert_eq!(world.group(zip.group).await.total, 1);
}

pub async fn follow_up_honours_its_delay_and_no_cap(world: World) {
    let zip = then(On::Success);
    let zip = Then { job: NewJob { delay: Some(HOUR), priority: 10, ..zip.job }, ..zip };
    enqueue(&world, jobs(1), &zip).await;
    let claimed = world.claim("a", 1, 1).await;
    world.enqueue(jobs(3)).await;

    world.settle(&claimed[0].lease, succeed()).await;

    assert_eq!(world.depth(QUEUE).await, (3, 1, 0), "one more than the cap");
    assert!(world.job(zip.job.id).await.due_at.is_some());
    world.clock.advance(HOUR - MINUTE);
    assert!(!ids(&world.claim("a", 2, 9).await).contains(&zip.job.id));
    world.clock.advance(MINUTE);
    assert!(ids(&world.claim("a", 3, 9).await).contains(&zip.job.id));
}

pub async fn follow_up_that_exists_is_not_made_again(world: World) {
    let zip = then(On::Always);
    let (first, _) = enqueue(&world, jobs(1), &zip).await;
    let (second, _) = enqueue(&world, jobs(1), &zip).await;
    let claimed = world.claim("a", 1, 9).await;

    let ends: Vec<_> = claimed.iter().map(|job| settlement(job, succeed())).collect();
    world.broker.settle(&ends, None).await.unwrap();

    assert!(world.group(first.id).await.fired && world.group(second.id).await.fired);
    assert_eq!(world.group(zip.group).await.total, 1);
    assert_eq!(ids(&world.claim("a", 2, 9).await), [zip.job.id]);
}

pub async fn cancelled_group_is_followed_too(world: World) {
    let (always, on_success) = (then(On::Always), then(On::Success));
    let (first, _) = enqueue(&world, jobs(1), &always).await;
    let (second, _) = enqueue(&world, jobs(1), &on_success).await;

    world.broker.cancel_group(first.id).await.unwrap();
    world.broker.cancel_group(second.id).await.unwrap();

    assert!(world.group(first.id).await.fired && !world.group(second.id).await.fired);
    assert_eq!(world.broker.group(on_success.group).await.unwrap(), None);
    assert_eq!(ids(&world.claim("a", 1, 9).await), [always.job.id]);
}

pub async fn poison_and_purge_are_followed_too(world: World) {
    let (after_poison, after_purge) = (then(On::Always), then(On::Always));
    enqueue(&world, jobs(1), &after_poison).await;
    for sequence in 1..=4 {
        assert_eq!(world.claim("a", sequence, 9).await.len(), 1);
        world.clock.advance(world.policy.lease);
    }
    assert_eq!(ids(&world.claim("a", 5, 9).await), [after_poison.job.id]);
    let elsewhere = NewJob { queue: "other".into(), ..after_purge.job.clone() };
    enqueue(&world, jobs(2), &Then { job: elsewhere, ..after_purge.clone() }).await;

    assert_eq!(world.broker.purge(QUEUE).await.unwrap(), 2);

    let other = ClaimRequest { queues: vec!["other".into()], ..ask("b", 1, 9) };
    assert_eq!(ids(&world.claim_all(&other).await.jobs), [after_purge.job.id]);
}

pub async fn purge_spares_what_follows_it(world: World) {
    let (at_once, later) = (then(On::Always), then(On::Always));
    let later = Then { job: NewJob { delay: Some(HOUR), ..later.job }, ..later };
    enqueue(&world, vec![job()], &at_once).await;
    enqueue(&world, vec![delayed(HOUR)], &later).await;

    assert_eq!(world.broker.purge(QUEUE).await.unwrap(), 2, "what stood there when it began");

    assert_eq!(world.depth(QUEUE).await, (1, 1, 0));
    assert_eq!(ids(&world.claim("a", 1, 9).await), [at_once.job.id]);
}

pub async fn chain_that_breaks_finishes_its_group_and_fires(world: World) {
    let zip = then(On::Always);
    let first = job();
    let second = NewJob { after: Some(first.id), ..job() };
    let (group, jobs) = enqueue(&world, vec![first, second], &zip).await;
    let claimed = world.claim("a", 1, 9).await;
    assert_eq!(ids(&claimed), ids_of(&jobs[..1]));

    world.settle(&claimed[0].lease, fail()).await;

    assert!(world.group(group.id).await.fired);
    assert_eq!(world.job(jobs[1].id).await.state, State::Cancelled);
    assert_eq!(ids(&world.claim("a", 2, 9).await), [zip.job.id]);
}

pub async fn group_cannot_follow_itself(world: World) {
    let (group, jobs) = grouped(jobs(1));
    let group = NewGroup { then: Some(Then { group: group.id, ..then(On::Always) }), ..group };

    let refused = world.broker.enqueue(&group, &jobs).await;

    assert!(matches!(refused, Err(queue::Error::Invalid(_))), "{refused:?}");
}
