//! Real counterparts and builders for the tests.

pub mod client;
pub mod disk;
pub mod pictures;
pub mod proxy;
pub mod redis;
pub mod service;

use std::time::{Duration, Instant};

/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(15);
/// What everything that is waited for happens in, on a slow and busy machine too.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Looks until `look` finds something.
///
/// # Panics
/// When it has not within [`PATIENCE`].
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, look).await
}

/// As [`until`], with a patience of one's own.
pub async fn until_within<T>(patience: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long: {what}");
        tokio::time::sleep(LOOK).await;
    }
}
