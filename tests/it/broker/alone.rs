use queue::{Settled, State, Verdict, policy as numbers};

use super::world::{QUEUE, World, fail, ids, ids_of, job, jobs, settlement, succeed};

pub use super::world::policy;

const CRASH: Verdict = Verdict::Crash { alone: false };
const CRASH_ALONE: Verdict = Verdict::Crash { alone: true };

pub async fn crashed_jobs_run_next_alone_and_first(world: World) {
    let (_, jobs) = world.enqueue(jobs(4)).await;
    let claimed = world.claim("a", 1, 3).await;
    assert!(claimed.iter().all(|job| !job.alone));
    let crashes: Vec<_> = claimed.iter().map(|job| settlement(job, CRASH)).collect();

    assert_eq!(world.broker.settle(&crashes, None).await.unwrap().0, [Settled::Committed; 3]);

    let kept = world.job(jobs[0].id).await;
    assert_eq!((kept.state, kept.alone, kept.stalls, kept.attempt), (State::Waiting, true, 0, 1));
    assert_eq!((kept.due_at, world.depth(QUEUE).await), (None, (4, 0, 0)));
    let again = world.claim("b", 1, 9).await;
    assert_eq!(ids(&again), ids_of(&jobs), "in their order, before what has not run");
    assert_eq!(again.iter().map(|job| job.alone).collect::<Vec<_>>(), [true, true, true, false]);
    assert_eq!((again[0].attempt, again[3].attempt), (2, 1));
}

pub async fn expired_job_runs_next_alone_and_is_not_blamed(world: World) {
    let (_, jobs) = world.enqueue(jobs(1)).await;
    world.claim("a", 1, 1).await;
    world.clock.advance(world.policy.lease);

    let again = world.claim("b", 1, 1).await;

    assert_eq!((ids(&again), again[0].alone, again[0].attempt), (ids_of(&jobs), true, 2));
    let kept = world.job(jobs[0].id).await;
    assert_eq!((kept.stalls, kept.alone), (0, true));
}

pub async fn third_crash_alone_fails_the_job_as_poison(world: World) {
    let (group, jobs) = world.enqueue(jobs(1)).await;
    world.settle(&world.claim("a", 1, 1).await[0].lease, CRASH).await;
    for stalls in 0..3 {
        let kept = world.job(jobs[0].id).await;
        assert_eq!((kept.state, kept.stalls, kept.alone), (State::Waiting, stalls, true));
        let claimed = world.claim("a", u64::from(stalls) + 2, 1).await;
        assert_eq!(world.settle(&claimed[0].lease, CRASH_ALONE).await, Settled::Committed);
        assert_eq!(world.settle(&claimed[0].lease, CRASH_ALONE).await, Settled::Committed, "its reply was lost");
    }

    let kept = world.job(jobs[0].id).await;
    assert_eq!((kept.state, kept.stalls), (State::Failed, 3));
    assert_eq!(kept.result, Some(numbers::poison(3)));
    let group = world.group(group.id).await;
    assert_eq!((group.failed, group.pending), (1, 0));
    assert_eq!(world.broker.results(group.id, 0, 9).await.unwrap()[0].result, numbers::poison(3));
    assert_eq!(world.depth(QUEUE).await, (0, 0, 0));
}

pub async fn crashes_and_expiries_alone_count_together(world: World) {
    let (_, jobs) = world.enqueue(jobs(1)).await;
    // The worker computed nothing else, though nobody asked it to.
    world.settle(&world.claim("a", 1, 1).await[0].lease, CRASH_ALONE).await;
    let kept = world.job(jobs[0].id).await;
    assert_eq!((kept.state, kept.stalls, kept.alone), (State::Waiting, 1, true));
    assert!(world.claim("a", 2, 1).await[0].alone);
    world.clock.advance(world.policy.lease);
    world.settle(&world.claim("a", 3, 1).await[0].lease, CRASH_ALONE).await;

    assert_eq!(world.state(&jobs[0]).await, "failed");
    assert_eq!(world.job(jobs[0].id).await.stalls, 3);
}

pub async fn death_among_neighbours_never_counts(world: World) {
    let (_, jobs) = world.enqueue(jobs(2)).await;
    for sequence in 1..=5 {
        let claimed = world.claim("a", sequence, 2).await;
        let crashes: Vec<_> = claimed.iter().map(|job| settlement(job, CRASH)).collect();
        world.broker.settle(&crashes, None).await.unwrap();
    }

    for job in &jobs {
        let kept = world.job(job.id).await;
        assert_eq!((kept.state, kept.stalls, kept.alone, kept.attempt), (State::Waiting, 0, true, 5));
    }
}

pub async fn repeated_crash_is_committed_again(world: World) {
    world.enqueue(vec![job()]).await;
    let first = world.claim("a", 1, 1).await;
    world.settle(&first[0].lease, CRASH).await;
    let second = world.claim("b", 1, 1).await;

    assert_eq!(world.settle(&first[0].lease, CRASH).await, Settled::Committed);

    assert_eq!(world.depth(QUEUE).await, (0, 0, 1));
    assert_eq!(world.settle(&second[0].lease, succeed()).await, Settled::Committed);
    assert_eq!(world.settle(&first[0].lease, CRASH_ALONE).await, Settled::Committed);
}

pub async fn crash_of_a_lost_lease_changes_nothing(world: World) {
    let (_, jobs) = world.enqueue(jobs(1)).await;
    let zombie = world.claim("a", 1, 1).await;
    world.clock.advance(world.policy.lease);
    let heir = world.claim("b", 1, 1).await;

    assert_eq!(world.settle(&zombie[0].lease, CRASH_ALONE).await, Settled::LeaseLost);

    let kept = world.job(jobs[0].id).await;
    assert_eq!((kept.state, kept.stalls), (State::Active, 0));
    assert_eq!(world.settle(&heir[0].lease, fail()).await, Settled::Committed);
}

pub async fn release_keeps_a_job_alone(world: World) {
    let (_, jobs) = world.enqueue(jobs(1)).await;
    world.settle(&world.claim("a", 1, 1).await[0].lease, CRASH).await;
    let claimed = world.claim("a", 2, 1).await;

    world.broker.release(&[claimed[0].lease.clone()], None).await.unwrap();

    let kept = world.job(jobs[0].id).await;
    assert_eq!((kept.alone, kept.attempt), (true, 1));
    assert!(world.claim("a", 3, 1).await[0].alone);
}
