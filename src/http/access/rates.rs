//! How often a key may call: one token bucket for its requests, and one for the uploads among them.
//!
//! A bucket holds the tokens of one minute and fills evenly, so that a key may call in a burst and never waits for a
//! whole minute. Every API process counts for itself. If limits are set, answers to a known key report what is left, in
//! the fields `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-10.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue};

use super::{Caller, Problem};
use crate::config;

const WINDOW: Duration = Duration::from_mins(1);
/// Keys that are remembered. Beyond this number, keys with full buckets are forgotten.
const REMEMBERED: usize = 10_000;

pub(super) struct Rates {
    limits: [u32; 2],
    buckets: Mutex<HashMap<String, [Bucket; 2]>>,
}

/// In the order of `limits`.
const POLICIES: [&str; 2] = ["requests", "uploads"];

/// What a caller has left.
#[derive(Debug, Default)]
pub(super) struct Quota {
    pub(super) headers: HeaderMap,
    pub(super) exceeded: Option<Problem>,
}

impl Rates {
    pub(super) fn new(limits: &config::Limits) -> Self {
        Self { limits: [limits.requests_per_minute, limits.uploads_per_minute], buckets: Mutex::default() }
    }

    /// Counts a request.
    pub(super) fn take(&self, caller: &Caller, is_upload: bool) -> Quota {
        let own = caller.key().map_or([None; 2], |key| [key.requests_per_minute, key.uploads_per_minute]);
        let limits = [0, 1].map(|i| own[i].unwrap_or(self.limits[i]));
        if limits == [0, 0] {
            return Quota::default();
        }
        let who = caller.key().map_or("local", |key| &key.id);
        self.count(who, limits, is_upload, Instant::now())
    }

    fn count(&self, who: &str, limits: [u32; 2], is_upload: bool, now: Instant) -> Quota {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED && !buckets.contains_key(who) {
            buckets.retain(|_, both| both.iter().any(|bucket| bucket.full_at > now));
        }
        let both = buckets.entry(who.to_owned()).or_insert_with(|| [0, 1].map(|_| Bucket::full(now)));
        let concerned = [limits[0] > 0, limits[1] > 0 && is_upload];
        let waits = [0, 1].map(|i| if concerned[i] { both[i].wait(limits[i], now) } else { Duration::ZERO });
        // A request that one bucket refuses takes no token from the other.
        let exceeded = (0..2).find(|&i| !waits[i].is_zero()).map(|i| {
            let (policy, limit, seconds) = (POLICIES[i], limits[i], seconds(waits[i]));
            let detail = format!(
                "More than {limit} {policy} a minute (limits.{policy}_per_minute, or the key's own); try again in \
                 {seconds} s."
            );
            Problem::too_many("rate-limited", detail, seconds)
        });
        if exceeded.is_none() {
            (0..2).filter(|&i| concerned[i]).for_each(|i| both[i].take(limits[i], now));
        }
        Quota { headers: headers(both, limits, now), exceeded }
    }
}

fn headers(both: &[Bucket; 2], limits: [u32; 2], now: Instant) -> HeaderMap {
    let (mut policy, mut left) = (String::new(), String::new());
    for ((bucket, limit), name) in both.iter().zip(limits).zip(POLICIES).filter(|((_, limit), _)| *limit > 0) {
        let comma = if policy.is_empty() { "" } else { ", " };
        let (there, full_s) = (bucket.left(limit, now), seconds(bucket.until_full(now)));
        let _ = write!(policy, "{comma}\"{name}\";q={limit};w={}", WINDOW.as_secs());
        let _ = write!(left, "{comma}\"{name}\";r={there};t={full_s}");
    }
    let value = |text: String| HeaderValue::try_from(text).expect("letters and digits");
    HeaderMap::from_iter([
        ("ratelimit-policy".parse().expect("a name"), value(policy)),
        ("ratelimit".parse().expect("a name"), value(left)),
    ])
}

/// A bucket with the tokens of one minute. Only the time when it is full again is stored: a token is a length of time,
/// so that nothing is rounded (GCRA, ITU-T I.371).
#[derive(Debug)]
pub(super) struct Bucket {
    full_at: Instant,
}

impl Bucket {
    pub(super) fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Time until there is a token; zero if there is one.
    pub(super) fn wait(&self, limit: u32, now: Instant) -> Duration {
        (self.until_full(now) + token(limit)).saturating_sub(WINDOW)
    }

    pub(super) fn take(&mut self, limit: u32, now: Instant) {
        self.full_at = now + self.until_full(now) + token(limit);
    }

    fn until_full(&self, now: Instant) -> Duration {
        self.full_at.saturating_duration_since(now)
    }

    fn left(&self, limit: u32, now: Instant) -> u32 {
        let there = WINDOW.saturating_sub(self.until_full(now)).as_nanos() / token(limit).as_nanos();
        u32::try_from(there).map_or(limit, |there| there.min(limit))
    }
}

fn token(limit: u32) -> Duration {
    WINDOW / limit.max(1)
}

/// Seconds, rounded up.
pub(super) fn seconds(time: Duration) -> u32 {
    time.as_nanos().div_ceil(1_000_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> Rates {
        Rates { limits: [0, 0], buckets: Mutex::default() }
    }

    fn told(quota: &Quota) -> (&str, &str) {
        ["ratelimit-policy", "ratelimit"].map(|name| quota.headers[name].to_str().unwrap()).into()
    }

    #[test]
    fn burst_is_a_minutes_worth_and_then_one_comes_at_a_time() {
        let (rates, start) = (rates(), Instant::now());
        let count = |seconds| rates.count("shop", [6, 0], false, start + Duration::from_secs(seconds));
        for left in (0..6).rev() {
            let quota = count(0);
            assert!(quota.exceeded.is_none());
            let reset = (6 - left) * 10;
            assert_eq!(told(&quota), ("\"requests\";q=6;w=60", &*format!("\"requests\";r={left};t={reset}")));
        }
        let refused = count(1).exceeded.unwrap();
        assert!(refused.code() == "rate-limited" && refused.detail().ends_with("try again in 9 s."), "{refused:?}");
        assert!(count(10).exceeded.is_none() && count(10).exceeded.is_some());
        assert!(rates.count("blog", [6, 0], false, start).exceeded.is_none(), "another key has its own");
    }

    #[test]
    fn uploads_are_counted_beside_requests() {
        let (rates, now) = (rates(), Instant::now());
        let first = rates.count("shop", [10, 1], true, now);
        assert_eq!(told(&first).1, "\"requests\";r=9;t=6, \"uploads\";r=0;t=60");
        let second = rates.count("shop", [10, 1], true, now);
        assert!(second.exceeded.is_some());
        assert_eq!(told(&second).1, "\"requests\";r=9;t=6, \"uploads\";r=0;t=60", "the refused one cost no request");
        assert!(rates.count("shop", [10, 1], false, now).exceeded.is_none());
        assert!(rates.count("shop", [10, 0], true, now).exceeded.is_none(), "0 is no limit");
    }

    #[test]
    fn keys_that_have_not_called_for_a_minute_are_forgotten_when_there_are_many() {
        let (rates, start) = (rates(), Instant::now());
        for who in 0..REMEMBERED {
            rates.count(&who.to_string(), [1, 0], false, start);
        }
        rates.count("late", [1, 0], false, start + WINDOW);
        assert_eq!(rates.buckets.lock().unwrap().len(), 1);
    }
}
