//! Events as bytes: those of a transaction are gathered here and stored in few rows, so that they cost little.

use uuid::Uuid;

use crate::{EventKind, GroupId, JobId};

/// Bytes of an event: kind, group, job.
pub(super) const EVENT_BYTES: usize = 1 + 16 + 16;

/// A kind is stored as its index in this list.
const KINDS: [EventKind; 10] = [
    EventKind::Enqueued,
    EventKind::Started,
    EventKind::Retried,
    EventKind::Stalled,
    EventKind::Released,
    EventKind::Succeeded,
    EventKind::Failed,
    EventKind::Cancelled,
    EventKind::Finished,
    EventKind::Fired,
];

/// The events of a transaction so far.
#[derive(Default)]
pub(super) struct PackedEvents(pub(super) Vec<u8>);

impl PackedEvents {
    pub(super) fn push(&mut self, kind: EventKind, group: [u8; 16], job: [u8; 16]) {
        let kind = KINDS.iter().position(|&listed| listed == kind).expect("every kind is listed");
        self.0.push(kind as u8);
        self.0.extend(group);
        self.0.extend(job);
    }
}

/// An event of [`EVENT_BYTES`]. `None` if its kind is unknown, because a bit of it has changed; the events after it are
/// still read.
pub(super) fn unpack(event: &[u8]) -> Option<(EventKind, GroupId, Option<JobId>)> {
    let kind = *KINDS.get(usize::from(event[0]))?;
    let uuid = |from: usize| Uuid::from_slice(&event[from..from + 16]).expect("sixteen bytes");
    let of_group = matches!(kind, EventKind::Enqueued | EventKind::Finished | EventKind::Fired);
    Some((kind, uuid(1).into(), (!of_group).then(|| uuid(17).into())))
}
