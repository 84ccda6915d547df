use std::time::Duration;

use bytes::Bytes;
use queue::{Error, GroupId, IdempotencyKey, NewGroup, NewJob, Policy, Reservation, State};

use super::world::{HOUR, QUEUE, World, ask, delayed, grouped, ids, ids_of, in_queue, job, jobs, priority, succeed};

pub fn policy() -> Policy {
    Policy { queue_cap: 3_000, ..super::world::policy() }
}

pub async fn group_is_counted_sealed_and_kept_with_its_meta(world: World) {
    let (group, _) = world.enqueue(vec![job(), delayed(HOUR), job()]).await;

    let kept = world.group(group.id).await;

    assert_eq!((kept.total, kept.pending, kept.sealed), (3, 3, true));
    assert_eq!(kept.meta, group.meta);
    assert_eq!(kept.finished_at, None);
    assert_eq!(world.depth(QUEUE).await, (2, 1, 0));
}

pub async fn job_comes_back_as_it_was_enqueued(world: World) {
    let (group, jobs) = world.enqueue(vec![job(), priority(9)]).await;

    let kept = world.broker.job(jobs[1].id).await.unwrap().unwrap();

    assert_eq!((kept.id, kept.group, kept.index), (jobs[1].id, group.id, 1));
    assert_eq!((kept.kind, kept.queue, kept.priority), (jobs[1].kind.clone(), jobs[1].queue.clone(), 9));
    assert_eq!((kept.state, kept.attempt, kept.max_attempts, kept.stalls), (State::Waiting, 0, 4, 0));
    assert_eq!((kept.payload, kept.result, kept.finished_at), (jobs[1].payload.clone(), None, None));
    assert_eq!(world.broker.job(job().id).await.unwrap(), None);
}

pub async fn group_of_no_jobs_is_finished_at_once(world: World) {
    let (group, _) = world.enqueue(vec![]).await;

    let kept = world.group(group.id).await;

    assert_eq!((kept.total, kept.sealed), (0, true));
    assert!(kept.finished_at.is_some());
    assert_eq!(world.broker.group(grouped(vec![]).0.id).await.unwrap(), None);
}

pub async fn enqueueing_again_changes_nothing(world: World) {
    let (group, jobs) = world.enqueue(jobs(3)).await;
    let claimed = world.claim("a", 1, 1).await;

    world.broker.enqueue(&group, &jobs).await.unwrap();

    assert_eq!(world.group(group.id).await.total, 3);
    assert_eq!(world.depth(QUEUE).await, (2, 0, 1));
    assert_eq!(ids(&claimed), ids_of(&jobs[..1]));
    assert_eq!(ids(&world.claim("a", 2, 9).await), ids_of(&jobs[1..]));
}

pub async fn long_group_is_enqueued_in_chunks(world: World) {
    let (group, jobs) = world.enqueue(jobs(2_500)).await;

    let kept = world.group(group.id).await;

    assert_eq!((kept.total, kept.pending, kept.sealed), (2_500, 2_500, true));
    assert_eq!(ids(&world.drain("a").await), ids_of(&jobs));
}

pub async fn bulky_payloads_come_back_whole(world: World) {
    let bulky = |byte| NewJob { payload: vec![byte; 3 << 20].into(), ..job() };
    let (group, jobs) = world.enqueue(vec![bulky(1), bulky(2), bulky(3)]).await;

    let claimed = world.claim("a", 1, 9).await;

    assert_eq!(world.group(group.id).await.total, 3);
    assert!(claimed.iter().map(|job| &job.payload).eq(jobs.iter().map(|job| &job.payload)));
}

pub async fn full_queue_refuses_the_whole_group(world: World) {
    world.enqueue(jobs(2_999)).await;
    let (group, two) = grouped(vec![job(), in_queue("other"), job()]);

    let refused = world.broker.enqueue(&group, &two).await;

    let Err(Error::Full(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains(QUEUE) && why.contains("2999") && why.contains("3000"), "{why}");
    assert_eq!(world.broker.group(group.id).await.unwrap(), None);
    assert_eq!(world.broker.job(two[0].id).await.unwrap(), None);
    assert_eq!((world.depth(QUEUE).await, world.depth("other").await), ((2_999, 0, 0), (0, 0, 0)));
    world.enqueue(vec![job()]).await;
}

pub async fn refusal_of_a_later_chunk_leaves_nothing_to_run(world: World) {
    let (group, many) = grouped(jobs(3_001));

    let first = world.broker.enqueue(&group, &many).await;
    assert!(matches!(first, Err(Error::Full(_))), "{first:?}");
    for refused in [first, world.broker.enqueue(&group, &many).await] {
        // Said again, a group whose first chunks were cancelled is sealed: nothing changes.
        let cancelled = world.broker.group(group.id).await.unwrap().is_some();
        assert!(matches!(refused, Err(Error::Full(_))) || cancelled, "{refused:?}");
        assert_eq!(world.depth(QUEUE).await, (0, 0, 0));
        assert!(world.claim("a", 1, 10).await.is_empty());
    }

    if let Some(kept) = world.broker.group(group.id).await.unwrap() {
        assert_eq!((kept.cancelled, kept.pending), (kept.total, 0), "what the chunks before held");
        assert!(kept.sealed && kept.cancelling && kept.finished_at.is_some());
    }
    world.enqueue(jobs(3_000)).await;
}

pub async fn cap_counts_delayed_jobs_and_no_running_ones(world: World) {
    world.enqueue((0..2_999).map(|_| delayed(HOUR)).collect()).await;
    world.enqueue(vec![job()]).await;
    let (group, one) = grouped(vec![job()]);
    assert!(matches!(world.broker.enqueue(&group, &one).await, Err(Error::Full(_))));

    world.claim("a", 1, 1).await;

    world.broker.enqueue(&group, &one).await.unwrap();
}

pub async fn group_that_comes_in_parts_is_open_until_the_last(world: World) {
    let (group, jobs) = grouped(jobs(5));
    let key = IdempotencyKey { name: "k".into(), fingerprint: Bytes::from_static(b"print"), memory: None };
    let group = NewGroup { key: Some(key.clone()), ..group };

    world.broker.extend(&group, &jobs[..2], false).await.unwrap();
    let known = world.broker.reserve("k", GroupId::new()).await.unwrap();
    assert_eq!(known, Reservation::Known { group: group.id, fingerprint: key.fingerprint });
    for job in world.claim("a", 1, 9).await {
        world.settle(&job.lease, succeed()).await;
    }
    let open = world.group(group.id).await;
    assert_eq!((open.total, open.pending, open.sealed, open.finished_at), (2, 0, false, None));
    world.broker.extend(&group, &jobs[..2], false).await.unwrap();
    world.broker.extend(&group, &jobs[2..4], false).await.unwrap();
    world.broker.extend(&group, &jobs[4..], true).await.unwrap();
    world.broker.extend(&group, &jobs[4..], true).await.unwrap();

    let sealed = world.group(group.id).await;
    assert_eq!((sealed.total, sealed.pending, sealed.sealed), (5, 3, true));
    assert_eq!(ids(&world.claim("a", 2, 9).await), ids_of(&jobs[2..]));
}

pub async fn part_that_is_refused_may_come_later(world: World) {
    let cap = world.policy.queue_cap as usize;
    let (group, jobs) = grouped(jobs(cap + 1));
    world.broker.extend(&group, &jobs[..cap], false).await.unwrap();

    let refused = world.broker.extend(&group, &jobs[cap..], true).await.unwrap_err();

    assert!(matches!(refused, Error::Full(_)), "{refused}");
    assert_eq!(world.group(group.id).await.pending as usize, cap, "nothing is cancelled");
    assert_eq!(world.claim("a", 1, 1).await.len(), 1);
    world.broker.extend(&group, &jobs[cap..], true).await.unwrap();
    assert!(world.group(group.id).await.sealed);
}

/// The total shrank to what had been enqueued, and the rest was neither counted nor listed.
pub async fn parts_that_come_to_a_cancelled_group_are_cancelled(world: World) {
    let cap = world.policy.queue_cap as usize;
    let (group, jobs) = grouped([jobs(3), vec![delayed(HOUR)], jobs(cap + 1)].concat());
    world.broker.extend(&group, &jobs[..2], false).await.unwrap();
    let claimed = world.claim("a", 1, 1).await;
    assert_eq!(world.broker.cancel_group(group.id).await.unwrap(), Some(1));
    let open = world.group(group.id).await;
    assert_eq!((open.total, open.cancelled, open.sealed, open.cancelling), (2, 1, false, true));

    world.broker.extend(&group, &jobs[2..4], false).await.unwrap();
    world.broker.extend(&group, &jobs[2..4], false).await.unwrap();
    assert!(world.group(group.id).await.finished_at.is_none(), "more may come");
    // Those take no room in a queue.
    world.broker.extend(&group, &jobs[4..], true).await.unwrap();
    world.settle(&claimed[0].lease, succeed()).await;

    let total = jobs.len() as u32;
    let kept = world.group(group.id).await;
    assert_eq!((kept.total, kept.succeeded, kept.cancelled), (total, 1, total - 1));
    assert!(kept.sealed && kept.finished_at.is_some());
    assert_eq!(world.depth(QUEUE).await, (0, 0, 0));
    let results = world.broker.results(group.id, 0, jobs.len()).await.unwrap();
    assert!(results.iter().map(|one| (one.index, one.job)).eq(jobs.iter().map(|job| (job.index, job.id))));
    assert!(results[1..].iter().all(|one| one.state == State::Cancelled));
    assert!(world.drain("b").await.is_empty());
}

pub async fn abandoned_group_ends_as_it_is(world: World) {
    let (group, jobs) = grouped(jobs(2));
    world.broker.extend(&group, &jobs[..1], false).await.unwrap();
    assert_eq!(world.broker.cancel_group(group.id).await.unwrap(), Some(1));
    assert_eq!(world.broker.abandon_group(group.id).await.unwrap(), Some(0));

    world.broker.extend(&group, &jobs[1..], true).await.unwrap();

    let group = world.group(group.id).await;
    assert_eq!((group.total, group.cancelled, group.finished_at.is_some()), (1, 1, true));
}

pub async fn wrong_jobs_are_refused(world: World) {
    let twice = job();
    let wrong: [Vec<NewJob>; 5] = [
        vec![priority(0)],
        vec![priority(11)],
        vec![in_queue("a:b")],
        vec![twice.clone(), NewJob { index: 1, ..twice }],
        vec![NewJob { index: 1, ..job() }],
    ];
    let (group, _) = grouped(vec![]);

    for jobs in wrong {
        let refused = world.broker.enqueue(&group, &jobs).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{jobs:?}: {refused:?}");
    }

    let empty_session = world.broker.claim(&ask("", 1, 1)).await;
    assert!(matches!(empty_session, Err(Error::Invalid(_))));
    assert_eq!(world.claim_all(&ask("a", 1, 1)).await.next_due, None::<Duration>);
}
