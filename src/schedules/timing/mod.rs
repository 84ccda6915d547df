//! When a schedule fires: a cron pattern, an interval or one instant. Pure: no clock is read here.
//!
//! A *slot* is an instant at which a schedule is to fire. A slot's *period* reaches from the slot before to itself, half
//! open, so that periods meet and never overlap.

mod cron;
#[cfg(test)]
mod tests;
mod wall;

use std::fmt;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::duration;
use cron::Cron;

/// The least that a schedule may ask for.
const LEAST_EVERY: Duration = Duration::from_secs(1);
const MOST_EVERY: Duration = Duration::from_hours(366 * 24);
/// How far the slot before may lie back. 29 February comes after eight years at the most, on a Monday after forty.
const LONGEST_PERIOD: SignedDuration = SignedDuration::from_hours(41 * 366 * 24);

/// When a schedule fires.
#[derive(Debug, Clone)]
pub struct Timing {
    rule: Rule,
    zone: TimeZone,
    zone_name: String,
}

#[derive(Debug, Clone)]
enum Rule {
    Cron(Box<Cron>),
    /// Counted from 1970, so that all services find the same slots.
    Every(Duration),
    At(Timestamp),
}

/// A span of time without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// Slots of a span of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slots {
    /// The latest ones, the earliest of them first.
    pub latest: Vec<Timestamp>,
    /// The first and the last slot before those, if there are more.
    pub earlier: Option<(Timestamp, Timestamp)>,
}

impl Timing {
    /// Reads one of `cron`, `every` and `at`, and the name of a time zone.
    ///
    /// # Errors
    /// A sentence that names the field and its value.
    pub fn parse(cron: Option<&str>, every: Option<&str>, at: Option<&str>, zone: &str) -> Result<Self, String> {
        let (zone, zone_name) = parse_zone(zone)?;
        let rule = match (cron, every, at) {
            (Some(text), None, None) => {
                if let Some(length) = text.trim().strip_prefix("@every ") {
                    Rule::Every(parse_every("cron", length)?)
                } else {
                    let wrong = |why| format!("cron: `{}` cannot be read: {why}", text.escape_debug());
                    Rule::Cron(Box::new(Cron::parse(text).map_err(wrong)?))
                }
            }
            (None, Some(length), None) => Rule::Every(parse_every("every", length)?),
            (None, None, Some(instant)) => Rule::At(parse_at(instant, &zone)?),
            (None, None, None) => return Err("cron, every, at: none of them is there; a schedule has one".into()),
            _ => return Err("cron, every, at: there are several of them; a schedule has one".into()),
        };
        Ok(Self { rule, zone, zone_name })
    }

    /// Of the service itself: any interval above zero.
    pub fn every(length: Duration) -> Self {
        Self { rule: Rule::Every(length.max(Duration::from_millis(1))), zone: TimeZone::UTC, zone_name: "UTC".into() }
    }

    /// The zone's name as IANA writes it.
    pub fn zone_name(&self) -> &str {
        &self.zone_name
    }

    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The length of the interval, if it is one.
    pub fn interval(&self) -> Option<Duration> {
        match self.rule {
            Rule::Every(length) => Some(length),
            Rule::Cron(_) | Rule::At(_) => None,
        }
    }

    /// The first slot after an instant; `None` if none comes any more.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Cron(cron) => cron.next(after, &self.zone),
            Rule::Every(length) => {
                let length = i64::try_from(length.as_millis()).ok()?;
                // `as_millisecond` rounds towards zero; slots are whole milliseconds.
                let slots = after.as_nanosecond().div_euclid(1_000_000).div_euclid(length.into());
                Timestamp::from_millisecond(i64::try_from(slots + 1).ok()?.checked_mul(length)?).ok()
            }
            Rule::At(at) => (*at > after).then_some(*at),
        }
    }

    /// The last slot before an instant; `None` if there is none within 41 years.
    pub fn previous(&self, before: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::At(at) => (*at < before).then_some(*at),
            Rule::Every(length) => {
                let length = i64::try_from(length.as_millis()).ok()?;
                let slots = (before.as_nanosecond() - 1).div_euclid(1_000_000).div_euclid(length.into());
                Timestamp::from_millisecond(i64::try_from(slots).ok()?.checked_mul(length)?).ok()
            }
            Rule::Cron(cron) => {
                // Slots are whole seconds. The latest second after which the next slot is still before `before`:
                let is_before = |second: i64| {
                    let from = Timestamp::from_second(second).ok()?;
                    cron.next(from, &self.zone).filter(|slot| *slot < before)
                };
                let (mut low, mut high) = ((before - LONGEST_PERIOD).as_second(), before.as_second() + 1);
                let mut found = is_before(low)?;
                while high - low > 1 {
                    let middle = low + (high - low) / 2;
                    match is_before(middle) {
                        Some(slot) => (low, found) = (middle, slot),
                        None => high = middle,
                    }
                }
                Some(found)
            }
        }
    }

    /// The slots after an instant up to and with another one: the latest ones, at most `most`, and which there are before.
    pub fn between(&self, after: Timestamp, until: Timestamp, most: usize) -> Slots {
        let mut latest = Vec::new();
        let mut before = until.checked_add(SignedDuration::from_nanos(1)).unwrap_or(until);
        while let Some(slot) = self.previous(before).filter(|slot| *slot > after) {
            if latest.len() == most {
                latest.reverse();
                return Slots { latest, earlier: self.next(after).map(|first| (first, slot)) };
            }
            latest.push(slot);
            before = slot;
        }
        latest.reverse();
        Slots { latest, earlier: None }
    }

    /// The period that ends at a slot; `None` if there is no slot before.
    pub fn period(&self, slot: Timestamp) -> Option<Period> {
        Some(Period { from: self.previous(slot)?, until: slot })
    }
}

impl fmt::Display for Timing {
    /// In plain words, with the zone: `At 01:00 (Europe/Berlin)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Rule::Cron(cron) => write!(f, "{} ({})", cron.description(), self.zone_name),
            Rule::Every(length) => write!(f, "Every {}", duration::show(*length)),
            Rule::At(at) => write!(f, "Once, at {}", at.to_zoned_datetime(self.zone.clone())),
        }
    }
}

fn parse_zone(name: &str) -> Result<(TimeZone, String), String> {
    if name.eq_ignore_ascii_case("UTC") {
        return Ok((TimeZone::UTC, "UTC".into()));
    }
    let unknown = || {
        let data = if has_zones() { "" } else { "; this machine has no time zone data (tzdata): only UTC is known" };
        format!("zone: `{}` is not a time zone such as Europe/Berlin or UTC{data}", name.escape_debug())
    };
    let zone = TimeZone::get(name).map_err(|_| unknown())?;
    let name = zone.iana_name().ok_or_else(unknown)?.to_owned();
    Ok((zone, name))
}

/// Whether this machine has time zone data.
pub fn has_zones() -> bool {
    TimeZone::get("Europe/Berlin").is_ok()
}

fn parse_every(field: &str, text: &str) -> Result<Duration, String> {
    let length = duration::parse(text).map_err(|said| format!("{field}: {said}"))?;
    if !(LEAST_EVERY..=MOST_EVERY).contains(&length) {
        return Err(format!("{field}: `{}` is not within 1s and 366d", text.escape_debug()));
    }
    if length.subsec_nanos() != 0 {
        return Err(format!("{field}: `{}` is not a number of whole seconds", text.escape_debug()));
    }
    Ok(length)
}

/// An instant with its offset, or a time on the zone's wall clock.
fn parse_at(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    let wrong = || {
        format!("at: `{}` is not an instant such as 2027-01-01T08:00:00Z or 2027-01-01T08:00:00", text.escape_debug())
    };
    let at = match text.parse::<Timestamp>() {
        Ok(at) => at,
        Err(_) => zone.to_timestamp(text.parse().map_err(|_| wrong())?).map_err(|_| wrong())?,
    };
    if at.subsec_nanosecond() != 0 {
        return Err(format!("at: `{}` is not a whole second", text.escape_debug()));
    }
    Ok(at)
}
