//! Counts the bytes of requests' heads and bodies that are held in memory, over all connections.
//!
//! One budget limits the sum ([`Limits::max_buffered_bytes`](crate::config::Limits)). A request's bytes count from
//! their arrival until they are parsed or written to the store, or the request is answered. Requests that hold few
//! bytes may use all of the budget, the others only half of it. So pictures, which are written as they come, are still
//! received while many clients send long bodies.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::gauge::Gauge;

/// Most bytes that count as few for one request. A chunk of an upload has fewer.
const LITTLE: u64 = 64 << 10;

/// The budget of all connections. Clones share one count.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    most: u64,
    used: Arc<AtomicU64>,
    gauge: Gauge,
}

/// The bytes that are held for one request, or for one connection outside its requests. Dropping it gives them back to the
/// budget.
#[derive(Debug)]
pub(in crate::http) struct Held {
    budget: Budget,
    bytes: AtomicU64,
}

/// The budget has no room for more of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRoom {
    most: u64,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the requests that are being received take up limits.max_buffered_bytes ({})", self.most)
    }
}

impl std::error::Error for NoRoom {}

impl Budget {
    pub(super) fn new(most: u64, gauge: Gauge) -> Self {
        Self { most, used: Arc::default(), gauge }
    }

    pub(super) fn account(&self) -> Held {
        Held { budget: self.clone(), bytes: AtomicU64::new(0) }
    }

    /// # Errors
    /// If there is no room for `bytes` more beside `before`.
    fn take(&self, bytes: u64, before: u64) -> Result<(), NoRoom> {
        let most = if before + bytes > LITTLE { self.most / 2 } else { self.most };
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| Some(used + bytes).filter(|&sum| sum <= most));
        match taken {
            Ok(used) => {
                self.gauge.set((used + bytes) as i64);
                Ok(())
            }
            Err(_) => Err(NoRoom { most: self.most }),
        }
    }

    fn give_back(&self, bytes: u64) {
        if bytes > 0 {
            let used = self.used.fetch_sub(bytes, Ordering::Relaxed);
            self.gauge.set((used - bytes) as i64);
        }
    }
}

impl Held {
    /// Counts bytes that came.
    ///
    /// # Errors
    /// If there is no room for them. They are not counted then.
    pub(super) fn add(&self, bytes: u64) -> Result<(), NoRoom> {
        let before = self.bytes.load(Ordering::Relaxed);
        self.budget.take(bytes, before)?;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// All bytes so far were parsed or written.
    pub(in crate::http) fn forget(&self) {
        self.budget.give_back(self.bytes.swap(0, Ordering::Relaxed));
    }

    /// Sets how many bytes are held now.
    ///
    /// # Errors
    /// If there is no room for the increase. It is not counted then.
    pub(super) fn set(&self, bytes: u64) -> Result<(), NoRoom> {
        let before = self.bytes.load(Ordering::Relaxed);
        if bytes > before {
            return self.add(bytes - before);
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        self.budget.give_back(before - bytes);
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sum_over_all_is_bounded_and_given_back() {
        let gauge = Gauge::default();
        let budget = Budget::new(4 * LITTLE, gauge.clone());
        let all: Vec<Held> = (0..4).map(|_| budget.account()).collect();
        for held in &all {
            held.add(LITTLE).unwrap();
        }
        let another = budget.account();
        assert!(another.add(1).unwrap_err().to_string().contains("limits.max_buffered_bytes (262144)"));
        all[0].forget();
        another.add(LITTLE).unwrap();
        drop(all);
        assert_eq!(gauge.get(), LITTLE as i64);
        drop(another);
        assert_eq!(gauge.get(), 0);
    }

    #[test]
    fn those_that_hold_much_leave_half_to_those_that_hold_little() {
        let budget = Budget::new(8 * LITTLE, Gauge::default());
        let (much, little) = (budget.account(), budget.account());
        for _ in 0..4 {
            much.add(LITTLE).unwrap();
        }
        assert!(much.add(1).is_err());
        little.add(LITTLE).unwrap();
        assert!(little.add(1).is_err(), "it would hold much, too");
    }

    #[test]
    fn what_a_connection_holds_goes_up_and_down() {
        let gauge = Gauge::default();
        let held = Budget::new(LITTLE, gauge.clone()).account();
        for bytes in [10, 5, LITTLE, 0] {
            held.set(bytes).unwrap();
            assert_eq!(gauge.get(), bytes as i64);
        }
        assert!(held.set(LITTLE + 1).is_err());
        assert_eq!(gauge.get(), 0);
    }
}
