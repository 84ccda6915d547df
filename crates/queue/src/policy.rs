//! The numbers of the queue, as settings and pure functions.

use std::time::Duration;

use bytes::Bytes;

/// The queue's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// How long a lease lasts without a heartbeat.
    pub lease: Duration,
    /// Time between heartbeats; at most a third of `lease`.
    pub beat: Duration,
    /// Largest number of attempts, the first included.
    pub max_attempts: u32,
    /// How many processes die with a job that runs alone in them before it fails as `poison`.
    pub max_stalls: u32,
    /// Upper bound of the wait before the second attempt; it doubles with each further one.
    pub backoff_base: Duration,
    /// Largest upper bound of the wait before an attempt.
    pub backoff_cap: Duration,
    /// Largest number of open jobs (waiting and delayed) in a queue; further ones are refused.
    pub queue_cap: u64,
    /// How long an idempotency key stays reserved for a group that is being received, if it is not renewed.
    pub reservation: Duration,
    /// How long an idempotency key stays bound to its group.
    pub key_memory: Duration,
    /// Number of events to store.
    pub events: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            beat: Duration::from_secs(5),
            max_attempts: 4,
            max_stalls: 3,
            backoff_base: Duration::from_secs(1),
            backoff_cap: Duration::from_mins(1),
            queue_cap: 1_000_000,
            reservation: Duration::from_secs(15),
            key_memory: Duration::from_hours(24),
            events: 100_000,
        }
    }
}

impl Policy {
    /// How long a worker is listed after its last report.
    pub fn worker_memory(&self) -> Duration {
        self.lease
    }
}

/// The wait before attempt `attempt + 1`: full jitter over a doubling bound.
///
/// `jitter` is uniform in `[0, 1)`. Source: Brooker, "Exponential Backoff And Jitter" (2015).
pub fn backoff(policy: &Policy, attempt: u32, jitter: f64) -> Duration {
    let doubled = policy.backoff_base.saturating_mul(1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(policy.backoff_cap).mul_f64(jitter)
}

/// Whether a claim takes priorities from 1 upwards. Every eighth claim of a session does, so that low priorities do not
/// starve.
pub fn looks_from_below(sequence: u64) -> bool {
    sequence % 8 == 7
}

/// The result of a job that fails because `stalls` processes died with it.
pub fn poison(stalls: u32) -> Bytes {
    let detail = format!("the job ran {stalls} times alone in a process, which died or fell silent every time");
    let error = serde_json::json!({ "code": "poison", "detail": detail, "retryable": false });
    serde_json::json!({ "success": false, "error": error }).to_string().into()
}

/// The result of a job that no worker has claimed by the time at which it expired.
pub fn expired() -> Bytes {
    let detail = "no worker had begun the job when it expired (options.expires)";
    let error = serde_json::json!({ "code": "expired", "detail": detail, "retryable": false });
    serde_json::json!({ "success": false, "error": error }).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_cap() {
        let policy = Policy::default();
        let bound = |attempt| backoff(&policy, attempt, 0.999_999).as_secs_f64().round() as u64;
        assert_eq!([1, 2, 3, 6, 7, 40].map(bound), [1, 2, 4, 32, 60, 60]);
        assert_eq!(backoff(&policy, 3, 0.0), Duration::ZERO);
    }

    #[test]
    fn every_eighth_claim_looks_from_below() {
        let below: Vec<u64> = (0..24).filter(|&sequence| looks_from_below(sequence)).collect();
        assert_eq!(below, [7, 15, 23]);
    }

    #[test]
    fn poison_is_a_final_failure() {
        let result: serde_json::Value = serde_json::from_slice(&poison(3)).unwrap();
        assert_eq!(result["success"], false);
        assert_eq!(result["error"]["code"], "poison");
        assert_eq!(result["error"]["retryable"], false);
    }
}
