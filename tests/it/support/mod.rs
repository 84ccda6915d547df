//! Real counterparts and builders for the tests.

pub mod browser;
pub mod client;
pub mod disk;
pub mod faketime;
pub mod gate;
pub mod origin;
pub mod pictures;
pub mod proxy;
pub mod redis;
pub mod service;
pub mod stream;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
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

/// A port of the loopback that nobody else gets: no test of this run, and no connection, whose own ports come from
/// further up.
pub fn free_port() -> u16 {
    const PORTS: std::ops::Range<u16> = 10_000..32_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() * 97) as u16;
    let mut next = std::iter::repeat_with(|| {
        let step = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(begin);
        PORTS.start + step % (PORTS.end - PORTS.start)
    });
    next.find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok()).expect("the iterator never ends")
}
