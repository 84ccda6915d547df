//! Which scope each route needs. What is not in the table needs `admin`, so that a forgotten line opens nothing.

use axum::http::Method;

use crate::config::Scope::{self, Admin, Read, Submit};

/// Method, path and scope. `*` is one part of a path, `**` all that follow; HEAD is as GET.
const TABLE: &[(&str, &str, Scope)] = &[
    ("POST", "/api/upload", Submit),
    ("GET", "/api/task_status/*", Read),
    ("GET", "/files/**", Read),
    ("GET", "/groups/*", Read),
    ("POST", "/upload", Submit),
    ("GET", "/api/groups", Read),
    ("POST", "/api/groups", Submit),
    ("GET", "/api/groups/*", Read),
    ("DELETE", "/api/groups/*", Submit),
    ("POST", "/api/groups/*/retry", Submit),
    ("GET", "/api/groups/*/events", Read),
    ("GET", "/api/groups/*/archive", Read),
    ("GET", "/api/presets", Read),
    ("GET", "/api/jobs", Read),
    ("GET", "/api/jobs/*", Read),
    ("DELETE", "/api/jobs/*", Submit),
    ("POST", "/api/jobs/*/retry", Submit),
    // For operators; told here although it is the rule for everything else.
    ("GET", "/api/queues/**", Admin),
    ("POST", "/api/queues/**", Admin),
    ("DELETE", "/api/queues/**", Admin),
    ("GET", "/api/workers/**", Admin),
    ("POST", "/api/workers/**", Admin),
    ("GET", "/api/stats", Admin),
    ("GET", "/api/events", Admin),
    ("GET", "/metrics", Admin),
];

pub(super) fn needed(method: &Method, path: &str) -> Scope {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let rule = TABLE.iter().find(|(known, pattern, _)| method.as_str() == *known && fits(pattern, path));
    rule.map_or(Admin, |(.., scope)| *scope)
}

/// Whether a request makes jobs: uploads, groups by reference, retries.
pub(super) fn is_upload(method: &Method, path: &str) -> bool {
    *method == Method::POST && needed(method, path) == Submit
}

fn fits(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), parts.next()) {
            (Some("**"), _) | (None, None) => return true,
            (Some("*"), Some(part)) if !part.is_empty() => {}
            (Some(pattern), Some(part)) if pattern == part => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_need_the_scope_of_their_line() {
        let of = |line: &str| {
            let (method, path) = line.split_once(' ').unwrap();
            needed(&method.parse().unwrap(), path)
        };
        for line in
            ["POST /api/upload", "POST /api/groups", "DELETE /api/jobs/1", "POST /api/groups/1/retry", "POST /upload"]
        {
            assert_eq!(of(line), Submit, "{line}");
        }
        for line in [
            "GET /api/task_status/1",
            "HEAD /files/1/2/3/a.jpg",
            "GET /api/groups/1/events",
            "GET /api/jobs",
            "GET /groups/1",
        ] {
            assert_eq!(of(line), Read, "{line}");
        }
        for line in [
            "GET /metrics",
            "GET /api/queues",
            "POST /api/queues/default/pause",
            "GET /api/workers/1",
            "GET /api/events",
            "PUT /api/upload",
            "GET /api/groups/",
            "GET /api/groups/1/secrets",
            "GET /api/jobs/1/2",
            "GET /api/new",
            "GET /",
        ] {
            assert_eq!(of(line), Admin, "{line}");
        }
    }

    #[test]
    fn what_makes_jobs_counts_as_an_upload() {
        assert!(is_upload(&Method::POST, "/api/upload") && is_upload(&Method::POST, "/api/jobs/1/retry"));
        assert!(!is_upload(&Method::DELETE, "/api/jobs/1") && !is_upload(&Method::POST, "/api/queues/a/pause"));
    }
}
