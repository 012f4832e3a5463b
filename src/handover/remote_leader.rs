//! The node that has the live queue, as the clients of this one know it, and the way to it.

use super::effects::Effects;
use super::handles::Handles;
use crate::types::NodeId;

/// The node that has the live queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RemoteLeader {
    pub(super) node: NodeId,
    /// In which it leads; 0 for a queue that is not replicated.
    pub(super) term: u64,
    /// Over which use of the link it was told of this node's clients.
    pub(super) attached: Option<u64>,
    /// Whether it has taken that in: what it sent before is void.
    pub(super) is_met: bool,
}

/// One use of the link to another node.
pub(super) struct OpenLine<L> {
    pub(super) line: L,
    pub(super) epoch: u64,
}

/// What is asked of the node that has the live queue.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    Get { no_ack: bool },
    Purge,
    Count,
}

impl RemoteLeader {
    /// One that was not told of this node's clients.
    pub(super) fn new(node: NodeId, term: u64) -> Self {
        Self {
            node,
            term,
            attached: None,
            is_met: false,
        }
    }
}

impl<L> OpenLine<L> {
    /// Writes frames, unless the link is another one by now.
    pub fn write<H: Handles<Line = L>, E: Effects<H>>(&self, effects: &mut E, frames: impl FnOnce(&mut Vec<u8>)) {
        effects.write(&self.line, Some(self.epoch), frames);
    }
}
