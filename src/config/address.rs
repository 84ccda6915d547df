//! The address that a server listens on: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, or `:8080` for all IPv4
//! addresses of the machine.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};

use serde::{Deserialize, Deserializer, de};

/// Parses an address. A host name is resolved, with preference for an IPv4 address.
///
/// # Errors
/// A sentence that quotes the text.
pub(super) fn parse(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let wrong =
        || format!("`{}` is not an address such as 127.0.0.1:8080, localhost:8080 or :8080", text.escape_debug());
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    if host.is_empty() {
        return Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    }
    // The resolver would take the last part of an IPv6 address without brackets for a port.
    if host.contains(':') {
        return Err(format!("`{text}` has an IPv6 address without brackets: write [{host}]:{port}"));
    }
    let found = (host, port).to_socket_addrs().map_err(|error| format!("`{text}`: no address of {host}: {error}"))?;
    found.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| format!("`{text}`: the name {host} has no address"))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, address) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::1]:80", "[::1]:80"),
            (":8080", "0.0.0.0:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
        ] {
            assert_eq!(parse(text), Ok(address.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn faulty_addresses_are_refused_with_what_is_right() {
        for (text, said) in [
            ("8080", "`8080` is not an address such as"),
            ("localhost", "`localhost` is not an address such as"),
            ("localhost:99999", "`localhost:99999` is not an address such as"),
            ("::1:8080", "write [::1]:8080"),
            ("no such host:1", "no address of no such host"),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.contains(said), "{text}: {fault}");
        }
    }
}
