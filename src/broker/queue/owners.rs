//! Who owns what in the store: numbers that are never used again.
//!
//! A queue that lives here owns its messages under its own id; an exchange that delays under one
//! made from its names (the highest bit is set); a member of a Raft group two, made from the queue
//! and the membership (the bit after it).

use crate::store::OwnerId;
use crate::types::QueueId;

/// Marks what belongs to a member of a Raft group.
const GROUP: u64 = 1 << 62;
/// Its snapshots rather than its log.
const SNAPSHOTS: u64 = 1 << 61;
/// Where the generation of the membership begins: ids of queues are below.
const GENERATION: u32 = 40;

/// The owners of a member's log and snapshots. Queue 0 is the catalogue.
pub fn group_owners(queue: QueueId, generation: u32) -> (OwnerId, OwnerId) {
    let own = GROUP | (u64::from(generation) << GENERATION) | queue.0;
    (OwnerId(own), OwnerId(own | SNAPSHOTS))
}

/// Whether that is a queue that lives here.
pub fn is_queue(owner: OwnerId) -> bool {
    owner.0 != 0 && owner.0 >> GENERATION == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_members_own_the_same() {
        let all = [(0, 0), (1, 0), (0, 1), (1, 1), (1 << 39, 0)].map(|(queue, generation)| {
            let (log, snapshots) = group_owners(QueueId(queue), generation);
            [log.0, snapshots.0]
        });
        let mut all = all.concat();
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
