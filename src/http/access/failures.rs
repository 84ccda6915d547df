//! Counts wrong keys by the address that sends them. After a burst of twenty, one more is checked every three seconds.
//!
//! Right keys of the configuration are refused too meanwhile, because people choose those keys and a client that
//! guesses must learn nothing. Keys that this address has sent before are still accepted; otherwise a stranger behind
//! the same proxy could lock everybody out. Created keys cannot be guessed and are not limited here.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::rates::{Bucket, seconds};

/// Wrong keys per minute, and in a burst.
const LIMIT: u32 = 20;
/// Addresses that are remembered. The one that was silent for the longest time is forgotten first.
const REMEMBERED: usize = 10_000;
/// Right keys that are remembered for each address.
const KEYS: usize = 16;

#[derive(Default)]
pub(super) struct Failures {
    addresses: Mutex<HashMap<IpAddr, Record>>,
}

struct Record {
    left: Bucket,
    /// The ids of right keys. The last one was used last.
    proven: Vec<String>,
    seen: Instant,
}

impl Failures {
    /// Whether a key from this address is checked; `id` is the id of a right key. The error is the number of seconds
    /// until a key is checked again.
    pub(super) fn admit(&self, address: IpAddr, id: Option<&str>, now: Instant) -> Result<(), u32> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let address = one_household(address);
        if addresses.len() >= REMEMBERED && !addresses.contains_key(&address) {
            let silent = addresses.iter().min_by_key(|(_, record)| record.seen).map(|(address, _)| *address);
            silent.and_then(|silent| addresses.remove(&silent));
        }
        let fresh = || Record { left: Bucket::full(now), proven: Vec::new(), seen: now };
        let record = addresses.entry(address).or_insert_with(fresh);
        record.seen = now;
        let wait = record.left.wait(LIMIT, now);
        let Some(id) = id else {
            if !wait.is_zero() {
                return Err(seconds(wait));
            }
            record.left.take(LIMIT, now);
            return Ok(());
        };
        let known = record.proven.iter().position(|known| known == id);
        if known.is_none() && !wait.is_zero() {
            return Err(seconds(wait));
        }
        let oldest = (record.proven.len() == KEYS).then_some(0);
        if let Some(place) = known.or(oldest) {
            record.proven.remove(place);
        }
        record.proven.push(id.into());
        Ok(())
    }
}

/// An IPv6 address counts as its /64, because its user has all of that.
fn one_household(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (!0 << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn from(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn wrong_keys_are_looked_at_ever_more_slowly() {
        let (failures, start) = (Failures::default(), Instant::now());
        let wrong = |address, seconds| failures.admit(from(address), None, start + Duration::from_secs(seconds));
        for _ in 0..LIMIT {
            assert_eq!(wrong("192.0.2.1", 0), Ok(()));
        }
        assert_eq!(wrong("192.0.2.1", 0), Err(3));
        assert_eq!(wrong("192.0.2.1", 3), Ok(()));
        assert_eq!(wrong("192.0.2.1", 3), Err(3));
        assert_eq!(wrong("192.0.2.2", 3), Ok(()), "another address");
    }

    #[test]
    fn right_key_is_refused_too_unless_it_was_shown_before() {
        let (failures, now) = (Failures::default(), Instant::now());
        let address = from("192.0.2.1");
        failures.admit(address, Some("used"), now).unwrap();
        while failures.admit(address, None, now).is_ok() {}
        assert!(failures.admit(address, Some("used"), now).is_ok());
        assert!(failures.admit(address, Some("guessed"), now).is_err());
        assert!(failures.admit(from("192.0.2.2"), Some("guessed"), now).is_ok());
    }

    #[test]
    fn right_keys_cost_nothing() {
        let (failures, now) = (Failures::default(), Instant::now());
        for key in 0..100 {
            failures.admit(from("192.0.2.1"), Some(&key.to_string()), now).unwrap();
        }
        assert!(failures.admit(from("192.0.2.1"), None, now).is_ok());
        let addresses = failures.addresses.lock().unwrap();
        assert_eq!(addresses[&from("192.0.2.1")].proven.len(), KEYS);
    }

    #[test]
    fn key_in_use_is_not_forgotten_for_others() {
        let (failures, now) = (Failures::default(), Instant::now());
        let address = from("192.0.2.1");
        for key in 0..KEYS {
            failures.admit(address, Some("used"), now).unwrap();
            failures.admit(address, Some(&key.to_string()), now).unwrap();
        }
        while failures.admit(address, None, now).is_ok() {}
        assert!(failures.admit(address, Some("used"), now).is_ok());
        assert!(failures.admit(address, Some("0"), now).is_err(), "it was used longest ago");
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let (failures, now) = (Failures::default(), Instant::now());
        while failures.admit(from("2001:db8::1"), None, now).is_ok() {}
        assert!(failures.admit(from("2001:db8::ffff:2"), None, now).is_err());
        assert!(failures.admit(from("2001:db8:0:1::1"), None, now).is_ok());
    }

    #[test]
    fn memory_of_addresses_is_bounded() {
        let (failures, start) = (Failures::default(), Instant::now());
        for i in 0..=REMEMBERED as u32 {
            let now = start + Duration::from_millis(i.into());
            failures.admit(std::net::Ipv4Addr::from_bits(i).into(), None, now).unwrap();
        }
        let addresses = failures.addresses.lock().unwrap();
        assert!(addresses.len() == REMEMBERED && !addresses.contains_key(&from("0.0.0.0")));
    }
}
