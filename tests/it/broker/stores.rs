use futures::future::join_all;
use uuid::Uuid;

use super::world::World;

pub use super::world::policy;

pub async fn queue_keeps_the_first_store_that_asks(world: World) {
    let (first, other) = (Uuid::new_v4(), Uuid::new_v4());

    assert_eq!(world.broker.store_or(first).await.unwrap(), first);
    assert_eq!(world.broker.store_or(other).await.unwrap(), first);
    assert_eq!(world.another().await.store_or(other).await.unwrap(), first, "whoever asks");
}

pub async fn racing_stores_are_told_of_the_same_one(world: World) {
    let asked = (0..20).map(|_| world.broker.store_or(Uuid::new_v4()));

    let told: Vec<Uuid> = join_all(asked).await.into_iter().map(Result::unwrap).collect();

    assert!(told.iter().all(|store| *store == told[0]), "{told:?}");
}

pub async fn queue_is_moved_to_another_store_on_purpose(world: World) {
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    world.broker.store_or(first).await.unwrap();

    for _ in 0..2 {
        world.broker.move_to_store(second).await.unwrap();
    }

    assert_eq!(world.broker.store_or(first).await.unwrap(), second);
}
