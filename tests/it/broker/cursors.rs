use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use jiff::Timestamp;
use queue::{Advance, Advanced, Error, NewGroup, NewJob, Policy};

use super::world::{HOUR, MINUTE, QUEUE, World, grouped, ids, ids_of, jobs};

const CURSOR: &str = "schedule:nightly:1";

pub fn policy() -> Policy {
    Policy { queue_cap: 3, ..super::world::policy() }
}

fn advance(expected: Option<&str>, next: &str) -> Advance {
    Advance {
        cursor: CURSOR.into(),
        expected: expected.map(Into::into),
        next: next.into(),
        not_before: None,
        notes: Vec::new(),
    }
}

fn elsewhere(at: Option<&str>) -> Advanced {
    Advanced::Elsewhere { at: at.map(Into::into) }
}

async fn at(world: &World) -> Option<String> {
    world.broker.cursor(CURSOR).await.unwrap().map(|cursor| cursor.at)
}

fn work((group, jobs): &(NewGroup, Vec<NewJob>)) -> (&NewGroup, &[NewJob]) {
    (group, jobs)
}

pub async fn cursor_moves_from_the_expected_value_only(world: World) {
    let broker = &world.broker;
    assert_eq!(at(&world).await, None);
    assert_eq!(broker.advance(&advance(Some("1"), "2"), None).await.unwrap(), elsewhere(None));
    assert_eq!(broker.advance(&advance(None, "a value with\na line"), None).await.unwrap(), Advanced::Moved);
    assert_eq!(at(&world).await.as_deref(), Some("a value with\na line"));
    for expected in [None, Some("a value with"), Some("")] {
        let answer = broker.advance(&advance(expected, "3"), None).await.unwrap();
        assert_eq!(answer, elsewhere(Some("a value with\na line")));
    }
    let before = broker.cursor(CURSOR).await.unwrap().unwrap().moved_at;
    world.clock.advance(MINUTE);
    assert_eq!(broker.advance(&advance(Some("a value with\na line"), "3"), None).await.unwrap(), Advanced::Moved);
    let moved = broker.cursor(CURSOR).await.unwrap().unwrap();
    assert_eq!(moved.at, "3");
    assert!(moved.moved_at.duration_since(before) >= jiff::SignedDuration::from_mins(1));
    assert_eq!(broker.cursor("schedule:nightly:2").await.unwrap(), None);
}

pub async fn work_comes_with_the_move_and_only_with_it(world: World) {
    let (first, second) = (grouped(jobs(2)), grouped(jobs(1)));
    assert_eq!(world.broker.advance(&advance(None, "1"), Some(work(&first))).await.unwrap(), Advanced::Moved);
    // As if the answer was lost.
    assert_eq!(world.broker.advance(&advance(None, "1"), Some(work(&first))).await.unwrap(), elsewhere(Some("1")));
    assert_eq!(world.broker.advance(&advance(None, "2"), Some(work(&second))).await.unwrap(), elsewhere(Some("1")));

    let made = world.group(first.0.id).await;
    assert_eq!((made.total, made.pending, made.sealed), (2, 2, true));
    assert_eq!(world.broker.group(second.0.id).await.unwrap(), None);
    assert_eq!(world.depth(QUEUE).await, (2, 0, 0));
    assert_eq!(ids(&world.claim("a", 1, 9).await), ids_of(&first.1));
}

pub async fn sealed_group_is_not_enqueued_again_by_a_move(world: World) {
    let known = grouped(jobs(1));
    world.broker.enqueue(&known.0, &known.1).await.unwrap();
    assert_eq!(world.broker.advance(&advance(None, "1"), Some(work(&known))).await.unwrap(), Advanced::Moved);
    assert_eq!((world.group(known.0.id).await.total, world.depth(QUEUE).await), (1, (1, 0, 0)));
}

pub async fn cursor_does_not_move_too_early(world: World) {
    let due = Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let later = Advance { not_before: Some(due), ..advance(None, "1") };
    let group = grouped(jobs(1));
    match world.broker.advance(&later, Some(work(&group))).await.unwrap() {
        Advanced::Early { wait } => assert!(wait <= HOUR && wait > HOUR - MINUTE, "{wait:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!((at(&world).await, world.depth(QUEUE).await), (None, (0, 0, 0)));

    world.clock.advance(HOUR + Duration::from_millis(5));
    assert_eq!(world.broker.advance(&later, Some(work(&group))).await.unwrap(), Advanced::Moved);
    assert_eq!(world.depth(QUEUE).await, (1, 0, 0));
}

pub async fn full_queue_moves_nothing(world: World) {
    world.enqueue(jobs(2)).await;
    let (group, more) = (grouped(jobs(2)), Advance { notes: vec!["note".into()], ..advance(None, "1") });

    let refused = world.broker.advance(&more, Some(work(&group))).await;

    assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
    assert_eq!((at(&world).await, world.depth(QUEUE).await), (None, (2, 0, 0)));
    assert!(world.broker.notes(CURSOR, 9).await.unwrap().is_empty());
    world.claim("a", 1, 1).await;
    assert_eq!(world.broker.advance(&more, Some(work(&group))).await.unwrap(), Advanced::Moved);
    assert_eq!(at(&world).await.as_deref(), Some("1"));
}

pub async fn racing_movers_move_a_cursor_once(world: World) {
    let groups: Vec<_> = (0..6).map(|_| grouped(jobs(1))).collect();
    let race = groups.iter().map(|group| {
        let world = &world;
        async move { world.another().await.advance(&advance(None, "1"), Some(work(group))).await.unwrap() }
    });

    let answers = join_all(race).await;

    assert_eq!(answers.iter().filter(|answer| **answer == Advanced::Moved).count(), 1, "{answers:?}");
    assert_eq!(world.depth(QUEUE).await, (1, 0, 0));
}

pub async fn cursor_keeps_its_newest_notes(world: World) {
    let broker = &world.broker;
    let note = |n: u32| Bytes::from(format!("note {n}\0\u{ff}"));
    for n in 0..3 {
        broker.note(CURSOR, &note(n)).await.unwrap();
    }
    broker.note(CURSOR, &note(2)).await.unwrap();
    assert_eq!(at(&world).await, None, "notes may come before the cursor");
    assert_eq!(broker.notes(CURSOR, 9).await.unwrap(), [2, 1, 0].map(note), "a repeated one is kept once");
    let moved = Advance { notes: (3..103).map(note).collect(), ..advance(None, "1") };
    assert_eq!(broker.advance(&moved, None).await.unwrap(), Advanced::Moved);
    assert_eq!(broker.notes(CURSOR, 500).await.unwrap(), (3..103).rev().map(note).collect::<Vec<_>>());
    assert_eq!(broker.notes(CURSOR, 2).await.unwrap(), [102, 101].map(note));
    assert!(broker.notes(CURSOR, 0).await.unwrap().is_empty());
    broker.note("other", &note(7)).await.unwrap();

    broker.remove_cursor(CURSOR).await.unwrap();
    broker.remove_cursor("unknown").await.unwrap();

    assert_eq!((at(&world).await, broker.notes(CURSOR, 9).await.unwrap()), (None, Vec::new()));
    assert_eq!(broker.notes("other", 9).await.unwrap(), [note(7)]);
    assert_eq!(broker.advance(&advance(None, "1"), None).await.unwrap(), Advanced::Moved);
}

pub async fn wrong_moves_are_refused(world: World) {
    let (long, (group, many)) = ("x".repeat(256), grouped(jobs(1_001)));
    let ok = advance(None, "1");
    let wrong = [
        Advance { cursor: String::new(), ..ok.clone() },
        Advance { cursor: long.clone(), ..ok.clone() },
        Advance { next: String::new(), ..ok.clone() },
        Advance { next: long.clone(), ..ok.clone() },
        Advance { notes: vec![Bytes::new(); 101], ..ok.clone() },
    ];
    for wrong in &wrong {
        let refused = world.broker.advance(wrong, None).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    let refused = world.broker.advance(&ok, Some((&group, &many))).await;
    assert!(
        matches!(&refused, Err(Error::Invalid(said)) if said.contains("1000") && said.contains("1001")),
        "{refused:?}"
    );
    assert!(matches!(world.broker.note(&long, &Bytes::new()).await, Err(Error::Invalid(_))));
    assert_eq!(at(&world).await, None);
}
