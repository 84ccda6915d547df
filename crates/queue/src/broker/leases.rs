//! Calls of workers: claim jobs, keep their leases, settle them, wait for more.

use std::time::Duration;

use super::{Broker, check};
use crate::{Beat, Claim, ClaimRequest, Class, Lease, Result, Settled, Settlement};

impl Broker {
    /// Takes waiting jobs by queue, then by priority, then by age. Before that, delayed jobs that are due wait again,
    /// and so do jobs whose lease has expired.
    ///
    /// # Errors
    /// `Invalid` for a session or a queue name that is not a word.
    pub async fn claim(&self, request: &ClaimRequest) -> Result<Claim> {
        check::claim(request)?;
        either!(self, broker => broker.claim(request).await)
    }

    /// Ends attempts, and claims in the same round trip. The answers are in the order of `settlements`.
    ///
    /// # Errors
    /// As for [`claim`](Self::claim).
    pub async fn settle(
        &self,
        settlements: &[Settlement],
        claim: Option<&ClaimRequest>,
    ) -> Result<(Vec<Settled>, Option<Claim>)> {
        claim.map_or(Ok(()), check::claim)?;
        either!(self, broker => broker.settle(settlements, claim).await)
    }

    /// Renews leases.
    pub async fn beat(&self, leases: &[Lease]) -> Result<Beat> {
        either!(self, broker => broker.beat(leases).await)
    }

    /// Gives attempts back; they do not count as attempts.
    ///
    /// Their jobs wait again, first in line; or, if `after` is given, they are delayed for that time, e.g. because this
    /// worker does not know their kind. Jobs that are being cancelled end as cancelled.
    pub async fn release(&self, leases: &[Lease], after: Option<Duration>) -> Result<()> {
        either!(self, broker => broker.release(leases, after).await)
    }

    /// Returns when there may be work in `queues`, or after `timeout`. It claims nothing.
    pub async fn wait(&self, queues: &[String], class: Class, timeout: Duration) -> Result<()> {
        either!(self, broker => broker.wait(queues, class, timeout).await)
    }
}
