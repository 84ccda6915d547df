use std::time::Duration;

use queue::{GroupId, JobList, Settled};

use super::world::{HOUR, MINUTE, QUEUE, World, fail, ids, jobs, settlement, succeed};

pub use super::world::policy;

pub async fn finished_groups_come_by_age_the_oldest_first(world: World) {
    let mut groups = Vec::new();
    for sequence in 1..=3 {
        let (group, _) = world.enqueue(jobs(1)).await;
        let claimed = world.claim("a", sequence, 1).await;
        world.settle(&claimed[0].lease, succeed()).await;
        groups.push(group.id);
        world.clock.advance(HOUR);
    }
    let (empty, _) = world.enqueue(vec![]).await;
    world.enqueue(jobs(1)).await;

    let older = async |age: Duration, limit| world.broker.finished_groups(age, 0, limit).await.unwrap();

    assert_eq!(older(Duration::ZERO, 9).await, [&groups[..], &[empty.id]].concat());
    assert_eq!(older(MINUTE, 9).await, groups);
    assert_eq!(older(HOUR + MINUTE, 9).await, groups[..2]);
    assert_eq!(older(MINUTE, 2).await, groups[..2]);
    assert_eq!(older(HOUR * 99, 9).await, []);
    assert_eq!(world.broker.finished_groups(MINUTE, 1, 1).await.unwrap(), groups[1..2]);
    assert_eq!(world.broker.finished_groups(MINUTE, 3, 9).await.unwrap(), []);
}

pub async fn removed_group_leaves_nothing(world: World) {
    let (group, work) = world.enqueue(jobs(3)).await;
    let claimed = world.claim("a", 1, 9).await;
    world.settle(&claimed[0].lease, succeed()).await;
    world.settle(&claimed[1].lease, fail()).await;
    world.broker.cancel_group(group.id).await.unwrap();
    world.settle(&claimed[2].lease, fail()).await;
    let (neighbour, _) = world.enqueue(jobs(1)).await;
    assert_eq!(world.broker.list(JobList::Dead, 0, 9).await.unwrap().len(), 2);

    assert!(world.broker.remove_group(group.id).await.unwrap());

    assert_eq!(world.broker.group(group.id).await.unwrap(), None);
    for job in &work {
        assert_eq!(world.broker.job(job.id).await.unwrap(), None);
    }
    assert_eq!(world.broker.results(group.id, 0, 9).await.unwrap(), []);
    assert_eq!(world.broker.list(JobList::Dead, 0, 9).await.unwrap(), []);
    assert_eq!(world.broker.finished_groups(Duration::ZERO, 0, 9).await.unwrap(), []);
    assert!(!world.broker.remove_group(group.id).await.unwrap(), "it is gone");
    assert_eq!(world.settle(&claimed[0].lease, succeed()).await, Settled::LeaseLost);
    assert_eq!(world.group(neighbour.id).await.pending, 1);
    assert_eq!(world.depth(QUEUE).await, (1, 0, 0));
}

pub async fn unfinished_and_unknown_groups_are_not_removed(world: World) {
    let (group, jobs) = world.enqueue(jobs(2)).await;
    let claimed = world.claim("a", 1, 1).await;
    world.settle(&claimed[0].lease, succeed()).await;

    assert!(!world.broker.remove_group(group.id).await.unwrap());
    assert!(!world.broker.remove_group(GroupId::new()).await.unwrap());

    assert_eq!(world.group(group.id).await.pending, 1);
    assert_eq!(ids(&world.claim("a", 2, 9).await), [jobs[1].id]);
}

pub async fn long_group_is_removed_whole(world: World) {
    let (group, work) = world.enqueue(jobs(2_500)).await;
    let claimed = world.drain("a").await;
    let ends: Vec<_> = claimed.iter().map(|job| settlement(job, fail())).collect();
    world.broker.settle(&ends, None).await.unwrap();
    assert_eq!(world.broker.list(JobList::Dead, 0, 5_000).await.unwrap().len(), 2_500);

    assert!(world.broker.remove_group(group.id).await.unwrap());

    assert_eq!(world.broker.list(JobList::Dead, 0, 9).await.unwrap(), []);
    for job in work.iter().step_by(499) {
        assert_eq!(world.broker.job(job.id).await.unwrap(), None);
    }
    assert_eq!(world.broker.group(group.id).await.unwrap(), None);
}
