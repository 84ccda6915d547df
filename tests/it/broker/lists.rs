use std::collections::{HashMap, HashSet};

use queue::{Error, GroupFilter, GroupId, JobFilter, JobId, ListPosition, NewGroup, NewJob, On, Period, State};

use super::world::{
    HOUR, LONG, MINUTE, World, after, delayed, fail, grouped, ids_of, in_queue, job, jobs, retry, settlement, soon,
    succeed, then,
};

pub use super::world::policy;

const LIMIT: usize = 1_000;

async fn groups(world: &World, submitted: Period) -> Vec<GroupId> {
    let filter = GroupFilter { submitted, ..GroupFilter::default() };
    let page = world.broker.groups(&filter, None, LIMIT).await.unwrap();
    assert_eq!(page.next, None);
    page.entries.into_iter().map(|group| group.id).collect()
}

/// All the pages of a list, and how many there were.
async fn pages(world: &World, filter: &JobFilter, limit: usize) -> (Vec<JobId>, usize) {
    let (mut found, mut below, mut number) = (Vec::new(), None, 0);
    loop {
        let page = world.broker.jobs(filter, below, limit).await.unwrap();
        assert!(page.entries.len() <= limit, "{} jobs", page.entries.len());
        found.extend(page.entries.into_iter().map(|job| job.id));
        number += 1;
        assert!(page.next.is_none_or(|next| below.is_none_or(|below| next < below)), "{below:?} {:?}", page.next);
        below = page.next;
        if below.is_none() {
            return (found, number);
        }
    }
}

async fn list(world: &World, filter: JobFilter) -> Vec<JobId> {
    pages(world, &filter, LIMIT).await.0
}

fn of_state(state: State) -> JobFilter {
    JobFilter { state: Some(state), ..JobFilter::default() }
}

fn backwards(jobs: &[NewJob]) -> Vec<JobId> {
    jobs.iter().rev().map(|job| job.id).collect()
}

pub async fn groups_are_listed_the_newest_first(world: World) {
    let mut enqueued = Vec::new();
    for _ in 0..5 {
        enqueued.insert(0, world.enqueue(jobs(1)).await.0.id);
        world.clock.advance(MINUTE);
    }

    assert_eq!(groups(&world, Period::default()).await, enqueued);
    let page = world.broker.groups(&GroupFilter::default(), None, 2).await.unwrap();
    assert_eq!(page.entries.iter().map(|group| group.id).collect::<Vec<_>>(), enqueued[..2]);
    assert_eq!(page.entries[0], world.group(enqueued[0]).await);
    let (newer, _) = world.enqueue(jobs(1)).await;
    let page = world.broker.groups(&GroupFilter::default(), page.next, 3).await.unwrap();
    assert_eq!(page.entries.iter().map(|group| group.id).collect::<Vec<_>>(), enqueued[2..]);
    assert_eq!(world.broker.groups(&GroupFilter::default(), page.next, 3).await.unwrap().entries, []);
    assert_eq!(groups(&world, Period::default()).await[0], newer.id);
}

pub async fn groups_of_one_instant_come_once(world: World) {
    let wanted: Vec<_> = (0..60).map(|_| grouped(jobs(1))).collect();
    futures::future::join_all(wanted.iter().map(|(group, jobs)| world.broker.enqueue(group, jobs))).await;

    let (mut found, mut below) = (Vec::new(), None);
    loop {
        let page = world.broker.groups(&GroupFilter::default(), below, 7).await.unwrap();
        found.extend(page.entries.iter().map(|group| (group.created_at, group.id)));
        below = page.next;
        if below.is_none() {
            break;
        }
    }

    assert!(found.is_sorted_by(|one, other| one > other), "{found:?}");
    let ids: HashSet<GroupId> = found.iter().map(|(_, id)| *id).collect();
    assert_eq!(ids, wanted.iter().map(|(group, _)| group.id).collect());
    assert_eq!(pages(&world, &JobFilter::default(), 7).await.0.len(), 60);
}

pub async fn groups_and_jobs_are_of_a_period(world: World) {
    let (first, first_jobs) = world.enqueue(jobs(2)).await;
    world.clock.advance(MINUTE);
    let (second, second_jobs) = world.enqueue(jobs(2)).await;
    let [first_at, second_at] = [world.group(first.id).await.created_at, world.group(second.id).await.created_at];
    let period = |since, until| Period { since, until };
    let jobs = async |submitted| list(&world, JobFilter { submitted, ..JobFilter::default() }).await;

    let since_second = period(Some(second_at), None);
    assert_eq!(groups(&world, since_second).await, [second.id]);
    assert_eq!(jobs(since_second).await, backwards(&second_jobs));
    let until_second = period(None, Some(second_at));
    assert_eq!(groups(&world, until_second).await, [first.id]);
    assert_eq!(jobs(until_second).await, backwards(&first_jobs));
    assert_eq!(groups(&world, period(Some(first_at), Some(first_at))).await, []);
    assert_eq!(jobs(period(Some(first_at), Some(first_at))).await, []);
    assert_eq!(groups(&world, period(Some(first_at), Some(second_at + MINUTE))).await, [second.id, first.id]);
    // A place within a group that is too old, or too young, leads nowhere else.
    let inside = ListPosition { created_at: first_at, group: first.id, index: 1 };
    for submitted in [since_second, period(None, Some(first_at))] {
        let filter = JobFilter { submitted, ..JobFilter::default() };
        assert_eq!(world.broker.jobs(&filter, Some(inside), 9).await.unwrap().entries, []);
    }
}

pub async fn jobs_are_listed_the_newest_group_and_its_last_job_first(world: World) {
    let (_, first) = world.enqueue(jobs(3)).await;
    world.clock.advance(MINUTE);
    let (_, second) = world.enqueue(jobs(2)).await;

    let all = list(&world, JobFilter::default()).await;

    assert_eq!(all, [backwards(&second), backwards(&first)].concat());
    let page = world.broker.jobs(&JobFilter::default(), None, 1).await.unwrap();
    assert_eq!(page.entries, [world.job(second[1].id).await]);
}

pub async fn pages_give_each_job_once_while_others_come(world: World) {
    let mut before = HashSet::new();
    for size in [1, 30, 2, 0, 7] {
        before.extend(ids_of(&world.enqueue(jobs(size)).await.1));
        world.clock.advance(MINUTE);
    }
    for limit in [1, 4, 40] {
        let (mut found, mut below) = (HashMap::new(), None);
        loop {
            let page = world.broker.jobs(&JobFilter::default(), below, limit).await.unwrap();
            for job in page.entries {
                *found.entry(job.id).or_insert(0) += 1;
            }
            below = page.next;
            if below.is_none() {
                break;
            }
            world.enqueue(jobs(2)).await;
            let claimed = world.claim(&format!("s{limit}-{}", found.len()), 1, 1).await;
            world.settle(&claimed[0].lease, succeed()).await;
        }
        assert!(found.values().all(|&times| times == 1), "{limit}: {found:?}");
        assert!(before.iter().all(|id| found.contains_key(id)), "{limit}");
        before.extend(list(&world, JobFilter::default()).await);
    }
}

pub async fn jobs_are_listed_by_state(world: World) {
    let (_, first) = world.enqueue(jobs(4)).await;
    world.clock.advance(MINUTE);
    let (_, second) = world.enqueue(vec![job(), job(), delayed(HOUR)]).await;
    let claimed = world.claim("a", 1, 6).await;
    let ends =
        [settlement(&claimed[0], succeed()), settlement(&claimed[1], fail()), settlement(&claimed[2], retry(HOUR))];
    world.broker.settle(&ends, None).await.unwrap();
    world.broker.cancel_job(second[1].id).await.unwrap();
    world.clock.advance(MINUTE);
    let ended = job();
    let (_, third) = world.enqueue(vec![ended.clone(), after(&ended), job()]).await;
    world.broker.cancel_job(ended.id).await.unwrap();

    for (state, expected) in [
        (State::Waiting, vec![third[2].id]),
        (State::Delayed, vec![second[2].id, first[2].id]),
        (State::Active, vec![second[1].id, second[0].id, first[3].id]),
        (State::Succeeded, vec![first[0].id]),
        (State::Failed, vec![first[1].id]),
        (State::Cancelled, vec![third[1].id, third[0].id]),
    ] {
        for limit in [1, 2, LIMIT] {
            assert_eq!(pages(&world, &of_state(state), limit).await.0, expected, "{state} by {limit}");
        }
    }
}

pub async fn jobs_are_listed_by_queue_kind_and_group(world: World) {
    let zip = |queue: &str| NewJob { kind: "zip".into(), ..in_queue(queue) };
    let (first, _) = world.enqueue(vec![job(), in_queue("cpu"), zip("cpu"), zip("io_intensive")]).await;
    world.clock.advance(MINUTE);
    let (second, _) = world.enqueue(vec![zip("cpu"), job()]).await;
    let place = async |filter: JobFilter| {
        let mut places = Vec::new();
        for id in list(&world, filter).await {
            let job = world.job(id).await;
            places.push((if job.group == first.id { 1 } else { 2 }, job.index));
        }
        places
    };
    let filter = |queue: Option<&str>, kind: Option<&str>, group| JobFilter {
        queue: queue.map(Into::into),
        kind: kind.map(Into::into),
        group,
        ..JobFilter::default()
    };

    assert_eq!(place(filter(Some("cpu"), None, None)).await, [(2, 0), (1, 2), (1, 1)]);
    assert_eq!(place(filter(None, Some("zip"), None)).await, [(2, 0), (1, 3), (1, 2)]);
    assert_eq!(place(filter(Some("cpu"), Some("zip"), Some(first.id))).await, [(1, 2)]);
    assert_eq!(place(filter(None, None, Some(first.id))).await, [(1, 3), (1, 2), (1, 1), (1, 0)]);
    assert_eq!(place(filter(Some("nobody"), None, None)).await, []);
    assert_eq!(place(filter(None, None, Some(GroupId::new()))).await, []);
    world.drain("a").await;
    let active = |group| JobFilter { state: Some(State::Active), ..filter(None, None, group) };
    assert_eq!(place(active(Some(second.id))).await, [(2, 1)]);
    assert_eq!(place(active(None)).await, [(2, 1), (1, 0)]);
    assert_eq!(place(JobFilter { queue: Some("cpu".into()), ..active(None) }).await, []);
}

pub async fn long_group_is_listed_in_pages(world: World) {
    let (group, jobs) = world.enqueue(jobs(2_500)).await;
    world.enqueue(super::world::jobs(1)).await;
    let of_group = JobFilter { group: Some(group.id), ..JobFilter::default() };

    for filter in [of_group, JobFilter::default()] {
        let (mut found, _) = pages(&world, &filter, 400).await;
        found.retain(|id| jobs.iter().any(|job| job.id == *id));
        assert_eq!(found, backwards(&jobs));
    }
}

/// More than are gone through whole.
pub async fn many_delayed_jobs_are_listed_too(world: World) {
    let (_, jobs) = world.enqueue((0..5_100).map(|_| delayed(HOUR)).collect()).await;

    let (found, number) = pages(&world, &of_state(State::Delayed), LIMIT).await;

    assert_eq!(found, backwards(&jobs));
    assert!(number >= 6, "{number} pages");
}

/// Nothing of what is wanted may stand among what one call looks at.
pub async fn call_looks_at_so_many_and_the_next_goes_on(world: World) {
    let needle = NewJob { kind: "needle".into(), ..job() };
    world.enqueue(vec![needle.clone()]).await;
    world.clock.advance(MINUTE);
    world.enqueue(jobs(2_500)).await;
    let wanted = JobFilter { kind: Some("needle".into()), ..JobFilter::default() };

    let first = world.broker.jobs(&wanted, None, 9).await.unwrap();
    assert!(first.entries.is_empty() && first.next.is_some(), "{first:?}");
    let (found, number) = pages(&world, &wanted, 9).await;

    assert_eq!(found, [needle.id]);
    assert!((2..=4).contains(&number), "{number} calls");
    // Groups without a job in the state are passed over whole.
    let failed = pages(&world, &of_state(State::Failed), 9).await;
    assert_eq!(failed, (Vec::new(), 1));
}

pub async fn removed_groups_and_follow_ups_are_known_to_the_lists(world: World) {
    let zip = then(On::Always);
    let (group, jobs) = grouped(jobs(1));
    let group = NewGroup { then: Some(zip.clone()), ..group };
    world.broker.enqueue(&group, &jobs).await.unwrap();
    let claimed = world.claim("a", 1, 1).await;
    world.clock.advance(MINUTE);
    world.settle(&claimed[0].lease, succeed()).await;
    assert_eq!(groups(&world, Period::default()).await, [zip.group, group.id]);
    assert_eq!(list(&world, JobFilter::default()).await, [zip.job.id, jobs[0].id]);

    world.broker.remove_group(group.id).await.unwrap();

    assert_eq!(groups(&world, Period::default()).await, [zip.group]);
    assert_eq!(list(&world, JobFilter::default()).await, [zip.job.id]);
    let gone = ListPosition { created_at: jiff::Timestamp::MAX, group: group.id, index: 5 };
    let page = world.broker.jobs(&JobFilter::default(), Some(gone), 9).await.unwrap();
    assert_eq!(page.entries.len(), 1, "the place of a group that is gone still leads on");
}

pub async fn last_event_is_the_one_that_nothing_follows(world: World) {
    assert_eq!(world.broker.last_event().await.unwrap(), None);
    for _ in 0..3 {
        world.enqueue(jobs(2)).await;
        let claimed = world.claim(&JobId::new().to_string(), 1, 2).await;
        let ends: Vec<_> = claimed.iter().map(|job| settlement(job, succeed())).collect();
        world.broker.settle(&ends, None).await.unwrap();

        let all = world.broker.events(None, 99).await.unwrap();

        assert_eq!(world.broker.last_event().await.unwrap().as_ref(), all.last().map(|event| &event.id));
        assert!(all.is_sorted_by(|one, other| one.id < other.id), "{all:?}");
    }
}

pub async fn wait_for_an_event_is_ended_by_the_next_one(world: World) {
    let other = world.another().await;
    soon(async {
        tokio::join!(async { world.broker.await_event(None, LONG).await.unwrap() }, async {
            other.enqueue(&grouped(vec![]).0, &[]).await.unwrap();
        })
    })
    .await;
    let all = world.broker.events(None, 9).await.unwrap();
    let last = Some(all[1].id.as_str());
    // What has happened already is no wait, and neither is the rest of a transition.
    soon(world.broker.await_event(Some(&all[0].id), LONG)).await.unwrap();
    world.broker.await_event(last, MINUTE / 1_000).await.unwrap();
    assert_eq!(world.broker.events(last, 9).await.unwrap(), []);
    soon(async {
        tokio::join!(async { world.broker.await_event(last, LONG).await.unwrap() }, async {
            other.enqueue(&grouped(vec![]).0, &[]).await.unwrap();
        })
    })
    .await;
    assert_eq!(world.broker.events(last, 9).await.unwrap().len(), 2);
    let refused = world.broker.await_event(Some("x"), MINUTE).await;
    assert!(matches!(refused, Err(queue::Error::Invalid(_))), "{refused:?}");
}

pub async fn groups_and_jobs_are_listed_by_label(world: World) {
    let labelled = |labels: &[&str], work: Vec<NewJob>| {
        let (group, jobs) = grouped(work);
        (NewGroup { labels: labels.iter().map(ToString::to_string).collect(), ..group }, jobs)
    };
    let (first, of_first) = labelled(&["order:A 17", "shop:é"], jobs(2));
    let (second, of_second) = labelled(&["order:A 17", "order:A 17"], vec![delayed(HOUR)]);
    let (third, of_third) = labelled(&["order:A 1"], jobs(1));
    for (group, jobs) in [(&first, &of_first), (&second, &of_second), (&third, &of_third)] {
        world.broker.enqueue(group, jobs).await.unwrap();
        world.clock.advance(MINUTE);
    }
    world.enqueue(jobs(3)).await;
    let list = async |label: &str, limit: usize| {
        let filter = GroupFilter { label: Some(label.into()), submitted: Period::default() };
        let (mut ids, mut below) = (Vec::new(), None);
        loop {
            let page = world.broker.groups(&filter, below, limit).await.unwrap();
            ids.extend(page.entries.iter().map(|group| group.id));
            below = page.next;
            if below.is_none() {
                return ids;
            }
        }
    };
    for limit in [1, 2, 9] {
        assert_eq!(list("order:A 17", limit).await, [second.id, first.id]);
        assert_eq!(list("order:A 1", limit).await, [third.id]);
    }
    assert_eq!(list("shop:é", 9).await, [first.id]);
    assert!(list("order:A", 9).await.is_empty());

    let of = |label: &str| JobFilter { label: Some(label.into()), ..JobFilter::default() };
    let newest_first =
        |jobs: &[&[NewJob]]| jobs.iter().flat_map(|jobs| ids_of(jobs).into_iter().rev()).collect::<Vec<_>>();
    for limit in [1, 9] {
        assert_eq!(pages(&world, &of("order:A 17"), limit).await.0, newest_first(&[&of_second, &of_first]));
    }
    let with_state = |state| JobFilter { state: Some(state), ..of("order:A 17") };
    assert_eq!(pages(&world, &with_state(State::Delayed), 9).await.0, ids_of(&of_second));
    assert_eq!(pages(&world, &with_state(State::Waiting), 9).await.0, newest_first(&[&of_first]));
    assert!(pages(&world, &with_state(State::Active), 9).await.0.is_empty());
    let with_group = |group| JobFilter { group: Some(group), ..of("order:A 17") };
    assert_eq!(pages(&world, &with_group(first.id), 1).await.0, newest_first(&[&of_first]));
    assert!(pages(&world, &with_group(third.id), 9).await.0.is_empty());

    world.broker.cancel_group(first.id).await.unwrap();
    assert!(world.broker.remove_group(first.id).await.unwrap());
    assert_eq!(list("order:A 17", 9).await, [second.id]);
    assert!(list("shop:é", 9).await.is_empty());
    for wrong in [vec![String::new()], vec!["two\nlines".into()], vec!["x".repeat(256)], vec!["x".into(); 17]] {
        let (group, jobs) = grouped(jobs(1));
        let refused = world.broker.enqueue(&NewGroup { labels: wrong, ..group }, &jobs).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
}
