//! Parts of pages: the bar, states, times, sizes.

use serde_json::Value;
use url::form_urlencoded;

use super::page::escaped;
use crate::http::access::Caller;
use crate::http::base::path;

const LOGO: &str = "<svg viewBox=\"0 0 24 24\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\" aria-hidden=\"true\">\
    <circle cx=\"12\" cy=\"12\" r=\"4\" fill=\"currentColor\"/><path d=\"M12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M5 \
    19l2-2M17 7l2-2\" stroke-linecap=\"round\"/></svg>";

/// The top of a page. It names the caller's key, if there is one.
pub(super) fn bar(caller: Option<&Caller>, wants_keys: bool) -> String {
    let who = match caller.and_then(Caller::owner) {
        Some(name) => format!(
            "<li>Logged in as {}</li><li><form method=\"post\" action=\"{}\"><button class=\"btn link\">Log out</button>\
             </form></li>",
            escaped(name),
            path("/api/logout"),
        ),
        None if wants_keys => format!("<li><a href=\"{}\">Log in</a></li>", login_link("/")),
        None => String::new(),
    };
    format!(
        "<a class=\"brand\" href=\"{}\">{LOGO}pixmill</a><nav class=\"push\" aria-label=\"Main\"><ul>\
         <li><a href=\"{}\">Documentation</a></li>{who}</ul></nav>",
        path("/"),
        path("/docs"),
    )
}

/// The address of the page to log in on, which leads on to `next`, one of the service's own paths.
pub(super) fn login_link(next: &str) -> String {
    let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    path(&format!("/login?next={next}"))
}

/// A state of a group or of a picture: icon, word and colour.
pub(super) fn state(status: &Value) -> String {
    let status = status.as_str().unwrap_or_default();
    format!("<span class=\"st {0}\">{1}{0}</span>", escaped(status), mark(status))
}

/// The icon of a state.
pub(super) fn mark(status: &str) -> String {
    let drawn = match status {
        "completed" => "<path d=\"M4 12l5 5L20 6\"/>",
        "failed" => "<path d=\"M6 6l12 12M18 6L6 18\"/>",
        "processing" => "<path d=\"M12 3a9 9 0 1 0 9 9\"/>",
        _ => "<path d=\"M5 12h14\"/>",
    };
    format!(
        "<svg viewBox=\"0 0 24 24\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2.5\" stroke-linecap=\"round\" \
         stroke-linejoin=\"round\" aria-hidden=\"true\">{drawn}</svg>"
    )
}

/// A time to the minute, in UTC: `2026-07-01 10:22`.
pub(super) fn moment(at: &Value) -> String {
    let at = at.as_str().unwrap_or_default();
    let shown = at.get(..16).map_or_else(|| at.to_owned(), |shown| shown.replace('T', " "));
    format!("<time datetime=\"{}\">{} UTC</time>", escaped(at), escaped(&shown))
}

/// `40 kB`, in thousands.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn instants_and_sizes_are_short() {
        let shown = moment(&json!("2026-07-01T10:22:33.125Z"));
        assert_eq!(shown, "<time datetime=\"2026-07-01T10:22:33.125Z\">2026-07-01 10:22 UTC</time>");
        assert_eq!([size(999), size(1_499), size(40_828), size(1_250_000)], ["999 B", "1 kB", "41 kB", "1.2 MB"]);
    }
}
