//! The `Content-Disposition` of a part: the name of the field, and the name of the file as its sender wrote it.
//!
//! Senders differ. Browsers write `%22`, `%0D` and `%0A` for characters that would end the quotes, old curl writes
//! `\"`, some libraries `filename*` (RFC 8187), and few keep to ASCII. Every value gives some name, which is only
//! shown.

use axum::http::{HeaderMap, header};

#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct Disposition {
    pub(in crate::http) name: Option<String>,
    pub(in crate::http) file: Option<String>,
}

impl Disposition {
    pub(in crate::http) fn of(headers: &HeaderMap) -> Self {
        headers.get(header::CONTENT_DISPOSITION).map_or_else(Self::default, |value| Self::parse(value.as_bytes()))
    }

    fn parse(value: &[u8]) -> Self {
        let text = String::from_utf8_lossy(value);
        let (mut name, mut file, mut extended) = (None, None, None);
        // The text before the first semicolon is the type: `form-data`.
        let mut rest = text.split_once(';').map_or("", |(_, rest)| rest);
        while let Some((parameter, value, after)) = next(rest) {
            match parameter.to_ascii_lowercase().as_str() {
                "name" => name = name.or(Some(value)),
                "filename" => file = file.or(Some(unescaped(&value))),
                "filename*" => extended = extended.or_else(|| charset_decoded(&value)),
                _ => {}
            }
            rest = after;
        }
        Self { name, file: extended.or(file) }
    }
}

/// The next parameter, its value without quotes, and the rest.
fn next(text: &str) -> Option<(&str, String, &str)> {
    let (parameter, rest) = text.split_once('=')?;
    // There may be parameters without a value between semicolons.
    let parameter = parameter.rsplit(';').next().unwrap_or_default().trim();
    let rest = rest.trim_start();
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find(';').unwrap_or(rest.len());
        return Some((parameter, rest[..end].trim().to_owned(), rest[end..].trim_start_matches(';')));
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            '"' if !escaped => {
                return Some((parameter, value, quoted[at + 1..].trim_start().trim_start_matches(';')));
            }
            // A backslash escapes only a quote: paths of Windows have other backslashes.
            '"' => {
                value.pop();
                value.push('"');
            }
            _ => value.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    // The last quote is missing.
    Some((parameter, value, ""))
}

/// Decodes the three escapes that browsers write. Other escapes stay, or a name with `%41` in it would change.
fn unescaped(text: &str) -> String {
    let escapes = [("%22", "\""), ("%0D", "\r"), ("%0d", "\r"), ("%0A", "\n"), ("%0a", "\n")];
    escapes.iter().fold(text.to_owned(), |text, (written, meant)| text.replace(written, meant))
}

/// `UTF-8'language'percent-encoded`, as in RFC 8187. `None` for other charsets than UTF-8 and Latin-1.
fn charset_decoded(value: &str) -> Option<String> {
    let mut parts = value.splitn(3, '\'');
    let (charset, _language, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = percent_decoded(encoded);
    match charset.to_ascii_lowercase().as_str() {
        "utf-8" => String::from_utf8(bytes).ok(),
        "iso-8859-1" => Some(bytes.into_iter().map(char::from).collect()),
        _ => None,
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, after @ ..] = rest {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let byte = escaped.and_then(|two| u8::from_str_radix(str::from_utf8(two).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::Disposition;

    #[test]
    fn names_are_what_their_senders_meant() {
        let cases: [(&[u8], Option<&str>, Option<&str>); 22] = [
            (b"form-data; name=\"images\"; filename=\"a.png\"", Some("images"), Some("a.png")),
            (b"form-data; filename=\"a.png\"; name=\"images\"", Some("images"), Some("a.png")),
            (b"FORM-DATA; NAME=images; FILENAME=a.png", Some("images"), Some("a.png")),
            (b"form-data ;name = images ; filename = \"a b.png\" ", Some("images"), Some("a b.png")),
            (b"form-data; name=\"images\"", Some("images"), None),
            (b"form-data; name=\"images\"; filename=\"\"", Some("images"), Some("")),
            (b"form-data; filename=\"a; name=b.png\"; name=\"images\"", Some("images"), Some("a; name=b.png")),
            (b"form-data; x; name=\"images\"", Some("images"), None),
            (b"form-data; name=\"a\"; name=\"b\"", Some("a"), None),
            (b"form-data; filename=\"a\\\"b.png\"", None, Some("a\"b.png")),
            (b"form-data; filename=\"C:\\pictures\\cat.jpg\"", None, Some("C:\\pictures\\cat.jpg")),
            (b"form-data; filename=\"a%22b%0D%0a%41.png\"", None, Some("a\"b\r\n%41.png")),
            (b"form-data; filename=\"open.png", None, Some("open.png")),
            (b"form-data; filename=\"na\xc3\xafve.png\"", None, Some("naïve.png")),
            (b"form-data; filename=\"na\xefve.png\"", None, Some("na\u{fffd}ve.png")),
            (b"form-data; filename=x; filename*=UTF-8''na%C3%AFve%20%e2%82%ac.png", None, Some("naïve €.png")),
            (b"form-data; filename*=utf-8'en'a%2Fb; filename=x", None, Some("a/b")),
            (b"form-data; filename*=ISO-8859-1''na%EFve", None, Some("naïve")),
            (b"form-data; filename*=KOI8-R''%C1; filename=x", None, Some("x")),
            (b"form-data; filename*=UTF-8''%FF; filename=x", None, Some("x")),
            (b"form-data; filename*=UTF-8''100%; filename=x", None, Some("100%")),
            (b"form-data", None, None),
        ];
        for (value, name, file) in cases {
            let expected = Disposition { name: name.map(Into::into), file: file.map(Into::into) };
            assert_eq!(Disposition::parse(value), expected, "{}", String::from_utf8_lossy(value));
        }
    }
}
