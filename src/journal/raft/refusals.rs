//! What is logged when another node's members refuse what they are asked: once for each node, however
//! many groups and requests it concerns, and once more when it is over.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};

use super::spec::GroupId;
use crate::types::NodeId;

/// The members that refuse, as of their last answers.
#[derive(Default)]
pub struct Refusals {
    refusing: Mutex<FxHashMap<NodeId, FxHashSet<GroupId>>>,
    /// Whether there are any: nearly never, and it is asked with every answer.
    any: AtomicBool,
}

impl Refusals {
    /// A member refused a request. Returns whether it is the first of its node that does.
    pub fn refused(&self, node: NodeId, group: GroupId, why: &str) -> bool {
        let mut refusing = self.refusing.lock();
        let groups = refusing.entry(node).or_default();
        let is_first = groups.is_empty();
        groups.insert(group);
        self.any.store(true, Ordering::Relaxed);
        match is_first {
            true => tracing::warn!(%node, %group, why, "refused by a member of a Raft group"),
            false => tracing::debug!(%node, %group, why, "refused by a member of a Raft group"),
        }
        is_first
    }

    /// A member did what it was asked. Returns whether it was the last of its node that had refused.
    pub fn done(&self, node: NodeId, group: GroupId) -> bool {
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let is_over = self.remove(node, group);
        if is_over {
            tracing::info!(%node, "no member of a Raft group refuses any more");
        }
        is_over
    }

    /// The group is no longer on this node.
    pub fn forget(&self, group: GroupId) {
        let nodes: Vec<_> = self.refusing.lock().keys().copied().collect();
        for node in nodes {
            self.remove(node, group);
        }
    }

    fn remove(&self, node: NodeId, group: GroupId) -> bool {
        let mut refusing = self.refusing.lock();
        let Some(groups) = refusing.get_mut(&node) else {
            return false;
        };
        let is_over = groups.remove(&group) && groups.is_empty();
        if groups.is_empty() {
            refusing.remove(&node);
        }
        self.any.store(!refusing.is_empty(), Ordering::Relaxed);
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_refusal_of_a_node_is_said_and_the_end_of_the_last() {
        let (a, b) = (NodeId(1), NodeId(2));
        let refusals = Refusals::default();
        assert!(!refusals.done(a, GroupId(1)));
        let mut said = Vec::new();
        for group in [1, 2, 1, 2] {
            said.push(refusals.refused(a, GroupId(group), "it is stopped"));
        }
        assert_eq!(said, [true, false, false, false]);
        assert!(refusals.refused(b, GroupId(1), "it is stopped"), "another node");
        assert!(!refusals.done(a, GroupId(1)));
        assert!(!refusals.done(a, GroupId(3)), "it had not refused");
        assert!(refusals.done(a, GroupId(2)));
        assert!(!refusals.done(a, GroupId(2)), "it was said");
        assert!(refusals.refused(a, GroupId(1), "again"));
        refusals.forget(GroupId(1));
        assert!(!refusals.done(a, GroupId(1)), "nobody waits to hear it");
        assert!(refusals.refused(b, GroupId(2), "again"));
    }
}
