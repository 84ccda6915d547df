//! Which URLs may be asked: the patterns of `sources.urls` and `calls.urls`.
//!
//! `cdn.example.com`, `*.example.com` (its subdomains) and `*` (any host) allow http and https on their default ports.
//! `shop.example:8443` names a port, and `https://cdn.example.com/pictures/` also a scheme and the beginning of the
//! path. A pattern with a path fits only URLs whose path all servers read in the same way: `/pictures/..%2fsecret`
//! begins with `/pictures/`, but is `/secret` to a server that decodes it before it resolves `..`.

use url::{Host, Url};

/// The patterns, parsed.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq)]
struct Pattern {
    scheme: Option<String>,
    host: HostPattern,
    port: Option<u16>,
    /// The path without a slash at its end.
    path: String,
}

#[derive(Debug, Clone, PartialEq)]
enum HostPattern {
    Any,
    /// The name after `*`, with its dot.
    Below(String),
    Is(Host),
}

impl Allowed {
    /// # Errors
    /// A sentence that names the pattern.
    pub fn parse(patterns: &[String]) -> Result<Self, String> {
        let patterns = patterns.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>()?;
        Ok(Self { patterns })
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Holds a URL against what is allowed; addresses that names lead to are for later. `section` is that of the settings
    /// which has the patterns as `urls`.
    ///
    /// # Errors
    /// A sentence on what is wrong with it, without the URL.
    pub fn check(&self, url: &Url, section: &str) -> Result<(), String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("its scheme is `{}`; only http and https are allowed", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds a user name or a password; credentials in URLs are not used".into());
        }
        if self.is_empty() {
            return Err(format!("no URL is allowed here: {section}.urls is empty"));
        }
        let mut ambiguous = None;
        for pattern in self.patterns.iter().filter(|pattern| pattern.fits(url)) {
            if pattern.path.is_empty() {
                return Ok(());
            }
            match two_readings(url.path()) {
                None => return Ok(()),
                found => ambiguous = found,
            }
        }
        Err(match ambiguous {
            Some(part) => format!(
                "its path holds `{part}`, which servers read in different ways; what {section}.urls allows by a path must \
                 not hold that"
            ),
            None => format!("{section}.urls does not allow it"),
        })
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let fault = |why: &str| format!("`{text}` is not a pattern of URLs: {why}");
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (Some(scheme.to_owned()), rest),
            Some(_) => return Err(fault("only http and https are allowed")),
            None => (None, text),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        if rest.contains(['?', '#', '@']) {
            return Err(fault("it has a query, a fragment or credentials"));
        }
        let (name, port) = match authority.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => {
                (name, Some(port.parse().map_err(|_| fault("its port is none"))?))
            }
            _ => (authority, None),
        };
        let host = match name {
            "*" => HostPattern::Any,
            name => match name.strip_prefix('*') {
                Some(below) if below.starts_with('.') => match parse_host(&below[1..]) {
                    Some(Host::Domain(name)) => HostPattern::Below(format!(".{name}")),
                    _ => return Err(fault("behind `*.` stands no name")),
                },
                _ => HostPattern::Is(parse_host(name).ok_or_else(|| fault("its host is none"))?),
            },
        };
        // The path in the form that parsed URLs have.
        let path = match Url::parse("http://host/").and_then(|base| base.join(path)) {
            Ok(url) => url.path().trim_end_matches('/').to_owned(),
            Err(_) => return Err(fault("its path is none")),
        };
        if let Some(part) = two_readings(&path) {
            return Err(fault(&format!("its path holds `{part}`, which servers read in different ways")));
        }
        Ok(Self { scheme, host, port, path })
    }

    fn fits(&self, url: &Url) -> bool {
        let port = url.port_or_known_default();
        self.scheme.as_deref().is_none_or(|scheme| scheme == url.scheme())
            && match self.port {
                Some(named) => port == Some(named),
                None => matches!(port, Some(80 | 443)),
            }
            && match (&self.host, url.host()) {
                (HostPattern::Any, Some(_)) => true,
                (HostPattern::Below(below), Some(Host::Domain(name))) => {
                    let name = without_dot(name);
                    name.len() > below.len() && name.ends_with(below.as_str())
                }
                (HostPattern::Is(Host::Domain(known)), Some(Host::Domain(name))) => known == without_dot(name),
                (HostPattern::Is(known), Some(host)) => known.to_string() == host.to_string(),
                _ => false,
            }
            && url.path().strip_prefix(self.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The first part of a URL's path that some servers read differently from others: separators, dots and control
/// characters that are encoded, once or several times or as overlong UTF-8; percent signs that encode nothing; and `..`
/// with parameters or blanks after it. `None` if all servers read the path in the same way.
fn two_readings(path: &str) -> Option<&str> {
    let bytes = path.as_bytes();
    let encoded = |at: usize| {
        let digits = path.get(at + 1..at + 3).filter(|_| bytes[at] == b'%')?;
        let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        hex.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
    };
    for (at, byte) in path.bytes().enumerate() {
        match (byte, encoded(at)) {
            (b'%', None) => return path.get(at..(at + 3).min(path.len())).or(Some("%")),
            (b'\\', _) | (b'%', Some(b'/' | b'\\' | b'.' | b';' | 0..0x20 | 0x7f)) => {
                return path.get(at..at + if byte == b'%' { 3 } else { 1 });
            }
            // An encoded percent sign, which begins another encoding.
            (b'%', Some(b'%')) if path.get(at + 3..at + 5).is_some_and(is_hex) => return path.get(at..at + 5),
            // ASCII in more bytes than necessary, which lenient decoders accept.
            (b'%', Some(0xc0 | 0xc1)) => return path.get(at..at + 3),
            (b'%', Some(0xe0)) if at + 3 < bytes.len() && encoded(at + 3).is_some_and(|next| next < 0xa0) => {
                return path.get(at..at + 6);
            }
            // Full-width forms of `.`, `/` and `\\`, which some systems convert to ASCII.
            (b'%', Some(0xef)) => {
                let wide = path.get(at..at + 9).filter(|wide| WIDE.iter().any(|one| one.eq_ignore_ascii_case(wide)));
                if wide.is_some() {
                    return wide;
                }
            }
            _ => {}
        }
    }
    path.split('/').find(|segment| {
        let name = segment.split(';').next().unwrap_or_default().replace("%20", "");
        !name.is_empty() && name.bytes().all(|byte| byte == b'.')
    })
}

const WIDE: [&str; 3] = ["%ef%bc%8e", "%ef%bc%8f", "%ef%bc%bc"];

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Parses a host name as URLs do: in lower case, in ASCII, numbers as addresses.
fn parse_host(name: &str) -> Option<Host> {
    match Host::parse(name).ok()? {
        Host::Domain(name) if name.contains('*') => None,
        Host::Domain(name) => Some(Host::Domain(without_dot(&name).to_owned())),
        address => Some(address),
    }
}

fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(patterns: &[&str]) -> Allowed {
        Allowed::parse(&patterns.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    fn fits(pattern: &str, url: &str) -> bool {
        allowed(&[pattern]).check(&Url::parse(url).unwrap(), "sources").is_ok()
    }

    #[test]
    fn patterns_allow_hosts_ports_schemes_and_paths() {
        for (pattern, url, expected) in [
            ("cdn.example.com", "https://cdn.example.com/a.jpg", true),
            ("cdn.example.com", "http://CDN.example.com./a.jpg", true),
            ("cdn.example.com", "https://cdn.example.com:8443/a.jpg", false),
            ("cdn.example.com", "https://evilcdn.example.com/a.jpg", false),
            ("cdn.example.com", "https://cdn.example.com.evil.example/a.jpg", false),
            ("*.example.com", "https://a.b.example.com/", true),
            ("*.example.com", "https://example.com/", false),
            ("*.example.com", "https://badexample.com/", false),
            ("*", "http://anything.example/x", true),
            ("*", "http://anything.example:81/x", false),
            ("*:81", "http://anything.example:81/x", true),
            ("shop.example:8443", "https://shop.example:8443/", true),
            ("shop.example:8443", "https://shop.example/", false),
            ("https://cdn.example.com/pictures/", "https://cdn.example.com/pictures/a.jpg", true),
            ("https://cdn.example.com/pictures/", "https://cdn.example.com/pictures-of-others/a.jpg", false),
            ("https://cdn.example.com/pictures/", "https://cdn.example.com/pictures/../secret", false),
            ("https://cdn.example.com/pictures/", "https://cdn.example.com/pictures/%2e%2e/secret", false),
            ("https://cdn.example.com/pictures/", "http://cdn.example.com/pictures/a.jpg", false),
            ("bücher.example", "https://xn--bcher-kva.example/", true),
            ("127.0.0.1:8000", "http://2130706433:8000/", true),
            ("127.0.0.1", "http://0x7f.0.0.1/", true),
            ("[::1]:8000", "http://[0:0::1]:8000/", true),
        ] {
            assert_eq!(fits(pattern, url), expected, "{pattern} {url}");
        }
    }

    /// A server may decode a path before it resolves `..`.
    #[test]
    fn path_that_servers_read_in_different_ways_fits_no_pattern_with_a_path() {
        let (whole, below) = ("cdn.example.com", "https://cdn.example.com/pictures/");
        for path in [
            "..%2fsecret",
            "..%2Fsecret",
            "..%5csecret",
            "%2e%2e%2fsecret",
            "%252e%252e%252fsecret",
            "..%252fsecret",
            "..%25252fsecret",
            "..%255csecret",
            "a%2fb.jpg",
            "..;/secret",
            "..;a=b/secret",
            "..%3b/secret",
            ".;/..;/secret",
            "..%20/secret",
            "...;/secret",
            "..%00/secret",
            "a.jpg%00.png",
            "a%0d%0ab.jpg",
            "..%c0%afsecret",
            "%c0%ae%c0%ae/secret",
            "..%c1%9csecret",
            "..%e0%80%afsecret",
            "..%u2215secret",
            "..%ef%bc%8fsecret",
            "..%EF%BC%BCsecret",
            "100%",
            "a%2ejpg",
        ] {
            let url = Url::parse(&format!("https://cdn.example.com/pictures/{path}")).unwrap();
            let refusal = allowed(&[below]).check(&url, "sources").expect_err(path);
            assert!(refusal.contains("in different ways"), "{path}: {refusal}");
            assert!(allowed(&[below, whole]).check(&url, "sources").is_ok(), "{path}: the host is allowed whole");
        }
        // Backslashes count as slashes in such URLs, and `..` is resolved before the check.
        assert!(!fits(below, "https://cdn.example.com/pictures/..\\secret"));
        for path in
            ["%E7%8C%AB%20x.png", "a%20b.jpg", "a;v=1.jpg", "100%25.jpg", "a..b/c.jpg", "%e9t%e9.jpg", "%ef%bb%bf.png"]
        {
            assert!(fits(below, &format!("https://cdn.example.com/pictures/{path}")), "{path}");
        }
        let fault = Allowed::parse(&["https://a.example/x%2fy/".into()]).unwrap_err();
        assert!(fault.contains("`%2f`"), "{fault}");
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let refusal =
            |patterns: &[&str], url: &str| allowed(patterns).check(&Url::parse(url).unwrap(), "sources").unwrap_err();
        assert!(refusal(&[], "https://example.com/").contains("sources.urls is empty"));
        assert!(refusal(&["*"], "ftp://example.com/").contains("`ftp`"));
        assert!(refusal(&["*"], "file:///etc/passwd").contains("`file`"));
        assert!(refusal(&["*"], "https://user:word@example.com/").contains("password"));
        assert!(refusal(&["*"], "https://user@example.com/").contains("user name"));
        assert!(refusal(&["a.example"], "https://b.example/").contains("sources.urls does not allow it"));
        for pattern in [
            "ftp://a.example",
            "a.example:port",
            "",
            "*example.com",
            "user@a.example",
            "a.example/?q",
            "*.0.0.1",
            "a.*.example",
        ] {
            let fault = Allowed::parse(&[pattern.into()]).unwrap_err();
            assert!(fault.contains(&format!("`{pattern}`")), "{fault}");
        }
    }
}
