//! `http.call`: one request to a server that acts on it, such as a payment, with its JSON answer as the result.
//!
//! A call that was sent may have been carried out although its answer never came, so every attempt sends the same
//! `Idempotency-Key`, the job's id.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use super::{Context, Done, Kind, Run};
use crate::duration;
use crate::errors::{Failure, Lacking};
use crate::net::{Answer, Calls, Request};

/// Bytes of a call's JSON body.
pub const MOST_SENT: usize = 256 << 10;
/// Bytes of an answer that is a result.
pub const MOST_ANSWERED: u64 = 64 << 10;
/// Headers that a call may set.
pub const MOST_HEADERS: usize = 32;
/// Bytes of a header's value.
const MOST_VALUE: usize = 4 << 10;
/// How long an attempt waits for its turn at a host before it is given back.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Headers that pixmill sets, or that belong to the connection.
const OWN: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// One request to a server that acts on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpCall {
    #[serde(default)]
    pub method: Method,
    pub url: Url,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body; `None` for a call without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// For less long than `calls.timeout`.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    #[default]
    Post,
    Put,
    Patch,
    Delete,
}

/// The result of a call.
#[derive(Debug, Serialize)]
struct Answered {
    status: u16,
    /// The answer's JSON; null where it has no body, or one that is not JSON.
    result: Value,
}

impl Kind for HttpCall {
    const QUEUE: &str = "io_intensive";
}

impl Run for HttpCall {
    async fn run(&self, context: &Context) -> Result<Done, Failure> {
        let Calls { fetcher: Some(fetcher), turns, signer } = &context.calls else {
            return Err(Failure::permanent("url-forbidden", "this worker makes no calls: calls.urls is empty"));
        };
        fetcher.check(&self.url)?;
        let (mut headers, body) = self.parts().map_err(|fault| Failure::permanent("invalid-call", fault))?;
        let Some(_turn) = turns.take(&self.url, PATIENCE).await else {
            let host = self.url.host_str().unwrap_or_default();
            let detail = format!("as many calls to {host} as calls.per_host allows are under way");
            return Err(Failure { lacking: Some(Lacking::Turn), ..Failure::transient("overloaded", detail) });
        };
        let id = context.job.to_string();
        let own = |value: String| HeaderValue::from_str(&value).expect("it is visible ASCII");
        if let Some(signer) = signer {
            let signed = signer.headers(&id, SystemTime::now(), body.as_deref().unwrap_or_default());
            headers.extend(signed.map(|(name, value)| (HeaderName::from_static(name), own(value))));
        }
        headers.insert("idempotency-key", own(id));
        let request = Request { method: self.method.into(), url: self.url.clone(), headers, body };
        let limit = self.timeout.map_or(fetcher.timeout(), |asked| asked.min(fetcher.timeout()));
        let sent = timeout(limit, fetcher.send(request)).await;
        let Answer { status, body } = sent.unwrap_or_else(|_| {
            Err(Failure::transient("call-failed", format!("it took longer than {} (timeout)", duration::show(limit))))
        })?;
        let result = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Done::with(&Answered { status: status.as_u16(), result }))
    }
}

impl HttpCall {
    /// Checks what can be known before the call is made, but its URL.
    ///
    /// # Errors
    /// A sentence that names the field, the value and the limit.
    pub fn check(&self) -> Result<(), String> {
        self.parts().map(drop)
    }

    /// The headers and the body, without what pixmill adds to each attempt.
    fn parts(&self) -> Result<(HeaderMap, Option<Bytes>), String> {
        if self.headers.len() > MOST_HEADERS {
            return Err(format!("headers: {} are more than {MOST_HEADERS}", self.headers.len()));
        }
        let mut headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("application/json"))]);
        if self.json.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let mut names = Vec::new();
        for (name, value) in &self.headers {
            let (name, value) = (header_name(name)?, header_value(name, value)?);
            if names.contains(&name) {
                return Err(format!("headers.{name}: is there twice, in capitals and in small letters"));
            }
            headers.insert(name.clone(), value);
            names.push(name);
        }
        let Some(json) = &self.json else { return Ok((headers, None)) };
        if self.method == Method::Get {
            return Err("json: a call with the method GET has no body".into());
        }
        let body = serde_json::to_vec(json).expect("JSON always serialises");
        if body.len() > MOST_SENT {
            return Err(format!("json: {} bytes are more than {MOST_SENT}", body.len()));
        }
        Ok((headers, Some(body.into())))
    }
}

/// A header that a caller may set.
///
/// # Errors
/// A sentence that names it.
pub fn header_name(name: &str) -> Result<HeaderName, String> {
    let shown: String = name.escape_debug().take(64).collect();
    let parsed: HeaderName = name.parse().map_err(|_| format!("headers: `{shown}` is not the name of a header"))?;
    let lower = parsed.as_str();
    if OWN.contains(&lower) || lower.starts_with("webhook-") {
        return Err(format!("headers.{shown}: pixmill sets this header; a call may not"));
    }
    Ok(parsed)
}

/// A header's value as it is sent.
///
/// # Errors
/// A sentence that names the header. It does not show the value, which may be a secret.
pub fn header_value(name: &str, value: &str) -> Result<HeaderValue, String> {
    if value.len() > MOST_VALUE {
        return Err(format!("headers.{name}: {} bytes are more than {MOST_VALUE}", value.len()));
    }
    let is_plain = value.chars().all(|c| c == ' ' || c.is_ascii_graphic());
    let parsed = HeaderValue::from_str(value).ok().filter(|_| is_plain);
    parsed.ok_or_else(|| format!("headers.{name}: its value has other characters than visible ASCII and blanks"))
}

impl From<Method> for reqwest::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::Payload;

    fn call(fields: &Value) -> HttpCall {
        let mut whole = json!({"url": "https://pay.example/charges"});
        whole.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn call_is_stored_with_its_body_in_order() {
        let call = call(&json!({
            "method": "PUT", "headers": {"X-Shop": "7"}, "json": {"b": 1, "a": [1.5, null, "ü"]}, "timeout": "5s"
        }));
        let payload = Payload::HttpCall(call);
        let Payload::HttpCall(read) = Payload::from_bytes(&payload.to_bytes(Some("r-1"))).unwrap() else {
            panic!("another kind")
        };
        assert_eq!((read.method, read.timeout), (Method::Put, Some(Duration::from_secs(5))));
        let (headers, body) = read.parts().unwrap();
        assert_eq!(body.unwrap(), r#"{"b":1,"a":[1.5,null,"ü"]}"#);
        assert_eq!(headers["x-shop"], "7");
        assert_eq!(
            (&headers["content-type"], &headers["accept"]),
            (&"application/json".parse().unwrap(), &"application/json".parse().unwrap())
        );
    }

    #[test]
    fn caller_replaces_the_headers_that_are_not_pixmills() {
        let (headers, body) =
            call(&json!({"headers": {"content-type": "application/vnd.x+json", "Accept": "*/*"}, "json": 1}))
                .parts()
                .unwrap();
        assert_eq!(
            (headers["content-type"].as_bytes(), headers["accept"].as_bytes()),
            (&b"application/vnd.x+json"[..], &b"*/*"[..])
        );
        assert_eq!((headers.len(), body.unwrap().as_ref()), (2, &b"1"[..]));
        let (headers, body) = call(&json!({"method": "GET"})).parts().unwrap();
        assert_eq!((headers.len(), body), (1, None), "no body, and no type of a body");
    }

    #[test]
    fn faulty_calls_name_the_field_and_the_limit() {
        let headers = |name: &str, value: &str| json!({"headers": {name: value}});
        for (fields, said) in [
            (headers("Host", "a"), "headers.Host: pixmill sets this header"),
            (headers("content-length", "1"), "headers.content-length: pixmill sets"),
            (headers("Transfer-Encoding", "chunked"), "headers.Transfer-Encoding: pixmill sets"),
            (headers("Connection", "close"), "headers.Connection: pixmill sets"),
            (headers("Idempotency-Key", "1"), "headers.Idempotency-Key: pixmill sets"),
            (headers("Webhook-Id", "1"), "headers.Webhook-Id: pixmill sets"),
            (headers("webhook-anything", "1"), "headers.webhook-anything: pixmill sets"),
            (headers("traceparent", "1"), "headers.traceparent: pixmill sets"),
            (headers("a b", "1"), "headers: `a b` is not the name"),
            (headers("", "1"), "headers: `` is not the name"),
            (headers("x", "a\r\nHost: b"), "headers.x: its value has other characters"),
            (headers("x", "ü"), "headers.x: its value has other characters"),
            (headers("x", &"a".repeat(4_097)), "headers.x: 4097 bytes are more than 4096"),
            (json!({"headers": {"X": "1", "x": "2"}}), "headers.x: is there twice"),
            (json!({"method": "GET", "json": {}}), "json: a call with the method GET has no body"),
            (json!({"json": "a".repeat(MOST_SENT)}), "json: 262146 bytes are more than 262144"),
        ] {
            let fault = call(&fields).check().unwrap_err();
            assert!(fault.starts_with(said), "{fields}: {fault}");
        }
        let many: BTreeMap<String, String> = (0..33).map(|n| (format!("x-{n}"), String::new())).collect();
        assert_eq!(call(&json!({"headers": many})).check().unwrap_err(), "headers: 33 are more than 32");
    }
}
