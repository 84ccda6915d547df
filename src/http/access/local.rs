//! Access without keys: only programs and pages of this machine.
//!
//! The server listens on loopback then. Any web page in a browser could still post to it, so the Host must be a name of
//! this machine (against DNS rebinding), and so must the Origin, if there is one.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};

use super::Problem;

pub(super) fn check(headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    let forbidden = |code: &str, what: &str| {
        let detail = format!(
            "{what} is not this machine, and there are no API keys: create one with `pixmill keys create`, or set \
             auth.keys."
        );
        Err(Problem::new(StatusCode::FORBIDDEN, code, detail))
    };
    match host(headers, uri) {
        Some(host) if is_local(host) => {}
        host => return forbidden("forbidden-host", &format!("The host `{}`", host.unwrap_or_default())),
    }
    match headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) {
        None => Ok(()),
        Some(origin) if origin.split_once("://").is_some_and(|(_, host)| is_local(host)) => Ok(()),
        Some(origin) => forbidden("forbidden-origin", &format!("The origin `{origin}`")),
    }
}

/// The host by which the client calls this server.
pub(super) fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    named.or_else(|| uri.authority().map(Authority::as_str))
}

/// Whether `host[:port]` names this machine.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.8.8.8:1", "[::1]:8080", "[::1]"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["", "localhost.evil.example", "example.com:80", "10.0.0.1", "[::2]:80", "localhost:80:80", "null"]
        {
            assert!(!is_local(host), "{host}");
        }
    }
}
