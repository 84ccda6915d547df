use bytes::Bytes;
use queue::{Error, GroupId, IdempotencyKey, NewGroup, NewJob, Policy, Reservation};

use super::world::{MINUTE, QUEUE, World, grouped, jobs};

pub fn policy() -> Policy {
    Policy { reservation: MINUTE * 10, key_memory: MINUTE * 60, queue_cap: 1_500, ..super::world::policy() }
}

fn keyed(name: &str, count: usize) -> (NewGroup, Vec<NewJob>) {
    let (group, jobs) = grouped(jobs(count));
    let key = IdempotencyKey { name: name.into(), fingerprint: Bytes::from_static(b"hash\0\xff"), memory: None };
    (NewGroup { key: Some(key), ..group }, jobs)
}

fn known(group: &NewGroup) -> Reservation {
    Reservation::Known { group: group.id, fingerprint: Bytes::from_static(b"hash\0\xff") }
}

async fn reserve(world: &World, key: &str, group: GroupId) -> Reservation {
    world.broker.reserve(key, group).await.unwrap()
}

pub async fn key_is_reserved_for_one_group(world: World) {
    let (one, two) = (GroupId::new(), GroupId::new());

    assert_eq!(reserve(&world, "k", one).await, Reservation::Granted);
    assert_eq!(reserve(&world, "k", two).await, Reservation::Busy);
    assert_eq!(reserve(&world, "other", two).await, Reservation::Granted);
    world.clock.advance(MINUTE * 6);
    assert_eq!(reserve(&world, "k", one).await, Reservation::Granted, "and begins anew");
    world.clock.advance(MINUTE * 6);
    assert_eq!(reserve(&world, "k", two).await, Reservation::Busy);
    world.clock.advance(MINUTE * 5);
    assert_eq!(reserve(&world, "k", two).await, Reservation::Granted, "the first one has lapsed");
}

pub async fn enqueued_group_binds_its_key(world: World) {
    let (group, jobs) = keyed("k", 1);
    assert_eq!(reserve(&world, "k", group.id).await, Reservation::Granted);

    world.broker.enqueue(&group, &jobs).await.unwrap();

    assert_eq!(reserve(&world, "k", GroupId::new()).await, known(&group));
    assert_eq!(reserve(&world, "k", group.id).await, known(&group), "for its own group too");
    world.broker.unreserve("k", group.id).await.unwrap();
    assert_eq!(reserve(&world, "k", GroupId::new()).await, known(&group), "a bound key stays");
    world.clock.advance(MINUTE * 59);
    assert_eq!(reserve(&world, "k", GroupId::new()).await, known(&group));
    world.clock.advance(MINUTE * 2);
    assert_eq!(reserve(&world, "k", GroupId::new()).await, Reservation::Granted);
}

pub async fn key_has_a_memory_of_its_own(world: World) {
    let (group, jobs) = keyed("k", 1);
    let key = group.key.clone().map(|key| IdempotencyKey { memory: Some(MINUTE * 90), ..key });
    world.broker.enqueue(&NewGroup { key, ..group.clone() }, &jobs).await.unwrap();

    world.clock.advance(MINUTE * 89);
    assert_eq!(reserve(&world, "k", GroupId::new()).await, known(&group));
    world.clock.advance(MINUTE * 2);
    assert_eq!(reserve(&world, "k", GroupId::new()).await, Reservation::Granted);
}

pub async fn key_is_bound_without_a_reservation(world: World) {
    let (group, jobs) = keyed("a key of any bytes: \u{1f511} \n", 1);

    world.broker.enqueue(&group, &jobs).await.unwrap();

    assert_eq!(reserve(&world, "a key of any bytes: \u{1f511} \n", GroupId::new()).await, known(&group));
}

/// It answered 202 for a group that was not there.
pub async fn key_of_a_group_whose_record_is_gone_is_free(world: World) {
    let (first, work) = keyed("k", 1);
    world.broker.enqueue(&first, &work).await.unwrap();
    world.broker.cancel_group(first.id).await.unwrap();
    assert!(world.broker.remove_group(first.id).await.unwrap());

    let (second, work) = keyed("k", 1);
    assert_eq!(reserve(&world, "k", second.id).await, Reservation::Granted);
    assert_eq!(reserve(&world, "k", first.id).await, Reservation::Busy, "it is reserved for the second one");
    world.broker.enqueue(&second, &work).await.unwrap();
    assert_eq!(reserve(&world, "k", GroupId::new()).await, known(&second));
    // Without a reservation, too.
    world.broker.cancel_group(second.id).await.unwrap();
    assert!(world.broker.remove_group(second.id).await.unwrap());
    let (third, work) = keyed("k", 1);
    world.broker.enqueue(&third, &work).await.unwrap();
    assert_eq!(reserve(&world, "k", GroupId::new()).await, known(&third));
    world.clock.advance(MINUTE * 59);
    assert_eq!(reserve(&world, "k", GroupId::new()).await, known(&third), "its time has begun anew");
}

pub async fn key_of_another_group_refuses_the_whole_group(world: World) {
    let (first, jobs) = keyed("k", 1);
    world.broker.enqueue(&first, &jobs).await.unwrap();
    let (second, more) = keyed("k", 3);

    let refused = world.broker.enqueue(&second, &more).await;

    assert!(matches!(refused, Err(Error::KeyTaken(group)) if group == first.id), "{refused:?}");
    assert_eq!(world.broker.group(second.id).await.unwrap(), None);
    assert_eq!(world.broker.job(more[0].id).await.unwrap(), None);
    assert_eq!(world.depth(QUEUE).await, (1, 0, 0));
    world.broker.enqueue(&first, &jobs).await.unwrap();
    assert_eq!(world.group(first.id).await.total, 1, "said again, it is Ok as before");
    world.clock.advance(MINUTE * 61);
    world.broker.enqueue(&second, &more).await.unwrap();
    assert_eq!(reserve(&world, "k", GroupId::new()).await, known(&second));
}

pub async fn refused_group_binds_nothing(world: World) {
    world.enqueue(jobs(1_500)).await;
    let (group, one) = keyed("k", 1);
    assert_eq!(reserve(&world, "k", group.id).await, Reservation::Granted);

    assert!(matches!(world.broker.enqueue(&group, &one).await, Err(Error::Full(_))));

    assert_eq!(reserve(&world, "k", GroupId::new()).await, Reservation::Busy, "the reservation stands");
    world.broker.unreserve("k", group.id).await.unwrap();
    assert_eq!(reserve(&world, "k", GroupId::new()).await, Reservation::Granted);
}

/// It led the client's next try to a group that had been cancelled.
pub async fn group_that_a_later_chunk_cancels_leaves_its_key_free(world: World) {
    let (group, many) = keyed("k", 1_501);
    assert_eq!(reserve(&world, "k", group.id).await, Reservation::Granted);

    assert!(matches!(world.broker.enqueue(&group, &many).await, Err(Error::Full(_))));

    world.broker.unreserve("k", group.id).await.unwrap();
    let (next, fewer) = keyed("k", 1_200);
    assert_eq!(reserve(&world, "k", next.id).await, Reservation::Granted);
    world.broker.enqueue(&next, &fewer).await.unwrap();
    assert_eq!(reserve(&world, "k", GroupId::new()).await, known(&next));
    // Said again, it is still cancelled, and takes nobody's key.
    assert!(matches!(world.broker.enqueue(&group, &many).await, Err(Error::KeyTaken(taken)) if taken == next.id));
}

pub async fn reservation_is_given_back_by_its_group_alone(world: World) {
    let (one, two) = (GroupId::new(), GroupId::new());
    assert_eq!(reserve(&world, "k", one).await, Reservation::Granted);

    world.broker.unreserve("k", two).await.unwrap();
    world.broker.unreserve("unknown", two).await.unwrap();
    assert_eq!(reserve(&world, "k", two).await, Reservation::Busy);

    world.broker.unreserve("k", one).await.unwrap();
    world.broker.unreserve("k", one).await.unwrap();
    assert_eq!(reserve(&world, "k", two).await, Reservation::Granted);
}

pub async fn racing_reservations_are_granted_once(world: World) {
    let race = (0..6).map(|_| {
        let world = &world;
        async move { world.another().await.reserve("k", GroupId::new()).await.unwrap() }
    });

    let answers = futures::future::join_all(race).await;

    assert_eq!(answers.iter().filter(|answer| **answer == Reservation::Granted).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| **answer == Reservation::Busy).count(), 5);
}

pub async fn keys_of_the_wrong_length_are_refused(world: World) {
    let longest = "x".repeat(255);
    assert_eq!(reserve(&world, &longest, GroupId::new()).await, Reservation::Granted);
    for wrong in [String::new(), longest + "x"] {
        let refused = world.broker.reserve(&wrong, GroupId::new()).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
        let (group, jobs) = keyed(&wrong, 1);
        assert!(matches!(world.broker.enqueue(&group, &jobs).await, Err(Error::Invalid(_))));
        assert_eq!(world.broker.group(group.id).await.unwrap(), None);
    }
}
