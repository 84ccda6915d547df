//! `Prefer: wait=…` (RFC 7240) on submissions: the answer is the finished status, if the group ends in time.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::time::Instant;

use crate::http::Services;
use crate::http::events::ends_before;
use crate::http::groups::{self, accepted};
use crate::http::operation::ok;
use crate::submission::Submitted;

/// Longest wait in seconds. A longer one that a client prefers is cut to this.
pub(in crate::http) const LONGEST_WAIT: u64 = 60;

static PREFER: HeaderName = HeaderName::from_static("prefer");
static APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The answer to a submission: 200 with the status of the finished group if the client waits for it and it ends in time,
/// 202 otherwise. Never a problem, because the submission is acknowledged.
pub(super) async fn answer(services: &Services, headers: &HeaderMap, submitted: &Submitted) -> Response {
    let taken = accepted(submitted);
    let Some(seconds) = preferred_wait(headers) else { return taken };
    let until = Instant::now() + Duration::from_secs(seconds);
    let ended = ends_before(services, submitted.group, until).await;
    let document = if ended { groups::document(services, submitted.group, 0, |_| true).await } else { Ok(None) };
    let mut response = match document {
        Ok(Some(document)) => {
            let own = taken.headers().get(header::LOCATION).cloned();
            let mut response = (StatusCode::OK, Json(document)).into_response();
            response.headers_mut().extend(own.map(|own| (header::CONTENT_LOCATION, own)));
            response
        }
        Ok(None) | Err(_) => taken,
    };
    let applied = HeaderValue::try_from(format!("wait={seconds}")).expect("digits");
    response.headers_mut().insert(APPLIED.clone(), applied);
    response
}

/// The answer 200 to a submission.
pub(super) fn finished_docs() -> Value {
    ok("The finished status: the group has ended within the time of `Prefer: wait`.", "Status").1
}

/// The seconds that the client would wait. `None` if it does not say so, or not in whole seconds: a preference that is
/// not understood is ignored. Of several the first counts.
fn preferred_wait(headers: &HeaderMap) -> Option<u64> {
    let preferences = headers.get_all(&PREFER).iter().filter_map(|value| value.to_str().ok());
    let waits = preferences.flat_map(|value| value.split(',')).filter_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then_some(value.trim().trim_matches('"'))
    });
    let digits = waits.into_iter().next().filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(digits.parse().unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)).filter(|_| !digits.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_is_read_as_rfc_7240_writes_it() {
        let wait = |values: &[&'static str]| {
            let values = values.iter().map(|value| (PREFER.clone(), HeaderValue::from_static(value)));
            preferred_wait(&values.collect())
        };
        assert_eq!(wait(&["wait=10"]), Some(10));
        assert_eq!(wait(&["respond-async, WAIT = \"5\" ; x=1"]), Some(5));
        assert_eq!(wait(&["return=minimal", "handling=lenient,wait=0, wait=9"]), Some(0));
        assert_eq!(wait(&["wait=99999999999999999999"]), Some(LONGEST_WAIT));
        for ignored in [&[][..], &["wait"], &["wait="], &["wait=-1"], &["wait=1.5"], &["await=3"], &["wait=ten"]] {
            assert_eq!(wait(ignored), None, "{ignored:?}");
        }
    }
}
