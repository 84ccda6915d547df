//! The outbox: the submissions owed to clients, recorded before they are enqueued.
//!
//! A manifest `outbox/<group>.json`, with a checksum, has a complete submission. It is durable before the enqueue and
//! stored until its group has ended. If the broker lost the group (a flush, a failover that drops the last second) or
//! never got it (a kill in between), `outbox.sweep` enqueues it again with the same ids. If the outcome of the enqueue
//! is unknown and the client was told so, the submission is withdrawn: the manifest is renamed to
//! `outbox/<group>.withdrawn`. If the broker does have that group, it is cancelled, because otherwise abandoned work
//! would run alongside the client's retry. Only if an idempotency key leads the retry to this group, it is owed again.
//! A manifest that cannot be read is renamed to `outbox/<group>.damaged` for people to look at; its group ends as
//! failed if the broker needed the manifest.

use bytes::Bytes;
use futures::TryFutureExt;
use queue::{Broker, GroupId, JobId, NewGroup, NewJob};
use tracing::warn;

use super::manifest::{Entry, Manifest, Times};
use super::{Error, Hold, Meta, Rejected, StepOf};
use crate::errors::Failure;
use crate::job::seal;
use crate::storage::{self, Storage, damaged_key, keep_key, manifest_key, owner_key, step_key, withdrawn_key};

/// The state of a group in the outbox.
#[derive(Debug, Clone, PartialEq)]
pub enum Owed {
    /// Its jobs are to be done.
    Work(Manifest),
    /// Its client was told that it may not have been accepted.
    Withdrawn(Manifest),
    /// The manifest cannot be read.
    Damaged(Damage),
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub why: String,
    withdrawn: bool,
}

impl Manifest {
    /// Enqueues again the jobs that the broker has lost.
    ///
    /// Returns whether the broker had lost anything.
    ///
    /// # Errors
    /// When the store or the broker fails; it is still owed then.
    pub async fn deliver(mut self, storage: &Storage, broker: &Broker) -> Result<bool, Error> {
        if self.is_workflow {
            return Ok(self.wake(broker).await?);
        }
        // A step whose end is written down is not done again.
        if let Some(StepOf { workflow, name }) = &self.meta.step
            && storage.has(&step_key(*workflow, name)).await?
        {
            storage.remove(&manifest_key(self.group)).await?;
            return Ok(false);
        }
        if let Some(listed) = &mut self.listed {
            listed.lost += 1;
            self.write(storage).await?;
        }
        self.complete(broker).await?;
        Ok(true)
    }

    /// Enqueues the workflow's job again if no job of it is open. The job that should have carried it on was lost, or has failed.
    async fn wake(&self, broker: &Broker) -> queue::Result<bool> {
        let Some(known) = broker.group(self.group).await? else {
            self.enqueue(broker).await?;
            return Ok(true);
        };
        if !known.sealed && known.pending == 0 {
            let entry = Entry { id: JobId::new(), ..self.jobs[0].clone() };
            let job = entry.at(known.total, Times::default(), self.request());
            broker.extend(&self.new_group(), &[job], false).await?;
        }
        Ok(false)
    }

    /// As [`enqueue`](Self::enqueue), for an acknowledged submission. If its idempotency key now belongs to another
    /// group, it is enqueued without the key: its client got this group before the broker lost the key.
    pub(super) async fn complete(mut self, broker: &Broker) -> queue::Result<()> {
        let mut outcome = self.enqueue(broker).await;
        if matches!(outcome, Err(queue::Error::KeyTaken(_))) {
            self.key = None;
            outcome = self.enqueue(broker).await;
        }
        outcome
    }

    /// Writes it down. Durable when it returns.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write(&self, storage: &Storage) -> storage::Result<()> {
        let text = seal::seal(serde_json::to_vec(self).expect("a manifest always serialises"));
        storage.put(&manifest_key(self.group), text.into()).await
    }

    /// Enqueues the submission. Jobs that the broker has already are not enqueued again.
    pub async fn enqueue(&self, broker: &Broker) -> queue::Result<()> {
        if let Some(listed) = &self.listed {
            return listed.complete(broker, &self.new_group(), self).await;
        }
        let (group, jobs) = self.work();
        if self.is_workflow {
            return broker.extend(&group, &jobs, false).await;
        }
        broker.enqueue(&group, &jobs).await
    }

    /// The group and its jobs, as the broker takes them; without those of a long list.
    pub fn work(&self) -> (NewGroup, Vec<NewJob>) {
        let times = self.times();
        let jobs = (0..).zip(&self.jobs).map(|(index, job)| job.at(index, times, self.request())).collect();
        (self.new_group(), jobs)
    }

    /// As [`enqueue`](Self::enqueue), while a client waits: of a long list only the beginning.
    async fn begin(&self, broker: &Broker) -> queue::Result<()> {
        match &self.listed {
            Some(listed) => listed.begin(broker, &self.new_group(), self).await,
            None => self.enqueue(broker).await,
        }
    }
}

impl Manifest {
    /// Writes it down and has the broker enqueue it.
    ///
    /// # Errors
    /// When the store fails or the broker refuses: nothing of the group is left then. When the broker is away.
    pub async fn submit(self, storage: &Storage, broker: &Broker) -> Result<(), Error> {
        submit(storage, broker, self, None).await
    }
}

/// Writes the manifest down and enqueues it, to the end even where the caller is dropped meanwhile.
///
/// # Errors
/// If the store fails or the broker refuses; nothing of the group is left then. If the broker is unreachable; the
/// submission is withdrawn then, and its key stays reserved until this is known.
pub(super) async fn submit(
    storage: &Storage,
    broker: &Broker,
    manifest: Manifest,
    hold: Option<Hold>,
) -> Result<(), Error> {
    let (storage, broker) = (storage.clone(), broker.clone());
    let submitted = tokio::spawn(async move {
        let group = manifest.group;
        // The retention and the owner are stored before there are files that they apply to.
        let noted = match manifest.keep {
            keep if keep.is_empty() => Ok(()),
            keep => storage.put(&keep_key(group), serde_json::to_vec(&keep).expect("it serialises").into()).await,
        };
        let written = match noted {
            Ok(()) => own(&storage, &manifest).and_then(|()| manifest.write(&storage)).await,
            noted => noted,
        };
        if let Err(error) = written {
            discard(&storage, group).await;
            return Err(error.into());
        }
        let mut outcome = manifest.begin(&broker).await;
        let unanswered = matches!(outcome, Err(queue::Error::Unavailable(_)));
        if unanswered {
            // The jobs may have been enqueued although the reply was lost. A second call tells.
            outcome = manifest.begin(&broker).await;
        }
        // The first chunk of a long list may be enqueued although a later call was refused.
        let is_begun = outcome.is_err() && manifest.listed.is_some() && !matches!(broker.group(group).await, Ok(None));
        match &outcome {
            Ok(()) => {}
            Err(
                queue::Error::Full(_)
                | queue::Error::StorageFull(_)
                | queue::Error::Refused(_)
                | queue::Error::Invalid(_)
                | queue::Error::KeyTaken(_),
            ) if !unanswered && !is_begun => discard(&storage, group).await,
            // A refusal says nothing about an earlier call whose reply was lost.
            Err(_) => withdraw(&storage, group).await,
        }
        // A bound key stays bound, even if the reply of the enqueue that bound it was lost.
        match hold {
            Some(hold) if outcome.is_err() => hold.release().await,
            hold => drop(hold),
        }
        Ok(outcome?)
    });
    submitted.await.expect("submitting does not panic")
}

/// As `submit`, of work that comes without an upload.
///
/// # Errors
/// As for an upload.
pub(crate) async fn accept(storage: &Storage, broker: &Broker, manifest: Manifest) -> Result<(), Error> {
    submit(storage, broker, manifest, None).await
}

/// Writes down beside the outputs whose they are.
async fn own(storage: &Storage, manifest: &Manifest) -> storage::Result<()> {
    match &manifest.meta.owner {
        Some(owner) => storage.put(&owner_key(manifest.group), Bytes::from(owner.clone())).await,
        None => Ok(()),
    }
}

/// The name of the API key that owns the group's outputs; `None` if all keys may see them.
///
/// # Errors
/// If the store fails.
pub async fn owner(storage: &Storage, group: GroupId) -> storage::Result<Option<String>> {
    let name = storage.read(&owner_key(group)).await?;
    Ok(name.map(|name| String::from_utf8_lossy(&name).into_owned()))
}

/// The state of the group in the outbox; `None` if it is not there.
///
/// # Errors
/// If the store fails.
pub async fn read(storage: &Storage, group: GroupId) -> storage::Result<Option<Owed>> {
    if let Some(text) = storage.read(&withdrawn_key(group)).await? {
        return Ok(Some(parse(&text).map_or_else(|why| Owed::damaged(why, true), Owed::Withdrawn)));
    }
    match storage.read(&manifest_key(group)).await? {
        Some(text) => Ok(Some(parse(&text).map_or_else(|why| Owed::damaged(why, false), Owed::Work))),
        None => Ok(None),
    }
}

impl Owed {
    fn damaged(why: String, withdrawn: bool) -> Self {
        Self::Damaged(Damage { why, withdrawn })
    }
}

fn parse(text: &[u8]) -> Result<Manifest, String> {
    let json = seal::unseal(text).map_err(|damaged| damaged.to_string())?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}

/// Sets aside a manifest that cannot be read and that the broker needs, because it does not have the complete group.
/// The acknowledged submission ends as a group without pictures, whose `rejected` gives the reason.
///
/// # Errors
/// If the store or the broker fails. The next sweep repeats it then.
pub async fn give_up(storage: &Storage, broker: &Broker, group: GroupId, damage: &Damage) -> Result<(), Error> {
    let key = if damage.withdrawn { withdrawn_key(group) } else { manifest_key(group) };
    if broker.abandon_group(group).await?.is_none() && !damage.withdrawn {
        let detail =
            format!("what was to be done is lost: {} ({key}) cannot be read: {}", damaged_key(group), damage.why);
        let error = Failure::permanent("manifest-damaged", detail);
        let rejected = vec![Rejected { index: 0, image: String::new(), error }];
        let meta = Meta { rejected, owner: owner(storage, group).await?, ..Meta::default() };
        let meta = serde_json::to_vec(&meta).expect("strings and numbers always serialise");
        broker.enqueue(&NewGroup::new(group, meta.into()), &[]).await?;
    }
    storage.rename(&key, &damaged_key(group)).await?;
    Ok(())
}

/// Makes a withdrawn submission owed again.
pub async fn reinstate(storage: &Storage, group: GroupId) -> storage::Result<()> {
    storage.rename(&withdrawn_key(group), &manifest_key(group)).await.map(drop)
}

async fn withdraw(storage: &Storage, group: GroupId) {
    if let Err(error) = storage.rename(&manifest_key(group), &withdrawn_key(group)).await {
        warn!("group {group} was refused and may be worked on all the same: {error}");
    }
}

pub(super) async fn discard(storage: &Storage, group: GroupId) {
    let storage = storage.clone();
    let removed = tokio::task::spawn_blocking(move || storage.remove_group(group)).await;
    if let Err(error) = removed.expect("removing files does not panic") {
        warn!("a refused upload stays behind: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use imaging::operation;
    use jiff::Timestamp;
    use queue::{JobId, On};

    use super::*;
    use crate::job::Keep;
    use crate::kinds::{ImageProcess, Payload, Source};
    use crate::submission::manifest::{Entry, Key, Then};

    #[tokio::test]
    async fn manifest_reads_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::local(folder.path()).unwrap();
        let payload = Payload::ImageProcess(ImageProcess {
            source: Source::Stored("uploads/x/0".into()),
            image: "cat.jpg".into(),
            operations: operation::defaults(),
            lenient: false,
            peak: None,
            check: None,
        });
        let (id, retry_of) = (JobId::new(), Some(JobId::new()));
        let entry = Entry { id, queue: "default".into(), priority: 7, max_attempts: 2, after: None, retry_of, payload };
        let manifest = Manifest {
            key: Some(Key { name: "local:k".into(), fingerprint: "ab".into(), memory: None }),
            eta: Some(Timestamp::now()),
            then: Some(Then { on: On::Always, group: GroupId::new(), job: entry.clone() }),
            keep: Keep { outputs: Some(Duration::from_hours(1)), ..Keep::default() },
            ..Manifest::new(GroupId::new(), Meta::default(), vec![entry])
        };
        let group = manifest.group;
        assert_eq!(read(&storage, group).await.unwrap(), None);
        manifest.write(&storage).await.unwrap();
        assert_eq!(read(&storage, group).await.unwrap(), Some(Owed::Work(manifest.clone())));
        withdraw(&storage, group).await;
        assert_eq!(read(&storage, group).await.unwrap(), Some(Owed::Withdrawn(manifest)));
        discard(&storage, group).await;
        assert_eq!(read(&storage, group).await.unwrap(), None);
    }
}
