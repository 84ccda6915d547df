//! Lengths of time as people write them: `15s`, `1h30m`, `7d`. A day has 24 hours, a week 7 days.
//!
//! Settings and requests read them through the serde modules [`required`] and [`optional`].

use std::time::Duration;

use jiff::SpanRelativeTo;
use jiff::fmt::friendly::{SpanParser, SpanPrinter};

/// Parses a length of time.
///
/// # Errors
/// A sentence that quotes the text, if it is not a length of time, is negative, or has months or years, whose length
/// varies.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{}` is not a length of time such as 15s, 1h30m or 7d", text.escape_debug());
    let span = SpanParser::new().parse_span(text.trim()).map_err(|_| wrong())?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(format!("`{text}` has months or years, which have no fixed length: write days"));
    }
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(duration).map_err(|_| format!("`{text}` is negative"))
}

/// Formats a length of time, with hours as largest unit. [`parse`] reads it back.
pub fn show(duration: Duration) -> String {
    SpanPrinter::new().unsigned_duration_to_string(&duration)
}

/// For a required field.
pub mod required {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse(&text).map_err(de::Error::custom)
    }

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::show(*duration))
    }
}

/// For an optional field.
pub mod optional {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| super::parse(&text)).transpose().map_err(de::Error::custom)
    }

    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::required::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_weeks_are_read() {
        for (text, seconds) in [
            ("0s", 0),
            ("15s", 15),
            ("1h30m", 5_400),
            ("7d", 7 * 86_400),
            ("1w", 7 * 86_400),
            ("1d 12h", 129_600),
            (" 2 minutes ", 120),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn what_has_no_fixed_length_is_refused_with_the_text() {
        for text in ["", "7", "7x", "1mo", "1y", "-5s", "5s ago", "P1D-"] {
            let fault = parse(text).unwrap_err();
            assert!(fault.contains(&format!("`{text}`")), "{text}: {fault}");
        }
    }

    #[test]
    fn shown_lengths_read_back() {
        for seconds in [0, 1, 59, 60, 3_600, 86_400, 31_536_000] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(parse(&show(duration)), Ok(duration));
        }
        assert_eq!(show(Duration::from_hours(168)), "168h");
        assert_eq!(show(Duration::from_millis(90_500)), "1m 30s 500ms");
    }
}
