use std::fmt;
use std::time::Duration;

use super::{
    Beat, Claim, ClaimRequest, Error, Group, GroupResult, Job, Lease, NewGroup, NewJob, Policy, QueueDepth, Result,
    Settled, Settlement,
};
use crate::job::{Class, GroupId, JobId};

#[derive(Clone)]
pub struct RedisBroker;

impl RedisBroker {
    pub async fn connect(_: &str, _: &str, _: Policy, _: super::Clock) -> Result<Self> {
        Err(Error::Invalid("stub".into()))
    }
    pub async fn dedicated(&self) -> Result<Self> {
        Ok(self.clone())
    }
    pub async fn enqueue(&self, _: &NewGroup, _: &[NewJob]) -> Result<()> {
        Err(Error::Invalid("stub".into()))
    }
    pub async fn claim(&self, _: &ClaimRequest) -> Result<Claim> {
        Err(Error::Invalid("stub".into()))
    }
    pub async fn settle(&self, _: &[Settlement], _: Option<&ClaimRequest>) -> Result<(Vec<Settled>, Option<Claim>)> {
        Err(Error::Invalid("stub".into()))
    }
    pub async fn beat(&self, _: &[Lease]) -> Result<Beat> {
        Err(Error::Invalid("stub".into()))
    }
    pub async fn release(&self, _: &[Lease]) -> Result<()> {
        Err(Error::Invalid("stub".into()))
    }
    pub async fn wait(&self, _: &[String], _: Class, _: Duration) -> Result<()> {
        Err(Error::Invalid("stub".into()))
    }
    pub async fn group(&self, _: GroupId) -> Result<Option<Group>> {
        Err(Error::Invalid("stub".into()))
    }
    pub async fn results(&self, _: GroupId, _: u32, _: usize) -> Result<Vec<GroupResult>> {
        Err(Error::Invalid("stub".into()))
    }
    pub async fn job(&self, _: JobId) -> Result<Option<Job>> {
        Err(Error::Invalid("stub".into()))
    }
    pub async fn depths(&self) -> Result<Vec<QueueDepth>> {
        Err(Error::Invalid("stub".into()))
    }
    pub async fn ping(&self) -> Result<()> {
        Err(Error::Invalid("stub".into()))
    }
    pub async fn warnings(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

impl fmt::Display for RedisBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redis")
    }
}
