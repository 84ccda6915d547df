//! Networks that no fetched URL may lead into. Otherwise, whoever can name a URL could reach servers that only this
//! machine can reach.
//!
//! The list has IANA's special-purpose registries (RFC 6890 and its successors), multicast, and every form of IPv6
//! address that contains an IPv4 address; such addresses are refused completely. Of IPv6, only global unicast is left.

use std::net::IpAddr;

use ipnet::IpNet;

/// Forbidden networks with their names. The first network that fits names the reason.
pub const FORBIDDEN: [(&str, &str); 39] = [
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.100.100.200/32", "instance metadata"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.169.254/32", "instance metadata"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignment"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("255.255.255.255/32", "broadcast"),
    ("240.0.0.0/4", "reserved"),
    ("168.63.129.16/32", "instance metadata"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::ffff:0:0/96", "IPv4-mapped"),
    ("::/96", "IPv4-compatible"),
    ("::ffff:0:0:0/96", "IPv4-translated"),
    ("64:ff9b::/96", "NAT64"),
    ("64:ff9b:1::/48", "NAT64"),
    ("100::/64", "discard"),
    ("2001::/32", "Teredo"),
    ("2001::/23", "protocol assignment"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fd00:ec2::254/128", "instance metadata"),
    ("fd20:ce::254/128", "instance metadata"),
    ("fc00::/7", "unique local"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
];

/// Networks that may be fetched from, and those that may not.
#[derive(Debug, Clone)]
pub struct Networks {
    forbidden: Vec<(IpNet, &'static str)>,
    /// Exceptions by the operator.
    allowed: Vec<IpNet>,
    global: IpNet,
}

impl Networks {
    pub fn new(allowed: Vec<IpNet>) -> Self {
        let network = |text: &str| text.parse::<IpNet>().expect("the table holds networks");
        let forbidden = FORBIDDEN.iter().map(|(text, class)| (network(text), *class)).collect();
        Self { forbidden, allowed, global: network("2000::/3") }
    }

    /// The reason why an address is refused; `None` if it is allowed.
    pub fn refusal(&self, address: IpAddr) -> Option<&'static str> {
        if self.allowed.iter().any(|network| network.contains(&address)) {
            return None;
        }
        let class = self.forbidden.iter().find(|(network, _)| network.contains(&address)).map(|(_, class)| *class);
        class.or_else(|| (address.is_ipv6() && !self.global.contains(&address)).then_some("not global"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(address: &str) -> Option<&'static str> {
        Networks::new(Vec::new()).refusal(address.parse().unwrap())
    }

    #[test]
    fn every_class_is_refused_by_its_name() {
        for (address, class) in [
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("10.0.0.1", "private"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.168.1.1", "private"),
            ("100.64.0.1", "carrier-grade NAT"),
            ("100.127.255.255", "carrier-grade NAT"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("169.254.0.1", "link-local"),
            ("169.254.169.254", "instance metadata"),
            ("168.63.129.16", "instance metadata"),
            ("192.0.0.8", "protocol assignment"),
            ("192.0.2.1", "documentation"),
            ("198.51.100.7", "documentation"),
            ("203.0.113.7", "documentation"),
            ("192.88.99.1", "6to4 relay"),
            ("198.19.255.255", "benchmarking"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::7f00:1", "IPv4-compatible"),
            ("::ffff:127.0.0.1", "IPv4-mapped"),
            ("::ffff:8.8.8.8", "IPv4-mapped"),
            ("::ffff:0:127.0.0.1", "IPv4-translated"),
            ("64:ff9b::7f00:1", "NAT64"),
            ("64:ff9b:1::a00:1", "NAT64"),
            ("100::1", "discard"),
            ("2001::7f00:1", "Teredo"),
            ("2001:0:53aa:64c::1", "Teredo"),
            ("2001:2::1", "protocol assignment"),
            ("2001:db8::1", "documentation"),
            ("3fff::1", "documentation"),
            ("2002:7f00:1::", "6to4"),
            ("2002:a00:1::1", "6to4"),
            ("fc00::1", "unique local"),
            ("fd12:3456::1", "unique local"),
            ("fd00:ec2::254", "instance metadata"),
            ("fe80::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
            ("5f00::1", "segment routing"),
            ("4000::1", "not global"),
        ] {
            assert_eq!(refusal(address), Some(class), "{address}");
        }
    }

    #[test]
    fn neighbours_of_the_refused_networks_are_public() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2606:4700::1111",
            "2a00:1450::1",
            "2003::1",
        ] {
            assert_eq!(refusal(address), None, "{address}");
        }
    }

    #[test]
    fn exceptions_are_the_operators_and_no_wider() {
        let networks = Networks::new(vec!["127.0.0.1/32".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let refusal = |address: &str| networks.refusal(address.parse().unwrap());
        assert_eq!([refusal("127.0.0.1"), refusal("fd00::1")], [None, None]);
        assert_eq!(refusal("127.0.0.2"), Some("loopback"));
        assert_eq!(refusal("::ffff:127.0.0.1"), Some("IPv4-mapped"), "another spelling is another address");
    }
}
