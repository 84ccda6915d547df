use queue::{JobId, JobList, NewJob, State, Verdict};

use super::world::{HOUR, MINUTE, World, after, delayed, fail, ids_of, job, jobs, retry, succeed};

pub use super::world::policy;

async fn list(world: &World, index: JobList, skip: usize, limit: usize) -> Vec<JobId> {
    let listed = world.broker.list(index, skip, limit).await.unwrap();
    listed.into_iter().map(|entry| entry.job).collect()
}

pub async fn delayed_jobs_are_listed_by_due_time(world: World) {
    let first = delayed(HOUR * 3);
    let held = after(&first);
    let (_, jobs) = world.enqueue(vec![first, delayed(HOUR), job(), delayed(HOUR * 2), held]).await;
    let due = [jobs[1].id, jobs[3].id, jobs[0].id];

    assert_eq!(list(&world, JobList::Delayed, 0, 9).await, due);
    assert_eq!(list(&world, JobList::Delayed, 1, 1).await, due[1..2]);
    assert_eq!(list(&world, JobList::Delayed, 3, 9).await, []);
    assert_eq!(list(&world, JobList::Delayed, 0, 0).await, []);
    let entry = world.broker.list(JobList::Delayed, 0, 1).await.unwrap()[0];
    assert_eq!(Some(entry.at), world.job(jobs[1].id).await.due_at);
}

pub async fn active_jobs_are_listed_by_the_end_of_their_lease(world: World) {
    let (_, jobs) = world.enqueue(jobs(4)).await;
    let first = world.claim("a", 1, 1).await;
    for sequence in 2..=3 {
        world.clock.advance(world.policy.lease / 5);
        world.claim("a", sequence, 1).await;
    }
    world.clock.advance(world.policy.lease / 5);
    world.broker.beat(&[first[0].lease.clone()]).await.unwrap();

    assert_eq!(list(&world, JobList::Active, 0, 9).await, [jobs[1].id, jobs[2].id, jobs[0].id]);
    assert_eq!(list(&world, JobList::Active, 1, 1).await, [jobs[2].id]);
    let entry = world.broker.list(JobList::Active, 2, 1).await.unwrap()[0];
    assert_eq!(Some(entry.at), world.job(jobs[0].id).await.due_at);
    world.settle(&first[0].lease, retry(HOUR)).await;
    assert_eq!(list(&world, JobList::Active, 0, 9).await, [jobs[1].id, jobs[2].id]);
}

pub async fn failed_jobs_are_listed_the_last_death_first(world: World) {
    let (_, jobs) = world.enqueue(jobs(4)).await;
    let claimed = world.claim("a", 1, 9).await;
    for (claimed, verdict) in claimed.iter().zip([fail(), succeed(), fail(), Verdict::Cancel]) {
        world.settle(&claimed.lease, verdict).await;
        world.clock.advance(MINUTE / 60);
    }

    assert_eq!(list(&world, JobList::Dead, 0, 9).await, [jobs[2].id, jobs[0].id]);
    assert_eq!(list(&world, JobList::Dead, 1, 9).await, [jobs[0].id]);
    assert_eq!(list(&world, JobList::Dead, 0, 1).await, [jobs[2].id]);
    let entry = world.broker.list(JobList::Dead, 0, 1).await.unwrap()[0];
    assert_eq!(Some(entry.at), world.job(jobs[2].id).await.finished_at);
}

pub async fn poisoned_jobs_are_dead_too(world: World) {
    let (_, jobs) = world.enqueue(jobs(2)).await;
    for sequence in 1..=4 {
        let claimed = world.claim("a", sequence, 1).await;
        world.settle(&claimed[0].lease, Verdict::Crash { alone: sequence > 1 }).await;
    }
    assert_eq!(list(&world, JobList::Dead, 0, 9).await, ids_of(&jobs[..1]));
    for sequence in 5..=8 {
        assert_eq!(world.claim("a", sequence, 1).await.len(), 1);
        world.clock.advance(world.policy.lease);
    }

    world.claim("a", 9, 0).await;

    assert_eq!(list(&world, JobList::Dead, 0, 9).await, [jobs[1].id, jobs[0].id]);
}

pub async fn copy_takes_the_dead_one_off_the_list(world: World) {
    let (group, jobs) = world.enqueue(jobs(2)).await;
    let claimed = world.claim("a", 1, 9).await;
    for claimed in &claimed {
        world.settle(&claimed.lease, fail()).await;
    }
    let copy = NewJob { retry_of: Some(jobs[0].id), ..job() };

    let (_, copies) = world.enqueue(vec![copy]).await;

    assert_eq!(list(&world, JobList::Dead, 0, 9).await, [jobs[1].id]);
    assert_eq!(world.job(copies[0].id).await.retry_of, Some(jobs[0].id));
    assert_eq!(world.job(jobs[0].id).await.retry_of, None);
    assert_eq!(world.job(jobs[0].id).await.state, State::Failed, "a finished record never changes");
    assert_eq!(world.group(group.id).await.failed, 2);
    // The copy may fail as well.
    let claimed = world.claim("a", 2, 9).await;
    world.settle(&claimed[0].lease, fail()).await;
    assert_eq!(list(&world, JobList::Dead, 0, 9).await.len(), 2);
}
