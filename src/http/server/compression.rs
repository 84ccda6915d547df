//! Compresses answers where it pays.

use axum::http::{Extensions, HeaderMap, StatusCode, Version, header};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, Predicate, SizeAbove};

/// Below this a compressed answer takes as many packets as a plain one.
const WORTHWHILE: u16 = 1 << 10;

type Pays = And<SizeAbove, fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool>;

/// gzip, Brotli or Zstandard for text. Pictures and archives are compressed already; events must not wait in a buffer.
pub(super) fn layer() -> CompressionLayer<Pays> {
    let is_text: fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool = |_, _, headers, _| is_text(headers);
    CompressionLayer::new().compress_when(SizeAbove::new(WORTHWHILE).and(is_text))
}

fn is_text(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    match media_type {
        "text/event-stream" => false,
        "application/json" | "application/problem+json" | "application/openmetrics-text" | "application/javascript" => {
            true
        }
        other => other.starts_with("text/"),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_text_is_compressed() {
        let judged = |media_type: &'static str| {
            is_text(&HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))]))
        };
        for text in ["application/json", "text/html; charset=utf-8", "application/openmetrics-text; version=1.0.0"] {
            assert!(judged(text), "{text}");
        }
        for other in ["text/event-stream", "image/jpeg", "application/zip", "application/octet-stream", ""] {
            assert!(!judged(other), "{other}");
        }
        assert!(!is_text(&HeaderMap::new()));
    }
}
