//! The wall clock: a cron pattern against dates and times without a zone.
//!
//! croner walks the wall clock only. Which instants a wall clock's times are is decided in `cron.rs`, so croner's own
//! treatment of clock changes is never used.

use std::cmp::Ordering;

use croner::errors::CronError;
use croner::{CivilDateTime, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::{SignedDuration, civil};

/// A wall clock's time, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wall(pub(super) DateTime);

impl CronDateTime for Wall {
    fn to_civil(&self) -> CivilDateTime {
        let Self(at) = self;
        let [month, day, hour, minute, second] =
            [at.month(), at.day(), at.hour(), at.minute(), at.second()].map(|part| u32::from(part.unsigned_abs()));
        CivilDateTime::from_ymd_hms(i32::from(at.year()), month, day, hour, minute, second)
            .expect("jiff's parts are those of the calendar")
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(u32::from(self.0.weekday().to_sunday_zero_offset().unsigned_abs()))
    }

    fn resolve_civil(&self, at: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let part = |part: u32| i8::try_from(part).map_err(|_| CronError::InvalidDate);
        let year = i16::try_from(at.year()).map_err(|_| CronError::InvalidDate)?;
        let date = civil::Date::new(year, part(at.month())?, part(at.day())?).map_err(|_| CronError::InvalidDate)?;
        let time = civil::Time::new(part(at.hour())?, part(at.minute())?, part(at.second())?, 0);
        Ok(Resolution::Single(Self(date.to_datetime(time.map_err(|_| CronError::InvalidTime)?))))
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }
}
