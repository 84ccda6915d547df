use queue::{GroupId, JobId, NewGroup, On, Settled, State, Verdict};

use super::world::{
    HOUR, QUEUE, World, after, ask, delayed, fail, grouped, ids, ids_of, in_queue, job, jobs, retry, settlement,
    succeed, then,
};
use crate::support::until;

pub use super::world::policy;

pub async fn job_that_waits_or_is_delayed_is_cancelled_at_once(world: World) {
    let (group, jobs) = world.enqueue(vec![job(), delayed(HOUR), job()]).await;

    for job in &jobs[..2] {
        assert_eq!(world.broker.cancel_job(job.id).await.unwrap(), Some(State::Cancelled));
    }

    assert_eq!(world.depth(QUEUE).await, (1, 0, 0));
    let group = world.group(group.id).await;
    assert_eq!((group.cancelled, group.pending, group.cancelling), (2, 1, false));
    assert!(world.job(jobs[0].id).await.finished_at.is_some());
    let results = world.broker.results(group.id, 0, 9).await.unwrap();
    let ended: Vec<_> = results.iter().map(|r| (r.index, r.job, r.state, r.result.is_empty())).collect();
    assert_eq!(ended, [(0, jobs[0].id, State::Cancelled, true), (1, jobs[1].id, State::Cancelled, true)]);
    world.clock.advance(HOUR);
    assert_eq!(ids(&world.claim("a", 1, 9).await), [jobs[2].id]);
}

pub async fn running_job_is_asked_to_stop_by_its_heartbeat(world: World) {
    let (group, jobs) = world.enqueue(jobs(2)).await;
    let claimed = world.claim("a", 1, 2).await;
    let leases: Vec<_> = claimed.iter().map(|job| job.lease.clone()).collect();

    assert_eq!(world.broker.cancel_job(jobs[1].id).await.unwrap(), Some(State::Active));

    assert!(world.job(jobs[1].id).await.cancelling && !world.job(jobs[0].id).await.cancelling);
    for _ in 0..3 {
        world.clock.advance(world.policy.lease / 2);
        let beat = world.broker.beat(&leases).await.unwrap();
        assert_eq!((beat.lost, beat.cancelled), (vec![], vec![jobs[1].id]));
    }
    world.claim("b", 1, 0).await;
    assert_eq!(world.depth(QUEUE).await, (0, 0, 2), "the lease is renewed until the worker has settled");
    assert_eq!(world.settle(&leases[1], Verdict::Cancel).await, Settled::Committed);
    assert_eq!(world.state(&jobs[1]).await, "cancelled");
    let group = world.group(group.id).await;
    assert_eq!((group.cancelled, group.pending), (1, 1));
}

pub async fn success_and_failure_of_a_cancelled_attempt_stand(world: World) {
    let (group, jobs) = world.enqueue(jobs(2)).await;
    let claimed = world.claim("a", 1, 2).await;
    for job in &jobs {
        world.broker.cancel_job(job.id).await.unwrap();
    }

    world.settle(&claimed[0].lease, succeed()).await;
    world.settle(&claimed[1].lease, fail()).await;

    let group = world.group(group.id).await;
    assert_eq!((group.succeeded, group.failed, group.cancelled), (1, 1, 0));
}

pub async fn whatever_would_run_a_cancelled_job_again_ends_it(world: World) {
    let (group, jobs) = world.enqueue(jobs(6)).await;
    let claimed = world.claim("a", 1, 6).await;
    for job in &jobs {
        world.broker.cancel_job(job.id).await.unwrap();
    }

    assert_eq!(world.settle(&claimed[0].lease, retry(HOUR)).await, Settled::Committed);
    assert_eq!(world.settle(&claimed[1].lease, Verdict::Crash { alone: false }).await, Settled::Committed);
    assert_eq!(world.settle(&claimed[2].lease, Verdict::Crash { alone: true }).await, Settled::Committed);
    world.broker.release(&[claimed[3].lease.clone()], None).await.unwrap();
    world.broker.release(&[claimed[4].lease.clone()], Some(HOUR)).await.unwrap();
    world.clock.advance(world.policy.lease);
    assert!(world.claim("b", 1, 9).await.is_empty());

    for job in &jobs {
        assert_eq!(world.state(job).await, "cancelled", "{}", job.index);
    }
    assert_eq!(world.depth(QUEUE).await, (0, 0, 0));
    assert!(world.group(group.id).await.finished_at.is_some());
    // The replies may have been lost.
    for (job, verdict) in claimed.iter().zip([retry(HOUR), Verdict::Crash { alone: false }]) {
        assert_eq!(world.settle(&job.lease, verdict).await, Settled::Committed);
    }
    assert_eq!(world.settle(&claimed[3].lease, succeed()).await, Settled::LeaseLost);
    assert_eq!(world.settle(&claimed[5].lease, succeed()).await, Settled::LeaseLost);
    assert_eq!(world.group(group.id).await.cancelled, 6);
}

pub async fn worker_may_settle_as_cancelled_unasked(world: World) {
    let (group, jobs) = world.enqueue(jobs(1)).await;
    let claimed = world.claim("a", 1, 1).await;
    let twice = [settlement(&claimed[0], Verdict::Cancel), settlement(&claimed[0], Verdict::Cancel)];

    assert_eq!(world.broker.settle(&twice, None).await.unwrap().0, [Settled::Committed; 2]);

    assert_eq!(world.settle(&claimed[0].lease, Verdict::Cancel).await, Settled::Committed);
    assert_eq!(world.state(&jobs[0]).await, "cancelled");
    assert_eq!(world.group(group.id).await.cancelled, 1);
}

pub async fn cancelling_finished_jobs_changes_nothing(world: World) {
    let (group, jobs) = world.enqueue(jobs(3)).await;
    let claimed = world.claim("a", 1, 2).await;
    world.settle(&claimed[0].lease, succeed()).await;
    world.settle(&claimed[1].lease, fail()).await;
    world.broker.cancel_job(jobs[2].id).await.unwrap();

    for (job, state) in jobs.iter().zip([State::Succeeded, State::Failed, State::Cancelled]) {
        assert_eq!(world.broker.cancel_job(job.id).await.unwrap(), Some(state));
    }

    let group = world.group(group.id).await;
    assert_eq!((group.succeeded, group.failed, group.cancelled), (1, 1, 1));
    assert_eq!(world.broker.cancel_job(JobId::new()).await.unwrap(), None);
}

pub async fn cancelled_group_ends_what_waits_and_asks_what_runs(world: World) {
    let first = job();
    let chained = after(&first);
    let (group, jobs) =
        world.enqueue(vec![first, job(), delayed(HOUR), in_queue("other"), chained, job(), job()]).await;
    let (_, neighbours) = world.enqueue(vec![job()]).await;
    let claimed = world.claim("a", 1, 2).await;
    assert_eq!(ids(&claimed), ids_of(&jobs[..2]));

    let ended = world.broker.cancel_group(group.id).await.unwrap();

    assert_eq!(ended, Some(5));
    let kept = world.group(group.id).await;
    assert_eq!((kept.cancelled, kept.pending, kept.cancelling, kept.sealed), (5, 2, true, true));
    assert!(world.job(jobs[0].id).await.cancelling);
    let leases: Vec<_> = claimed.iter().map(|job| job.lease.clone()).collect();
    assert_eq!(world.broker.beat(&leases).await.unwrap().cancelled, ids_of(&jobs[..2]));
    assert_eq!(ids(&world.claim("a", 2, 9).await), ids_of(&neighbours));
    assert_eq!((world.depth(QUEUE).await, world.depth("other").await), ((0, 0, 3), (0, 0, 0)));
    world.settle(&claimed[0].lease, succeed()).await;
    world.settle(&claimed[1].lease, retry(HOUR)).await;
    let kept = world.group(group.id).await;
    assert_eq!((kept.succeeded, kept.cancelled, kept.pending), (1, 6, 0));
    assert!(kept.finished_at.is_some());
}

pub async fn attempts_of_a_cancelled_group_do_not_run_again(world: World) {
    let (group, jobs) = world.enqueue(jobs(4)).await;
    let claimed = world.claim("a", 1, 4).await;
    assert_eq!(world.broker.cancel_group(group.id).await.unwrap(), Some(0));

    world.settle(&claimed[0].lease, Verdict::Crash { alone: false }).await;
    world.broker.release(&[claimed[1].lease.clone()], None).await.unwrap();
    world.broker.release(&[claimed[2].lease.clone()], Some(HOUR)).await.unwrap();
    world.clock.advance(world.policy.lease);

    assert!(world.claim("b", 1, 9).await.is_empty());
    for job in &jobs {
        assert_eq!(world.state(job).await, "cancelled", "{}", job.index);
    }
    assert!(world.group(group.id).await.finished_at.is_some());
}

pub async fn long_group_that_nobody_works_on_is_cancelled(world: World) {
    let (group, _) = world.enqueue([jobs(1_500), (0..1_500).map(|_| delayed(HOUR)).collect()].concat()).await;
    let (_, neighbour) = world.enqueue(jobs(1)).await;
    world.broker.pause(QUEUE).await.unwrap();

    assert_eq!(world.broker.cancel_group(group.id).await.unwrap(), Some(3_000));

    let kept = world.group(group.id).await;
    assert_eq!((kept.cancelled, kept.pending), (3_000, 0));
    assert!(kept.finished_at.is_some());
    assert_eq!(world.depth(QUEUE).await, (1, 0, 0));
    world.broker.resume(QUEUE).await.unwrap();
    assert_eq!(ids(&world.drain("a").await), ids_of(&neighbour));
    assert_eq!(world.broker.results(group.id, 2_990, 99).await.unwrap().len(), 10);
}

pub async fn cancelling_a_group_again_ends_nothing_more(world: World) {
    let (group, jobs) = world.enqueue(jobs(2)).await;
    let claimed = world.claim("a", 1, 1).await;

    assert_eq!(world.broker.cancel_group(group.id).await.unwrap(), Some(1));
    assert_eq!(world.broker.cancel_group(group.id).await.unwrap(), Some(0));
    world.settle(&claimed[0].lease, Verdict::Cancel).await;
    let finished = world.group(group.id).await;
    assert_eq!(world.broker.cancel_group(group.id).await.unwrap(), Some(0));

    assert_eq!(world.group(group.id).await, finished);
    assert_eq!(finished.cancelled, 2);
    assert_eq!(world.broker.cancel_group(GroupId::new()).await.unwrap(), None);
    // It is sealed: enqueueing it again brings nothing back.
    world.broker.enqueue(&group, &jobs).await.unwrap();
    assert!(world.claim("a", 2, 9).await.is_empty());
}

pub async fn cancelling_one_job_leaves_the_rest_of_its_group(world: World) {
    let (group, jobs) = world.enqueue(jobs(3)).await;
    world.broker.cancel_job(jobs[1].id).await.unwrap();

    let claimed = world.claim("a", 1, 9).await;

    assert_eq!(ids(&claimed), [jobs[0].id, jobs[2].id]);
    for job in &claimed {
        world.settle(&job.lease, succeed()).await;
    }
    let kept = world.group(group.id).await;
    assert_eq!((kept.succeeded, kept.cancelled, kept.cancelling), (2, 1, false));
    assert!(kept.finished_at.is_some());
}

/// However slow a cancel is to get its turn, some of the jobs are left for it.
const CLAIMS_BEFORE_THE_CANCEL: u64 = 60;

pub async fn group_cancelled_among_racing_workers_ends_with_true_counters(world: World) {
    let zip = then(On::Always);
    let (group, jobs) = grouped(jobs(1_200));
    let group = NewGroup { then: Some(zip.clone()), ..group };
    world.broker.enqueue(&group, &jobs).await.unwrap();
    let cancelled = tokio::sync::SetOnce::new();
    let race = (0..3).map(|racer| {
        let (world, group, cancelled) = (&world, &group, &cancelled);
        async move {
            let broker = world.another().await;
            let session = format!("racer-{racer}");
            let mut committed = 0;
            for sequence in 0.. {
                if sequence == CLAIMS_BEFORE_THE_CANCEL {
                    cancelled.wait().await;
                }
                let claimed = broker.claim(&ask(&session, sequence, 5)).await.unwrap().jobs;
                if claimed.iter().all(|job| job.group != group.id) {
                    return (committed, claimed.len());
                }
                let ends: Vec<_> = claimed.iter().map(|job| settlement(job, succeed())).collect();
                committed += broker.settle(&ends, None).await.unwrap().0.len();
            }
            unreachable!("it ends when nothing of the group waits")
        }
    });
    let operator = world.another().await;
    let cancels = async {
        until("some have run", async || (world.group(group.id).await.succeeded > 50).then_some(())).await;
        let ended = operator.cancel_group(group.id).await.unwrap().unwrap();
        cancelled.set(()).unwrap();
        ended
    };

    let (raced, ended) = tokio::join!(futures::future::join_all(race), cancels);

    let kept = world.group(group.id).await;
    let succeeded: usize = raced.iter().map(|(succeeded, _)| succeeded).sum();
    assert_eq!((kept.pending, kept.succeeded as usize), (0, succeeded));
    assert!(u64::from(kept.cancelled) >= ended && kept.cancelled > 0, "{kept:?}");
    assert!(kept.fired && kept.finished_at.is_some());
    let follow_ups = raced.iter().map(|(_, others)| others).sum::<usize>() + world.claim("last", 1, 9).await.len();
    assert_eq!((follow_ups, world.group(zip.group).await.total), (1, 1), "fired once");
}
