use std::collections::HashSet;

use queue::{ClaimRequest, Class, NewJob};

use super::world::{HOUR, MINUTE, QUEUE, World, ask, delayed, ids, ids_of, in_queue, job, jobs, priority, succeed};

pub use super::world::policy;

pub async fn jobs_come_by_priority_then_age(world: World) {
    let (_, first) = world.enqueue(vec![priority(5), priority(1), priority(10), priority(5)]).await;
    let (_, second) = world.enqueue(vec![priority(10), priority(5)]).await;

    let claimed = world.claim("a", 1, 9).await;

    let expected = [&first[2], &second[0], &first[0], &first[3], &second[1], &first[1]];
    assert_eq!(ids(&claimed), expected.map(|job| job.id));
    assert_eq!((claimed[0].attempt, claimed[0].max_attempts, claimed[0].index), (1, 4, 2));
    assert_eq!((claimed[0].kind.as_str(), &claimed[0].payload), ("image.process", &first[2].payload));
}

pub async fn queues_come_in_the_order_asked_for(world: World) {
    let (_, jobs) = world.enqueue(vec![in_queue("a"), NewJob { priority: 10, ..in_queue("b") }, in_queue("c")]).await;
    let request = ClaimRequest { queues: vec!["c".into(), "a".into()], ..ask("s", 1, 9) };

    let claimed = world.claim_all(&request).await.jobs;

    assert_eq!(ids(&claimed), [jobs[2].id, jobs[0].id]);
}

pub async fn classes_do_not_mix(world: World) {
    let (_, jobs) = world.enqueue(vec![job(), NewJob { class: Class::Io, ..job() }]).await;

    let io = world.claim_all(&ClaimRequest { class: Class::Io, ..ask("s", 1, 9) }).await.jobs;
    let cpu = world.claim("s", 2, 9).await;

    assert_eq!((ids(&io), ids(&cpu)), (vec![jobs[1].id], vec![jobs[0].id]));
}

pub async fn every_eighth_claim_looks_from_below(world: World) {
    world.enqueue([vec![priority(1)], (0..20).map(|_| priority(10)).collect()].concat()).await;

    let mut claims_until_the_lowest = 0;
    for sequence in 1..=8 {
        claims_until_the_lowest = sequence;
        if world.claim("a", sequence, 1).await[0].index == 0 {
            break;
        }
    }

    assert_eq!(claims_until_the_lowest, 7, "claims count from 0, and the eighth looks from below");
}

pub async fn racing_sessions_share_the_jobs(world: World) {
    world.enqueue(jobs(200)).await;
    let race = (0..4).map(|racer| {
        let world = &world;
        async move {
            let broker = world.another().await;
            let mut taken = Vec::new();
            for sequence in 0.. {
                let claim = broker.claim(&ask(&format!("racer-{racer}"), sequence, 7)).await.unwrap();
                if claim.jobs.is_empty() {
                    break;
                }
                taken.extend(ids(&claim.jobs));
            }
            taken
        }
    });

    let taken = futures::future::join_all(race).await.concat();

    assert_eq!((taken.len(), taken.iter().collect::<HashSet<_>>().len()), (200, 200));
}

pub async fn repeated_claim_gets_the_same_answer(world: World) {
    world.enqueue(jobs(5)).await;
    let first = world.claim("a", 1, 2).await;

    let again = world.claim("a", 1, 2).await;
    let next = world.claim("a", 2, 9).await;

    let leases = |claimed: &[queue::ClaimedJob]| claimed.iter().map(|job| job.lease.clone()).collect::<Vec<_>>();
    assert_eq!(leases(&again), leases(&first));
    assert_eq!((again[1].index, again[1].attempt, &again[1].payload), (1, 1, &first[1].payload));
    assert_eq!(next.len(), 3);
    assert_eq!(world.depth(QUEUE).await, (0, 0, 5));
}

pub async fn repeated_claim_leaves_out_lost_leases(world: World) {
    world.enqueue(jobs(2)).await;
    let first = world.claim("a", 1, 2).await;
    world.settle(&first[0].lease, succeed()).await;

    let again = world.claim("a", 1, 2).await;

    assert_eq!(ids(&again), ids(&first[1..]));
}

pub async fn late_claim_gets_nothing(world: World) {
    world.enqueue(jobs(3)).await;
    world.claim("a", 4, 1).await;

    assert!(world.claim("a", 3, 1).await.is_empty(), "its answer would reach nobody");
    assert_eq!(world.claim("a", 5, 9).await.len(), 2);
}

pub async fn delayed_job_does_not_come_early(world: World) {
    let (_, jobs) = world.enqueue(vec![delayed(HOUR), delayed(HOUR * 3), delayed(HOUR * 2)]).await;
    assert!(world.claim("a", 1, 9).await.is_empty());

    world.clock.advance(HOUR - MINUTE);
    let early = world.claim_all(&ask("a", 2, 9)).await;
    world.clock.advance(MINUTE);
    let due = world.claim("a", 3, 9).await;
    world.clock.advance(HOUR * 2);
    let rest = world.claim("b", 4, 9).await;

    assert!(early.jobs.is_empty());
    assert!(early.next_due.is_some_and(|next| next <= MINUTE), "{:?}", early.next_due);
    assert_eq!(ids(&due), [jobs[0].id]);
    // The first one's lease has run out meanwhile: it is recovered to the front.
    assert_eq!(ids(&rest), [jobs[0].id, jobs[2].id, jobs[1].id]);
}

pub async fn next_due_is_the_earlier_of_delay_and_lease(world: World) {
    assert_eq!(world.claim_all(&ask("a", 1, 9)).await.next_due, None);
    world.enqueue(vec![delayed(HOUR)]).await;
    let delay = world.claim_all(&ask("a", 2, 9)).await.next_due.unwrap();
    world.enqueue(vec![job()]).await;

    let lease = world.claim_all(&ask("a", 3, 9)).await.next_due.unwrap();

    assert!(delay <= HOUR && delay > HOUR - MINUTE, "{delay:?}");
    assert!(lease <= world.policy.lease && lease > world.policy.lease / 2, "{lease:?}");
}

pub async fn claim_of_nothing_still_promotes_and_recovers(world: World) {
    let (_, jobs) = world.enqueue(vec![job(), delayed(HOUR)]).await;
    world.claim("a", 1, 1).await;
    world.clock.advance(HOUR);

    assert!(world.claim("b", 1, 0).await.is_empty());

    assert_eq!(world.depth(QUEUE).await, (2, 0, 0));
    assert_eq!(ids(&world.claim("b", 1, 9).await), ids_of(&jobs), "asking for none is no answer to repeat");
}
