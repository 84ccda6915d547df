//! The client: the address of the connection, or the address that a trusted proxy reports.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use ipnet::IpNet;

use super::local;
use crate::config;
use crate::http::base::Base;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// The browser uses https, to this service or to the proxy in front of it.
    pub(super) https: bool,
}

impl Peer {
    pub(super) fn of(request: &Parts, server: &config::Server, proxies: &[IpNet]) -> Self {
        let connection = request.extensions.get::<ConnectInfo<SocketAddr>>();
        let address = connection.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip());
        let peer = Self::behind(address, &request.headers, proxies);
        Self { https: peer.https || server.public_url.starts_with("https://"), ..peer }
    }

    fn behind(connected: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
        let mut address = connected.to_canonical();
        if !is_trusted(address) {
            return Self { address, https: false };
        }
        // Each proxy adds the address of its client. A client that is not trusted may have made up everything before
        // its own address.
        let hops = told(headers, "x-forwarded-for");
        for hop in hops.iter().rev() {
            let Some(hop) = address_of(hop) else { break };
            address = hop.to_canonical();
            if !is_trusted(address) {
                break;
            }
        }
        let https =
            told(headers, "x-forwarded-proto").last().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        Self { address, https }
    }
}

/// The prefix that a trusted proxy has removed from the path. `None` if no proxy names one, or if it is not a path.
pub(super) fn prefix(extensions: &Extensions, headers: &HeaderMap, trusted: &[IpNet]) -> Option<Base> {
    let prefixes = told(headers, "x-forwarded-prefix");
    if prefixes.is_empty() || !is_from_proxy(extensions, trusted) {
        return None;
    }
    Base::forwarded(&prefixes)
}

/// The host and port that the client asked for. A trusted proxy may know them better than the request.
pub(super) fn host(request: &Parts, trusted: &[IpNet]) -> Option<String> {
    let forwarded = told(&request.headers, "x-forwarded-host");
    let forwarded = forwarded.first().filter(|_| is_from_proxy(&request.extensions, trusted)).copied();
    let host = forwarded.or_else(|| local::host(&request.headers, &request.uri))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':' | b'[' | b']');
    (!host.is_empty() && host.bytes().all(plain)).then(|| host.to_owned())
}

fn is_from_proxy(extensions: &Extensions, trusted: &[IpNet]) -> bool {
    extensions.get::<ConnectInfo<SocketAddr>>().is_some_and(|ConnectInfo(address)| {
        let address = address.ip().to_canonical();
        trusted.iter().any(|network| network.contains(&address))
    })
}

/// The values of a list that is in one or several header lines.
fn told<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .collect()
}

/// An address with or without a port.
fn address_of(hop: &str) -> Option<IpAddr> {
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(connected: &str, forwarded: &[&str], proto: &str) -> Peer {
        let trusted = ["127.0.0.1/32", "10.0.0.0/8"].map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        headers.append("x-forwarded-proto", proto.parse().unwrap());
        Peer::behind(connected.parse().unwrap(), &headers, &trusted)
    }

    fn address(connected: &str, forwarded: &[&str]) -> String {
        peer(connected, forwarded, "http").address.to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(address("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(address("127.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(address("::ffff:127.0.0.1", &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(address("127.0.0.1", &["[2001:db8::1]:80"]), "2001:db8::1");
        assert!(!peer("203.0.113.9", &[], "https").https && peer("127.0.0.1", &[], "https").https);
    }

    #[test]
    fn first_stranger_from_the_right_is_the_client() {
        assert_eq!(address("127.0.0.1", &["1.2.3.4, 198.51.100.1, 10.0.0.7"]), "198.51.100.1");
        assert_eq!(address("127.0.0.1", &["1.2.3.4", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(address("127.0.0.1", &["1.2.3.4, nonsense, 10.0.0.7"]), "10.0.0.7");
        assert_eq!(address("127.0.0.1", &["10.0.0.8, 10.0.0.7"]), "10.0.0.8");
        assert_eq!(address("127.0.0.1", &[]), "127.0.0.1");
    }
}
