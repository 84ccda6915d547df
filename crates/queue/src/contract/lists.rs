//! Lists of groups and of jobs, the newest submission first, and the position where the next page goes on. Also the
//! lists of jobs by due time, by lease and by death.
//!
//! The jobs of a group are listed with the highest index first. A position keeps its meaning while new groups are added
//! before it, so successive pages repeat nothing and skip nothing.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use uuid::Uuid;

use crate::{GroupId, JobId, State};

/// Largest number of groups and jobs that one call reads to find those that it lists. A backend may serve no other call
/// meanwhile.
pub(crate) const SCAN_LIMIT: usize = 1_000;
/// Largest number of active or delayed jobs that are read whole and sorted. If there are more, the list is searched
/// through the groups instead.
pub(crate) const SORT_LIMIT: usize = 5_000;

/// Which jobs to list. A field that is `None` allows all jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    pub state: Option<State>,
    pub queue: Option<String>,
    pub kind: Option<String>,
    pub group: Option<GroupId>,
    /// A label of the job's group.
    pub label: Option<String>,
    /// When the job's group was enqueued.
    pub submitted: Period,
}

/// Which groups to list. A field that is `None` allows all groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupFilter {
    pub label: Option<String>,
    /// When the group was enqueued.
    pub submitted: Period,
}

/// A span of time; a missing end is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Period {
    /// The first instant included.
    pub since: Option<Timestamp>,
    /// The first instant after it.
    pub until: Option<Timestamp>,
}

/// A position in a list of groups or jobs. The next page begins with the entry after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListPosition {
    /// When the group was enqueued, to the millisecond.
    pub created_at: Timestamp,
    /// Groups of the same millisecond are ordered by id.
    pub group: GroupId,
    /// The job's number in the group; 0 is after the group's last listed job.
    pub index: u32,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// May be fewer than asked for, or empty, although more follow.
    pub entries: Vec<T>,
    /// Where the next page begins; `None` at the end of the list.
    pub next: Option<ListPosition>,
}

/// A list of jobs, each with the instant that it is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobList {
    /// Delayed jobs by due time, the earliest first. Jobs that wait for another job are not in it.
    Delayed,
    /// Active jobs by the end of their lease, the earliest first.
    Active,
    /// The dead-letter list: failed jobs that were not enqueued again, the last failed first.
    Dead,
}

/// An entry of such a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedJob {
    pub job: JobId,
    /// When it is due, when its lease expires, or when it failed.
    pub at: Timestamp,
}

impl Period {
    /// The position after which a list of this period begins; `below` is that of the page before.
    pub(crate) fn top(self, below: Option<ListPosition>) -> ListPosition {
        let created_at = self.until.map_or(Timestamp::MAX, whole_ms);
        let top = ListPosition { created_at, group: Uuid::nil().into(), index: 0 };
        below.map_or(top, |below| below.min(top))
    }

    /// The first instant included, in milliseconds since 1970.
    pub(crate) fn floor_ms(self) -> i64 {
        self.since.map_or(i64::MIN >> 11, |since| whole_ms(since).as_millisecond())
    }
}

/// Rounds up to whole milliseconds, because brokers store those.
fn whole_ms(at: Timestamp) -> Timestamp {
    let ms = at.as_nanosecond().div_euclid(1_000_000) + i128::from(at.as_nanosecond().rem_euclid(1_000_000) > 0);
    i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

impl fmt::Display for ListPosition {
    /// 56 hexadecimal digits, opaque to clients.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, group) = (self.created_at.as_millisecond(), Uuid::from(self.group));
        write!(f, "{ms:016x}{}{:08x}", group.simple(), self.index)
    }
}

impl FromStr for ListPosition {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        if word.len() != 56 || !word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(());
        }
        let ms = i64::from_str_radix(&word[..16], 16).map_err(drop)?;
        Ok(Self {
            created_at: Timestamp::from_millisecond(ms).map_err(drop)?,
            group: word[16..48].parse().map_err(drop)?,
            index: u32::from_str_radix(&word[48..], 16).map_err(drop)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn position_is_read_as_it_is_written() {
        let position = ListPosition { created_at: at(1_764_402_000_123), group: GroupId::new(), index: 70_000 };
        assert_eq!(position.to_string().parse(), Ok(position));
        for wrong in ["", "x", &"f".repeat(56), &"é".repeat(28), &position.to_string()[1..]] {
            assert_eq!(wrong.parse::<ListPosition>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn list_begins_below_the_lower_of_its_end_and_its_position() {
        let position = ListPosition { created_at: at(5_000), group: GroupId::new(), index: 3 };
        let until = |until: &str| Period { until: Some(until.parse().unwrap()), since: None };
        assert_eq!(Period::default().top(Some(position)), position);
        assert_eq!(until("1970-01-01T00:00:09Z").top(Some(position)), position);
        assert_eq!(until("1970-01-01T00:00:04.0000001Z").top(Some(position)).created_at, at(4_001));
        assert_eq!(until("1970-01-01T00:00:05Z").top(Some(position)).index, 0);
    }

    #[test]
    fn part_of_a_millisecond_is_past_it() {
        let since = |since: &str| Period { since: Some(since.parse().unwrap()), until: None }.floor_ms();
        assert_eq!([since("1970-01-01T00:00:01Z"), since("1970-01-01T00:00:01.0000001Z")], [1_000, 1_001]);
    }
}
