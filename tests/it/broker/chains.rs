use std::time::Duration;

use queue::{
    Error, JobList, NewJob, Policy,
    State::{self, Active, Cancelled, Delayed, Failed, Succeeded, Waiting},
    Verdict,
};

use super::world::{
    HOUR, MINUTE, QUEUE, World, after, ask, delayed, fail, grouped, ids, in_queue, job, jobs, retry, settlement,
    succeed,
};

pub fn policy() -> Policy {
    Policy { queue_cap: 3_000, ..super::world::policy() }
}

/// `length` jobs, each after the one before.
fn chain(length: usize) -> Vec<NewJob> {
    let mut chain = vec![job()];
    while chain.len() < length {
        chain.push(after(&chain[chain.len() - 1]));
    }
    chain
}

async fn states(world: &World, jobs: &[NewJob]) -> Vec<State> {
    let mut states = Vec::new();
    for job in jobs {
        states.push(world.job(job.id).await.state);
    }
    states
}

pub async fn held_job_is_delayed_without_being_due(world: World) {
    let (_, jobs) = world.enqueue(chain(2)).await;

    let held = world.job(jobs[1].id).await;

    assert_eq!((held.state, held.due_at, held.after), (Delayed, None, Some(jobs[0].id)));
    assert_eq!(world.job(jobs[0].id).await.after, None);
    assert_eq!(world.depth(QUEUE).await, (1, 1, 0));
    assert_eq!(world.broker.list(JobList::Delayed, 0, 9).await.unwrap(), []);
    let claim = world.claim_all(&ask("a", 1, 9)).await;
    assert_eq!(ids(&claim.jobs), [jobs[0].id]);
    assert!(claim.next_due.unwrap() <= world.policy.lease);
    world.settle(&claim.jobs[0].lease, retry(HOUR)).await;
    world.clock.advance(MINUTE * 30);
    assert!(world.claim("a", 2, 9).await.is_empty(), "a retry is no success");
}

pub async fn success_starts_the_next_one(world: World) {
    let (group, jobs) = world.enqueue(chain(3)).await;
    let (_, others) = world.enqueue(vec![job()]).await;
    let first = world.claim("a", 1, 1).await;

    let (_, claim) = world.broker.settle(&[settlement(&first[0], succeed())], Some(&ask("a", 2, 9))).await.unwrap();

    let claimed = claim.unwrap().jobs;
    assert_eq!(ids(&claimed), [others[0].id, jobs[1].id], "at the back of the line");
    assert_eq!(states(&world, &jobs).await, [Succeeded, Active, Delayed]);
    world.settle(&claimed[1].lease, succeed()).await;
    let last = world.claim("a", 3, 9).await;
    world.settle(&last[0].lease, succeed()).await;
    let group = world.group(group.id).await;
    assert_eq!((group.succeeded, group.finished_at.is_some()), (3, true));
}

pub async fn delay_of_a_held_job_begins_with_the_success(world: World) {
    let first = job();
    let second = NewJob { delay: Some(HOUR), ..after(&first) };
    let (_, jobs) = world.enqueue(vec![first, second]).await;
    world.clock.advance(HOUR * 2);
    let claimed = world.claim("a", 1, 9).await;
    assert_eq!(claimed.len(), 1);

    world.settle(&claimed[0].lease, succeed()).await;

    let kept = world.job(jobs[1].id).await;
    assert_eq!(kept.state, Delayed);
    assert!(kept.due_at.is_some());
    assert_eq!(world.broker.list(JobList::Delayed, 0, 9).await.unwrap()[0].job, jobs[1].id);
    let early = world.claim_all(&ask("a", 2, 9)).await;
    assert!(early.jobs.is_empty());
    assert!(early.next_due.is_some_and(|next| next > HOUR - MINUTE && next <= HOUR), "{early:?}");
    world.clock.advance(HOUR);
    assert_eq!(ids(&world.claim("a", 3, 9).await), [jobs[1].id]);
}

pub async fn several_may_follow_one(world: World) {
    let first = job();
    let followers = [after(&first), NewJob { queue: "other".into(), ..after(&first) }, after(&first)];
    let (_, jobs) = world.enqueue([vec![first], followers.to_vec()].concat()).await;
    let claimed = world.claim("a", 1, 9).await;

    world.settle(&claimed[0].lease, succeed()).await;

    assert_eq!((world.depth(QUEUE).await, world.depth("other").await), ((2, 0, 0), (1, 0, 0)));
    assert_eq!(ids(&world.claim("a", 2, 9).await), [jobs[1].id, jobs[3].id]);
}

pub async fn failure_cancels_the_rest_of_the_chain(world: World) {
    let (group, jobs) = world.enqueue(chain(4)).await;
    let claimed = world.claim("a", 1, 9).await;
    world.settle(&claimed[0].lease, succeed()).await;
    let claimed = world.claim("a", 2, 9).await;

    world.settle(&claimed[0].lease, fail()).await;

    assert_eq!(states(&world, &jobs).await, [Succeeded, Failed, Cancelled, Cancelled]);
    let group = world.group(group.id).await;
    assert_eq!((group.succeeded, group.failed, group.cancelled, group.pending), (1, 1, 2, 0));
    assert!(group.finished_at.is_some());
    assert_eq!(world.depth(QUEUE).await, (0, 0, 0));
}

pub async fn poison_cancels_the_rest_of_the_chain(world: World) {
    let (_, jobs) = world.enqueue(chain(3)).await;
    for sequence in 1..=4 {
        world.claim("a", sequence, 9).await;
        world.clock.advance(world.policy.lease);
    }

    world.claim("a", 5, 0).await;

    assert_eq!(states(&world, &jobs).await, [Failed, Cancelled, Cancelled]);
}

pub async fn cancelling_cancels_the_chain_behind(world: World) {
    let (_, jobs) = world.enqueue(chain(5)).await;

    assert_eq!(world.broker.cancel_job(jobs[3].id).await.unwrap(), Some(Cancelled));

    assert_eq!(states(&world, &jobs).await, [Waiting, Delayed, Delayed, Cancelled, Cancelled]);
    let claimed = world.claim("a", 1, 9).await;
    world.broker.cancel_job(jobs[0].id).await.unwrap();
    assert_eq!(states(&world, &jobs).await, [Active, Delayed, Delayed, Cancelled, Cancelled]);
    world.settle(&claimed[0].lease, Verdict::Cancel).await;
    assert_eq!(states(&world, &jobs).await, [Cancelled; 5]);
    assert_eq!(world.depth(QUEUE).await, (0, 0, 0));
}

pub async fn success_of_a_cancelled_attempt_goes_on_with_the_chain(world: World) {
    let (_, jobs) = world.enqueue(chain(2)).await;
    let claimed = world.claim("a", 1, 9).await;
    world.broker.cancel_job(jobs[0].id).await.unwrap();

    world.settle(&claimed[0].lease, succeed()).await;

    assert_eq!(states(&world, &jobs).await, [Succeeded, Waiting]);
}

pub async fn success_in_a_cancelled_group_starts_nothing(world: World) {
    let (group, jobs) = world.enqueue(chain(2)).await;
    let claimed = world.claim("a", 1, 9).await;
    assert_eq!(world.broker.cancel_group(group.id).await.unwrap(), Some(1));

    world.settle(&claimed[0].lease, succeed()).await;

    assert_eq!(states(&world, &jobs).await, [Succeeded, Cancelled]);
    assert!(world.claim("a", 2, 9).await.is_empty());
}

pub async fn chain_crosses_queues(world: World) {
    let first = in_queue("other");
    let (_, jobs) = world.enqueue(vec![first.clone(), after(&first)]).await;
    assert_eq!((world.depth("other").await, world.depth(QUEUE).await), ((1, 0, 0), (0, 1, 0)));

    world.broker.cancel_job(jobs[0].id).await.unwrap();

    assert_eq!((world.depth("other").await, world.depth(QUEUE).await), ((0, 0, 0), (0, 0, 0)));
}

pub async fn long_chain_ends_with_its_first_job(world: World) {
    let (group, jobs) = world.enqueue(chain(2_500)).await;
    let claimed = world.claim("a", 1, 9).await;
    assert_eq!(ids(&claimed), [jobs[0].id]);

    world.settle(&claimed[0].lease, fail()).await;

    let kept = world.group(group.id).await;
    assert_eq!((kept.failed, kept.cancelled, kept.pending), (1, 2_499, 0));
    assert_eq!(world.depth(QUEUE).await, (0, 0, 0));
}

pub async fn held_jobs_count_for_the_cap(world: World) {
    world.enqueue([chain(2), jobs(2_998)].concat()).await;
    let (group, one) = grouped(vec![job()]);

    let refused = world.broker.enqueue(&group, &one).await;

    assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
}

pub async fn chain_to_a_stranger_or_backwards_is_refused(world: World) {
    let (first, second) = (job(), job());
    let wrong = [
        vec![after(&job())],
        vec![after(&second), second.clone()],
        vec![NewJob { after: Some(first.id), ..first.clone() }],
    ];

    for jobs in wrong {
        let (group, jobs) = grouped(jobs);
        let refused = world.broker.enqueue(&group, &jobs).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{jobs:?}: {refused:?}");
        assert_eq!(world.broker.group(group.id).await.unwrap(), None);
    }
}

pub async fn started_follower_outlives_its_delayed_sibling(world: World) {
    let first = job();
    let slow = NewJob { delay: Some(HOUR), ..after(&first) };
    let behind = after(&slow);
    let (_, jobs) = world.enqueue(vec![first, slow, behind, delayed(Duration::from_secs(1))]).await;
    let claimed = world.claim("a", 1, 9).await;
    world.settle(&claimed[0].lease, succeed()).await;

    world.broker.cancel_job(jobs[1].id).await.unwrap();

    assert_eq!(states(&world, &jobs).await, [Succeeded, Cancelled, Cancelled, Delayed]);
    assert_eq!(world.depth(QUEUE).await, (0, 1, 0));
    assert_eq!(world.broker.list(JobList::Delayed, 0, 9).await.unwrap().len(), 1);
}
