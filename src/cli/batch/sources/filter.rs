//! Which of the files that are found are taken: by name, size, age and place.
//!
//! Filters go for every file, however it was found; for an address only what its name says. What is
//! passed over is counted by reason.

use std::fs::Metadata;
use std::path::Path;
use std::time::SystemTime;

use glob::{MatchOptions, Pattern};
use jiff::civil::DateTime;
use jiff::{Span, Timestamp, ZonedDateTime};

/// Why a file is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Why {
    NotAPicture,
    Hidden,
    NotIncluded,
    Excluded,
    TooSmall,
    TooLarge,
    TooOld,
    TooNew,
    TooDeep,
    Twice,
}

impl Why {
    pub(in super::super) const ALL: [Self; 10] = [
        Self::NotAPicture,
        Self::Hidden,
        Self::NotIncluded,
        Self::Excluded,
        Self::TooSmall,
        Self::TooLarge,
        Self::TooOld,
        Self::TooNew,
        Self::TooDeep,
        Self::Twice,
    ];

    /// For programs.
    pub(in super::super) fn code(self) -> &'static str {
        match self {
            Self::NotAPicture => "not-a-picture",
            Self::Hidden => "hidden",
            Self::NotIncluded => "not-included",
            Self::Excluded => "excluded",
            Self::TooSmall => "too-small",
            Self::TooLarge => "too-large",
            Self::TooOld => "too-old",
            Self::TooNew => "too-new",
            Self::TooDeep => "too-deep",
            Self::Twice => "named-twice",
        }
    }

    /// For people, behind a number.
    pub(in super::super) fn words(self) -> &'static str {
        match self {
            Self::NotAPicture => "not pictures by their names",
            Self::Hidden => "hidden",
            Self::NotIncluded => "not in --include",
            Self::Excluded => "in --exclude",
            Self::TooSmall => "below --min-size",
            Self::TooLarge => "above --max-size",
            Self::TooOld => "not in --newer-than",
            Self::TooNew => "not in --older-than",
            Self::TooDeep => "folders below --max-depth",
            Self::Twice => "named twice",
        }
    }
}

#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
pub(in super::super) struct Filters {
    /// Take only files whose name fits this glob, or whose path below the folder given does if it has a slash;
    /// several widen the choice
    #[arg(long, value_name = "GLOB", value_parser = pattern)]
    pub(super) include: Vec<Pattern>,
    /// Leave out files, and folders with all that is in them, that fit this glob
    #[arg(long, value_name = "GLOB", value_parser = pattern)]
    pub(super) exclude: Vec<Pattern>,
    /// Leave out smaller files: 500, 20k, 1.5MB, 2MiB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) min_size: Option<u64>,
    /// Leave out larger files
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) max_size: Option<u64>,
    /// Take only files changed since: 7d, 12h, 2024-05-01, 2024-05-01T12:00
    #[arg(long, value_name = "TIME", value_parser = |text: &str| instant(text, &ZonedDateTime::now()))]
    pub(super) newer_than: Option<SystemTime>,
    /// Take only files last changed before
    #[arg(long, value_name = "TIME", value_parser = |text: &str| instant(text, &ZonedDateTime::now()))]
    pub(super) older_than: Option<SystemTime>,
    /// Go no further down than this many folders; 1: only what lies in the folders given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) max_depth: Option<u32>,
    /// Take hidden files and look into hidden folders
    #[arg(long)]
    pub(super) hidden: bool,
    /// End after so many pictures
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,
}

impl Filters {
    /// Whether anything but the limit can leave a picture out.
    pub(super) fn choose(&self) -> bool {
        let names = self.include.len() + self.exclude.len() > 0;
        names || self.min_size.or(self.max_size).is_some() || self.newer_than.or(self.older_than).is_some()
    }

    /// What speaks against a file of this path below the folder that was given.
    pub(super) fn name(&self, below: &Path) -> Option<Why> {
        if self.folder(below).is_some() {
            return Some(Why::Excluded);
        }
        (!self.include.is_empty() && !fits(&self.include, below)).then_some(Why::NotIncluded)
    }

    /// What speaks against looking into a folder of this path.
    pub(super) fn folder(&self, below: &Path) -> Option<Why> {
        fits(&self.exclude, below).then_some(Why::Excluded)
    }

    pub(super) fn needs_facts(&self) -> bool {
        self.min_size.or(self.max_size).is_some() || self.newer_than.or(self.older_than).is_some()
    }

    /// What its size and age say against a file.
    pub(super) fn facts(&self, meta: &Metadata) -> Option<Why> {
        if self.min_size.is_some_and(|least| meta.len() < least) {
            return Some(Why::TooSmall);
        }
        if self.max_size.is_some_and(|most| meta.len() > most) {
            return Some(Why::TooLarge);
        }
        let changed = meta.modified().ok()?;
        if self.newer_than.is_some_and(|since| changed < since) {
            return Some(Why::TooOld);
        }
        self.older_than.is_some_and(|before| changed >= before).then_some(Why::TooNew)
    }
}

/// A pattern without a slash is held against the name alone.
fn fits(patterns: &[Pattern], below: &Path) -> bool {
    let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
    let (path, name) = (below.to_string_lossy(), below.file_name().unwrap_or_default().to_string_lossy());
    patterns.iter().any(|pattern| {
        let against = if pattern.as_str().contains('/') { &path } else { &name };
        pattern.matches_with(against, options)
    })
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| format!("not a glob: {error}"))
}

/// Bytes as people write them.
fn size(text: &str) -> Result<u64, String> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = (text[..unit].trim(), text[unit..].trim().to_ascii_lowercase());
    let factor = match unit.as_str() {
        "" | "b" => Some(1),
        "k" | "kb" => Some(1_000),
        "m" | "mb" => Some(1_000_000),
        "g" | "gb" => Some(1_000_000_000),
        "ki" | "kib" => Some(1 << 10),
        "mi" | "mib" => Some(1 << 20),
        "gi" | "gib" => Some(1 << 30),
        _ => None,
    };
    let number = number.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    let (Some(number), Some(factor)) = (number, factor) else {
        return Err("write bytes, with a unit if you like: 500, 20k, 1.5MB, 2MiB".into());
    };
    Ok((number * f64::from(factor)) as u64)
}

/// A time of the clock on the wall here, one with its zone, or how long ago it was.
fn instant(text: &str, now: &ZonedDateTime) -> Result<SystemTime, String> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return system(instant);
    }
    if let Ok(local) = text.parse::<DateTime>() {
        let zoned = local.to_zoned_datetime(now.time_zone().clone()).map_err(|error| error.to_string())?;
        return system(zoned.timestamp());
    }
    let ago = text.parse::<Span>().ok().and_then(|span| now.checked_sub(span.abs()).ok());
    let ago = ago.ok_or("write how long ago (7d, 12h30m, 2w) or a date (2024-05-01, 2024-05-01T12:00)")?;
    system(ago.timestamp())
}

fn system(instant: Timestamp) -> Result<SystemTime, String> {
    instant.try_into().map_err(|error: jiff::Error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let sizes = [("500", 500), ("20k", 20_000), ("1.5MB", 1_500_000), ("2 MiB", 2 << 20), ("1g", 1_000_000_000)];
        for (text, bytes) in sizes {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "k", "-1", "2 miles", "1e999", "nan"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_dates_instants_or_spans() {
        let now: ZonedDateTime = "2024-05-08T12:00:00+02:00[+02:00]".parse().unwrap();
        let at = |text: &str| Timestamp::try_from(instant(text, &now).unwrap()).unwrap().to_string();
        assert_eq!(at("7d"), "2024-05-01T10:00:00Z");
        assert_eq!(at("12h"), "2024-05-07T22:00:00Z");
        assert_eq!(at("2024-05-01"), "2024-04-30T22:00:00Z");
        assert_eq!(at("2024-05-01T12:00"), "2024-05-01T10:00:00Z");
        assert_eq!(at("2024-05-01T12:00:00Z"), "2024-05-01T12:00:00Z");
        assert!(instant("yesterday", &now).unwrap_err().contains("2024-05-01"));
    }

    #[test]
    fn globs_without_a_slash_are_for_the_name() {
        let filters = |include: &[&str], exclude: &[&str]| {
            let patterns = |globs: &[&str]| globs.iter().map(|one| pattern(one).unwrap()).collect();
            Filters { include: patterns(include), exclude: patterns(exclude), ..Filters::default() }
        };
        let name = |filters: &Filters, path: &str| filters.name(Path::new(path));
        let some = filters(&["*.jpg", "raw/**/*.png"], &["draft*", "old/*"]);
        assert_eq!(name(&some, "2024/a.jpg"), None);
        assert_eq!(name(&some, "raw/x/y/a.png"), None);
        assert_eq!(name(&some, "2024/a.png"), Some(Why::NotIncluded));
        assert_eq!(name(&some, "2024/draft-1.jpg"), Some(Why::Excluded));
        assert_eq!(name(&some, "old/a.jpg"), Some(Why::Excluded));
        assert_eq!(some.folder(Path::new("x/drafts")), Some(Why::Excluded));
        assert_eq!(some.folder(Path::new("old/deep/x")), None, "a star is one part of the path");
    }
}
