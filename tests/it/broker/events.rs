use queue::{
    Error,
    EventKind::{Cancelled, Enqueued, Failed, Finished, Fired, Released, Retried, Stalled, Started, Succeeded},
    NewGroup, On, Policy, Verdict,
};

use super::world::{
    HOUR, QUEUE, World, after, ask, delayed, fail, grouped, job, jobs, retry, settlement, succeed, then,
};

pub fn policy() -> Policy {
    Policy { events: 200, ..super::world::policy() }
}

pub async fn life_of_a_job_is_told_in_order(world: World) {
    let (group, jobs) = world.enqueue(jobs(1)).await;
    let (group, job) = (group.id, Some(jobs[0].id));
    let claimed = world.claim("a", 1, 1).await;
    world.claim("a", 1, 1).await;
    world.settle(&claimed[0].lease, retry(HOUR)).await;
    world.settle(&claimed[0].lease, retry(HOUR)).await;
    world.clock.advance(HOUR);
    let claimed = world.claim("a", 2, 1).await;
    world.broker.release(&[claimed[0].lease.clone()], None).await.unwrap();
    world.broker.release(&[claimed[0].lease.clone()], None).await.unwrap();
    world.claim("a", 3, 1).await;
    world.clock.advance(world.policy.lease);
    let claimed = world.claim("a", 4, 1).await;
    world.settle(&claimed[0].lease, Verdict::Crash { alone: false }).await;
    let claimed = world.claim("a", 5, 1).await;
    world.settle(&claimed[0].lease, succeed()).await;
    world.settle(&claimed[0].lease, succeed()).await;

    let expected = [
        (Enqueued, group, None),
        (Started, group, job),
        (Retried, group, job),
        (Started, group, job),
        (Released, group, job),
        (Started, group, job),
        (Stalled, group, job),
        (Started, group, job),
        (Stalled, group, job),
        (Started, group, job),
        (Succeeded, group, job),
        (Finished, group, None),
    ];
    assert_eq!(world.events().await, expected);
}

pub async fn last_job_is_told_before_its_group_and_what_follows(world: World) {
    let zip = then(On::Always);
    let first = job();
    let (group, jobs) = grouped(vec![first.clone(), after(&first), job()]);
    let group = NewGroup { then: Some(zip.clone()), ..group };
    world.broker.enqueue(&group, &jobs).await.unwrap();
    let claimed = world.claim("a", 1, 9).await;
    let ends = [settlement(&claimed[1], succeed()), settlement(&claimed[0], fail())];

    world.broker.settle(&ends, None).await.unwrap();

    let id = |at: usize| Some(jobs[at].id);
    let expected = [
        (Enqueued, group.id, None),
        (Started, group.id, id(0)),
        (Started, group.id, id(2)),
        (Succeeded, group.id, id(2)),
        (Failed, group.id, id(0)),
        (Cancelled, group.id, id(1)),
        (Finished, group.id, None),
        (Fired, group.id, None),
        (Enqueued, zip.group, None),
    ];
    assert_eq!(world.events().await, expected);
}

pub async fn group_of_no_jobs_is_enqueued_and_finished(world: World) {
    let (group, _) = world.enqueue(vec![]).await;
    world.broker.enqueue(&group, &[]).await.unwrap();

    assert_eq!(world.events().await, [(Enqueued, group.id, None), (Finished, group.id, None)]);
}

pub async fn cancels_purges_and_poison_are_told(world: World) {
    let (group, jobs) = world.enqueue(vec![job(), delayed(HOUR)]).await;
    let (purged, more) = world.enqueue(vec![delayed(HOUR)]).await;
    let claimed = world.claim("a", 1, 9).await;
    world.broker.cancel_job(jobs[0].id).await.unwrap();
    world.broker.cancel_group(group.id).await.unwrap();
    world.broker.cancel_group(group.id).await.unwrap();
    world.broker.purge(QUEUE).await.unwrap();
    world.settle(&claimed[0].lease, retry(HOUR)).await;
    let (poisoned, last) = world.enqueue(vec![job()]).await;
    for sequence in 2..=4 {
        let claimed = world.claim("a", sequence, 9).await;
        world.settle(&claimed[0].lease, Verdict::Crash { alone: true }).await;
    }

    let crash = [(Started, poisoned.id, Some(last[0].id)), (Stalled, poisoned.id, Some(last[0].id))];
    let expected = [
        &[
            (Enqueued, group.id, None),
            (Enqueued, purged.id, None),
            (Started, group.id, Some(jobs[0].id)),
            (Cancelled, group.id, Some(jobs[1].id)),
            (Cancelled, purged.id, Some(more[0].id)),
            (Finished, purged.id, None),
            (Cancelled, group.id, Some(jobs[0].id)),
            (Finished, group.id, None),
            (Enqueued, poisoned.id, None),
        ],
        &crash[..],
        &crash,
        &crash[..1],
        &[(Failed, poisoned.id, Some(last[0].id)), (Finished, poisoned.id, None)],
    ];
    assert_eq!(world.events().await, expected.concat());
}

pub async fn events_come_in_pages(world: World) {
    world.enqueue(jobs(30)).await;
    let claimed = world.claim("a", 1, 30).await;
    let ends: Vec<_> = claimed.iter().map(|job| settlement(job, succeed())).collect();
    world.broker.settle(&ends, Some(&ask("a", 2, 9))).await.unwrap();
    let all = world.broker.events(None, 999).await.unwrap();
    assert_eq!(all.len(), 1 + 30 + 30 + 1);

    let mut pages = Vec::new();
    let mut last: Option<String> = None;
    loop {
        let page = world.broker.events(last.as_deref(), 7).await.unwrap();
        let Some(event) = page.last() else { break };
        last = Some(event.id.clone());
        pages.push(page);
    }

    assert!(pages[..8].iter().all(|page| page.len() == 7));
    assert_eq!(pages.concat(), all);
    assert!(all.is_sorted_by_key(|event| event.at));
    assert_eq!(world.broker.events(None, 0).await.unwrap(), []);
    // What happens next comes after the last one.
    let (group, _) = world.enqueue(vec![]).await;
    let more = world.broker.events(last.as_deref(), 9).await.unwrap();
    assert_eq!(
        more.iter().map(|event| (event.kind, event.group)).collect::<Vec<_>>(),
        [(Enqueued, group.id), (Finished, group.id)]
    );
}

pub async fn old_events_are_forgotten(world: World) {
    for _ in 0..30 {
        let groups: Vec<_> = (0..50).map(|_| grouped(vec![])).collect();
        let enqueued = groups.iter().map(|(group, jobs)| world.broker.enqueue(group, jobs));
        futures::future::try_join_all(enqueued).await.unwrap();
    }

    let kept = world.events().await.len();

    assert!((200..1_500).contains(&kept), "{kept} of 3,000 events are kept");
}

pub async fn ids_of_no_event_are_refused(world: World) {
    world.enqueue(jobs(1)).await;
    for wrong in ["", "x", "-", "1.2.3.4", "1.x", "$", "9999999999999999999999.1"] {
        let refused = world.broker.events(Some(wrong), 9).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{wrong}: {refused:?}");
    }
}
