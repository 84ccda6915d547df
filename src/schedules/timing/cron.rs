//! Cron patterns in a time zone, with Vixie's rule for days on which clocks change.
//!
//! A pattern with a `*` in the minute or the hour means intervals: it fires whenever the wall clock shows a time that
//! fits, and so twice in an hour that is repeated and not in an hour that is skipped. Any other pattern means fixed
//! times: each fires once a day. In a repeated hour it fires the first time; times that are skipped fire once, together,
//! at the instant when the clock is set forward. A clock that is set forward by three hours or more, as where a whole day
//! is lost, was corrected: times in between do not exist.

use croner::Cron as Pattern;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::wall::Wall;

/// From here on a skipped time is lost.
const CORRECTION: SignedDuration = SignedDuration::from_hours(3);
/// Changes of the clock between an instant and the next time that fits. The calendar repeats itself after 400 years.
const MOST_CHANGES: usize = 2 * 400;

/// A cron pattern.
#[derive(Debug, Clone)]
pub(super) struct Cron {
    pattern: Pattern,
    /// No `*` is in the minute or the hour.
    is_fixed: bool,
}

impl Cron {
    /// Five fields, six with the seconds first, or a nickname such as `@daily`.
    ///
    /// # Errors
    /// What is wrong with it, without naming it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let written = match text.to_ascii_lowercase().as_str() {
            "@yearly" | "@annually" => "0 0 1 1 *".into(),
            "@monthly" => "0 0 1 * *".into(),
            "@weekly" => "0 0 * * 0".into(),
            "@daily" | "@midnight" => "0 0 * * *".into(),
            "@hourly" => "0 * * * *".into(),
            other if other.starts_with('@') => {
                return Err(
                    "known are @hourly, @daily, @weekly, @monthly, @yearly, and @every with a length of time".into()
                );
            }
            _ => text.clone(),
        };
        let fields: Vec<&str> = written.split(' ').collect();
        let (minute, hour) = match fields.as_slice() {
            [minute, hour, _, _, _] | [_, minute, hour, _, _, _] => (minute, hour),
            _ if text.is_empty() => return Err("it is empty".into()),
            fields => {
                return Err(format!("it has {} fields, not five, or six with the seconds first", fields.len()));
            }
        };
        let is_fixed = !minute.contains('*') && !hour.contains('*');
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let pattern = parser.parse(&written).map_err(|error| error.to_string().trim_end_matches('.').to_owned())?;
        Ok(Self { pattern, is_fixed })
    }

    /// In plain words, without a full stop.
    pub(super) fn description(&self) -> String {
        self.pattern.describe().trim_end_matches('.').to_owned()
    }

    /// The first slot after an instant.
    pub(super) fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if self.is_fixed { self.next_fixed(after, zone) } else { self.next_interval(after, zone) }
    }

    /// The first time on the wall clock that fits, after another one.
    fn fit(&self, after: DateTime, inclusive: bool) -> Option<DateTime> {
        let Wall(fit) = self.pattern.find_next_occurrence(&Wall(after), inclusive).ok()?;
        Some(fit)
    }

    /// Later times on the wall clock are never earlier instants, so the first one that comes after `after` is the next.
    fn next_fixed(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut wall = zone.to_datetime(after);
        loop {
            wall = self.fit(wall, false)?;
            if let Some(slot) = instant(wall, zone)?
                && slot > after
            {
                return Some(slot);
            }
        }
    }

    /// Looks through the spans of time in which the zone's offset stays the same.
    fn next_interval(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let (mut from, mut inclusive) = (after, false);
        for _ in 0..MOST_CHANGES {
            let offset = zone.to_offset(from);
            let slot = offset.to_timestamp(self.fit(offset.to_datetime(from), inclusive)?).ok()?;
            match zone.following(from).next() {
                Some(change) if slot >= change.timestamp() => (from, inclusive) = (change.timestamp(), true),
                _ => return Some(slot),
            }
        }
        None
    }
}

/// The instant at which a fixed time fires. `Some(None)` if it does not exist; `None` beyond the end of all times.
#[allow(clippy::option_option, reason = "a time that does not exist is skipped, the end of all times is not")]
fn instant(wall: DateTime, zone: &TimeZone) -> Option<Option<Timestamp>> {
    match zone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).ok().map(Some),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).ok().map(Some),
        AmbiguousOffset::Gap { before, after } => {
            if after.duration_since(before) >= CORRECTION {
                return Some(None);
            }
            // Read with the old offset, a skipped time lies at or behind the change.
            let behind = before.to_timestamp(wall).ok()?.checked_add(SignedDuration::from_nanos(1)).ok()?;
            zone.preceding(behind).next().map(|change| Some(change.timestamp()))
        }
    }
}
