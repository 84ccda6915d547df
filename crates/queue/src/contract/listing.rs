//! Lists of groups and of jobs, the newest submission first, and the place where such a list goes on.
//!
//! Jobs stand with their group, the last one first. A place stays where it is while new groups come in above it, so
//! pages that follow one another show nothing twice and leave nothing out.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use uuid::Uuid;

use crate::{GroupId, State};

/// Groups and jobs that one call tells of, and that it looks at to find those that are wanted: a backend may serve nobody else meanwhile.
pub(crate) const LOOKS: usize = 1_000;
/// Active or delayed jobs that are gone through whole and sorted, rather than looked for among all others.
pub(crate) const FEW: usize = 5_000;

/// Which jobs a list is of; those of which nothing is said are of all kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    pub state: Option<State>,
    pub queue: Option<String>,
    pub kind: Option<String>,
    pub group: Option<GroupId>,
    pub submitted: Period,
}

/// When a group was enqueued.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Period {
    pub since: Option<Timestamp>,
    /// Not included.
    pub until: Option<Timestamp>,
}

/// Where a list goes on: with what stands below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The group's, to the millisecond.
    pub created_at: Timestamp,
    /// Groups of one instant stand in the order of their ids.
    pub group: GroupId,
    /// The job's; 0 leaves none of the group.
    pub index: u32,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Maybe fewer than asked for, and even none, where there are more.
    pub entries: Vec<T>,
    /// Where the list goes on; none at its end.
    pub next: Option<Place>,
}

impl Period {
    /// The place that a list begins below.
    pub(crate) fn top(self, below: Option<Place>) -> Place {
        let created_at = self.until.map_or(Timestamp::MAX, whole_ms);
        let top = Place { created_at, group: Uuid::nil().into(), index: 0 };
        below.map_or(top, |below| below.min(top))
    }

    /// The first instant, in milliseconds since 1970.
    pub(crate) fn floor_ms(self) -> i64 {
        self.since.map_or(i64::MIN >> 11, |since| whole_ms(since).as_millisecond())
    }
}

/// Rounded up: brokers count whole milliseconds.
fn whole_ms(at: Timestamp) -> Timestamp {
    let ms = at.as_nanosecond().div_euclid(1_000_000) + i128::from(at.as_nanosecond().rem_euclid(1_000_000) > 0);
    i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

impl fmt::Display for Place {
    /// A word for clients, who make nothing of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, group) = (self.created_at.as_millisecond(), Uuid::from(self.group));
        write!(f, "{ms:016x}{}{:08x}", group.simple(), self.index)
    }
}

impl FromStr for Place {
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
    fn places_are_told_and_read_back() {
        let place = Place { created_at: at(1_764_402_000_123), group: GroupId::new(), index: 70_000 };
        assert_eq!(place.to_string().parse(), Ok(place));
        for wrong in ["", "x", &"f".repeat(56), &"é".repeat(28), &place.to_string()[1..]] {
            assert_eq!(wrong.parse::<Place>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn list_begins_below_the_lower_of_its_end_and_its_place() {
        let place = Place { created_at: at(5_000), group: GroupId::new(), index: 3 };
        let until = |until: &str| Period { until: Some(until.parse().unwrap()), since: None };
        assert_eq!(Period::default().top(Some(place)), place);
        assert_eq!(until("1970-01-01T00:00:09Z").top(Some(place)), place);
        assert_eq!(until("1970-01-01T00:00:04.0000001Z").top(Some(place)).created_at, at(4_001));
        assert_eq!(until("1970-01-01T00:00:05Z").top(Some(place)).index, 0);
    }

    #[test]
    fn part_of_a_millisecond_is_past_it() {
        let since = |since: &str| Period { since: Some(since.parse().unwrap()), until: None }.floor_ms();
        assert_eq!([since("1970-01-01T00:00:01Z"), since("1970-01-01T00:00:01.0000001Z")], [1_000, 1_001]);
    }
}
