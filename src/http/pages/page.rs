//! The frame of every page, its content security policy, and text escaped for HTML.
//!
//! Style and script are in the page itself, and the policy names them by their hashes: nothing else runs.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

/// The style of a page, and what its policy allows.
pub(in crate::http) struct Look {
    style: &'static str,
    script: Option<&'static str>,
    policy: HeaderValue,
}

/// Pages to read: no script, no picture, no form.
pub(in crate::http) static READING: LazyLock<Look> =
    LazyLock::new(|| Look::new(READING_STYLE, None, "form-action 'none'"));

/// The API's documentation, whose script sends requests to this server and shows the pictures that come back.
pub(in crate::http) static TRYING: LazyLock<Look> = LazyLock::new(|| {
    let script = include_str!("docs/try.js");
    Look::new(READING_STYLE, Some(script), "connect-src 'self'; img-src blob:; form-action 'none'")
});

/// Pages to work with: forms and pictures of this server, no script.
pub(in crate::http) static WORKING: LazyLock<Look> =
    LazyLock::new(|| Look::new(include_str!("working.css"), None, "img-src 'self'; form-action 'self'"));

const READING_STYLE: &str = include_str!("reading.css");

impl Look {
    fn new(style: &'static str, script: Option<&'static str>, allows: &str) -> Self {
        let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
        let script_src = script.map_or_else(String::new, |script| format!("script-src {}; ", hash(script)));
        let policy = format!(
            "default-src 'none'; style-src {}; {script_src}{allows}; base-uri 'none'; frame-ancestors 'none'",
            hash(style)
        );
        Self { style, script, policy: HeaderValue::try_from(policy).expect("a policy is plain ASCII") }
    }
}

/// A whole HTML document.
pub(in crate::http) struct Page {
    look: &'static Look,
    html: String,
}

impl Page {
    /// A page with a table of contents beside the body. Both are HTML.
    pub(in crate::http) fn with_contents(look: &'static Look, title: &str, contents: &str, body: &str) -> Self {
        let body = format!("<div class=\"page\"><nav aria-label=\"Contents\">{contents}</nav>{}</div>", main("", body));
        Self::of(look, title, "", &body)
    }

    /// A page to read, in one column.
    pub(in crate::http) fn alone(title: &str, body: &str) -> Self {
        Self::of(&READING, title, "", &format!("<div class=\"alone\">{}</div>", main("", body)))
    }

    /// A page to work with: a bar and the body. `head` is for elements of the document's head.
    pub(in crate::http) fn to_work_with(title: &str, head: &str, bar: &str, class: &str, body: &str) -> Self {
        Self::of(&WORKING, title, head, &format!("<header class=\"top\">{bar}</header>{}", main(class, body)))
    }

    #[cfg(test)]
    pub(in crate::http) fn into_text(self) -> String {
        self.html
    }

    fn of(look: &'static Look, title: &str, head: &str, body: &str) -> Self {
        let script = look.script.map_or_else(String::new, |script| format!("<script>{script}</script>"));
        let html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{} – pixmill</title>{head}<style>{}</style></head><body>\
             <a class=\"skip\" href=\"#main\">To the text</a>{body}{script}</body></html>\n",
            escaped(title),
            look.style,
        );
        Self { look, html }
    }
}

fn main(class: &str, body: &str) -> String {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    format!("<main id=\"main\" tabindex=\"-1\"{class}>{body}</main>")
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let headers: [(HeaderName, HeaderValue); 3] = [
            (header::CONTENT_SECURITY_POLICY, self.look.policy.clone()),
            // With `no-referrer`, browsers would also hide the Origin of a form.
            (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
            (header::VARY, HeaderValue::from_static("accept")),
        ];
        (headers, Html(self.html)).into_response()
    }
}

/// Whether the client prefers a page. Browsers ask for HTML by name; programs do not.
pub(in crate::http) fn is_wanted(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| {
        let mut types = accept.split(',').map(|one| one.split(';').next().unwrap_or_default().trim());
        types.find(|one| ["text/html", "application/json"].contains(one)) == Some("text/html")
    })
}

/// Text that is safe between tags and in attributes.
pub(in crate::http) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
    }
    safe
}

/// Text in which `` `this` `` becomes code, and `<https://…>` a link. The rest is escaped.
pub(in crate::http) fn inline(text: &str) -> String {
    let code = |(i, part): (usize, &str)| {
        if i % 2 == 1 { format!("<code>{}</code>", escaped(part)) } else { linked(part) }
    };
    text.split('`').enumerate().map(code).collect()
}

fn linked(text: &str) -> String {
    let Some((before, rest)) = text.split_once("<https://") else { return escaped(text) };
    let Some((address, after)) = rest.split_once('>') else { return escaped(text) };
    let address = escaped(&format!("https://{address}"));
    format!("{}<a href=\"{address}\">{address}</a>{}", escaped(before), linked(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escaped("<b onclick='x'>&\"</b>"), "&lt;b onclick=&#39;x&#39;&gt;&amp;&quot;&lt;/b&gt;");
        assert_eq!(
            inline("a `<b>` <https://x.example/?a&b> <i>"),
            "a <code>&lt;b&gt;</code> <a href=\"https://x.example/?a&amp;b\">https://x.example/?a&amp;b</a> &lt;i&gt;"
        );
    }
}
