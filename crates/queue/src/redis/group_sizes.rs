//! How many jobs the groups have that were read last.

use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use crate::GroupId;

/// Number of slots. Two groups may share a slot, which then remembers the one that was read last.
const SLOTS: usize = 1 << 10;

/// The sizes of the groups that were read last, so that a status that is polled asks Redis for exactly the results that
/// may exist: a missing field costs as much as a present one. A wrong size only costs a second read.
pub(super) struct GroupSizes([AtomicU64; SLOTS]);

impl Default for GroupSizes {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; SLOTS])
    }
}

impl GroupSizes {
    /// `None` if the group is not remembered.
    pub(super) fn get(&self, id: GroupId) -> Option<u32> {
        let (slot, mark) = self.slot(id);
        let known = slot.load(Ordering::Relaxed);
        (known & !u64::from(u32::MAX) == mark).then_some(known as u32)
    }

    pub(super) fn set(&self, id: GroupId, size: u32) {
        let (slot, mark) = self.slot(id);
        slot.store(mark | u64::from(size), Ordering::Relaxed);
    }

    /// A group's slot, and the upper half of its value, which tells the group from others in the slot. Both come from
    /// the id's random bits.
    fn slot(&self, id: GroupId) -> (&AtomicU64, u64) {
        let (_, random) = Uuid::from(id).as_u64_pair();
        (&self.0[random as usize % SLOTS], random << 16 & !u64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_known_of_the_groups_that_were_read_last() {
        let (sizes, read, other) = (GroupSizes::default(), GroupId::new(), GroupId::new());
        sizes.set(read, 1_001);
        assert_eq!((sizes.get(read), sizes.get(other)), (Some(1_001), None));
        // In the same slot.
        let twin = Uuid::from(read).as_u128() ^ 1 << 40;
        let twin = GroupId::from(Uuid::from_u128(twin));
        assert_eq!(sizes.get(twin), None);
        sizes.set(twin, u32::MAX);
        assert_eq!((sizes.get(read), sizes.get(twin)), (None, Some(u32::MAX)));
    }
}
