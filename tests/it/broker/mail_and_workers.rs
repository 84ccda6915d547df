use std::time::{Duration, Instant};

use bytes::Bytes;
use queue::{Error, MAIL_MEMORY};

use super::world::{LONG, MINUTE, World, soon};

pub use super::world::policy;

async fn collect(world: &World, mailbox: &str) -> Vec<Bytes> {
    world.broker.collect(mailbox, Duration::ZERO).await.unwrap()
}

pub async fn letters_are_collected_once_and_in_order(world: World) {
    for letter in [&b"first\0\xff"[..], b"", b"third"] {
        world.broker.post("box", letter).await.unwrap();
    }
    world.broker.post("other", b"elsewhere").await.unwrap();

    assert_eq!(collect(&world, "box").await, [&b"first\0\xff"[..], b"", b"third"]);
    assert_eq!(collect(&world, "box").await, Vec::<Bytes>::new());
    assert_eq!(soon(world.broker.collect("other", LONG)).await.unwrap(), ["elsewhere"]);
}

pub async fn collecting_waits_for_the_first_letter(world: World) {
    let idle = world.another().await;
    let waiting = tokio::spawn(async move { idle.collect("box", LONG).await });

    world.broker.post("box", b"letter").await.unwrap();

    assert_eq!(soon(waiting).await.unwrap().unwrap(), ["letter"]);
}

pub async fn letter_to_another_connection_wakes_its_collector(world: World) {
    let idle = world.another().await;
    let mut collecting = std::pin::pin!(idle.collect("box", LONG));
    // It waits by now, or would have answered.
    assert!(tokio::time::timeout(Duration::from_millis(150), &mut collecting).await.is_err());
    world.broker.post("elsewhere", b"not this one").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(150), &mut collecting).await.is_err());

    world.broker.post("box", b"this one").await.unwrap();

    assert_eq!(soon(collecting).await.unwrap(), ["this one"]);
}

pub async fn empty_mailbox_answers_after_the_timeout(world: World) {
    let began = Instant::now();

    let letters = soon(world.broker.collect("box", Duration::from_millis(300))).await.unwrap();

    assert_eq!(letters, Vec::<Bytes>::new());
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
}

pub async fn racing_collectors_share_the_letters(world: World) {
    let posts = async {
        for number in 0..200_u8 {
            world.broker.post("box", &[number]).await.unwrap();
        }
    };
    let race = (0..3).map(|_| {
        let world = &world;
        async move {
            let broker = world.another().await;
            let mut collected = Vec::new();
            loop {
                let letters = broker.collect("box", Duration::from_millis(500)).await.unwrap();
                if letters.is_empty() {
                    return collected;
                }
                collected.extend(letters.iter().map(|letter| letter[0]));
            }
        }
    });

    let (collected, ()) = tokio::join!(futures::future::join_all(race), posts);

    assert!(collected.iter().all(|letters| letters.is_sorted()), "each sees them in order");
    let mut all = collected.concat();
    all.extend(collect(&world, "box").await.iter().map(|letter| letter[0]));
    all.sort_unstable();
    assert_eq!(all, (0..200).collect::<Vec<u8>>());
}

pub async fn full_mailbox_keeps_the_last_thousand(world: World) {
    // The first twenty are to go, in whatever order those that are posted together arrive.
    for numbers in (0..1_020_u32).collect::<Vec<_>>().chunks(20) {
        let letters: Vec<_> = numbers.iter().map(|number| number.to_be_bytes()).collect();
        let posts = letters.iter().map(|letter| world.broker.post("box", letter));
        futures::future::try_join_all(posts).await.unwrap();
    }

    let mut kept: Vec<_> =
        collect(&world, "box").await.iter().map(|letter| u32::from_be_bytes(letter[..].try_into().unwrap())).collect();

    kept.sort_unstable();
    assert_eq!(kept, (20..1_020).collect::<Vec<_>>());
}

pub async fn mail_memory_is_long_enough_to_ask_and_answer(world: World) {
    world.broker.post("box", b"letter").await.unwrap();
    world.clock.advance(MAIL_MEMORY / 2);

    assert_eq!(collect(&world, "box").await, ["letter"]);
}

pub async fn workers_are_listed_by_session_with_their_last_report(world: World) {
    assert_eq!(world.broker.workers().await.unwrap(), []);
    world.broker.report("b@host:2", b"old").await.unwrap();
    world.broker.report("a@host:1", b"one\0\xff").await.unwrap();
    world.broker.report("b@host:2", b"two").await.unwrap();

    let workers = world.another().await.workers().await.unwrap();

    let listed: Vec<_> = workers.iter().map(|worker| (worker.session.as_str(), &worker.report[..])).collect();
    assert_eq!(listed, [("a@host:1", &b"one\0\xff"[..]), ("b@host:2", b"two")]);
    assert!(workers[0].seen_at <= workers[1].seen_at);
}

pub async fn silent_worker_is_no_longer_listed(world: World) {
    let sessions = async || {
        let workers = world.broker.workers().await.unwrap();
        workers.into_iter().map(|worker| worker.session).collect::<Vec<_>>()
    };
    world.broker.report("a", b"").await.unwrap();
    world.broker.report("b", b"").await.unwrap();
    world.clock.advance(world.policy.worker_memory() - MINUTE);
    world.broker.report("b", b"").await.unwrap();
    assert_eq!(sessions().await, ["a", "b"]);
    world.clock.advance(MINUTE);
    assert_eq!(sessions().await, ["b"]);

    world.broker.report("a", b"back").await.unwrap();

    assert_eq!(sessions().await, ["a", "b"]);
}

pub async fn worker_that_signs_off_is_gone(world: World) {
    world.broker.report("a", b"").await.unwrap();
    world.broker.report("b", b"").await.unwrap();

    world.broker.sign_off("a").await.unwrap();
    world.broker.sign_off("a").await.unwrap();
    world.broker.sign_off("unknown").await.unwrap();

    let workers = world.broker.workers().await.unwrap();
    assert_eq!(workers.iter().map(|worker| worker.session.as_str()).collect::<Vec<_>>(), ["b"]);
}

pub async fn sessions_that_are_no_words_are_refused(world: World) {
    for name in ["", "a b", "ü", &"x".repeat(129)] {
        for refused in [
            world.broker.report(name, b"").await,
            world.broker.post(name, b"").await,
            world.broker.collect(name, Duration::ZERO).await.map(drop),
        ] {
            assert!(matches!(refused, Err(Error::Invalid(_))), "{name}: {refused:?}");
        }
    }
}
