use queue::{Beat, Settled};

use super::world::{HOUR, MINUTE, QUEUE, World, ids, ids_of, job, jobs, priority, retry, succeed};

pub use super::world::policy;

pub async fn beat_renews_a_lease(world: World) {
    world.enqueue(jobs(1)).await;
    let claimed = world.claim("a", 1, 1).await;

    for _ in 0..3 {
        world.clock.advance(world.policy.lease - MINUTE);
        // Recovers what has expired.
        assert!(world.claim("b", 1, 0).await.is_empty());
        assert_eq!(world.broker.beat(&[claimed[0].lease.clone()]).await.unwrap(), Beat::default());
    }

    assert_eq!(world.depth(QUEUE).await, (0, 0, 1));
    assert_eq!(world.settle(&claimed[0].lease, succeed()).await, Settled::Committed);
}

pub async fn beat_tells_lost_leases(world: World) {
    world.enqueue(jobs(3)).await;
    let claimed = world.claim("a", 1, 3).await;
    world.settle(&claimed[0].lease, succeed()).await;
    world.settle(&claimed[1].lease, retry(HOUR)).await;
    let leases: Vec<_> = claimed.iter().map(|job| job.lease.clone()).collect();

    let beat = world.broker.beat(&leases).await.unwrap();

    assert_eq!(beat.lost, ids(&claimed[..2]));
    assert!(beat.cancelled.is_empty());
}

pub async fn expired_lease_returns_job_to_queue(world: World) {
    let (_, jobs) = world.enqueue(jobs(3)).await;
    let lost = world.claim("a", 1, 2).await;
    world.clock.advance(world.policy.lease - MINUTE);
    assert_eq!(world.claim("b", 1, 1).await.len(), 1, "the third, which waited");
    world.clock.advance(MINUTE);

    let recovered = world.claim("b", 2, 9).await;

    assert_eq!(ids(&recovered), ids_of(&jobs[..2]));
    assert_eq!(recovered[0].attempt, 2);
    assert_ne!(recovered[0].lease.token, lost[0].lease.token);
    let kept = world.job(jobs[0].id).await;
    assert_eq!((kept.stalls, kept.alone), (0, true), "what ran beside it may be to blame");
}

pub async fn zombie_cannot_settle_after_recovery(world: World) {
    let (group, _) = world.enqueue(jobs(1)).await;
    let zombie = world.claim("a", 1, 1).await;
    world.clock.advance(world.policy.lease);
    world.claim("b", 1, 0).await;
    assert_eq!(world.settle(&zombie[0].lease, succeed()).await, Settled::LeaseLost);
    let heir = world.claim("a", 2, 1).await;

    assert_eq!(world.settle(&zombie[0].lease, succeed()).await, Settled::LeaseLost);

    assert_eq!(world.broker.beat(&[zombie[0].lease.clone()]).await.unwrap().lost, ids(&zombie));
    assert_eq!(world.group(group.id).await.pending, 1);
    assert_eq!(world.settle(&heir[0].lease, succeed()).await, Settled::Committed);
    assert_eq!(world.settle(&zombie[0].lease, succeed()).await, Settled::LeaseLost, "it never counted");
}

pub async fn third_stall_alone_fails_the_job_as_poison(world: World) {
    let (group, poison) = world.enqueue(jobs(1)).await;
    // The first time it had neighbours, who may be to blame.
    for (sequence, stalls) in [(1, 0), (2, 0), (3, 1), (4, 2)] {
        assert_eq!(world.claim("a", sequence, 1).await.len(), 1);
        assert_eq!(world.job(poison[0].id).await.stalls, stalls);
        world.clock.advance(world.policy.lease);
    }

    assert!(world.claim("a", 5, 1).await.is_empty());

    assert_eq!(world.state(&poison[0]).await, "failed");
    let group = world.group(group.id).await;
    assert_eq!((group.failed, group.pending), (1, 0));
    assert!(group.finished_at.is_some());
    let results = world.broker.results(group.id, 0, 10).await.unwrap();
    let result: serde_json::Value = serde_json::from_slice(&results[0].result).unwrap();
    assert_eq!((&result["success"], &result["error"]["code"]), (&false.into(), &"poison".into()));
    assert_eq!(result["error"]["retryable"], false);
    assert_eq!(world.depth(QUEUE).await, (0, 0, 0));
}

pub async fn released_job_is_first_in_line_and_blameless(world: World) {
    let (_, jobs) = world.enqueue(jobs(2)).await;
    let claimed = world.claim("a", 1, 1).await;

    world.broker.release(&[claimed[0].lease.clone()], None).await.unwrap();

    let kept = world.broker.job(jobs[0].id).await.unwrap().unwrap();
    assert_eq!((kept.state.as_str(), kept.attempt, kept.stalls), ("waiting", 0, 0));
    let again = world.claim("b", 1, 9).await;
    assert_eq!(ids(&again), ids_of(&jobs));
    assert_eq!(again[0].attempt, 1);
    assert_eq!(world.settle(&claimed[0].lease, succeed()).await, Settled::LeaseLost);
}

pub async fn released_token_never_comes_back(world: World) {
    world.enqueue(vec![job()]).await;
    let first = world.claim("a", 1, 1).await;
    world.broker.release(&[first[0].lease.clone()], None).await.unwrap();
    let second = world.claim("a", 2, 1).await;

    // Its reply was lost, so it is said again.
    world.broker.release(&[first[0].lease.clone()], None).await.unwrap();

    assert_ne!(first[0].lease.token, second[0].lease.token);
    assert_eq!(world.depth(QUEUE).await, (0, 0, 1));
    assert_eq!(world.settle(&second[0].lease, succeed()).await, Settled::Committed);
}

/// A broker that goes back in time counts the claims of a job anew, while a worker still holds one of before.
pub async fn job_that_the_broker_had_lost_gets_tokens_of_its_own(world: World) {
    let job = job();
    let mut claims = Vec::new();
    for (session, sequence) in [("a", 1), ("a", 2), ("b", 1), ("b", 2)] {
        let (group, _) = world.enqueue(vec![job.clone()]).await;
        let lease = world.claim(session, sequence, 1).await.remove(0).lease;
        assert_eq!(world.settle(&lease, succeed()).await, Settled::Committed);
        assert!(world.broker.remove_group(group.id).await.unwrap());
        claims.push(lease);
    }
    for (i, lease) in claims.iter().enumerate() {
        assert!(claims[..i].iter().all(|other| other.token != lease.token && other.run() != lease.run()), "{claims:?}");
    }
}

pub async fn released_jobs_keep_their_order(world: World) {
    let (_, jobs) = world.enqueue(vec![job(), job(), job(), priority(9)]).await;
    let claimed = world.claim("a", 1, 3).await;
    let leases: Vec<_> = claimed.iter().map(|job| job.lease.clone()).collect();

    world.broker.release(&leases, None).await.unwrap();

    assert_eq!(ids(&world.claim("b", 1, 9).await), [jobs[3].id, jobs[0].id, jobs[1].id, jobs[2].id]);
}

pub async fn released_for_later_is_delayed_and_blameless(world: World) {
    let (_, jobs) = world.enqueue(vec![job(), job()]).await;
    let claimed = world.claim("a", 1, 1).await;

    world.broker.release(&[claimed[0].lease.clone()], Some(HOUR)).await.unwrap();
    world.broker.release(&[claimed[0].lease.clone()], Some(HOUR * 9)).await.unwrap();

    let kept = world.job(jobs[0].id).await;
    assert_eq!((kept.state.as_str(), kept.attempt, kept.due_at.is_some()), ("delayed", 0, true));
    assert_eq!(world.depth(QUEUE).await, (1, 1, 0));
    assert_eq!(world.settle(&claimed[0].lease, succeed()).await, Settled::LeaseLost);
    world.clock.advance(HOUR);
    let again = world.claim("b", 1, 9).await;
    assert_eq!(ids(&again), [jobs[1].id, jobs[0].id], "promoted to the back of the line");
    assert_eq!(again[1].attempt, 1);
    assert_ne!(again[1].lease.token, claimed[0].lease.token);
}

pub async fn leases_that_expire_together_are_all_recovered(world: World) {
    let (_, jobs) = world.enqueue(jobs(2_500)).await;
    assert_eq!(world.drain("a").await.len(), 2_500);
    world.clock.advance(HOUR * 100);

    let recovered = world.drain("b").await;

    assert_eq!(ids(&recovered), ids_of(&jobs));
    assert!(recovered.iter().all(|job| job.alone && job.attempt == 2));
}
