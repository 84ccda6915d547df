//! The states of a job, and which may follow which.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The state of a job. Celery calls them PENDING, RETRY, STARTED, SUCCESS, FAILURE and REVOKED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// May be claimed.
    Waiting,
    /// Waits for its due time (a start time, or the backoff of a retry), or for another job to succeed.
    Delayed,
    /// Leased to a worker.
    Active,
    Succeeded,
    Failed,
    Cancelled,
}

impl State {
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Delayed, Self::Active, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// Whether a job stays in this state for ever.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Whether the queue may move a job from this state to `next`.
    pub fn may_become(self, next: Self) -> bool {
        use State::{Active, Cancelled, Delayed, Failed, Succeeded, Waiting};
        match self {
            Waiting => matches!(next, Active | Cancelled),
            Delayed => matches!(next, Waiting | Cancelled),
            Active => matches!(next, Waiting | Delayed | Succeeded | Failed | Cancelled),
            Succeeded | Failed | Cancelled => false,
        }
    }

    /// In lower case, as it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delayed => "delayed",
            Self::Active => "active",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| format!("`{text}` is not a job state"))
    }
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn terminal_states_lead_nowhere() {
        for from in State::ALL {
            let leads_somewhere = State::ALL.into_iter().any(|next| from.may_become(next));
            assert_eq!(leads_somewhere, !from.is_terminal(), "{from}");
        }
    }

    #[test]
    fn names_parse_back() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
    }
}
