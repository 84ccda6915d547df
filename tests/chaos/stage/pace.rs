//! What a round runs on, and how fast.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Redis,
    Sqlite,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Sqlite => "sqlite",
        }
    }
}

/// How long things take in a round.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub lease: Duration,
    pub beat: Duration,
    /// CPU-bound jobs at a time where none may lose its lease, and outputs of each.
    pub long_jobs: (usize, usize),
    /// Faults that come again and again do so this often.
    pub times: usize,
    /// Redis sleeps this long: longer than a call's timeout.
    pub sleep: Duration,
    /// Everything acknowledged must have ended so long after the last upload.
    pub patience: Duration,
    pub shipped: bool,
}

impl Pace {
    pub const SCALED: Self = Self {
        lease: Duration::from_millis(900),
        beat: Duration::from_millis(300),
        long_jobs: (32, 6),
        times: 10,
        sleep: Duration::from_secs(3),
        patience: Duration::from_mins(2),
        shipped: false,
    };
    /// The settings as they are by default.
    pub const SHIPPED: Self = Self {
        lease: Duration::from_secs(15),
        beat: Duration::from_secs(5),
        long_jobs: (32, 24),
        times: 30,
        sleep: Duration::from_secs(30),
        patience: Duration::from_mins(10),
        shipped: true,
    };
    /// As scaled, with less of everything, but with leases that a busy machine does not let run out.
    pub const SHORT: Self = Self {
        lease: Duration::from_secs(3),
        beat: Duration::from_millis(500),
        long_jobs: (8, 24),
        times: 5,
        ..Self::SCALED
    };

    /// Long enough for a lease to have run out and been noticed.
    pub fn past_lease(self) -> Duration {
        self.lease + self.beat
    }
}
