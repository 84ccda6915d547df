//! What requests to servers of others may reach, checked for each URL and each connection.
//!
//! Names are resolved here, addresses that may not be reached are taken out of the answer, and the connection is made to one
//! of those left: there is no second look-up for a name to change in between. A host that is an address never comes to a
//! resolver and is checked with its URL.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::Allowed;
use super::address::Networks;
use crate::errors::Failure;

/// Looks a host's name up. Another one than the system's is for tests.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// What may be reached.
#[derive(Debug, Clone)]
pub struct Guard {
    /// The section of the settings that says so, `sources` or `calls`; messages name its `urls` and `allow_private`.
    pub section: &'static str,
    pub allowed: Allowed,
    pub networks: Networks,
}

impl Guard {
    /// Checks what is known of a URL before a connection is made.
    ///
    /// # Errors
    /// `url-forbidden`.
    pub fn check(&self, url: &Url) -> Result<(), Failure> {
        let Self { section, allowed, networks } = self;
        allowed.check(url, section).map_err(|why| forbidden(url, &why))?;
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            _ => return Ok(()),
        };
        match networks.refusal(address) {
            Some(class) => Err(Refused { address, class, section }.failure(url)),
            None => Ok(()),
        }
    }

    /// Resolves names to addresses that may be reached.
    pub(super) fn resolver(&self, lookup: Lookup) -> impl Resolve + use<> {
        Resolver { lookup, networks: self.networks.clone(), section: self.section }
    }
}

fn forbidden(url: &Url, why: &str) -> Failure {
    Failure::permanent("url-forbidden", format!("{}: {why}", shown(url)))
}

/// A URL as people are told of it: its query may hold a signature, its user a password.
pub(super) fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.into()
}

/// Resolves names to addresses that may be reached.
struct Resolver {
    lookup: Lookup,
    networks: Networks,
    section: &'static str,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, networks, section) = ((self.lookup)(name.as_str().to_owned()), self.networks.clone(), self.section);
        Box::pin(async move {
            let mut refused = None;
            let mut public = Vec::new();
            for address in found.await? {
                match networks.refusal(address) {
                    None => public.push(SocketAddr::new(address, 0)),
                    Some(class) => refused = Some(Refused { address, class, section }),
                }
            }
            match refused {
                Some(refused) if public.is_empty() => Err(refused.into()),
                _ => Ok(Box::new(public.into_iter()) as Addrs),
            }
        })
    }
}

/// An address that must not be reached.
#[derive(Debug)]
pub(super) struct Refused {
    address: IpAddr,
    class: &'static str,
    section: &'static str,
}

impl Refused {
    pub(super) fn failure(&self, url: &Url) -> Failure {
        forbidden(url, &self.to_string())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, class, section } = self;
        write!(f, "it leads to {address} ({class}), which {section}.allow_private does not allow")
    }
}

impl StdError for Refused {}
