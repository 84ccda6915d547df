use std::time::Duration;

use bytes::Bytes;
use queue::{ClaimRequest, Class, Lease, NewJob, Settled, Stage, State, Verdict};

use super::world::{HOUR, QUEUE, World, ask, fail, grouped, ids, ids_of, job, jobs, retry, settlement, succeed};

pub use super::world::policy;

pub async fn success_and_failure_are_terminal(world: World) {
    let (group, jobs) = world.enqueue(jobs(3)).await;
    let claimed = world.claim("a", 1, 2).await;

    assert_eq!(world.settle(&claimed[0].lease, succeed()).await, Settled::Committed);
    assert_eq!(world.settle(&claimed[1].lease, fail()).await, Settled::Committed);

    let group = world.group(group.id).await;
    assert_eq!((group.succeeded, group.failed, group.pending), (1, 1, 1));
    assert_eq!(group.finished_at, None);
    let good = world.broker.job(jobs[0].id).await.unwrap().unwrap();
    let bad = world.broker.job(jobs[1].id).await.unwrap().unwrap();
    assert_eq!((good.state, bad.state), (State::Succeeded, State::Failed));
    assert!(good.finished_at.is_some() && bad.finished_at.is_some());
    assert_eq!(good.result.as_deref(), Some(&b"{\"success\":true}\0\xff"[..]));
    assert_eq!(bad.result.as_deref(), Some(&b"{\"success\":false}"[..]));
    assert_eq!(world.depth(QUEUE).await, (1, 0, 0));
}

pub async fn group_finishes_with_its_last_job(world: World) {
    let (group, _) = world.enqueue(jobs(2)).await;
    let claimed = world.claim("a", 1, 2).await;
    world.settle(&claimed[0].lease, succeed()).await;
    assert_eq!(world.group(group.id).await.finished_at, None);
    world.clock.advance(Duration::from_secs(5));

    world.settle(&claimed[1].lease, fail()).await;

    let group = world.group(group.id).await;
    assert!(group.finished_at.unwrap().duration_since(group.created_at).as_secs() >= 5);
}

pub async fn repeated_settlement_is_committed_again(world: World) {
    let (group, _) = world.enqueue(jobs(1)).await;
    let claimed = world.claim("a", 1, 1).await;
    let twice = [settlement(&claimed[0], succeed()), settlement(&claimed[0], fail())];

    let (settled, _) = world.broker.settle(&twice, None).await.unwrap();
    let third = world.settle(&claimed[0].lease, fail()).await;

    assert_eq!((settled, third), (vec![Settled::Committed; 2], Settled::Committed));
    let group = world.group(group.id).await;
    assert_eq!((group.succeeded, group.failed, group.pending), (1, 0, 0), "the first word counts");
}

pub async fn wrong_token_changes_nothing(world: World) {
    let (group, known) = world.enqueue(jobs(2)).await;
    let claimed = world.claim("a", 1, 1).await;
    let wrong = [
        Lease { token: "b:1:1".into(), ..claimed[0].lease.clone() },
        Lease { token: "a:2:1".into(), ..claimed[0].lease.clone() },
        Lease { token: String::new(), ..claimed[0].lease.clone() },
        Lease { token: "a:1:1".into(), job: known[1].id },
        Lease { token: String::new(), job: known[1].id },
        Lease { token: "a:1:1".into(), job: job().id },
    ];

    for lease in &wrong {
        assert_eq!(world.settle(lease, succeed()).await, Settled::LeaseLost, "{lease:?}");
    }
    world.broker.release(&wrong, None).await.unwrap();

    assert_eq!(world.broker.beat(&wrong).await.unwrap().lost.len(), wrong.len());
    assert_eq!(world.group(group.id).await.pending, 2);
    assert_eq!(world.depth(QUEUE).await, (1, 0, 1));
    assert_eq!(world.settle(&claimed[0].lease, succeed()).await, Settled::Committed);
}

pub async fn retry_honours_its_backoff(world: World) {
    let (group, jobs) = world.enqueue(jobs(1)).await;
    let first = world.claim("a", 1, 1).await;

    assert_eq!(world.settle(&first[0].lease, retry(HOUR)).await, Settled::Committed);

    let kept = world.broker.job(jobs[0].id).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.attempt, kept.result.as_deref()), (State::Delayed, 1, Some(&b"later"[..])));
    assert_eq!(world.depth(QUEUE).await, (0, 1, 0));
    assert!(world.claim("a", 2, 1).await.is_empty());
    world.clock.advance(HOUR);
    let second = world.claim("a", 3, 1).await;
    assert_eq!((ids(&second), second[0].attempt), (ids_of(&jobs), 2));
    assert_ne!(second[0].lease.token, first[0].lease.token);
    world.settle(&second[0].lease, succeed()).await;
    assert_eq!(world.group(group.id).await.succeeded, 1);
}

pub async fn repeated_retry_is_committed_long_after(world: World) {
    let (group, _) = world.enqueue(jobs(1)).await;
    let first = world.claim("a", 1, 1).await;
    world.settle(&first[0].lease, retry(Duration::ZERO)).await;
    let second = world.claim("b", 1, 1).await;
    assert_eq!(world.settle(&first[0].lease, retry(HOUR)).await, Settled::Committed);
    world.settle(&second[0].lease, succeed()).await;

    assert_eq!(world.settle(&first[0].lease, retry(HOUR)).await, Settled::Committed);
    assert_eq!(world.settle(&second[0].lease, fail()).await, Settled::Committed);

    assert_eq!(world.group(group.id).await.succeeded, 1);
    assert_eq!(world.depth(QUEUE).await, (0, 0, 0));
}

pub async fn next_stage_waits_in_its_own_line_with_fresh_attempts(world: World) {
    let first = NewJob { priority: 7, max_attempts: 3, ..job() };
    let (group, jobs) = world.enqueue(vec![first]).await;
    let claimed = world.claim("a", 1, 1).await;
    world.settle(&claimed[0].lease, retry(Duration::ZERO)).await;
    let claimed = world.claim("a", 2, 1).await;
    assert_eq!(claimed[0].attempt, 2);
    let payload = Bytes::from_static(b"further\0\xff");
    let stage = Stage { kind: "second stage".into(), queue: "other".into(), class: Class::Io, payload };

    let verdict = Verdict::Continue(stage.clone());
    assert_eq!(world.settle(&claimed[0].lease, verdict.clone()).await, Settled::Committed);
    assert_eq!(world.settle(&claimed[0].lease, verdict).await, Settled::Committed, "said again");

    let stands = world.job(jobs[0].id).await;
    assert_eq!((stands.state, stands.kind.as_str(), stands.priority), (State::Waiting, "second stage", 7));
    assert_eq!((world.depth(QUEUE).await, world.depth("other").await), ((0, 0, 0), (1, 0, 0)));
    assert!(world.claim("a", 3, 9).await.is_empty(), "not in its former line");
    let queues = vec!["other".into()];
    let request = ClaimRequest { session: "b".into(), sequence: 1, queues, class: Class::Io, limit: 9 };
    let claimed = world.claim_all(&request).await.jobs;
    assert_eq!(ids(&claimed), [jobs[0].id]);
    assert_eq!((claimed[0].attempt, claimed[0].max_attempts), (1, 3));
    assert_eq!(claimed[0].lease.token, "b:1:3");
    assert_eq!((&claimed[0].payload, claimed[0].kind.as_str()), (&stage.payload, "second stage"));
    world.settle(&claimed[0].lease, succeed()).await;
    let group = world.group(group.id).await;
    assert_eq!((group.total, group.succeeded, group.finished_at.is_some()), (1, 1, true));
}

pub async fn next_stage_of_a_cancelled_job_does_not_come(world: World) {
    let (group, jobs) = world.enqueue(jobs(1)).await;
    let claimed = world.claim("a", 1, 1).await;
    world.broker.cancel_job(jobs[0].id).await.unwrap();
    let (kind, queue) = ("second".into(), QUEUE.into());
    let stage = Stage { kind, queue, class: Class::Cpu, payload: Bytes::new() };

    world.settle(&claimed[0].lease, Verdict::Continue(stage)).await;

    let group = world.group(group.id).await;
    assert_eq!((group.cancelled, group.finished_at.is_some()), (1, true));
}

pub async fn settling_claims_in_the_same_call(world: World) {
    let (_, jobs) = world.enqueue(jobs(4)).await;
    let claimed = world.claim("a", 1, 2).await;
    let settlements: Vec<_> = claimed.iter().map(|job| settlement(job, succeed())).collect();

    let (settled, claim) = world.broker.settle(&settlements, Some(&ask("a", 2, 2))).await.unwrap();
    let (again, repeated) = world.broker.settle(&settlements, Some(&ask("a", 2, 2))).await.unwrap();

    assert_eq!((settled, again), (vec![Settled::Committed; 2], vec![Settled::Committed; 2]));
    assert_eq!(ids(&claim.unwrap().jobs), ids_of(&jobs[2..]));
    assert_eq!(ids(&repeated.unwrap().jobs), ids_of(&jobs[2..]));
    assert_eq!(world.depth(QUEUE).await, (0, 0, 2));
}

pub async fn answers_stand_in_the_order_of_settlements(world: World) {
    world.enqueue(jobs(3)).await;
    let claimed = world.claim("a", 1, 3).await;
    let mut settlements: Vec<_> = claimed.iter().map(|job| settlement(job, succeed())).collect();
    settlements[1].lease.token = "b:1:1".into();

    let (settled, _) = world.broker.settle(&settlements, None).await.unwrap();

    assert_eq!(settled, [Settled::Committed, Settled::LeaseLost, Settled::Committed]);
    assert_eq!(world.broker.settle(&[], None).await.unwrap().0, []);
}

pub async fn results_come_by_index_in_pages(world: World) {
    let (group, jobs) = world.enqueue(jobs(2_300)).await;
    let claimed = world.drain("a").await;
    // All but every tenth; the last ones first.
    let settlements: Vec<_> =
        claimed.iter().rev().filter(|job| job.index % 10 != 3).map(|job| settlement(job, succeed())).collect();
    world.broker.settle(&settlements, None).await.unwrap();

    let mut pages = Vec::new();
    let mut from = 0;
    loop {
        let page = world.broker.results(group.id, from, 1_000).await.unwrap();
        let Some(last) = page.last() else { break };
        from = last.index + 1;
        pages.push(page);
    }

    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [1_000, 1_000, 70]);
    let all = pages.concat();
    assert!(all.iter().map(|result| result.index).eq((0..2_300).filter(|index| index % 10 != 3)));
    assert!(all.iter().all(|result| result.job == jobs[result.index as usize].id && result.state == State::Succeeded));
    assert_eq!(&all[0].result[..], b"{\"success\":true}\0\xff");
    assert_eq!(world.broker.results(job_of_nobody(), 0, 10).await.unwrap(), []);
    assert_eq!(world.broker.results(group.id, 2_299, 10).await.unwrap().len(), 1);
    for (from, limit) in [
        (0, 10),
        (0, 14),
        (0, 15),
        (5, 16),
        (0, 1_000),
        (0, 1_001),
        (990, 9_999),
        (1_900, 9_999),
        (2_283, 99),
        (2_284, 99),
        (2_299, 10),
        (2_300, 10),
    ] {
        let (stands, page) = world.broker.group_with_results(group.id, from, limit).await.unwrap().unwrap();
        assert_eq!(stands, world.group(group.id).await);
        assert_eq!(page, world.broker.results(group.id, from, limit).await.unwrap(), "{limit} from {from} on");
    }
    assert_eq!(world.broker.group_with_results(job_of_nobody(), 0, 10).await.unwrap(), None);
}

pub async fn counters_count_the_results_that_are_read_with_them(world: World) {
    let (group, _) = world.enqueue(jobs(300)).await;
    let claimed = world.drain("a").await;
    let settling = async {
        for job in &claimed {
            world.broker.settle(&[settlement(job, succeed())], None).await.unwrap();
        }
    };
    let reading = async {
        loop {
            let (stands, results) = world.broker.group_with_results(group.id, 0, 1_000).await.unwrap().unwrap();
            assert_eq!(stands.succeeded as usize, results.len());
            if stands.pending == 0 {
                break;
            }
        }
    };
    tokio::join!(settling, reading);
}

pub async fn group_that_has_grown_since_it_was_read_is_read_whole(world: World) {
    let (group, jobs) = grouped(jobs(1_100));
    for (nth, parts) in [0, 1, 3, 60, 1_100].windows(2).enumerate() {
        let (known, grown) = (parts[0], parts[1]);
        world.broker.extend(&group, &jobs[known..grown], grown == jobs.len()).await.unwrap();
        for job in world.drain(&format!("session-{nth}")).await {
            world.settle(&job.lease, succeed()).await;
        }
        let (stands, results) = world.broker.group_with_results(group.id, 0, 2_000).await.unwrap().unwrap();
        assert_eq!((stands.total as usize, stands.succeeded as usize), (grown, grown));
        assert!(results.iter().map(|result| result.job).eq(ids_of(&jobs[..grown])), "{known} to {grown}");
    }
}

fn job_of_nobody() -> queue::GroupId {
    queue::GroupId::new()
}
