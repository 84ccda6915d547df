//! Timings against an independent reference: a walk over each minute, by jiff's wall clock alone.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use jiff::civil::DateTime;

use super::*;

const ZONES: [&str; 6] =
    ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia", "UTC"];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

fn cron(text: &str, zone: &str) -> Timing {
    Timing::parse(Some(text), None, None, zone).unwrap()
}

fn slots(timing: &Timing, from: &str, until: &str) -> Vec<String> {
    let (mut slots, mut now, until) = (Vec::new(), at(from), at(until));
    while let Some(slot) = timing.next(now).filter(|slot| *slot < until) {
        slots.push(slot.to_string());
        now = slot;
    }
    slots
}

/// A field of a pattern as a set of numbers.
fn numbers(field: &str, from: i8, to: i8) -> BTreeSet<i8> {
    let of = |part: &str| -> Vec<i8> {
        let (range, step) = part.split_once('/').map_or((part, 1), |(range, step)| (range, step.parse().unwrap()));
        let (low, high) = match range.split_once('-') {
            _ if range == "*" => (from, to),
            Some((low, high)) => (low.parse().unwrap(), high.parse().unwrap()),
            None => (range.parse().unwrap(), range.parse().unwrap()),
        };
        (low..=high).step_by(step).collect()
    };
    field.split(',').flat_map(of).collect()
}

/// Vixie's cron, minute by minute.
fn reference(pattern: &str, zone: &str, from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let fields: Vec<&str> = pattern.split(' ').collect();
    let [minutes, hours, days, months, weekdays] =
        [(0, 0, 59), (1, 0, 23), (2, 1, 31), (3, 1, 12), (4, 0, 7)].map(|(i, low, high)| numbers(fields[i], low, high));
    let fits = |wall: DateTime| {
        let weekday = wall.weekday().to_sunday_zero_offset();
        let on_day = days.contains(&wall.day());
        let on_weekday = weekdays.contains(&weekday) || (weekday == 0 && weekdays.contains(&7));
        let both = fields[2].starts_with('*') || fields[4].starts_with('*');
        minutes.contains(&wall.minute())
            && hours.contains(&wall.hour())
            && months.contains(&wall.month())
            && if both { on_day && on_weekday } else { on_day || on_weekday }
    };
    let zone = TimeZone::get(zone).unwrap();
    let is_interval = fields[0].contains('*') || fields[1].contains('*');
    let minute = SignedDuration::from_mins(1);
    let (mut fired, mut now, mut seen) = (Vec::new(), from, zone.to_datetime(from - minute));
    while now < until {
        let wall = zone.to_datetime(now);
        if is_interval {
            fired.extend(fits(wall).then_some(now));
        } else if wall > seen {
            let skipped = wall.duration_since(seen);
            let mut due = fits(wall);
            if skipped < SignedDuration::from_hours(3) {
                let mut passed = seen + minute;
                while passed < wall {
                    due |= fits(passed);
                    passed += minute;
                }
            }
            fired.extend(due.then_some(now));
        }
        seen = seen.max(wall);
        now += minute;
    }
    fired
}

#[test]
fn year_in_six_zones_is_that_of_a_walk_minute_by_minute() {
    let patterns = [
        "30 2 * * *",
        "30 2,14 * * *",
        "15,45 2 * * *",
        "0 1-3 * * *",
        "0 0 * * *",
        "*/30 * * * *",
        "0 */2 * * *",
        "59 1 * * 0",
        "15 2 28-31 3,10 *",
        "0 8 30 12 *",
        "5 0 1 * 1",
        "*/20 2 * * 6,7",
    ];
    let mut compared = 0;
    for zone in ZONES {
        for year in if zone == "Pacific/Apia" { vec![2011, 2012] } else { vec![2026] } {
            let (from, until) = (at(&format!("{year}-01-01T00:00:00Z")), at(&format!("{}-01-02T00:00:00Z", year + 1)));
            for pattern in patterns {
                let timing = cron(pattern, zone);
                let expected = reference(pattern, zone, from, until);
                let mut now = from - SignedDuration::from_secs(1);
                for slot in &expected {
                    let next = timing.next(now).unwrap();
                    assert_eq!(next, *slot, "`{pattern}` in {zone} after {now}");
                    now = next;
                    compared += 1;
                }
                assert!(timing.next(now).unwrap() >= until, "`{pattern}` in {zone} after {now}");
                for pair in expected.windows(2).step_by(17) {
                    assert_eq!(timing.previous(pair[1]), Some(pair[0]), "`{pattern}` in {zone} before {}", pair[1]);
                }
            }
        }
    }
    assert!(compared > 100_000, "{compared} slots compared");
}

#[test]
fn fixed_times_fire_once_on_days_when_clocks_change() {
    let day = |pattern, from: &str, until: &str| slots(&cron(pattern, "Europe/Berlin"), from, until);
    let spring = |pattern| day(pattern, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
    // 02:00 does not come: at 01:00 UTC it is 03:00.
    assert_eq!(spring("30 2,14 * * *"), ["2026-03-29T01:00:00Z", "2026-03-29T12:30:00Z"]);
    assert_eq!(spring("15,45 2 * * *"), ["2026-03-29T01:00:00Z"]);
    assert_eq!(spring("0 3 * * *"), ["2026-03-29T01:00:00Z"]);
    assert_eq!(spring("0,30 2-3 * * *"), ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]);
    assert_eq!(spring("0 */2 * * *").len(), 10, "from 04:00 to 22:00: 02:00 is not shown");
    let autumn = |pattern| day(pattern, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
    assert_eq!(autumn("30 2,14 * * *"), ["2026-10-25T00:30:00Z", "2026-10-25T13:30:00Z"]);
    assert_eq!(autumn("*/30 2 * * *").len(), 4, "an interval fires in both hours");
    assert_eq!(autumn("0 */2 * * *").len(), 12, "02:00 is shown twice");
}

#[test]
fn lost_day_has_no_times_of_its_own() {
    let days = slots(&cron("0 8 * * *", "Pacific/Apia"), "2011-12-29T10:00:00Z", "2011-12-31T12:00:00Z");
    assert_eq!(days, ["2011-12-29T18:00:00Z", "2011-12-30T18:00:00Z"], "29 December, then the 31st");
}

#[test]
fn next_after_the_repeated_hour_began_is_on_the_next_day() {
    let timing = cron("30 2 * * *", "Europe/Berlin");
    // 02:10 for the second time.
    assert_eq!(timing.next(at("2026-10-25T01:10:00Z")), Some(at("2026-10-26T01:30:00Z")));
    assert_eq!(timing.previous(at("2026-10-25T01:10:00Z")), Some(at("2026-10-25T00:30:00Z")));
}

#[test]
fn intervals_are_counted_from_1970() {
    let timing = Timing::parse(None, Some("90s"), None, "UTC").unwrap();
    let also = Timing::parse(Some("@every 90s"), None, None, "Europe/Berlin").unwrap();
    for timing in [timing, also] {
        assert_eq!(timing.next(at("1970-01-01T00:00:00Z")), Some(at("1970-01-01T00:01:30Z")));
        assert_eq!(timing.next(at("1970-01-01T00:01:29.9Z")), Some(at("1970-01-01T00:01:30Z")));
        assert_eq!(timing.next(at("1970-01-01T00:01:30Z")), Some(at("1970-01-01T00:03:00Z")));
        assert_eq!(timing.previous(at("1970-01-01T00:01:30Z")), Some(at("1970-01-01T00:00:00Z")));
        assert_eq!(timing.previous(at("1970-01-01T00:01:30.1Z")), Some(at("1970-01-01T00:01:30Z")));
        let period = timing.period(at("1970-01-01T00:03:00Z")).unwrap();
        assert_eq!((period.from, period.until), (at("1970-01-01T00:01:30Z"), at("1970-01-01T00:03:00Z")));
    }
}

#[test]
fn instant_comes_once() {
    let once = |text, zone| Timing::parse(None, None, Some(text), zone).unwrap();
    let timing = once("2027-01-01T08:00:00Z", "Europe/Berlin");
    assert_eq!(timing.next(at("2026-12-01T00:00:00Z")), Some(at("2027-01-01T08:00:00Z")));
    assert_eq!(timing.next(at("2027-01-01T08:00:00Z")), None);
    assert_eq!(timing.period(at("2027-01-01T08:00:00Z")), None);
    let local = once("2027-01-01T08:00:00", "Europe/Berlin");
    assert_eq!(local.next(at("2026-12-01T00:00:00Z")), Some(at("2027-01-01T07:00:00Z")));
}

#[test]
fn pattern_that_never_fits_has_no_next_slot() {
    let now = at("2026-12-01T00:00:00Z");
    for pattern in ["0 0 31 2 *", "0 0 30 2 *", "* * 31 4 *"] {
        assert_eq!(cron(pattern, "Europe/Berlin").next(now), None, "{pattern}");
    }
    assert_eq!(cron("0 0 29 2 *", "UTC").next(now), Some(at("2028-02-29T00:00:00Z")));
}

#[test]
fn slots_between_two_instants_are_the_latest_ones() {
    let timing = cron("0 * * * *", "UTC");
    let found = timing.between(at("2026-01-01T00:00:00Z"), at("2026-01-01T05:00:00Z"), 3);
    let latest = ["03", "04", "05"].map(|hour| at(&format!("2026-01-01T{hour}:00:00Z")));
    assert_eq!(found.latest, latest);
    assert_eq!(found.earlier, Some((at("2026-01-01T01:00:00Z"), at("2026-01-01T02:00:00Z"))));
    let all = timing.between(at("2026-01-01T02:00:00Z"), at("2026-01-01T05:30:00Z"), 3);
    assert_eq!((all.latest.as_slice(), all.earlier), (latest.as_slice(), None));
    let none = timing.between(at("2026-01-01T05:00:00Z"), at("2026-01-01T05:30:00Z"), 3);
    assert_eq!(none, Slots::default());
}

#[test]
fn day_and_weekday_together_mean_either() {
    let found = slots(&cron("0 0 1 * 1", "UTC"), "2026-05-31T12:00:00Z", "2026-06-09T00:00:00Z");
    assert_eq!(found, ["2026-06-01T00:00:00Z", "2026-06-08T00:00:00Z"], "the first is a Monday");
    assert_eq!(slots(&cron("0 0 1 * 1", "UTC"), "2026-06-30T12:00:00Z", "2026-07-07T00:00:00Z").len(), 2);
}

#[test]
fn six_fields_begin_with_the_seconds() {
    let found = slots(&cron("*/20 0 12 * * *", "UTC"), "2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z");
    assert_eq!(found, ["2026-06-01T12:00:00Z", "2026-06-01T12:00:20Z", "2026-06-01T12:00:40Z"]);
}

#[test]
fn refusals_name_the_field_and_the_value() {
    let zone = |zone| Timing::parse(Some("@daily"), None, None, zone).unwrap_err();
    assert!(zone("Europe/Berln").starts_with("zone: `Europe/Berln` is not a time zone"), "{}", zone("Europe/Berln"));
    assert!(zone("").contains("zone: ``"), "{}", zone(""));
    let wrong = [
        "",
        "* * * *",
        "0 0 1 1 * 2026 7",
        "60 * * * *",
        "0 24 * * *",
        "0/10 * * * *",
        "H * * * *",
        "@reboot",
        "@every",
    ];
    for text in wrong {
        let said = Timing::parse(Some(text), None, None, "UTC").map(|timing| timing.to_string()).unwrap_err();
        assert!(said.starts_with(&format!("cron: `{text}` cannot be read: ")), "{said}");
    }
    for text in ["", "0s", "1500ms", "367d", "1mo", "-5s"] {
        for (cron, every) in [(None, Some(text.to_owned())), (Some(format!("@every {text}")), None)] {
            let Err(said) = Timing::parse(cron.as_deref(), every.as_deref(), None, "UTC") else { panic!("{text}") };
            let field = if cron.is_some() { "cron: `" } else { "every: `" };
            assert!(said.starts_with(field), "{said}");
        }
    }
    for text in ["tomorrow", "2026-02-30T00:00:00Z", "2027-01-01T08:00:00.5Z"] {
        let said = Timing::parse(None, None, Some(text), "UTC").map(|timing| timing.to_string()).unwrap_err();
        assert!(said.starts_with(&format!("at: `{text}` is not ")), "{said}");
    }
    assert!(Timing::parse(None, None, None, "UTC").is_err_and(|said| said.contains("none of them")));
    assert!(Timing::parse(Some("@daily"), Some("1h"), None, "UTC").is_err_and(|said| said.contains("several")));
}

#[test]
fn timings_are_described_in_plain_words() {
    assert_eq!(cron("0 1 * * *", "europe/berlin").to_string(), "At 01:00 (Europe/Berlin)");
    assert_eq!(Timing::parse(None, Some("90s"), None, "UTC").unwrap().to_string(), "Every 1m 30s");
    let once = Timing::parse(None, None, Some("2027-01-01T08:00:00Z"), "Europe/Berlin").unwrap();
    assert_eq!(once.to_string(), "Once, at 2027-01-01T09:00:00+01:00[Europe/Berlin]");
}
