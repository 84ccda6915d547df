//! Events as a transaction gathers them: one after the other, 33 bytes each.

use crate::EventKind;

/// Bytes of an event: its kind, its group, its job.
pub(super) const PACKED: usize = 1 + 16 + 16;

pub(super) const KINDS: [EventKind; 10] = [
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

/// What has happened in a transaction so far, packed.
#[derive(Default)]
pub(super) struct Gathered(pub(super) Vec<u8>);

impl Gathered {
    pub(super) fn push(&mut self, kind: EventKind, group: [u8; 16], job: [u8; 16]) {
        let kind = KINDS.iter().position(|&listed| listed == kind).expect("every kind is listed");
        self.0.push(kind as u8);
        self.0.extend(group);
        self.0.extend(job);
    }
}
