//! Which members of groups are open on this node, which are to be, and which cannot be used.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::elections::Elections;
use crate::broker::queue::contents::Contents;
use crate::journal::raft::{Group, GroupSpec};
use crate::queue::ledger::Memory;
use crate::types::{NodeId, QueueId};

/// Panics within this time of each other belong together.
const TOGETHER: Duration = Duration::from_secs(60);
/// Groups that are opened at a time.
const OPENING: usize = 16;

/// See the head of this file.
pub struct OpenMembers {
    open: Mutex<Open>,
    pub(super) opening: Arc<Semaphore>,
    /// What the ledgers keep of bodies, together.
    pub(super) memory: Arc<Memory>,
}

#[derive(Default)]
struct Open {
    members: FxHashMap<QueueId, OpenMember>,
    /// The generation of each member that is to be open, or is being opened.
    wanted: FxHashMap<QueueId, u32>,
    /// What was wanted and cannot be opened, or not be used any more.
    damaged: FxHashMap<QueueId, GroupSpec>,
    /// When the ledger of one last panicked.
    panicked: FxHashMap<QueueId, Instant>,
}

/// One of them.
#[derive(Clone)]
pub(super) struct OpenMember {
    pub(super) group: Group<Contents>,
    /// Wakes its task.
    pub(super) look: Arc<Notify>,
}

impl Default for OpenMembers {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            opening: Arc::new(Semaphore::new(OPENING)),
            memory: Arc::default(),
        }
    }
}

impl OpenMembers {
    /// The member of that queue's group.
    pub fn group(&self, queue: QueueId) -> Option<Group<Contents>> {
        self.open.lock().members.get(&queue).map(|member| member.group.clone())
    }

    /// Whether that is the member of the queue's group, and not one before it.
    pub(super) fn has(&self, queue: QueueId, group: &Group<Contents>) -> bool {
        let open = self.open.lock();
        open.members.get(&queue).is_some_and(|member| member.group.is(group))
    }

    /// All of them.
    pub fn all(&self) -> Vec<(QueueId, Group<Contents>)> {
        let open = self.open.lock();
        open.members
            .iter()
            .map(|(id, member)| (*id, member.group.clone()))
            .collect()
    }

    /// Its task looks at it again.
    pub fn look_again(&self, queue: QueueId) {
        if let Some(member) = self.open.lock().members.get(&queue) {
            member.look.notify_one();
        }
    }

    /// The generation of the member that is to be open.
    pub(in crate::broker) fn wanted(&self, queue: QueueId) -> Option<u32> {
        self.open.lock().wanted.get(&queue).copied()
    }

    /// False when it is wanted already.
    pub(super) fn want(&self, queue: QueueId, generation: u32) -> bool {
        self.open.lock().wanted.insert(queue, generation) != Some(generation)
    }

    /// False when it is not wanted any more.
    pub(super) fn opened(&self, queue: QueueId, generation: u32, member: OpenMember) -> bool {
        let mut open = self.open.lock();
        let is_wanted = open.wanted.get(&queue) == Some(&generation);
        if is_wanted {
            open.members.insert(queue, member);
        }
        is_wanted
    }

    /// Lets the member take part in elections, unless it is not wanted any more: its founder may have
    /// waited for the others while the queue was deleted, and then nobody would take it out again.
    pub(super) fn takes_part(
        &self,
        elections: &Elections,
        queue: QueueId,
        generation: u32,
        voters: &[NodeId],
        first: Option<NodeId>,
    ) {
        let open = self.open.lock();
        if open.wanted.get(&queue) == Some(&generation) {
            elections.on_group(queue, voters, first);
        }
    }

    /// It is not wanted any more, and takes part in no election.
    pub(super) fn take(&self, elections: &Elections, queue: QueueId) -> (Option<OpenMember>, Option<GroupSpec>) {
        let mut open = self.open.lock();
        open.wanted.remove(&queue);
        open.panicked.remove(&queue);
        elections.on_gone(queue);
        (open.members.remove(&queue), open.damaged.remove(&queue))
    }

    /// Whether the member of that generation is still wanted, which is closed to be opened again.
    pub(super) fn reopens(&self, queue: QueueId, generation: u32) -> bool {
        let mut open = self.open.lock();
        let is_wanted = open.wanted.get(&queue) == Some(&generation);
        if is_wanted {
            open.members.remove(&queue);
        }
        is_wanted
    }

    /// The ledger of a member has panicked; whether it had not for long.
    pub(super) fn note_panic(&self, queue: QueueId, now: Instant) -> bool {
        let before = self.open.lock().panicked.insert(queue, now);
        before.is_none_or(|before| now - before > TOGETHER)
    }

    /// The member of that generation is damaged; false when that is known, or it is not wanted any more.
    pub(super) fn set_damaged(&self, queue: QueueId, generation: u32, spec: GroupSpec) -> bool {
        let mut open = self.open.lock();
        let is_wanted = open.wanted.get(&queue) == Some(&generation);
        is_wanted && {
            open.members.remove(&queue);
            open.damaged.insert(queue, spec).is_none()
        }
    }

    /// Whether this node's member of the queue's group is damaged.
    pub(in crate::broker) fn is_damaged(&self, queue: QueueId) -> bool {
        self.open.lock().damaged.contains_key(&queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_is_gone_before_it_could_take_part_in_elections_never_does() {
        let (members, elections) = (OpenMembers::default(), Elections::default());
        let (queue, nodes) = (QueueId(7), [NodeId(1), NodeId(2)]);
        members.want(queue, 0);
        members.takes_part(&elections, queue, 0, &nodes, None);
        assert!(elections.knows(queue));
        members.take(&elections, queue);
        assert!(!elections.knows(queue));
        members.takes_part(&elections, queue, 0, &nodes, None);
        assert!(!elections.knows(queue), "the queue was deleted");
        // The node is a member again.
        members.want(queue, 1);
        members.takes_part(&elections, queue, 0, &nodes, None);
        assert!(!elections.knows(queue), "that was the member before");
    }
}
