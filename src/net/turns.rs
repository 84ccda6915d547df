//! How many requests may be under way to one host at a time, in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use url::Url;

/// Hosts that are remembered before those without requests are forgotten.
const REMEMBERED: usize = 1_000;

/// Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    /// Requests to one host at a time; 0: no limit.
    most: usize,
    hosts: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

/// The right to one request; given back when it is dropped.
#[derive(Debug)]
pub struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// At most so many requests to one host at a time; 0: no limit.
    pub fn new(most: usize) -> Self {
        Self { most, hosts: Arc::default() }
    }

    /// Waits for a turn at the URL's host and port; `None` if there is none within `patience`.
    pub async fn take(&self, url: &Url, patience: Duration) -> Option<Turn> {
        if self.most == 0 {
            return Some(Turn { _permit: None });
        }
        let permit = timeout(patience, self.host(url).acquire_owned()).await.ok()?;
        Some(Turn { _permit: Some(permit.expect("it is never closed")) })
    }

    fn host(&self, url: &Url) -> Arc<Semaphore> {
        let name =
            format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= REMEMBERED {
            // A host that somebody holds or waits for has a second owner.
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        hosts.entry(name).or_insert_with(|| Arc::new(Semaphore::new(self.most))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_are_counted_by_host_and_port() {
        let (turns, moment) = (Turns::new(2), Duration::from_millis(20));
        let url = |text: &str| Url::parse(text).unwrap();
        let (a, other) = (url("https://a.example/x"), url("https://a.example:8443/x"));
        let first = turns.take(&a, moment).await;
        let _second = turns.clone().take(&url("https://A.example:443/y"), moment).await.unwrap();
        assert!(first.is_some() && turns.take(&a, moment).await.is_none(), "both turns are taken");
        assert!(turns.take(&other, moment).await.is_some(), "another port is another server");
        drop(first);
        assert!(turns.take(&a, moment).await.is_some(), "a turn was given back");
        let unlimited = Turns::default();
        let all = futures::future::join_all([&a; 100].map(|url| unlimited.take(url, moment))).await;
        assert!(all.iter().all(Option::is_some));
    }

    #[tokio::test]
    async fn hosts_without_requests_are_forgotten() {
        let turns = Turns::new(1);
        let at = |n: usize| Url::parse(&format!("http://h{n}.example/")).unwrap();
        let held = turns.take(&at(0), Duration::ZERO).await.unwrap();
        for n in 1..=2 * REMEMBERED {
            turns.take(&at(n), Duration::ZERO).await.unwrap();
        }
        assert!(turns.hosts.lock().unwrap().len() <= REMEMBERED);
        assert!(turns.take(&at(0), Duration::ZERO).await.is_none(), "the one that is held is still counted");
        drop(held);
    }
}
