//! Conditional requests for files: preconditions in the order of RFC 9110 section 13.2.2, and a range of bytes (section
//! 14). No I/O: headers in, the kind of the answer out.

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, Method, header};

/// The file's properties that requests compare.
pub(in crate::http) struct Known<'a> {
    /// A strong entity tag, with its quotes.
    pub(in crate::http) tag: &'a str,
    pub(in crate::http) modified: SystemTime,
    pub(in crate::http) size: u64,
}

/// The kind of the answer.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) enum Reply {
    Whole,
    Part(Range<u64>),
    /// The range has no byte of the file.
    Unsatisfiable,
    /// The client has this file already.
    NotModified,
    /// A precondition fails.
    Failed,
}

pub(in crate::http) fn reply(method: &Method, headers: &HeaderMap, known: &Known<'_>) -> Reply {
    let text = |name: HeaderName| text(headers, name);
    let date = |name: HeaderName| text(name).and_then(|text| httpdate::parse_http_date(&text).ok());
    let modified = whole_seconds(known.modified);
    if let Some(tags) = text(header::IF_MATCH) {
        if !names(&tags, |tag| tag == known.tag) {
            return Reply::Failed;
        }
    } else if date(header::IF_UNMODIFIED_SINCE).is_some_and(|since| modified > since) {
        return Reply::Failed;
    }
    if let Some(tags) = text(header::IF_NONE_MATCH) {
        if names(&tags, |tag| tag.trim_start_matches("W/") == known.tag) {
            return Reply::NotModified;
        }
    } else if date(header::IF_MODIFIED_SINCE).is_some_and(|since| modified <= since) {
        return Reply::NotModified;
    }
    let Some(range) = text(header::RANGE).filter(|_| *method == Method::GET) else { return Reply::Whole };
    let still_the_same = text(header::IF_RANGE)
        .is_none_or(|tag| tag == known.tag || httpdate::parse_http_date(&tag).is_ok_and(|date| date == modified));
    if still_the_same { part(&range, known.size) } else { Reply::Whole }
}

/// Whether `If-Match` takes a tag without its quotes; it does if the header is missing.
pub(in crate::http) fn matches(headers: &HeaderMap) -> impl Fn(&str) -> bool + Send + use<> {
    let tags = text(headers, header::IF_MATCH);
    move |tag: &str| tags.as_ref().is_none_or(|tags| names(tags, |one| one == format!("\"{tag}\"")))
}

/// A header's value. The values of several lines are joined.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let values: Vec<&str> = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// Whether one tag of a list fits. Tags of this service have no comma.
fn names(tags: &str, fits: impl Fn(&str) -> bool) -> bool {
    tags.split(',').map(str::trim).any(|tag| tag == "*" || fits(tag))
}

/// The time in whole seconds, as dates in headers have it.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + std::time::Duration::from_secs(since.as_secs())
}

/// The range of bytes. A server may ignore ranges, so several ranges, and ones that cannot be read, get the whole file.
fn part(range: &str, size: u64) -> Reply {
    let Some(range) = range.trim().strip_prefix("bytes=").map(str::trim) else { return Reply::Whole };
    let Some((first, last)) = range.split_once('-') else { return Reply::Whole };
    let (Some(first), Some(last)) = (position(first), position(last)) else { return Reply::Whole };
    let (begin, end) = match (first, last) {
        (None, None) => return Reply::Whole,
        (None, Some(suffix)) => (size - suffix.min(size), size),
        (Some(first), None) => (first, size),
        (Some(first), Some(last)) if last < first => return Reply::Whole,
        (Some(first), Some(last)) => (first, last.saturating_add(1).min(size)),
    };
    if begin < end { Reply::Part(begin..end) } else { Reply::Unsatisfiable }
}

/// A number that may be missing. A number beyond all sizes counts as the largest.
#[allow(clippy::option_option, reason = "neither left out nor a number is a third thing")]
fn position(digits: &str) -> Option<Option<u64>> {
    let digits = digits.trim();
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| (!digits.is_empty()).then(|| digits.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::HeaderValue;

    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn asked_with(headers: &[(HeaderName, &'static str)]) -> Reply {
        let headers = headers.iter().cloned().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
        let modified = httpdate::parse_http_date(DATE).unwrap() + Duration::from_millis(300);
        reply(&Method::GET, &headers, &Known { tag: "\"a\"", modified, size: 100 })
    }

    #[test]
    fn preconditions_are_asked_in_their_order() {
        use header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE};
        for (headers, expected) in [
            (&[][..], Reply::Whole),
            (&[(IF_MATCH, "\"a\"")], Reply::Whole),
            (&[(IF_MATCH, "*")], Reply::Whole),
            (&[(IF_MATCH, "W/\"a\"")], Reply::Failed),
            (&[(IF_MATCH, "\"b\", \"c\"")], Reply::Failed),
            (&[(IF_MATCH, "\"b\""), (IF_NONE_MATCH, "\"a\"")], Reply::Failed),
            (&[(IF_UNMODIFIED_SINCE, BEFORE)], Reply::Failed),
            (&[(IF_UNMODIFIED_SINCE, DATE)], Reply::Whole),
            (&[(IF_MATCH, "\"a\""), (IF_UNMODIFIED_SINCE, BEFORE)], Reply::Whole),
            (&[(IF_NONE_MATCH, "\"b\", W/\"a\"")], Reply::NotModified),
            (&[(IF_NONE_MATCH, "\"b\""), (IF_NONE_MATCH, "\"a\"")], Reply::NotModified),
            (&[(IF_NONE_MATCH, "*")], Reply::NotModified),
            (&[(IF_NONE_MATCH, "\"b\"")], Reply::Whole),
            (&[(IF_MODIFIED_SINCE, DATE)], Reply::NotModified),
            (&[(IF_MODIFIED_SINCE, AFTER)], Reply::NotModified),
            (&[(IF_MODIFIED_SINCE, BEFORE)], Reply::Whole),
            (&[(IF_MODIFIED_SINCE, "yesterday")], Reply::Whole),
            (&[(IF_NONE_MATCH, "\"b\""), (IF_MODIFIED_SINCE, AFTER)], Reply::Whole),
            (&[(IF_NONE_MATCH, "\"a\""), (RANGE, "bytes=0-1")], Reply::NotModified),
        ] {
            assert_eq!(asked_with(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn range_holds_only_for_the_file_that_the_client_has() {
        use header::{IF_RANGE, RANGE};
        let ranged = |validator| asked_with(&[(RANGE, "bytes=0-1"), (IF_RANGE, validator)]);
        assert_eq!([ranged("\"a\""), ranged(DATE)], [Reply::Part(0..2), Reply::Part(0..2)]);
        for other in ["\"b\"", "W/\"a\"", BEFORE, AFTER, "*"] {
            assert_eq!(ranged(other), Reply::Whole, "{other}");
        }
    }

    #[test]
    fn ranges_are_cut_to_the_file() {
        for (range, expected) in [
            ("bytes=0-0", Reply::Part(0..1)),
            ("bytes=10-19", Reply::Part(10..20)),
            ("bytes=90-", Reply::Part(90..100)),
            ("bytes=90-99999999999999999999999", Reply::Part(90..100)),
            ("bytes=-5", Reply::Part(95..100)),
            ("bytes=-500", Reply::Part(0..100)),
            ("bytes = 0-1", Reply::Whole),
            ("bytes=100-", Reply::Unsatisfiable),
            ("bytes=99999999999999999999-", Reply::Unsatisfiable),
            ("bytes=-0", Reply::Unsatisfiable),
            ("bytes=5-4", Reply::Whole),
            ("bytes=-", Reply::Whole),
            ("bytes=a-b", Reply::Whole),
            ("bytes=+1-2", Reply::Whole),
            ("bytes=0-1,5-6", Reply::Whole),
            ("pages=1-2", Reply::Whole),
            ("bytes=1", Reply::Whole),
        ] {
            let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_str(range).unwrap())]);
            let known = Known { tag: "\"a\"", modified: UNIX_EPOCH, size: 100 };
            assert_eq!(reply(&Method::GET, &headers, &known), expected, "{range}");
            assert_eq!(reply(&Method::HEAD, &headers, &known), Reply::Whole, "only GET has ranges: {range}");
        }
    }
}
