//! The broker's connection and settings, and the calls about the server itself.

use std::fmt;
use std::sync::Arc;

use redis::Cmd;
use uuid::Uuid;

use super::answer::{damaged, parsed};
use super::group_sizes::GroupSizes;
use super::link::Link;
use super::waiters::Waiters;
use super::{script, server};
use crate::{Clock, Error, Policy, Result};

#[derive(Clone)]
pub struct RedisBroker {
    pub(super) link: Arc<Link>,
    pub(super) waiters: Arc<Waiters>,
    pub(super) sizes: Arc<GroupSizes>,
    /// What all keys begin with.
    pub(super) prefix: Arc<str>,
    pub(super) policy: Arc<Policy>,
    clock: Clock,
}

impl RedisBroker {
    pub async fn connect(url: &str, prefix: &str, policy: Policy, clock: Clock) -> Result<Self> {
        let broker = Self {
            link: Arc::new(Link::new(url)?),
            waiters: Arc::default(),
            sizes: Arc::default(),
            prefix: format!("{{{prefix}}}:").into(),
            policy: Arc::new(policy),
            clock,
        };
        server::prepare(&broker.link, &broker.prefix).await?;
        Ok(broker)
    }

    pub async fn dedicated(&self) -> Result<Self> {
        let broker = Self { link: Arc::new(self.link.another()), ..self.clone() };
        broker.ping().await?;
        Ok(broker)
    }

    pub async fn reconnect(&self) {
        self.waiters.renew();
        self.link.renew().await;
    }

    pub async fn ping(&self) -> Result<()> {
        self.link.one(redis::cmd("PING")).await.map(drop)
    }

    pub async fn try_write(&self) -> Result<()> {
        self.link.one(self.call(&script::PROBE)).await.map(drop)
    }

    pub async fn warnings(&self) -> Result<Vec<String>> {
        server::warnings(&self.link).await
    }

    pub async fn store_or(&self, mine: Uuid) -> Result<Uuid> {
        let mut keep = redis::cmd("SET");
        keep.arg(self.store_key()).arg(mine.to_string()).arg("NX").arg("GET");
        let found = match self.link.one(keep).await {
            // Without memory to store it, the next call stores it.
            Err(Error::Full(_)) => self.link.one(redis::cmd("GET").arg(self.store_key()).to_owned()).await?,
            found => found?,
        };
        match parsed::<Option<String>>(found)? {
            Some(store) => store.parse().map_err(|_| damaged()),
            None => Ok(mine),
        }
    }

    pub async fn move_to_store(&self, store: Uuid) -> Result<()> {
        self.link.one(redis::cmd("SET").arg(self.store_key()).arg(store.to_string()).to_owned()).await.map(drop)
    }

    fn store_key(&self) -> String {
        format!("{}store", self.prefix)
    }

    /// A call of a script.
    pub(super) fn call(&self, script: &script::Script) -> Cmd {
        script.call(&self.prefix, self.clock.ahead_ms())
    }

    /// A call of a script that records events.
    pub(super) fn transition(&self, script: &script::Script) -> Cmd {
        let mut call = self.call(script);
        call.arg(self.policy.events);
        call
    }
}

impl fmt::Display for RedisBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis {} {}", self.link.address(), self.prefix.trim_end_matches(':'))
    }
}
