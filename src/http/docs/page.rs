//! The frame of every page, its headers, and text made safe for HTML.

use std::sync::LazyLock;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use sha2::{Digest, Sha256};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

const STYLE: &str = include_str!("style.css");

/// Nothing but this page's own style: no script, no picture, no font, no frame around it.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("a policy is plain ASCII")
});

/// A whole document.
pub(super) struct Page(String);

impl Page {
    /// With a table of contents beside the body; both are HTML already.
    pub(super) fn with_contents(title: &str, contents: &str, body: &str) -> Self {
        Self::of(
            title,
            &format!("<div class=\"page\"><nav aria-label=\"Contents\">{contents}</nav>{}</div>", main(body)),
        )
    }

    pub(super) fn alone(title: &str, body: &str) -> Self {
        Self::of(title, &format!("<div class=\"alone\">{}</div>", main(body)))
    }

    #[cfg(test)]
    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn of(title: &str, body: &str) -> Self {
        Self(format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{} – pixmill</title><style>{STYLE}</style></head><body>\
             <a class=\"skip\" href=\"#main\">To the text</a>{body}</body></html>\n",
            escaped(title)
        ))
    }
}

fn main(body: &str) -> String {
    format!("<main id=\"main\" tabindex=\"-1\">{body}</main>")
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let headers: [(HeaderName, HeaderValue); 3] = [
            (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (header::VARY, HeaderValue::from_static("accept")),
        ];
        (headers, Html(self.0)).into_response()
    }
}

/// Text as it may stand between tags and in attributes.
pub(super) fn escaped(text: &str) -> String {
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

/// Text in which `` `this` `` is code, and `<https://…>` a link; the rest is escaped.
pub(super) fn inline(text: &str) -> String {
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
